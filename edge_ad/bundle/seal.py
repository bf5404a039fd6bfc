"""A seal: a JSON file holds the hash of its own bytes.

The field ``seal`` of a sealed file is the SHA-256 of that very file with the seal's 64 hexadecimal digits set to
zero. So one changed byte shows, one rename replaces file and seal together, and the file stays plain JSON that
any other program can read. It detects damage and careless edits; it is no signature.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

__all__ = ["UNSEALED", "broken_seal", "sealed_json"]

UNSEALED = "0" * 64

_S = TypeVar("_S", bound=msgspec.Struct)


def sealed_json(record: _S) -> bytes:
    """The record as indented JSON with its field ``seal`` filled in."""
    blank = msgspec.structs.replace(record, seal=UNSEALED)
    data = msgspec.json.format(msgspec.json.encode(blank), indent=1) + b"\n"
    return data.replace(UNSEALED.encode(), hashlib.sha256(data).hexdigest().encode(), 1)


def broken_seal(data: bytes, seal: str) -> str | None:
    """What is wrong with the seal of ``data``, or ``None`` when it holds."""
    digits = seal.encode()
    if data.count(digits) != 1:
        return f"its seal stands {data.count(digits)} times in it, expected once"
    found = hashlib.sha256(data.replace(digits, UNSEALED.encode())).hexdigest()
    if found != seal:
        return f"its SHA-256 is {found[:16]}…, its seal says {seal[:16]}…"
    return None
