"""Models that exist only as OpenVINO graphs, on the same road as all others.

Such a model becomes one node of an ONNX graph. Passes and heads put theirs before and behind it and never look
inside; where the graph is run or written, the node gives way to the OpenVINO operations that it stands for.
"""

from edge_ad_export.embedded.join import to_openvino
from edge_ad_export.embedded.node import embed, embedded_model, find_embedded, infer_embedded

__all__ = ["embed", "embedded_model", "find_embedded", "infer_embedded", "to_openvino"]
