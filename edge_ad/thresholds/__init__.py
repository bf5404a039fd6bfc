"""Thresholds with a guarantee, and what is promised of them: the part of a calibration that a device can do, too."""
