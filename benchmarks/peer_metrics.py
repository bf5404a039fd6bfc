"""Our AUPRO and AUPIMO beside the peer's own (``anomalib.metrics``), on the same maps.

``python -m benchmarks.peer_metrics PEER_PYTHON [BUNDLE DATA]``; ``PEER_PYTHON`` is the interpreter of an environment
with anomalib 2.7. Without a bundle the maps are made up. No part of the tests: the peer's environment is large.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np

from edge_ad import Detector
from edge_ad.sources import read_image
from edge_ad_metrics.datasets.layouts import read_dataset
from edge_ad_metrics.datasets.masks import read_masks
from edge_ad_metrics.pixels import PixelSample, measure_pixels
from edge_ad_metrics.sampling import evenly_spaced

TOLERANCE = 1e-3
PEER = """
import json, sys
import numpy as np, torch
from anomalib.metrics.aupro import _AUPRO
from anomalib.metrics.pimo.pimo import _AUPIMO
with np.load(sys.argv[1]) as arrays:
    maps, mask = torch.from_numpy(arrays["maps"]), torch.from_numpy(arrays["mask"]).int()
aupro = _AUPRO(fpr_limit=0.3)
aupro.update(maps, mask)
aupimo = _AUPIMO(num_thresholds=int(sys.argv[2]))
aupimo.update(maps, mask)
print(json.dumps({"AUPRO": float(aupro.compute()), "AUPIMO": float(aupimo.compute())}))
"""


@click.command()
@click.argument("peer_python", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("bundle", type=click.Path(path_type=Path, exists=True), required=False)
@click.argument("data", type=click.Path(path_type=Path, exists=True), required=False)
@click.option(
    "--most", default=150, show_default=True, help="How many images at most; the peer holds all maps at once."
)
@click.option("--thresholds", default=300_000, show_default=True, help="Of the peer's AUPIMO.")
def main(peer_python: Path, bundle: Path | None, data: Path | None, most: int, thresholds: int) -> None:
    """Print both figures and their differences; end with 1 where one exceeds 1e-3."""
    samples = _measured(bundle, data, most) if bundle and data else _made_up()
    normals = sum(not sample.mask.any() for sample in samples)
    areas = measure_pixels(lambda: samples, images=len(samples), normals=normals)[None]
    assert areas.aupimo is not None, "too few normal pixels for AUPIMO"
    ours = {"AUPRO": areas.aupro, "AUPIMO": float(areas.aupimo.mean())}
    theirs = _ask(peer_python, samples, thresholds)
    print(f"{len(samples)} maps of {samples[0].anomaly_map.shape}, {normals} of them normal")
    for name, value in ours.items():
        print(f"{name:<8} ours {value:.6f}  peer {theirs[name]:.6f}  difference {value - theirs[name]:+.1e}")
    sys.exit(any(abs(value - theirs[name]) > TOLERANCE for name, value in ours.items()))


def _ask(peer_python: Path, samples: list[PixelSample], thresholds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "maps.npz")
        np.savez(
            file, maps=np.stack([one.anomaly_map for one in samples]), mask=np.stack([one.mask for one in samples])
        )
        command = [str(peer_python), "-W", "ignore", "-c", PEER, str(file), str(thresholds)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _measured(bundle: Path, data: Path, most: int) -> list[PixelSample]:
    """The model's own maps, and the masks at their size: the peer takes maps of one size alone."""
    samples = []
    images = [image for image in read_dataset(data).images if image.masks or not image.anomalous]
    with Detector.open(bundle) as detector:
        for index in evenly_spaced(len(images), most):
            pixels = read_image(images[index].path)
            anomaly_map = detector.score_with_map(pixels).map
            assert anomaly_map is not None, "the model has no map"
            mask = read_masks(images[index].masks, *pixels.shape[:2])
            small = cv2.resize(mask.view(np.uint8), anomaly_map.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            samples.append(PixelSample(anomaly_map.copy(), small > 0, images[index].type))
    return samples


def _made_up() -> list[PixelSample]:
    """Forty smooth random maps of 512 x 512; in every other one squares stand out, some more and some less."""
    random = np.random.default_rng(0)
    samples = []
    for index in range(40):
        mask = np.zeros((512, 512), np.bool_)
        for _ in range(random.integers(1, 4) if index % 2 else 0):
            y, x = random.integers(0, 400, 2)
            side = random.integers(16, 90)
            mask[y : y + side, x : x + side] = True
        noise = cv2.GaussianBlur(random.standard_normal(mask.shape).astype(np.float32), (0, 0), 4) * 12
        shine = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 5) * random.uniform(0.5, 8)
        samples.append(PixelSample((5 + noise + shine).astype(np.float32), mask, "square"))
    return samples


if __name__ == "__main__":
    main()
