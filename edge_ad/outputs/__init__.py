"""Where results go: JSON lines, CSV, annotated pictures and video."""

from __future__ import annotations

from edge_ad.outputs.annotate import annotate
from edge_ad.outputs.anomaly_map import ColourRange, ColourScale
from edge_ad.outputs.csv_table import CsvSink
from edge_ad.outputs.jsonlines import JsonLinesSink
from edge_ad.outputs.pictures import PictureSink
from edge_ad.outputs.sink import Sink
from edge_ad.outputs.text_lines import TextSink
from edge_ad.outputs.video_file import VideoSink

__all__ = [
    "ColourRange",
    "ColourScale",
    "CsvSink",
    "JsonLinesSink",
    "PictureSink",
    "Sink",
    "TextSink",
    "VideoSink",
    "annotate",
]
