"""Faults from the field, kind 3: which axis of a feature is its channels, and which token is a patch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.field_cli import Exported, bundle_of, export, exported
from support.field_models import SIDE, Net, as_input, picture, small_features, weights, write_pictures
from support.onnx_session import open_session

CHANNELS, CELLS = 24, 8


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def swin(
    *, out: str = "stage3", channels: int = CHANNELS, cells: int = CELLS, ends: str = "transpose", seed: int = 3
) -> Net:
    """``[1, cells, cells, channels]`` of a picture whose channels come first."""
    net = Net()
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    step = SIDE // 2 // cells
    features = net.op("MaxPool", features, kernel_shape=[step, step], strides=[step, step])
    features = net.op("Conv", features, net.constant(weights(channels, 8, 1, 1, seed=seed)))
    shape: list[int | str | None] = [1, cells, cells, channels]
    if ends == "transpose":
        net.op("Transpose", features, out=out, perm=[0, 2, 3, 1])
    elif ends == "norm":
        last = net.op("Transpose", features, perm=[0, 2, 3, 1])
        net.op("LayerNormalization", last, net.constant(np.ones(channels)), net.constant(np.zeros(channels)), out=out)
    elif ends == "linear":
        last = net.op("Transpose", features, perm=[0, 2, 3, 1])
        product = net.op("MatMul", last, net.constant(weights(channels, channels, seed=5)))
        net.op("Add", product, net.constant(weights(channels, seed=6)), out=out)
    elif ends == "tokens":
        tokens = net.op("Transpose", net.op("Reshape", features, net.whole(1, channels, -1)), perm=[0, 2, 1])
        net.op("Reshape", tokens, net.whole(1, cells, cells, channels), out=out)
    net.output(out, shape)
    return net


def features_of(model: Path, pixels: NDArray[np.uint8], *, name: str | None = None) -> NDArray[np.float32]:
    session = open_session(model)
    names = None if name is None else [name]
    return np.asarray(session.run(names, {session.get_inputs()[0].name: as_input(pixels)})[0])


def read_all(folder: Path) -> list[NDArray[np.uint8]]:
    found = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]
    return [np.asarray(image, np.uint8) for image in found if image is not None]


def check_one_class(made: Exported, model: Path, images: Path) -> None:
    """The squared distance of every place from the mean over all images and places."""
    seen = [features_of(model, pixels)[0].astype(np.float64) for pixels in read_all(images)]
    centre = np.mean([feature.reshape(-1, feature.shape[-1]).mean(axis=0) for feature in seen], axis=0)
    for frame in made.golden("onnx-fp32"):
        right = ((features_of(model, frame.pixels)[0] - centre) ** 2).sum(axis=-1)
        assert frame.map.shape == right.shape
        np.testing.assert_allclose(frame.map, right, rtol=1e-2, atol=1e-3 * right.max())
        assert frame.score == pytest.approx(right.max(), rel=1e-2)


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(swin(), id="swin"),
        pytest.param(swin(ends="norm"), id="layer-norm-behind"),
        pytest.param(swin(ends="linear"), id="linear-behind"),
        pytest.param(swin(ends="tokens"), id="tokens-laid-out"),
        pytest.param(swin(channels=8), id="as-many-channels-as-cells"),
        pytest.param(
            swin(cells=16, channels=4, out="x.norm"),
            id="fewer-channels-than-cells",
        ),
    ],
)
def test_channels_last_in_a_model_of_channels_first(tmp_path: Path, images: Path, net: Net) -> None:
    model = net.save(tmp_path / "m.onnx")
    out = str(net.outputs[0].name)
    done = export(
        model, images, tmp_path / "out" / "b", "--family", "one-class", "--feature-output", out, "--fit", images
    )
    asked = done.code != 0 and done.refused(out, "--")
    if not asked:
        check_one_class(bundle_of(done, tmp_path / "out" / "b"), model, images)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        pytest.param(
            "memory-bank",
            ["--feature-output", "stage3", "--fit"],
            id="memory-bank",
        ),
        pytest.param("gaussian", ["--feature-output", "stage3", "--fit"], id="gaussian"),
        pytest.param(
            "gaussian",
            ["--fit-shared", "--feature-output", "stage3", "--fit"],
            id="gaussian-shared",
        ),
        pytest.param("flow", ["--feature-output", "stage3"], id="flow"),
    ],
)
def test_every_family_reads_channels_last(tmp_path: Path, images: Path, family: str, options: list[str]) -> None:
    others = write_pictures(tmp_path / "fit", 8, first=30)
    given = [*options, others] if options[-1] == "--fit" else options
    done = export(swin().save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--family", family, *given)
    asked = done.code != 0 and done.refused("stage3", "--")
    if not asked:
        made = bundle_of(done, tmp_path / "out" / "b")
        assert made.map_size("onnx-fp32") == (CELLS, CELLS)


def test_students_and_teachers_read_channels_last(tmp_path: Path, images: Path) -> None:
    net = swin(out="teacher")
    student = net.op("Mul", "teacher", net.constant(weights(CHANNELS, seed=8)), out="student")
    net.output(student, [1, CELLS, CELLS, CHANNELS])
    options = ["--family", "student-teacher", "--feature-output", "teacher", "--predicted-output", "student"]
    model = net.save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", *options, "--distance", "cosine", "--combine", "sum")
    for frame in made.golden("onnx-fp32"):
        a, b = (features_of(model, frame.pixels, name=name)[0] for name in ("teacher", "student"))
        cosine = (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        np.testing.assert_allclose(frame.map, 1 - cosine, atol=2e-3)


def test_channels_first_in_a_model_of_channels_last(tmp_path: Path, images: Path) -> None:
    net = Net()
    image = net.op("Transpose", net.input("input", [1, SIDE, SIDE, 3]), perm=[0, 3, 1, 2])
    pooled = net.op("MaxPool", small_features(net, image), kernel_shape=[6, 6], strides=[6, 6])
    net.op("Conv", pooled, net.constant(weights(CHANNELS, 8, 1, 1, seed=3)), out="features")
    net.output("features", [1, CHANNELS, CELLS, CELLS])
    options = ["--family", "one-class", "--feature-output", "features", "--fit", images]
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", *options)
    assert made.map_size("onnx-fp32") == (CELLS, CELLS)


@dataclass(frozen=True)
class Vit:
    """A convolution to ``[1, n, 16]``. ``before`` and ``after``: how many tokens there are that are no patches."""

    height: int
    width: int
    patch: int = 14
    before: int = 0
    after: int = 0
    channels_last: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        return self.height // self.patch, self.width // self.patch

    def net(self) -> Net:
        net = Net()
        dims: list[int | str | None] = [1, self.height, self.width, 3] if self.channels_last else [
            1, 3, self.height, self.width,
        ]  # fmt: skip
        image = net.input("input", dims)
        image = net.op("Transpose", image, perm=[0, 3, 1, 2]) if self.channels_last else image
        kernel = np.abs(weights(16, 3, self.patch, self.patch, deviation=0.02))
        patches = net.op("Conv", image, net.constant(kernel), strides=[self.patch, self.patch])
        tokens = net.op("Transpose", net.op("Reshape", patches, net.whole(1, 16, -1)), perm=[0, 2, 1])
        parts = [tokens]
        if self.before:
            parts.insert(0, net.constant(weights(1, self.before, 16, seed=4)))
        if self.after:
            parts.append(net.constant(weights(1, self.after, 16, seed=5)))
        net.op("Concat", *parts, out="tokens", axis=1) if len(parts) > 1 else net.op("Identity", tokens, out="tokens")
        rows, columns = self.grid
        net.output("tokens", [1, rows * columns + self.before + self.after, 16])
        return net

    def pictures(self, folder: Path) -> tuple[int, int]:
        """Dim pictures and one with a bright patch, in ``fit`` beside them dim ones alone; gives its row and column."""
        folder.mkdir()
        (folder.parent / "fit").mkdir()
        rows, columns = self.grid
        row, column = rows - 2, columns // 2 - 1 if columns > 2 else 0
        for index in range(8):
            image = (picture(index, height=self.height, width=self.width) // 3).astype(np.uint8)
            if index == 5:
                top, left = row * self.patch, column * self.patch
                image[top : top + self.patch, left : left + self.patch] = 255
            assert cv2.imwrite(str(folder / f"{index}.png"), image)
            other = (picture(index + 20, height=self.height, width=self.width) // 3).astype(np.uint8)
            assert cv2.imwrite(str(folder.parent / "fit" / f"{index}.png"), other)
        return row, column


VITS = {
    "control-square": Vit(224, 224),
    "control-square-class-token": Vit(224, 224, before=1),
    "32x8-class-token": Vit(448, 112, before=1),
    "16x4": Vit(224, 56),
    "4x16-wide": Vit(56, 224),
    "8x16-class-token": Vit(112, 224, before=1),
    "class-token-and-four-registers": Vit(112, 112, before=5),
    "8x4-patch-16": Vit(128, 64, patch=16),
    "16x8-class-and-distillation-token": Vit(128, 64, patch=8, before=2),
    "class-token-and-eight-registers": Vit(128, 128, patch=16, before=9),
    "4x9-picture-channels-last": Vit(64, 144, patch=16, channels_last=True),
    "9x4-and-one-is-no-square": Vit(144, 64, patch=16, before=1),
}
# Where the patches lie does not depend on the head that looks at them.
WITH_A_BANK = ("16x4", "16x8-class-and-distillation-token", "4x9-picture-channels-last", "9x4-and-one-is-no-square")


@pytest.mark.parametrize(
    ("vit", "family"),
    [
        *(pytest.param(vit, "one-class", id=f"one-class-{name}") for name, vit in VITS.items()),
        *(
            pytest.param(
                vit,
                "memory-bank",
                id=f"memory-bank-{name}",
                marks=() if name in WITH_A_BANK else pytest.mark.slow,
            )
            for name, vit in VITS.items()
        ),
    ],
)
def test_a_bright_patch_is_found_where_it_is(tmp_path: Path, vit: Vit, family: str) -> None:
    place = vit.pictures(tmp_path / "img")
    model = vit.net().save(tmp_path / "m.onnx")
    options = ["--family", family, "--feature-output", "tokens", "--fit", tmp_path / "fit", "--blur", "0"]
    made = exported(model, tmp_path / "img", tmp_path / "out" / "b", *options)
    assert made.map_size("onnx-fp32") == vit.grid
    brightest = max(made.golden("onnx-fp32"), key=lambda frame: frame.score)
    assert divmod(int(brightest.map.argmax()), brightest.map.shape[1]) == place


@pytest.mark.parametrize(
    "vit",
    [
        pytest.param(Vit(112, 112, after=3), id="tokens-behind"),
        pytest.param(Vit(112, 112, before=1, after=4), id="before-and-behind"),
    ],
)
def test_tokens_behind_the_patches_are_skipped_or_asked_about(tmp_path: Path, vit: Vit) -> None:
    place = vit.pictures(tmp_path / "img")
    model = vit.net().save(tmp_path / "m.onnx")
    options = ["--family", "one-class", "--feature-output", "tokens", "--fit", tmp_path / "fit"]
    done = export(model, tmp_path / "img", tmp_path / "out" / "b", *options)
    asked = done.code != 0 and done.refused("tokens", "--")
    if not asked:
        made = bundle_of(done, tmp_path / "out" / "b")
        brightest = max(made.golden("onnx-fp32"), key=lambda frame: frame.score)
        assert divmod(int(brightest.map.argmax()), brightest.map.shape[1]) == place
