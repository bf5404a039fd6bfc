"""``python -m benchmarks.image_trial FOLDER``: the image of ``make image`` in QEMU, updated and damaged."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from support import tiny

from benchmarks.image_trial.emulator import Disk
from benchmarks.image_trial.faults import BOOT_S, FAULTS, Row, Trial, make_updates
from benchmarks.image_trial.material import Material, make_stick


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--only", multiple=True, type=click.Choice([one.__name__ for one in FAULTS]), help="These faults only.")
@click.option("--seed", default=1, show_default=True)
def main(folder: Path, only: tuple[str, ...], seed: int) -> None:
    """Boot the image of FOLDER, update it, damage it, and print what came of it."""
    began = time.monotonic()
    material = Material(folder / "trial", folder / "keys")
    material.prepare()
    trial = _ready_device(folder, material, seed)
    rows: list[Row] = []
    for fault in FAULTS:
        if only and fault.__name__ not in only:
            continue
        for row in fault(trial):
            rows.append(row)
            print(f"{time.monotonic() - began:6.0f} s  {'ok  ' if row.passed else 'FAIL'}  {row.fault}: {row.outcome}")
    report = _table(rows) + "\n\n" + "\n".join(f"{name}: {value:.1f}" for name, value in trial.figures.items())
    (folder / "trial/table.md").write_text(report + "\n", encoding="utf-8")
    print(report)
    wrong = sum(row.wrong for row in rows)
    print(f"wrong accepts: {wrong}; {(time.monotonic() - began) / 60:.0f} minutes")
    raise SystemExit(0 if rows and all(row.passed for row in rows) else 1)


def _ready_device(folder: Path, material: Material, seed: int) -> Trial:
    """A device from bare power to READY, provisioned by a stick; then frozen, and an update of its model timed."""
    image = folder / "edge-ad-1.img"
    updates = make_updates(image, folder / "edge-ad-2.raucb", folder / "update", material.folder)
    base, frozen = material.folder / "base.qcow2", material.folder / "base.memory"
    base.unlink(missing_ok=True)
    disk = Disk.over(image, base, "4G")
    trial = Trial(material, base, frozen, updates, _free_port(), random.Random(seed))  # noqa: S311
    # The score is the brightest block's mean; the dimmest picture's, before it is scaled, tells the models apart.
    blocks = [float(np.max(_blocks(frame))) for frame in tiny.frames(3)]
    trial.figures["dimmest"] = min(blocks)
    with trial.device(disk, stick=make_stick(material.station(), material.folder / "first.stick")) as emulator:
        found = trial.healthy(emulator)
        trial.figures["first_boot_s"] = time.monotonic() - emulator.began
        print(f"first boot: {found[0]}, model {found[1]}")
        emulator.wait_for("Startup finished", BOOT_S)
        emulator.freeze(frozen)
    again = trial.disk()
    with trial.device(again) as emulator:
        trial.wait_until(lambda one: one["state"] in {"READY", "BUSY"})
        trial.figures["boot_to_ready_s"] = time.monotonic() - emulator.began
        trial.healthy(emulator)
        written, start = again.written_bytes(), time.monotonic()
        asked = trial.deploy("second")
        said = asked.communicate(timeout=BOOT_S)[0]
        assert asked.returncode == 0, said
        trial.figures["deploy_s"] = time.monotonic() - start
        trial.figures["deploy_written_mb"] = (again.written_bytes() - written) / 1e6
    return trial


def _blocks(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = cv2.resize(frame, (tiny.SIZE, tiny.SIZE), interpolation=cv2.INTER_AREA)
    blocks: NDArray[np.float64] = small.mean(axis=2).reshape(tiny.CELLS, 8, tiny.CELLS, 8).mean(axis=(1, 3))
    return blocks


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _table(rows: list[Row]) -> str:
    """The rows as a table for the docs."""
    head = "| fault | what came of it | verdicts from | wrong accepts |\n|---|---|---|---|"
    return "\n".join([head, *(f"| {one.fault} | {one.outcome} | {one.verdict} | {one.wrong} |" for one in rows)])


if __name__ == "__main__":
    main()
