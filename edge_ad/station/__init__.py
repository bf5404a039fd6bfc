"""The station: cameras in, one verdict for each part out. See ``docs/station.md``."""

from __future__ import annotations

from edge_ad.station.part_outputs import JsonLinesOutput, PartOutput, RecordedParts
from edge_ad.station.parts import InspectedPart, PartFrame
from edge_ad.station.running import check_station, run_station
from edge_ad.station.station_file import StationFile, read_station_file, station_schema

__all__ = [
    "InspectedPart",
    "JsonLinesOutput",
    "PartFrame",
    "PartOutput",
    "RecordedParts",
    "StationFile",
    "check_station",
    "read_station_file",
    "run_station",
    "station_schema",
]
