"""Run by the peer's Python: fits one of anomalib's models over another backbone than the shared models', exports it.

    python peer_models.py KIND BACKBONE SIZE WEIGHTS.onnx PICTURES.npz TARGET.onnx

KIND: ``padim``, ``patchcore`` or ``stfpm``. SIZE: PaDiM's features, PatchCore's vectors, STFPM's steps of training.
WEIGHTS: SqueezeNet 1.1 of Keras, trained on ImageNet (``BACKBONE`` squeezenet). The weights of ``resnet18`` are
random, because no trained ones are at hand; its batch norms are set on the normal pictures. PICTURES: ``train``,
``normal`` and ``defect``, float32 ``[n, 3, 256, 256]`` RGB in 0..1. Writes what anomalib exports: the ONNX file, and
its OpenVINO file into TARGET_openvino. What it needs in between it writes into the working directory.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import timm  # type: ignore[import-not-found,unused-ignore]
import torch  # type: ignore[import-not-found,unused-ignore]
from anomalib.models.components import TimmFeatureExtractor  # type: ignore[import-not-found,unused-ignore]
from anomalib.models.image import Padim, Patchcore, Stfpm  # type: ignore[import-not-found,unused-ignore]
from torch import nn  # type: ignore[import-not-found,unused-ignore]
from torchvision.models import squeezenet1_1  # type: ignore[import-not-found,unused-ignore]

SIDE = 256
BATCH = 8
LARGE = 1000  # vectors of a bank
# Keras' SqueezeNet expects BGR in 0..255 less this mean, anomalib gives RGB in 0..1 less a mean and divided by this.
_KERAS_MEAN = torch.tensor([123.68, 116.779, 103.939])
_MEAN, _STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
# By backbone: PaDiM and STFPM read all three levels, PatchCore the last two.
LEVELS = {"squeezenet": ("features.4", "features.7", "features.10"), "resnet18": ("layer1", "layer2", "layer3")}
_FIRES = {"fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}


def main(kind: str, backbone: str, size: int, weights: Path, pictures: Path, target: Path) -> None:
    """Raises :class:`RuntimeError` if the backbone does not give the features of its file."""
    torch.manual_seed(0)
    given = {name: torch.from_numpy(array) for name, array in np.load(pictures).items()}
    body = (
        trained_squeezenet(weights, given["train"][:1]) if backbone == "squeezenet" else random_resnet(given["train"])
    )
    levels = LEVELS[backbone]
    if kind == "padim":
        model = Padim(backbone=body, layers=list(levels), n_features=size)
        fit(model, given["train"])
    elif kind == "patchcore":
        model = Patchcore(backbone=body, layers=levels[1:])
        fit(model, given["train"], bank=size)
    else:
        model = Stfpm(backbone=body, layers=levels)
        student = squeezenet(nn.init.kaiming_normal_) if backbone == "squeezenet" else _resnet()
        model.model.student_model = TimmFeatureExtractor(student, levels, requires_grad=True)
        train(model, given["train"], size)
    settle_normalization(model, given["normal"], given["defect"])
    export(model, target)


def squeezenet(initialize: Any = None) -> nn.Module:
    """As Keras has it: its pools leave out what does not fill a window."""
    network = squeezenet1_1(weights=None)
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = False
        if isinstance(module, nn.Conv2d) and initialize is not None:
            initialize(module.weight)
    return network


def trained_squeezenet(file: Path, picture: Any) -> nn.Module:
    """What turns anomalib's pixels into those of Keras is in the first convolution, which has no padding."""
    found = {
        one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy()) for one in onnx.load(file).graph.initializer
    }
    network = squeezenet()
    with torch.no_grad():
        weight = found["conv1.w"].flip(1)
        shift = (weight * (255 * _MEAN - _KERAS_MEAN)[None, :, None, None]).sum((1, 2, 3))
        network.features[0].weight.copy_(weight * (255 * _STD)[None, :, None, None])
        network.features[0].bias.copy_(found["conv1.b"] + shift)
        for fire, index in _FIRES.items():
            for part in ("squeeze1x1", "expand1x1", "expand3x3"):
                convolution = getattr(network.features[index], part.replace("1x1", "") if "sq" in part else part)
                convolution.weight.copy_(found[f"{fire}/{part}.w"])
                convolution.bias.copy_(found[f"{fire}/{part}.b"])
    compare(network.eval(), file, picture)
    return network


