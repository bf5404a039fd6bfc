"""Keeps the libraries that export drives from writing between edge-ad's own lines."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["quiet_logs"]


@contextmanager
def quiet_logs(*names: str) -> Iterator[None]:
    """Lets nothing below ``CRITICAL`` through from these loggers while the block runs (no name: from the root)."""
    loggers = [logging.getLogger(name) for name in names or (None,)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
