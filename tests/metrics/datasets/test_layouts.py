"""Labelled data sets as they lie on the disk."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.public_layouts import PUBLIC_LAYOUTS, PublicLayout

from edge_ad.errors import InputError
from edge_ad_metrics.datasets.dataset import LabelledImage
from edge_ad_metrics.datasets.frame_labels import read_frame_labels
from edge_ad_metrics.datasets.layouts import LAYOUTS, read_dataset, read_labelled_images
from edge_ad_metrics.datasets.masks import read_defect, read_mask


def image(path: Path, value: int = 100, shape: tuple[int, ...] = (6, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(shape, value, np.uint8))
    return path


def mvtec(root: Path) -> Path:
    image(root / "train/good/000.png")
    for name in ("good/000", "good/001", "crack/000", "crack/001", "fray/000"):
        image(root / f"test/{name}.png")
    image(root / "ground_truth/crack/000_mask.png")
    image(root / "ground_truth/crack/001_mask.png")
    return root


def btad(root: Path) -> Path:
    for name in ("ok/0", "ok/1", "ko/2"):
        image(root / f"test/{name}.bmp")
    image(root / "ground_truth/ko/2.png")
    return root


def folder(root: Path) -> Path:
    for name in ("Good/a", "scratch/b", "dent/c"):
        image(root / f"{name}.jpg")
    image(root / "masks/dent/c.png")
    return root


def realiad(root: Path) -> Path:
    for name in ("OK/S0001/a.jpg", "NG/BX/S0002/b.jpg", "NG/AK/S0003/c.jpg"):
        image(root / "realiad_256/jack" / name)
    image(root / "realiad_256/jack/NG/BX/S0002/b.png")
    rows = [("OK", "OK/S0001/a.jpg", None), ("BX", "NG/BX/S0002/b.jpg", "NG/BX/S0002/b.png")]
    rows.append(("AK", "NG/AK/S0003/c.jpg", None))
    keys = ("anomaly_class", "image_path", "mask_path")
    tests = [{"category": "jack", **dict(zip(keys, row, strict=True))} for row in rows]
    file = root / "realiad_jsons/jack.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"meta": {"normal_class": "OK", "prefix": "jack/"}, "train": [], "test": tests}))
    return file


def table(root: Path) -> Path:
    for name in ("a", "b", "c", "b_mask"):
        image(root / f"pictures/{name}.png")
    file = root / "labels.csv"
    rows = ["pictures/a.png,0,,,p1", "pictures/b.png,1,pictures/b_mask.png,dent,p2", "pictures/c.png,anomaly,,,p2"]
    file.write_text("path,label,mask,type,part\n" + "\n".join(rows) + "\n")
    return file


def visa(root: Path) -> Path:
    rows = ["object,split,label,image,mask"]
    for thing in ("candle", "pcb1"):
        rows.append(f"{thing},train,normal,{thing}/Data/Images/Normal/0.JPG,")
        rows.append(f"{thing},test,normal,{thing}/Data/Images/Normal/1.JPG,")
        rows.append(f"{thing},test,anomaly,{thing}/Data/Images/Anomaly/0.JPG,{thing}/Data/Masks/Anomaly/0.png")
        (root / thing).mkdir(parents=True)
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return root / "candle"


@pytest.mark.parametrize(
    ("make", "layout", "types", "masks"),
    [
        pytest.param(mvtec, "mvtec", {"good": 2, "crack": 2, "fray": 1}, ["000_mask.png", "001_mask.png"], id="mvtec"),
        pytest.param(btad, "btad", {"good": 2, "ko": 1}, ["2.png"], id="btad"),
        pytest.param(folder, "folder", {"good": 1, "scratch": 1, "dent": 1}, ["c.png"], id="folder"),
        pytest.param(table, "csv", {"good": 1, "dent": 1, "anomaly": 1}, ["b_mask.png"], id="csv"),
        pytest.param(realiad, "realiad", {"good": 1, "BX": 1, "AK": 1}, ["b.png"], id="realiad"),
        pytest.param(visa, "visa", {"good": 1, "anomaly": 1}, ["0.png"], id="visa"),
    ],
)
@pytest.mark.parametrize("named", [pytest.param(False, id="found out"), pytest.param(True, id="named")])
def test_a_layout_is_read(tmp_path: Path, make, layout, types, masks, named) -> None:  # type: ignore[no-untyped-def]
    found = read_dataset(make(tmp_path), layout if named else None)
    assert found.layout == layout
    assert Counter(one.type for one in found.images) == types
    assert [mask.name for one in found.images for mask in one.masks] == masks
    assert all(one.anomalous == (one.type != "good") for one in found.images)


@pytest.mark.parametrize("one", PUBLIC_LAYOUTS, ids=lambda one: one.id)
def test_a_public_layout_is_known_by_its_name(tmp_path: Path, one: PublicLayout) -> None:
    """And what is left out of it is named, and nothing else is."""
    found = read_dataset(one.make(tmp_path / "data"))
    assert found.layout == one.layout
    assert bool(found.notes) == bool(one.note)
    assert one.note in " ".join(found.notes)


@pytest.mark.parametrize("one", [one for one in PUBLIC_LAYOUTS if one.expected.masks], ids=lambda one: one.id)
def test_without_masks_the_same_images_are_read(tmp_path: Path, one: PublicLayout) -> None:
    """``--no-pixels``: masks are looked at only where they are the labels, and are never taken for images."""
    root = one.make(tmp_path / "data")
    whole, plain = read_dataset(root), read_dataset(root, masks=False)
    assert {(image.path, image.type) for image in plain.images} == {(image.path, image.type) for image in whole.images}


def test_without_masks_none_is_missing(tmp_path: Path) -> None:
    mvtec(tmp_path)
    (tmp_path / "ground_truth/crack/001_mask.png").unlink()
    found = read_dataset(tmp_path, masks=False)
    assert [one.masks for one in found.images] == [()] * 5


def test_a_table_says_the_part(tmp_path: Path) -> None:
    assert [one.part for one in read_dataset(table(tmp_path)).images] == ["p1", "p2", "p2"]


def test_one_object_of_visa_by_its_folder(tmp_path: Path) -> None:
    visa(tmp_path)
    with pytest.raises(InputError, match=r"several objects \(candle, pcb1\).*--data"):
        read_dataset(tmp_path)


def test_nothing_that_is_known(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    with pytest.raises(InputError, match=f"in one of the layouts {', '.join(LAYOUTS)}, found none.*path,label"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "mvtec"])
def test_another_layout_than_asked_for(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InputError, match=f"expected a data set in the {layout} layout"):
        read_dataset(mvtec(tmp_path), layout)


def test_a_json_file_of_real_iad_whose_images_are_ambiguous(tmp_path: Path) -> None:
    """The public set has them in several sizes; a copy of the file beside the right one decides."""
    file = realiad(tmp_path)
    image(tmp_path / "realiad_512/jack/OK/S0001/a.jpg")
    with pytest.raises(InputError, match=r"in 2 folders: .*realiad_512: put a copy of the file beside"):
        read_dataset(file)
    copy = tmp_path / "realiad_256/jack.json"
    copy.write_bytes(file.read_bytes())
    assert {one.path.parts[-5] for one in read_dataset(copy).images if one.anomalous} == {"jack"}


def seldom(root: Path, *names: str, text: str = "x") -> Path:
    """Images in a folder, and a file of labels of another kind."""
    for index in range(3):
        image(root / f"images/{index}.png")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("make", "given", "expected"),
    [
        pytest.param(lambda root: seldom(root, "train.csv", text="ImageId,ClassId,EncodedPixels\n0.png,1,1 3\n"),
                     "train.csv", r"expected the columns path,label\[,mask\].*found ImageId", id="severstal"),
        pytest.param(lambda root: seldom(root, "annotations/a.json", text="{}"), "", "found none.*CSV file", id="coco"),
        pytest.param(lambda root: seldom(root, "a.json", text='{"images": []}'), "a.json", "Real-IAD.*CSV", id="json"),
        pytest.param(lambda root: seldom(root, "ANNOTATIONS/crazing_1.xml"), "", r"found none.*CSV file", id="neu-det"),
        pytest.param(lambda root: seldom(root, "labels/0.txt"), "", r"found none.*CSV file", id="yolo"),
        pytest.param(lambda root: mvtec(root / "bottle") and mvtec(root / "cable"), "", r"--data .*bottle", id="all"),
        pytest.param(lambda root: [image(root / f"{name}/0.png") for name in ("0", "1")], "", r"folders: 0, 1; none",
                     id="numbers"),
    ],
)  # fmt: skip
def test_another_layout_is_refused_with_a_way_out(tmp_path: Path, make, given, expected) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "data")
    with pytest.raises(InputError, match=expected):
        read_dataset(tmp_path / "data" / given)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_dataset(tmp_path / "absent")


def test_a_mask_that_is_missing_is_named(tmp_path: Path) -> None:
    mvtec(tmp_path)
    (tmp_path / "ground_truth/crack/001_mask.png").unlink()
    with pytest.raises(InputError, match=r"no mask for .*crack/001\.png, though their type"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("path,label\na.png,0\nb.png,0\n", "2 normal and 0 anomalous", id="only normals"),
        pytest.param("path,label\na.png,1\n", "0 normal and 1 anomalous", id="only anomalies"),
        pytest.param("path,class\na.png,0\n", r"columns path,label\[,mask\].*found path,class", id="a column missing"),
        pytest.param("path,label,masks\na.png,0,\n", "found path,label,masks", id="a column misspelt"),
        pytest.param("path,label,label\na.png,0,0\n", "found path,label,label", id="a column twice"),
        pytest.param("", "found an empty file", id="empty"),
        pytest.param("path,label\n", "found none below the header", id="header only"),
        pytest.param("path,label\na.png,0,1\n", "line 2: expected as many cells", id="a cell too many"),
        pytest.param("path,label\na.png\n", "line 2: expected as many cells", id="a cell too few"),
        pytest.param("path,label\na.png,maybe\n", "normal or anomaly, found 'maybe'", id="unknown label"),
        pytest.param("path,label\na.png,0\na.png,1\n", "a.png is named twice", id="an image twice"),
        pytest.param(
            "path,label,type\na.png,0,dent\n", "labelled normal and has the type 'dent'", id="normal with type"
        ),
        pytest.param("path,label,type\na.png,1,good\n", "labelled anomalous and has the type 'good'", id="good defect"),
        pytest.param("path,label\n\udcff,0\n", "cannot be read as CSV in UTF-8", id="another encoding"),
    ],
)
def test_a_table_that_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=expected):
        read_dataset(file)


def test_clips_and_their_labels(tmp_path: Path) -> None:
    for name in ("a.avi", "b.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("a.csv", "labels/b.txt", "labels/c.npy"):
        (tmp_path / name).touch()
    found = read_dataset(tmp_path)
    assert found.layout == "video"
    assert [(clip.path.name, clip.labels.name) for clip in found.clips] == [
        ("a.avi", "a.csv"),
        ("b.mp4", "b.txt"),
        ("c", "c.npy"),
    ]
    (tmp_path / "a.csv").unlink()
    with pytest.raises(InputError, match=r"no frame labels for a\.avi"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0\n1\n1\n0\n", id="a line per frame"),
        pytest.param("label\n0\n1\n1\n0\n", id="with a header"),
        pytest.param("first,last\n1,2\n", id="ranges"),
        pytest.param("first, last\n1,1\n2,2\n", id="two ranges"),
    ],
)
def test_frame_labels(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert read_frame_labels(tmp_path / "a.csv", 4).tolist() == [False, True, True, False]


def test_frame_labels_in_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 1, 0]]))
    assert read_frame_labels(tmp_path / "a.npy", 3).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0\n1\n", "a label for each of the clip's 4 frames, found 2", id="too few"),
        pytest.param("0\n1\n2\n0\n", "expected only 0 and 1", id="other values"),
        pytest.param("0\nyes\n", "cannot be read as frame labels", id="no numbers"),
        pytest.param("first,last\n2,9\n", "expected frames from 0 to 3, found '2,9'", id="beyond the end"),
        pytest.param("first,last\n3,2\n", "found '3,2'", id="backwards"),
    ],
)
def test_frame_labels_that_are_wrong(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=expected):
        read_frame_labels(tmp_path / "a.txt", 4)


@pytest.mark.parametrize(
    ("name", "shape", "value", "marked"),
    [
        pytest.param("m.png", (6, 8), 255, True, id="white"),
        pytest.param("m.png", (6, 8), 1, True, id="a defect's number"),
        pytest.param("m.png", (6, 8, 3), 255, True, id="in colour"),
        pytest.param("m.png", (6, 8), 0, False, id="black"),
        pytest.param("m.jpg", (6, 8), 20, False, id="the smear of a JPEG"),
        pytest.param("m.jpg", (6, 8), 250, True, id="white in a JPEG"),
    ],
)
def test_what_a_mask_marks(tmp_path: Path, name: str, shape: tuple[int, ...], value: int, marked: bool) -> None:
    mask = read_mask(image(tmp_path / name, value, shape), 6, 8)
    assert mask.shape == (6, 8)
    assert mask.all() == mask.any() == marked


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the image's size 9x6, found 8x6"):
        read_mask(image(tmp_path / "m.png"), 6, 9)


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mask .*m\.png: cannot be read"):
        read_mask(tmp_path / "m.png", 6, 8)


@pytest.mark.parametrize(
    ("images", "masks", "asked"),
    [
        pytest.param("test", "ground_truth", "test", id="the folder test, masks beside it"),
        pytest.param("test", "test/ground_truth", "", id="masks in the folder test"),
        pytest.param("", "ground_truth", "", id="no folder test"),
        pytest.param("", "masks", "", id="another name"),
    ],
)
def test_masks_lie_beside_the_images_or_above_them(tmp_path: Path, images: str, masks: str, asked: str) -> None:
    for name in ("good/0", "dent/1"):
        image(tmp_path / images / f"{name}.png")
    image(tmp_path / masks / "dent/1_mask.png")

    found = read_labelled_images(tmp_path / asked)

    assert [[mask.name for mask in one.masks] for one in found.images] == [[], ["1_mask.png"]]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("extra", "note"),
    [
        pytest.param("ground_truth/Crack/000_mask.png", r"1 masks belong to no image .*Crack", id="another type"),
        pytest.param("ground_truth/crack/009_mask.png", r"1 masks belong to no image .*009", id="another image"),
        pytest.param("ground_truth/000_mask.png", r"1 masks belong to no image .*truth.000", id="of no type"),
        pytest.param("test/loose.png", r"left out, as they lie in no folder .*loose\.png", id="an image of no type"),
    ],
)
def test_what_is_not_used_is_named(tmp_path: Path, extra: str, note: str) -> None:
    image(mvtec(tmp_path) / extra)

    (found,) = read_dataset(tmp_path).notes

    assert re.search(note, found)


def test_masks_of_normal_images_need_no_note(tmp_path: Path) -> None:
    image(mvtec(tmp_path) / "ground_truth/good/000_mask.png", 0)
    assert read_dataset(tmp_path).notes == ()


def test_clips_are_no_labelled_images(tmp_path: Path) -> None:
    for name in ("a.avi", "a.csv"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="expected labelled images, found clips"):
        read_labelled_images(tmp_path)


def test_which_pixels_of_an_image_are_defective(tmp_path: Path) -> None:
    normal = LabelledImage(path=tmp_path / "a.png", type="good")
    unknown = LabelledImage(path=tmp_path / "b.png", type="dent")
    black = LabelledImage(path=tmp_path / "b.png", type="dent", masks=(image(tmp_path / "black.png", 0),))
    numbered = LabelledImage(path=tmp_path / "c.png", type="dent", masks=(image(tmp_path / "ones.png", 1),))

    found = [read_defect(one, 6, 8) for one in (normal, unknown, black, numbered)]

    marked = [None if one is None else int(one.sum()) for one in found]
    assert marked == [0, None, None, 48]


def test_a_normal_image_with_a_defect_is_refused(tmp_path: Path) -> None:
    wrong = LabelledImage(path=tmp_path / "a.png", type="good", masks=(image(tmp_path / "m.png"),))
    with pytest.raises(InputError, match="labelled normal: correct one of the two"):
        read_defect(wrong, 6, 8)
