"""Bundles that a device makes of the one in force: the same models with other thresholds, or with other regions."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from edge_ad.bundle import MANIFEST, Bundle, BundleWriter, calibration_name
from edge_ad.bundle.records import FrameSize, Golden, Roi, Tiles
from edge_ad.bundle.signature import read_signature
from edge_ad.errors import InputError
from edge_ad.scoring.golden import Expectation
from edge_ad.scoring.opening import open_scorer
from edge_ad.teaching.session import Regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.bundle import Manifest
    from edge_ad.bundle.records import Geometry, Variant
    from edge_ad.engines import EngineOptions

__all__ = ["copy_bundle", "is_version_of", "regions_of", "with_regions"]

_IGNORE = "ignore.png"


def copy_bundle(bundle: Bundle, target: Path, *, keep: Sequence[str]) -> Bundle:
    """The same bundle in another folder, signature included. ``keep``: the variants whose calibrations go along."""
    kept = [calibration_name(one) for one in bundle.manifest.variants if one.id in keep]
    companions = {name: data for name in kept if (data := bundle.companion(name)) is not None} | read_signature(bundle)
    with BundleWriter(target, replace=target.exists()) as writer:
        for name in (*bundle.manifest.files, *companions):
            path = writer.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(companions[name] if name in companions else bundle.read(name))
        return writer.commit_sealed(bundle.companion(MANIFEST) or b"")


def regions_of(bundle: Bundle) -> Regions | None:
    """What a bundle inspects, as it can be drawn; ``None`` where that depends on the frame.

    The outlines of an ignore mask come as polygons.
    """
    geometry = bundle.manifest.geometry
    if geometry.frame is None or geometry.level != "frame":
        return None
    roi, ignored = geometry.roi, []
    if geometry.ignore is not None:
        mask = np.asarray(cv2.imdecode(np.frombuffer(bundle.read(geometry.ignore), np.uint8), cv2.IMREAD_GRAYSCALE))
        found, _ = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        ignored = [one.reshape(-1, 2) for one in found if len(one) >= 3]
        ignored = [one[:: -(-len(one) // 256)] for one in ignored][:64]
    return Regions(
        width=geometry.frame.width,
        height=geometry.frame.height,
        roi=None if roi is None else (roi.x, roi.y, roi.width, roi.height),
        ignored=tuple(tuple((int(x), int(y)) for x, y in one) for one in ignored),
        overlap=None if geometry.tiles is None else geometry.tiles.overlap,
    )


@contextlib.contextmanager
def with_regions(
    bundle: Bundle,
    variant: Variant,
    regions: Regions,
    pictures: Sequence[NDArray[np.uint8]],
    options: EngineOptions,
    is_signed: bool,
    beside: Path,
) -> Iterator[Bundle]:
    """A bundle of this variant alone that inspects other regions, until the end of the block.

    The golden frames of ``bundle`` have to be replayed before: they prove that this device scores as promised. The new
    bundle's golden frames are ``pictures`` with the scores that this device gives them, so that later changes show.

    Raises:
        InputError: regions that do not fit the camera or the model, or a device that takes signed bundles only.
        BundleError: the graph does not fit its manifest.
    """
    if is_signed:
        raise InputError(
            "this station takes signed bundles only, and other regions make another bundle: export it with "
            "--roi and --ignore, sign it and deploy it"
        )
    height, width = pictures[0].shape[:2]
    if (regions.width, regions.height) != (width, height):
        raise InputError(
            f"the regions were drawn on {regions.width}x{regions.height} pixels, and frames have {width}x{height}: "
            "draw them anew"
        )
    if regions.ignored and variant.map is None:
        raise InputError(f"{variant.id} has no anomaly map, so no area of a frame can be ignored")
    with tempfile.TemporaryDirectory(dir=beside, prefix=".regions-") as folder:
        yield _regioned(bundle, variant, regions, pictures, options, Path(folder))


def _regioned(
    bundle: Bundle,
    variant: Variant,
    regions: Regions,
    pictures: Sequence[NDArray[np.uint8]],
    options: EngineOptions,
    folder: Path,
) -> Bundle:
    manifest = bundle.manifest
    geometry = _geometry(manifest.geometry, regions)
    expected = f"golden/{variant.id}.npz"
    names = tuple(f"golden/{place}.png" for place in range(len(pictures)))
    blank = Expectation(
        np.zeros(len(pictures), np.float32),
        None if variant.map is None else np.zeros((len(pictures), 1, 1), np.float32),
    )
    files = {name: bundle.read(name) for name in bundle.artefact_files(variant)}
    files |= {name: cv2.imencode(".png", one)[1].tobytes() for name, one in zip(names, pictures, strict=True)}
    if geometry.ignore is not None:
        files[geometry.ignore] = cv2.imencode(".png", _mask(regions))[1].tobytes()
    changed = msgspec.structs.replace(
        manifest,
        version=_version(manifest.version, regions),
        geometry=geometry,
        variants=(variant,),
        default_variant=variant.id,
        targets=msgspec.UNSET,
        trials=tuple(one for one in manifest.trials if one.id == variant.id),
        golden=Golden(frames=names, expected={variant.id: expected}),
        provenance={**manifest.provenance, "regions": "drawn at the station"},
    )
    first = _written(folder / "first", files | {expected: blank.dump()}, changed)
    scores, maps = [], []
    with contextlib.closing(open_scorer(first, variant, options)) as scorer:
        for one in pictures:
            measured = scorer.measure(one)
            scores.append(measured.score)
            maps += [] if measured.map is None else [measured.map.copy()]
    found = Expectation(np.array(scores, np.float32), np.stack(maps) if maps else None)
    return _written(folder / "bundle", files | {expected: found.dump()}, changed)


def is_version_of(version: str, regions: Regions) -> bool:
    """Whether a bundle of this version was made for these regions."""
    return "+" in version and version == _version(version, regions)


def _version(version: str, regions: Regions) -> str:
    """Another version for other regions: scores of the two cannot be compared."""
    digest = hashlib.sha256(msgspec.json.encode(regions)).hexdigest()
    return f"{version.partition('+')[0]}+{digest[:8]}"


def _written(target: Path, files: dict[str, bytes], manifest: Manifest) -> Bundle:
    with BundleWriter(target) as writer:
        for name, data in files.items():
            path = writer.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return writer.commit(manifest)


def _geometry(before: Geometry, regions: Regions) -> Geometry:
    roi = (
        None
        if regions.roi is None
        else Roi(x=regions.roi[0], y=regions.roi[1], width=regions.roi[2], height=regions.roi[3])
    )
    tiles = before.tiles
    if tiles is not None and regions.overlap is not None:
        tiles = Tiles(overlap=regions.overlap)
    return msgspec.structs.replace(
        before,
        frame=FrameSize(width=regions.width, height=regions.height),
        roi=roi,
        tiles=tiles,
        ignore=_IGNORE if regions.ignored else None,
    )


def _mask(regions: Regions) -> NDArray[np.uint8]:
    mask = np.zeros((regions.height, regions.width), np.uint8)
    for one in regions.ignored:
        cv2.fillPoly(mask, [np.array(one, np.int32)], 255)
    return mask
