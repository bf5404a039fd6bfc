"""The graph's contract, checked once when an engine loads a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_ad.errors import EngineError

__all__ = ["ContractShapes", "check_contract"]

Tensor = tuple[Sequence[object], str]


@dataclass(frozen=True)
class ContractShapes:
    """Static shapes: ``frame`` ``[1, h, w, c]``, ``score`` ``[1]``, ``map`` ``[1, h', w']`` or ``None``."""

    frame: tuple[int, ...]
    score: tuple[int, ...]
    map: tuple[int, ...] | None


def check_contract(
    inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], *, uint8: str, float32: str
) -> ContractShapes:
    """Holds a loaded model against the contract.

    ``inputs`` and ``outputs`` map names to (shape, type as the engine spells it); ``uint8`` and ``float32`` are
    that engine's spellings. Raises :class:`EngineError` that says what was expected and found.
    """
    if set(inputs) != {"frame"} or not {"score"} <= set(outputs) <= {"score", "map"}:
        raise EngineError(
            "the model does not follow the contract: expected the input frame and the outputs score and, "
            f"optionally, map; found {_names(inputs)} and {_names(outputs)}"
        )
    frame = _static("frame", inputs["frame"], uint8, rank=4)
    score = _static("score", outputs["score"], float32, rank=1)
    heat = _static("map", outputs["map"], float32, rank=3) if "map" in outputs else None
    if frame[3] not in (1, 3) or frame[0] != 1 or score != (1,) or (heat is not None and heat[0] != 1):
        raise EngineError(
            f"the model does not follow the contract: expected frame [1, h, w, 1 or 3], score [1] and map [1, h, w]; "
            f"found {list(frame)}, {list(score)} and {list(heat) if heat else 'no map'}"
        )
    return ContractShapes(frame, score, heat)


def _static(name: str, tensor: Tensor, dtype: str, *, rank: int) -> tuple[int, ...]:
    shape, found = tensor
    sizes = tuple(size for size in shape if isinstance(size, int) and size > 0)
    if found != dtype or len(sizes) != len(shape) or len(shape) != rank:
        raise EngineError(
            f"the model's {name} does not follow the contract: expected {dtype} of {rank} fixed dimensions, "
            f"found {found} {list(shape)}"
        )
    return sizes


def _names(tensors: Mapping[str, Tensor]) -> str:
    return "[" + ", ".join(tensors) + "]"
