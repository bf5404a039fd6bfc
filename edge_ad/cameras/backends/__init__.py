"""How each kind of camera is reached; see ``edge_ad.cameras.backends.opening``."""
