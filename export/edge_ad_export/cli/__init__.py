"""The commands ``edge-ad export`` and ``edge-ad compare``, and their options."""
