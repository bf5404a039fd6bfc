"""The calibrations of a bundle: those that were replaced are kept, listed and taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.tiny_calibration import calibrate

from edge_ad.bundle import Bundle, list_earlier, pack, restore_calibration
from edge_ad.errors import BundleIntegrityError, CalibrationError, InputError

HISTORY = "variants/onnx-fp32/calibration.history"


def thresholds(bundle: Bundle) -> dict[str, float]:
    record = bundle.calibration(bundle.variant())
    assert record is not None
    return {name: made.image.threshold for name, made in record.stations.items()}


def earlier(bundle: Bundle) -> list[tuple[int, dict[str, float]]]:
    found = list_earlier(bundle, bundle.variant())
    return [(one.number, {name: made.image.threshold for name, made in one.stations.items()}) for one in found]


def test_what_is_replaced_is_kept_and_what_is_new_replaces_nothing(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate(tiny_bundle, 0.5)
    calibrate(tiny_bundle, 0.6, "line-2")
    assert earlier(bundle) == []
    calibrate(tiny_bundle, 0.7)
    calibrate(tiny_bundle, 0.8, "line-2")
    assert earlier(bundle) == [(1, {"default": 0.5}), (2, {"line-2": 0.6})]
    assert thresholds(bundle) == {"default": 0.7, "line-2": 0.8}


def test_one_is_taken_back_and_what_it_replaces_is_kept(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate(tiny_bundle, 0.5)
    calibrate(tiny_bundle, 0.7)
    calibrate(tiny_bundle, 0.6, "line-2")
    restored = restore_calibration(bundle, bundle.variant(), 1)
    assert restored.replaced is not None
    assert restored.replaced.number == 2
    assert thresholds(bundle) == {"default": 0.5, "line-2": 0.6}
    restore_calibration(bundle, bundle.variant(), 2)
    assert thresholds(bundle) == {"default": 0.7, "line-2": 0.6}


def test_the_last_five_of_each_station_are_kept(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate(tiny_bundle, 0.3, "line-2")
    calibrate(tiny_bundle, 0.4, "line-2")
    for step in range(9):
        calibrate(tiny_bundle, step + 0.5)
    assert [number for number, _ in earlier(bundle)] == [1, 5, 6, 7, 8, 9]
    assert [stations for _, stations in earlier(bundle)][-1] == {"default": 7.5}


def test_a_number_that_is_not_there_names_those_that_are(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(InputError, match="has no earlier calibration 1: there are none"):
        restore_calibration(bundle, bundle.variant(), 1)
    for threshold in (0.5, 0.6, 0.7):
        calibrate(tiny_bundle, threshold)
    with pytest.raises(InputError, match="has no earlier calibration 4: there are 1, 2"):
        restore_calibration(bundle, bundle.variant(), 4)


def test_a_damaged_one_and_that_of_another_artefact_are_not_taken_back(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate(tiny_bundle, 0.5)
    calibrate(tiny_bundle, 0.75)
    shutil.copytree(tiny_bundle / HISTORY, tiny_bundle / "variants/openvino-fp32/calibration.history")
    with pytest.raises(CalibrationError, match="another variant"):
        restore_calibration(bundle, bundle.variant("openvino-fp32"), 1)
    path = tiny_bundle / HISTORY / "1.json"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))
    with pytest.raises(BundleIntegrityError, match=r"calibration\.history/1\.json .*was changed"):
        restore_calibration(bundle, bundle.variant(), 1)
    assert earlier(bundle) == []
    assert thresholds(bundle) == {"default": 0.75}


def test_a_zip_file_has_no_history_and_none_is_restored_in_it(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    calibrate(tiny_bundle, 0.7)
    packed = Bundle.open(pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip"))
    assert thresholds(packed) == {"default": 0.7}
    assert list_earlier(packed, packed.variant()) == ()
    with pytest.raises(InputError, match="is packed"):
        restore_calibration(packed, packed.variant(), 1)
