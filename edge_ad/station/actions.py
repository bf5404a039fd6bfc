"""What the core of the station asks the world to do. Plain values: the loop carries them out, tests look at them."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.cameras import FrameInfo
from edge_ad.link import messages
from edge_ad.station.parts import InspectedPart
from edge_ad.station.proofs import Proof

__all__ = [
    "Action",
    "AnswerClient",
    "CameraFrame",
    "ChangeCamera",
    "HandedIn",
    "KeepProof",
    "KillScorer",
    "NoteUpdate",
    "PartDone",
    "Publish",
    "ReplaySet",
    "ReturnFrame",
    "ScoreFrame",
    "StartScorer",
    "StopScorer",
    "TriggerCamera",
    "WantedUpdate",
]


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """A frame in the ring of a camera. ``ring``: which one; a camera that was started again has another."""

    camera: str
    ring: int
    info: FrameInfo


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A frame that a client of the link handed in; ``key``: under which the loop keeps its memory."""

    camera: str
    key: int
    height: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True)
class TriggerCamera:
    """Let a camera take one picture now."""

    camera: str
    number: int


@dataclass(frozen=True, slots=True)
class ChangeCamera:
    """Open a camera with the settings that a recipe wants."""

    camera: str
    recipe: str


@dataclass(frozen=True, slots=True)
class ScoreFrame:
    """Lend a frame to a scorer."""

    scorer: int
    job: int
    frame: CameraFrame | HandedIn
    part_id: str
    frame_id: int
    captured_at: float
    is_challenge: bool = False


@dataclass(frozen=True, slots=True)
class ReturnFrame:
    """Nobody reads this frame any more."""

    frame: CameraFrame | HandedIn


@dataclass(frozen=True, slots=True)
class StartScorer:
    """Start a scorer for an inspection of a recipe. ``bundle``: another one than the station file names.

    ``is_trial``: this bundle may yet be given back.
    """

    scorer: int
    recipe: str
    inspection: str
    bundle: str | None = None
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class StopScorer:
    """End a scorer that is not needed any more."""

    scorer: int


@dataclass(frozen=True, slots=True)
class KillScorer:
    """End a scorer that does not answer, and start it again."""

    scorer: int
    why: str


@dataclass(frozen=True, slots=True)
class PartDone:
    """A part has its result. ``by_fault``: the link was told by the fault, not by a result."""

    part: InspectedPart
    asker: tuple[int, str] | None
    by_fault: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell everybody who listens. ``to``: clients and the ids that they gave."""

    event: messages.Event
    to: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WantedUpdate:
    """A bundle that was deployed and checked. ``old``, ``new``: the paths of the one in force and of this one."""

    key: str
    slot: int
    title: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class NoteUpdate:
    """Write down that a deployed bundle has come to this step; the core is told when that is done."""

    update: WantedUpdate
    step: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class KeepProof:
    """Write a proof down. ``bundles``: those in force, by inspection."""

    proof: Proof
    bundles: dict[str, str]


@dataclass(frozen=True, slots=True)
class ReplaySet:
    """Replay the challenge set of a recipe; without ``who`` only where something has changed since the last time."""

    recipe: str
    bundles: dict[str, str]
    who: str | None
    runs: int


@dataclass(frozen=True, slots=True)
class AnswerClient:
    """Answer one client."""

    client: int
    message: messages.Answer


Action = (
    TriggerCamera
    | ChangeCamera
    | ScoreFrame
    | ReturnFrame
    | StartScorer
    | StopScorer
    | KillScorer
    | PartDone
    | Publish
    | NoteUpdate
    | KeepProof
    | ReplaySet
    | AnswerClient
)
