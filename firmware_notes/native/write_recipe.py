"""Writes what edge_ad_native.c takes: the model of one variant, its golden frames, and a recipe in plain text.

    python write_recipe.py BUNDLE FOLDER [--variant ID] [--station NAME] [--threads N]

It runs on the workstation, where edge-ad checks the hashes, the seals and the calibration. It refuses a bundle that
asks for more than the C program does.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

import click
import cv2

from edge_ad.bundle import DEFAULT_STATION, Bundle, Variant
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.files import output_error
from edge_ad.scoring.golden import Expectation, golden_frames

MOST_GOLDEN = 64


def check(bundle: Bundle, variant: Variant) -> None:
    """Raises :class:`InputError` where the C program would give other scores than edge-ad."""
    manifest, geometry = bundle.manifest, bundle.manifest.geometry
    beyond = {
        "a model of clips or vectors": manifest.clip is not None,
        "a two-stage model": variant.extractor is not None,
        "objects instead of frames": geometry.level == "object",
        "an ignore mask": geometry.ignore is not None,
        "tiles": geometry.tiles is not None,
        "a resize other than stretch": geometry.resize is not None and geometry.resize.mode != "stretch",
        "a kernel other than area and linear": geometry.resize is not None
        and geometry.resize.kernel not in ("area", "linear"),
        "the precision bf16": variant.precision == "bf16",
    }
    found = [what for what, is_there in beyond.items() if is_there]
    if found:
        raise InputError(
            f"{variant.id} of {bundle.path} has {' and '.join(found)}, which edge_ad_native.c does not do: "
            "choose another --variant, extend the program, or use the runtime of edge-ad"
        )


def threshold(bundle: Bundle, variant: Variant, station: str) -> float:
    record = bundle.calibration(variant)
    stations = record.stations if record else {}
    if station not in stations:
        raise InputError(
            f"{variant.id} of {bundle.path} has no calibration of the station {station!r}, found "
            f"{', '.join(stations) or 'none'}: run edge-ad calibrate, or choose another --station"
        )
    return stations[station].image.threshold


def lines_of_geometry(bundle: Bundle) -> list[str]:
    geometry, size = bundle.manifest.geometry, bundle.manifest.input
    lines = [f"frame {geometry.frame.width} {geometry.frame.height}"] if geometry.frame else []
    if geometry.roi:
        lines.append(f"roi {geometry.roi.x} {geometry.roi.y} {geometry.roi.width} {geometry.roi.height}")
    if geometry.resize:
        return [*lines, f"kernel {geometry.resize.kernel}"]
    return lines or [f"frame {size.width} {size.height}"]


def write_golden(folder: Path, bundle: Bundle, variant: Variant) -> list[str]:
    """Each golden frame as it came from the camera, as PGM or PPM."""
    lines = []
    scores = Expectation.load(bundle, variant).scores
    (folder / "golden").mkdir()
    for index, (frame, score) in enumerate(zip(golden_frames(bundle), scores[:MOST_GOLDEN], strict=False)):
        if frame.ndim == 3 and bundle.manifest.input.channels == 1:
            raise InputError(f"{bundle.path} makes gray of coloured frames, which edge_ad_native.c does not do")
        name = f"golden/{index}.{'ppm' if frame.ndim == 3 else 'pgm'}"
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, frame)[1].tobytes())
        lines.append(f"golden {float(score)!r} {variant.golden_tolerance!r} {name}")
    return lines


def write(folder: Path, bundle: Bundle, variant: Variant, station: str, threads: int | None) -> None:
    check(bundle, variant)
    lines = [
        f"# {bundle.manifest.name} {bundle.manifest.version}, {variant.id} for {variant.engine}, station {station}",
        f"model {Path(variant.model).name}",
        f"threshold {threshold(bundle, variant, station)!r}",
        *([] if threads is None else [f"threads {threads}"]),
        *lines_of_geometry(bundle),
    ]
    for name in bundle.artefact_files(variant):
        (folder / Path(name).name).write_bytes(bundle.read(name))
    lines += write_golden(folder, bundle, variant)
    (folder / "recipe.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


@click.command(help=__doc__)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--variant", "variant_id", help="The variant; the bundle's default without it.")
@click.option("--station", default=DEFAULT_STATION, help="The station whose threshold is taken.")
@click.option("--threads", type=click.IntRange(min=1), help="The engine's threads; all cores without it.")
def main(bundle: Path, folder: Path, variant_id: str | None, station: str, threads: int | None) -> None:
    try:
        opened = Bundle.open(bundle)
        if folder.exists():
            raise InputError(f"{folder} exists already: choose another folder")
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.absolute().parent) as staging:
            made = Path(staging) / folder.name
            made.mkdir()
            write(made, opened, opened.variant(variant_id), station, threads)
            shutil.move(made, folder)
    except EdgeAdError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"error: {output_error(folder, error)}", err=True)
        sys.exit(4)


if __name__ == "__main__":
    main()
