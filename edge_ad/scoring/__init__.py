"""From a frame to a raw score and map: geometry, engine and golden frames together. No thresholds here."""
