"""Whether a station may use a bundle, said from a process of its own.

A model can crash or hang the engine that loads it, so no process that has something else to do loads it first.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_ad.bundle import DEFAULT_STATION, Bundle, TrustStore
from edge_ad.errors import BundleError, DeviceError, EdgeAdError, InputError, counted, one_line
from edge_ad.update.challenge import ChallengeSettings, run_challenge

if TYPE_CHECKING:
    from edge_ad.detector import Detector

__all__ = ["BundleUse", "CheckOrder", "check_apart", "check_bundle", "open_for_station"]

_TIMEOUT_S = 600.0
_MOST_BYTES = 8 << 30
_TIMED_FRAMES, _WARM_UP = 9, 2


class BundleUse(msgspec.Struct, frozen=True, kw_only=True):
    """How one inspection of a recipe uses the bundle."""

    recipe: str
    inspection: str
    variant: str | None = None
    calibration: str | None = None
    device: str = "CPU"
    threads: int | None = 1
    challenge: ChallengeSettings | None = None


class CheckOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked. ``trust``: the trust store. ``latency_ms``: how long a frame may take."""

    bundle: str
    uses: tuple[BundleUse, ...]
    trust: str | None = None
    latency_ms: float | None = None


class _Checked(msgspec.Struct, frozen=True):
    """What the process of a check says: what it found, or why the bundle is refused. ``code``: of the exit."""

    found: tuple[str, ...] = ()
    refused: str | None = None
    code: int = 0


def open_for_station(
    bundle: Bundle,
    variant: str | None,
    calibration: str | None,
    device: str,
    threads: int | None,
    *,
    cache: str | None = None,
    may_teach: bool = False,
) -> Detector:
    """A detector as a station needs it: self-tested, calibrated, its threads neither spin nor slow down at denormals.

    ``cache``: a folder for compiled models, for an engine that keeps some.
    ``may_teach``: a bundle that is not calibrated is taken, too; all that it says is ``INVALID(uncalibrated)``.

    Raises:
        EdgeAdError: the bundle cannot be used here, or not by a station.
    """
    from edge_ad.detector import Detector
    from edge_ad.engines import EngineOptions
    from edge_ad.engines.base import keeps_compiled

    # Any of the choices may be the one that scores here.
    choices = bundle.choices(calibration) if variant is None else (bundle.variant(variant),)
    keeps = any(keeps_compiled(one.engine) for one in choices)
    folder = Path(cache) if cache is not None and keeps else None
    options = EngineOptions(device=device, threads=threads, cache_dir=folder, spin=False, flush_denormals=True)
    is_calibrated = not may_teach or _has_calibration(bundle, variant, calibration)
    detector = Detector.open(bundle, variant, calibration, engine=options, calibrated=is_calibrated)
    try:
        if detector.calibration is None and not may_teach:
            raise InputError(
                f"{bundle.path} is not calibrated, so it has no verdicts: teach it on the page or run edge-ad calibrate"
            )
        if detector.scorer.takes_objects or detector.scorer.takes_vectors:
            raise InputError(f"{bundle.path} scores objects or vectors: a station needs a bundle that scores frames")
    except BaseException:
        detector.close()
        raise
    return detector


def _has_calibration(bundle: Bundle, variant: str | None, calibration: str | None) -> bool:
    record = bundle.calibration(bundle.variant(variant, calibration))
    return record is not None and (calibration or DEFAULT_STATION) in record.stations


def check_bundle(order: CheckOrder) -> tuple[str, ...]:
    """Checks signature, golden frames, latency and challenge sets of a bundle whose hashes were checked.

    Returns what was found, a sentence each.

    Raises:
        BundleError: this device is not to use it.
        InputError: a challenge set of the station is not in order.
    """
    bundle, found = Bundle.open(order.bundle), []
    if order.trust is not None:
        signed = TrustStore(Path(order.trust)).check(bundle)
        found.append(f"signed with the serial {signed.serial}, good until {signed.expires:%Y-%m-%d}")
    alike = {msgspec.structs.replace(use, recipe="", inspection=""): use for use in reversed(order.uses)}
    for use in reversed(alike.values()):
        where = f"{use.recipe}/{use.inspection}"
        try:
            detector = open_for_station(bundle, use.variant, use.calibration, use.device, use.threads)
        except BundleError:
            raise
        except EdgeAdError as error:  # no such variant, not calibrated, an engine that is missing or refuses it
            raise BundleError(f"{where}: {error}") from error
        with detector:
            found += [f"{where}: {one}" for one in detector.passed_over]
            golden = counted(len(bundle.manifest.golden.frames), "golden frame")
            found.append(f"{where}: {detector.variant.id}, {golden} replayed, all equal")
            found += [] if detector.choice is None else [f"{where}: {detector.choice}"]
            found += _timed(detector, order.latency_ms, where)
            if use.challenge is not None:
                result = run_challenge(detector, use.challenge)
                if result.problem is not None:
                    raise BundleError(f"{where}: {result.problem}")
                found.append(f"{where}: {result}")
    return tuple(found)


def _timed(detector: Detector, most_ms: float | None, where: str) -> list[str]:
    """How long a frame takes here; raises :class:`BundleError` where that is too long."""
    from edge_ad.scoring.golden import golden_frames

    if most_ms is None or detector.bundle.manifest.clip is not None:
        return []
    frames = list(golden_frames(detector.bundle))
    taken = []
    for frame in chain.from_iterable(repeat(frames)):
        latency = detector.score(frame).latency_ms
        taken.append(latency.total if latency is not None else most_ms)
        if len(taken) == _TIMED_FRAMES + _WARM_UP:
            break
    median = statistics.median(taken[_WARM_UP:])
    if median > most_ms:
        raise BundleError(
            f"{where}: a golden frame takes {median:.1f} ms on this device, and update.latency_ms allows {most_ms:g}"
        )
    return [f"{where}: {median:.1f} ms a frame"]


def check_apart(order: CheckOrder, command: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """As :func:`check_bundle`, in a process with bounds on time and memory: the model may be of any kind.

    Raises:
        BundleError: also when this process crashes or does not end.
        DeviceError: it cannot be started.
    """
    run = command or (sys.executable, "-c", "from edge_ad.update.checking import main; main()")
    try:
        done = subprocess.run(
            run, input=msgspec.json.encode(order), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"the bundle was not checked within {_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise DeviceError(f"the check of the bundle cannot be started: {error.strerror}") from error
    with contextlib.suppress(msgspec.DecodeError):
        said = msgspec.json.decode(done.stdout, type=_Checked)
        if said.refused is None:
            return said.found
        raise (InputError if said.code == InputError.exit_code else BundleError)(said.refused)
    status = done.returncode
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    last = one_line(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])[-300:]
    raise BundleError(f"the process that opened the bundle died ({how}){f': {last}' if last else ''}")


def main(check: Callable[[CheckOrder], tuple[str, ...]] = check_bundle) -> None:
    """Reads an order from standard input, and writes what came of it to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=CheckOrder)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        said = _Checked(check(order))
    except EdgeAdError as error:
        said = _Checked(refused=one_line(error), code=error.exit_code)
    sys.stdout.buffer.write(msgspec.json.encode(said))
