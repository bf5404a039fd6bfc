"""Where a bundle's bytes lie: a folder, or one zip file for transport."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from edge_ad.errors import BundleFormatError, BundleIntegrityError, InputError
from edge_ad.files import read_small

__all__ = ["FolderStore", "MissingFileError", "Store", "ZipStore", "check_name", "open_store"]

_MOST_BYTES = 256 << 20
"""Of a file whose size the manifest does not say: the manifest itself, a calibration, a signature."""


class MissingFileError(BundleIntegrityError):
    """A file is not there at all."""


class Store(Protocol):
    """Reads files by their name in the bundle, with forward slashes."""

    def read(self, name: str, most_bytes: int = _MOST_BYTES) -> bytes:
        """The whole file.

        Raises:
            MissingFileError: it is not there.
            BundleIntegrityError: it is no file, larger than ``most_bytes``, damaged, or outside the bundle.
        """
        ...

    def file(self, name: str) -> Path | None:
        """The file on disk, or ``None`` where the bundle is one zip file."""
        ...


def check_name(name: str) -> None:
    """Refuses a name that could leave the bundle."""
    path = PurePosixPath(name)
    if (
        not name
        or path.is_absolute()
        or ".." in path.parts
        or any(one in name for one in "\\:\0")
        or path.as_posix() != name
    ):
        raise BundleIntegrityError(
            f"the manifest names a file outside the bundle: {name!r}; expected a relative path with forward slashes"
        )


class FolderStore:
    """A bundle as a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def file(self, name: str) -> Path:
        check_name(name)
        try:
            path = (self._root / name).resolve()
        except (OSError, RuntimeError):  # RuntimeError: up to Python 3.12
            raise BundleIntegrityError(f"{name} of the bundle {self._root} is a link that leads to itself") from None
        if not path.is_relative_to(self._root):
            raise BundleIntegrityError(f"{name} is a link that leads outside the bundle {self._root}")
        return path

    def read(self, name: str, most_bytes: int = _MOST_BYTES) -> bytes:
        try:
            return read_small(self.file(name), most_bytes)
        except FileNotFoundError:
            raise MissingFileError(f"{name} is missing from the bundle {self._root}") from None
        except OSError as error:
            raise BundleIntegrityError(f"{name} of the bundle {self._root} cannot be read: {error.strerror}") from error


class ZipStore:
    """A bundle as one zip file. Its bytes are read into memory; nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def file(self, name: str) -> None:
        check_name(name)

    def read(self, name: str, most_bytes: int = _MOST_BYTES) -> bytes:
        check_name(name)
        try:
            with zipfile.ZipFile(self._path) as archive:
                size = archive.getinfo(name).file_size
                if size > most_bytes:
                    raise OSError(f"expected at most {most_bytes} bytes, found {size}")
                return archive.read(name)
        except KeyError:
            raise MissingFileError(f"{name} is missing from the bundle {self._path}") from None
        # RuntimeError: encrypted, or compressed in a way that Python does not know.
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError) as error:
            raise BundleIntegrityError(f"{name} of the bundle {self._path} cannot be read: {error}") from error


def open_store(path: Path) -> Store:
    """The store at ``path``. Raises :class:`InputError` when nothing is there."""
    if path.is_dir():
        return FolderStore(path)
    if not path.exists():
        raise InputError(f"no bundle at {path}: expected a folder or a zip file written by edge-ad export")
    if not zipfile.is_zipfile(path):
        raise BundleFormatError(f"{path} is no bundle: expected a folder or a zip file with a manifest.json")
    return ZipStore(path)
