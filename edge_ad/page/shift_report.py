"""The report of a shift: counts, why and where parts were not accepted, what people found, and what was changed."""

from __future__ import annotations

import csv
import io
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from edge_ad.errors import EdgeAdError
from edge_ad.page.findings import FindingCounts, Findings
from edge_ad.page.proofs_shown import ShownProof, Study, show_proofs, study_proofs
from edge_ad.page.rates import Rate, observed_rate
from edge_ad.station.counting import StationCounters
from edge_ad.station.evidence import EvidenceRecord
from edge_ad.station.kept_counts import ShiftCounts
from edge_ad.station.proofs import Proof

__all__ = [
    "Change",
    "MarkedPlace",
    "RecipeReport",
    "ShiftName",
    "ShiftReport",
    "harmless_cell",
    "list_shifts",
    "report_shift",
    "report_table",
]

_MOST_FRAMES = 1_000
_PNG_SIZE = slice(16, 24)
_NEVER = 1e18
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ShiftName(msgspec.Struct, frozen=True, kw_only=True):
    """A count that can be reported. ``begin``, ``end``: seconds since the epoch; ``end`` is ``None`` of the present."""

    number: int
    since: str
    begin: float
    end: float | None


class MarkedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """So many rejected frames have their highest region in this ninth of the picture, counted from its top left."""

    inspection: str
    row: int
    column: int
    count: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was asked for and done. ``step``: of a deployed bundle, such as ``KEPT``."""

    time: str
    action: str
    who: str | None = None
    target: str | None = None
    before: str | None = None
    after: str | None = None
    step: str | None = None


class RecipeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted with one recipe. ``rejected``: of the parts that got a score. Times in milliseconds.

    ``challenges``: challenge parts by state, which are in none of the other counts.
    """

    recipe: str
    accepted: int
    rejected: Rate
    invalid: int
    challenges: dict[str, int]
    reasons: dict[str, int]
    refused: dict[str, int]
    found: FindingCounts
    false_rejects: Rate
    faults: int
    scorer_restarts: int
    lost_frames: int
    latency_mean_ms: float | None
    latency_max_ms: float | None


class ShiftReport(msgspec.Struct, frozen=True, kw_only=True):
    """``until``: seconds since the epoch, the end of the shift or the time of the report. ``frames``: how many kept
    rejects ``places`` is about. ``drift``: of this moment, by inspection.

    ``proofs``: those of this time, the newest first. ``studies``: of what was proved at its end.
    """

    station: str
    shift: ShiftName
    until: float
    recipes: tuple[RecipeReport, ...]
    places: tuple[MarkedPlace, ...]
    frames: int
    drift: dict[str, str]
    changes: tuple[Change, ...]
    proofs: tuple[ShownProof, ...] = ()
    studies: tuple[Study, ...] = ()


def list_shifts(shifts: Iterable[ShiftCounts]) -> list[ShiftName]:
    """The counts of a file, the oldest first; each ends where the next begins."""
    begins = [(one.since or one.shift) for one in shifts]
    times = [datetime.fromisoformat(one).astimezone().timestamp() for one in begins]
    ends = [*times[1:], None]
    return [
        ShiftName(number=number, since=since, begin=begin, end=end)
        for number, (since, begin, end) in enumerate(zip(begins, times, ends, strict=True))
    ]


def report_shift(
    station: str,
    shift: ShiftName,
    counts: dict[str, StationCounters],
    evidence: Path | None,
    changes: Iterable[Change] = (),
    drift: dict[str, str] | None = None,
    proofs: Iterable[Proof] = (),
) -> ShiftReport:
    """The report of one count; ``evidence``: the folder of the station's evidence, where it is known.

    ``proofs``: all that are known, the oldest first.
    """
    end = _NEVER if shift.end is None else shift.end
    places = Counter[tuple[str, int, int]]()
    frames = 0
    proved = [one for one in proofs if one.at < end]
    for inspection, place in _places(evidence, shift.begin, end):
        frames += 1
        places.update([(inspection, *place)])
    return ShiftReport(
        station=station,
        shift=shift,
        until=time.time() if shift.end is None else shift.end,
        recipes=tuple(_of_recipe(name, one, evidence, shift.begin, end) for name, one in counts.items()),
        places=tuple(
            MarkedPlace(inspection=inspection, row=row, column=column, count=count)
            for (inspection, row, column), count in places.most_common()
        ),
        frames=frames,
        drift=drift or {},
        changes=tuple(changes),
        proofs=show_proofs(one for one in proved if one.at >= shift.begin),
        studies=study_proofs(proved),
    )


def _of_recipe(name: str, one: StationCounters, evidence: Path | None, begin: float, end: float) -> RecipeReport:
    accepted, rejected = one.parts.get("ACCEPT", 0), one.parts.get("REJECT", 0)
    found = FindingCounts() if evidence is None else Findings(evidence).counts(begin, name, end)
    unseen = max(0, rejected - found.bad - found.good)
    maybe_good = accepted + found.good + unseen
    return RecipeReport(
        recipe=name,
        accepted=accepted,
        rejected=observed_rate(rejected, accepted + rejected),
        invalid=one.parts.get("INVALID", 0),
        challenges=one.challenges,
        reasons=_by_count(one.reasons),
        refused=_by_count(one.refused),
        found=found,
        false_rejects=observed_rate(min(found.good, maybe_good), maybe_good),
        faults=one.faults,
        scorer_restarts=one.scorer_restarts,
        lost_frames=one.lost_frames,
        latency_mean_ms=one.latency_sum_ms / one.scored if one.scored else None,
        latency_max_ms=one.latency_max_ms,
    )


