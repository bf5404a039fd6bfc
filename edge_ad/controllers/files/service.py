"""Writes results to files, and takes kept images to where they are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge_ad.controllers.conversation import Outcome, outcome_of
from edge_ad.controllers.files.daily_csv import DailyCsv
from edge_ad.controllers.files.destinations import Destination, destination
from edge_ad.controllers.files.evidence_index import Image, find_images
from edge_ad.controllers.files.files_settings import FilesSettings
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.outbox import Outbox, OutboxLimits, Waiting, lock_beside
from edge_ad.controllers.signals import ResultCode
from edge_ad.errors import EdgeAdError, one_line
from edge_ad.link.messages import Event, FaultRaised, PartResult
from edge_ad.verdict import State

__all__ = ["run"]

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_AGAIN_S, _LONGEST_PAUSE_S = 1.0, 60.0


async def run(settings: FilesSettings, gateway: Gateway, name: str) -> None:
    """Serves until it is cancelled.

    Raises:
        EdgeAdError: the queue cannot be used, or another process writes the results.
    """
    station = gateway.view.station or name
    with contextlib.ExitStack() as stack:
        work = []
        if settings.csv is not None:
            stack.enter_context(_alone(Path(settings.csv), station))
            work.append(_write_csv(DailyCsv(Path(settings.csv), station), gateway))
        if settings.destinations:
            limits = OutboxLimits(messages=settings.queue_images, sync=True)
            queue = stack.enter_context(contextlib.closing(Outbox(Path(settings.queue), limits)))
            work.append(_Uploads(settings, queue, station).run())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _alone(folder: Path, station: str) -> Iterator[None]:
    """Nobody else writes these files: each row would stand there twice. Where the folder is away nothing is checked."""
    lock = -1
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_beside(folder / f"results-{station}", "folder")
    try:
        yield
    finally:
        if lock >= 0:
            os.close(lock)


async def _write_csv(rows: DailyCsv, gateway: Gateway) -> None:
    """A batch is what has come since the last one; each reaches the disk before the next."""
    news = asyncio.Event()

    def hear(event: Event) -> None:
        for outcome in _outcomes(event):
            rows.add(outcome, time.time())
            news.set()

    gateway.heard.append(hear)
    try:
        while True:
            await news.wait()
            news.clear()
            if not await asyncio.to_thread(rows.write):
                await asyncio.sleep(_AGAIN_S)
                news.set()
    finally:
        gateway.heard.remove(hear)
        rows.write()
        if rows.waiting:
            logger.error("%d rows could not be written", rows.waiting)


def _outcomes(event: Event) -> list[Outcome]:
    """One for each part that is finished by this event."""
    if isinstance(event, PartResult):
        return [outcome_of(event)]
    if not isinstance(event, FaultRaised):
        return []
    return [
        Outcome(part_id=None, number=None, trigger=one, state=State.INVALID, code=ResultCode.FAULT, detail=event.cause)
        for one in event.triggers
    ]


class _Uploads:
    """Images that are wanted wait in a queue on disk until they are where they belong."""

    def __init__(self, settings: FilesSettings, queue: Outbox, station: str) -> None:
        self._settings = settings
        self._queue = queue
        self._station = station
        self._evidence = Path(settings.evidence or "")
        self._told: str | None = None

    async def run(self) -> None:
        to, pause_s = destination(self._settings), _AGAIN_S
        try:
            while True:
                self._look()
                if await self._upload(to):
                    pause_s = _AGAIN_S
                    await asyncio.sleep(_LOOK_S)
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            await to.close()

    def _look(self) -> None:
        try:
            found = find_images(self._evidence, self._settings, self._queue.mark)
        except (sqlite3.Error, OSError) as error:
            self._tell(f"the evidence in {self._evidence} cannot be read: {one_line(error)}")
            return
        for image in found.images:
            self._queue.add("image", msgspec.json.encode(image))
        for name, value in found.marks.items():
            self._queue.set_mark(name, value)

    async def _upload(self, to: Destination) -> bool:
        """Whether all that waits has gone out."""
        while waiting := self._queue.after(0, 1):
            try:
                await self._one(to, waiting[0])
            except EdgeAdError as error:
                self._tell(f"{error}; {self._queue.waiting} images wait")
                return False
            self._queue.done(waiting[0].sequence)
            if self._told is not None:
                logger.info("images go out again; %d wait", self._queue.waiting)
                self._told = None
        return True

    async def _one(self, to: Destination, waiting: Waiting) -> None:
        image = msgspec.json.decode(waiting.payload, type=Image)
        # The record is the last: where it is, the picture is whole.
        for suffix in (".png", ".json"):
            path = self._evidence / image.inspection / f"{image.name}{suffix}"
            try:
                data = await asyncio.to_thread(path.read_bytes)
            except OSError as error:
                logger.warning("%s is not sent: %s: the evidence made room before it went out", path, error.strerror)
                return
            await to.put(f"{self._station}/{image.inspection}/{path.name}", data)

    def _tell(self, what: str) -> None:
        kind = what.partition(";")[0]
        if kind != self._told:
            logger.error("%s; trying again", what)
        self._told = kind
