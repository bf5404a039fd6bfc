"""Tensors of the Open Inference Protocol: a request's body to a frame, and values to a response's body.

A body is JSON alone, or JSON followed by the raw bytes of tensors (the extension for binary data): then a header says
how long the JSON is. Values in, values out, without a socket.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["INPUT", "OUTPUTS", "InferRequest", "TensorError", "read_request", "write_response"]

INPUT = "frame"
OUTPUTS = {"score": "FP64", "threshold": "FP64", "state": "BYTES", "passes": "BOOL"}
"""The names of what comes back, with their kinds; each has one value, or none where there is no score."""

_MOST_INPUTS = 16
_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
_NESTED: dict[int, Any] = {
    1: list[_Byte],
    2: list[list[_Byte]],
    3: list[list[list[_Byte]]],
    4: list[list[list[list[_Byte]]]],
}
Side = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class TensorError(ValueError):
    """The body is no request of the protocol for a frame."""


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None


class _Input(msgspec.Struct, frozen=True):
    name: str
    shape: tuple[Side, ...]
    datatype: str
    parameters: _Parameters = _Parameters()
    data: msgspec.Raw = msgspec.Raw()


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _Parameters = _Parameters()


class _Body(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    id: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    parameters: _Parameters = _Parameters()
    outputs: list[_Output] | None = None


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``pixels``: uint8 (H, W, 3) BGR or (H, W) gray. ``outputs``: names, and whether each is wanted as raw bytes."""

    pixels: Any
    id: str | None
    outputs: dict[str, bool]


def read_request(body: bytes, json_bytes: int | None, most_pixels: int) -> InferRequest:
    """The frame in a body. ``json_bytes``: how many of its bytes are JSON, where a header says so.

    Raises:
        TensorError: it is malformed, or no uint8 frame (1, H, W, C) or (H, W, C) with C of 1 or 3.
    """
    if json_bytes is not None and json_bytes > len(body):
        raise TensorError(f"the header says that {json_bytes} bytes are JSON, and the body has {len(body)}")
    head = body if json_bytes is None else body[:json_bytes]
    try:
        asked = msgspec.json.decode(head, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TensorError(f"the request is malformed: {error}") from None
    if len(asked.inputs) != 1:
        raise TensorError(f"expected one input, {INPUT!r}, found {len(asked.inputs)}")
    raw = b"" if json_bytes is None else body[json_bytes:]
    return InferRequest(pixels=_frame(asked.inputs[0], raw, most_pixels), id=asked.id, outputs=_wanted(asked))


def write_response(
    model: str, request: InferRequest, values: dict[str, list[Any]]
) -> tuple[bytes, dict[str, str], str]:
    """The body of an answer, its headers and its media type. ``values``: of each output."""
    outputs, raw = [], b""
    for name, is_binary in request.outputs.items():
        known: dict[str, Any] = {"name": name, "shape": [len(values[name])], "datatype": OUTPUTS[name]}
        if is_binary:
            data = b"".join(_packed(OUTPUTS[name], value) for value in values[name])
            raw += data
            outputs.append(known | {"parameters": {"binary_data_size": len(data)}})
        else:
            outputs.append(known | {"data": values[name]})
    answer: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    head = msgspec.json.encode(answer)
    if not any(request.outputs.values()):
        return head, {}, "application/json"
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}, "application/octet-stream"


def _wanted(asked: _Body) -> dict[str, bool]:
    by_default = bool(asked.parameters.binary_data_output)
    if not asked.outputs:
        return dict.fromkeys(OUTPUTS, by_default)
    unknown = [one.name for one in asked.outputs if one.name not in OUTPUTS]
    if unknown:
        raise TensorError(f"no output {unknown[0]!r}: there are {', '.join(OUTPUTS)}")
    return {
        one.name: by_default if one.parameters.binary_data is None else one.parameters.binary_data
        for one in asked.outputs
    }


def _frame(tensor: _Input, raw: bytes, most_pixels: int) -> NDArray[np.uint8]:
    import numpy as np

    if tensor.name != INPUT:
        raise TensorError(f"expected the input {INPUT!r}, found {tensor.name!r}")
    if tensor.datatype != "UINT8":
        raise TensorError(f"expected the datatype UINT8, found {tensor.datatype!r}: a scale is never guessed")
    shape = tensor.shape[1:] if len(tensor.shape) == 4 and tensor.shape[0] == 1 else tensor.shape
    if len(shape) != 3 or shape[2] not in {1, 3}:
        raise TensorError(f"expected the shape [1, H, W, C] with C of 1 or 3, found {list(tensor.shape)}")
    height, width, channels = shape
    if height * width > most_pixels:
        raise TensorError(f"the frame has {height} x {width} pixels, and at most {most_pixels} are taken here")
    size = height * width * channels
    data = _bytes_of(tensor, raw)
    if len(data) != size:
        raise TensorError(f"expected {size} values for the shape {list(tensor.shape)}, found {len(data)}")
    pixels = np.frombuffer(data, np.uint8).reshape(shape)
    return pixels[..., 0] if channels == 1 else pixels


def _bytes_of(tensor: _Input, raw: bytes) -> bytes:
    size = tensor.parameters.binary_data_size
    if size is not None:
        if bytes(tensor.data):
            raise TensorError("the input has both data and binary_data_size: expected one of them")
        if size != len(raw):
            raise TensorError(f"binary_data_size is {size}, and {len(raw)} bytes follow the JSON")
        return raw
    if raw:
        raise TensorError(f"{len(raw)} bytes follow the JSON, and no input has binary_data_size")
    return _listed(bytes(tensor.data), len(tensor.shape))


def _listed(data: bytes, depth: int) -> bytes:
    """Numbers in JSON, in one list or nested as the shape says."""
    if not data:
        raise TensorError("the input has neither data nor binary_data_size")
    problem = ""
    for levels in (1, depth):
        try:
            return bytes(_flat(msgspec.json.decode(data, type=_NESTED[levels]), levels))
        except (msgspec.DecodeError, RecursionError) as error:  # noqa: PERF203  two ways to write one tensor
            problem = str(error)
    raise TensorError(f"data: expected whole numbers from 0 to 255, flat or nested as the shape: {problem}")


def _flat(values: list[Any], levels: int) -> list[int]:
    for _ in range(levels - 1):
        values = [value for inner in values for value in inner]
    return values


def _packed(kind: str, value: Any) -> bytes:
    if kind == "BYTES":
        text = str(value).encode()
        return struct.pack("<I", len(text)) + text
    return struct.pack("<d", value) if kind == "FP64" else struct.pack("<?", value)
