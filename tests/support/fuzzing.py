"""How long a fuzzer goes on: for so many minutes as ``EDGE_AD_FUZZ_MINUTES`` says."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

__all__ = ["rounds", "tell"]


def rounds(name: str) -> Iterator[int]:
    """Seeds, one a round, until the time is over; at least one. Each is printed, so that a failed one is known.

    ``EDGE_AD_FUZZ_SEED`` is the first one.
    """
    end = time.monotonic() + 60 * float(os.environ.get("EDGE_AD_FUZZ_MINUTES", "0.5"))
    seed = int(os.environ.get("EDGE_AD_FUZZ_SEED", "0"))
    while True:
        tell(f"{name}: seed {seed}")
        yield seed
        seed += 1
        if time.monotonic() > end:
            return


def tell(text: str) -> None:
    """A line for whoever watches, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
