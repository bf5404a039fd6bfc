"""Faults from the field, kind 2: anomaly maps as other frameworks lay them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.field_cli import BOTH, check_scores, export, exported
from support.field_models import SIDE, Dims, Net, c2_of, small_c2, write_pictures

HALF = SIDE // 2
Expected = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def raw(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.abs(c2_of(pixels))


def channels_last(given: Dims, ends: Dims, *, name: str = "Identity:0", squeeze: tuple[int, ...] = ()) -> Net:
    """The small model between two transpositions, as a converter from Keras writes it."""
    net = Net()
    image = net.op("Transpose", net.input("input_1:0", given), perm=[0, 3, 1, 2])
    channels = given[-1]
    assert isinstance(channels, int)
    plane = net.op("Transpose", net.op("Abs", small_c2(net, image, channels=channels)), perm=[0, 2, 3, 1])
    if squeeze:
        net.op("Squeeze", plane, net.whole(*squeeze), out=name)
    else:
        net.op("Identity", plane, out=name)
    net.output(name, ends)
    return net


@pytest.mark.parametrize(
    ("net", "options", "size"),
    [
        pytest.param(
            channels_last(["unk__1", 96, 96, 3], ["unk__1", HALF, HALF, 1]),
            [],
            (96, 96),
            id="keras",
        ),
        pytest.param(
            channels_last(["unk__1", 96, 96, 3], ["unk__1", HALF, HALF, 1]),
            ["--map-output", "Identity:0"],
            (96, 96),
            id="keras-map-output",
        ),
        pytest.param(
            channels_last(["unk__1", 96, 96, 3], ["unk__1", HALF, HALF, 1]),
            ["--family", "map"],
            (96, 96),
            id="keras-family-map",
        ),
        pytest.param(
            channels_last([1, 96, 96, 3], [1, HALF, HALF, 1], name="out"),
            [],
            (96, 96),
            id="fixed-batch",
        ),
        pytest.param(
            channels_last(["n", 96, 64, 3], ["n", HALF, 32, 1], name="StatefulPartitionedCall:0"),
            [],
            (96, 64),
            id="not-square",
        ),
        pytest.param(
            channels_last([1, 96, 96, 3], [HALF, HALF, 1], name="plane", squeeze=(0,)),
            [],
            (96, 96),
            id="no-batch",
        ),
        pytest.param(
            channels_last([1, 96, 96, 3], [HALF, HALF], name="out", squeeze=(0, 3)),
            [],
            (96, 96),
            id="plane-alone",
        ),
        pytest.param(
            channels_last(["b", None, None, 3], ["b", None, None, 1]),
            ["--size", "96x96"],
            (96, 96),
            id="of-any-size",
        ),
    ],
)
def test_a_map_with_its_channel_last_is_a_map(
    tmp_path: Path, net: Net, options: list[str], size: tuple[int, int]
) -> None:
    pictures = write_pictures(tmp_path / "img", height=size[0], width=size[1])
    made = exported(net.save(tmp_path / "m.onnx"), pictures, tmp_path / "out" / "b", *options, variants=BOTH)
    check_scores(made, raw, variants=BOTH)


def test_a_gray_map_with_its_channel_last_is_a_map(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "img", gray=True)
    net = channels_last(["n", 96, 96, 1], ["n", HALF, HALF, 1])
    made = exported(net.save(tmp_path / "m.onnx"), pictures, tmp_path / "out" / "b")
    check_scores(made, raw)


def plain(ends: Dims, *, shape: tuple[int, ...] = (), name: str = "out") -> Net:
    """A model of one picture whose map is reshaped before it is given."""
    net = Net()
    plane = net.op("Abs", small_c2(net, net.input("input", [1, 3, SIDE, SIDE])))
    net.op("Reshape", plane, net.whole(*(shape or (HALF, HALF))), out=name)
    net.output(name, ends)
    return net


@pytest.mark.parametrize(
    ("net", "options"),
    [
        pytest.param(plain([HALF, HALF]), [], id="two-dimensions"),
        pytest.param(plain([HALF, HALF]), ["--map-output", "out"], id="two-dimensions-map-output"),
        pytest.param(
            plain([HALF, HALF]),
            ["--family", "map"],
            id="two-dimensions-family-map",
        ),
        pytest.param(plain([1, HALF, HALF], shape=(1, HALF, HALF)), [], id="control-three-dimensions"),
        pytest.param(
            plain([1, 1, 1, HALF, HALF], shape=(1, 1, 1, HALF, HALF)),
            [],
            id="five-dimensions",
        ),
        pytest.param(
            plain([None, None], name="heat"),
            [],
            id="two-dimensions-not-stated",
        ),
    ],
)
def test_a_map_is_known_by_its_shape(tmp_path: Path, images: Path, net: Net, options: list[str]) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", *options)
    check_scores(made, raw)


def classes(activation: str, count: int = 2, *, last: bool = False) -> Net:
    """``[b, count, 48, 48]`` of ``-c2``, ``c2`` and, as a third class, ``c2 / 2``."""
    net = Net()
    c2 = small_c2(net, net.input("input", ["b", 3, SIDE, SIDE]))
    planes = [net.op("Neg", c2), c2, net.op("Mul", c2, net.constant(0.5))][:count]
    logits = net.op("Concat", *planes, axis=1)
    logits = net.op("Transpose", logits, perm=[0, 2, 3, 1]) if last else logits
    attributes: dict[str, Any] = {} if activation in ("Identity", "Sigmoid") else {"axis": 3 if last else 1}
    net.op(activation, logits, out="anomaly_map", **attributes)
    net.output("anomaly_map", ["b", HALF, HALF, count] if last else ["b", count, HALF, HALF])
    return net


def log_odds(pixels: NDArray[np.uint8], count: int = 2, index: int = 1) -> NDArray[np.float32]:
    c2 = c2_of(pixels).astype(np.float64)
    logits = np.stack([-c2, c2, c2 / 2][:count])
    others = np.log(np.exp(np.delete(logits, index, axis=0)).sum(axis=0))
    return np.asarray(logits[index] - others, np.float32)


@pytest.mark.parametrize(
    ("net", "options", "expected"),
    [
        pytest.param(
            classes("Softmax"),
            ["--anomalous-class", "1"],
            log_odds,
            id="two-classes",
        ),
        pytest.param(
            classes("LogSoftmax"),
            ["--anomalous-class", "1"],
            log_odds,
            id="log-softmax",
        ),
        pytest.param(
            classes("Softmax"),
            ["--anomalous-class", "0"],
            lambda pixels: log_odds(pixels, index=0),
            id="the-first",
        ),
        pytest.param(
            classes("Softmax"),
            ["--normal-class", "0"],
            log_odds,
            id="normal-class",
        ),
        pytest.param(
            classes("Softmax", 3),
            ["--anomalous-class", "2"],
            lambda pixels: log_odds(pixels, 3, 2),
            id="three-classes",
        ),
        pytest.param(
            classes("Softmax", last=True),
            ["--anomalous-class", "1"],
            log_odds,
            id="classes-last",
        ),
        pytest.param(
            classes("Identity"),
            ["--anomalous-class", "1"],
            c2_of,
            id="logits-themselves",
        ),
    ],
)
def test_a_class_of_a_map_gives_its_log_odds_at_every_place(
    tmp_path: Path, images: Path, net: Net, options: list[str], expected: Expected
) -> None:
    model = net.save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", "--family", "map", *options, variants=BOTH)
    check_scores(made, expected, variants=BOTH)


@pytest.mark.parametrize(
    ("net", "index"),
    [
        pytest.param(classes("Softmax"), 1, id="two-classes"),
        pytest.param(
            classes("Softmax", 3),
            2,
            id="three-classes",
        ),
        pytest.param(classes("Identity"), 0, id="logits"),
        pytest.param(
            classes("Softmax", last=True),
            1,
            id="classes-last",
        ),
    ],
)
def test_one_pixel_of_a_map_is_no_score(tmp_path: Path, images: Path, net: Net, index: int) -> None:
    options = ["--family", "score", "--anomalous-class", index]
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", *options)
    assert done.refused("--family map")


def levels(count: int, *, last: bool = False, name: str = "maps") -> Net:
    """``[b, count, 48, 48]`` of ``|c2|``, ``2 |c2|``, ..."""
    net = Net()
    plane = net.op("Abs", small_c2(net, net.input("input", ["b", 3, SIDE, SIDE])))
    planes = [net.op("Mul", plane, net.constant(float(level + 1))) for level in range(count)]
    joined = net.op("Concat", *planes, axis=1)
    attributes: dict[str, Any] = {"perm": [0, 2, 3, 1]} if last else {}
    net.op("Transpose" if last else "Identity", joined, out=name, **attributes)
    net.output(name, ["b", HALF, HALF, count] if last else ["b", count, HALF, HALF])
    return net


@pytest.mark.parametrize(
    ("net", "how", "expected"),
    [
        pytest.param(
            levels(3),
            "mean",
            lambda pixels: 2 * raw(pixels),
            id="mean-of-three",
        ),
        pytest.param(
            levels(3),
            "sum",
            lambda pixels: 6 * raw(pixels),
            id="sum-of-three",
        ),
        pytest.param(
            levels(3),
            "product",
            lambda pixels: 6 * raw(pixels) ** 3,
            id="product-of-three",
        ),
        pytest.param(
            levels(2),
            "sum",
            lambda pixels: 3 * raw(pixels),
            id="sum-of-two",
        ),
        pytest.param(
            levels(5),
            "mean",
            lambda pixels: 3 * raw(pixels),
            id="mean-of-five",
        ),
        pytest.param(
            levels(4, last=True),
            "sum",
            lambda pixels: 10 * raw(pixels),
            id="levels-last",
        ),
    ],
)
def test_levels_of_a_map_are_combined(tmp_path: Path, images: Path, net: Net, how: str, expected: Expected) -> None:
    options = ["--family", "map", "--combine", how]
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", *options, variants=BOTH)
    check_scores(made, expected, variants=BOTH)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2, id="two"),
        pytest.param(3, id="three"),
    ],
)
def test_a_map_of_several_planes_asks_what_they_are(tmp_path: Path, images: Path, count: int) -> None:
    done = export(levels(count).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--family", "map")
    assert done.refused("--combine", "--anomalous-class")
