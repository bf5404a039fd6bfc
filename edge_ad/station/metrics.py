"""Counts and states as Prometheus metrics, in a file for the textfile collector of node_exporter: without a network."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import MissingExtraError
from edge_ad.link.messages import StationState
from edge_ad.station.counting import StationCounters
from edge_ad.verdict import DriftState

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["MetricsSettings", "MetricsView", "check_metrics", "render_metrics"]


class MetricsSettings(Record, frozen=True, kw_only=True):
    """``[metrics]``: every ``every_s`` seconds the metrics are written to ``file``, which ends with ``.prom``."""

    file: Annotated[str, msgspec.Meta(pattern=r"\.prom$")]
    every_s: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 15.0


class MetricsView(msgspec.Struct, kw_only=True):
    """What the metrics say. ``total`` and ``shift``: by recipe. ``at``: seconds since the epoch."""

    station: str
    at: float
    state: StationState
    recipe: str | None
    total: dict[str, StationCounters]
    shift: dict[str, StationCounters]
    cameras: dict[str, str]
    outputs: dict[str, str]
    drift: dict[str, DriftState]
    alarms: int


def check_metrics() -> None:
    """Raises :class:`MissingExtraError` where the library is not installed."""
    if importlib.util.find_spec("prometheus_client") is None:
        raise MissingExtraError("prometheus-client", "metrics")


def render_metrics(view: MetricsView) -> bytes:
    """The text of the file."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Once(Collector):
        def collect(self) -> Iterable[Metric]:
            yield from _counters(view)
            yield from _gauges(view)

    registry = CollectorRegistry()
    registry.register(Once())
    return bytes(generate_latest(registry))


def _counters(view: MetricsView) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, SummaryMetricFamily

    def counter(name: str, text: str, label: str | None = None) -> CounterMetricFamily:
        labels = ["station", "recipe", *([label] if label else [])]
        return CounterMetricFamily(f"edge_ad_{name}", text, labels=labels)

    parts = counter("parts", "Parts by result.", "state")
    invalid = counter("not_scored", "Parts without a valid verdict, by reason.", "reason")
    refused = counter("refused_triggers", "Triggers that were not taken, by reason.", "reason")
    plain = {
        "lost_frames": counter("lost_frames", "Frames that were lost on their way."),
        "faults": counter("faults", "How often the station went into FAULT."),
        "scorer_restarts": counter("scorer_restarts", "How often a scorer was started again."),
    }
    times = SummaryMetricFamily(
        "edge_ad_part_seconds",
        "From the trigger to the result, of parts that got a score.",
        labels=["station", "recipe"],
    )
    for recipe, counts in view.total.items():
        where = [view.station, recipe]
        for family, given in ((parts, counts.parts), (invalid, counts.reasons), (refused, counts.refused)):
            for name, count in given.items():
                family.add_metric([*where, name], count)
        for name, family in plain.items():
            family.add_metric(where, getattr(counts, name))
        times.add_metric(where, counts.scored, counts.latency_sum_ms / 1e3)
    return [parts, invalid, refused, *plain.values(), times]


def _gauges(view: MetricsView) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"edge_ad_{name}", text, labels=["station", *labels])

    station = [view.station]
    state = gauge("state", "1 for the station's state.", "state")
    for one in StationState:
        state.add_metric([*station, one.value], one is view.state)
    active = gauge("active_recipe", "1 for the active recipe.", "recipe")
    if view.recipe is not None:
        active.add_metric([*station, view.recipe], 1)
    cameras = gauge("camera_streaming", "Whether a camera streams.", "camera")
    for name, how in view.cameras.items():
        cameras.add_metric([*station, name], how == "STREAMING")
    outputs = gauge("output_ok", "Whether an output, the evidence, the counters or the log can be written.", "output")
    for name, how in view.outputs.items():
        outputs.add_metric([*station, name], not how.startswith("failing"))
    drift = gauge("drift", "1 for the drift state of an inspection.", "inspection", "state")
    for name, found in view.drift.items():
        for kind in DriftState:
            drift.add_metric([*station, name, kind.value], kind is found)
    alarms = gauge("alarms", "Alarms that nobody has acknowledged.")
    alarms.add_metric(station, view.alarms)
    written = gauge("written_timestamp_seconds", "When this was written: a station that hangs writes nothing.")
    written.add_metric(station, view.at)
    return [state, active, cameras, outputs, drift, alarms, written, *_of_the_shift(view), *_extremes(view)]


def _of_the_shift(view: MetricsView) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    parts = GaugeMetricFamily(
        "edge_ad_shift_parts", "Parts of this shift by result.", labels=["station", "recipe", "state"]
    )
    for recipe, counts in view.shift.items():
        for name, count in counts.parts.items():
            parts.add_metric([view.station, recipe, name], count)
    return [parts]


def _extremes(view: MetricsView) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ["station", "recipe"]
    lowest = GaugeMetricFamily("edge_ad_shift_part_seconds_min", "The quickest part of this shift.", labels=labels)
    highest = GaugeMetricFamily("edge_ad_shift_part_seconds_max", "The slowest part of this shift.", labels=labels)
    for recipe, counts in view.shift.items():
        if counts.latency_min_ms is not None and counts.latency_max_ms is not None:
            lowest.add_metric([view.station, recipe], counts.latency_min_ms / 1e3)
            highest.add_metric([view.station, recipe], counts.latency_max_ms / 1e3)
    return [lowest, highest]
