"""Faults from the field, kind 9: labelled layouts, the same for ``export --labelled`` and ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.field_cli import edge_ad
from support.field_datasets import (
    SIDE,
    Counts,
    Trained,
    bright_pixels,
    check_counts,
    counted_as,
    images,
    kolektor,
    litter,
    loco,
    loco_of_one_mask,
    mask,
    mvtec,
    mvtec2,
    red_on_transparent,
    rgba,
    ucsd,
    white_on_opaque_black,
)
from support.public_layouts import PUBLIC_LAYOUTS

from edge_ad_calibration.evaluation import observe
from edge_ad_export.fidelity import evaluation as fidelity_evaluation
from edge_ad_metrics.datasets.dataset import LabelledImage
from edge_ad_metrics.datasets.layouts import read_labelled_images
from edge_ad_metrics.datasets.masks import read_defect


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained.make(tmp_path_factory.mktemp("brightness"))


@dataclass(frozen=True)
class Layout:
    id: str
    make: Callable[[Path], Path]
    expected: Counts


NO_MASKS = Counts(masks=0, regions=0)

LAYOUTS = [
    Layout("control-mvtec", mvtec, Counts()),
    Layout(
        "masks-of-the-value-1",
        lambda root: mvtec(root, pixels=mask(1)),
        Counts(),
    ),
    Layout(
        "masks-of-the-value-3",
        lambda root: mvtec(root, pixels=mask(3)),
        Counts(),
    ),
    Layout(
        "masks-of-the-value-127",
        lambda root: mvtec(root, pixels=mask(127)),
        Counts(),
    ),
    Layout(
        "masks-as-bmp",
        lambda root: mvtec(root, name="{:03d}_mask.bmp"),
        Counts(),
    ),
    Layout(
        "masks-as-tif",
        lambda root: mvtec(root, name="{:03d}.tif"),
        Counts(),
    ),
    Layout(
        "masks-folder",
        lambda root: mvtec(root, name="{:03d}.png", folders=("good", "crack", "masks/crack")),
        Counts(),
    ),
    Layout(
        "ok-and-ground-truth",
        lambda root: mvtec(root, name="{:03d}.png", folders=("ok", "crack", "ground_truth/crack")),
        Counts(),
    ),
    Layout(
        "btad",
        lambda root: mvtec(root, name="{:03d}.png", folders=("test/ok", "test/ko", "ground_truth/ko")),
        Counts(),
    ),
    Layout("ok-ng", lambda root: images(root, "OK", "NG"), NO_MASKS),
    Layout("ok-nok", lambda root: images(root, "ok", "nok"), NO_MASKS),
    Layout("normal-abnormal", lambda root: images(root, "Normal", "Abnormal"), NO_MASKS),
    Layout("control-good", lambda root: images(root, "good", "scratch"), NO_MASKS),
    Layout(
        "test-normal-anomaly",
        lambda root: images(root, "test/normal", "test/anomaly"),
        NO_MASKS,
    ),
    Layout("test-ok-ng", lambda root: images(root, "test/OK", "test/NG"), NO_MASKS),
    Layout(
        "test-normals-defects",
        lambda root: images(root, "test/normals", "test/defects"),
        NO_MASKS,
    ),
    Layout(
        "test-normal-anomaly-with-masks",
        lambda root: mvtec(root, folders=("test/normal", "test/anomaly", "ground_truth/anomaly")),
        Counts(),
    ),
    Layout("loco", loco, Counts()),
    Layout(
        "loco-structural",
        lambda root: loco(root, (200, 255), kind="structural_anomalies"),
        Counts(),
    ),
    Layout(
        "loco-small-values",
        lambda root: loco(root, (1, 2)),
        Counts(),
    ),
    Layout(
        "loco-one-mask-an-image",
        loco_of_one_mask,
        Counts(),
    ),
    Layout("mvtec-2", mvtec2, Counts()),
    Layout(
        "mvtec-2-two-lights",
        lambda root: mvtec2(root, lights=("regular", "overexposed")),
        Counts(6, 4, 4, 8),
    ),
    Layout(
        "mvtec-2-private",
        lambda root: mvtec2(root, more=("test_private", "test_private_mixed")),
        Counts(),
    ),
    Layout(
        "masks-in-rgba",
        lambda root: mvtec(root, pixels=rgba()),
        Counts(),
    ),
    Layout(
        "masks-in-rgba-red",
        lambda root: mvtec(root, pixels=red_on_transparent()),
        Counts(),
    ),
    Layout("masks-in-opaque-rgba", lambda root: mvtec(root, pixels=white_on_opaque_black()), Counts()),
    Layout(
        "masks-of-16-bits",
        lambda root: mvtec(root, pixels=mask().astype(np.uint16) * 257),
        Counts(),
    ),
    Layout(
        "masks-of-16-bits-value-1",
        lambda root: mvtec(root, pixels=mask(1).astype(np.uint16)),
        Counts(),
    ),
    Layout(
        "masks-of-floats",
        lambda root: mvtec(root, name="{:03d}.tif", pixels=mask(1).astype(np.float32)),
        Counts(),
    ),
    Layout(
        "masks-of-small-floats",
        lambda root: mvtec(root, name="{:03d}.tiff", pixels=mask(1).astype(np.float32) * np.float32(0.25)),
        Counts(),
    ),
    Layout("masks-of-one-bit", lambda root: mvtec(root, pixels=mask() > 0), Counts()),
    Layout("kolektor-sdd2", kolektor, Counts()),
    Layout(
        "kolektor-sdd2-with-train",
        lambda root: kolektor(kolektor(root), below="train"),
        Counts(),
    ),
    Layout(
        "macosx",
        litter("test/__MACOSX/._000.png"),
        Counts(),
    ),
    Layout("apple-double", litter("test/good/._000.png", "test/crack/._001.png"), Counts()),
    Layout(
        "synology",
        litter("test/@eaDir/000.png", "test/good/@eaDir/SYNO.png"),
        Counts(),
    ),
    Layout(
        "ipynb-checkpoints",
        litter("test/.ipynb_checkpoints/000-checkpoint.png"),
        Counts(),
    ),
    Layout("control-thumbs", litter("test/good/Thumbs.db", "test/Thumbs.db", "test/desktop.ini"), Counts()),
    Layout(
        "recycle-bin",
        litter("__MACOSX/test/good/._000.png", "test/$RECYCLE.BIN/a.png"),
        Counts(),
    ),
]


PARAMS = [pytest.param(one.make, one.expected, "", id=one.id) for one in LAYOUTS] + [
    pytest.param(one.make, one.expected, one.note, id=one.id) for one in PUBLIC_LAYOUTS
]


# One of each way to find the images and the masks: with all commands. The others: with what they all read with.
SHOWN = {
    *("control-mvtec", "btad", "ok-ng", "loco", "mvtec-2-two-lights", "masks-in-rgba-red", "masks-of-16-bits-value-1"),
    *("kolektor-sdd2", "macosx", "dagm", "a-mask-a-folder", "beside-the-images", "palette", "good-and-normal"),
}


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many pixels a command takes for defective, by the name of each image that has any."""
    found: dict[str, int] = {}

    def counted(image: LabelledImage, height: int, width: int) -> NDArray[np.bool_] | None:
        pixels = read_defect(image, height, width)
        if pixels is not None and pixels.any():
            found[str(image.path)] = int(pixels.sum())
        return pixels

    monkeypatch.setattr(fidelity_evaluation, "read_defect", counted)
    monkeypatch.setattr(observe, "read_defect", counted)
    return found


