"""The settings of a camera, strict, and what a camera makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import videos

from edge_ad.cameras import CameraSettings
from edge_ad.cameras.settings import source_kind, unmet_settings


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "device"),
        ("/dev/video0", "device"),
        ("/dev/v4l/by-id/usb-1", "device"),
        ("rtsp://user:secret@10.0.0.3/live", "url"),
        ("http://10.0.0.3/mjpeg", "url"),
        ("gst:videotestsrc ! appsink", "gst"),
        ("basler:", "basler"),
        ("basler:40012345", "basler"),
        ("genicam:/opt/producer.cti#12", "genicam"),
        ("gige:10.0.0.4", "gige"),
        ("link", "link"),
        ("fake:/tmp/x", "fake"),
        ("parts/*.png", "folder"),
        ("./0", "folder"),
        ("/dev/shm/parts", "folder"),  # noqa: S108
    ],
)
def test_the_kind_of_a_source(source: str, kind: str) -> None:
    assert source_kind(source) == kind


def test_a_file_is_a_video_by_what_it_holds(tmp_path: Path) -> None:
    assert source_kind(str(videos.write_video(tmp_path / "clip.avi", 2))) == "video"
    assert source_kind(str(tmp_path)) == "folder"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        pytest.param({}, "source", id="no-source"),
        pytest.param({"source": ""}, "length >= 1", id="empty-source"),
        pytest.param({"source": "0", "exposure": 3}, "unknown field `exposure`", id="unknown"),
        pytest.param({"source": "0", "trigger": "line"}, "Invalid enum value 'line'", id="trigger"),
        pytest.param({"source": "0", "slots": 1}, "slots", id="too-few-slots"),
        pytest.param({"source": "0", "exposure_us": 0}, "exposure_us", id="no-exposure"),
        pytest.param({"source": "0", "width": 64}, "give both, or neither", id="width-alone"),
        pytest.param({"source": "0", "loop": True}, "loop: is for files", id="loop"),
        pytest.param({"source": "parts", "trigger": "hardware"}, "files have no trigger line", id="line"),
        pytest.param({"source": "0", "fps": 0.2}, "set it to 10 or more", id="slower-than-stale"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(table, CameraSettings)


WANTED = CameraSettings(source="0", exposure_us=5000, width=640, height=480, pixel_format="Mono8")
FOUND: dict[str, Any] = {"exposure_us": 5100.0, "width": 640, "height": 480, "pixel_format": "Mono8"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, None, id="all-met"),
        pytest.param({"exposure_us": 5251.0}, "exposure_us: expected 5000, but the camera says 5251.0", id="exposure"),
        pytest.param({"width": 639}, "width: expected 640, but the camera says 639", id="width-is-exact"),
        pytest.param({"pixel_format": "Mono12"}, "pixel_format: expected Mono8", id="format"),
    ],
)
def test_what_a_camera_does_not_do_is_found(changes: dict[str, Any], said: str | None) -> None:
    assert str(said) in str(unmet_settings(WANTED, FOUND | changes))


@pytest.mark.parametrize(
    ("settings", "found", "said"),
    [
        pytest.param({"gain": 1.0}, {}, "gain: expected 1.0, but a camera of this kind cannot be set to it", id="gain"),
        pytest.param({"trigger": "hardware"}, {}, "trigger: expected hardware", id="no-line"),
        pytest.param({"trigger": "hardware"}, {"trigger": "free"}, "the camera says free", id="line-refused"),
        pytest.param({"trigger": "software"}, {}, "None", id="software-works-with-all"),
        pytest.param({}, {"gain": 3.0}, "None", id="nothing-asked"),
    ],
)
def test_what_a_kind_of_camera_cannot_do(settings: dict[str, Any], found: dict[str, Any], said: str) -> None:
    assert said in str(unmet_settings(CameraSettings(source="0", **settings), found))
