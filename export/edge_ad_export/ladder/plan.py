"""What is asked of the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_export.ladder.targets import Target
    from edge_ad_export.quantize.settings import Effort

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """How hard to look, and for which kind of CPU. ``threads``: of the engines."""

    effort: Effort
    target: Target
    threads: int | None
