"""A tiny PyTorch network, importable by child processes too. Needs PyTorch."""

from __future__ import annotations

import torch

SIDE = 16


class Net(torch.nn.Module):  # type: ignore[misc]
    """``[B, 3, h, w]`` -> score ``[B]``, map ``[B, 1, h/2, w/2]``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(self.first(image))
        anomaly_map = (self.second(features) - features).pow(2).sum(1, keepdim=True)
        return anomaly_map.amax((1, 2, 3)), anomaly_map


def make() -> Net:
    """Untrained: each call gives other weights."""
    return Net()


class Hidden(Net):
    """Has branches that no exporter can trace."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if image.mean() > float(torch.rand(1)):
            image = image.flip(-1)
        return super().forward(image)


def make_hidden() -> Net:
    return Hidden()
