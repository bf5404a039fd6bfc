"""A bundle is read strictly and written whole or not at all."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest
from support import tiny

from edge_ad import Detector
from edge_ad.bundle import (
    DEFAULT_STATION,
    MANIFEST,
    Bundle,
    BundleWriter,
    pack,
    unpack,
    write_calibration,
)
from edge_ad.bundle.records import OrderStatistic, RankCalibration
from edge_ad.bundle.seal import sealed_json
from edge_ad.errors import (
    BundleFormatError,
    BundleIntegrityError,
    CalibrationError,
    InputError,
    OutputError,
)


def calibration(threshold: float = 0.5) -> RankCalibration:
    statistic = OrderStatistic(threshold=threshold, rank=1, n=4)
    return RankCalibration(
        alpha=0.5,
        confidence=0.9,
        image=statistic,
        pixel=statistic,
        scores=(0.1, 0.2, 0.3, threshold),
        observation="frame",
        images_sha256="a" * 64,
        created="2026-01-01T00:00:00Z",
        producer="tests",
    )


def rewrite(bundle: Path, **changes: object) -> None:
    """Changes the manifest and seals it again: what a careful but wrong writer would leave."""
    manifest = Bundle.open(bundle).manifest
    (bundle / MANIFEST).write_bytes(sealed_json(msgspec.structs.replace(manifest, **changes)))


def test_every_file_is_listed_with_its_hash(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    on_disk = {p.relative_to(tiny_bundle).as_posix() for p in tiny_bundle.rglob("*") if p.is_file()}
    assert set(bundle.manifest.files) == on_disk - {MANIFEST}


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        "variants/onnx-fp32/model.onnx",
        "variants/openvino-fp32/model.bin",
        "golden/0.png",
        "golden/onnx-fp32.npz",
    ],
)
def test_a_changed_byte_is_found_and_the_file_named(tiny_bundle: Path, name: str) -> None:
    flip(tiny_bundle / name, 20)
    with pytest.raises(BundleIntegrityError, match=name):
        Bundle.open(tiny_bundle).read(name)
    with pytest.raises(BundleIntegrityError, match=name):
        Bundle.open(tiny_bundle).check_file(name)


def test_any_changed_byte_of_the_manifest_is_refused(tiny_bundle: Path) -> None:
    path = tiny_bundle / MANIFEST
    intact = path.read_bytes()
    for position in range(0, len(intact), 37):
        flip(path, position)
        with pytest.raises((BundleFormatError, BundleIntegrityError), match=MANIFEST):
            Bundle.open(tiny_bundle)
        path.write_bytes(intact)
    Bundle.open(tiny_bundle)


def test_a_missing_file_is_named(tiny_bundle: Path) -> None:
    (tiny_bundle / "variants/onnx-fp32/model.onnx").unlink()
    with pytest.raises(BundleIntegrityError, match=r"model\.onnx"):
        Detector.open(tiny_bundle)


def test_a_newer_format_says_what_to_do(tiny_bundle: Path) -> None:
    path = tiny_bundle / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"edge-ad/1", b"edge-ad/2", 1))
    with pytest.raises(BundleFormatError, match=r"'edge-ad/2', expected 'edge-ad/1': update edge-ad"):
        Bundle.open(tiny_bundle)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../outside.png", id="parent"),
        pytest.param("/etc/hostname", id="absolute"),
        pytest.param("golden/../../outside.png", id="hidden-parent"),
        pytest.param("C:\\outside.png", id="windows"),
        pytest.param("golden//0.png", id="not-normal"),
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(tiny_bundle: Path, name: str) -> None:
    entry = Bundle.open(tiny_bundle).manifest.files["golden/0.png"]
    rewrite(tiny_bundle, files=Bundle.open(tiny_bundle).manifest.files | {name: entry})
    with pytest.raises(BundleIntegrityError, match="outside the bundle"):
        Bundle.open(tiny_bundle)


def test_a_link_that_leaves_the_bundle_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    outside = shutil.copy(tiny_bundle / "golden/0.png", tmp_path / "outside.png")
    (tiny_bundle / "golden/0.png").unlink()
    (tiny_bundle / "golden/0.png").symlink_to(outside)
    with pytest.raises(BundleIntegrityError, match="outside the bundle"):
        Bundle.open(tiny_bundle).read("golden/0.png")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"default_variant": "none"}, "default variant 'none'", id="default-variant"),
        pytest.param({"variants": ()}, "default variant", id="no-variants"),
        pytest.param({"files": {}}, "lists no hash", id="unlisted"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tiny_bundle: Path, changes: dict[str, object], message: str
) -> None:
    rewrite(tiny_bundle, **changes)
    with pytest.raises(BundleFormatError, match=message):
        Bundle.open(tiny_bundle)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("geometry", None, id="missing"),
        pytest.param("surprise", 1, id="unknown"),
        pytest.param("variants", "none", id="wrong-type"),
    ],
)
def test_a_field_that_is_wrong_is_named(tiny_bundle: Path, key: str, value: object) -> None:
    path = tiny_bundle / MANIFEST
    fields = json.loads(path.read_bytes())
    fields[key] = value
    class_ = msgspec.defstruct("Loose", [(name, object) for name in fields])
    path.write_bytes(sealed_json(class_(**fields)))
    with pytest.raises(BundleFormatError, match=key):
        Bundle.open(tiny_bundle)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda path: None, InputError, id="absent"),
        pytest.param(lambda path: path.mkdir(), BundleFormatError, id="empty-folder"),
        pytest.param(lambda path: path.write_bytes(b"text"), BundleFormatError, id="some-file"),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, make: object, error: type[Exception]) -> None:
    assert callable(make)
    make(tmp_path / "x")
    with pytest.raises(error, match="bundle"):
        Bundle.open(tmp_path / "x")


def test_an_unknown_variant_lists_the_known_ones(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="onnx-fp32, openvino-fp32"):
        Bundle.open(tiny_bundle).variant("tpu")


def test_nothing_remains_of_a_bundle_that_failed(tmp_path: Path) -> None:
    def interrupted() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            (writer.root / "half.bin").write_bytes(b"x" * 100)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with BundleWriter(tmp_path / "b"), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OutputError, match="the disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_kept_unless_replacing(tiny_bundle: Path) -> None:
    before = (tiny_bundle / MANIFEST).read_bytes()
    with pytest.raises(InputError, match="--force"):
        tiny.write_bundle(tiny_bundle)
    with pytest.raises(RuntimeError), BundleWriter(tiny_bundle, replace=True):
        raise RuntimeError
    assert (tiny_bundle / MANIFEST).read_bytes() == before


def test_replacing_takes_a_bundle_only(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="no bundle"):
        BundleWriter(tmp_path / "photos", replace=True)
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_calibrations_of_several_stations_stay(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    variant = bundle.variant()
    write_calibration(bundle, variant, DEFAULT_STATION, calibration(0.5))
    write_calibration(bundle, variant, "line-2", calibration(0.7))
    record = bundle.calibration(variant)
    assert record is not None
    assert {name: made.image.threshold for name, made in record.stations.items()} == {
        "default": 0.5,
        "line-2": 0.7,
    }


def test_a_calibration_of_another_artefact_is_refused(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    made = write_calibration(bundle, bundle.variant("onnx-fp32"), DEFAULT_STATION, calibration())
    shutil.copy(made, tiny_bundle / "variants/openvino-fp32/calibration.json")
    with pytest.raises(CalibrationError, match="another variant"):
        bundle.calibration(bundle.variant("openvino-fp32"))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        pytest.param("artefact_sha256", "another artefact"),
        pytest.param("geometry_sha256", "another geometry"),
    ],
)
def test_a_calibration_is_bound_to_artefact_and_geometry(tiny_bundle: Path, field: str, message: str) -> None:
    bundle = Bundle.open(tiny_bundle)
    made = write_calibration(bundle, bundle.variant(), DEFAULT_STATION, calibration())
    record = bundle.calibration(bundle.variant())
    assert record is not None
    made.write_bytes(sealed_json(msgspec.structs.replace(record, **{field: "b" * 64})))
    with pytest.raises(CalibrationError, match=message):
        Detector.open(tiny_bundle)
    write_calibration(bundle, bundle.variant(), DEFAULT_STATION, calibration())
    Detector.open(tiny_bundle).close()


def test_a_changed_threshold_is_refused(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    made = write_calibration(bundle, bundle.variant(), DEFAULT_STATION, calibration(0.5))
    made.write_bytes(made.read_bytes().replace(b"0.5", b"0.9"))
    with pytest.raises(BundleIntegrityError, match=r"calibration\.json"):
        Detector.open(tiny_bundle)


def test_packed_and_unpacked_it_scores_the_same(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    write_calibration(bundle, bundle.variant(), DEFAULT_STATION, calibration())
    packed = pack(bundle, tmp_path / "tiny.edgead")
    unpacked = unpack(Bundle.open(packed), tmp_path / "again")
    frame = tiny.frames(1)[0]
    scores = []
    for path in (tiny_bundle, packed, unpacked.path):
        for variant in ("onnx-fp32", "openvino-fp32"):
            with Detector.open(path, variant) as detector:
                scores.append(detector.score(frame).score)
    assert len(set(scores[::2])) == 1
    assert len(set(scores[1::2])) == 1
    assert (unpacked.path / MANIFEST).read_bytes() == (tiny_bundle / MANIFEST).read_bytes()
    assert unpacked.calibration(unpacked.variant()) == bundle.calibration(bundle.variant())


def test_a_packed_bundle_is_not_calibrated_in_place(tiny_bundle: Path, tmp_path: Path) -> None:
    packed = Bundle.open(pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip"))
    with pytest.raises(InputError, match="unpack"):
        write_calibration(packed, packed.variant(), DEFAULT_STATION, calibration())


def test_a_zip_that_was_cut_off_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    packed = pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip")
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(BundleFormatError):
        Bundle.open(packed)


def test_a_zip_with_a_changed_byte_names_the_file(tiny_bundle: Path, tmp_path: Path) -> None:
    packed = pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip")
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo("variants/onnx-fp32/model.onnx")
    flip(packed, info.header_offset + 200)
    with pytest.raises(BundleIntegrityError, match=r"model\.onnx"):
        Detector.open(packed)
