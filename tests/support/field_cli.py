"""The command line in this process, and what holds of its answers whatever the fault."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from edge_ad.cli import main

__all__ = [
    "BOTH",
    "Done",
    "Exported",
    "GoldenFrame",
    "bundle_of",
    "check_scores",
    "edge_ad",
    "export",
    "exported",
]

BOTH = ("onnx-fp32", "openvino-fp32")


@dataclass(frozen=True)
class Done:
    """What a command ended with. ``crash``: the traceback of an error that nothing caught."""

    code: int
    stdout: str
    stderr: str
    crash: str | None

    @property
    def lines(self) -> list[str]:
        """The lines that say why the command failed."""
        said = [line for line in self.stderr.splitlines() if line.startswith(("edge-ad: ", "Error: "))]
        return [line for line in said if not line.startswith("edge-ad: warning: ")]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as JSON, one object a line."""
        assert self.succeeded()
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def json(self) -> Any:
        assert self.succeeded()
        return json.loads(self.stdout)

    def succeeded(self) -> bool:
        """True; fails the test with the message otherwise."""
        assert self.crash is None, self.crash
        assert self.code == 0, "".join(self.lines) or self.stderr
        return True

    def refused(self, *names: str, unless: str = "") -> bool:
        """True for a non-zero exit with one line that has all of ``names`` in it; fails the test otherwise."""
        assert self.crash is None, self.crash
        assert self.code != 0, f"it succeeded; {self.stderr}"
        assert len(self.lines) == 1, self.stderr
        missing = [name for name in names if name not in self.lines[0]]
        assert not missing, f"{missing} not named in: {self.lines[0]}"
        assert not unless or unless not in self.lines[0], self.lines[0]
        return True


def edge_ad(*arguments: object) -> Done:
    """Runs the command; nothing is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    crash = None
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        crash = "".join(traceback.format_exception(result.exception))
    return Done(result.exit_code, result.stdout, result.stderr, crash)


@dataclass(frozen=True)
class GoldenFrame:
    """A frame that the bundle carries, and what a variant gives for it: ``map`` is empty where there is none."""

    pixels: NDArray[np.uint8]
    score: float
    map: NDArray[np.float32]


@dataclass(frozen=True)
class Exported:
    """A bundle as it lies on the disk, ``trials`` by name, and what the export said."""

    folder: Path
    stderr: str
    trials: dict[str, dict[str, Any]]
    provenance: dict[str, Any]

    @property
    def shipped(self) -> set[str]:
        return {name for name, trial in self.trials.items() if trial.get("rejected") is None}

    @property
    def manifest(self) -> Any:
        return json.loads((self.folder / "manifest.json").read_bytes())

    def model(self, variant: str) -> Path:
        found = next(one for one in self.manifest["variants"] if one["id"] == variant)
        return self.folder / str(found["model"])

    def map_size(self, variant: str) -> tuple[int, int] | None:
        """Rows and columns."""
        found = next(one for one in self.manifest["variants"] if one["id"] == variant)["map"]
        return None if found is None else (found["height"], found["width"])

    def golden(self, variant: str) -> Iterator[GoldenFrame]:
        """What the variant's engine gave for the bundle's frames."""
        assert variant in self.shipped, self.trials.get(variant)
        record = self.manifest["golden"]
        with np.load(self.folder / record["expected"][variant]) as expected:
            scores = expected["scores"]
            maps = expected["maps"] if "maps" in expected else np.empty((len(scores), 0, 0), np.float32)
        for name, score, anomaly_map in zip(record["frames"], scores, maps, strict=True):
            pixels = cv2.imread(str(self.folder / name), cv2.IMREAD_UNCHANGED)
            assert pixels is not None
            yield GoldenFrame(np.asarray(pixels, np.uint8), float(score), np.asarray(anomaly_map))


def export(
    model: object, images: object, target: Path, *options: object, variants: tuple[str, ...] = ("onnx-fp32",)
) -> Done:
    """``edge-ad export`` with little effort; ``variants``: none for all of them. Nothing half-written stays behind."""
    chosen = ["--variants", ",".join(variants)] if variants else []
    target.parent.mkdir(parents=True, exist_ok=True)
    before = sorted(target.parent.iterdir())
    done = edge_ad("export", model, "--images", images, "-o", target, "--effort", "low", "--json", *chosen, *options)
    left = sorted(path for path in target.parent.iterdir() if path not in before)
    assert left == ([target] if done.code == 0 else []), f"left behind: {left}; {done.crash or done.stderr}"
    return done


def exported(
    model: object, images: object, target: Path, *options: object, variants: tuple[str, ...] = ("onnx-fp32",)
) -> Exported:
    """As :func:`export`, of one that has to succeed."""
    return bundle_of(export(model, images, target, *options, variants=variants), target)


def bundle_of(done: Done, target: Path) -> Exported:
    """What an export that succeeded has written."""
    answer = done.json
    trials = {trial["id"]: trial for trial in answer["trials"]}
    return Exported(target, done.stderr, trials, answer["provenance"])


def check_scores(
    bundle: Exported,
    expected: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    *,
    variants: tuple[str, ...] = ("onnx-fp32",),
    with_map: bool = True,
    tolerance: float = 1e-3,
) -> None:
    """Holds every variant against ``expected``: pixels to the right map ``(h, w)``, whose largest value is the score.

    ``tolerance``: a part of the map's largest value.
    """
    for variant in variants:
        for frame in bundle.golden(variant):
            right = expected(frame.pixels)
            off = tolerance * float(np.abs(right).max())
            assert frame.score == pytest.approx(float(right.max()), abs=off), variant
            if with_map:
                assert frame.map.shape == right.shape, variant
                np.testing.assert_allclose(frame.map, right, atol=off, rtol=0, err_msg=variant)
