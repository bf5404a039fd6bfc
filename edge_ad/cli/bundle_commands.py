"""``edge-ad info``, ``verify``, ``pack`` and ``unpack``: what is in a bundle, whether it is intact, and carrying it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edge_ad.bundle.frame_limits import missing_limits
from edge_ad.bundle.records import Calibration, Clip, Geometry, Manifest, RankCalibration, Variant
from edge_ad.cli.option_groups import command
from edge_ad.cli.options import ENGINE, FILE, FOLDER, PATH, as_json, bundle_argument, echo_json, variant_option
from edge_ad.errors import GoldenError, InputError, counted, every

if TYPE_CHECKING:
    from edge_ad.engines.base import EngineOptions
    from edge_ad.scoring.verification import Verification


@command()
@bundle_argument
@as_json
def info(bundle: Path, as_json: bool) -> None:
    """Show what is in BUNDLE.

    These are the model, the geometry, the variants, their calibrations and the provenance.
    """
    from edge_ad.bundle import Bundle

    opened = Bundle.open(bundle)
    records = {v.id: opened.calibration(v) for v in opened.manifest.variants}
    calibrations = {key: record.stations for key, record in records.items() if record}
    if as_json:
        manifest = msgspec.to_builtins(opened.manifest)
        echo_json({"path": str(bundle), "manifest": manifest, "calibrations": calibrations})
        return
    for line in _lines(opened.manifest, calibrations):
        click.echo(line)


@command(engine=ENGINE)
@bundle_argument
@variant_option("Check this variant only. Without this option all variants are checked whose engine is installed.")
@click.option(
    "--trust",
    type=FOLDER,
    metavar="STORE",
    help="Check the signature, too: it must be of a key that this trust store (edge-ad trust) names.",
)
@as_json
def verify(bundle: Path, variant: str | None, engine: EngineOptions, trust: Path | None, as_json: bool) -> None:
    """Check that BUNDLE is intact and works on this device.

    Every file is compared with its checksum. The golden frames are scored again, and their scores must equal those
    in the bundle. The exit code is 0 only if the variant that edge-ad score takes was among them: the one of --variant,
    or the default one, or, where that one does not work here, another one that is calibrated too. Of a bundle for
    several kinds of CPU, variants for other CPUs than this one are not run.

    BUNDLE may also be a station file, station.toml: then each bundle is checked that an inspection of it uses now, one
    that was deployed in place of the named one included, with the variant, engine and trust store of the file.
    """
    from edge_ad.bundle import Bundle, TrustStore
    from edge_ad.scoring.verification import verify_bundle

    uses = [(bundle, variant, engine, trust)]
    if bundle.suffix == ".toml":
        if (variant, trust, engine) != (None, None, type(engine)()):
            raise InputError(f"{bundle} is a station file, which says variant, engine and trust: leave out the options")
        uses = _used_by_station(bundle)
    for path, chosen, options, store in uses:
        opened = Bundle.open(path)  # once: what is signed and what is scored is the same, whoever changes it meanwhile
        signed = None if store is None else TrustStore(store).check(opened)
        result = verify_bundle(opened, chosen, options)
        if as_json:
            echo_json({**asdict(result), "signature": signed})
        else:
            _print_verification(result)
            if signed is not None:
                keys = ", ".join(key[:16] for key in signed.signed_by)
                click.echo(f"  signed with the serial {signed.serial} by {keys}, good until {signed.expires:%Y-%m-%d}")
        if result.problem is not None:
            raise GoldenError(result.problem)


def _used_by_station(file: Path) -> list[tuple[Path, str | None, EngineOptions, Path | None]]:
    """Each bundle that the inspections of a station use now, once for each way in which they use it."""
    from edge_ad.engines import EngineOptions
    from edge_ad.station import read_station_file
    from edge_ad.station.updating import in_force

    station = in_force(read_station_file(file))
    store = None if station.trust is None else Path(station.trust.store)
    found = [
        (Path(one.bundle), one.variant, EngineOptions(device=one.device, threads=one.threads), store)
        for one in station.inspect.values()
    ]
    return [use for number, use in enumerate(found) if use not in found[:number]]


def _print_verification(result: Verification) -> None:
    click.echo(f"{result.bundle}: {counted(result.files, 'file')} intact")
    for one in result.variants:
        calibrated = f"calibrated for {', '.join(one.stations)}" if one.stations else "not calibrated"
        outcome = (one.skipped and f"skipped: {one.skipped}") or f"{len(one.replays)} golden frames replayed, all equal"
        needed = f"; needs onnxruntime {one.min_runtime} or newer" if one.min_runtime else ""
        meant = f" (for {', '.join(one.made_for)})" if one.made_for else ""
        click.echo(f"  {one.id}{meant}: {outcome}; {calibrated}{needed}")
    if result.choice is not None:
        click.echo(f"  {result.choice}")


@command()
@click.argument("store", type=FOLDER)
@click.argument("root", type=FILE)
def trust(store: Path, root: Path) -> None:
    """Trust the keys that the file ROOT names.

    ROOT is the root.json that edge-ad keys has written; whoever gives it to this device must be known. The folder STORE
    is made. From then on edge-ad verify --trust STORE, and a station whose file says so, take only bundles that these
    keys have signed.
    """
    from edge_ad.bundle import TrustStore

    TrustStore.create(store, root)
    click.echo(f"{store}: trusts the keys of {root}")


@command()
@bundle_argument
@click.option("-o", "--output", required=True, type=PATH, metavar="FILE", help="The zip file to write.")
def pack(bundle: Path, output: Path) -> None:
    """Write the folder BUNDLE as one zip file for transport."""
    from edge_ad.bundle import Bundle
    from edge_ad.bundle import pack as pack_bundle

    click.echo(str(pack_bundle(Bundle.open(bundle), output)))


@command()
@bundle_argument
@click.option("-o", "--output", required=True, type=PATH, metavar="FOLDER", help="The folder to write.")
@click.option(
    "--force",
    is_flag=True,
    help="Replace the bundle that is in this folder. It stays until the new one is complete.",
)
def unpack(bundle: Path, output: Path, force: bool) -> None:
    """Write the zip file BUNDLE as a folder. Every file is checked on the way."""
    from edge_ad.bundle import Bundle
    from edge_ad.bundle import unpack as unpack_bundle

    click.echo(str(unpack_bundle(Bundle.open(bundle), output, replace=force).path))


def _lines(manifest: Manifest, calibrations: Mapping[str, Mapping[str, Calibration]]) -> list[str]:
    return [
        f"{manifest.name}@{manifest.version}  {manifest.family}, {manifest.producer}, {manifest.created}",
        *_input(manifest),
        *([] if manifest.clip is None else [f"clips     {_clip(manifest.clip)}"]),
        "variants",
        *(_variant(v, manifest, calibrations.get(v.id, {})) for v in manifest.variants),
        *_left_out(manifest),
        *(["what a device takes, by its CPU"] if manifest.orders else []),
        *(f"  {kind}: {', '.join(order)}" for kind, order in manifest.orders.items()),
        "provenance",
        *(f"  {key}: {value}" for key, value in sorted(manifest.provenance.items()) if value is not None),
    ]


def _input(manifest: Manifest) -> list[str]:
    model = manifest.input
    if manifest.takes_vectors:
        return [f"input     vectors of {model.width} features"]
    lines = [
        f"input     {model.width}x{model.height}, {'BGR' if model.channels == 3 else 'gray'}",
        f"geometry  {_geometry(manifest.geometry)}",
    ]
    return (
        lines
        if manifest.variants[0].extractor is None
        else [*lines, f"stages    extractor{_snippet(manifest)}, then scorer"]
    )


def _snippet(manifest: Manifest) -> str:
    return f" of {manifest.clip.snippet} frames" if manifest.clip and manifest.clip.snippet > 1 else ""


def _geometry(geometry: Geometry) -> str:
    frame, roi, resize = geometry.frame, geometry.roi, geometry.resize
    scored = "objects" if geometry.level == "object" else "frames"
    parts = [f"frames of {frame.width}x{frame.height}" if frame else f"{scored} of any size"]
    if roi:
        parts.append(f"region {roi.width}x{roi.height} at ({roi.x}, {roi.y})")
    if resize:
        parts.append(f"{resize.mode} to {resize.width}x{resize.height} ({resize.kernel})")
    if geometry.tiles:
        parts.append(f"tiles that overlap by {geometry.tiles.overlap}")
    if geometry.ignore:
        parts.append(f"ignore mask {geometry.ignore}")
    return ", ".join(parts)


def _clip(clip: Clip) -> str:
    covered = {"clip": "the clip", "middle": "its middle", "last": "its last frame"}[clip.covers]
    parts = [f"{clip.length} samples ({clip.input}), one {every(clip.stride, 'frame')}"]
    parts.append(f"a score about {covered} {every(clip.hop, 'frame')}")
    if clip.smoothing is not None:
        rule = "the mean" if clip.smoothing.kind == "mean" else f"number {clip.smoothing.k} from the top"
        parts.append(f"{rule} of {clip.smoothing.window} scores")
    return ", ".join(parts)


def _limits(made: Calibration) -> list[str]:
    """The limits of frames, and what is missing of them."""
    limits = made.frame_limits
    missing = missing_limits(limits)
    if limits is None or not limits.values:
        return [] if missing is None else [missing]
    older = [] if missing is None or limits.off else [missing]
    return ["limits of frames:", *(f"  {line}" for line in limits.lines), *older]


def _variant(variant: Variant, manifest: Manifest, stations: Mapping[str, Calibration]) -> str:
    fidelity, reason = variant.fidelity, manifest.rejected(variant.id)
    anomaly_map = f"anomaly map {variant.map.width}x{variant.map.height}" if variant.map else "no anomaly map"
    line = (
        f"  {variant.id}{' (default)' if variant.id == manifest.default_variant else ''}: {anomaly_map}, "
        f"{fidelity.size_bytes / 1e6:.1f} MB, {fidelity.latency_ms:.2f} ms on the computer of the export, "
        f"rank correlation {fidelity.spearman:.4f}"
        f"{f', needs {variant.engine} {variant.min_runtime} or newer' if variant.min_runtime else ''}"
    )
    if reason is not None:
        line += f"\n    rejected at export: {reason}"
    for name, made in stations.items():
        line += (
            f"\n    calibrated for {name}: threshold {made.image.threshold:.6g} ({made.method}), "
            f"{_aim(made)}from {made.image.n} normal {made.observation}s"
        )
        line += "" if made.doubt is None else f"\n      nothing is promised: {made.doubt}"
        if not manifest.takes_vectors:
            line += "".join(f"\n      {text}" for text in _limits(made))
    return line if stations else line + "\n    not calibrated"


def _left_out(manifest: Manifest) -> list[str]:
    """What export tried and did not write, and why."""
    written = {variant.id for variant in manifest.variants}
    left_out = [one for one in manifest.trials if one.rejected is not None and one.id not in written]
    return [*(["not written"] if left_out else []), *(f"  {one.id}: {one.rejected}" for one in left_out)]


def _aim(made: Calibration) -> str:
    if made.alpha is None or made.confidence is None:
        return ""
    promised = "at most" if isinstance(made, RankCalibration) and made.doubt is None else "meant for at most"
    return f"{promised} {made.alpha:.3%} false rejects with {made.confidence:.1%} confidence, "
