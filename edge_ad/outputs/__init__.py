"""Where results go: JSON lines, CSV, annotated pictures and video."""

from __future__ import annotations

from edge_ad.outputs.annotate import annotate
from edge_ad.outputs.film import FilmSink
from edge_ad.outputs.heat import HeatRange, HeatScale
from edge_ad.outputs.jsonlines import JsonLinesSink
from edge_ad.outputs.pictures import PictureSink
from edge_ad.outputs.plain import TextSink
from edge_ad.outputs.sink import Sink
from edge_ad.outputs.table import CsvSink

__all__ = [
    "CsvSink",
    "FilmSink",
    "HeatRange",
    "HeatScale",
    "JsonLinesSink",
    "PictureSink",
    "Sink",
    "TextSink",
    "annotate",
]
