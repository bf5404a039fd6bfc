"""The quantization ladder: int8 first, then the most sensitive layers back to float until the gate holds."""
