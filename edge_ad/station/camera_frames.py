"""The pictures of cameras on their way to the parts: each begins one, belongs to one, or was not asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec

from edge_ad.cameras import FrameChecks
from edge_ad.station.actions import Action, CameraFrame, ReturnFrame
from edge_ad.station.parts import Moment, PartReason

if TYPE_CHECKING:
    from edge_ad.cameras import CameraSettings, FrameInfo
    from edge_ad.station.condition import Condition
    from edge_ad.station.part_book import OpenPart, PartBook
    from edge_ad.station.station_file import StationFile

__all__ = ["CameraFrames"]


class CameraFrames:
    """Checks each picture and finds its part. ``refusal``: why a part of this id cannot begin now.

    ``held``: pictures of files, which wait until the one before has its result.
    """

    def __init__(
        self,
        out: list[Action],
        file: StationFile,
        book: PartBook,
        condition: Condition,
        refusal: Callable[[str | None], tuple[str, str] | None],
    ) -> None:
        self._out = out
        self._file = file
        self._book = book
        self._condition = condition
        self._refusal = refusal
        self._checks = {name: FrameChecks(self._checked(name)) for name in file.camera}
        self.held: deque[tuple[str, int, FrameInfo]] = deque()

    def frame(self, camera: str, ring: int, info: FrameInfo, now: Moment) -> None:
        """A camera took a picture: it begins a part, belongs to an open one, or was not asked for."""
        if self._begins(camera) and self._file.is_patient(camera) and self._waiting(camera) is None:
            self.held.append((camera, ring, info))
            self.go_on(now)
        else:
            self._take(camera, ring, info, now)

    def go_on(self, now: Moment) -> None:
        """The next picture of a file, when the one before has its result."""
        while self.held and not self._book.parts and self._refusal(None) is None:
            self._take(*self.held.popleft(), now)

    def _take(self, camera: str, ring: int, info: FrameInfo, now: Moment) -> None:
        frame, begins = CameraFrame(camera, ring, info), self._begins(camera)
        fault = self._checks[camera].check(info, now.ns)
        self._book.counters.lost_frames += info.lost_before
        if begins and self._condition.takes_triggers:
            for _ in range(min(info.lost_before, 1000)):
                self._book.pass_by(now, PartReason.DROPPED, "the frame was lost before it could be scored")
        part = self._begun_by(frame, now) if begins else self._waiting_for(camera, info)
        if part is None:
            self._book.counters.unasked_frames += not begins
            self._out.append(ReturnFrame(frame))
            return
        self._book.expose(part, frame, info.captured_at, now, fault)

    def _begins(self, camera: str) -> bool:
        """Whether every frame of this camera begins a part."""
        return self._file.station.trigger == "camera" and camera == self._file.trigger_camera()

    def _begun_by(self, frame: CameraFrame, now: Moment) -> OpenPart | None:
        """The part that this frame begins; where it cannot, its part is INVALID at once."""
        if not self._condition.takes_triggers:
            return None
        waits = self._waiting(frame.camera)
        if waits is not None:
            return waits
        if self._file.camera[frame.camera].queue == "latest":
            self._book.drop_unbegun(now)
        refusal = self._refusal(None)
        if refusal is not None:
            self._book.pass_by(now, PartReason.DROPPED, refusal[1])
            return None
        part = self._book.begin(None, _name_of(frame.info), now)
        for camera, count in part.wanted.items():
            if camera != frame.camera and self._file.camera[camera].trigger == "software":
                self._book.shoot(part, camera, count)
        return part

    def _waiting_for(self, camera: str, info: FrameInfo) -> OpenPart | None:
        if info.trigger is not None:
            part = self._book.shot_for(info.trigger)
            return part if part is not None and part.wanted.get(camera) else None
        if self._file.camera[camera].trigger == "software":
            return None
        part = self._waiting(camera)
        return part if part is not None and info.captured_ns >= part.begun_ns else None

    def _waiting(self, camera: str) -> OpenPart | None:
        """The oldest part that still wants a frame of this camera."""
        return next((one for one in self._book.parts.values() if one.wanted.get(camera)), None)

    def _checked(self, camera: str) -> CameraSettings:
        """A camera's settings for its frame checks: a file that waits to be scored does not grow old."""
        settings = self._file.camera[camera]
        return msgspec.structs.replace(settings, stale_after_s=1e9) if self._file.is_patient(camera) else settings


def _name_of(info: FrameInfo) -> str | None:
    """The part of a picture from a file is called like the file."""
    return None if info.name is None else PurePath(info.name).name
