"""``python -m edge_ad.teaching``: calibrates with what was taught. The order comes through standard input.

A model can crash or hang the engine that loads it, so no process that has something else to do loads it.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import msgspec

from edge_ad.errors import EdgeAdError, NotEnoughNormalsError, one_line
from edge_ad.teaching.calibrating import CalibrateOrder, Proposal, RefusedCalibration, calibrate_taught
from edge_ad.teaching.session import TeachingFolder

_NICENESS = 12
_MOST_BYTES = 8 << 30


def main() -> None:
    """Carries an order out; what came of it is kept in the folder of what was taught."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=CalibrateOrder)
    taught = TeachingFolder(Path(order.folder), order.inspection, order.recipe)
    version = taught.session().version
    told: Proposal | RefusedCalibration
    try:
        told = calibrate_taught(order)
    except NotEnoughNormalsError as error:
        told = RefusedCalibration(version=version, reason="too_few", detail=one_line(error), needed=error.needed)
    except EdgeAdError as error:
        told = RefusedCalibration(version=version, reason="failed", detail=one_line(error))
    taught.propose(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
