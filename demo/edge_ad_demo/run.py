"""The demo from first to last: pictures, model, then the very commands that a user runs."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from edge_ad.cli import main as edge_ad
from edge_ad.errors import InputError
from edge_ad.files import atomic_write, output_error
from edge_ad.sources import list_images, read_image
from edge_ad_demo.line.dataset import Counts, Dataset, render
from edge_ad_demo.line.defects import Kind
from edge_ad_demo.line.product import Product
from edge_ad_demo.result.figures import Asked, DemoResult, FrameVerdict, read_verdicts, summarise
from edge_ad_demo.trained.gaussian_model import fit, to_model_size

__all__ = ["ASKED", "run"]

ASKED = Asked(fpr=0.01, confidence=0.95)
_MARKER = ".edge-ad-demo"

Say = Callable[[str], None]


def run(folder: Path, *, seed: int = 0, replace: bool = False, say: Say, counts: Counts | None = None) -> DemoResult:
    """Run the demo into ``folder``. ``say`` gets each line of progress.

    Whatever ends it early, Ctrl-C included, takes the folder away again.

    Raises:
        InputError: the folder exists and may not be replaced.
        OutputError: a file cannot be written.
        EdgeAdError: what export, calibrate and score raise.
    """
    with _workplace(folder, replace=replace):
        dataset = _render(folder, seed, counts or Counts(), say)
        model = _train(folder, dataset, say)
        bundle = folder / "bundle"
        _command(
            say, "export", model, "--images", dataset.train, "-o", bundle, "--name", "demo-plate", "--effort", "low"
        )
        _command(
            say, "calibrate", bundle, "--normal", dataset.calibration,
            "--fpr", ASKED.fpr, "--confidence", ASKED.confidence,
        )  # fmt: skip
        frames = _score(folder, bundle, dataset, say)
        _inspect(folder, bundle, dataset, say)
        return _show(folder, bundle, frames)


@contextlib.contextmanager
def _workplace(folder: Path, *, replace: bool) -> Iterator[None]:
    if folder.exists():
        if not replace:
            raise InputError(f"{folder} exists: replace it with --force or name another folder with -o")
        if not (folder / _MARKER).is_file():
            raise InputError(f"{folder} was not made by edge-ad demo, so --force spares it: name another with -o")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / _MARKER).touch()
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _render(folder: Path, seed: int, counts: Counts, say: Say) -> Dataset:
    start = time.perf_counter()
    dataset = render(Product(seed), folder / "images", counts)
    say(f"rendered {counts.total} camera frames into {dataset.root} in {time.perf_counter() - start:.1f} s")
    return dataset


def _train(folder: Path, dataset: Dataset, say: Say) -> Path:
    from edge_ad_demo.trained.onnx_graph import to_onnx

    start = time.perf_counter()
    paths = list_images(dataset.train)
    model = folder / "model.onnx"
    atomic_write(model, to_onnx(fit([to_model_size(read_image(path)) for path in paths])))
    say(f"fitted {model} to {len(paths)} good parts in {time.perf_counter() - start:.1f} s")
    return model


def _score(folder: Path, bundle: Path, dataset: Dataset, say: Say) -> tuple[FrameVerdict, ...]:
    verdicts = folder / "verdicts.jsonl"
    sources = [dataset.test, *(dataset.defects(kind) for kind in Kind)]
    words = _words("score", bundle, *sources, "--json")
    say(f"{_shown(words)} > {shlex.quote(str(verdicts))}")
    buffer = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(buffer, encoding="utf-8", write_through=True)) as printed:
        _call(words)
        data = buffer.getvalue()
        printed.detach()
    atomic_write(verdicts, data)
    return read_verdicts(data)


def _inspect(folder: Path, bundle: Path, dataset: Dataset, say: Say) -> None:
    """Lets a station run on parts that come one after the other, as on a line."""
    line = folder / "line"
    line.mkdir()
    for number, (name, path) in enumerate(dataset.mixed(), start=1):
        shutil.copy(path, line / f"{number:03d}_{name}{path.suffix}")
    station = folder / "station.toml"
    _command(say, "init", bundle, "--source", line, "-o", station, "--name", "demo")
    words = _words("run", station)
    log = folder / "station.log"
    say(f"{_shown(words)} > {shlex.quote(str(log))}")
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        _call(words)


def _command(say: Say, *arguments: object) -> None:
    words = _words(*arguments)
    say(_shown(words))
    _call(words)


def _words(*arguments: object) -> list[str]:
    return [str(argument) for argument in arguments]


def _shown(words: list[str]) -> str:
    return f"\n$ {shlex.join(['edge-ad', *words])}"


def _call(words: list[str]) -> None:
    edge_ad.main(words, prog_name="edge-ad", standalone_mode=False)


def _show(folder: Path, bundle: Path, frames: Sequence[FrameVerdict]) -> DemoResult:
    from edge_ad_demo.result.contact_sheet import draw_sheet, load_entries, load_rejects
    from edge_ad_demo.result.histogram import draw_histogram

    result = DemoResult(
        figures=summarise(frames, ASKED),
        sheet=folder / "verdicts.png",
        histogram=folder / "scores.png",
        figures_file=folder / "figures.json",
        rejects=folder / "rejects.png",
    )
    rejects = load_rejects(bundle, folder / "evidence")
    title, note = "The last parts that the station rejected", "from what it keeps as evidence"
    atomic_write(result.rejects, draw_sheet(rejects, title, note))
    atomic_write(result.sheet, draw_sheet(load_entries(bundle, frames)))
    atomic_write(result.histogram, draw_histogram(frames, result.figures))
    atomic_write(result.figures_file, msgspec.json.format(msgspec.json.encode(result.figures)) + b"\n")
    return result
