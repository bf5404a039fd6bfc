"""The interface that every inference engine implements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Artefact", "Engine", "EngineInfo", "EngineOptions", "EngineOutput", "Extractor"]


@dataclass(frozen=True)
class Artefact:
    """A model's files: a path, or bytes (with ``weights`` for an OpenVINO IR)."""

    model: Path | bytes
    weights: bytes | None = None


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is opened.

    ``device`` is the engine's own name: an OpenVINO device (``CPU``, ``GPU``, ``NPU``) or an ONNX Runtime
    execution provider (``CPU`` and ``CUDA`` stand for ``CPUExecutionProvider`` and so on).
    ``threads``: ``None`` leaves the choice to the engine.
    ``cache_dir``: where the engine may keep compiled models; ``None``: it writes no file.
    ``spin``: whether the threads of ONNX Runtime may burn their cores while they wait for work. A single frame is
    answered sooner so; where other threads decode beside the engine, they lack the cores. Scores are the same.
    """

    device: str = "CPU"
    threads: int | None = None
    cache_dir: Path | None = None
    spin: bool = True


@dataclass(frozen=True)
class EngineInfo:
    """What was opened. ``threads`` is ``None`` where the engine chose itself and does not tell."""

    name: str
    version: str
    device: str
    precision: str
    threads: int | None


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """``score``: raw. ``map``: float32 ``(h', w')``, raw; a view that the next run overwrites; ``None`` without one."""

    score: float
    map: NDArray[np.float32] | None


class Engine(Protocol):
    """A loaded model. Fill :attr:`input` in place, call :meth:`run`. Not thread-safe."""

    info: EngineInfo
    input: NDArray[Any]
    """What the graph takes, preallocated; see :class:`~edge_ad.engines.contract.ContractShapes`."""

    def run(self) -> EngineOutput:
        """Scores what is in :attr:`input`. Raises :class:`EngineError`."""
        ...

    def close(self) -> None:
        """Frees the engine's memory."""
        ...


class Extractor(Protocol):
    """A loaded extractor of a two-stage bundle. Fill :attr:`input`, call :meth:`run`. Not thread-safe."""

    info: EngineInfo
    input: NDArray[Any]
    """One picture, uint8 ``[1, h, w, c]``, or a snippet of them, ``[1, t, h, w, c]``; preallocated."""
    features: NDArray[np.float32]
    """What the last run made of it, float32 ``(n,)``; a view that the next run overwrites."""

    def run(self) -> None:
        """Fills :attr:`features`. Raises :class:`EngineError`."""
        ...

    def close(self) -> None: ...
