"""Real cookies, a real PatchCore: two to a frame, each judged by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from edge_ad import Box, Bundle, Detector
from edge_ad.cli import main
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.objects import crop
from edge_ad.scoring.scorer import Scorer
from edge_ad.sources import list_images, read_image

PLACES = ((20, 10), (820, 34))


def edge_ad(*arguments: object) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done


@dataclass(frozen=True)
class Tray:
    """A frame, and where its two cookies lie; photographs are upright or not."""

    frame: NDArray[np.uint8]
    boxes: tuple[Box, ...]

    @classmethod
    def of(cls, *cookies: NDArray[np.uint8]) -> Tray:
        frame = np.full((820, 1620, 3), 90, np.uint8)
        boxes = tuple(Box(x, y, one.shape[1], one.shape[0]) for (x, y), one in zip(PLACES, cookies, strict=True))
        for box, cookie in zip(boxes, cookies, strict=True):
            crop(frame, box)[:] = cookie
        return cls(frame, boxes)


def write_trays(folder: Path, trays: list[Tray]) -> Path:
    """Saves the trays; returns the file of their objects."""
    folder.mkdir()
    rows = ["path,x,y,width,height"]
    for index, one in enumerate(trays):
        assert cv2.imwrite(str(folder / f"{index}.png"), one.frame)
        rows += [f"{index}.png,{box.x},{box.y},{box.width},{box.height}" for box in one.boxes]
    (folder / "objects.csv").write_text("\n".join(rows) + "\n")
    return folder / "objects.csv"


@pytest.mark.slow
@pytest.mark.shared
def test_cookies_two_to_a_frame(shared: Path, tmp_path: Path) -> None:
    data, model = shared / "data/cookies", shared / "models/cookies/patchcore.onnx"
    bundle = tmp_path / "cookies"
    edge_ad(
        *("export", model, "--images", data / "train/good", "-o", bundle, "--variants", "onnx-fp32"),
        *("--max-images", 4, "--level", "object"),
    )
    normals = [read_image(path) for path in list_images(data / "test/good")]
    bad = read_image(list_images(data / "test/anomaly")[0])
    trays = write_trays(tmp_path / "normals", [Tray.of(*normals[k : k + 2]) for k in range(0, 14, 2)])
    made = edge_ad(
        *("calibrate", bundle, "--normal", trays.parent, "--objects", trays, "--fpr", 0.2, "--confidence", 0.9)
    )
    assert "14 objects" in made.stdout
    mixed = [Tray.of(normals[0], bad), Tray.of(bad, normals[1])]
    tested = write_trays(tmp_path / "tested", mixed)
    shown = edge_ad(
        *("score", bundle, tested.parent, "--objects", tested, "--json", "--annotate", tmp_path / "pictures")
    )
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [[one["state"] for one in record["objects"]] for record in records] == [
        ["ACCEPT", "REJECT"],
        ["REJECT", "ACCEPT"],
    ]
    assert [record["state"] for record in records] == ["REJECT", "REJECT"]
    for record, box in zip(records, (mixed[0].boxes[1], mixed[1].boxes[0]), strict=True):
        peak = record["regions"][0]["peak"]
        assert box.x <= peak["x"] < box.x + box.width
        assert box.y <= peak["y"] < box.y + box.height
    assert scores_alone(bundle, [normals[0], bad]) == [one["score"] for one in records[0]["objects"]]


def scores_alone(path: Path, images: list[NDArray[np.uint8]]) -> list[float]:
    """What the same artefact scores as a model of frames."""
    manifest = Bundle.open(path).manifest
    geometry = msgspec.structs.replace(manifest.geometry, level="frame")
    with Detector.open(path) as detector:
        preprocessor = Preprocessor(geometry, manifest.input, map_size=detector.variant.map)
        scorer = Scorer(preprocessor, detector.scorer.engine)
        return [scorer.measure(image).score for image in images]
