"""Makes variants, scores them beside the imported model, asks the gate and times them."""

from __future__ import annotations

import statistics
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edge_ad.errors import EngineError, ModelError
from edge_ad_export.fidelity.agreement import ROUGH_ROUNDS, ROUNDS, Agreement, agree, measure_latency
from edge_ad_export.fidelity.evaluation import (
    Candidate,
    EvaluationData,
    Watch,
    evaluate_candidates,
    evaluate_reference,
)
from edge_ad_export.lowering.recipes import FloatModel, Recipe
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.reference.two_stage import WholeClipScorer
from edge_ad_export.variants.quantizer import open_quantizer
from edge_ad_export.variants.result import TimedVariant, VariantResult, not_worth_shipping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.lowering.contract import Lowered
    from edge_ad_export.preparation.prepare import Setup, Teller
    from edge_ad_export.quantize.int8_graph import QuantizedGraph
    from edge_ad_export.quantize.settings import Plan
    from edge_ad_export.variants.quantizer import EngineName, Int8, Quantizer
    from edge_ad_metrics.datasets.dataset import LabelledImage

    QuantizerOf = Callable[[Recipe], Quantizer]

__all__ = ["MadeVariant", "QuantizerOf", "Trials", "VariantMaker", "time_variants"]

# Of normals and as many of defects: correcting biases layer by layer takes a second for five of them on two cores.
_QUANTIZATION_SAMPLES = 75


@dataclass(frozen=True)
class Trials:
    """What is to be made and how it is judged. The first of the ``recipes`` is the baseline: where it does not agree
    with the imported model, no other is made. ``labelled``: the user's labelled images, if any. ``keep_rejected``: the
    files of variants that were measured stay, whatever the gate says of them."""

    recipes: Sequence[Recipe]
    gate: Gate
    plan: Plan
    labelled: tuple[LabelledImage, ...] = ()
    keep_rejected: bool = False


@dataclass
class MadeVariant:
    """A variant: opened as ``candidate``, or ``None`` where it could not be made. ``rejected`` says why it is not
    shipped, ``label`` how it was quantized."""

    recipe: Recipe
    candidate: Candidate | None
    rejected: str | None = None
    label: str | None = None
    agreement: Agreement | None = None
    latencies_ms: list[float] = field(default_factory=list)


