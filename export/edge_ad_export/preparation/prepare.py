"""Everything that is settled before the first variant is made: graph, geometry and images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle.records import Judging
from edge_ad.engines import Artefact, Engine, EngineOptions, EngineOutput, Extractor, open_engine, open_extractor
from edge_ad.errors import EngineError, InputError, ModelError
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.scorer import Scorer
from edge_ad_export.fidelity.agreement import relative_error
from edge_ad_export.fidelity.gate import parity_for
from edge_ad_export.graph.embedded import find_embedded
from edge_ad_export.lowering.contract import Lowered, lower, shorten_search
from edge_ad_export.lowering.recipes import FloatModel, baseline_for
from edge_ad_export.preparation.first_stage import extractor_input, make_first_stage
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.reference.two_stage import ReferenceExtractor, WholeClipScorer
from edge_ad_export.samples.clips import (
    CLIP_KINDS,
    FITTING_CLIP_KINDS,
    FITTING_VECTOR_KINDS,
    VECTOR_KINDS,
    ClipDefects,
    ClipSet,
    clip_record,
    collect_clips,
    collect_pictures,
)
from edge_ad_export.samples.defects import FITTING_KINDS, KINDS, defects_for
from edge_ad_export.samples.geometry import build_geometry, frame_size, read_mask
from edge_ad_export.samples.images import ImageSet, collect_pixels
from edge_ad_export.samples.split import ImageSplit, judge_with_all, split_images

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Clip, Geometry, ModelInput
    from edge_ad_export.importers.extractor import ImportedExtractor
    from edge_ad_export.lowering.recipes import Recipe
    from edge_ad_export.model.imported import ImportedModel
    from edge_ad_export.preparation.first_stage import FirstStage
    from edge_ad_export.request import ExportRequest
    from edge_ad_export.samples.clips import ClipKind
    from edge_ad_export.samples.defects import DefectSet, Kind

__all__ = ["GraphErrors", "Notify", "ReferenceProbes", "Setup", "ShowProgress", "Teller", "no_progress", "prepare"]

Notify = Callable[[str], None]
"""Takes one line for the user."""


ShowProgress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Takes a label and how many frames there are to score, and gives what takes the number of those that are done."""


@contextmanager
def no_progress(_label: str, _total: int) -> Iterator[Callable[[int], object]]:
    yield lambda _count: None


@dataclass(frozen=True)
class Teller:
    """Tells the user what is being done, in lines, and how far the scoring is."""

    say: Notify = lambda _line: None
    progress: ShowProgress = no_progress


# A wrong guess of the rewrite to one image gives other scores on any image.
_PROBES = 4
# A graph that does the same is taken for its speed if it takes so many times less; the first round is not counted.
_CLEARLY, _TIMED_ROUNDS = 1.05, 6
# A sum in another order may lose so many times what the plain graph loses to rounding.
_ROUNDING_TIMES = 2.0
_JUDGING_SEED, _FITTING_SEED = 0, 1


