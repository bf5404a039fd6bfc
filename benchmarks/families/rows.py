"""What the table of families holds, and who makes its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Producer", "Row", "Workplace"]


@dataclass(frozen=True)
class Workplace:
    """``shared``: real images and models; ``scratch``: for files in between; ``peer``: a Python that has torch, or
    ``None``; ``images``: exports measure on at most so many."""

    shared: Path
    scratch: Path
    peer: Path | None
    images: int


@dataclass(frozen=True)
class Row:
    """One trained model.

    ``score_parity``: largest relative error of the float32 variant against the imported model; ``int8_spearman``:
    the best int8 variant's rank correlation, shipped or not; ``before_ms``: the file as it was given in ONNX Runtime;
    ``after_ms``: the bundle's default ``variant``, head included; ``roc_auc``: of that variant on labelled images.
    ``None``: there is no such figure.
    """

    family: str
    model: str
    data: str
    origin: str
    score_parity: float
    int8_spearman: float | None
    before_ms: float
    after_ms: float
    variant: str
    roc_auc: float | None


Producer = Callable[[Workplace], Iterator[Row]]
"""Makes rows one by one; each takes a minute or so."""