def _by_count(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _places(evidence: Path | None, begin: float, end: float) -> Iterator[tuple[str, tuple[int, int]]]:
    """The ninth of the picture in which the highest region lies, of each rejected frame that is kept."""
    for index in [] if evidence is None else sorted(evidence.glob("*/index.sqlite")):
        for name in _kept(index, begin, end):
            try:
                record = msgspec.json.decode((index.parent / f"{name}.json").read_bytes(), type=EvidenceRecord)
                with (index.parent / record.frame).open("rb") as frame:
                    size = frame.read(24)[_PNG_SIZE]
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                continue  # the oldest frames go while others are read
            width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
            if record.verdict.regions and width and height:
                peak = record.verdict.regions[0].peak
                yield index.parent.name, (min(2, 3 * peak.y // height), min(2, 3 * peak.x // width))


def _kept(index: Path, begin: float, end: float) -> list[str]:
    query = (
        "SELECT name FROM evidence WHERE state = 'REJECT' AND why != 'challenge' AND captured_at >= ? "
        "AND captured_at < ? ORDER BY name DESC LIMIT ?"
    )
    try:
        with closing(sqlite3.connect(f"{index.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)) as file:
            return [name for (name,) in file.execute(query, (begin, end, _MOST_FRAMES))]
    except sqlite3.Error as error:
        raise EdgeAdError(f"{index}: the index of the evidence cannot be read now: {error}") from error


def report_table(report: ShiftReport) -> bytes:
    """The report as CSV (RFC 4180, UTF-8): ``section``, ``recipe``, ``name``, ``value``."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("section", "recipe", "name", "value"))
    for row in _rows(report):
        rows.writerow([harmless_cell(str(cell)) for cell in row])
    return text.getvalue().encode()


def _rows(report: ShiftReport) -> Iterator[tuple[object, ...]]:
    yield "shift", "", "station", report.station
    yield "shift", "", "since", report.shift.since
    yield "shift", "", "until", datetime.fromtimestamp(report.until).isoformat(timespec="seconds")
    for one in report.recipes:
        name = one.recipe
        yield "parts", name, "ACCEPT", one.accepted
        yield "parts", name, "REJECT", one.rejected.count
        yield "parts", name, "INVALID", one.invalid
        yield "parts", name, "reject_rate_upper_95", f"{one.rejected.high:.6g}"
        yield "found", name, "truly_bad", one.found.bad
        yield "found", name, "falsely_rejected", one.found.good
        yield "found", name, "false_reject_rate_lower_95", f"{one.false_rejects.low:.6g}"
        yield "found", name, "false_reject_rate_upper_95", f"{one.false_rejects.high:.6g}"
        yield from (("invalid", name, reason, count) for reason, count in one.reasons.items())
        yield from (("refused", name, reason, count) for reason, count in one.refused.items())
        for key in ("faults", "scorer_restarts", "lost_frames"):
            yield "station", name, key, getattr(one, key)
        yield from (("challenge_parts", name, state, count) for state, count in one.challenges.items())
    for place in report.places:
        yield "place", place.inspection, f"row {place.row + 1} column {place.column + 1}", place.count
    for inspection, state in report.drift.items():
        yield "drift", inspection, "now", state
    yield from _rows_of_proofs(report)
    for change in report.changes:
        yield "change", "", f"{change.time} {change.action}", f"{change.who or ''} {change.target or ''}".strip()


def _rows_of_proofs(report: ShiftReport) -> Iterator[tuple[object, ...]]:
    for proof in report.proofs:
        when = f"{datetime.fromtimestamp(proof.at).astimezone():%Y-%m-%dT%H:%M:%S}"
        yield "proof", proof.recipe, f"{when} {proof.kind}", f"{proof.outcome} {proof.detail or ''}".strip()
        yield "proof", proof.recipe, f"{when} by", proof.who or ", ".join(proof.why)
    for study in report.studies:
        system = study.system
        figures = {
            "effectiveness": system.effectiveness, "miss_rate": system.misses, "false_alarm_rate": system.false_alarms,
        }  # fmt: skip
        yield "measurement_system", study.recipe, f"{study.kind} runs", system.runs
        yield "measurement_system", study.recipe, f"{study.kind} kappa", _figure(system.kappa)
        for name, rate in figures.items():
            yield (
                "measurement_system",
                study.recipe,
                f"{study.kind} {name}",
                _figure(rate.count / rate.of if rate.of else None),
            )
            yield "measurement_system", study.recipe, f"{study.kind} {name}_lower", _figure(rate.low)
            yield "measurement_system", study.recipe, f"{study.kind} {name}_upper", _figure(rate.high)
            yield "measurement_system", study.recipe, f"{study.kind} {name}_grade", system.grades[name].value


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def harmless_cell(cell: str) -> str:
    """A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
