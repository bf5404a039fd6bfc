"""``make families``: trains or takes a model of every family, exports it and writes the table into the docs."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import click

from benchmarks import machine
from benchmarks.families.rows import Producer, Row, Workplace
from benchmarks.families.table import write_table

ROOT = Path(__file__).resolve().parents[2]

# Each is asked for its rows, in this order.
PRODUCERS = (
    "benchmarks.families.image_models:rows",
    "benchmarks.families.torch_models:rows",
    "benchmarks.families.video_models:rows",
    "benchmarks.families.two_stage:rows",
)


@click.command()
@click.option("--shared", type=click.Path(path_type=Path, exists=True), default=ROOT.parent / "shared")
@click.option("--peer", type=click.Path(path_type=Path), help="A Python with torch, for the models trained with it.")
@click.option("--images", default=60, show_default=True, help="An export measures on at most so many.")
@click.option("--docs", type=click.Path(path_type=Path), default=ROOT / "docs" / "families.md", show_default=False)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep trained models and bundles in this folder.")
def main(shared: Path, peer: Path | None, images: int, docs: Path, keep: Path | None) -> None:
    """Writes the table between the two marks of DOCS; takes about a minute a row."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = keep or Path(folder)
        scratch.mkdir(parents=True, exist_ok=True)
        work = Workplace(shared, scratch, peer, images)
        found: list[Row] = []
        for producer in map(_load, PRODUCERS):
            for row in producer(work):
                print(row, file=sys.stderr)
                found.append(row)
    write_table(docs, found, machine.describe())
    print(f"{len(found)} rows written to {docs}")


def _load(name: str) -> Producer:
    module, _, attribute = name.partition(":")
    producer: Producer = getattr(importlib.import_module(module), attribute)
    return producer


if __name__ == "__main__":
    main()
