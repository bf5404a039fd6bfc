"""How each kind of camera is reached; see ``edge_ad.capture.backends.opening``."""
