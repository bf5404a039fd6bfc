"""Writes proofs down and replays challenge sets, in threads: a verdict waits for neither."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from edge_ad import __version__
from edge_ad.bundle import Bundle, calibration_name
from edge_ad.errors import EdgeAdError, InputError, one_line
from edge_ad.sources import list_images
from edge_ad.station.actions import KeepProof, ReplaySet
from edge_ad.station.proofs import Proof, ProofOutcome, add_proof, read_proofs
from edge_ad.station.station_log import log_event
from edge_ad.update import BundleUse
from edge_ad.update.replaying import ReplayOrder, ReplayResult, ReplayUse, start_replay

if TYPE_CHECKING:
    from edge_ad.station.station_file import StationFile

__all__ = ["StationProofs", "identity_of", "what_changed"]

Replays = Callable[[ReplayOrder, Callable[[subprocess.Popen[bytes]], None]], ReplayResult]

logger = logging.getLogger(__name__)

_CLOSE_WAIT_S = 5.0


class StationProofs:
    """The proofs of a running station. ``known``: those of its file. ``clock``: seconds since the epoch.

    ``replays``: replays a challenge set; by default in a process of its own.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(
        self, file: StationFile, clock: Callable[[], float] = time.time, replays: Replays = start_replay
    ) -> None:
        assert file.proof is not None  # noqa: S101
        self._file = file
        self._path = Path(file.proof.file)
        self._clock = clock
        self._start = replays
        self._software = str(__version__)
        self.known = read_proofs(self._path)
        self._last = {one.recipe: one for one in self.known if one.kind == "replay"}
        self._orders: queue.SimpleQueue[KeepProof | None] = queue.SimpleQueue()
        self._replays: queue.SimpleQueue[ReplaySet | None] = queue.SimpleQueue()
        self._done: deque[tuple[Proof | str, str | None]] = deque()
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._process: subprocess.Popen[bytes] | None = None
        self._closes = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._write_all, self._replay_all)]
        for one in self._threads:
            one.start()
        for proof in _unfinished(self.known):
            text = "the station ended before the challenge did"
            self.keep(KeepProof(replace(proof, at=clock(), outcome=ProofOutcome.INTERRUPTED, detail=text), {}))

    def keep(self, what: KeepProof) -> None:
        """Writes a proof down, in the order of the calls."""
        self._orders.put(what)

    def replay(self, what: ReplaySet) -> None:
        """Replays the challenge set of a recipe; where nobody asked for it, only if something has changed."""
        self._replays.put(what)

    def fileno(self) -> int:
        """Readable when something was done."""
        return self._woken.fileno()

    def done(self) -> list[tuple[Proof | str, str | None]]:
        """Proofs that were written down, with the error where they could not be; a recipe's name: nothing changed."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found

    def close(self) -> None:
        """Ends a replay, and when all else is written."""
        self._closes = True
        if self._process is not None:
            self._process.kill()
        self._replays.put(None)
        self._threads[1].join(_CLOSE_WAIT_S)
        self._orders.put(None)
        self._threads[0].join(_CLOSE_WAIT_S)
        self._woken.close()
        self._waking.close()

    def _write_all(self) -> None:
        while (what := self._orders.get()) is not None:
            proof, error = what.proof, None
            if not proof.identity:
                known = identity_of(self._file, proof.recipe, what.bundles, self._software)
                proof = replace(proof, software=self._software, identity=known)
            try:
                add_proof(self._path, proof)
            except (EdgeAdError, OSError) as problem:
                error = one_line(problem)
            level = logging.INFO if proof.outcome in {ProofOutcome.PASSED, ProofOutcome.BEGUN} else logging.WARNING
            detail = "" if proof.detail is None else f": {proof.detail}"
            text = f"proof of recipe {proof.recipe} by {proof.kind}: {proof.outcome.value}{detail}"
            log_event(logger, level, "proof", text, recipe=proof.recipe, who=proof.who, why=proof.why)
            self._tell((proof, error))

    def _replay_all(self) -> None:
        while (what := self._replays.get()) is not None:
            known = identity_of(self._file, what.recipe, what.bundles, self._software)
            last = self._last.get(what.recipe)
            why = ("first",) if last is None else what_changed(last.identity, known)
            if not why and last is not None and last.outcome is ProofOutcome.ERROR:
                why = ("error",)
            if what.who is None and not why:
                self._tell((what.recipe, None))
                continue
            result = self._replayed(what)
            if self._closes:
                return
            self._last[what.recipe] = proof = self._proof_of(what, result, why, known)
            self.keep(KeepProof(proof, {}))

    def _replayed(self, what: ReplaySet) -> ReplayResult:
        uses = tuple(
            ReplayUse(
                bundle=what.bundles[name],
                use=BundleUse(
                    recipe=what.recipe,
                    inspection=name,
                    variant=one.variant,
                    calibration=one.calibration,
                    device=one.device,
                    threads=one.threads,
                    challenge=one.challenge,
                ),
            )
            for name, one in self._file.inspections(what.recipe).items()
            if one.challenge is not None
        )

        def started(process: subprocess.Popen[bytes]) -> None:
            self._process = process
            if self._closes:
                process.kill()

        try:
            return self._start(ReplayOrder(uses=uses, runs=what.runs), started)
        except EdgeAdError as error:
            return ReplayResult(error=one_line(error))
        finally:
            self._process = None

    def _proof_of(self, what: ReplaySet, result: ReplayResult, why: tuple[str, ...], known: dict[str, str]) -> Proof:
        outcome = ProofOutcome.ERROR if result.error else ProofOutcome.FAILED if result.problem else ProofOutcome.PASSED
        return Proof(
            at=self._clock(),
            kind="replay",
            recipe=what.recipe,
            outcome=outcome,
            who=what.who,
            why=why or ("asked",),
            detail=result.error or result.problem,
            software=self._software,
            identity=known,
            parts=result.parts,
        )

    def _tell(self, what: tuple[Proof | str, str | None]) -> None:
        self._done.append(what)
        with contextlib.suppress(OSError):
            self._waking.send(b"\0")


def _unfinished(known: tuple[Proof, ...]) -> list[Proof]:
    """The challenges that were begun and have no end."""
    last = {one.recipe: one for one in known if one.kind == "parts"}
    return [one for one in last.values() if one.outcome is ProofOutcome.BEGUN]


def identity_of(file: StationFile, recipe: str, bundles: dict[str, str], software: str) -> dict[str, str]:
    """What a proof of this recipe is about, by name. ``bundles``: the one in force of each inspection."""
    cameras = file.cameras(recipe)
    found = {"software": software, "camera": _digest(msgspec.json.encode(cameras, order="sorted"))}
    for name, one in file.inspections(recipe).items():
        path = Path(bundles.get(name, one.bundle))
        try:
            bundle = Bundle.open(path)
            manifest = msgspec.json.encode(bundle.manifest)
            # Any of the choices may be the one that scores here.
            variants = (bundle.variant(one.variant),) if one.variant else bundle.choices(one.calibration)
            threshold = b"".join(bundle.companion(calibration_name(variant)) or b"" for variant in variants)
        except (EdgeAdError, OSError):
            manifest, threshold = b"", b""
        chosen = f"{one.variant} {one.device}".encode()
        found[f"bundle {name}"] = _digest(manifest + chosen)
        found[f"threshold {name}"] = _digest(threshold + str(one.calibration).encode())
        if one.challenge is not None:
            found[f"set {name}"] = _digest(_pictures(one.challenge.good) + b"|" + _pictures(one.challenge.bad))
    return found


def what_changed(before: dict[str, str], now: dict[str, str]) -> tuple[str, ...]:
    """The names, without those of the inspections, of what is not as it was."""
    names = [name.partition(" ")[0] for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return tuple(dict.fromkeys(names))


def _pictures(place: str) -> bytes:
    try:
        known = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in list_images(place)]
    except (InputError, OSError) as error:
        known = [(str(error), 0, 0)]
    return msgspec.json.encode(known)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