@dataclass(frozen=True)
class Setup:
    """``mask``: uint8 ``(H, W)``, above 127 = not inspected, or ``None``. ``threads``: of the engines. ``split``: which
    of the ``images`` are for the quantizer, and which judge. ``run_s``: seconds that the imported model takes for an
    input. ``clip``: of a model of clips, whose ``images`` are clips too. ``first``: of a two-stage bundle; ``lowered``
    is its scorer's graph. ``shortlisted``: the graph of a memory bank that is searched with a shortlist, if any."""

    imported: ImportedModel
    lowered: Lowered
    geometry: Geometry
    mask: NDArray[np.uint8] | None
    images: ImageSet
    threads: int | None
    split: ImageSplit
    run_s: float = 0.0
    clip: Clip | None = None
    first: FirstStage | None = None
    shortlisted: Lowered | None = None

    @property
    def input(self) -> ModelInput:
        """What the bundle's geometry leads to."""
        return self.quantizable.input

    @property
    def quantizable(self) -> Lowered:
        """The graph that int8 variants have in int8: of two stages the extractor, whose scorer stays in float."""
        return self.lowered if self.first is None else self.first.lowered

    def preprocessor(self) -> Preprocessor:
        """The bundle's geometry at work."""
        return Preprocessor(self.geometry, self.input, self.mask, map_size=self.lowered.map)

    def reference(self) -> Scorer:
        """The imported model behind the bundle's geometry; of two stages both models."""
        first = None if self.first is None else ReferenceExtractor(self.first.imported, self.threads)
        return self._scorer(ReferenceEngine(self.imported, self.threads), first)

    def scorer(self, recipe: Recipe, root: Path) -> Scorer:
        """A variant as the device will run it. Raises :class:`EngineError`."""
        options = EngineOptions(threads=self.threads)
        engine = open_engine(recipe.engine, Artefact(root / recipe.model), options, precision=recipe.precision)
        if self.first is None:
            return self._scorer(engine)
        artefact = Artefact(root / recipe.extractor)
        return self._scorer(engine, open_extractor(recipe.engine, artefact, options, precision=recipe.precision))

    def pixels(self, images: ImageSet | DefectSet, limit: int) -> tuple[NDArray[np.uint8], ...]:
        """What the scoring graph is given for some of the images: at most ``limit`` inputs, evenly spaced."""
        if isinstance(images, ClipSet):
            with closing(self.reference()) as scorer:
                return collect_clips(scorer, images, limit)
        return collect_pixels(self.preprocessor(), images, limit)

    def quantizable_pixels(self, images: ImageSet | DefectSet, limit: int) -> tuple[NDArray[np.uint8], ...]:
        """As :meth:`pixels`, for the graph that is quantized."""
        if self.first is None or not isinstance(images, ClipSet):
            return self.pixels(images, limit)
        return collect_pictures(self.preprocessor(), images, limit)

    def defects(self) -> DefectSet | ClipDefects:
        """The synthetic defects by which variants are judged."""
        kinds = VECTOR_KINDS if self._takes_vectors else CLIP_KINDS
        return self._defects(self.split.judging, KINDS, kinds, _JUDGING_SEED)

    def fitting_defects(self) -> DefectSet | ClipDefects:
        """Those that the quantizer sees: other images, other seeds, and one kind less and one more."""
        kinds = FITTING_VECTOR_KINDS if self._takes_vectors else FITTING_CLIP_KINDS
        return self._defects(self.split.fitting, FITTING_KINDS, kinds, _FITTING_SEED)

    def judging(self) -> Judging:
        """The bundle's record of which images judge."""
        split = self.split
        return Judging(
            images=split.names(split.judging),
            defects=self.defects().kinds,
            quantizer_images=split.names(split.fitting),
            quantizer_defects=self.fitting_defects().kinds if len(split.fitting) else (),
            shared=split.shared,
        )

    @property
    def _takes_vectors(self) -> bool:
        return self.clip is not None and self.clip.input == "features" and self.first is None

    def _defects(
        self, images: ImageSet, kinds: tuple[Kind, ...], clip_kinds: tuple[ClipKind, ...], seed: int
    ) -> DefectSet | ClipDefects:
        if isinstance(images, ClipSet):
            copied = {f.name: getattr(images, f.name) for f in fields(images)}
            return ClipDefects(**copied, kinds=clip_kinds, seed=seed)
        return defects_for(images.paths, self.preprocessor(), seed, kinds)

    def _scorer(self, engine: Engine, extractor: Extractor | None = None) -> Scorer:
        if self.clip is None:
            return Scorer(self.preprocessor(), engine)
        return WholeClipScorer(self.preprocessor(), engine, self.clip, extractor)