class VariantMaker:
    """Makes variants below ``root`` and scores them; the imported model has scored all frames once."""

    def __init__(self, setup: Setup, trials: Trials, root: Path, tell: Teller, stack: ExitStack) -> None:
        self.setup, self.trials, self.root, self.tell, self.stack = setup, trials, root, tell, stack
        self.data = EvaluationData(setup.split.judging, setup.defects(), trials.labelled, setup.split.groups)
        self._model = _float_model(setup.quantizable)
        self._shortlisted = None if setup.shortlisted is None else _float_model(setup.shortlisted)
        self._narrow: dict[EngineName, FloatModel] = {"onnxruntime": self._model, "openvino": self._model}
        self._second_stage = None if setup.first is None else _float_model(setup.lowered)
        images, defects = len(self.data.images), len(self.data.defects.samples)
        self._frames = f"{images} images and {defects} copies with a synthetic defect"
        self._imported = stack.enter_context(closing(setup.reference()))
        self._steps = 0
        self.reference_ms: float | None = None
        with self._watched("the imported model", 1) as watch:
            reference = evaluate_reference(self._imported, self.data, watch)
        self.reference = stack.enter_context(closing(reference))

    def take_shortlists(self, made: Sequence[MadeVariant]) -> None:
        """Lets int8 and bfloat16 be made of the graph with a shortlist, for the engines in which that is among ``made``
        and worth shipping."""
        if self._shortlisted is not None and any(one.recipe.shortlist for one in made):
            time_variants(made, ROUGH_ROUNDS)
            self._narrow |= dict.fromkeys(_better_with_shortlist(made, self.trials.plan), self._shortlisted)

    def quantizers(self) -> QuantizerOf:
        """The quantizer for a recipe, one for each kind of CPU. It has been shown what the model sees of normals and of
        defects, none of which judge."""
        opened: dict[str, Quantizer] = {}

        def quantizer_of(recipe: Recipe) -> Quantizer:
            plan = self.trials.plan.for_target(next(iter(recipe.made_for), None))
            if plan.target.id not in opened:
                opened[plan.target.id] = self._open_quantizer(plan)
            return opened[plan.target.id]

        return quantizer_of

    def _open_quantizer(self, plan: Plan) -> Quantizer:
        quantizer = self.stack.enter_context(open_quantizer(self._narrow, plan, self._second_stage))
        if len(self.setup.split.fitting):
            quantizer.use_calibration_data(
                self.setup.quantizable_pixels(self.setup.split.fitting, _QUANTIZATION_SAMPLES),
                self.setup.quantizable_pixels(self.setup.fitting_defects(), _QUANTIZATION_SAMPLES),
            )
        return quantizer

    def make(self, recipe: Recipe, quantize: Callable[[], Int8] | None = None) -> MadeVariant:
        """Writes and opens a variant."""
        step = ""
        if recipe in self.trials.recipes:
            self._steps += 1
            step = f" ({self._steps} of {len(self.trials.recipes)})"
        self.tell.say(f"making {recipe.id}{step}")
        (self.root / recipe.model).parent.mkdir(parents=True)
        try:
            int8 = None if quantize is None or recipe.precision != "int8" else quantize()
            self._write(recipe, None if int8 is None else int8.quantized)
            scorer = self.stack.enter_context(closing(self.setup.scorer(recipe, self.root)))
        except (ModelError, EngineError) as error:
            return MadeVariant(recipe, None, str(error))
        return MadeVariant(recipe, Candidate(recipe.id, scorer), label=None if int8 is None else int8.settings.label)

    def _write(self, recipe: Recipe, int8: QuantizedGraph | None) -> None:
        model = _graph_for(recipe, self._model, self._shortlisted, self._narrow)
        if self._second_stage is None:
            recipe.write(model, self.root / recipe.model, int8)
            return
        recipe.write(model, self.root / recipe.extractor, int8)
        recipe.in_float.write(self._second_stage, self.root / recipe.model, None)

    def score(self, variants: Sequence[MadeVariant], *, least_map_correlation: float = -1.0, looks: int = 1) -> None:
        """Scores all frames with the variants and asks the gate; see :func:`evaluate_candidates` and, for ``looks``,
        :class:`Agreement`."""
        candidates = [one.candidate for one in variants if one.candidate]
        if not candidates:
            return
        with self._watched(", ".join(one.id for one in candidates), len(candidates)) as watch:
            evaluate_candidates(
                candidates, self.data, self.reference, watch, least_map_correlation=least_map_correlation
            )
        for one in variants:
            if one.candidate is None:
                continue
            one.agreement = agree(one.candidate, self.reference, self.data, looks)
            if one.agreement is None:
                one.rejected = one.candidate.failed
            else:
                one.rejected = self.trials.gate.refuses(one.agreement, one.recipe.precision)

    @contextmanager
    def _watched(self, what: str, count: int) -> Iterator[Watch]:
        """Says how long scoring will take, and where somebody watches how far it is."""
        label = f"scoring with {what}" if count < 3 else f"scoring with {count} variants"
        with self.tell.progress(label, self.data.total) as advance:
            yield Watch(
                lambda seconds: self.tell.say(f"scoring {self._frames} with {what}: about {max(round(seconds), 1)} s"),
                advance,
            )

    def result(self, made: MadeVariant) -> VariantResult:
        """What came of a variant, with its latency."""
        agreement = made.agreement
        if agreement is not None and made.latencies_ms:
            agreement = replace(agreement, latency_ms=statistics.median(made.latencies_ms))
        size = self.size_bytes(made.recipe)
        return VariantResult(made.recipe, agreement, size, made.rejected, made.label, len(self.data.labelled))

    def measure_latency(self, variants: Sequence[MadeVariant]) -> None:
        """Of the variants and of the imported model's own graph, in turn, so that they can be compared."""
        scorer = self._imported
        if not isinstance(scorer.engine, ReferenceEngine) or isinstance(scorer, WholeClipScorer):
            time_variants(variants)
            return
        self.reference_ms = statistics.median(time_variants(variants, beside=[scorer.engine.run_graph])[0])

    def size_bytes(self, recipe: Recipe) -> int:
        """Of the files of a variant that was made."""
        return sum(path.stat().st_size for path in (self.root / recipe.model).parent.iterdir())


def _float_model(lowered: Lowered) -> FloatModel:
    return FloatModel(lowered.model, lowered.fast)


def _graph_for(
    recipe: Recipe, model: FloatModel, shortlisted: FloatModel | None, narrow: Mapping[EngineName, FloatModel]
) -> FloatModel:
    """The graph that a variant is made of. ``narrow``: by engine, for int8 and bfloat16. Raises :class:`ModelError`."""
    if recipe.precision in ("bf16", "int8"):
        return narrow[recipe.engine]
    if not recipe.shortlist:
        return model
    if shortlisted is None:
        raise ModelError("the model has no memory bank whose search takes long enough for a shortlist")
    return shortlisted


def _better_with_shortlist(made: Sequence[MadeVariant], plan: Plan) -> list[EngineName]:
    """The engines whose variant with a shortlist passed the gate and, where that can be measured, saves time."""
    timed = [TimedVariant(one.recipe, one.latencies_ms) for one in made if one.candidate and not one.rejected]
    exact = [one for one in timed if not one.recipe.shortlist]
    shortlists = [one for one in timed if one.recipe.shortlist]
    return [one.recipe.engine for one in shortlists if not plan.measured or not not_worth_shipping(one, exact)]


def time_variants(
    variants: Sequence[MadeVariant], most: int = ROUNDS, beside: Sequence[Callable[[], object]] = ()
) -> Sequence[list[float]]:
    """Of all variants that could be scored, in turn, in so many rounds at most. Returns the latencies of what runs
    ``beside`` them, in milliseconds, by round."""
    scored = [(one, one.candidate.scorer) for one in variants if one.candidate and one.agreement]
    found = measure_latency([*beside, *(scorer.run_bare for _, scorer in scored)], most)
    for (one, _), latencies in zip(scored, found[len(beside) :], strict=True):
        one.latencies_ms = latencies
    return found[: len(beside)]
