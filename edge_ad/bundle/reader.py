"""Reads a bundle strictly: no file is used before its hash was checked."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TypeVar

import msgspec

from edge_ad.bundle.clip import Clip
from edge_ad.bundle.records import (
    CALIBRATION_FORMAT,
    FORMAT,
    CalibrationRecord,
    FileEntry,
    Geometry,
    Manifest,
    Variant,
)
from edge_ad.bundle.seal import broken_seal
from edge_ad.bundle.store import MissingFileError, Store, check_name, open_store
from edge_ad.engines.base import Artefact
from edge_ad.engines.processor import Processor, this_processor
from edge_ad.errors import BundleFormatError, BundleIntegrityError, CalibrationError, InputError

__all__ = ["MANIFEST", "Bundle", "calibration_name", "hash_geometry"]

MANIFEST = "manifest.json"

_R = TypeVar("_R", Manifest, CalibrationRecord)


class _Header(msgspec.Struct):
    format: str
    seal: str


class Bundle:
    """An opened bundle. The manifest is checked; the other files are checked when they are read."""

    def __init__(
        self, path: Path, store: Store, manifest: Manifest, data: bytes, processor: Processor | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.manifest_bytes = data
        """What a signature is about, as it was read: the file may be changed meanwhile."""
        self._store = store
        self._processor = processor

    @classmethod
    def open(cls, path: str | Path, processor: Processor | None = None) -> Bundle:
        """Opens the bundle at ``path``, a folder or a zip file.

        ``processor``: the CPU by which a bundle for several kinds of them chooses its variant; ``None``: this one.

        Raises:
            InputError: nothing is there.
            BundleFormatError: not a bundle, a newer format, a missing, unknown or wrong field.
            BundleIntegrityError: the manifest was changed or names a file outside the bundle.
        """
        path = Path(path)
        store = open_store(path)
        try:
            data = store.read(MANIFEST)
        except BundleIntegrityError as error:
            raise BundleFormatError(f"{path} is no bundle: {error}") from None
        manifest = _parse(data, Manifest, FORMAT, f"{MANIFEST} of {path}")
        _check_manifest(manifest)
        return cls(path, store, manifest, data, processor)

    def variant(self, variant_id: str | None = None, station: str | None = None) -> Variant:
        """The variant of that id. ``None``: the first of :meth:`choices` for the group ``station``."""
        if variant_id is None and self.target is not None:
            return self.choices(station)[0]
        wanted = variant_id or self.manifest.default_variant
        for variant in self.manifest.variants:
            if variant.id == wanted:
                return variant
        ids = ", ".join(v.id for v in self.manifest.variants)
        raise InputError(f"the bundle {self.path} has no variant {wanted!r}: choose one of {ids}")

    @property
    def target(self) -> str | None:
        """The kind of CPU whose variants this device takes. ``None``: the bundle was made for one kind, or
        for none that this device is of."""
        kinds = (self._processor or this_processor()).kinds if self.manifest.orders else ()
        return next((kind for kind in kinds if kind in self.manifest.orders), None)

    def choices(self, station: str | None = None) -> tuple[Variant, ...]:
        """The variants that may be used where none is named, the first choice first.

        Of a bundle for several kinds of CPU those that are meant for this device's and are calibrated for the group
        ``station`` (``None``: for every group of the first one that is calibrated). If none is, only the first one that
        is meant for it. Of every other bundle: the default one, and then what may take its place. These are the
        calibrated ones that export shipped, those that were faster at export first, and if the default one is not
        calibrated, nothing takes its place.

        Raises:
            CalibrationError: a calibration was made for something else, or it was changed.
        """
        target = self.target
        if target is None:
            return (self.variant(self.manifest.default_variant), *self._substitutes(station))
        order = [self.variant(one) for one in self.manifest.orders[target]]
        groups = {station} if station else next(filter(None, map(self._groups, order)), None)
        able = [one for one in order if groups and groups <= self._groups(one)]
        return tuple(able or order[:1])

    def to_calibrate(self) -> tuple[Variant, ...]:
        """What a calibration covers if no variant is named: of a bundle for several kinds of CPU what each of them
        needs (:meth:`Manifest.needed_for`), of every other bundle the default one."""
        found = {one.id: one for kind in self.manifest.orders for one in self.manifest.needed_for(kind)}
        return tuple(found.values()) or (self.variant(self.manifest.default_variant),)

    def _substitutes(self, station: str | None) -> tuple[Variant, ...]:
        default = self.variant(self.manifest.default_variant)
        groups = self._groups(default) if station is None else {station} & self._groups(default)
        others = (one for one in self.manifest.variants if one != default and self.manifest.rejected(one.id) is None)
        able = (one for one in others if groups and groups <= self._groups(one))
        return tuple(sorted(able, key=lambda one: one.fidelity.latency_ms))

    def _groups(self, variant: Variant) -> set[str]:
        record = self.calibration(variant)
        return set() if record is None else set(record.stations)

    def read(self, name: str) -> bytes:
        """One file of the bundle, its SHA-256 checked."""
        data = self._store.read(name, self._entry(name).bytes)
        found = hashlib.sha256(data).hexdigest()
        if found != self._entry(name).sha256:
            raise self._changed(name, found)
        return data

    def companion(self, name: str) -> bytes | None:
        """The bytes of a file that the manifest does not list, such as a signature; ``None`` where it is not there.

        Nothing vouches for them but what is in them.

        Raises:
            BundleIntegrityError: it is there and cannot be read, or is a link that leads outside the bundle.
        """
        try:
            return self._store.read(name)
        except MissingFileError:
            return None

    def artefact(self, variant: Variant) -> Artefact:
        """The variant's model files, checked: a path where they lie on disk, else bytes."""
        return self._graph(variant, variant.model)

    def extractor(self, variant: Variant) -> Artefact | None:
        """The files of a two-stage variant's extractor, as :meth:`artefact`; ``None`` where it has none."""
        return None if variant.extractor is None else self._graph(variant, variant.extractor)

    def _graph(self, variant: Variant, model: str) -> Artefact:
        weights = f"{model.rpartition('.')[0]}.bin"
        path = self._store.file(model)
        digest = f"{model} {self.artefact_sha256(variant)}"
        if path is None:
            return Artefact(self.read(model), self.read(weights) if weights in self.manifest.files else None, digest)
        for name in self.artefact_files(variant):
            self.check_file(name)
        return Artefact(path, digest=digest)

    def artefact_files(self, variant: Variant) -> tuple[str, ...]:
        """The names of the files that make up the variant's model and its extractor, sorted."""
        folder = variant.model.rpartition("/")[0] + "/"
        return tuple(sorted(name for name in self.manifest.files if name.startswith(folder)))

    def artefact_sha256(self, variant: Variant) -> str:
        """What a calibration is bound to: the SHA-256 over names and hashes of the model's files."""
        lines = (f"{name} {self._entry(name).sha256}\n" for name in self.artefact_files(variant))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def geometry_sha256(self) -> str:
        """The second binding of a calibration: SHA-256 over geometry record, ignore mask and clip record."""
        ignore = self.manifest.geometry.ignore
        mask = None if ignore is None else self._entry(ignore)
        return hash_geometry(self.manifest.geometry, mask, self.manifest.clip)

    def calibration(self, variant: Variant) -> CalibrationRecord | None:
        """The variant's calibration, ``None`` where it has not been calibrated.

        Raises:
            CalibrationError: it was made for another artefact or geometry, or it was changed.
        """
        name = calibration_name(variant)
        data = self.companion(name)
        return None if data is None else self.read_record(data, variant, name)

    def read_record(self, data: bytes, variant: Variant, name: str) -> CalibrationRecord:
        """A calibration of the variant from the bytes of the file ``name``.

        Raises:
            CalibrationError: it was made for another artefact or geometry, or it was changed.
        """
        record = _parse(data, CalibrationRecord, CALIBRATION_FORMAT, f"{name} of {self.path}")
        for what, found, expected in (
            ("variant", record.variant, variant.id),
            ("artefact", record.artefact_sha256, self.artefact_sha256(variant)),
            ("geometry", record.geometry_sha256, self.geometry_sha256),
        ):
            if found != expected:
                raise CalibrationError(
                    f"{name} was made for another {what}: expected {expected[:16]}, found {found[:16]}; "
                    "run  edge-ad calibrate  again"
                )
        return record

    def check_file(self, name: str) -> None:
        """Raises :class:`BundleIntegrityError` unless the file is there and unchanged."""
        path = self._store.file(name)
        if path is None:
            self.read(name)
            return
        expected, found = self._entry(name).bytes, hashlib.sha256()
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise BundleIntegrityError(f"{name} of {self.path} is no file: copy the bundle again")
            if status.st_size != expected:
                raise BundleIntegrityError(
                    f"{name} of {self.path} was changed: expected {expected} bytes, found {status.st_size}; "
                    "copy the bundle again or export it anew"
                )
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
        except OSError as error:
            raise BundleIntegrityError(f"{name} of {self.path} cannot be read: {error.strerror}") from error
        if found.hexdigest() != self._entry(name).sha256:
            raise self._changed(name, found.hexdigest())

    def _entry(self, name: str) -> FileEntry:
        try:
            return self.manifest.files[name]
        except KeyError:
            raise BundleIntegrityError(f"{name} is not listed in the manifest of {self.path}") from None

    def _changed(self, name: str, found: str) -> BundleIntegrityError:
        expected = self._entry(name).sha256
        return BundleIntegrityError(
            f"{name} of {self.path} was changed: expected SHA-256 {expected[:16]}…, found {found[:16]}…; "
            "copy the bundle again or export it anew"
        )


