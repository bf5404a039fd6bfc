"""``python -m benchmarks.image_trial FOLDER``: the image of ``make image`` in QEMU, updated and damaged."""

from __future__ import annotations

import json
import random
import re
import resource
import socket
import time
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.image_trial.disks import judge_here, start_moments
from benchmarks.image_trial.emulator import Disk, Emulator, kernel_seconds
from benchmarks.image_trial.faults import DISK_SIZE, FAULTS, make_updates
from benchmarks.image_trial.material import Material, make_stick
from benchmarks.image_trial.trial import BOOT_S, Row, Trial

_READY = r"edge-ad: station line1: (?:READY|BUSY), (\d+) s after the kernel"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--only", multiple=True, type=click.Choice([one.__name__ for one in FAULTS]), help="These faults only.")
@click.option("--resume", is_flag=True, help="Go on where a run of the same image has stopped.")
@click.option("--seed", default=1, show_default=True, help="Of the moments at which the power is cut.")
@click.option("--model-cuts", default=30, show_default=True, help="Power cuts during an update of the model.")
@click.option("--system-cuts", default=10, show_default=True, help="Power cuts during an update of the system.")
def main(folder: Path, only: tuple[str, ...], resume: bool, seed: int, model_cuts: int, system_cuts: int) -> None:
    """Boot the image of FOLDER, update it, damage it, and print what came of it.

    With --only or --resume the device of a run before is taken, where there is one.
    """
    began, folder = time.monotonic(), folder.resolve()
    trial = _trial(folder, seed, again=resume or bool(only))
    trial.model_cuts, trial.system_cuts = model_cuts, system_cuts
    rows: list[Row] = []
    for fault in FAULTS:
        kept = trial.material.folder / f"{fault.__name__}.rows.json"
        if resume and kept.exists():
            rows += [Row(**one) for one in json.loads(kept.read_text(encoding="utf-8"))]
        elif not only or fault.__name__ in only:
            found = []
            for row in fault(trial):
                found.append(row)
                passed = "ok  " if row.passed else "FAIL"
                print(f"{_clock(began)}  {passed}  {row.fault}: {row.outcome}; {row.verdict}", flush=True)
            kept.write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")
            rows += found
    report = _report(folder, trial, rows)
    (trial.material.folder / "table.md").write_text(report + "\n", encoding="utf-8")
    print(report)
    print(f"{_clock(began)}")
    raise SystemExit(0 if rows and all(row.passed for row in rows) else 1)


def _clock(began: float) -> str:
    """Seconds since then, and seconds that the emulators and all others took of one core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return f"{time.monotonic() - began:6.0f} s, {used.ru_utime + used.ru_stime:6.0f} s of a core"


def _trial(folder: Path, seed: int, *, again: bool) -> Trial:
    """A device from bare power to READY, provisioned by a stick; then frozen."""
    image = folder / "edge-ad-1.img"
    material = Material(folder / "trial", folder / "keys")
    stamp = f"{image.stat().st_size} {image.stat().st_mtime_ns} {seed}"
    known = material.folder / "image"
    is_known = again and known.exists() and known.read_text(encoding="utf-8") == stamp
    if not is_known:
        material.prepare()
    base, frozen = material.folder / "base.qcow2", material.folder / "base.memory"
    updates = make_updates(image, folder / "edge-ad-2.raucb", folder / "update", material.folder)
    trial = Trial(material, base, frozen, updates, _free_port(), random.Random(seed), material.expected())  # noqa: S311
    if is_known:
        trial.figures |= json.loads((material.folder / "figures.json").read_text(encoding="utf-8"))
        return trial
    _first_boot(trial)
    _second_boot(trial)
    _measured_deploy(trial)
    trial.keep_figures()
    known.write_text(stamp, encoding="utf-8")
    return trial


def _first_boot(trial: Trial) -> None:
    """From bare power, with a station on a stick."""
    disk = Disk.over(trial.updates["image"], trial.base, DISK_SIZE)
    stick = make_stick(trial.material.station(), trial.material.folder / "first.stick")
    with trial.device(disk, stick=stick) as emulator:
        found = trial.healthy(emulator)
        trial.figures["first_boot_to_ready_s"] = _ready_after(emulator)
    print(f"first boot: {found.system}, {found.bundle}", flush=True)


def _second_boot(trial: Trial) -> None:
    """Without the stick; then frozen."""
    with trial.device(Disk(trial.base)) as emulator:
        trial.healthy(emulator)
        trial.figures["boot_to_ready_s"] = ready = _ready_after(emulator)
        ours = ready - emulator.since_power_on(kernel_seconds(emulator.serial(), "edge-ad: station line1 starts"))
        trial.figures["boot_to_good_s"] = emulator.since_power_on(
            kernel_seconds(emulator.serial(), "edge-ad: system .*: good")
        )
        emulator.freeze(trial.frozen)
    moments = start_moments(trial, Disk(trial.base))
    steps = list(moments)
    for step, before in zip(steps[1:], steps, strict=False):
        trial.figures[f"station_{step}_s"] = moments[step] - moments[before]
    trial.figures["ours_percent"] = 100 * ours / ready


def _ready_after(emulator: Emulator) -> float:
    """Seconds from power-on until the health check saw READY; it looks every two seconds."""
    line = emulator.wait_for(_READY, BOOT_S)
    return emulator.since_power_on(float(re.findall(_READY, line)[0]))


def _measured_deploy(trial: Trial) -> None:
    """An update of the model that nobody disturbs."""
    disk = trial.disk()
    with trial.device(disk, frozen=trial.frozen) as emulator:
        emulator.thaw()
        trial.judged()
        written, start = emulator.written_bytes(), time.monotonic()
        asked = trial.deploy("second")
        assert asked.wait(BOOT_S) == 0, trial.deploy_said
        trial.figures["deploy_s"] = time.monotonic() - start
        trial.figures["deploy_written_mb"] = (emulator.written_bytes() - written) / 1e6
        found = trial.judged()
    here = judge_here(trial, disk)
    assert (found.bundle, here.bundle) == ("tiny@2", "tiny@2")
    print(f"a model update: {found.bundle}, {trial.figures['deploy_s']:.1f} s", flush=True)
    disk.remove()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _report(folder: Path, trial: Trial, rows: list[Row]) -> str:
    """The rows as a table for the docs, and the figures below."""
    files = {"image": "edge-ad-1.img", "image, compressed": "edge-ad-1.img.zst", "package": "edge-ad.deb"}
    files["update"] = "edge-ad-2.raucb"
    sizes = [f"{what}: {(folder / name).stat().st_size / 1e6:.0f} MB" for what, name in files.items()]
    figures = [f"{name}: {value:.1f}" for name, value in trial.figures.items()]
    head = "| fault | what came of it | verdicts from | wrong accepts |\n|---|---|---|---|"
    table = [head, *(f"| {one.fault} | {one.outcome} | {one.verdict} | {one.wrong} |" for one in rows)]
    wrong = sum(row.wrong for row in rows)
    return "\n".join([*table, "", *sizes, *figures, f"wrong accepts: {wrong}"])


if __name__ == "__main__":
    main()
