"""The imported model and its description, whatever file it came from."""
