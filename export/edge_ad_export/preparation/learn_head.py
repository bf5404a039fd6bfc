"""Fits a head to normal images, through the geometry that the bundle will have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.bundle.records import ModelInput
from edge_ad.geometry import Preprocessor
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.samples.geometry import build_geometry, frame_size
from edge_ad_export.samples.images import IMAGES_MIN, find_repeated, select_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad_export.model.imported import ImportedModel
    from edge_ad_export.request import ExportRequest
    from edge_ad_export.samples.images import ImageSet

__all__ = ["HeldOut", "hold_out", "learn_head"]


def learn_head(imported: ImportedModel, request: ExportRequest) -> ImportedModel:
    """The model with its head fitted to the images of ``--fit``; as it is where the head has nothing to learn.

    Raises:
        InputError: the geometry does not fit, an image cannot be read, or its features are not finite numbers.
        ModelError: ONNX Runtime cannot run the model.
    """
    options = request.importing.head
    if imported.unfitted is None or options is None or options.fit is None:
        return imported
    images = select_images(options.fit, request.max_images)
    spec = imported.input
    entry = ModelInput(width=spec.size.width, height=spec.size.height, channels=spec.channels)
    geometry = replace(request.geometry, ignore_mask=None)  # it hides places of the map, not of the picture
    preprocessor = Preprocessor(build_geometry(geometry, entry, frame_size(geometry, images.sizes())), entry)
    with closing(ReferenceEngine(imported, request.threads)) as engine:
        head = imported.unfitted.fit(_values(preprocessor, engine, images))
    return replace(imported, head=head, unfitted=None)


@dataclass(frozen=True)
class HeldOut:
    """The images to measure with. ``note``: what the user should know of those that the head has learnt from too;
    ``blame``: where no others were left, what may be behind a comparison that fails."""

    images: ImageSet
    note: str | None = None
    blame: str | None = None


def hold_out(images: ImageSet, request: ExportRequest) -> HeldOut:
    """Leaves out the images that the head has learnt from. They are kept where fewer than three others are left.

    Raises:
        InputError: the images of ``--fit`` cannot be found.
    """
    options = request.importing.head
    if options is None or options.fit is None:
        return HeldOut(images)
    repeated = set(find_repeated(images, select_images(options.fit, request.max_images)))
    if not repeated:
        return HeldOut(images)
    found = f"{len(repeated)} of the {len(images)} images of --images are images of --fit too"
    others = tuple(path for path in images.paths if path not in repeated)
    if len(others) >= IMAGES_MIN:
        return HeldOut(replace(images, paths=others), f"{found}: they are left out, {len(others)} are measured with")
    blame = f"{found}, and scores of what a head has learnt are close to zero: give other normal images with --images"
    return HeldOut(images, blame, blame)


def _values(preprocessor: Preprocessor, engine: ReferenceEngine, images: ImageSet) -> Iterator[Sequence[NDArray[Any]]]:
    """What the values that the head reads hold, tile by tile."""
    for image in images:
        for _ in preprocessor.tiles(image, np.asarray(engine.input[0])):
            yield engine.values()
