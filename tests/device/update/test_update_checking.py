"""What a device checks before it takes a bundle: each refusal has a sentence of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny
from support.tiny_calibration import calibrate

from edge_ad import Detector
from edge_ad.bundle import TrustStore
from edge_ad.errors import BundleError, DeviceError, InputError
from edge_ad.scoring.golden import Expectation
from edge_ad.update import (
    BundleUse,
    ChallengeSettings,
    CheckOrder,
    check_apart,
    check_bundle,
    run_challenge,
)
from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.signing import sign_bundle


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    """Accepts dim frames, and rejects those with a bright spot."""
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


@pytest.fixture
def challenge(tmp_path: Path) -> ChallengeSettings:
    """Two good parts and two bad ones, of which one looks good."""
    good, bad = tiny.frames(2), [tiny.spotted(tiny.frames(1)[0], 20, 20), tiny.frames(3)[2]]
    return ChallengeSettings(
        good=str(tiny.write_images(tmp_path / "good", good)), bad=str(tiny.write_images(tmp_path / "bad", bad))
    )


def order(bundle: Path, *, trust: Path | None = None, latency_ms: float | None = None, **use: Any) -> CheckOrder:
    uses = (BundleUse(recipe="default", inspection="top", **use),)
    return CheckOrder(bundle=str(bundle), uses=uses, trust=None if trust is None else str(trust), latency_ms=latency_ms)


def test_a_good_bundle_is_found_good(bundle: Path, challenge: ChallengeSettings) -> None:
    allowed = ChallengeSettings(good=challenge.good, bad=challenge.bad, misses_allowed=1)
    found = check_bundle(order(bundle, latency_ms=60_000, challenge=allowed))
    assert found[0] == "default/top: onnx-fp32, 2 golden frames replayed, all equal"
    assert found[1].endswith(" ms a frame")
    assert found[2] == ("default/top: challenge set: 1 of 2 bad parts accepted, 0 of 2 good parts rejected")


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ({"variant": "other"}, "default/top: the bundle .* has no variant 'other'"),
        ({"calibration": "night"}, "no calibration for the group 'night'"),
        ({"device": "TPU"}, "default/top: .*TPU"),
    ],
    ids=["variant", "calibration", "device"],
)
def test_what_the_station_asks_for_has_to_be_there(bundle: Path, use: dict[str, Any], why: str) -> None:
    with pytest.raises(BundleError, match=why):
        check_bundle(order(bundle, **use))


def test_a_bundle_without_calibration_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="is not calibrated, so it has no verdicts"):
        check_bundle(order(tiny_bundle))


def test_golden_frames_that_score_otherwise_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tiny._expect

    def wrong(*given: Any) -> Expectation:
        found = honest(*given)
        return Expectation(found.scores + np.float32(0.1), found.maps)

    monkeypatch.setattr(tiny, "_expect", wrong)
    made = tiny.write_bundle(tmp_path / "made")
    calibrate(made, 0.5)
    with pytest.raises(BundleError, match="gives other scores on this device than the bundle promises"):
        check_bundle(order(made))


def test_a_model_that_is_too_slow_is_refused(bundle: Path) -> None:
    with pytest.raises(
        BundleError, match=r"a golden frame takes .* ms on this device, and update\.latency_ms allows 1e-06"
    ):
        check_bundle(order(bundle, latency_ms=1e-6))


def test_an_unsigned_bundle_is_refused_and_checking_remembers_nothing(bundle: Path, tmp_path: Path) -> None:
    keys = KeyFolder.create(tmp_path / "keys")
    store = TrustStore.create(tmp_path / "store", keys.folder / "root.json")
    with pytest.raises(BundleError, match="is not signed"):
        check_bundle(order(bundle, trust=store.folder))
    sign_bundle(bundle, keys)
    assert check_bundle(order(bundle, trust=store.folder))[0].startswith("signed with the serial 1, good until")
    assert not (store.folder / "seen.json").exists()


def test_a_challenge_set_that_is_not_passed_is_refused(bundle: Path, challenge: ChallengeSettings) -> None:
    why = "1 bad parts of the challenge set are accepted, allowed are 0: 0001.png"
    with pytest.raises(BundleError, match=f"default/top: {why}"):
        check_bundle(order(bundle, challenge=challenge))
    calibrate(bundle, -1.0)
    with pytest.raises(BundleError, match=r"2 good parts of the challenge set are rejected, allowed are 0: 0000\.png"):
        check_bundle(order(bundle, challenge=challenge))


def test_a_picture_that_cannot_be_read_is_never_accepted(
    bundle: Path, challenge: ChallengeSettings, tmp_path: Path
) -> None:
    (tmp_path / "good/0000.png").write_bytes(b"no picture")
    told: list[str] = []
    with Detector.open(bundle) as detector:
        result = run_challenge(detector, challenge, lambda one: told.append(one.path.name))
    assert told == ["0000.png", "0001.png"] * 2
    assert [one.path.name for one in result.false_rejects] == ["0000.png"]
    assert result.false_rejects[0].verdict.reason == "unreadable"


def test_a_challenge_set_that_is_missing_is_a_fault_of_the_station_file(bundle: Path) -> None:
    gone = ChallengeSettings(good="/no/such", bad="/no/such")
    with pytest.raises(InputError, match="/no/such: no such file or folder"):
        check_bundle(order(bundle, challenge=gone))


@pytest.mark.parametrize(
    ("program", "error", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", BundleError, r"died \(SIGSEGV\)"),
        ("raise MemoryError('no more')", BundleError, r"died \(status 1\): MemoryError: no more"),
        ('print(\'{"refused": "no good", "code": 3}\')', BundleError, "^no good$"),
        ('print(\'{"refused": "no such folder", "code": 2}\')', InputError, "^no such folder$"),
    ],
    ids=["crash", "error", "refused", "input"],
)
def test_a_check_that_dies_is_a_refusal(program: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        check_apart(order(tmp_path), (sys.executable, "-S", "-c", program))


def test_a_check_that_cannot_be_started_is_a_fault_of_the_device(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be started"):
        check_apart(order(tmp_path), (str(tmp_path / "no-such-program"),))
