"""``make zoo PEER=DIR``: makes each of anomalib's models, exports it, and writes the table into the docs."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from benchmarks import machine
from benchmarks.families.datasets import Dataset, magnetic_tile, picture
from benchmarks.families.measure import linked
from benchmarks.families.rows import Workplace
from benchmarks.zoo.measure import measure, run_within
from benchmarks.zoo.rows import ZooRow, add_row
from edge_ad.errors import one_line

ROOT = Path(__file__).resolve().parents[2]
# In this order: a run that is cut off has measured those that matter most.
MODELS = (
    "EfficientAd",
    "Supersimplenet",
    "Uflow",
    "GeneralAD",
    "InpFormer",
    "FoundAD",
    "UniNet",
    "Dinomaly",
    "Draem",
    "Dsr",
    "Dfkde",
    "Dfm",
    "Ganomaly",
    "Patchcore",
    "Patchflow",
    "Padim",
    "Stfpm",
    "Fastflow",
    "ReverseDistillation",
    "Fre",
    "Glass",
    "L2BT",
    "Cflow",
)
_SIDE, _TRAINED_ON = 256, 24
_MAKING_S = 600.0
# Those of ONNX Runtime in int8 and of weights in 16 bits take the time that the search of a mixed form needs.
_VARIANTS = "onnx-fp32,openvino-fp32,openvino-bf16,openvino-int8"


@click.command()
@click.option("--peer", envvar="PEER", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--shared", type=click.Path(path_type=Path, exists=True), default=ROOT.parent / "shared")
@click.option("--model", "names", multiple=True, type=click.Choice(MODELS), help="All otherwise.")
@click.option("--images", default=100, show_default=True, help="An export measures on at most so many.")
@click.option("--minutes", default=1.0, show_default=True, help="An export measures for so long (--max-minutes).")
@click.option("--effort", default="normal", show_default=True, type=click.Choice(("low", "normal", "high")))
@click.option("--variants", default=_VARIANTS, show_default=True, help="As of edge-ad export; empty: all.")
@click.option("--limit", default=240.0, show_default=True, help="An export may take so many seconds.")
@click.option("--training", default=90.0, show_default=True, help="Seconds of processor time that a model trains for.")
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
    limit: float,
    training: float,
    docs: Path,
    keep: Path | None,
) -> None:
    """Writes each row between the two marks of DOCS when it is measured; rows of other models stay."""
    chosen = ("--variants", variants) if variants else ()
    options = ("--max-images", str(images), "--max-minutes", str(minutes), *chosen)
    measured = machine.describe().replace("\n", "; ") + "."
    with tempfile.TemporaryDirectory() as folder:
        work = Workplace(shared, keep or Path(folder), peer, images)
        data = magnetic_tile(shared)
        normals = linked(work, "zoo-normals", data.held_out)
        for name in names or MODELS:
            row = _row(work, name, data, normals, Budget(options, effort, limit, training))
            add_row(docs, row, measured)
            print(row, file=sys.stderr, flush=True)
    print(f"{len(names or MODELS)} rows written to {docs}")


@dataclass(frozen=True)
class Budget:
    """``options`` and ``effort`` of export; how long an export and the training of a model may take, in seconds."""

    options: tuple[str, ...]
    effort: str
    export_s: float
    training_s: float


def _row(work: Workplace, name: str, data: Dataset, normals: Path, budget: Budget) -> ZooRow:
    folder = work.scratch / name
    made = folder / "made.json"  # written last
    if not made.exists() and (why := _make(work, name, data, budget.training_s)):
        return ZooRow(name, refused=f"anomalib cannot make it here: {why}")
    target = work.scratch / f"{name}-bundle"
    try:
        file = folder / "weights" / "onnx" / "model.onnx"
        row = measure(name, file, normals, target, budget.options, budget.effort, budget.export_s)
    except Exception as error:  # noqa: BLE001  # one model does not end the run of the others
        traceback.print_exc()
        return ZooRow(name, refused=f"not measured: {one_line(error)}")
    return replace(row, **json.loads(made.read_text(encoding="utf-8")))


def _make(work: Workplace, name: str, data: Dataset, training_s: float) -> str | None:
    """Lets the peer write the model; why it could not."""
    pictures = work.scratch / "pictures.npy"
    if not pictures.exists():
        np.save(pictures, np.stack([picture(path, _SIDE) for path in data.train[:_TRAINED_ON]]))
    assert work.peer is not None
    python = work.peer / "bin" / "python" if work.peer.is_dir() else work.peer
    script = Path(__file__).with_name("peer_export.py")
    command = [str(python), "-W", "ignore", str(script), name, str(pictures), str(work.scratch / name)]
    # Otherwise the search of Patchcore's bank leaves 20 MB of torn memory at every step, 20 GB in the end.
    done = run_within(["env", "MALLOC_MMAP_THRESHOLD_=1048576", *command, str(training_s)], _MAKING_S)
    if done is None:
        return f"not done after {_MAKING_S:.0f} s"
    said = done.said.strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


if __name__ == "__main__":
    main()
