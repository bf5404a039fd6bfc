"""The first stage of a two-stage bundle: its extractor, brought to the contract and held against the imported one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle.records import ModelInput
from edge_ad.engines import Artefact, EngineOptions, open_extractor
from edge_ad.errors import EngineError
from edge_ad_export.fidelity.gate import parity_for
from edge_ad_export.lowering.extractor import lower_extractor
from edge_ad_export.lowering.recipes import FloatModel, baseline_for
from edge_ad_export.reference.two_stage import ReferenceExtractor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad_export.importers.extractor import ImportedExtractor
    from edge_ad_export.lowering.contract import Lowered

__all__ = ["FirstStage", "extractor_input", "make_first_stage"]


@dataclass(frozen=True)
class FirstStage:
    """The extractor of a two-stage bundle, as it was imported and as the device will run it."""

    imported: ImportedExtractor
    lowered: Lowered


def extractor_input(extractor: ImportedExtractor) -> ModelInput:
    """What it takes, as the manifest says it."""
    spec = extractor.model.input
    return ModelInput(width=spec.size.width, height=spec.size.height, channels=spec.channels)


def make_first_stage(
    extractor: ImportedExtractor, pictures: Sequence[NDArray[np.uint8]], threads: int | None
) -> FirstStage:
    """Rewrites the extractor. ``pictures``: real ones, uint8 ``[1, h, w, c]``, or snippets of them, on which it must
    agree with itself.

    Raises:
        ModelError: the graph cannot be rewritten.
    """

    def agrees(candidate: Lowered) -> bool:
        return _extracts_alike(extractor, candidate, pictures, threads)

    return FirstStage(extractor, lower_extractor(extractor, agrees))


def _extracts_alike(
    extractor: ImportedExtractor, candidate: Lowered, pictures: Sequence[NDArray[np.uint8]], threads: int | None
) -> bool:
    recipe, parity = baseline_for(extractor.model.model), parity_for(extractor.model.model)
    with TemporaryDirectory() as folder, closing(ReferenceExtractor(extractor, threads)) as reference:
        path = Path(folder) / Path(recipe.extractor).name
        FloatModel(candidate.model).save(recipe.engine, path)
        try:
            rewritten = open_extractor(recipe.engine, Artefact(path), EngineOptions(threads=threads))
        except EngineError:
            return False
        with closing(rewritten):
            for picture in pictures:
                reference.input[:] = rewritten.input[:] = picture
                reference.run()
                rewritten.run()
                off = np.abs(rewritten.features - reference.features).max()
                if not off <= parity * np.abs(reference.features).max():
                    return False
    return True
