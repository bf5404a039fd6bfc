"""Labelled data sets as public ones and bug reports lay them out: a table of places of images and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from support.field_datasets import Counts, arranged, defective, images, mask, normal, put

__all__ = ["PUBLIC_LAYOUTS", "PublicLayout"]

MASKED = Counts()
UNMASKED = Counts(masks=0, regions=0)


@dataclass(frozen=True)
class PublicLayout:
    """``layout``: the name that it is found under. ``note``: a word of the note on what is left out, if any is."""

    id: str
    make: Callable[[Path], Path]
    layout: str
    expected: Counts = MASKED
    note: str = ""


def placed(identifier: str, layout: str, good: str, bad: str, *masks: str, black: str = "") -> PublicLayout:
    """See :func:`support.field_datasets.arranged`."""
    expected = MASKED if masks else UNMASKED
    return PublicLayout(identifier, lambda root: arranged(root, good, bad, *masks, black=black), layout, expected)


def with_train(root: Path) -> Path:
    """A part of the data set that is no test, with folders of the same names."""
    arranged(root, "train/normal/{:03d}.png", "train/abnormal/{:03d}.png")
    arranged(root, "val/normal/{:03d}.png", "val/abnormal/{:03d}.png")
    return arranged(root, "test/normal/{:03d}.png", "test/abnormal/{:03d}.png")


def hazelnut_toy(root: Path) -> Path:
    """anomalib's: one type with masks and one without."""
    images(root, "good", "colour")
    return arranged(root, "good/{:03d}.png", "crack/{:03d}.png", "mask/crack/{:03d}.png")


def two_normals(root: Path) -> Path:
    for index in range(3):
        put(root / f"normal/{index}.png", normal(50 + index))
    return arranged(root, "good/{:03d}.png", "bad/{:03d}.png", "ground_truth/bad/{:03d}.png")


def numbered(root: Path) -> Path:
    """The magnetic tiles: photographs and masks of the same name in one folder."""
    for folder, names, is_defective in (("MT_Free", range(3), False), ("MT_Crack", range(3, 5), True)):
        for index in names:
            put(root / folder / f"Imgs/exp1_num_{index}.jpg", defective(index) if is_defective else normal(index))
            put(root / folder / f"Imgs/exp1_num_{index}.png", mask(255 if is_defective else 0))
    return root


def dagm(root: Path) -> Path:
    arranged(root, "Train/{:04d}.PNG", "Train/9{:03d}.PNG", "Train/Label/9{:03d}_label.PNG")
    arranged(root, "Test/{:04d}.PNG", "Test/9{:03d}.PNG", "Test/Label/9{:03d}_label.PNG")
    (root / "Test/Label/Labels.txt").write_text("1\n9000\t1\t9000.PNG\t1\t9000_label.PNG\n")
    return root


def mvtec_3d(root: Path) -> Path:
    for folder, count in (("good", 3), ("cut", 2)):
        for index in range(count):
            put(root / f"test/{folder}/xyz/{index:03d}.tiff", np.ones((8, 8), np.float32))
            put(root / f"test/{folder}/gt/{index:03d}.png", mask(0))
    return arranged(root, "test/good/rgb/{:03d}.png", "test/cut/rgb/{:03d}.png", "test/cut/gt/{:03d}.png")


def palette(root: Path) -> Path:
    """Drawn with labelme: indices into VOC's colours."""
    from PIL import Image

    arranged(root, "test/good/{:03d}.png", "test/scratch/{:03d}.png")
    for index in range(2):
        drawn = Image.fromarray(mask(1)).convert("P")
        drawn.putpalette([0, 0, 0, 128, 0, 0] + [0, 0, 0] * 254)
        path = root / f"ground_truth/scratch/{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(path)
    return root


def with_json(root: Path) -> Path:
    arranged(root, "good/{:03d}.png", "bad/{:03d}.png", "mask/bad/{:03d}.png")
    (root / "mask/bad/000.json").write_text("{}")
    return root


def unlike(root: Path) -> Path:
    """Accents are stored in one way in the names of the images, and in another way in those of the masks."""
    return arranged(root, "good/{:03d}.png", "bad/te\u0301le\u0301{:03d}.png", "masks/bad/t\u00e9l\u00e9{:03d}.png")


def foregrounds(root: Path) -> Path:
    """Masks of the object, which are no masks of defects, in a folder among the types."""
    for index in range(3):
        put(root / f"fg_mask/{index:03d}.png", mask())
    return arranged(root, "good/{:03d}.png", "bad/{:03d}.png")


def foregrounds_beside(root: Path) -> Path:
    for index in range(3):
        put(root / f"fg_mask/bad/{index:03d}.png", mask())
    return arranged(root, "test/good/{:03d}.png", "test/bad/{:03d}.png")


