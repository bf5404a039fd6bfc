"""The pictures, sheets and pages of a calibration, for people."""
