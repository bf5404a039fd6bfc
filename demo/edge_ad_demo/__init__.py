"""A synthetic product line that takes a first-time user the whole way: train, export, calibrate, score."""

from __future__ import annotations

__all__: list[str] = []
