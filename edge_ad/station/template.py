"""The station file that ``edge-ad init`` writes: short, with what may be changed as comments."""

from __future__ import annotations

import json
from pathlib import Path

from edge_ad.cameras.settings import source_kind
from edge_ad.errors import InputError

__all__ = ["find_camera", "station_template"]

_TEMPLATE = """\
# A station of edge-ad. Check it with  edge-ad run --check FILE  and run it with  edge-ad run FILE.
# Paths are relative to this file. All entries are explained in docs/station.md.

[station]
name = {name}
trigger = "camera"       # every frame is a part; or "link": a client says when; "input": a pulse; "timer": timer_ms
deadline_ms = 1000       # a verdict that comes later is INVALID

[camera.main]
source = {source}
{pace}# exposure_us = 2000     # what is not given stays as the camera has it
# gain = 1.0

[inspect.main]
camera = "main"
bundle = {bundle}  # {title}
# variant = "openvino-int8"   # otherwise the bundle's default, or the fastest for this CPU
threads = 1              # processor cores for this bundle
memory_mb = 1024         # a scorer that takes more is started again

[output.results]
kind = "jsonl"           # one line for each part
path = "results.jsonl"

[evidence]
folder = "evidence"      # rejected, borderline and some accepted frames, for  edge-ad replay
limit_mb = 1000

[drift]                  # says when frames stop looking like the calibration's
folder = "drift"
defect_rate = 0.01       # the share of parts that may really be defective

# [input]                # with trigger = "input": each pulse of this line is a part
# chip = "/dev/gpiochip0"
# line = 17
# debounce_ms = 5

# [link]                 # other programs trigger and listen here
# socket = {socket}

# [stop.too-many-rejects]     # stops the station until somebody resets it
# state = "REJECT"
# count = 5
# of = 20

# [recipe.small]           # a kind of part: what it changes of the inspections; the first one is active at the start
# inspect.main.bundle = {bundle}
# [recipe.large]
# inspect.main.bundle = "large"

# [controller.plc]         # a PLC, a broker, SCADA: docs/controllers.md; needs [link] and  edge-ad connect FILE
# protocol = "modbus"

# [audit]                  # who asked controllers for what
# file = "audit.jsonl"

# [counters]               # counts by recipe and shift, kept over restarts
# file = "counts.json"
# shift_starts = ["06:00", "14:00", "22:00"]

# [update]                 # takes new bundles while it runs:  edge-ad deploy
# folder = "updates"

# [log]                    # otherwise the log goes to standard error
# file = "station.log"
# level = "info"

# [preview]                # small pictures of the newest frames, for the page
# folder = "preview"       # better in memory, such as "/run/edge-ad/preview"

# [controller.page]        # people's page at http://127.0.0.1:8080, by  edge-ad connect FILE; it needs [link]
# protocol = "http"
# preview = "preview"
# evidence = "evidence"
# counters = "counts.json"

# [teaching]               # good parts may be taught on the page; it needs [update]
# folder = "teaching"
"""


def station_template(name: str, source: str, bundle: str, title: str) -> str:
    """The text of a station file for one camera and one bundle. ``title``: the bundle's own name and version."""
    is_files = source_kind(source) in {"folder", "video"}
    pace = (
        'pace = "fast"            # files: as fast as they are scored; "real" paces them by fps\n' if is_files else ""
    )
    return _TEMPLATE.format(
        name=json.dumps(name),
        source=json.dumps(source),
        bundle=json.dumps(bundle),
        title=title,
        socket=json.dumps(f"{name}.sock"),
        pace=pace,
    )


def find_camera(folder: Path = Path("/dev")) -> str:
    """The first video device.

    Raises:
        InputError: there is none.
    """
    found = sorted(folder.glob("video[0-9]*"), key=lambda one: (len(one.name), one.name))
    if not found:
        raise InputError(f"no camera in {folder}: name the source with --source, for instance a folder of images")
    return str(found[0])
