"""Anomalib's models, exported by anomalib with random weights, through export."""
