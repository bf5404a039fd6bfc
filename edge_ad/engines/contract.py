"""The graph's contract, checked once when an engine loads a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from edge_ad.errors import EngineError

__all__ = ["ContractShapes", "ExtractorShapes", "InputName", "Shapes", "check_contract", "check_extractor"]

Tensor = tuple[Sequence[object], str]
InputName = Literal["frame", "flow", "features"]

_INPUTS: tuple[InputName, ...] = ("frame", "flow", "features")
_FLOW_RANK, _FLOW_CHANNELS = 5, 2


class Shapes(Protocol):
    """What a graph takes and gives, all of it static."""

    @property
    def name(self) -> InputName: ...

    @property
    def input(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Literal["uint8", "float32"]: ...

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """By name; all of them float32."""
        ...


@dataclass(frozen=True)
class ContractShapes:
    """Static shapes. The graph has one input, ``name``:

    ``frame``: uint8 ``[1, h, w, c]``, or ``[1, t, h, w, c]`` of a clip. ``flow``: float32 ``[1, t, h, w, 2]``.
    ``features``: float32 ``[1, ...]``. Out come ``score`` ``[1]`` and ``map`` ``[1, h', w']`` or ``None``.
    """

    name: InputName
    input: tuple[int, ...]
    score: tuple[int, ...]
    map: tuple[int, ...] | None

    @property
    def dtype(self) -> Literal["uint8", "float32"]:
        """Of the input: pixels are bytes, everything else is float32."""
        return "uint8" if self.name == "frame" else "float32"

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """By name."""
        return {"score": self.score} | ({} if self.map is None else {"map": self.map})


@dataclass(frozen=True)
class ExtractorShapes:
    """Of a two-stage variant's first graph: ``frame`` uint8 ``[1, h, w, c]``, or of a snippet ``[1, t, h, w, c]``, to
    ``features`` float32 ``[1, n]``."""

    input: tuple[int, ...]
    features: tuple[int, ...]
    name: InputName = "frame"
    dtype: Literal["uint8", "float32"] = "uint8"

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """By name."""
        return {"features": self.features}


def check_contract(
    inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], *, uint8: str, float32: str
) -> ContractShapes:
    """Holds a loaded model against the contract.

    ``inputs`` and ``outputs`` map names to (shape, type as the engine spells it); ``uint8`` and ``float32`` are
    that engine's spellings. Raises :class:`EngineError` that says what was expected and found.
    """
    name = next((known for known in _INPUTS if set(inputs) == {known}), None)
    if name is None or not {"score"} <= set(outputs) <= {"score", "map"}:
        raise EngineError(
            "the model does not follow the contract: expected the input frame (or flow or features) and the outputs "
            f"score and, optionally, map; found {_names(inputs)} and {_names(outputs)}"
        )
    taken = _input(name, inputs[name], uint8 if name == "frame" else float32)
    score = _static("score", outputs["score"], float32, ranks=(1,))
    anomaly_map = _static("map", outputs["map"], float32, ranks=(3,)) if "map" in outputs else None
    if taken[0] != 1 or score != (1,) or (anomaly_map is not None and anomaly_map[0] != 1):
        raise EngineError(
            f"the model does not follow the contract: expected {name} [1, ...], score [1] and map [1, h, w]; "
            f"found {list(taken)}, {list(score)} and {list(anomaly_map) if anomaly_map else 'no map'}"
        )
    return ContractShapes(name, taken, score, anomaly_map)


def check_extractor(
    inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], *, uint8: str, float32: str
) -> ExtractorShapes:
    """As :func:`check_contract`, for the extractor of a two-stage variant."""
    if set(inputs) != {"frame"} or set(outputs) != {"features"}:
        raise EngineError(
            "the extractor does not follow the contract: expected the input frame and the output features, found "
            f"{_names(inputs)} and {_names(outputs)}"
        )
    taken = _input("frame", inputs["frame"], uint8)
    features = _static("features", outputs["features"], float32, ranks=(2,))
    if taken[0] != 1 or features[0] != 1:
        raise EngineError(
            "the extractor does not follow the contract: expected frame [1, ...] and features [1, n], found "
            f"{list(taken)} and {list(features)}"
        )
    return ExtractorShapes(taken, features)


def _input(name: InputName, tensor: Tensor, dtype: str) -> tuple[int, ...]:
    if name == "features":
        return _static(name, tensor, dtype, ranks=(2, 3, 4, 5))
    shape = _static(name, tensor, dtype, ranks=(4, 5) if name == "frame" else (_FLOW_RANK,))
    channels = (1, 3) if name == "frame" else (_FLOW_CHANNELS,)
    if shape[-1] not in channels:
        expected = " or ".join(map(str, channels))
        raise EngineError(
            f"the model does not follow the contract: expected {name} with {expected} channels in the last place, "
            f"found {list(shape)}"
        )
    return shape


def _static(name: str, tensor: Tensor, dtype: str, *, ranks: tuple[int, ...]) -> tuple[int, ...]:
    shape, found = tensor
    sizes = tuple(size for size in shape if isinstance(size, int) and size > 0)
    if found != dtype or len(sizes) != len(shape) or len(shape) not in ranks:
        raise EngineError(
            f"the model's {name} does not follow the contract: expected {dtype} of {' or '.join(map(str, ranks))} "
            f"fixed dimensions, found {found} {list(shape)}"
        )
    return sizes


def _names(tensors: Mapping[str, Tensor]) -> str:
    return "[" + ", ".join(tensors) + "]"
