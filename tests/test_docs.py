"""README and docs: programs run, commands and options exist, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from support import tiny
from support.paths import DOCS, ROOT

from edge_ad import Detector
from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.sources import list_images, read_image
from edge_ad_demo.line.dataset import Counts, render
from edge_ad_demo.line.product import Product
from edge_ad_demo.trained.gaussian_model import fit, to_model_size
from edge_ad_demo.trained.onnx_graph import to_onnx
from edge_ad_metrics.datasets.layouts import read_labelled_images

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "firmware_notes").rglob("*.md")), *sorted(DOCS.glob("*.md"))]


def programs(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def code(page: Path) -> list[str]:
    """What stands between single back-ticks, and the lines of code blocks, continued lines as one."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [*lines, *(" ".join(one.split()) for one in re.findall(r"`([^`]+)`", without_code(page)))]


def options_of(name: str) -> set[str]:
    """The options of a command; raises ``KeyError`` for a command that does not exist."""
    command = main.get_command(click.Context(main), name)
    if command is None:
        raise KeyError(name)
    return {one for parameter in command.params for one in (*parameter.opts, *parameter.secondary_opts)}


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(300, 400, id="halved-twice-then-shrunk"),
        pytest.param(75, 101, id="odd-sides"),
        pytest.param(32, 32, id="the-size-of-the-input"),
    ],
)
def test_the_program_without_edge_ad_gives_the_score_of_the_runtime(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "part.png"), frame)
    tiny_bundle.rename(tmp_path / "bundle")
    (program,) = programs(DOCS / "bundle.md")
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(program, names)  # noqa: S102
    with Detector.open(tmp_path / "bundle", variant="onnx-fp32") as detector:
        assert float(names["score"]) == detector.score(frame).score


def test_the_tour_of_the_readme_runs(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_images(tmp_path / "held-out", tiny.frames(300))
    tiny_bundle.rename(tmp_path / "part")
    monkeypatch.chdir(tmp_path)
    (calibrate,) = re.findall(r"^\$ edge-ad (calibrate .*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    done = CliRunner().invoke(main, [*calibrate.split(), "--no-cache"])
    assert done.exit_code == 0, done.output
    (program,) = programs(README)
    exec(program, {"frame": tiny.spotted(tiny.frames(1)[0], 20, 20)})  # noqa: S102
    assert "REJECT" in capsys.readouterr().out


@pytest.mark.slow
def test_the_tutorial_on_the_demos_product_line_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of its first part, in order, but for the demo itself, whose pictures and model are made here."""
    monkeypatch.chdir(tmp_path)
    dataset = render(Product(0), Path("line/images"), Counts(train=24, calibration=300, test=6, per_defect=2))
    images = [to_model_size(read_image(path)) for path in list_images(dataset.train)]
    Path("line/model.onnx").write_bytes(to_onnx(fit(images)))
    first = (DOCS / "tutorial.md").read_text(encoding="utf-8").partition("## Photographs of magnetic tiles")[0]
    demo, *commands = re.findall(r"^\$ edge-ad (.*)$", first, re.MULTILINE)
    assert demo == "demo -o line"
    assert len(commands) == 9
    for command in commands:
        done = CliRunner().invoke(main, command.split())
        assert done.exit_code == 0, (command, done.output)
    record = Bundle.open("plate").calibration(Bundle.open("plate").variant())
    assert record is not None
    assert record.stations["default"].alpha == 0.01
    assert len(list(Path("pictures").iterdir())) == 2


def test_the_tutorial_divides_the_magnetic_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = programs(DOCS / "tutorial.md")[0]
    tiny.write_images(tmp_path / "raw/MT_Free/Imgs", tiny.frames(20))
    for number, path in enumerate(sorted((tmp_path / "raw/MT_Free/Imgs").iterdir())):
        path.rename(path.with_name(f"exp1_num_{number + 95}.jpg"))
    for kind in ("Blowhole", "Break", "Crack", "Fray", "Uneven"):
        folder = tmp_path / f"raw/MT_{kind}/Imgs"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "exp1_num_7.jpg"), np.full(tiny.FRAME, 90, np.uint8))
        cv2.imwrite(str(folder / "exp1_num_7.png"), np.eye(*tiny.FRAME[:2], dtype=np.uint8) * 255)
    exec(program, {})  # noqa: S102
    numbers = [
        sorted(int(path.stem.rpartition("_")[2]) for path in Path("tiles", role).iterdir())
        for role in ("train", "held-out", "test/good")
    ]
    assert numbers == [list(range(95, 101)), list(range(101, 113)), [113, 114]]
    found = read_labelled_images(Path("tiles"))
    assert sorted(image.type for image in found.images if image.masks) == [
        "blowhole",
        "break",
        "crack",
        "fray",
        "uneven",
    ]
    assert sum(not image.anomalous for image in found.images) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_commands_and_their_options_exist(page: Path) -> None:
    calls = re.findall(r"edge-ad ([a-z]+(?:-[a-z]+)*)(.*)", "\n".join(code(page)))
    said = [(name, option) for name, rest in calls for option in re.findall(r"(?<!\S)--[a-z-]+", rest)]
    known = {name: options_of(name) for name, _ in calls}
    unknown = [(name, option) for name, option in said if option not in known[name]]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)", without_code(page))
    places = [((page.parent / name) if name else page, anchor) for name, anchor in links]
    assert [place for place, _ in places if not place.exists()] == []
    assert [(place, anchor) for place, anchor in places if anchor and anchor not in anchors(place)] == []
