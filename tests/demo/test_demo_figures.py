"""Counting verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edge_ad.errors import GateError
from edge_ad.verdict import Latency, Reason, State
from edge_ad_demo.line.defects import Kind
from edge_ad_demo.result.figures import Asked, DemoResult, Figures, FrameVerdict, read_verdicts, summarise
from edge_ad_demo.result.text import describe

ASKED = Asked(fpr=0.01, confidence=0.95)
THRESHOLD = 2.0


def frame(folder: str, score: float | None, *, total_ms: float = 3.0) -> FrameVerdict:
    above = score is not None and score > THRESHOLD
    return FrameVerdict(
        source=f"somewhere/{folder}/000.png",
        state=State.REJECT if above else State.ACCEPT,
        score=score,
        threshold=THRESHOLD,
        captured_at=0.0,
        latency_ms=Latency(engine=total_ms - 1, total=total_ms),
        bundle="b@1",
        variant="onnx-fp32",
    )


def line(**scores: list[float]) -> list[FrameVerdict]:
    """Good parts 1.0 and 1.5, and every kind at 5.0 unless told."""
    every = {"good": [1.0, 1.5]} | {kind.value: [5.0] for kind in Kind} | scores
    return [frame(folder, score) for folder, values in every.items() for score in values]


def figures(**scores: list[float]) -> Figures:
    return summarise(line(**scores), ASKED)


def test_what_is_rejected_is_counted() -> None:
    found = figures(good=[1.0, 2.0, 2.5], scratch=[1.9, 2.1, 7.0])
    assert (found.false_rejects, found.good_parts, found.threshold) == (1, 3, THRESHOLD)
    scratch = next(row for row in found.defects if row.kind is Kind.SCRATCH)
    assert (scratch.caught, scratch.parts) == (2, 3)


@pytest.mark.parametrize(
    ("good", "bad", "area"),
    [
        pytest.param([1.0, 2.0], [3.0, 4.0], 1.0, id="apart"),
        pytest.param([3.0, 4.0], [1.0, 2.0], 0.0, id="upside down"),
        pytest.param([1.0, 3.0], [2.0, 4.0], 0.75, id="one pair of four wrong"),
        pytest.param([1.0, 1.0], [1.0, 1.0], 0.5, id="all tied"),
    ],
)
def test_roc_auc(good: list[float], bad: list[float], area: float) -> None:
    found = figures(good=good, blob=bad)
    assert next(row for row in found.defects if row.kind is Kind.BLOB).roc_auc == pytest.approx(area)


@pytest.mark.parametrize(
    ("good", "chance"),
    [
        pytest.param([1.0, 1.0], 1.0, id="none rejected"),
        pytest.param([1.0, 3.0], 1 - 0.99**2, id="one of two"),
        pytest.param([3.0, 3.0], 0.01**2, id="both"),
    ],
)
def test_the_chance_of_so_many_false_rejects(good: list[float], chance: float) -> None:
    assert figures(good=good).chance == pytest.approx(chance)


def test_the_median_latency_is_told() -> None:
    slow = [frame("good", 1.0, total_ms=total_ms) for total_ms in (2.0, 3.0, 90.0)]
    found = summarise(slow + line(good=[])[1:] + [frame("scratch", 5.0)], ASKED)
    assert (found.latency_ms, found.engine_ms) == (3.0, 2.0)


def test_a_frame_without_a_verdict_is_no_silent_accept() -> None:
    broken = msgspec.structs.replace(
        frame("good", None), state=State.INVALID, reason=Reason.UNREADABLE, detail="no image"
    )
    with pytest.raises(GateError, match=r"good/000\.png INVALID: no image"):
        summarise([*line(), broken], ASKED)


def test_verdicts_are_read_back_from_json_lines() -> None:
    frames = tuple(line())
    printed = b"\n".join(msgspec.json.encode(one) for one in frames) + b"\n"
    assert read_verdicts(printed) == frames
    assert json.loads(printed.splitlines()[0])["source"] == "somewhere/good/000.png"


def test_the_folder_tells_the_kind() -> None:
    assert frame("missing_print", 3.0).folder == Kind.MISSING_PRINT.value


def result(good: list[float]) -> DemoResult:
    return DemoResult(
        figures=figures(good=good),
        sheet=Path("d/verdicts.png"),
        histogram=Path("d/scores.png"),
        figures_file=Path("d/figures.json"),
        rejects=Path("d/rejects.png"),
    )


def test_the_report_names_every_figure_and_file() -> None:
    text = describe(result(good=[1.0, 1.2, 1.4, 2.5]))
    for part in (
        "1 of 4 fresh ones rejected (25.0%)",
        "at most 1% in the long run, with 95% confidence",
        "at exactly 1%, 1 or more are seen in 4% of such runs",
        "missing print   1 of 1 caught   ROC-AUC 1.000",
        "Latency      3.0 ms per frame, of which the engine 2.0 ms (p50, onnx-fp32)",
        "d/verdicts.png",
        "d/scores.png",
        "d/figures.json",
    ):
        assert part in text


def test_without_a_false_reject_nothing_needs_excusing() -> None:
    text = describe(result(good=[1.0, 1.2]))
    assert "0 of 2 fresh ones rejected" in text
    assert "such runs" not in text
