"""What is being taught to one inspection of a recipe: a folder with a session, the frames of good parts, a proposal.

``session.json`` is written by whoever is asked to change it, one at a time; ``frames.jsonl`` and the pictures by the
scorer. So teaching goes on while nobody looks, and is found again after a restart of either.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import InputError
from edge_ad.files import alone, atomic_write, output_error

__all__ = [
    "ChangedError",
    "ExcludedPart",
    "Regions",
    "TaughtFrame",
    "TeachingFolder",
    "TeachingSession",
    "TeachingSettings",
]

_SESSION, _FRAMES, _PICTURES, _PROPOSAL, _LOCK = "session.json", "frames.jsonl", "frames", "proposal.json", "lock"
_MOST_PARTS = 100_000

Pixel = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Rate = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class TeachingSettings(Record, frozen=True, kw_only=True):
    """``[teaching]``: parts may be taught on the page; their frames lie in ``folder``, at most ``limit_mb`` for each
    inspection. A bundle without a calibration is opened, too: then every part is INVALID until it has been taught.
    """

    folder: str
    limit_mb: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 4_000


class Regions(Record, frozen=True, kw_only=True):
    """What of the frame is inspected, in camera pixels. ``roi``: x, y, width, height; ``None``: the whole frame.

    ``ignored``: polygons of x, y that are not inspected. ``width``, ``height``: of the frame that they were drawn on.
    ``overlap``: of tiles, where the bundle has them; ``None``: as it is.
    """

    width: Pixel
    height: Pixel
    roi: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    ignored: Annotated[tuple[tuple[tuple[Pixel, Pixel], ...], ...], msgspec.Meta(max_length=64)] = ()
    overlap: Pixel | None = None

    def __post_init__(self) -> None:
        if self.roi is not None:
            x, y, width, height = self.roi
            if width < 8 or height < 8 or x + width > self.width or y + height > self.height:
                raise ValueError("expected a region of at least 8 x 8 pixels inside the frame")
        if any(not 3 <= len(one) <= 256 for one in self.ignored):
            raise ValueError("expected 3 to 256 corners for each area that is ignored")


class ExcludedPart(Record, frozen=True, kw_only=True):
    """A part that was taken out by a person, and why."""

    part: str
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    who: str


class TeachingSession(Record, frozen=True, kw_only=True):
    """``version``: counts the changes; ``changed_by``, ``changed_at``: of the last one, in seconds since the epoch.

    ``wanted``: so many good parts are counted, from ``since`` on; 0: nothing is being taught. ``collecting``: whether
    further parts are taken. ``alpha``, ``confidence``: what is to be promised of the thresholds. ``excluded``: parts
    that were not good after all. ``regions``: what is to be inspected; ``None``: what the bundle says.
    """

    version: int
    changed_by: str
    changed_at: float
    wanted: Annotated[int, msgspec.Meta(ge=0, le=_MOST_PARTS)] = 0
    since: float = 0.0
    collecting: bool = False
    alpha: Rate = 0.01
    confidence: Annotated[float, msgspec.Meta(ge=0.5, lt=1)] = 0.95
    excluded: tuple[ExcludedPart, ...] = ()
    regions: Regions | None = None


class TaughtFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of ``frames.jsonl``. ``name``: of the picture, without its suffix; ``None``: the disk was too slow for it,
    and its part does not count."""

    part: str
    name: str | None
    captured_at: float


class ChangedError(InputError):
    """Somebody else has changed it meanwhile."""

    def __init__(self, session: TeachingSession) -> None:
        self.by, self.at = session.changed_by, session.changed_at
        super().__init__(
            f"{session.changed_by} changed this at {time.strftime('%H:%M:%S', time.localtime(session.changed_at))}: "
            "look at it again"
        )


class TeachingFolder:
    """The folder of one inspection of a recipe."""

    def __init__(self, folder: Path, inspection: str, recipe: str) -> None:
        self.folder = folder / f"{inspection}.{recipe}"
        self.proposed = self.folder / "proposed"

    def session(self) -> TeachingSession:
        """How it stands; version 0 where nothing was ever asked for.

        Raises:
            InputError: the file is damaged or cannot be read.
        """
        path = self.folder / _SESSION
        try:
            return msgspec.json.decode(path.read_bytes(), type=TeachingSession)
        except FileNotFoundError:
            return TeachingSession(version=0, changed_by="", changed_at=0.0)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}: remove it to begin anew") from error

    def touched_ns(self) -> int | None:
        """Changes with the session."""
        try:
            return (self.folder / _SESSION).stat().st_mtime_ns
        except OSError:
            return None

    def change(
        self, version: int, who: str, made: Callable[[TeachingSession], TeachingSession], *, forget: bool = False
    ) -> TeachingSession:
        """Changes the session, where it is still the one of this version. ``forget``: the frames before it go.

        Raises:
            ChangedError: it is another one by now.
            OutputError: it cannot be written.
        """
        with self._alone():
            present = self.session()
            if present.version != version:
                raise ChangedError(present)
            changed = msgspec.structs.replace(
                made(present), version=present.version + 1, changed_by=who, changed_at=time.time()
            )
            if forget:
                self.discard_proposal()
                (self.folder / _FRAMES).unlink(missing_ok=True)
                shutil.rmtree(self.folder / _PICTURES, ignore_errors=True)
            atomic_write(self.folder / _SESSION, msgspec.json.format(msgspec.json.encode(changed)) + b"\n")
        return changed

    def frames(self) -> list[TaughtFrame]:
        """The frames that were kept, in the order of time. Half a line that a power cut has left says nothing."""
        try:
            lines = (self.folder / _FRAMES).read_bytes().split(b"\n")[:-1]
        except OSError:
            return []
        found = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                found.append(msgspec.json.decode(line, type=TaughtFrame))
        return found

    def parts(self) -> dict[str, list[TaughtFrame]]:
        """The frames of each part that counts: taken since teaching began, and of which all frames were kept."""
        found: dict[str, list[TaughtFrame]] = {}
        since = self.session().since
        for one in self.frames():
            if one.captured_at >= since:
                found.setdefault(one.part, []).append(one)
        return {part: frames for part, frames in found.items() if all(one.name is not None for one in frames)}

    def picture(self, name: str) -> Path:
        """The PNG of a frame."""
        return self.folder / _PICTURES / f"{name}.png"

    def frames_file(self) -> Path:
        """Where the scorer adds a line for each frame."""
        return self.folder / _FRAMES

    # --- the proposal

    def proposal(self) -> bytes | None:
        """What came of calibrating last, as JSON."""
        try:
            return (self.folder / _PROPOSAL).read_bytes()
        except OSError:
            return None

    def propose(self, told: bytes) -> None:
        """Keeps what came of it. Raises :class:`OutputError`."""
        atomic_write(self.folder / _PROPOSAL, told)

    def discard_proposal(self) -> None:
        """Nothing is proposed any more."""
        (self.folder / _PROPOSAL).unlink(missing_ok=True)
        shutil.rmtree(self.proposed, ignore_errors=True)
        for left in self.folder.glob(".*-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        for left in self.folder.glob(f".{self.proposed.name}.*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes the session meanwhile."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        with alone(self.folder / _LOCK, f"{self.folder}: another process holds the session"):
            yield
