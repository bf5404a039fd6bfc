"""The colours of the demo's pictures."""

from __future__ import annotations

__all__ = ["ACCEPTED", "FAINT", "INK", "NORMAL", "RAISED", "REJECTED"]

INK, FAINT, RAISED = "#1d2329", "#6b7580", "#f3f5f7"
ACCEPTED, REJECTED, NORMAL = "#1f8a4c", "#c0392b", "#3b6ea8"
