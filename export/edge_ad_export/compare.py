"""Two models on the same images: how far the second is from the first."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import Bundle
from edge_ad.engines import EngineOptions
from edge_ad.errors import InputError
from edge_ad.scoring.opening import open_scorer
from edge_ad.scoring.scorer import Scorer
from edge_ad_export.fidelity.agreement import agree, measure_latency
from edge_ad_export.fidelity.evaluation import Candidate, EvaluationData, evaluate_candidates, evaluate_reference
from edge_ad_export.importers import ModelFile, import_model
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.samples.defects import defects_for
from edge_ad_export.samples.images import select_images
from edge_ad_export.variants.result import fidelity_record
from edge_ad_metrics.datasets.dataset import LabelledSet
from edge_ad_metrics.datasets.layouts import read_labelled_images

if TYPE_CHECKING:
    from edge_ad.bundle.records import Fidelity, Variant
    from edge_ad.geometry import Preprocessor
    from edge_ad_export.fidelity.agreement import Agreement
    from edge_ad_export.request import CompareRequest
    from edge_ad_report import Gallery

__all__ = ["Compared", "ComparedModel", "compare_models", "open_side"]


@dataclass(frozen=True)
class ComparedModel:
    """One of the two. ``bundle`` and ``variant`` are ``None`` for a model's file."""

    name: str
    path: Path
    bundle: Bundle | None
    variant: Variant | None

    @property
    def size_bytes(self) -> int:
        """Of the model's files."""
        if self.bundle is None or self.variant is None:
            return self.path.stat().st_size
        folder = str(Path(self.variant.model).parent) + "/"
        return sum(e.bytes for name, e in self.bundle.manifest.files.items() if name.startswith(folder))


@dataclass(frozen=True)
class Compared:
    """``fidelity``: of the second against the first. ``first_latency_ms``: of the first's engine. ``notes``: what the
    labelled images are, and what was found beside them and is not used."""

    first: str
    second: str
    fidelity: Fidelity
    first_latency_ms: float
    first_size_bytes: int
    agreement: Agreement
    galleries: tuple[Gallery, ...] = ()
    notes: tuple[str, ...] = ()


def compare_models(request: CompareRequest, *, pictures: bool = False) -> Compared:
    """Scores the images, and copies with a synthetic defect, with both. ``pictures``: makes galleries of some.

    Raises:
        InputError: no such bundle, variant, model or image; two model files; a model that fits no bundle here.
        BundleError, DeviceError: as :func:`edge_ad.scoring.opening.open_scorer`.
    """
    first, second = sides = (_side(request.first), _side(request.second))
    names = _names(first, second)
    images = select_images(request.images, request.max_images)
    labelled = LabelledSet(layout="none") if request.labelled is None else read_labelled_images(request.labelled)
    with ExitStack() as stack:
        scorers = [stack.enter_context(closing(open_side(side, sides, request.threads))) for side in sides]
        candidate = Candidate(second.name, scorers[1])
        data = EvaluationData(images, defects_for(images.paths, scorers[0].preprocessor), labelled.images)
        reference = stack.enter_context(closing(evaluate_reference(scorers[0], data)))
        evaluate_candidates([candidate], data, reference)
        if candidate.failed:
            raise InputError(f"{second.name} {candidate.failed}")
        own, candidate.latencies_ms = measure_latency([one.run_bare for one in scorers])
        agreement = agree(candidate, reference, data)
        if agreement is None:
            raise AssertionError("a candidate that has not failed agrees to some degree")
        galleries = _galleries(data, agreement, dict(zip(names, scorers, strict=True))) if pictures else ()
    return Compared(
        first=names[0],
        second=names[1],
        fidelity=fidelity_record(agreement, second.size_bytes, len(labelled.images)),
        first_latency_ms=statistics.median(own),
        first_size_bytes=first.size_bytes,
        agreement=agreement,
        galleries=galleries,
        notes=labelled.remarks,
    )


def _galleries(data: EvaluationData, agreement: Agreement, scorers: Mapping[str, Scorer]) -> tuple[Gallery, ...]:
    from edge_ad_export.fidelity.examples import choose_examples, example_galleries

    return example_galleries(choose_examples(data, agreement), scorers)


def _names(first: ComparedModel, second: ComparedModel) -> tuple[str, str]:
    """What to call them: their own names, whole paths where these are the same."""
    if first.name != second.name:
        return first.name, second.name
    return f"{first.path} ({first.name})", f"{second.path} ({second.name})"


def open_side(side: ComparedModel, sides: Sequence[ComparedModel], threads: int | None) -> Scorer:
    """A side ready to score; a model's file takes the geometry of the bundle among the ``sides``."""
    options = EngineOptions(threads=threads)
    if side.bundle is not None and side.variant is not None:
        return open_scorer(side.bundle, side.variant, options)
    other = next((one for one in sides if one.bundle is not None and one.variant is not None), None)
    if other is None or other.bundle is None or other.variant is None:
        raise InputError("neither of the two is a bundle: expected at least one, whose geometry the images go through")
    borrowed = open_scorer(other.bundle, other.variant, options)
    engine = ReferenceEngine(import_model(ModelFile(side.path)), threads)
    borrowed.close()
    _check_input(side, borrowed.preprocessor, engine)
    return Scorer(borrowed.preprocessor, engine)


def _side(text: str) -> ComparedModel:
    path = Path(text)
    if path.is_file() and path.suffix == ".onnx":
        return ComparedModel(path.name, path, None, None)
    name, _, variant = (text, "", "") if path.exists() else text.rpartition(":") if ":" in text else (text, "", "")
    bundle = Bundle.open(Path(name))
    chosen = bundle.variant(variant or None)
    return ComparedModel(f"{Path(name).name}:{chosen.id}", Path(name), bundle, chosen)


def _check_input(side: ComparedModel, preprocessor: Preprocessor, engine: ReferenceEngine) -> None:
    expected = preprocessor.model_input
    wanted = (1, expected.height, expected.width, expected.channels)
    if engine.input.shape != wanted:
        raise InputError(f"{side.name} takes {engine.input.shape}, but the bundle it is compared with {wanted}")
