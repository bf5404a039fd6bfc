"""The antialiased kernels give the pixels of Pillow and torchvision, to one gray level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edge_ad.bundle.records import Geometry, ModelInput, Resize
from edge_ad.geometry import Preprocessor
from edge_ad.geometry.antialias import FILTERS as FILTERS_OF_EDGE_AD
from edge_ad.geometry.antialias import _blocks as blocks_of
from edge_ad.geometry.resample import Resampler

FILTERS = {"antialiased-linear": Image.Resampling.BILINEAR, "antialiased-cubic": Image.Resampling.BICUBIC}
SIDES = st.tuples(st.integers(1, 180), st.integers(1, 180))


def picture(width: int, height: int, channels: int, kind: str, seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    shape = (height, width, channels)[: 2 + (channels > 1)]
    if kind == "black-and-white":
        return (random.integers(0, 2, shape) * 255).astype(np.uint8)
    return random.integers(0, 256, shape, np.uint8)


def resized(image: NDArray[np.uint8], target: tuple[int, int], kernel: str) -> NDArray[np.int64]:
    channels = image.shape[2] if image.ndim == 3 else 1
    out = np.zeros((target[1], target[0], *image.shape[2:]), np.uint8)
    Resampler((image.shape[1], image.shape[0]), target, channels, kernel)(image, out)
    return out.astype(np.int64)


def by_pillow(image: NDArray[np.uint8], target: tuple[int, int], kernel: str) -> NDArray[np.int64]:
    """Across first, as torchvision and all but the latest Pillows do: where black and white meet, the order shows."""
    narrow = Image.fromarray(image).resize((target[0], image.shape[0]), FILTERS[kernel])
    return np.asarray(narrow.resize(target, FILTERS[kernel])).astype(np.int64)


@settings(deadline=None, max_examples=80)
@given(
    source=SIDES,
    target=SIDES,
    channels=st.sampled_from([1, 3]),
    kernel=st.sampled_from(sorted(FILTERS)),
    kind=st.sampled_from(["noise", "black-and-white"]),
    seed=st.integers(0, 9),
)
def test_the_pixels_are_pillows(
    source: tuple[int, int], target: tuple[int, int], channels: int, kernel: str, kind: str, seed: int
) -> None:
    image = picture(*source, channels, kind, seed)

    assert np.abs(resized(image, target, kernel) - by_pillow(image, target, kernel)).max() <= 1


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize("side", [64, 256])
def test_a_large_frame_as_pillow_resizes_it_at_once(kernel: str, side: int) -> None:
    coarse = Image.fromarray(picture(96, 54, 3, "noise", 1))
    frame = np.asarray(coarse.resize((960, 540), Image.Resampling.BILINEAR))
    expected = np.asarray(Image.fromarray(frame).resize((side, side), FILTERS[kernel])).astype(np.int64)

    assert np.abs(resized(frame, (side, side), kernel) - expected).max() <= 1


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_are_torchvisions(kernel: str, channels: int) -> None:
    torch: Any = pytest.importorskip("torch", reason="needs the extra [torch]")
    mode = {"antialiased-linear": "bilinear", "antialiased-cubic": "bicubic"}[kernel]
    image = picture(150, 97, channels, "noise", 3)
    planes = torch.from_numpy(image.reshape(97, 150, -1)).permute(2, 0, 1)[None].float()
    found = torch.nn.functional.interpolate(planes, size=(40, 64), mode=mode, antialias=True)
    expected = found.round().clamp(0, 255)[0].permute(1, 2, 0).numpy().astype(np.int64)

    assert np.abs(resized(image, (64, 40), kernel).reshape(40, 64, -1) - expected).max() <= 1


@given(source=st.integers(1, 3000), target=st.integers(1, 600), kernel=st.sampled_from(sorted(FILTERS)))
@settings(deadline=None, max_examples=40)
def test_sums_are_exact_in_float32_whatever_their_order(source: int, target: int, kernel: str) -> None:
    """So that every CPU gives the same pixels."""
    for block in blocks_of(source, target, FILTERS_OF_EDGE_AD[kernel]):
        assert (block.weights == np.round(block.weights)).all()
        assert (block.weights.sum(axis=1) == 2**15).all()
        assert 255 * np.abs(block.weights).sum(axis=1).max() + 2**14 < 2**24


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize("mode", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_geometry_takes_them(kernel: Any, mode: Any, channels: Any) -> None:
    geometry = Geometry(resize=Resize(width=32, height=32, mode=mode, kernel=kernel))
    prepared = Preprocessor(geometry, ModelInput(width=32, height=32, channels=channels))

    flat = prepared.prepare(np.full((60, 90, 3), 77, np.uint8))

    assert set(np.unique(flat.canvas)) <= {0, 77}
    assert (flat.canvas == 77).mean() > 0.6
