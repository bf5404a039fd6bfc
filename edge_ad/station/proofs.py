"""The file of proofs: what challenge parts and replayed challenge sets have shown, a JSON object a line.

Lines are only ever appended.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import InputError
from edge_ad.files import append_synced, output_error, sync_folder
from edge_ad.update.replaying import ProvedPart

__all__ = ["Proof", "ProofOutcome", "ProofSettings", "add_proof", "read_proofs"]

_MOST_BYTES = 16 << 20


class ProofSettings(Record, frozen=True, kw_only=True):
    """``[proof]``: results of challenge parts and challenge sets are appended to ``file``."""

    file: str


class ProofOutcome(str, Enum):
    """How a proof ended. Only the first three say something about the station."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    BEGUN = "begun"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    INTERRUPTED = "interrupted"


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. ``at``: seconds since the epoch, UTC. ``kind``: ``parts`` were put in, or pictures replayed.

    ``why``: what has changed since the proof before. ``identity``: what was proved, a digest for each name.
    """

    at: float
    kind: str
    recipe: str
    outcome: ProofOutcome
    who: str | None = None
    why: tuple[str, ...] = ()
    detail: str | None = None
    software: str = ""
    identity: dict[str, str] = {}
    parts: tuple[ProvedPart, ...] = ()


def read_proofs(path: Path) -> tuple[Proof, ...]:
    """The lines of the file, the oldest first; of a file of more than 16 MiB its end. A damaged line is left out.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MOST_BYTES))
            lines = file.read().split(b"\n")[0 if size <= _MOST_BYTES else 1 :]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{path}: the proofs cannot be read: {error.strerror}") from error
    return tuple(proof for line in lines if (proof := _read(line)) is not None)


def _read(line: bytes) -> Proof | None:
    """A line; ``None`` where a power cut has left half of it."""
    try:
        return msgspec.json.decode(line, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def add_proof(path: Path, proof: Proof) -> None:
    """Appends a line, down to the disk. Half a line that a power cut has left stays one of its own.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        is_new = not path.exists()
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(file).st_size
            is_whole = size == 0 or os.pread(file, 1, size - 1) == b"\n"
            append_synced(file, (b"" if is_whole else b"\n") + msgspec.json.encode(proof) + b"\n")
        finally:
            os.close(file)
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
