"""What the roofline counts, beside graphs that are small enough to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from openvino import Model, opset13

from benchmarks.roofline.counting import PARTS, Work, count, total
from benchmarks.roofline.limits import Limits

op: Any = opset13


def constant(*shape: int, value: float = 0.5) -> Any:
    return op.constant(np.full(shape, value, np.float32))


def named(node: Any, name: str) -> Any:
    node.set_friendly_name(name)
    return node


def ranges(low: float, high: float) -> list[Any]:
    return [op.constant(np.float32(value)) for value in (low, high, low, high)]


def convolution(source: Any, weights: Any, name: str, stride: int = 1) -> Any:
    made = op.convolution(source, weights, [stride, stride], [1, 1], [1, 1], [1, 1])
    return named(made, name)


def two_stage_graph() -> Model:
    """Two convolutions with an activation between, a product with many constants, and a sum behind it."""
    image = named(op.parameter([1, 3, 8, 8], np.float32), "image")
    first = named(op.relu(convolution(image, constant(4, 3, 3, 3), "first")), "relu")
    second = convolution(first, constant(8, 4, 3, 3), "second", stride=2)
    rows = named(op.reshape(second, op.constant([16, 8]), False), "rows")
    search = named(op.matmul(rows, constant(8, 40_000), False, False), "search")
    return Model([named(op.reduce_max(search, op.constant(1), False), "worst")], [image], "two stages")


def test_sums_and_bytes_of_each_operation() -> None:
    found = {name: work for name, (_, work) in count(two_stage_graph()).items()}

    assert found["first"] == Work(float_macs=4 * 64 * 27, constant_bytes=4 * 108, value_bytes=4 * (3 * 64 + 4 * 64))
    assert found["second"].float_macs == 8 * 16 * 36
    assert found["search"].float_macs == 16 * 40_000 * 8
    assert found["search"].bytes == 4 * (16 * 8 + 8 * 40_000 + 16 * 40_000)
    assert found["relu"] == found["rows"] == Work()
    assert found["worst"] == Work(constant_bytes=4, value_bytes=4 * (16 * 40_000 + 16))


def test_parts_of_a_model_with_a_search() -> None:
    found = {name: part for name, (part, _) in count(two_stage_graph()).items()}

    assert found == {
        "image": "backbone",
        "first": "backbone",
        "relu": "backbone",
        "second": "backbone",
        "rows": "head",
        "search": "head",
        "worst": "tail",
    }


def test_a_search_on_coarse_features_is_no_backbone() -> None:
    image = op.parameter([1, 64, 4, 4], np.float32)
    features = convolution(image, constant(64, 64, 3, 3), "features")
    search = op.convolution(features, constant(5_000, 64, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1])
    graph = Model([op.relu(named(search, "search"))], [image], "coarse")
    parts = {name: part for name, (part, _) in count(graph).items()}

    assert (parts["features"], parts["search"]) == ("backbone", "head")


def test_a_blur_of_the_map_is_no_backbone() -> None:
    image = op.parameter([1, 3, 16, 16], np.float32)
    features = convolution(image, constant(8, 3, 3, 3), "features")
    mean = op.reduce_mean(features, op.constant(1), True)
    blur = convolution(mean, constant(1, 1, 3, 3, value=1 / 9), "blur")
    parts = {name: part for name, (part, _) in count(Model([blur], [image], "blur")).items()}

    assert (parts["features"], parts["blur"]) == ("backbone", "tail")


def test_grouped_and_transposed_convolutions() -> None:
    image = op.parameter([1, 4, 8, 8], np.float32)
    grouped = named(op.group_convolution(image, constant(4, 1, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1]), "grouped")
    up = op.convolution_backprop_data(grouped, constant(4, 6, 2, 2), [2, 2], pads_begin=[0, 0], pads_end=[0, 0])
    found = {name: work for name, (_, work) in count(Model([named(up, "up")], [image], "grouped")).items()}

    assert found["grouped"].macs == 4 * 64 * 9
    assert found["up"].macs == 4 * 64 * 6 * 4


def test_int8_is_told_by_its_quantized_input_and_counts_a_byte_a_value() -> None:
    image = op.parameter([1, 3, 8, 8], np.float32)
    values = op.fake_quantize(image, *ranges(0.0, 2.55), 256)
    weights = op.fake_quantize(constant(4, 3, 3, 3), *ranges(-1.27, 1.27), 255)
    quantized = convolution(values, weights, "quantized")
    graph = Model([convolution(quantized, constant(2, 4, 3, 3), "float")], [image], "int8")
    found = {name: work for name, (_, work) in count(graph).items()}

    assert found["quantized"] == Work(int8_macs=4 * 64 * 27, constant_bytes=108, value_bytes=7 * 64)
    assert (found["float"].int8_macs, found["float"].float_macs) == (0, 2 * 64 * 36)


def test_a_picture_of_8_bits_does_not_make_its_convolution_int8() -> None:
    picture = op.parameter([1, 3, 8, 8], np.uint8)
    graph = Model([convolution(op.convert(picture, "f32"), constant(4, 3, 3, 3), "first")], [picture], "picture")

    assert total(work for _, work in count(graph).values()).int8_macs == 0


def test_all_parts_sum_up_to_the_whole() -> None:
    counted = count(two_stage_graph()).values()
    parts = [total(work for part, work in counted if part == name) for name in PARTS]

    assert total(parts) == total(work for _, work in counted)
    assert [part.macs for part in parts] == [4 * 64 * 27 + 8 * 16 * 36, 16 * 40_000 * 8, 0]


def test_an_operation_takes_as_long_as_what_binds_it() -> None:
    limits = Limits({"slow": 1.0, "fast": 2.0}, {"slow": 4.0, "fast": 8.0}, {1_000_000: 2e9, 8_000_000: 1e9}, 1)

    assert limits.seconds([Work(float_macs=2_000_000, value_bytes=1)]) == pytest.approx(1e-3)
    assert limits.seconds([Work(int8_macs=8_000_000, constant_bytes=1)]) == pytest.approx(1e-3)
    assert limits.seconds([Work(float_macs=2_000_000, value_bytes=3_000_000)] * 2) == pytest.approx(6e-3)
    assert limits.seconds([Work(value_bytes=1_000_000), Work(value_bytes=16_000_000)]) == pytest.approx(16.5e-3)