def prepare(
    request: ExportRequest,
    imported: ImportedModel,
    images: ImageSet,
    notify: Notify,
    extractor: ImportedExtractor | None = None,
) -> Setup:
    """Looks at the images, settles the geometry and brings the graph, or both graphs, to the contract.

    Raises:
        InputError: the options contradict each other, the images or the model; an image cannot be read.
        ModelError: the graph cannot be brought to the contract.
    """
    frame = frame_size(request.geometry, images.sizes())
    if request.geometry.level == "object":
        notify("every image is taken for one object, cropped as the device will crop it, of any size")
    elif frame is None:
        why = "" if request.geometry.frame == "any" else ": the images have several (--frame-size)"
        notify(f"the bundle takes frames of any size{why}")
    mask_path = request.geometry.ignore_mask
    mask = None if mask_path is None else read_mask(mask_path, frame)

    clip = clip_record(imported, request.importing.clip, extractor.snippet if extractor else 1)
    if clip is not None and (request.geometry.tiles or request.geometry.grid):
        raise InputError("--tiles, --grid: a model of clips takes whole pictures; leave them out")
    if clip is not None and request.geometry.level == "object":
        raise InputError("--level object: a model of clips takes whole pictures; leave it out")
    options = replace(request.geometry, kernel=request.geometry.kernel or imported.kernel)
    split = split_images(images, request.part_by) if request.asks_for_int8 else judge_with_all(images, request.part_by)

    first = None
    if extractor is not None and isinstance(images, ClipSet):
        entry = extractor_input(extractor)
        preprocessor = Preprocessor(build_geometry(options, entry, frame), entry, mask)
        pictures = collect_pictures(preprocessor, images.first(_PROBES), _PROBES)
        first = make_first_stage(extractor, pictures, request.threads)

    def setup(lowered: Lowered) -> Setup:
        geometry = build_geometry(options, (first.lowered if first else lowered).input, frame)
        return Setup(imported, lowered, geometry, mask, images, request.threads, split, clip=clip, first=first)

    lowered, run_s = _lower(request, imported, setup)
    for line in _remarks_on_lowering(lowered, imported.input.batch):
        notify(line)
    wanted = request.asks_for_shortlist and first is None
    shortlisted = shorten_search(lowered, request.shrink) if wanted else None
    return replace(setup(lowered), run_s=run_s, shortlisted=shortlisted)


def _lower(request: ExportRequest, imported: ImportedModel, setup: Callable[[Lowered], Setup]) -> tuple[Lowered, float]:
    """The graph brought to the contract, and the seconds that the imported model takes for an input.

    Raises :class:`ModelError`, first of all for what is wrong with the model.
    """
    probes: list[ReferenceProbes] = []
    refused: list[ModelError] = []

    def agrees(candidate: Lowered) -> bool:
        if not probes:
            try:
                if find_embedded(candidate.model) is not None:  # the reference runs in OpenVINO too
                    FloatModel(candidate.model).try_openvino()
                probes.append(ReferenceProbes(setup(candidate)))
            except ModelError as error:
                refused.append(error)
                raise
        return probes[0].agrees(candidate)

    try:
        lowered = lower(imported, agrees, request.shrink)
    except ModelError:
        ReferenceEngine(imported, request.threads).close()
        raise
    if refused:
        raise refused[0]
    if lowered.fast is not None and probes and not probes[0].is_faster(lowered.fast, lowered.model):
        lowered = replace(lowered, fast=None)
    return lowered, probes[0].run_s if probes else 0.0


def _remarks_on_lowering(lowered: Lowered, batch: int) -> Iterator[str]:
    """What the user should know of the graph. ``batch``: how many images the imported model insists on."""
    if not lowered.cheaper:
        yield "the cheaper form of this graph does not score as the model does: the plain one is used"
    if lowered.batch == "rebatched":
        yield f"the batch of {batch} fixed in the model was rewritten to 1"
    if lowered.batch == "repeated":
        yield (
            f"the batch of {batch} fixed in the model could not be taken out: every image is fed {batch} times, at "
            f"{batch} times the cost; export the model with batch 1"
        )


@dataclass(frozen=True)
class GraphErrors:
    """The largest over some images. ``score``: relative; ``map``: a part of the map's largest cell."""

    score: float
    map: float


