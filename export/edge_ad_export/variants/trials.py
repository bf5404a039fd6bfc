"""Makes the variants, scores them beside the imported model, judges them and drops the slow ones."""

from __future__ import annotations

import shutil
import statistics
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
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
from edge_ad_export.variants.quantizer import Mixed, open_quantizer
from edge_ad_export.variants.result import (
    TimedVariant,
    VariantResult,
    most_in_float,
    not_worth_shipping,
    outpaced_by,
)

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

__all__ = ["TrialResults", "Trials", "run_trials"]

# Of normals and as many of defects: correcting biases layer by layer takes a second for five of them on two cores.
_QUANTIZATION_SAMPLES = 75
# Where it cannot be measured what floats cost: with more operations in float a mixed form is as good as all in float.
_UNMEASURED_SHARE = 0.9
_MIXED_FORMS = 4


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
class _Made:
    """A variant: opened as ``candidate``, or ``None`` where it could not be made. ``rejected`` says why it is not
    shipped, ``label`` how it was quantized."""

    recipe: Recipe
    candidate: Candidate | None
    rejected: str | None = None
    label: str | None = None
    agreement: Agreement | None = None
    latencies_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class TrialResults:
    """What came of each variant. ``reference_ms``: the latency of the imported model's own graph in the engine that
    runs its file; ``None`` of two stages."""

    variants: tuple[VariantResult, ...]
    reference_ms: float | None


def run_trials(setup: Setup, trials: Trials, root: Path, tell: Teller) -> TrialResults:
    """Makes the variants' files below ``root``; those of rejected variants are removed again.

    An int8 variant that the gate refuses is followed by a mixed one: the layers that do most harm are in float.

    Raises:
        ModelError, InputError: on account of the imported model and the images, never of a variant.
    """
    with ExitStack() as stack:
        evaluation = _Evaluation(setup, trials, root, tell, stack)
        first, rest = _in_two_rounds(trials.recipes)
        made = [evaluation.make(recipe) for recipe in first]
        evaluation.score(made)
        if made[0].rejected is None:
            evaluation.take_shortlists(made)
            quantizer_of = evaluation.quantizers()
            made += [evaluation.make(recipe, partial(_int8, quantizer_of, recipe)) for recipe in rest]
            evaluation.score(made[len(first) :])
            made.sort(key=lambda one: trials.recipes.index(one.recipe))
            tell.say(f"timing {', '.join(one.recipe.id for one in made if one.candidate)} in turn")
            evaluation.measure_latency(made)
            made = _add_mixed(evaluation, made, quantizer_of)
        results = [evaluation.result(one) for one in made]
    if trials.plan.measured:
        results = _without_slow(results, made)
    for result in results:
        if result.rejected and not (trials.keep_rejected and result.agreement is not None):
            shutil.rmtree((root / result.recipe.model).parent)
    return TrialResults(tuple(results), evaluation.reference_ms)


def _in_two_rounds(recipes: Sequence[Recipe]) -> tuple[Sequence[Recipe], Sequence[Recipe]]:
    """What is scored first, and the rest. Shortlists are judged before int8 and bfloat16, which may be made of them."""
    if not any(recipe.shortlist for recipe in recipes):
        return recipes[:1], recipes[1:]
    first = [recipe for recipe in recipes if recipe.precision == "fp32"]
    return first, [recipe for recipe in recipes if recipe.precision != "fp32"]


class _Evaluation:
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

    def take_shortlists(self, made: Sequence[_Made]) -> None:
        """Lets int8 and bfloat16 be made of the graph with a shortlist, for the engines in which that is among ``made``
        and worth shipping."""
        if self._shortlisted is not None and any(one.recipe.shortlist for one in made):
            _measure_latency(made, ROUGH_ROUNDS)
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

    def make(self, recipe: Recipe, quantize: Callable[[], Int8] | None = None) -> _Made:
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
            return _Made(recipe, None, str(error))
        return _Made(recipe, Candidate(recipe.id, scorer), label=None if int8 is None else int8.settings.label)

    def _write(self, recipe: Recipe, int8: QuantizedGraph | None) -> None:
        model = _graph_for(recipe, self._model, self._shortlisted, self._narrow)
        if self._second_stage is None:
            recipe.write(model, self.root / recipe.model, int8)
            return
        recipe.write(model, self.root / recipe.extractor, int8)
        recipe.in_float.write(self._second_stage, self.root / recipe.model, None)

    def score(self, variants: Sequence[_Made], *, least_map_correlation: float = -1.0, looks: int = 1) -> None:
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

    def result(self, made: _Made) -> VariantResult:
        """What came of a variant, with its latency."""
        agreement = made.agreement
        if agreement is not None and made.latencies_ms:
            agreement = replace(agreement, latency_ms=statistics.median(made.latencies_ms))
        size = self.size_bytes(made.recipe)
        return VariantResult(made.recipe, agreement, size, made.rejected, made.label, len(self.data.labelled))

    def measure_latency(self, variants: Sequence[_Made]) -> None:
        """Of the variants and of the imported model's own graph, in turn, so that they can be compared."""
        scorer = self._imported
        if not isinstance(scorer.engine, ReferenceEngine) or isinstance(scorer, WholeClipScorer):
            _measure_latency(variants)
            return
        self.reference_ms = statistics.median(_measure_latency(variants, beside=[scorer.engine.run_graph])[0])

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


def _better_with_shortlist(made: Sequence[_Made], plan: Plan) -> list[EngineName]:
    """The engines whose variant with a shortlist passed the gate and, where that can be measured, saves time."""
    timed = [TimedVariant(one.recipe, one.latencies_ms) for one in made if one.candidate and not one.rejected]
    exact = [one for one in timed if not one.recipe.shortlist]
    shortlists = [one for one in timed if one.recipe.shortlist]
    return [one.recipe.engine for one in shortlists if not plan.measured or not not_worth_shipping(one, exact)]


