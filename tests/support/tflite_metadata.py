"""Puts metadata into a TFLite file, as ``tflite_support`` does."""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["normalization", "with_metadata"]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def encode(fields: Sequence[object]) -> bytes:
    """A table of a FlatBuffer, and behind it what it points to.

    A field is ``bytes`` (written in its place, 4 at most), a text, a tuple (another table), a list of floats or of
    tuples (a vector), a ``memoryview`` (a vector of bytes), or ``None`` (left out).
    """
    layout = struct.pack(f"<{2 + len(fields)}H", 4 + 2 * len(fields), 4 + 4 * len(fields), *(
        0 if field is None else 4 + 4 * index for index, field in enumerate(fields)
    ))  # fmt: skip
    head = _padded(layout)
    start = len(head)
    own = 4 + 4 * len(fields)
    body, tail = struct.pack("<i", start), b""
    for index, field in enumerate(fields):
        if field is None or isinstance(field, bytes):
            body += (field or b"").ljust(4, b"\0")
            continue
        target = _padded_end(start + own + len(tail))
        tail += bytes(target - start - own - len(tail))
        data, entry = _encode_part(field)
        body += struct.pack("<I", target + entry - (start + 4 + 4 * index))
        tail += data
    return head + body + tail


def _padded_end(place: int) -> int:
    return place + -place % 16


def _entry(table: bytes) -> int:
    """Where a table begins behind its layout."""
    return int(_padded_end(struct.unpack_from("<H", table)[0]))


def _encode_part(field: object) -> tuple[bytes, int]:
    """The bytes, and where in them the part begins."""
    if isinstance(field, str):
        return struct.pack("<I", len(field)) + field.encode() + b"\0", 0
    if isinstance(field, memoryview):
        return _vector_of_bytes(bytes(field))
    if isinstance(field, list) and all(isinstance(number, float) for number in field):
        return struct.pack(f"<I{len(field)}f", len(field), *field), 0
    if isinstance(field, list):
        data = bytearray(_padded(bytes(4 + 4 * len(field))))
        struct.pack_into("<I", data, 0, len(field))
        for index, one in enumerate(field):
            table, place = encode(one), 4 + 4 * index
            data += bytes(-len(data) % 16)
            struct.pack_into("<I", data, place, len(data) + _entry(table) - place)
            data += table
        return bytes(data), 0
    assert isinstance(field, tuple)
    table = encode(field)
    return table, _entry(table)


def _vector_of_bytes(data: bytes) -> tuple[bytes, int]:
    """Begins 4 bytes before a multiple of 16, as what is inside is a FlatBuffer of its own."""
    return bytes(12) + struct.pack("<I", len(data)) + data, 12


def normalization(mean: Sequence[float], std: Sequence[float]) -> bytes:
    """Metadata of a model with one image input: a ``ModelMetadata`` with these ``NormalizationOptions``."""
    unit = (b"\x01", (list(map(float, mean)), list(map(float, std))))
    table = encode(("name", None, None, [("graph", None, [("image", None, None, None, [unit])])]))
    return struct.pack("<I4s8x", 16 + _entry(table), b"M001") + table


def with_metadata(model: bytes, metadata: bytes) -> bytes:
    """The model's file with the metadata in a buffer of its own, behind those that it has."""
    start = struct.unpack_from("<I", model)[0]
    layout = start - struct.unpack_from("<i", model, start)[0]
    count = (struct.unpack_from("<H", model, layout)[0] - 4) // 2
    offsets = [*struct.unpack_from(f"<{count}H", model, layout + 4), *[0] * 8][:8]

    def old(number: int) -> int:
        place: int = start + offsets[number]
        return place + int(struct.unpack_from("<I", model, place)[0])

    buffers = old(4)
    (known,) = struct.unpack_from("<I", model, buffers)
    places = [buffers + 4 + 4 * index for index in range(known)]
    targets = [place + struct.unpack_from("<I", model, place)[0] for place in places]

    size = _padded_end(len(metadata) + 4096)  # more than the new head takes; what is left of it stays empty
    new = bytearray(size)
    root, vector, entry, extra = 64, 256, 256 + 4 * (known + 2), 0
    entry = _padded_end(entry)
    described = encode(("TFLITE_METADATA", struct.pack("<I", known)))
    extra = _padded_end(entry + 16 + len(described))
    held = encode((memoryview(metadata),))
    assert extra + len(held) <= size
    struct.pack_into("<I4s", new, 0, root, b"TFL3")
    struct.pack_into("<10H", new, 32, 20, 36, *(4 + 4 * n if n in (0, 4, 6) or offsets[n] else 0 for n in range(8)))
    struct.pack_into("<i", new, root, root - 32)
    new[root + 4 : root + 8] = model[start + offsets[0] : start + offsets[0] + 4]
    for number in (1, 2, 3, 7):
        place = root + 4 + 4 * number
        struct.pack_into("<I", new, place, size + old(number) - place if offsets[number] else 0)
    struct.pack_into("<I", new, root + 20, vector - (root + 20))
    struct.pack_into("<I", new, vector, known + 1)
    for index, target in enumerate([*(size + one for one in targets), extra + _entry(held)]):
        struct.pack_into("<I", new, vector + 4 + 4 * index, target - (vector + 4 + 4 * index))
    struct.pack_into("<I", new, root + 28, entry - (root + 28))
    struct.pack_into("<II", new, entry, 1, 16 + _entry(described) - 4)
    new[entry + 16 : entry + 16 + len(described)] = described
    new[extra : extra + len(held)] = held
    return bytes(new) + model
