"""Compiled models that are kept in a folder, so that an engine need not compile them again at the next start.

An engine opens a damaged compiled model without a word. So each is stored with its SHA-256, and is used only where the
golden frames are scored next (:meth:`edge_ad.detector.Detector.open`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import EdgeAdError, one_line
from edge_ad.files import atomic_write

__all__ = ["CompiledModels"]

_SUFFIX = ".compiled"
_MOST_BYTES = 512 << 20
# The magic number and the SHA-256 take less; the model begins where any number may lie.
_HEADER_BYTES = 64
_MAGIC = b"edge-ad compiled 1\n"


class CompiledModels:
    """A folder of compiled models, of which those that were used last stay: at most ``most_bytes`` of them."""

    def __init__(self, folder: Path, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def file(self, bound_to: Mapping[str, str]) -> Path:
        """Where a model is kept that was compiled from, by and for what ``bound_to`` says."""
        text = "\n".join(f"{key}={value}" for key, value in sorted(bound_to.items()))
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}{_SUFFIX}"

    def load(self, file: Path) -> tuple[NDArray[np.uint8] | None, str | None]:
        """The model, uint8 ``(n,)``, ``None`` if there is none that can be used; and a sentence if one is damaged."""
        try:
            if self._folder.stat().st_mode & stat.S_IWOTH:
                return None, _not_used(file, "everyone may write to its folder")
            data = np.fromfile(file, np.uint8)
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except OSError as error:
            return None, _not_used(file, error.strerror or one_line(error))
        model = data[_HEADER_BYTES:]
        if data[:_HEADER_BYTES].tobytes() != _header(model.data):
            return None, _not_used(file, "it is damaged")
        with contextlib.suppress(OSError):
            os.utime(file)
        return model, None

    def store(self, file: Path, model: bytes) -> str | None:
        """Keeps a model and gives up the longest unused ones. Returns a sentence if it cannot be kept."""
        if _HEADER_BYTES + len(model) > self._most_bytes:
            return f"the compiled model is not kept: it is larger than the {self._most_bytes >> 20} MiB for all"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_write(file, _header(model) + model)
            self._give_up_oldest()
        except (OSError, EdgeAdError) as error:
            return f"the compiled model is not kept: {one_line(error)}"
        return None

    def _give_up_oldest(self) -> None:
        kept = [(one.stat(), one) for one in self._folder.glob(f"*{_SUFFIX}")]
        room = self._most_bytes
        for status, one in sorted(kept, key=lambda pair: pair[0].st_mtime_ns, reverse=True):
            room -= status.st_size
            if room < 0:
                one.unlink(missing_ok=True)


def _header(model: bytes | memoryview) -> bytes:
    return (_MAGIC + hashlib.sha256(model).digest()).ljust(_HEADER_BYTES, b"\0")


def _not_used(file: Path, why: str) -> str:
    return f"the compiled model {file} is not used, because {why}: the model is compiled again"
