"""The commands ``edge-ad calibrate`` and ``edge-ad evaluate``, and their options."""
