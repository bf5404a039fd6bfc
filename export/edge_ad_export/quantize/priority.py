"""The order in which int8 layers are suspected of doing harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.backbone import Op

__all__ = ["in_priority"]


def in_priority(layers: Sequence[Op]) -> tuple[str, ...]:
    """Names of layers given in the order of execution: depthwise convolutions, whose channels share one range however
    different they are, then the rest as they come, since an early error goes through all that follows."""
    depthwise = [op.name for op in layers if op.kernel is not None and op.kernel.shape[1] == 1]
    return (*depthwise, *(op.name for op in layers if op.name not in set(depthwise)))
