"""The interface that every inference engine implements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edge_ad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ENGINE_NAMES",
    "Artefact",
    "CompilingEngine",
    "Engine",
    "EngineInfo",
    "EngineOptions",
    "EngineOutput",
    "Extractor",
    "choose_device",
    "keeps_compiled",
]


ENGINE_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
"""The engines that a variant may be for, and what they are called in sentences."""

_DEFAULT_DEVICE = "CPU"


@dataclass(frozen=True)
class Artefact:
    """A model's files: a path, or bytes (with ``weights`` for an OpenVINO IR).

    ``digest``: a hash over all of them, by which a compiled form of them is known; ``None``: none is kept.
    """

    model: Path | bytes
    weights: bytes | None = None
    digest: str | None = None


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is opened.

    ``device`` is the engine's own name: an OpenVINO device (``CPU``, ``GPU``, ``NPU``) or an ONNX Runtime
    execution provider (``CPU`` and ``CUDA`` stand for ``CPUExecutionProvider`` and so on). ``openvino=GPU`` is meant
    for one engine only; several stand in one text with commas between them: ``openvino=GPU,onnxruntime=CUDA``. An
    engine that is not named runs on the CPU.
    ``threads``: ``None`` leaves the choice to the engine.
    ``cache_dir``: where compiled models may be kept, see :mod:`edge_ad.engines.compiled`; ``None``: no file is written.
    ``spin``: whether the threads of ONNX Runtime may burn their cores while they wait for work. A single frame is
    answered sooner so; where other threads decode beside the engine, they lack the cores. Scores are the same.
    ``flush_denormals``: numbers below 1.2e-38 count as 0, which some processors need for a steady speed. It holds for
    the whole thread that opens the engine, NumPy included: for a process that does nothing but score.
    """

    device: str = _DEFAULT_DEVICE
    threads: int | None = None
    cache_dir: Path | None = None
    spin: bool = True
    flush_denormals: bool = False

    def __post_init__(self) -> None:
        for engine, _, name in (part.partition("=") for part in self.device.split(",") if "=" in part):
            if engine not in ENGINE_NAMES or not name:
                raise InputError(
                    f"--device {self.device}: expected the name of a device, or for one engine only "
                    f"{' or '.join(f'{one}=NAME' for one in ENGINE_NAMES)}"
                )

    def device_of(self, engine: str) -> str:
        """The device on which this engine is to run."""
        named = dict(part.split("=", 1) for part in self.device.split(",") if "=" in part)
        plain = [part for part in self.device.split(",") if "=" not in part]
        return named.get(engine, ",".join(plain) or _DEFAULT_DEVICE)


@dataclass(frozen=True)
class EngineInfo:
    """What was opened. ``threads`` is ``None`` where the engine chose itself and does not tell.

    ``compiled``: the kept file of a compiled model that was opened.
    ``notice``: a sentence if one could not be used or kept.
    """

    name: str
    version: str
    device: str
    precision: str
    threads: int | None
    compiled: Path | None = None
    notice: str | None = None


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


@runtime_checkable
class CompilingEngine(Protocol):
    """An engine, or an extractor, that compiles its model and can keep the compiled form."""

    def keep_compiled(self) -> None:
        """Keeps what was compiled when it was opened, if anything was. ``info.notice`` says so where that fails."""
        ...


def keeps_compiled(engine: str) -> bool:
    """Whether this engine keeps compiled models in :attr:`EngineOptions.cache_dir`; the other one refuses it."""
    return engine == "openvino"


def choose_device(engine: str, wanted: str, offered: Mapping[str, str]) -> str:
    """The engine's own name of the device, however its letters are written. ``offered``: by what they are called.

    Raises:
        InputError: the engine does not have it on this machine; says which it has.
    """
    for called, own in offered.items():
        if wanted.upper() in {called.upper(), own.upper()}:
            return own
    other = next(one for one in ENGINE_NAMES if one != engine)
    raise InputError(
        f"--device {wanted}: {ENGINE_NAMES[engine]}, which runs this variant, has no {wanted} here: choose "
        f"{' or '.join(offered)}, or a --variant of another engine; --device {other}={wanted} asks for it there only"
    )
