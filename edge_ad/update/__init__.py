"""A new bundle for a running station: checked there, used from the next part on, watched, and kept or given back."""

from __future__ import annotations

from edge_ad.update.challenge import ChallengeFrame, ChallengeResult, ChallengeSettings, run_challenge
from edge_ad.update.checking import BundleUse, CheckOrder, check_apart, check_bundle, open_for_station
from edge_ad.update.road import DeployOrder, RecordStep, deploy
from edge_ad.update.slots import FOLLOWING, JournalLine, Slots, SlotState, Step, UpdateSettings, slot_number

__all__ = [
    "FOLLOWING",
    "BundleUse",
    "ChallengeFrame",
    "ChallengeResult",
    "ChallengeSettings",
    "CheckOrder",
    "DeployOrder",
    "JournalLine",
    "RecordStep",
    "SlotState",
    "Slots",
    "Step",
    "UpdateSettings",
    "check_apart",
    "check_bundle",
    "deploy",
    "open_for_station",
    "run_challenge",
    "slot_number",
]