def compare(network: nn.Module, file: Path, picture: Any) -> None:
    """Its features beside those of the file, which takes pictures of 224x224.

    Raises :class:`RuntimeError`.
    """
    rgb = nn.functional.interpolate(picture, size=(224, 224), mode="bilinear")
    bgr = (255 * rgb - _KERAS_MEAN[None, :, None, None]).flip(1)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        value = (rgb - _MEAN[None, :, None, None]) / _STD[None, :, None, None]
        ours = {}
        for index, layer in enumerate(network.features):
            value = ours[index] = layer(value)
    for output, theirs in zip(session.get_outputs(), session.run(None, {"image": bgr.numpy()}), strict=True):
        error = np.abs(ours[_FIRES[output.name]].numpy() - theirs).max() / np.abs(theirs).max()
        if error > 1e-4:
            raise RuntimeError(f"{output.name} of {file.name} is {error:.1e} off, 1e-4 was expected at most")


def _resnet() -> nn.Module:
    return timm.create_model("resnet18", pretrained=False)


def random_resnet(images: Any) -> nn.Module:
    """Its batch norms take mean and variance of these pictures: with those of the start its features would grow."""
    network = _resnet().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean of all batches
    with torch.no_grad():
        for batch in ((images - _MEAN[None, :, None, None]) / _STD[None, :, None, None]).split(BATCH):
            network(batch)
    return network.eval()


def fit(model: Any, images: Any, bank: int = 0) -> None:
    """PaDiM's Gaussians or PatchCore's bank.

    A large bank is drawn at random, because anomalib's choice of its vectors would take a quarter of an hour.
    """
    model.model.train()
    with torch.no_grad():
        for batch in images.split(BATCH):
            model.model(model.pre_processor(batch))
    if bank > LARGE:
        patches = torch.vstack(model.model.embedding_store)
        model.model.memory_bank = patches[torch.randperm(len(patches))[:bank]]
        model.model.embedding_store.clear()
    else:
        model.coreset_sampling_ratio = (bank + 0.5) / sum(map(len, getattr(model.model, "embedding_store", [])), 1)
        model.fit()


def train(model: Any, images: Any, steps: int) -> None:
    """The student, with anomalib's loss; with Adam, because its own optimizer is for networks with batch norms."""
    model.model.train()
    optimizer = torch.optim.Adam(model.model.student_model.parameters(), lr=1e-3)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (BATCH // 2,))]
        optimizer.zero_grad()
        loss = model.loss(*model.model(model.pre_processor(batch)))
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.4f} after {steps} steps")


def settle_normalization(model: Any, normals: Any, defects: Any) -> None:
    """The thresholds lie above what the normals have, and 0 and 1 where the least and the most of all is."""
    model.eval()
    with torch.no_grad():
        found = [[model.model(model.pre_processor(image[None])) for image in images] for images in (normals, defects)]
    scores, maps = (
        [torch.stack([getattr(one, name) for one in of]) for of in found] for name in ("pred_score", "anomaly_map")
    )
    for field, (of_normals, of_defects) in {"image": scores, "pixel": maps}.items():
        both = torch.cat((of_normals.flatten(), of_defects.flatten()))
        getattr(model.post_processor, f"{field}_min").copy_(both.min())
        getattr(model.post_processor, f"{field}_max").copy_(both.max())
        getattr(model.post_processor, f"_{field}_threshold").copy_(of_normals.max())
    print(f"scores of normals {scores[0].mean():.4g}, of defects {scores[1].mean():.4g}")


def export(model: Any, target: Path) -> None:
    """TARGET appears last, and whole: its weights are in it."""
    alone: dict[str, Any] = {"dynamic_shapes": None}  # one image at a time; two are anomalib's default
    xml = model.to_openvino("exported", input_size=(SIDE, SIDE), onnx_kwargs=alone)
    shutil.copytree(xml.parent, target.with_name(f"{target.stem}_openvino"), dirs_exist_ok=True)
    whole = Path("whole.onnx")
    onnx.save(onnx.load(model.to_onnx("exported", input_size=(SIDE, SIDE), **alone)), whole)
    whole.replace(target)


if __name__ == "__main__":
    _kind, _backbone, _size, *_paths = sys.argv[1:]
    main(_kind, _backbone, int(_size), *map(Path, _paths))
