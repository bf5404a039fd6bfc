"""A variant without code of edge-ad: the C programs, built with all warnings, score as the runtime does."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from support import tiny, tiny_calibration, tiny_clips
from support.c_programs import BUILDS
from support.native_programs import (
    LEAKS,
    NATIVE,
    VARIANTS,
    build,
    conv_model,
    fetched_headers,
    make_recipe,
    run,
    write_frame,
)

from edge_ad import Detector
from edge_ad.bundle.records import FrameSize, Geometry, Resize, Roi
from edge_ad.engines import EngineOptions
from edge_ad.sources import list_images, read_image
from edge_ad_demo.line.product import Product, Split
from edge_ad_demo.trained.gaussian_model import fit, to_model_size
from edge_ad_demo.trained.onnx_graph import to_onnx
from edge_ad_export import ExportRequest, export_bundle

# Of the score. Without its precision pinned OpenVINO is more than 1e-3 off where the CPU has bfloat16.
TOLERANCE = 1e-4


@pytest.fixture(
    scope="module",
    params=[pytest.param((engine, kind), id=f"{engine}-{kind}") for engine in VARIANTS for kind in BUILDS],
)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An engine, and the program that runs it."""
    engine, kind = request.param
    return engine, build(engine, tmp_path_factory.mktemp(f"{engine}-{kind}"), kind)


@pytest.fixture(autouse=True)
def leak_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSAN_OPTIONS", f"suppressions={LEAKS}:print_suppressions=0")


@pytest.fixture(scope="module")
def product() -> list[NDArray[np.uint8]]:
    """Twenty pictures of the demo's camera, 640x480."""
    line = Product(3)
    return [line.normal(index, Split.TRAIN) for index in range(20)]


@pytest.fixture(scope="module")
def conv_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(tiny.write_bundle(tmp_path_factory.mktemp("conv") / "conv", graph=conv_model()), 1.0)


