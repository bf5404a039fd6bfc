"""How long the pixel metrics of many large maps take."""

from __future__ import annotations

import time

import cv2
import numpy as np

from edge_ad_metrics.pixels import PixelSample, measure_pixels

MAPS = 200
SIDE = 1024
DIFFERENT = 8


def report() -> None:
    """Half of the maps are of anomalous images, with four defects each."""
    random = np.random.default_rng(0)
    samples = [_sample(random, anomalous=bool(index % 2)) for index in range(DIFFERENT)] * (MAPS // DIFFERENT)
    start = time.perf_counter()
    measure_pixels(lambda: samples, images=MAPS, normals=MAPS // 2)
    print(f"pixel ROC-AUC, AUPRO, AUPIMO of {MAPS} maps of {SIDE}x{SIDE}: {time.perf_counter() - start:.1f} s")


def _sample(random: np.random.Generator, *, anomalous: bool) -> PixelSample:
    anomaly_map = np.asarray(cv2.GaussianBlur(random.standard_normal((SIDE, SIDE), np.float32), (0, 0), 2), np.float32)
    mask = np.zeros((SIDE, SIDE), np.bool_)
    for x, y in random.integers(0, SIDE - 40, (4 * anomalous, 2)):
        mask[y : y + 40, x : x + 40] = True
        anomaly_map[y : y + 40, x : x + 40] += 0.2
    return PixelSample(anomaly_map, mask, "spot" if anomalous else "good")


if __name__ == "__main__":
    report()
