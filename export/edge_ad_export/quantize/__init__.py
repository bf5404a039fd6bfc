"""Eight-bit variants of a graph: the feature extraction is quantized, front and head stay in float."""