def calibration_name(variant: Variant) -> str:
    """Where the variant's calibration lies in the bundle."""
    return f"{variant.model.rpartition('/')[0]}/calibration.json"


def hash_geometry(geometry: Geometry, mask: FileEntry | None, clip: Clip | None = None) -> str:
    """SHA-256 over the geometry record, the content of its ignore mask and, of a model for clips, its record."""
    digest = hashlib.sha256(msgspec.json.encode(geometry))
    digest.update((mask.sha256 if mask else "").encode())
    digest.update(b"" if clip is None else msgspec.json.encode(clip))
    return digest.hexdigest()


def _parse(data: bytes, record: type[_R], known: str, what: str) -> _R:
    try:
        header = msgspec.json.decode(data, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleFormatError(f"{what} is damaged or no such file: {error}") from None
    if header.format != known:
        raise BundleFormatError(
            f"{what} has the format {header.format!r}, expected {known!r}: "
            "update edge-ad on this machine, or export the bundle with this version"
        )
    if problem := broken_seal(data, header.seal):
        raise BundleIntegrityError(f"{what} was changed: {problem}")
    try:
        return msgspec.json.decode(data, type=record)
    except msgspec.DecodeError as error:
        raise BundleFormatError(f"{what} is wrong: {error}") from None


def _check_manifest(manifest: Manifest) -> None:
    """Checks what types cannot express: names stay inside the bundle, and every named file is listed."""
    for name in manifest.files:
        check_name(name)
    named = {variant.model: f"variant {variant.id}" for variant in manifest.variants}
    named |= {v.extractor: f"extractor of variant {v.id}" for v in manifest.variants if v.extractor is not None}
    named |= dict.fromkeys(manifest.golden.frames, "golden frames")
    named |= dict.fromkeys(manifest.golden.expected.values(), "golden expectations")
    if manifest.geometry.ignore is not None:
        named[manifest.geometry.ignore] = "ignore mask"
    for name, what in named.items():
        check_name(name)
        if name not in manifest.files:
            raise BundleFormatError(f"the manifest names {name} ({what}) but lists no hash for it")
    ids = [variant.id for variant in manifest.variants]
    if len(set(ids)) != len(ids):
        raise BundleFormatError(f"the manifest names a variant twice: {', '.join(ids)}")
    for variant in manifest.variants:
        if variant.model.rpartition("/")[0] != f"variants/{variant.id}":
            raise BundleFormatError(
                f"variant {variant.id} keeps its model at {variant.model}, expected variants/{variant.id}/"
            )
        _check_extractor(manifest, variant)
        if variant.id not in manifest.golden.expected:
            raise BundleFormatError(f"the manifest has no golden scores for variant {variant.id}")
    if manifest.clip is not None and manifest.geometry.tiles is not None:
        raise BundleFormatError("the manifest has both clips and tiles: a model of clips takes whole pictures")
    if manifest.clip is not None and manifest.geometry.level == "object":
        raise BundleFormatError("the manifest has both clips and objects: a model of clips takes whole pictures")
    if manifest.clip is not None and manifest.clip.snippet > 1 and not manifest.variants[0].extractor:
        raise BundleFormatError("the manifest has snippets of frames and no extractor that takes them")
    _check_default(manifest)


def _check_default(manifest: Manifest) -> None:
    default, ids = manifest.default_variant, [variant.id for variant in manifest.variants]
    for kind, order in manifest.orders.items():
        wrong = [one for one in order if one not in ids or manifest.rejected(one) is not None]
        if wrong or not order or len(set(order)) != len(order):
            raise BundleFormatError(
                f"the manifest's variants for {kind} are {', '.join(order) or 'none'}: expected one or more of "
                f"{', '.join(ids)} that export did not reject, each once"
            )
    if default not in ids:
        raise BundleFormatError(f"the default variant {default!r} is none of {', '.join(ids)}")
    if (reason := manifest.rejected(default)) is not None:
        raise BundleFormatError(f"the default variant {default} was rejected at export: {reason}")


def _check_extractor(manifest: Manifest, variant: Variant) -> None:
    if variant.extractor is None:
        if any(other.extractor for other in manifest.variants):
            raise BundleFormatError(f"variant {variant.id} has no extractor and others have one: expected all or none")
        return
    if variant.extractor.rpartition("/")[0] != f"variants/{variant.id}" or variant.extractor == variant.model:
        raise BundleFormatError(
            f"variant {variant.id} keeps its extractor at {variant.extractor}, expected a file of its own in "
            f"variants/{variant.id}/"
        )
    if manifest.clip is None or manifest.clip.input != "features":
        raise BundleFormatError(f"variant {variant.id} has an extractor, and its model takes no clips of features")
