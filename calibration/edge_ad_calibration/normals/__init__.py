"""The held-out normals: which files, what they score, which of them count, and what one observation is."""
