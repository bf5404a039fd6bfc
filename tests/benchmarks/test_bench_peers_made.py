"""The models that the peer makes: what it is given, what is said when it cannot, and which cases are compared."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.families.datasets import Dataset
from benchmarks.peers.__main__ import main
from benchmarks.peers.cases import CASES, MADE
from benchmarks.peers.made import Recipe, make

_SIDE = 256
# In place of the peer's Python: keeps what it was called with and writes what the script would.
_WRITES = (
    '#!/bin/sh\nshift 3\necho "$1 $2 $3 $MALLOC_MMAP_THRESHOLD_" > "$6.words"\ncp "$5" "$6.npz"\necho model > "$6"\n'
)
_REFUSES = "#!/bin/sh\necho Traceback >&2\necho 'ImportError: no torch' >&2\nexit 1\n"


def _program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def _recipe(folder: Path) -> Recipe:
    """Ten normal pictures and two defects, each with its number as its brightness."""
    paths = []
    for index in range(12):
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), np.full((8, 8, 3), index, np.uint8))
    data = Dataset("tiny", tuple(paths[:10]), (), (), labelled=tuple(paths[10:]), defects=())
    return Recipe("patchcore", "squeezenet", 7, lambda shared: data, images=4)


def test_no_picture_that_sets_the_scale_is_trained_with(tmp_path: Path) -> None:
    target = tmp_path / "made" / "model.onnx"

    make(_recipe(tmp_path), target, tmp_path, _program(tmp_path / "python", _WRITES))

    assert target.read_text() == "model\n"
    assert target.with_name("model.onnx.words").read_text() == "patchcore squeezenet 7 1048576\n"
    given = {name: np.round(255 * array[:, 0, 0, 0]).tolist() for name, array in np.load(f"{target}.npz").items()}
    assert given == {"train": [1, 3, 6, 8], "normal": [0, 5], "defect": [10, 11]}
    assert np.load(f"{target}.npz")["train"].shape == (4, 3, _SIDE, _SIDE)
    assert {path.name for path in target.parent.iterdir()} == {"model.onnx", "model.onnx.words", "model.onnx.npz"}


def test_a_peer_that_cannot_make_a_model_is_quoted(tmp_path: Path) -> None:
    target = tmp_path / "made" / "model.onnx"

    with pytest.raises(RuntimeError, match=r"model\.onnx could not be made, exit code 1: ImportError: no torch"):
        make(_recipe(tmp_path), target, tmp_path, _program(tmp_path / "python", _REFUSES))

    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--model", MADE[0].name], "with --made", id="no-folder"),
        pytest.param(["--made", "nowhere"], f"{MADE[0].name} is not in nowhere", id="no-peer"),
    ],
)
def test_a_made_model_needs_a_folder_and_a_peer(words: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--shared", str(tmp_path), *words])

    assert done.exit_code == 2
    assert said in done.output


def test_every_made_model_has_a_name_of_its_own() -> None:
    names = [case.name for case in (*CASES, *MADE)]
    assert len(set(names)) == len(names)
    assert all(case.recipe for case in MADE)
