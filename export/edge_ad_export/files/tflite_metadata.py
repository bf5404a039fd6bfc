"""Mean, scale and colours in a TFLite file's metadata, which OpenVINO's converter drops.

The file is a FlatBuffer of TensorFlow's ``schema.fbs``; in one of its buffers lies another, of ``metadata_schema.fbs``.
Of both only the few fields on the way to ``NormalizationOptions`` are read; their numbers are those in the schemas.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["tflite_info"]

_NAME = b"TFLITE_METADATA"
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = 0, 1, 0
_SUBGRAPHS, _INPUTS, _PROCESS_UNITS = 3, 2, 4
_OPTIONS_TYPE, _OPTIONS, _NORMALIZATION = 0, 1, 1
_MEAN, _STD = 0, 1
_VALUES_MAX = 4096


@dataclass(frozen=True)
class _Table:
    """A table of a FlatBuffer that begins at ``start``."""

    data: bytes
    start: int

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, _unsigned(data, 0))

    def place(self, number: int) -> int | None:
        """Where the field lies, ``None`` where the table does not have it."""
        layout = self.start - struct.unpack_from("<i", self.data, self.start)[0]
        size = struct.unpack_from("<H", self.data, layout)[0]
        if 6 + 2 * number > size:
            return None
        offset = struct.unpack_from("<H", self.data, layout + 4 + 2 * number)[0]
        return self.start + offset if offset else None

    def target(self, number: int) -> int | None:
        """Where the table or vector lies that the field points to."""
        place = self.place(number)
        return None if place is None else place + _unsigned(self.data, place)

    def table(self, number: int) -> _Table | None:
        target = self.target(number)
        return None if target is None else _Table(self.data, target)

    def tables(self, number: int) -> list[_Table]:
        """A vector of tables."""
        target = self.target(number)
        if target is None:
            return []
        places = (target + 4 + 4 * index for index in range(min(_unsigned(self.data, target), _VALUES_MAX)))
        return [_Table(self.data, place + _unsigned(self.data, place)) for place in places]

    def contents(self, number: int) -> bytes:
        """A vector of bytes, or a text."""
        target = self.target(number)
        return b"" if target is None else self.data[target + 4 : target + 4 + _unsigned(self.data, target)]

    def floats(self, number: int) -> tuple[float, ...]:
        target = self.target(number)
        if target is None:
            return ()
        return struct.unpack_from(f"<{min(_unsigned(self.data, target), _VALUES_MAX)}f", self.data, target + 4)

    def whole(self, number: int, form: str) -> int:
        place = self.place(number)
        return 0 if place is None else int(struct.unpack_from(form, self.data, place)[0])


def _unsigned(data: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])


def tflite_info(path: Path) -> Mapping[str, str]:
    """``mean_values`` and ``scale_values`` of pixels from 0 to 255, as ``model_info`` has them; empty without any."""
    try:
        metadata = _metadata(_Table.root(path.read_bytes()))
        units = [] if metadata is None else _process_units(metadata)
        options = next(
            (unit.table(_OPTIONS) for unit in units if unit.whole(_OPTIONS_TYPE, "<B") == _NORMALIZATION), None
        )
        found = () if options is None else (options.floats(_MEAN), options.floats(_STD))
    except (struct.error, OSError):  # damaged: the converter says so
        return {}
    names = ("mean_values", "scale_values")
    return {name: " ".join(map(str, numbers)) for name, numbers in zip(names, found, strict=False) if numbers}


def _metadata(model: _Table) -> _Table | None:
    for entry in model.tables(_MODEL_METADATA):
        if entry.contents(_METADATA_NAME) == _NAME:
            buffer = model.tables(_MODEL_BUFFERS)[entry.whole(_METADATA_BUFFER, "<I") :][:1]
            data = buffer[0].contents(_BUFFER_DATA) if buffer else b""
            return _Table.root(data) if data else None
    return None


def _process_units(metadata: _Table) -> list[_Table]:
    """Of the first input of the first graph: an image model has one."""
    graphs = metadata.tables(_SUBGRAPHS)
    inputs = graphs[0].tables(_INPUTS) if graphs else []
    return inputs[0].tables(_PROCESS_UNITS) if inputs else []