@pytest.fixture(scope="module")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory, product: list[NDArray[np.uint8]]) -> Path:
    """The demo's model as a user exports it."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "model.onnx").write_bytes(to_onnx(fit([to_model_size(frame) for frame in product])))
    images = tiny.write_images(folder / "images", product)
    variants = tuple(VARIANTS.values())
    export_bundle(
        ExportRequest(
            folder / "model.onnx", images, folder / "b", variants=variants, threads=1, effort="low", max_images=6
        )
    )
    return calibrated(folder / "b", 1.3)


@pytest.fixture(scope="module")
def conv_recipes(conv_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    for engine, variant in VARIANTS.items():
        make_recipe(conv_bundle, folder / engine, variant)
    return folder


@pytest.fixture
def recipe(program: tuple[str, Path], conv_recipes: Path, tmp_path: Path) -> Path:
    """A recipe of the convolutions, for this engine and this test alone."""
    return Path(shutil.copytree(conv_recipes / program[0], tmp_path / "recipe")) / "recipe.txt"


def calibrated(bundle: Path, threshold: float) -> Path:
    for variant in VARIANTS.values():
        tiny_calibration.calibrate(bundle, threshold, variant=variant)
    return bundle


def compare(program: tuple[str, Path], bundle: Path, frames: list[NDArray[Any]], folder: Path) -> set[str]:
    """Asserts that the C program says of the frames what the runtime says. Returns the states that occurred."""
    engine, path = program
    recipe = make_recipe(bundle, folder / "recipe", VARIANTS[engine])
    files = [write_frame(folder / str(index), frame) for index, frame in enumerate(frames)]
    said = run(path, recipe, *files)
    with Detector.open(bundle, variant=VARIANTS[engine], engine=EngineOptions(threads=1)) as detector:
        expected = [detector.score(frame) for frame in frames]
    assert [one.state for one in said] == [one.state for one in expected]
    assert [one.score for one in said] == pytest.approx([one.score for one in expected], rel=TOLERANCE)
    return {one.state for one in said}


def test_the_demos_bundle(
    program: tuple[str, Path], demo_bundle: Path, product: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    line = Product(3)
    fresh = [line.normal(index, Split.TEST) for index in range(6)]
    assert compare(program, demo_bundle, [*fresh, *product[:4]], tmp_path) == {"ACCEPT", "REJECT"}


def test_convolutions_in_float32(
    program: tuple[str, Path], conv_bundle: Path, product: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    sizes = [frame[: 480 - 7 * index, : 640 - 13 * index] for index, frame in enumerate(product[:6])]
    bright = [np.clip(frame.astype(np.int16) * 2, 0, 255).astype(np.uint8) for frame in tiny.frames(4)]
    assert "ACCEPT" in compare(program, conv_bundle, [*sizes, *bright, product[0][:32, :32]], tmp_path)


@pytest.mark.shared
def test_photographs(program: tuple[str, Path], conv_bundle: Path, shared: Path, tmp_path: Path) -> None:
    cookies = [read_image(path) for path in list_images(shared / "data/cookies/test/anomaly")[:6]]
    tiles = [read_image(path) for path in list_images(shared / "data/magnetic_tile/test/good")[:6]]
    compare(program, conv_bundle, [*cookies, *tiles], tmp_path)


@pytest.mark.parametrize(
    ("geometry", "shape"),
    [
        pytest.param(Geometry(resize=Resize(width=32, height=32, kernel="linear")), (61, 83, 3), id="linear"),
        pytest.param(
            Geometry(
                frame=FrameSize(width=64, height=48),
                roi=Roi(x=5, y=3, width=51, height=40),
                resize=Resize(width=32, height=32),
            ),
            (48, 64, 3),
            id="region",
        ),
        pytest.param(Geometry(roi=Roi(x=5, y=3, width=32, height=32), resize=None), (48, 64, 3), id="cut-alone"),
        pytest.param(Geometry(resize=None), (32, 32, 3), id="as-it-is"),
        pytest.param(Geometry(resize=Resize(width=32, height=32)), (48, 64), id="gray"),
    ],
)
def test_geometries(program: tuple[str, Path], tmp_path: Path, geometry: Geometry, shape: tuple[int, ...]) -> None:
    bundle = calibrated(tiny.write_bundle(tmp_path / "bundle", geometry, shape=shape), 0.2)
    compare(program, bundle, tiny.frames(5, shape=shape, seed=3), tmp_path)


def test_a_gray_graph(program: tuple[str, Path], tmp_path: Path) -> None:
    bundle = calibrated(tiny.write_bundle(tmp_path / "bundle", shape=(48, 64), channels=1), 0.2)
    compare(program, bundle, tiny.frames(5, shape=(48, 64), seed=3), tmp_path)
    colour = write_frame(tmp_path / "colour", tiny.frames(1)[0])
    (said,) = run(program[1], tmp_path / "recipe/recipe.txt", colour, code=1)
    assert said.state == "INVALID"
    assert said.rest == f"{colour} wrong_shape: expected a gray frame, found a coloured one"


def test_frames_that_cannot_be_scored(program: tuple[str, Path], tmp_path: Path) -> None:
    engine, path = program
    size = FrameSize(width=64, height=48)
    bundle = tmp_path / "bundle"
    tiny.write_bundle(bundle, Geometry(frame=size, resize=Resize(width=32, height=32)), graph=conv_model())
    recipe = make_recipe(calibrated(bundle, 1e9), tmp_path / "r", VARIANTS[engine])
    whole = write_frame(tmp_path / "whole", tiny.frames(1)[0])
    data = whole.read_bytes()
    made = {
        "cut.ppm": data[:-1],
        "long.ppm": data + b"x",
        "empty.ppm": b"",
        "text.ppm": b"P3\n1 1\n255\n1 2 3\n",
        "deep.ppm": b"P6\n1 1\n65535\n123456",
        "huge.ppm": b"P6\n99999 99999\n255\n",
        "negative.ppm": b"P6\n-64 48\n255\n" + bytes(64 * 48 * 3),
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    small = write_frame(tmp_path / "small", tiny.frames(1, shape=(48, 63, 3))[0])
    black = write_frame(tmp_path / "black", np.zeros(tiny.FRAME, np.uint8))
    named = [tmp_path / "none.ppm", tmp_path, *(tmp_path / name for name in made), small, black]
    said = run(path, recipe, whole, *named, whole, code=1)
    assert [one.state for one in said] == ["ACCEPT", *["INVALID"] * len(named), "ACCEPT"]
    assert [math.isnan(one.score) for one in said] == [False, *[True] * len(named), False]
    header = "unreadable: expected a binary PGM or PPM file of 8 bits a channel"
    count = "unreadable: expected 9216 bytes after the header, found fewer or more"
    assert [one.rest for one in said[1:-1]] == [
        f"{named[0]} unreadable: No such file or directory",
        f"{tmp_path} {header}",
        f"{tmp_path}/cut.ppm {count}",
        f"{tmp_path}/long.ppm {count}",
        *(f"{tmp_path}/{name} {header}" for name in list(made)[2:]),
        f"{small} wrong_shape: expected a frame of 64x48 pixels, found 63x48",
        f"{black} not_finite: the model gave NaN or infinity",
    ]


def test_a_file_without_permission(program: tuple[str, Path], recipe: Path, tmp_path: Path) -> None:
    _, path = program
    frame = write_frame(tmp_path / "frame", tiny.frames(1)[0])
    command = [*powerless(), str(path), str(recipe), str(frame)]
    frame.chmod(0)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"INVALID nan {frame} unreadable: Permission denied\n"
    recipe.chmod(0)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: the recipe {recipe} cannot be read: Permission denied\n"


def powerless() -> list[str]:
    """What has a command keep to the permissions of files, which root does not."""
    if os.geteuid() != 0:
        return []
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("root needs setpriv for this")
    return [tool, "--bounding-set=-all", "--inh-caps=-all"]


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("model model", "model none", 3, "the model .*none.* cannot be read: No such file or directory"),
        ("threshold 1.0", "threshold nan", 2, "line 3 of the recipe .* is not understood: threshold nan"),
        ("threshold 1.0\n", "", 2, "the recipe .* is not complete: expected the lines model and threshold"),
        ("golden ", "# golden ", 2, "the recipe .* is not complete: .* at least one golden"),
        ("kernel area", "kernel cubic", 2, "line 4 of the recipe .* is not understood: kernel cubic"),
        ("kernel area", "tiles 4", 2, "line 4 of the recipe .* is not understood: tiles 4"),
        ("kernel area", "roi 0 0 64 49", 3, "golden frame golden/0.ppm: wrong_shape: the frame of 64x48 pixels does"),
        ("golden 0", "golden 9", 3, "golden frame golden/.* scores .*, expected 9.* within 0.0001: do not inspect"),
        ("golden/0.ppm", "golden/7.ppm", 3, "golden frame golden/7.ppm: unreadable: No such file or directory"),
    ],
)
def test_recipes_that_are_refused(
    program: tuple[str, Path], recipe: Path, tmp_path: Path, old: str, new: str, code: int, message: str
) -> None:
    _, path = program
    text = recipe.read_text("utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new), "utf-8")
    refused(path, recipe, code, message)


def refused(program: Path, recipe: Path, code: int, message: str) -> None:
    done = subprocess.run([str(program), str(recipe)], capture_output=True, text=True, check=False, input="")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert re.match(f"error: {message}", done.stderr), done.stderr


@pytest.mark.parametrize("kind", ["clips", "no-score"])
def test_another_contract_is_refused(program: tuple[str, Path], recipe: Path, tmp_path: Path, kind: str) -> None:
    _, path = program
    other = tiny.model()
    other.graph.output[0].name = other.graph.node[-1].output[0] = "result"
    models = {"clips": ir.to_proto(tiny_clips.model("predict", 3)), "no-score": other}
    onnx.save(models[kind], recipe.with_name("other.onnx"))
    recipe.write_text(re.sub("model .*", "model other.onnx", recipe.read_text("utf-8")), "utf-8")
    refused(path, recipe, 3, "the graph has another contract: expected one input frame, uint8")


def test_a_damaged_model_is_refused(program: tuple[str, Path], recipe: Path, tmp_path: Path) -> None:
    _, path = program
    (model,) = recipe.parent.glob("model.[ox]*")
    model.write_bytes(model.read_bytes()[:500])
    refused(path, recipe, 3, "(OpenVINO cannot read|ONNX Runtime cannot load) the model: ")


def test_frames_from_the_standard_input(program: tuple[str, Path], recipe: Path, tmp_path: Path) -> None:
    _, path = program
    frame = write_frame(tmp_path / "frame with spaces", tiny.frames(1)[0])
    command = [str(path), str(recipe)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name, end in ((frame, f" {frame}\n"), ("", "unreadable: No such file or directory\n")):
            process.stdin.write(f"{name}\n")
            assert process.stdout.readline().endswith(end)
        process.stdin.close()
        assert process.wait() == 1


def test_verdicts_that_cannot_be_written(program: tuple[str, Path], recipe: Path, tmp_path: Path) -> None:
    _, path = program
    command = [str(path), str(recipe), str(write_frame(tmp_path / "frame", tiny.frames(1)[0]))]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (4, "error: the verdicts cannot be written: No space left on device\n")


def test_nothing_is_left_in_the_home(program: tuple[str, Path], recipe: Path, tmp_path: Path) -> None:
    _, path = program
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)  # the runtime of edge-ad has set it for itself and its children
    subprocess.run([str(path), str(recipe)], input="", text=True, check=True, env=environment)
    assert list(home.rglob("*")) == []


def test_the_programs_are_as_short_as_promised() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in NATIVE.glob("*.[ch]")}
    assert len(lengths) == 5
    assert max(lengths.values()) < 220
    assert lengths["edge_ad_native.c"] + lengths["native_openvino.c"] < 300


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("openvino", "/nowhere/include/openvino/c/openvino.h is missing: name a Python with the wheel of openvino"),
        ("onnxruntime", "/nowhere/libonnxruntime.so.* is missing: name a Python with the wheel of onnxruntime"),
    ],
)
def test_a_wheel_that_is_missing(tmp_path: Path, target: str, message: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    command = [make, "-C", str(NATIVE), target, f"OUT={tmp_path}", "OPENVINO=/nowhere", "ORT_LIB=/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_onnx_runtimes_headers_come_from_npm(
    demo_bundle: Path, product: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    made = build("onnxruntime", tmp_path, headers=fetched_headers(tmp_path / "headers"))
    compare(("onnxruntime", made), demo_bundle, product[:6], tmp_path)
