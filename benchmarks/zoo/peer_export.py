"""Run by the peer's Python: makes one of anomalib's models with random weights and exports it to ONNX.

    python peer_export.py NAME PICTURES.npy TARGET

PICTURES: float32 ``[n, 3, h, w]`` in 0..1, for the models that are fitted rather than trained. Nothing is downloaded.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import timm  # type: ignore[import-not-found,unused-ignore]
import torch  # type: ignore[import-not-found,unused-ignore]
from PIL import Image  # type: ignore[import-not-found,unused-ignore]

_make = timm.create_model
timm.create_model = lambda *given, **options: _make(*given, **{**options, "pretrained": False})


def main(name: str, pictures: Path, target: Path) -> None:
    """Writes the model below TARGET, or says on standard error why it cannot be made."""
    torch.manual_seed(0)
    import anomalib.models.image as zoo  # type: ignore[import-not-found,unused-ignore]

    images = torch.from_numpy(np.load(pictures))
    with tempfile.TemporaryDirectory() as folder:
        model = getattr(zoo, name)(**_without_downloads(name, Path(folder)))
    side = tuple(images.shape[-2:])
    if hasattr(model, "fit"):
        model.model.train()
        with torch.no_grad():
            for batch in images.split(4):
                model.model(batch)
        model.fit()
    model.eval()
    model.to_onnx(export_root=target, input_size=side)


def _without_downloads(name: str, folder: Path) -> dict[str, object]:
    """Draem is trained with textures, which it would fetch at once; making it takes a folder of pictures."""
    if name != "Draem":
        return {}
    Image.new("RGB", (64, 64)).save(folder / "texture.png")
    return {"dtd_dir": folder}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
