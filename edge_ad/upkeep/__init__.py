"""Looking after a device: is it fit for a station, what happened to it, and how another one takes its place."""

from __future__ import annotations

from edge_ad.upkeep.backup import back_up, restore
from edge_ad.upkeep.doctor import examine
from edge_ad.upkeep.machine_checks import Check
from edge_ad.upkeep.support import write_support

__all__ = ["Check", "back_up", "examine", "restore", "write_support"]
