"""Run by the peer's Python: makes one of anomalib's models, trains it for a while and exports it to ONNX.

    python peer_export.py NAME PICTURES.npy TARGET SECONDS

PICTURES: float32 ``[n, 3, h, w]`` in 0..1, normal images. SECONDS: training ends after so many of processor time.
TARGET gets the model and ``made.json``, which says how it was trained. Nothing is downloaded: backbones keep random
weights.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import numpy as np
import timm  # type: ignore[import-not-found,unused-ignore]
import torch  # type: ignore[import-not-found,unused-ignore]
import torchvision  # type: ignore[import-not-found,unused-ignore]
from PIL import Image  # type: ignore[import-not-found,unused-ignore]
from torchvision.transforms.functional import (  # type: ignore[import-not-found,unused-ignore]
    pil_to_tensor,
)

_make = timm.create_model
torchvision.io.read_image = lambda path, mode: pil_to_tensor(Image.open(path).convert(mode.name))  # works everywhere
torchvision.models.get_model_weights = lambda *_: SimpleNamespace(DEFAULT=None)
timm.create_model = lambda *given, **options: _make(*given, **{**options, "pretrained": False})

_STEPS, _BATCH, _SEED = 200, 4, 0
_PATCHES = 252  # pixels, 18 patches of 14
# The peer's own choice is a transformer that takes many seconds for an image: a smaller one of the same kind.
_SMALLER: dict[str, tuple[str, dict[str, object]]] = {
    "Dinomaly": ("ViT-S", {"encoder_name": "vit_small_patch14_reg4_dinov2"}),
    "FoundAD": ("ViT-S", {"encoder_name": "dinov2_vit_small_14", "image_size": _PATCHES}),
    "GeneralAD": ("ViT-S", {"backbone": "vit_small_patch14_dinov2.lvd142m", "layers": (12,)}),
    "InpFormer": ("ViT-S", {"encoder_name": "vit_small_patch14_reg4_dinov2"}),
    "Uflow": ("ResNet-18", {"backbone": "resnet18"}),
}


def main(name: str, pictures: Path, target: Path, seconds: float) -> None:
    """Writes the model below TARGET, or says on standard error why it cannot be made."""
    images = torch.from_numpy(np.load(pictures))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _write_pictures(images, scratch / "pictures" / "normal")
        model = _new(name, scratch)
        try:
            trained = _train(model, images, scratch, seconds)
        except Exception as error:  # whatever the peer raises: the model is shown untrained, with the reason
            if hasattr(model, "fit"):
                raise
            traceback.print_exc()
            trained = f"random ({' '.join(str(error).split())[:160] or type(error).__name__})"
            model = _new(name, scratch)
    model.eval()
    # Without a version the peer asks for one that its own exporter cannot convert to, and gets this one after all.
    model.to_onnx(export_root=target, input_size=tuple(images.shape[-2:]), opset_version=18)
    made = {"trained": trained, "smaller": _SMALLER.get(name, ("", {}))[0]}
    (target / "made.json").write_text(json.dumps(made), encoding="utf-8")


def _new(name: str, scratch: Path) -> Any:
    torch.manual_seed(_SEED)
    import anomalib.models.image as zoo  # type: ignore[import-not-found,unused-ignore]

    kind = getattr(zoo, name)
    options: dict[str, object] = {"evaluator": False, "visualizer": False, **_SMALLER.get(name, ("", {}))[1]}
    if name in ("Dinomaly", "InpFormer"):
        options["pre_processor"] = kind.configure_pre_processor((_PATCHES, _PATCHES), crop_size=_PATCHES)
    if name == "GeneralAD":
        options["pre_processor"] = kind.configure_pre_processor((_PATCHES, _PATCHES))
    model = kind(**options, **_instead_of_downloads(name, scratch / "pictures"))
    if name == "EfficientAd":  # a frozen teacher with random weights
        model.prepare_pretrained_model = lambda: None
    if name == "Dsr":  # a code book with random weights
        model.prepare_pretrained_model = lambda: None
        model.model.load_pretrained_discrete_model_weights = lambda *_: None
    return model


def _instead_of_downloads(name: str, pictures: Path) -> dict[str, object]:
    """Textures and other people's pictures, which the peer would fetch, are the normal images themselves."""
    options: dict[str, dict[str, object]] = {
        "Draem": {"dtd_dir": pictures},
        "EfficientAd": {"imagenet_dir": pictures},
        "Glass": {"anomaly_source_path": str(pictures)},
    }
    return options.get(name, {})


def _write_pictures(images: torch.Tensor, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images.numpy()):
        pixels = (image.transpose(1, 2, 0) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def _train(model: Any, images: torch.Tensor, scratch: Path, seconds: float) -> str:
    """Trains the model with Lightning as the peer does; how long it did."""
    from lightning import Trainer  # type: ignore[import-not-found,unused-ignore]

    fits = hasattr(model, "fit")
    data = _data(images, 1 if type(model).__name__ == "EfficientAd" else _BATCH)
    epochs = -(-_STEPS // len(data.train_dataloader()))
    options = {"max_epochs": epochs, "max_steps": _STEPS, "num_sanity_val_steps": 0, **model.trainer_arguments}
    if fits:
        options |= {"max_epochs": 1, "max_steps": -1}
    trainer = Trainer(
        **{**options, "devices": 1},
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[] if fits else [_ends_after(seconds)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=scratch,
        check_val_every_n_epoch=epochs if not fits else 1,
    )
    trainer.fit(model, datamodule=data)
    return "fit" if fits else f"{trainer.global_step} steps"


def _ends_after(seconds: float) -> Any:
    from lightning import Callback

    began = process_time()

    class End(Callback):  # type: ignore[misc,unused-ignore]
        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            trainer.should_stop = trainer.should_stop or process_time() - began > seconds

    return End()


def _data(images: torch.Tensor, size: int) -> Any:
    from anomalib.data import ImageBatch  # type: ignore[import-not-found,unused-ignore]
    from lightning import LightningDataModule
    from torch.utils.data import DataLoader  # type: ignore[import-not-found,unused-ignore]

    def batch(chosen: list[torch.Tensor]) -> Any:
        stacked = torch.stack(chosen)
        labels = torch.zeros(len(chosen), dtype=torch.bool)
        masks = torch.zeros((len(chosen), *stacked.shape[-2:]), dtype=torch.bool)
        return ImageBatch(image=stacked, gt_label=labels, gt_mask=masks)

    class Normals(LightningDataModule):  # type: ignore[misc,unused-ignore]
        category, name, train_batch_size = "normals", "normals", size

        def train_dataloader(self) -> Any:
            return DataLoader(list(images), batch_size=size, shuffle=True, drop_last=True, collate_fn=batch)

        def val_dataloader(self) -> Any:
            return DataLoader(list(images[:_BATCH]), batch_size=size, collate_fn=batch)

    return Normals()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