PUBLIC_LAYOUTS = [
    placed("mpdd", "mvtec", "test/good/{:03d}.png", "test/hole/{:03d}.png", "ground_truth/hole/{:03d}_mask.png"),
    placed("goodsad", "mvtec", "test/good/{:06d}.jpg", "test/opened/{:06d}.jpg", "ground_truth/opened/{:06d}.png"),
    placed("upper-case", "mvtec", "Test/Good/{:03d}.PNG", "Test/Bad/{:03d}.PNG", "Ground_Truth/BAD/{:03d}_Mask.PNG"),
    placed("casting", "mvtec", "test/ok_front/{}.png", "test/def_front/{}.png"),
    placed("kaggle-cracks", "folder", "Negative/{:05d}.jpg", "Positive/{:05d}.jpg"),
    placed("visa-without-split", "folder", "Data/Images/Normal/{:03d}.JPG", "Data/Images/Anomaly/{:03d}.JPG",
           "Data/Masks/Anomaly/{:03d}.png"),
    placed("aitex", "folder", "NODefect_images/2306881/{:04d}_000_02.png", "Defect_images/{:04d}_002_00.png",
           "Mask_images/{:04d}_002_00_mask1.png", "Mask_images/{:04d}_002_00_mask2.png"),
    placed("kolektor-sdd", "kolektor", "kos{:02d}/Part0.jpg", "kos5{}/Part1.jpg", "kos5{}/Part1_label.bmp",
           black="kos{:02d}/Part0_label.bmp"),
    placed("images-and-masks", "masks", "images/{:03d}.jpg", "images/9{:03d}.jpg", "masks/9{:03d}.png",
           black="masks/{:03d}.png"),
    placed("image-and-label", "masks", "Test/Image/{:03d}.png", "Test/Image/9{:03d}.png", "Test/Label/9{:03d}.png",
           black="Test/Label/{:03d}.png"),
    placed("original-and-ground-truth", "masks", "Original/{}_A.png", "Original/9{}_A.png", "Ground truth/9{}_A.png",
           black="Ground truth/{}_A.png"),
    placed("masks-called-as-images", "kolektor", "test/{:03d}_img.png", "test/9{:03d}_img.png",
           "test/9{:03d}_img_masks.png", black="test/{:03d}_img_masks.png"),
    placed("image3-and-mask3", "folder", "normal_dir/image{}.png", "abnormal_dir/image7{}.png", "mask_dir/mask7{}.png"),
    placed("images-below", "mvtec", "test/normal/images/{:03d}.tif", "test/anomalous/images/{:03d}.tif",
           "test/anomalous/masks/{:03d}.tif"),
    placed("types-below", "mvtec", "test/good/{:03d}.png", "test/defect/type_1/{:03d}.png",
           "ground_truth/defect/type_1_mask/{:03d}.png"),
    placed("modalities", "mvtec", "test/NORMAL/flair/1{:02d}.png", "test/ABNORMAL/flair/2{:02d}.png",
           "test/ABNORMAL/mask/2{:02d}_mask.png"),
    placed("suffix-in-the-name", "folder", "good/{:03d}.jpg", "bad/{:03d}.jpg", "masks/bad/{:03d}.jpg.png"),
    placed("suffix-before-the-tag", "folder", "good/{:03d}.png", "bad/{:03d}.png", "masks/bad/{:03d}.png_mask.png"),
    placed("beside-the-images", "folder", "good/{:03d}.png", "bad/{:03d}.png", "bad/{:03d}_GT.png",
           black="good/{:03d}_GT.png"),
    placed("mask-folder-of-a-type", "folder", "good/{:03d}.png", "bad/{:03d}.png", "bad_mask/{:03d}.png"),
    placed("gt-folder", "folder", "OK/{:03d}.png", "NG/{:03d}.png", "GT/NG/{:03d}_gt.png"),
    placed("label-folder", "folder", "good/{:03d}.png", "bad/{:03d}.png", "label/bad/{:03d}.png"),
    placed("segmentation-folder", "mvtec", "test/good/{}.png", "test/bad/{}.png", "segmentation/bad/{}.png"),
    placed("masks-of-normals", "mvtec", "test/good/{:03d}.png", "test/bad/{:03d}.png", "ground_truth/bad/{:03d}.png",
           black="ground_truth/good/{:03d}.png"),
    placed("masks-in-test-folder", "mvtec", "test/good/{}.png", "test/bad/{}.png", "masks/test/bad/{}.png"),
    placed("a-mask-a-folder", "folder", "good/{:03d}.png", "bad/b{:03d}.png", "masks/b{:03d}/0.png",
           "masks/b{:03d}/1.png"),
    placed("masks-of-no-type", "folder", "good/{:03d}.png", "bad/{:03d}.png", "defect_masks/{:03d}.png"),
    placed("no-defect", "folder", "No Defect/{:03d}.png", "defective/{:03d}.png"),
    placed("webp", "folder", "good/{:03d}.webp", "bad/{:03d}.webp", "masks/bad/{:03d}.webp"),
    placed("a-type-called-label", "mvtec", "test/good/{:03d}.png", "test/label/{:03d}.png",
           "ground_truth/label/{:03d}_mask.png"),
    placed("a-type-called-solder-mask", "mvtec", "test/good/{:03d}.png", "test/solder_mask/{:03d}.png",
           "ground_truth/solder_mask/{:03d}_mask.png"),
    PublicLayout("magnetic-tiles", numbered, "folder"),
    PublicLayout("dagm", dagm, "dagm", note="Labels.txt"),
    PublicLayout("mvtec-3d", mvtec_3d, "mvtec", note="xyz"),
    PublicLayout("hazelnut-toy", hazelnut_toy, "folder", Counts(anomalous=4)),
    PublicLayout("train-val-test", with_train, "mvtec", UNMASKED),
    PublicLayout("good-and-normal", two_normals, "folder", Counts(normal=6), note="normal images"),
    PublicLayout("foregrounds", foregrounds, "folder", UNMASKED, note="fg_mask"),
    PublicLayout("foregrounds-beside", foregrounds_beside, "mvtec", UNMASKED, note="fg_mask"),
    PublicLayout("palette", palette, "mvtec"),
    PublicLayout("labelme", with_json, "folder", note="000.json"),
    PublicLayout("accents", unlike, "folder"),
]  # fmt: skip
