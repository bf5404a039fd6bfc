"""Writes bundles: whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import TracebackType

import msgspec

from edge_ad.bundle.reader import MANIFEST, Bundle, calibration_name
from edge_ad.bundle.records import FileEntry, Manifest
from edge_ad.bundle.seal import sealed_json
from edge_ad.bundle.signature import read_signature
from edge_ad.errors import InputError, OutputError
from edge_ad.files import atomic_write, check_output, check_space, output_error, part_file, sync_folder

__all__ = ["BundleWriter", "pack", "unpack"]


class BundleWriter:
    """Builds a bundle in a staging folder beside its target and renames it into place at :meth:`commit`.

    A context manager. Left without a commit, by an error or Ctrl-C, it removes the staging folder and leaves an
    existing target as it was.

    Raises:
        InputError: the target exists and ``replace`` is not set, or is something else than a bundle.
        OutputError: the staging folder cannot be made.
    """

    def __init__(self, target: Path, *, replace: bool = False) -> None:
        self._target = target.absolute()
        if self._target.exists():
            if not (self._target / MANIFEST).is_file():
                raise InputError(f"{target} exists and is no bundle: it is not replaced; choose another place")
            if not replace:
                raise InputError(f"{target} exists already: choose another place or say --force to replace it")
        # Innermost first; they go again where no bundle came into them.
        self._made = [folder for folder in self._target.parents if not folder.exists()]
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self.root = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=self._target.parent))
        except OSError as error:
            raise output_error(target, error) from error

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        with contextlib.suppress(OSError):  # a folder that is not empty stays
            for folder in self._made:
                folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise output_error(self._target, error) from error

    def commit(self, manifest: Manifest) -> Bundle:
        """Hashes every file below :attr:`root`, seals the manifest and renames the folder into place.

        ``files`` and ``seal`` of the manifest given are filled in here.
        """
        names = sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        files = {name: _entry(self.root / name) for name in names}
        return self.commit_sealed(sealed_json(msgspec.structs.replace(manifest, files=files)))

    def commit_sealed(self, manifest: bytes) -> Bundle:
        """As :meth:`commit`, with a manifest that is finished, to the byte: what it lists was written as it says."""
        atomic_write(self.root / MANIFEST, manifest)
        Bundle.open(self.root)  # the reader must take what the writer wrote
        self.root.chmod(0o755)  # mkdtemp made it private
        _swap(self.root, self._target)
        return Bundle.open(self._target)


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        data = file.read()
        os.fsync(file.fileno())
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _swap(staged: Path, target: Path) -> None:
    """Renames ``staged`` to ``target``; what was there before goes only when the new one stands."""
    old = staged.with_name(staged.name + ".old")
    had_old = target.exists()
    if had_old:
        target.replace(old)
    try:
        staged.replace(target)
    except BaseException:
        if had_old:
            old.replace(target)
        raise
    sync_folder(target.parent)
    if had_old:
        shutil.rmtree(old, ignore_errors=True)


def pack(bundle: Bundle, target: Path) -> Path:
    """Writes the bundle as one zip file, without compression."""
    if not bundle.path.is_dir():
        raise InputError(f"{bundle.path} is packed already")
    if target.exists():
        raise InputError(f"{target} exists already: choose another place")
    check_output(target, "-o")
    check_space(target.parent, sum(entry.bytes for entry in bundle.manifest.files.values()), str(target))
    for name in bundle.manifest.files:
        bundle.check_file(name)
    records = {n: data for v in bundle.manifest.variants if (data := bundle.companion(n := calibration_name(v)))}
    partial = part_file(target)
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(MANIFEST, bundle.manifest_bytes)
            for name in bundle.manifest.files:
                archive.write(bundle.path / name, name)
            for name, data in (records | read_signature(bundle)).items():
                archive.writestr(name, data)
        Bundle.open(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


def unpack(bundle: Bundle, target: Path, *, replace: bool = False) -> Bundle:
    """Writes a packed bundle as a folder, checking every file on the way. ``replace``: a bundle at ``target`` gives
    way once the new one is complete."""
    if bundle.path.is_dir():
        raise InputError(f"{bundle.path} is a folder already")
    check_space(target, sum(entry.bytes for entry in bundle.manifest.files.values()))
    with BundleWriter(target, replace=replace) as writer:
        records = [(calibration_name(v), r) for v in bundle.manifest.variants if (r := bundle.calibration(v))]
        files = {name: sealed_json(record) for name, record in records} | read_signature(bundle)
        for name in (*bundle.manifest.files, *files):
            path = writer.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name] if name in files else bundle.read(name))
            _sync(path)
        return writer.commit_sealed(bundle.manifest_bytes)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
