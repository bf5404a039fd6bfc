"""Frames that are INVALID whatever a model says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_ad.cameras import CameraSettings, FrameChecks, FrameInfo, sample_digest
from edge_ad.capture.arrival import LostFrames
from edge_ad.capture.backends.protocol import CounterRange
from edge_ad.verdict import Reason

S = 1_000_000_000


def info(digest: int = 0, **changes: Any) -> FrameInfo:
    known = {"slot": 0, "height": 48, "width": 64, "channels": 3, "sequence": 0, "captured_at": 0.0, "captured_ns": 0}
    return FrameInfo(**(known | {"digest": digest} | changes))


def checks(**changes: Any) -> FrameChecks:
    return FrameChecks(CameraSettings(**({"source": "0"} | changes)))


def reasons(one: FrameChecks, *frames: FrameInfo, now_ns: int = 0) -> list[Reason | None]:
    return [fault.reason if (fault := one.check(frame, now_ns)) else None for frame in frames]


def test_frames_that_differ_are_sound() -> None:
    assert reasons(checks(), info(1), info(2), info(1)) == [None, None, None]


def test_the_same_content_again_is_frozen() -> None:
    assert reasons(checks(), info(1), info(1), info(1), info(2)) == [None, Reason.FROZEN, Reason.FROZEN, None]


def test_repeats_may_be_allowed() -> None:
    assert reasons(checks(allow_repeats=True), info(1), info(1)) == [None, None]


def test_a_damaged_frame_is_unreadable_and_not_compared_with() -> None:
    damaged = info(1, damaged="error while decoding MB 4 4")
    one = checks()
    assert reasons(one, info(1), damaged, info(1)) == [None, Reason.UNREADABLE, Reason.FROZEN]
    fault = one.check(damaged, 0)
    assert fault is not None
    assert fault.detail == "error while decoding MB 4 4"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        pytest.param({}, [None, Reason.WRONG_SHAPE], id="as-the-first-frame"),
        pytest.param({"width": 32, "height": 48}, [Reason.WRONG_SHAPE, None], id="as-set"),
        pytest.param({"source": "a/folder/of/pictures"}, [None, None], id="pictures-have-any-size"),
    ],
)
def test_the_size(settings: dict[str, Any], wanted: list[Reason | None]) -> None:
    assert reasons(checks(**settings), info(1), info(2, width=32)) == wanted


@pytest.mark.parametrize(("age_s", "wanted"), [(2.0, None), (2.001, Reason.STALE)], ids=["in-time", "stale"])
def test_a_frame_is_stale_from_a_certain_age_on(age_s: float, wanted: Reason | None) -> None:
    one, frame = checks(stale_after_s=2.0), info(captured_ns=5 * S)
    now_ns = 5 * S + round(age_s * S)
    assert reasons(one, frame, now_ns=now_ns) == [wanted]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("0", Reason.WRONG_SHAPE), ("link", Reason.WRONG_SHAPE), ("a/folder", None)],
    ids=["camera", "handed-in", "pictures"],
)
def test_a_camera_does_not_turn_from_colour_to_gray(source: str, wanted: Reason | None) -> None:
    assert reasons(checks(source=source), info(1), info(2, channels=1), info(3)) == [None, wanted, None]


def test_cut_outs_that_are_handed_in_have_any_size() -> None:
    assert reasons(checks(source="link"), info(1), info(2, width=32)) == [None, None]


def test_noise_changes_the_digest_and_a_copy_does_not() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (48, 64, 3), np.uint8)
    assert sample_digest(image) == sample_digest(image.copy())
    noisy = image ^ random.integers(0, 2, image.shape, np.uint8)
    assert sample_digest(image) != sample_digest(noisy)
    assert sample_digest(image[..., 0]) != sample_digest(image[..., 1])


GIGE, PLAIN = CounterRange(1, 65_535), CounterRange(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter_range", "counters", "lost"),
    [
        pytest.param(GIGE, [7, 8, 9], [0, 0, 0], id="none"),
        pytest.param(GIGE, [7, 10], [0, 2], id="some"),
        pytest.param(GIGE, [65_535, 1, 2], [0, 0, 0], id="wrap-from-65535-to-1"),
        pytest.param(GIGE, [65_534, 3], [0, 3], id="lost-over-the-wrap"),
        pytest.param(GIGE, [500, 1, 2], [0, 0, 0], id="the-camera-began-again"),
        pytest.param(GIGE, [7, 7], [0, 0], id="the-same-again"),
        pytest.param(PLAIN, [2**32 - 1, 0], [0, 0], id="wrap-of-32-bits"),
        pytest.param(PLAIN, [65_535, 65_536], [0, 0], id="no-wrap-at-16-bits"),
        pytest.param(GIGE, [1, None, 9], [0, 0, 0], id="not-stated"),
        pytest.param(None, [1, 9], [0, 0], id="no-counter"),
    ],
)
def test_lost_frames(counter_range: CounterRange | None, counters: list[int | None], lost: list[int]) -> None:
    one = LostFrames(counter_range)
    assert [one.before(counter) for counter in counters] == lost
