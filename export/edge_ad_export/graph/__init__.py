"""What works on any ONNX graph: constants, shapes, patterns, and graphs that only OpenVINO can run."""
