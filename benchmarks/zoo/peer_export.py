"""Run by the peer's Python: makes one of anomalib's models with random weights and exports it to ONNX.

    python peer_export.py NAME PICTURES.npy TARGET

PICTURES: float32 ``[n, 3, h, w]`` in 0..1, for the models that are fitted rather than trained. Nothing is downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import timm  # type: ignore[import-not-found,unused-ignore]
import torch  # type: ignore[import-not-found,unused-ignore]

_make = timm.create_model
timm.create_model = lambda *given, **options: _make(*given, **{**options, "pretrained": False})


def main(name: str, pictures: Path, target: Path) -> None:
    """Writes the model below TARGET, or says on standard error why it cannot be made."""
    torch.manual_seed(0)
    import anomalib.models.image as zoo  # type: ignore[import-not-found,unused-ignore]

    model = getattr(zoo, name)()
    images = torch.from_numpy(np.load(pictures))
    side = tuple(images.shape[-2:])
    if hasattr(model, "fit"):
        model.model.train()
        with torch.no_grad():
            for batch in images.split(4):
                model.model(batch)
        model.fit()
    model.eval()
    model.to_onnx(export_root=target, input_size=side)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
