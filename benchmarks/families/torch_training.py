"""Trains a small VAE or a small normalizing flow. Runs by itself in a Python that has torch: no import of edge-ad.

``python torch_training.py vae|flow SAMPLES.npy MODEL.onnx``, the samples being pictures float32 [n, 1, 128, 128] from
0 to 1, or features float32 [n, C, h, w].
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import torch
from torch import nn

SEED = 0
STEPS = {"vae": 500, "flow": 400}


class Vae(nn.Module):  # type: ignore[misc]  # torch is not where the types are checked
    """A convolutional variational autoencoder (Kingma and Welling 2014) for gray pictures of 128x128."""

    def __init__(self, latent: int = 48) -> None:
        super().__init__()
        widths = (1, 8, 16, 32, 32)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for before, after in pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
            up = [nn.ConvTranspose2d(after, before, 4, 2, 1), nn.ReLU(), *up]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(32 * 8 * 8, 2 * latent))
        self.expand = nn.Linear(latent, 32 * 8 * 8)
        self.decoder = nn.Sequential(*up[:-1], nn.Sigmoid())

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return self.decoder(torch.relu(self.expand(latent)).reshape(-1, 32, 8, 8))

    def loss(self, image: torch.Tensor) -> torch.Tensor:
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        drawn = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = ((self.decode(drawn) - image) ** 2).sum(dim=(1, 2, 3)).mean()
        divergence = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(dim=1).mean()
        return error + 0.1 * divergence

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The reconstruction of the latent mean: nothing random at inference."""
        return self.decode(self.encoder(image).chunk(2, dim=1)[0])


class Coupling(nn.Module):  # type: ignore[misc]
    """Affine coupling over the channels at every place (RealNVP, Dinh et al. 2017), after a fixed shuffle."""

    def __init__(self, channels: int, hidden: int = 96) -> None:
        super().__init__()
        self.half = channels // 2
        self.register_buffer("order", torch.randperm(channels))
        self.net = nn.Sequential(
            nn.Conv2d(self.half, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 2 * (channels - self.half), 1)
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = value[:, self.order]
        kept, moved = value[:, : self.half], value[:, self.half :]
        shift, scale = self.net(kept).chunk(2, dim=1)
        scale = 1.5 * torch.tanh(scale)
        return torch.cat([kept, moved * torch.exp(scale) + shift], dim=1), scale.sum(dim=1, keepdim=True)


class Flow(nn.Module):  # type: ignore[misc]
    """The log-likelihood of every place, divided by the number of channels."""

    def __init__(self, features: torch.Tensor, steps: int = 4) -> None:
        super().__init__()
        self.register_buffer("mean", features.mean(dim=(0, 2, 3), keepdim=True))
        self.register_buffer("std", features.std(dim=(0, 2, 3), keepdim=True) + 1e-3)
        self.steps = nn.ModuleList(Coupling(features.shape[1]) for _ in range(steps))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        value = (features - self.mean) / self.std
        log_p = torch.zeros_like(value[:, :1])
        for step in self.steps:
            value, added = step(value)
            log_p = log_p + added
        return (log_p - 0.5 * (value**2).sum(dim=1, keepdim=True)) / features.shape[1]

    def loss(self, features: torch.Tensor) -> torch.Tensor:
        return -self(features).mean()


def train(model: Vae | Flow, samples: torch.Tensor, steps: int, rate: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-5)
    for step in range(steps):
        loss = model.loss(samples[torch.randint(len(samples), (16,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}", file=sys.stderr)


def main(kind: str, source: str, target: str) -> None:
    torch.manual_seed(SEED)
    samples = torch.from_numpy(np.load(source))
    model: Vae | Flow = Vae() if kind == "vae" else Flow(samples)
    train(model, samples, STEPS[kind], 1e-3)
    torch.onnx.export(
        model.eval(),
        (samples[:1],),
        target,
        input_names=["image" if kind == "vae" else "features"],
        output_names=["reconstruction" if kind == "vae" else "log_likelihood"],
        opset_version=18,
        dynamo=True,
        external_data=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