def _measure_latency(
    variants: Sequence[_Made], most: int = ROUNDS, beside: Sequence[Callable[[], object]] = ()
) -> Sequence[list[float]]:
    """Of all variants that could be scored, in turn, in so many rounds at most. Returns the latencies of what runs
    ``beside`` them, in milliseconds, by round."""
    scored = [(one, one.candidate.scorer) for one in variants if one.candidate and one.agreement]
    found = measure_latency([*beside, *(scorer.run_bare for _, scorer in scored)], most)
    for (one, _), latencies in zip(scored, found[len(beside) :], strict=True):
        one.latencies_ms = latencies
    return found[: len(beside)]


def _int8(quantizer_of: QuantizerOf, recipe: Recipe) -> Int8:
    return quantizer_of(recipe).int8(recipe.engine)


def _add_mixed(evaluation: _Evaluation, made: Sequence[_Made], quantizer_of: QuantizerOf) -> list[_Made]:
    """The variants, and behind every int8 one that the gate refuses its mixed form where there is one."""
    found: list[_Made] = []
    passed: list[_Made] = []
    for one in made:
        found.append(one)
        if one.recipe.precision == "int8" and one.agreement and one.rejected and evaluation.trials.plan.effort != "low":
            mixed = _mixed_form(evaluation, one, made, quantizer_of(one.recipe))
            found += [] if mixed is None else [mixed]
            passed += [] if mixed is None or mixed.rejected else [mixed]
    if passed:  # what is not shipped is not compared with it
        evaluation.measure_latency([one for one in found if not one.rejected])
    return found


def _mixed_form(evaluation: _Evaluation, int8: _Made, others: Sequence[_Made], quantizer: Quantizer) -> _Made | None:
    notify, name = evaluation.tell.say, int8.recipe.id
    share = _UNMEASURED_SHARE
    if evaluation.trials.plan.measured:
        mine = TimedVariant(int8.recipe, int8.latencies_ms)
        timed = [TimedVariant(one.recipe, one.latencies_ms) for one in others if not one.rejected]
        if faster := outpaced_by(mine, timed):
            notify(f"{name} fails the gate and is hardly faster than {faster}: a mixed form would be no gain")
            return None
        share = most_in_float(mine, timed)
    notify(f"{name} fails the gate: looking for the operations that do most harm")
    mixed = quantizer.mixed(int8.recipe.engine, evaluation.trials.gate, share)
    if mixed is None:
        notify(f"{name}: so many operations would have to be in float that a mixed form would be no gain")
        return None
    if mixed.unranked:
        notify(f"{name}: the time limit of the search was reached before {mixed.unranked} operations were measured")
    return _score_mixed(evaluation, int8.recipe, mixed, [one for one in others if not one.rejected])


def _score_mixed(evaluation: _Evaluation, recipe: Recipe, mixed: Mixed, rivals: Sequence[_Made]) -> _Made:
    """The mixed variant; where the gate refuses it on all frames, with more operations in float. A form that would be
    left out for its latency is not scored, and is the last.

    The first form that the gate lets through is taken, so the interval of its rank correlation is corrected
    for all that may be tried.
    """
    for form in range(1, _MIXED_FORMS + 1):
        chosen = _mixed_recipe(recipe, mixed)
        shutil.rmtree((evaluation.root / chosen.model).parent, ignore_errors=True)
        evaluation.tell.say(f"{chosen.id}: {mixed.label}")
        made = evaluation.make(chosen)
        made.label = mixed.label
        further = mixed.with_more(_MIXED_FORMS - form)
        if no_gain := made.rejected or _no_gain(evaluation, made, rivals):
            made.rejected, further = no_gain, None
        else:
            least = -1.0 if further is None else evaluation.trials.gate.min_map_correlation
            evaluation.score([made], least_map_correlation=least, looks=_MIXED_FORMS)
        if further is None or not made.rejected:
            break
        mixed = further
    return made


def _no_gain(evaluation: _Evaluation, made: _Made, rivals: Sequence[_Made]) -> str | None:
    """Why a mixed form would be left out for its latency whatever the gate says; its latencies are noted."""
    engine = made.recipe.engine
    timed = [(one, one.candidate.scorer) for one in (made, *rivals) if one.candidate and one.recipe.engine == engine]
    found = measure_latency([scorer.run_bare for _, scorer in timed], ROUGH_ROUNDS)
    made.latencies_ms = found[0]
    if not evaluation.trials.plan.measured:
        return None
    mine, *others = (
        TimedVariant(one.recipe, latencies, evaluation.size_bytes(one.recipe))
        for (one, _), latencies in zip(timed, found, strict=True)
    )
    return not_worth_shipping(mine, others)


def _mixed_recipe(recipe: Recipe, mixed: Mixed) -> Recipe:
    return replace(recipe, id=recipe.id.replace("int8", "mixed"), write=lambda _model, path, _int8: mixed.write(path))


def _without_slow(results: Sequence[VariantResult], made: Sequence[_Made]) -> list[VariantResult]:
    timed = [
        TimedVariant(result.recipe, one.latencies_ms, result.size_bytes)
        for result, one in zip(results, made, strict=True)
    ]
    passed = [variant for result, variant in zip(results, timed, strict=True) if not result.rejected]
    return [
        result if result.rejected else result.rejected_for(not_worth_shipping(variant, passed))
        for result, variant in zip(results, timed, strict=True)
    ]
