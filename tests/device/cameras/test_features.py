"""The settings of a GenICam camera, on features that are a dictionary; and libraries that are missing."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from edge_ad.cameras import CameraSettings
from edge_ad.capture.backends.features import configure
from edge_ad.capture.backends.opening import open_backend
from edge_ad.capture.backends.protocol import CameraRefusedError
from edge_ad.errors import MissingExtraError


class FakeFeatures:
    """Features that record what is set. ``choices``: what some of them may be set to."""

    def __init__(self, values: dict[str, Any], choices: dict[str, list[Any]] | None = None) -> None:
        self.values = values
        self.choices = choices or {}
        self.history: list[tuple[str, Any]] = []

    def has(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:
        return self.values[name]

    def set(self, name: str, value: Any) -> None:
        if name in self.choices and value not in self.choices[name]:
            raise ValueError(f"{value} is none of\n{self.choices[name]}")
        self.history.append((name, value))
        self.values[name] = value


def modern() -> FakeFeatures:
    known = {"PixelFormat": "Mono8", "Width": 1000, "Height": 800, "ExposureAuto": "Continuous", "ExposureTime": 9.0}
    rest = {"GainAuto": "Continuous", "Gain": 0.0, "AcquisitionFrameRateEnable": False, "AcquisitionFrameRate": 30.0}
    trigger = {"TriggerMode": "On", "TriggerSelector": "FrameStart", "TriggerSource": "Line3", "BalanceRatio": 1.0}
    return FakeFeatures(known | rest | trigger)


def test_nothing_is_touched_that_was_not_asked_for_but_the_trigger() -> None:
    features = modern()
    found = configure(features, CameraSettings(source="basler:"))
    assert features.history == [("TriggerMode", "Off")]
    assert found == {"pixel_format": "Mono8", "width": 1000, "height": 800, "fps": 30.0, "trigger": "free"}


def test_automatic_control_is_switched_off_before_a_value_is_set() -> None:
    features = modern()
    wanted = CameraSettings(source="basler:", exposure_us=5000, gain=2, fps=10, trigger="software")
    found = configure(features, wanted)
    assert features.history == [
        ("TriggerMode", "Off"),
        ("ExposureAuto", "Off"),
        ("ExposureTime", 5000.0),
        ("GainAuto", "Off"),
        ("Gain", 2.0),
        ("AcquisitionFrameRateEnable", True),
        ("AcquisitionFrameRate", 10.0),
        ("TriggerMode", "On"),
        ("TriggerSource", "Software"),
    ]
    assert (found["exposure_us"], found["gain"], found["fps"], found["trigger"]) == (5000.0, 2.0, 10.0, "software")


def test_other_features_are_set_first_and_read_back() -> None:
    features = modern()
    found = configure(features, CameraSettings(source="basler:", features={"BalanceRatio": 1.5}, width=640, height=480))
    assert features.history[1:] == [("BalanceRatio", 1.5), ("Width", 640), ("Height", 480)]
    assert found["BalanceRatio"] == 1.5


def test_old_names_are_known() -> None:
    features = FakeFeatures({"ExposureTimeAbs": 1.0, "AcquisitionFrameRateAbs": 1.0, "PixelFormat": "Mono8"})
    features.choices = {"PixelFormat": ["Mono8", "BGR8Packed"]}
    found = configure(features, CameraSettings(source="basler:", exposure_us=50, fps=5, pixel_format="BGR8"))
    assert (features.values["ExposureTimeAbs"], features.values["PixelFormat"]) == (50.0, "BGR8Packed")
    assert found == {"pixel_format": "BGR8", "exposure_us": 50.0, "fps": 5.0, "trigger": "free"}


def test_the_line_of_a_hardware_trigger_is_the_one_that_was_set() -> None:
    features = modern()
    found = configure(features, CameraSettings(source="basler:", trigger="hardware", trigger_line="Line2"))
    assert (features.values["TriggerSource"], found["trigger"]) == ("Line2", "hardware")


def test_what_the_camera_does_not_take_is_one_line() -> None:
    features = FakeFeatures({"PixelFormat": "Mono8"}, {"PixelFormat": ["Mono8"]})
    with pytest.raises(CameraRefusedError) as caught:
        configure(features, CameraSettings(source="basler:", pixel_format="Mono12"))
    assert (
        str(caught.value)
        == "pixel_format: the camera does not take Mono12 for PixelFormat: Mono12 is none of ['Mono8']"
    )


@pytest.mark.parametrize(
    ("source", "library", "said"),
    [
        ("basler:", "pypylon", "pip install 'edge-ad[basler]'"),
        ("genicam:a.cti", "harvesters.core", "pip install 'edge-ad[genicam]'"),
    ],
)
def test_a_library_that_is_missing_answers_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, source: str, library: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as caught:
        open_backend(CameraSettings(source=source), 0)
    assert said in str(caught.value)
