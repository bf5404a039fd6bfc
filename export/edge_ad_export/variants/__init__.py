"""Variants of the graph: made, measured, and kept or turned away."""
