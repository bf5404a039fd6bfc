"""Where a bundle's bytes lie: a folder, or one zip file for transport."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from edge_ad.errors import BundleFormatError, BundleIntegrityError, InputError

__all__ = ["FolderStore", "Store", "ZipStore", "check_name", "open_store"]


class Store(Protocol):
    """Reads files by their name in the bundle, with forward slashes."""

    def read(self, name: str) -> bytes: ...

    def file(self, name: str) -> Path | None:
        """The file on disk, or ``None`` where the bundle is one zip file."""
        ...


def check_name(name: str) -> None:
    """Refuses a name that could leave the bundle."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or path.as_posix() != name:
        raise BundleIntegrityError(
            f"the manifest names a file outside the bundle: {name!r}; expected a relative path with forward slashes"
        )


class FolderStore:
    """A bundle as a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def file(self, name: str) -> Path:
        check_name(name)
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise BundleIntegrityError(f"{name} is a link that leads outside the bundle {self._root}")
        return path

    def read(self, name: str) -> bytes:
        try:
            return self.file(name).read_bytes()
        except FileNotFoundError:
            raise BundleIntegrityError(f"{name} is missing from the bundle {self._root}") from None
        except OSError as error:
            raise BundleIntegrityError(f"{name} of the bundle {self._root} cannot be read: {error.strerror}") from error


class ZipStore:
    """A bundle as one zip file. Its bytes are read into memory; nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def file(self, name: str) -> None:
        check_name(name)

    def read(self, name: str) -> bytes:
        check_name(name)
        try:
            with zipfile.ZipFile(self._path) as archive:
                return archive.read(name)
        except KeyError:
            raise BundleIntegrityError(f"{name} is missing from the bundle {self._path}") from None
        except (zipfile.BadZipFile, OSError, EOFError) as error:
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
