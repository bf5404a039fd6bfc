"""What a head is: the nodes that make a score and a map of what a trained model puts out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["Array", "Built", "Head", "NumbersHead", "Read", "Scored", "Unfitted"]

Array = NDArray[np.float64]
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Read(Generic[_Value]):
    """What a head reads of one image: the ``values`` of its taps and ``frame``, the model's own input."""

    values: Sequence[_Value]
    frame: _Value


@dataclass(frozen=True)
class Built:
    """The values that a head adds to a graph: ``score`` of one element, ``map`` ``[1, 1, h, w]``."""

    score: ir.Value
    map: ir.Value | None


@dataclass(frozen=True)
class Scored:
    """What a head makes of one image. ``map``: float64 ``(h, w)``."""

    score: float
    map: Array | None


class Head(Protocol):
    """Two independent descriptions of the same arithmetic: nodes for the graph, NumPy for the parity check.

    The two share no code but the numbers they were given, so that a fault of one is not a fault of both.
    """

    @property
    def taps(self) -> tuple[str, ...]:
        """The values of the imported graph that the head reads."""
        ...

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        """What the head puts out."""
        ...

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        """Adds the nodes."""
        ...

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        """The same in NumPy, in float64. Of a batch, the first image counts."""
        ...


@dataclass(frozen=True)
class NumbersHead:
    """What heads share that read the numbers of one value ``tap`` and give a score alone."""

    tap: str

    @property
    def taps(self) -> tuple[str, ...]:
        return (self.tap,)

    @property
    def roles(self) -> tuple[Literal["score"], ...]:
        return ("score",)


@runtime_checkable
class Unfitted(Protocol):
    """A head that has yet to see normal images."""

    @property
    def taps(self) -> tuple[str, ...]:
        """The values of the imported graph that the head reads."""
        ...

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        """The head fitted to normal images, each given as what the taps held for it."""
        ...