class ReferenceProbes:
    """Some real images as the graph takes them and what the imported model gives for them, computed once: by these
    every rewritten form of the graph is judged."""

    def __init__(self, setup: Setup) -> None:
        self._imported, self._threads = setup.imported, setup.threads
        self._recipe, self._parity = baseline_for(setup.imported.model), parity_for(setup.imported.model)
        self._pixels = setup.pixels(setup.images.first(_PROBES), _PROBES)
        with closing(ReferenceEngine(setup.imported, setup.threads)) as engine:
            self._expected, times = [], []
            for pixels in self._pixels:
                began = perf_counter()
                self._expected.append(_run(engine, pixels))
                times.append(perf_counter() - began)
        self.run_s = min(times)
        if not all(_is_finite(one) for one in self._expected):
            raise ModelError(
                "the model gives a score or map that is not a finite number for these images (NaN or infinite): the "
                "training diverged, or scale, mean and standard deviation of the input are others (--scale, --mean, "
                "--std)"
            )

    def agrees(self, candidate: Lowered) -> bool:
        """Whether the rewritten graph scores and maps the images as the imported one does.

        A head of ours is compared with NumPy in float64. Where a patch lies in the memory bank, its distance of zero is
        the root of what float32 leaves: there the map may differ as that of the plain form does.
        """
        found = self.errors(candidate)
        if found.score > self._parity or found.map <= self._parity:
            return found.score <= self._parity
        if self._imported.head is None:
            return False
        plain = candidate.plain or lower(self._imported, lambda _candidate: False)
        return found.map <= _ROUNDING_TIMES * self.errors(plain).map < math.inf

    def errors(self, lowered: Lowered) -> GraphErrors:
        """How far the graph is from the imported model; infinite where the engine refuses it."""
        try:
            with self._opened(lowered.model) as engine:
                found = [
                    _compare(_run(engine, pixels), expected)
                    for pixels, expected in zip(self._pixels, self._expected, strict=True)
                ]
        except EngineError:
            return GraphErrors(math.inf, math.inf)
        return GraphErrors(max(one.score for one in found), max(one.map for one in found))

    def is_faster(self, candidate: ir.Model, other: ir.Model) -> bool:
        """Whether the first graph takes clearly less time on this machine, both run in turn."""
        with self._opened(candidate) as first, self._opened(other) as second:
            rounds = [(_timed(first, self._pixels[0]), _timed(second, self._pixels[0])) for _ in range(_TIMED_ROUNDS)]
        return statistics.median(theirs / ours for ours, theirs in rounds[1:]) >= _CLEARLY

    @contextmanager
    def _opened(self, model: ir.Model) -> Iterator[Engine]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / Path(self._recipe.model).name
            FloatModel(model).save(self._recipe.engine, path)
            with closing(open_engine(self._recipe.engine, Artefact(path), EngineOptions(threads=self._threads))) as one:
                yield one


def _run(engine: Engine, pixels: NDArray[np.uint8]) -> EngineOutput:
    engine.input[:] = pixels
    found = engine.run()
    return EngineOutput(found.score, None if found.map is None else found.map.copy())


def _timed(engine: Engine, pixels: NDArray[np.uint8]) -> float:
    began = perf_counter()
    _run(engine, pixels)
    return perf_counter() - began


def _is_finite(found: EngineOutput) -> bool:
    return math.isfinite(found.score) and (found.map is None or bool(np.isfinite(found.map).all()))


def _compare(found: EngineOutput, expected: EngineOutput) -> GraphErrors:
    score = _number(relative_error(np.array([found.score]), np.array([expected.score])))
    if expected.map is None or found.map is None:
        return GraphErrors(score, 0.0 if expected.map is found.map else math.inf)
    off, largest = float(np.abs(found.map - expected.map).max()), float(np.abs(expected.map).max())
    return GraphErrors(score, 0.0 if off == 0 else _number(off / largest if largest else math.inf))


def _number(error: float) -> float:
    """What is no number agrees with nothing."""
    return math.inf if math.isnan(error) else error
