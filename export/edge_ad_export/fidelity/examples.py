"""The same frames as several models see them, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.geometry import map_in_camera_pixels
from edge_ad.outputs.anomaly_map import ColourRange, overlay
from edge_ad.sources import read_image
from edge_ad_export.samples.defects import KINDS, DefectSet
from edge_ad_report import Gallery, Picture, image_data_uri, outline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edge_ad.scoring.scorer import Scorer
    from edge_ad_export.fidelity.agreement import Agreement
    from edge_ad_export.fidelity.evaluation import EvaluationData

__all__ = ["Example", "choose_examples", "example_galleries"]

_LONGEST_PX = 480


@dataclass(frozen=True)
class Example:
    """A frame, uint8 ``(H, W)`` or ``(H, W, 3)``, and what it shows.

    ``defect``: bool ``(H, W)``, where the synthetic defect is; ``None`` for a normal image.
    """

    caption: str
    frame: NDArray[np.uint8]
    defect: NDArray[np.bool_] | None = None


def choose_examples(data: EvaluationData, agreement: Agreement) -> tuple[Example, ...]:
    """The normal image with the highest score, and the synthetic defect of each kind with the median score.

    There are none for a model of clips.
    """
    defects = data.defects
    if not isinstance(defects, DefectSet):
        return ()
    highest = data.images.paths[int(agreement.reference.argmax())]
    found = [Example(f"the normal image with the highest score, {highest.name}", read_image(highest))]
    samples = defects.samples
    for kind in KINDS:
        of_kind = [index for index, sample in enumerate(samples) if sample.kind == kind]
        if not of_kind:
            continue
        ordered = sorted(of_kind, key=lambda index: agreement.defect_reference[index])
        sample = samples[ordered[len(ordered) // 2]]
        drawn = defects.draw(sample)
        found.append(Example(f"synthetic defect, {kind}, in {sample.path.name}", drawn.image, drawn.mask))
    return tuple(found)


def example_galleries(examples: Sequence[Example], scorers: Mapping[str, Scorer]) -> tuple[Gallery, ...]:
    """One gallery for each example: the frame, then each model's map over it, on the colour scale of the first model.

    Synthetic defects are outlined.
    """
    return tuple(Gallery(_pictures(example, scorers)) for example in examples)


def _pictures(example: Example, scorers: Mapping[str, Scorer]) -> tuple[Picture, ...]:
    frame = example.frame if example.frame.ndim == 3 else np.repeat(example.frame[..., None], 3, axis=2)
    pictures = [_picture(frame, example, example.caption)]
    scale = None
    for name, scorer in scorers.items():
        found = scorer.measure(example.frame)
        shown = frame
        if found.map is not None:
            heat = map_in_camera_pixels(found.map, scorer.preprocessor.layout(example.frame))
            scale = scale or _range(heat)
            shown = overlay(frame, heat, scale)
        pictures.append(_picture(shown, example, f"{name}: score {found.score:.6g}"))
    return tuple(pictures)


def _picture(shown: NDArray[np.uint8], example: Example, caption: str) -> Picture:
    marked = shown if example.defect is None else outline(shown, example.defect)
    return Picture(uri=image_data_uri(marked, longest_px=_LONGEST_PX), alt=caption, caption=caption)


def _range(heat: NDArray[np.float32]) -> ColourRange:
    low, high = float(np.nanmin(heat)), float(np.nanmax(heat))
    width = max(high - low, abs(high) * 1e-6, 1e-12)
    return ColourRange(low, low + width / 2, low + width)
