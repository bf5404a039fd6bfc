"""A real station in a process of its own, killed at random moments of an update: the next start has the old or the new
bundle, and inspects."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny
from support.station_files import to_toml
from support.tiny_calibration import calibrate

from edge_ad.errors import LinkError
from edge_ad.link import Client
from edge_ad.update import Slots
from edge_ad.verdict import State

CUTS = 30
WAIT_S = 120.0
EDGE_AD = [sys.executable, "-m", "edge_ad"]
GOOD, BAD = tiny.frames(1)[0], tiny.spotted(tiny.frames(1)[0], 20, 20)


@pytest.fixture
def file(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A station whose bundle, and those to be deployed, differ in their threshold alone."""
    for name, threshold in (("first", 0.50), ("even", 0.51), ("odd", 0.52)):
        calibrate(Path(shutil.copytree(tiny_bundle, tmp_path / name)), threshold)
    tables: dict[str, Any] = {
        "station": {"name": "trial", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": {"source": "link", "allow_repeats": True}},
        "inspect": {"top": {"camera": "top", "bundle": "first"}},
        "link": {"socket": "s"},
        "audit": {"file": "audit.jsonl"},
        "update": {"folder": "updates", "watch_parts": 5},
    }
    (tmp_path / "station.toml").write_text(to_toml(tables))
    return tmp_path / "station.toml"


def started(file: Path) -> subprocess.Popen[bytes]:
    said = (file.parent / "said").open("ab")
    with said:
        return subprocess.Popen([*EDGE_AD, "run", str(file)], stdout=said, stderr=said, start_new_session=True)


def judged(file: Path, running: subprocess.Popen[bytes]) -> float:
    """Brings a good and a bad part as soon as the station takes them; the threshold that judged them."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        assert running.poll() is None, (file.parent / "said").read_text()
        with contextlib.suppress(LinkError), Client(file.parent / "s", timeout_s=WAIT_S) as link:
            good = link.result(link.hand_in(GOOD), timeout_s=WAIT_S)
            bad = link.result(link.hand_in(BAD), timeout_s=WAIT_S)
            assert (good.state, bad.state) == (State.ACCEPT, State.REJECT)
            thresholds = {one.verdicts[0].threshold for one in (good, bad)}
            assert len(thresholds) == 1
            return float(thresholds.pop() or 0.0)
        time.sleep(0.02)
    raise AssertionError((file.parent / "said").read_text())


def bring(file: Path, pixels: NDArray[np.uint8]) -> None:
    """One part, which the station may take or not."""
    with contextlib.suppress(LinkError), Client(file.parent / "s", timeout_s=WAIT_S) as link:
        link.passes(pixels=pixels, timeout_s=WAIT_S)


@contextlib.contextmanager
def deploying(file: Path, bundle: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*EDGE_AD, "deploy", str(bundle), "--to", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as one:
        yield one
        one.kill()


@pytest.mark.slow
def test_the_power_is_cut_at_thirty_random_moments_of_updates(file: Path) -> None:
    chance = random.Random(1)  # noqa: S311
    moments: Counter[str] = Counter()
    slots = Slots(file.parent / "updates", str(file.parent / "first"))
    running, kept = started(file), 0
    try:
        in_force = judged(file, running)
        begun = time.monotonic()
        with deploying(file, file.parent / "odd") as deployer:
            while deployer.poll() is None:
                bring(file, GOOD)
        whole_s, in_force = time.monotonic() - begun, judged(file, running)
        assert in_force == 0.52
        for number in range(CUTS):
            new = file.parent / ("even" if number % 2 == 0 else "odd")
            wanted = {in_force, 0.51 if number % 2 == 0 else 0.52}
            with deploying(file, new) as deployer:
                until = time.monotonic() + chance.uniform(0.0, 1.3 * whole_s)
                while time.monotonic() < until and deployer.poll() is None:
                    bring(file, BAD if chance.random() < 0.5 else GOOD)
                running.send_signal(signal.SIGKILL)
                if chance.random() < 0.5:
                    deployer.kill()
            running.wait()
            last = slots.state().last
            moments[last.step.value if last else "none"] += 1
            running = started(file)
            found = judged(file, running)
            assert found in wanted
            kept += found != in_force
            in_force = found
            state = slots.state()
            assert state.trial is None
            there = {int(one.name) for one in slots.folder.glob("slots/*") if one.name.isdecimal()}
            assert there == {one for one in (state.active, state.previous) if one is not None}
    finally:
        running.kill()
        running.wait()
    assert 0 < kept < CUTS, moments
    assert len(moments) >= 3, moments
