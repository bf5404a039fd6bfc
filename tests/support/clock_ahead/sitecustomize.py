"""Sets the wall clock ahead by ``EDGE_AD_TEST_DAYS_AHEAD`` days, in this process and in the processes that it starts.

``make test DAYS_AHEAD=400`` puts this folder on ``PYTHONPATH``. Only what asks for the date is moved: file dates and
the monotonic clock, on which waits depend, stay as they are.
"""

from __future__ import annotations

import os
import time

_SECONDS = float(os.environ["EDGE_AD_TEST_DAYS_AHEAD"]) * 86_400
_time, _time_ns = time.time, time.time_ns

time.time = lambda: _time() + _SECONDS
time.time_ns = lambda: _time_ns() + int(_SECONDS * 1e9)
