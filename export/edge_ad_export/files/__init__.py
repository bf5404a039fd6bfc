"""The files of trained models: which format they are in, and reading or converting them."""