@pytest.mark.parametrize(("make", "expected", "note"), [one for one in PARAMS if one.id in SHOWN])
def test_all_commands_count_the_same(
    tmp_path: Path,
    trained: Trained,
    marked: dict[str, int],
    make: Callable[[Path], Path],
    expected: Counts,
    note: str,
) -> None:
    """Images, normals, anomalies, masks, defects and defective pixels, of evaluate, export and compare."""
    data = make(tmp_path / "data")
    remarks = []
    for command in ("evaluate", "export", "compare"):
        done = trained.read(command, data, tmp_path / "out" / "b")
        check_counts(command, done, expected)
        assert (len(marked), sum(marked.values())) == (expected.masks, expected.pixels), command
        remarks.append([*done.json["notes"], *done.stderr.splitlines()] if command == "evaluate" else done.stderr)
        marked.clear()
    assert all(note in str(one) for one in remarks)


@pytest.mark.parametrize(("make", "expected", "note"), [one for one in PARAMS if one.id not in SHOWN])
def test_what_export_and_compare_read_is_what_evaluate_counts(
    tmp_path: Path,
    trained: Trained,
    marked: dict[str, int],
    make: Callable[[Path], Path],
    expected: Counts,
    note: str,
) -> None:
    data = make(tmp_path / "data")
    done = trained.read("evaluate", data, tmp_path / "out" / "b")
    check_counts("evaluate", done, expected)
    assert (len(marked), sum(marked.values())) == (expected.masks, expected.pixels)
    assert note in str([*done.json["notes"], *done.stderr.splitlines()])

    found = read_labelled_images(data)
    assert counted_as(expected) in found.remarks[0]
    assert note in str(found.remarks)
    assert sum(image.anomalous for image in found.images) == expected.anomalous
    pixels = {str(image.path): read_defect(image, SIDE, SIDE) for image in found.images}
    defective = {name: int(one.sum()) for name, one in pixels.items() if one is not None and one.any()}
    assert defective == marked
    assert {str(image.path) for image in found.images if not image.anomalous} == {
        str(image.path) for image in found.images if bright_pixels(image.path) == 0
    }


@pytest.mark.parametrize(
    ("make", "given"),
    [
        pytest.param(lambda root: ucsd(root, truth=False), ".", id="control"),
        pytest.param(lambda root: ucsd(root, truth=False, litter=True), ".", id="control-litter"),
        pytest.param(ucsd, ".", id="with-ground-truth"),
        pytest.param(
            lambda root: ucsd(root, litter=True),
            ".",
            id="with-ground-truth-and-litter",
        ),
        pytest.param(
            lambda root: ucsd(root, suffix=".png", litter=True),
            ".",
            id="png-frames",
        ),
    ],
)
def test_clips_of_ucsd_are_read(tmp_path: Path, trained: Trained, make: Callable[[Path], Path], given: str) -> None:
    done = edge_ad("evaluate", trained.bundle, "--data", make(tmp_path / "Test") / given, "--json")
    assert (done.json["layout"], done.json["normal"], done.json["anomalous"]) == ("video", 10, 2)
    assert done.json["roc_auc"]["value"] == 1


def test_ground_truth_without_label_files_is_read(tmp_path: Path, trained: Trained) -> None:
    done = edge_ad("evaluate", trained.bundle, "--data", ucsd(tmp_path / "Test", texts=False), "--json")
    assert (done.json["normal"], done.json["anomalous"]) == (10, 2)
