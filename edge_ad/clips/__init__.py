"""Models that score clips: the ring of samples, what a frame becomes in it, alignment and smoothing."""

from edge_ad.clips.scorer import ClipScorer

__all__ = ["ClipScorer"]
