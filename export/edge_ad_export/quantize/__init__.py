"""Eight-bit variants of a graph: its feature extraction is quantized; preprocessing and head stay in float."""
