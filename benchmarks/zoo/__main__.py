"""``make zoo PEER=DIR``: makes each of anomalib's models, exports it, and writes the table into the docs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from benchmarks import machine
from benchmarks.families.datasets import Dataset, magnetic_tile, picture
from benchmarks.families.measure import linked
from benchmarks.families.rows import Workplace
from benchmarks.zoo.measure import measure
from benchmarks.zoo.rows import ZooRow, write_rows

ROOT = Path(__file__).resolve().parents[2]
MODELS = (
    "Cflow",
    "Dfkde",
    "Dfm",
    "Dinomaly",
    "Draem",
    "Dsr",
    "EfficientAd",
    "Fastflow",
    "FoundAD",
    "Fre",
    "Ganomaly",
    "GeneralAD",
    "Glass",
    "InpFormer",
    "L2BT",
    "Padim",
    "Patchcore",
    "Patchflow",
    "ReverseDistillation",
    "Stfpm",
    "Supersimplenet",
    "Uflow",
    "UniNet",
)
_SIDE, _FITTED_ON = 256, 16
_MAKING_S = 600


@click.command()
@click.option("--peer", envvar="PEER", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--shared", type=click.Path(path_type=Path, exists=True), default=ROOT.parent / "shared")
@click.option("--model", "names", multiple=True, type=click.Choice(MODELS), help="All otherwise.")
@click.option("--images", default=40, show_default=True, help="An export measures on at most so many.")
@click.option("--minutes", default=2.0, show_default=True, help="An export measures for so long (--max-minutes).")
@click.option("--effort", default="low", show_default=True, type=click.Choice(("low", "normal", "high")))
@click.option("--variants", default="", help="As of edge-ad export; all otherwise.")
@click.option("--docs", type=click.Path(path_type=Path), default=ROOT / "docs" / "families.md", show_default=False)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep models and bundles here, and use models there.")
def main(
    peer: Path,
    shared: Path,
    names: tuple[str, ...],
    images: int,
    minutes: float,
    effort: str,
    variants: str,
    docs: Path,
    keep: Path | None,
) -> None:
    """Writes the table between the two marks of DOCS; takes some minutes a model."""
    chosen = ("--variants", variants) if variants else ()
    options = ("--max-images", str(images), "--max-minutes", str(minutes), "--effort", effort, *chosen)
    with tempfile.TemporaryDirectory() as folder:
        work = Workplace(shared, keep or Path(folder), peer, images)
        data = magnetic_tile(shared)
        normals = linked(work, "zoo-normals", data.held_out)
        rows = []
        for name in names or MODELS:
            rows.append(_row(work, name, data, normals, options))
            print(rows[-1], file=sys.stderr)
    write_rows(docs, rows, "Measured on " + machine.describe().replace("\n", "; ") + ".")
    print(f"{len(rows)} rows written to {docs}")


def _row(work: Workplace, name: str, data: Dataset, normals: Path, options: tuple[str, ...]) -> ZooRow:
    file = work.scratch / name / "weights" / "onnx" / "model.onnx"
    if not file.exists() and (why := _make(work, name, data)):
        return ZooRow(name, refused=f"anomalib cannot make it here: {why}")
    return measure(name, file, normals, work.scratch / f"{name}-bundle", options)


def _make(work: Workplace, name: str, data: Dataset) -> str | None:
    """Lets the peer write the model; why it could not."""
    pictures = work.scratch / "pictures.npy"
    if not pictures.exists():
        np.save(pictures, np.stack([picture(path, _SIDE) for path in data.train[:_FITTED_ON]]))
    assert work.peer is not None
    python = work.peer / "bin" / "python" if work.peer.is_dir() else work.peer
    script = Path(__file__).with_name("peer_export.py")
    command = [str(python), "-W", "ignore", str(script), name, str(pictures), str(work.scratch / name)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MAKING_S)
    except subprocess.TimeoutExpired:
        return f"not done after {_MAKING_S} s"
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


if __name__ == "__main__":
    main()
