"""Trains a predictor of the next frame on Pillow's pictures, and scores frames with it in torch.

Runs by itself in a Python that has torch and Pillow: no import of edge-ad.
``python predictor.py FRAMES.npz MODEL.onnx SCORES.npy WIDTH HEIGHT bilinear|bicubic``: the arrays ``train`` and
``test`` of ``FRAMES.npz`` are frames uint8 ``(n, h, w, 3)`` in RGB. ``SCORES.npy`` becomes float64 ``(n,)``, the
negative PSNR of every frame of ``test`` in decibel, NaN for the first ones.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from PIL import Image
from torch import nn

SEED, PAST, STEPS, BATCH, RATE = 0, 4, 400, 4, 1e-3
WIDTHS = (16, 32, 48)


class Predictor(nn.Module):  # type: ignore[misc]  # torch is not where the types are checked
    """A small U-Net (Ronneberger et al. 2015): ``[n, 4 x 3, h, w]`` in 0 to 1 to the frame after them."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.fine = self._pair(3 * PAST, first)
        self.middle = self._pair(first, second)
        self.coarse = self._pair(second, third)
        self.up_middle = self._pair(third + second, second)
        self.up_fine = self._pair(second + first, first)
        self.last = nn.Conv2d(first, 3, 3, padding=1)

    @staticmethod
    def _pair(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
        )

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        fine = self.fine(clip)
        middle = self.middle(nn.functional.max_pool2d(fine, 2))
        coarse = self.coarse(nn.functional.max_pool2d(middle, 2))
        middle = self.up_middle(torch.cat([nn.functional.interpolate(coarse, scale_factor=2), middle], dim=1))
        fine = self.up_fine(torch.cat([nn.functional.interpolate(middle, scale_factor=2), fine], dim=1))
        return clip[:, -3:] + self.last(fine)


def shrink(frames: np.ndarray, size: tuple[int, int], resample: int) -> torch.Tensor:
    """As a training does it: float32 ``(n, 3, h, w)`` from 0 to 1."""
    small = np.stack([np.asarray(Image.fromarray(frame).resize(size, resample)) for frame in frames])
    return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255


def train(model: Predictor, frames: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(STEPS):
        starts = torch.randint(len(frames) - PAST, (BATCH,)).tolist()
        clips = torch.stack([frames[start : start + PAST].flatten(0, 1) for start in starts])
        following = torch.stack([frames[start + PAST] for start in starts])
        loss = ((model(clips) - following) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.6f}", file=sys.stderr)


def score(model: Predictor, frames: torch.Tensor) -> np.ndarray:
    scores = np.full(len(frames), np.nan)
    with torch.no_grad():
        for index in range(PAST, len(frames)):
            predicted = model(frames[index - PAST : index].flatten(0, 1)[None])[0]
            scores[index] = 10 * np.log10(float(((predicted - frames[index]) ** 2).mean()))
    return scores


def main(source: str, target: str, scores: str, width: str, height: str, resample: str) -> None:
    torch.manual_seed(SEED)
    arrays, size = np.load(source), (int(width), int(height))
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[resample]
    model = Predictor()
    train(model, shrink(arrays["train"], size, method))
    np.save(scores, score(model.eval(), shrink(arrays["test"], size, method)))
    clip = torch.zeros(1, 3 * PAST, size[1], size[0])
    names = {"input_names": ["clip"], "output_names": ["predicted"]}
    torch.onnx.export(model, (clip,), target, opset_version=18, dynamo=True, external_data=False, **names)


if __name__ == "__main__":
    main(*sys.argv[1:])
