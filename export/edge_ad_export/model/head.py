"""What a head is: the nodes that make a score and an anomaly map of what a trained model puts out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = [
    "Array",
    "Head",
    "HeadInputs",
    "HeadOutputs",
    "HeadResult",
    "ScoreAndMapHead",
    "ScoreOnlyHead",
    "Unfitted",
]

Array = NDArray[np.float64]
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class HeadInputs(Generic[_Value]):
    """What a head reads of one image.

    Attributes:
        values: what the values named by :attr:`Head.inputs` hold, in that order.
        frame: what the model itself takes, after preprocessing.
    """

    values: Sequence[_Value]
    frame: _Value


@dataclass(frozen=True)
class HeadOutputs:
    """The values that a head adds to a graph.

    Attributes:
        score: float32, one element.
        map: float32 ``[1, 1, h, w]``; ``None`` for a head without an anomaly map.
    """

    score: ir.Value
    map: ir.Value | None


@dataclass(frozen=True)
class HeadResult:
    """What a head computes for one image.

    Attributes:
        score: higher is more anomalous, in the model's own unit.
        map: float64 ``(h, w)`` in the same unit; ``None`` for a head without an anomaly map.
    """

    score: float
    map: Array | None


class Head(Protocol):
    """Two independent descriptions of the same arithmetic: nodes for the graph, NumPy for the parity check.

    The two share no code but the numbers they were given, so that a fault of one is not a fault of both.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the values of the imported graph that the head reads."""
        ...

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        """What the head puts out."""
        ...

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        """Adds the nodes to the graph."""
        ...

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        """The same in NumPy, in float64. Of a batch, the first image counts."""
        ...


@dataclass(frozen=True)
class ScoreOnlyHead:
    """The base of heads that read one value, named ``source``, and give a score without an anomaly map."""

    source: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def roles(self) -> tuple[Literal["score"], ...]:
        return ("score",)


class ScoreAndMapHead:
    """The base of heads that give a score and an anomaly map."""

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        return ("score", "map")


@runtime_checkable
class Unfitted(Protocol):
    """A head that has yet to learn from normal images."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the values of the imported graph that the head reads."""
        ...

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        """The head fitted to normal images, each given as what the values named by :attr:`inputs` hold for it.

        Raises:
            InputError: there are too few images, or a feature is not finite.
        """
        ...
