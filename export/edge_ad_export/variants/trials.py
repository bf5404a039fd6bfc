"""Makes every variant, runs it through the runtime and judges it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edge_ad.errors import EngineError, ModelError
from edge_ad_export.fidelity.agreement import agree, measure_latency
from edge_ad_export.fidelity.evaluation import Candidate, CandidateScores, EvaluationData, evaluate_candidates
from edge_ad_export.lowering.recipes import FloatModel, Recipe
from edge_ad_export.variants.quantizer import Mixed, open_quantizer
from edge_ad_export.variants.result import TimedVariant, VariantResult, not_worth_shipping, outpaced_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.preparation.prepare import Notify, Setup
    from edge_ad_export.quantize.int8_graph import QuantizedGraph
    from edge_ad_export.quantize.settings import Plan
    from edge_ad_export.variants.quantizer import Int8, Quantizer
    from edge_ad_metrics.datasets.dataset import LabelledImage

__all__ = ["Trials", "run_trials"]

# Of normals and as many of defects: correcting biases layer by layer takes a second for five of them on two cores.
_QUANTIZATION_SAMPLES = 75
_MIXED_TRIES = 4


@dataclass(frozen=True)
class Trials:
    """What is to be tried, and how. ``labelled``: the user's labelled images, if any."""

    recipes: Sequence[Recipe]
    gate: Gate
    plan: Plan
    labelled: tuple[LabelledImage, ...] = ()


@dataclass
class _Attempt:
    """A recipe at work: ``candidate`` is opened, or ``failed`` says why it could not be made."""

    recipe: Recipe
    candidate: Candidate | None
    failed: str | None = None
    made: str | None = None
    latencies_ms: list[float] = field(default_factory=list)

    def alive(self) -> Candidate | None:
        """The candidate, where it has not failed."""
        return None if self.candidate is None or self.candidate.failed else self.candidate


class _Court:
    """Makes the variants below ``root`` and hears the evidence."""

    def __init__(self, setup: Setup, trials: Trials, root: Path, stack: ExitStack) -> None:
        self.setup, self.trials, self.root, self.stack = setup, trials, root, stack
        self.evidence = EvaluationData(setup.images, setup.defects(), trials.labelled)
        self._scorer = FloatModel(setup.lowered.model)  # of two stages; the other one is the recipe's
        self.reference = stack.enter_context(closing(setup.reference()))

    def attempt(
        self, recipe: Recipe, model: FloatModel, int8: Callable[[], Int8] | None = None, made: str | None = None
    ) -> _Attempt:
        """The variant, made and opened, or why it could not be."""
        (self.root / recipe.model).parent.mkdir(parents=True)
        try:
            found = None if int8 is None or recipe.precision != "int8" else int8()
            self._write(recipe, model, None if found is None else found.quantized)
            scorer = self.stack.enter_context(closing(self.setup.scorer(recipe, self.root)))
        except (ModelError, EngineError) as error:
            return _Attempt(recipe, None, str(error))
        if found is not None:
            made = found.settings.label
        return _Attempt(recipe, Candidate(recipe.id, scorer), made=made)

    def _write(self, recipe: Recipe, model: FloatModel, int8: QuantizedGraph | None) -> None:
        if self.setup.first is None:
            recipe.write(model, self.root / recipe.model, int8)
            return
        recipe.write(model, self.root / recipe.extractor, int8)
        recipe.in_float.write(self._scorer, self.root / recipe.model, None)

    def hear(self, attempts: Sequence[_Attempt]) -> CandidateScores:
        """Lets them score all of the evidence beside the imported model."""
        return evaluate_candidates(self.reference, [one.candidate for one in attempts if one.candidate], self.evidence)

    def refusal(self, attempt: _Attempt, expected: CandidateScores) -> str | None:
        """Why the gate refuses the variant, whatever its speed; ``None``: it does not."""
        candidate = attempt.alive()
        agreement = agree(candidate, expected, self.evidence.labelled) if candidate else None
        if agreement is None:
            return attempt.failed or (attempt.candidate.failed if attempt.candidate else None)
        return self.trials.gate.refuses(agreement, attempt.recipe.precision)


def run_trials(setup: Setup, trials: Trials, root: Path, notify: Notify) -> tuple[VariantResult, ...]:
    """Makes the recipes' files below ``root`` and measures them all in one process, in turn.

    An int8 variant that the gate refuses is followed by a mixed one: the layers that do most harm in float. The files
    of a variant that is rejected are removed again. Raises :class:`ModelError` and :class:`InputError` on account of
    the imported model and the images, never of a variant.
    """
    with ExitStack() as stack:
        court = _Court(setup, trials, root, stack)
        model = FloatModel(setup.quantizable.model)
        scorer = None if setup.first is None else FloatModel(setup.lowered.model)
        quantizer = stack.enter_context(open_quantizer(model, trials.plan, scorer))
        _fill(quantizer, setup, court.evidence)
        attempts = []
        for recipe in trials.recipes:
            notify(f"making {recipe.id}")
            attempts.append(court.attempt(recipe, model, partial(quantizer.int8, recipe.engine)))
        notify(f"measuring on {len(setup.images.paths)} images")
        expected = court.hear(attempts)
        attempts = list(_with_mixed(court, attempts, expected, quantizer, notify))
        _time(attempts)
        tried = [_judged(court, attempt, expected) for attempt in attempts]
    tried = _without_slow(tried, attempts) if trials.plan.target.measured else tried
    for one in tried:
        if one.rejected:
            shutil.rmtree((root / one.recipe.model).parent)
    return tuple(tried)


def _fill(quantizer: Quantizer, setup: Setup, evidence: EvaluationData) -> None:
    """Shows the quantizer what the model sees of normals and of defects."""
    quantizer.use_calibration_data(
        setup.quantizable_pixels(setup.images, _QUANTIZATION_SAMPLES),
        setup.quantizable_pixels(evidence.defects, _QUANTIZATION_SAMPLES),
    )


def _with_mixed(
    court: _Court, attempts: Sequence[_Attempt], expected: CandidateScores, quantizer: Quantizer, notify: Notify
) -> Iterator[_Attempt]:
    plan = court.trials.plan
    for attempt in attempts:
        yield attempt
        recipe = attempt.recipe
        if plan.effort == "low" or not _is_refused_int8(court, attempt, expected):
            continue
        if plan.target.measured and (faster := _outpaced(attempt, attempts)):
            notify(f"{recipe.id} fails the gate and is hardly faster than {faster}: a mixed form would be no gain")
            continue
        notify(f"{recipe.id} fails the gate: looking for the operations that do most harm")
        mixed = quantizer.mixed(recipe.engine, court.trials.gate)
        if mixed is not None:
            yield _mixed_attempt(court, recipe, mixed, expected, notify)


def _is_refused_int8(court: _Court, attempt: _Attempt, expected: CandidateScores) -> bool:
    works = attempt.recipe.precision == "int8" and attempt.alive() is not None
    return works and court.refusal(attempt, expected) is not None


def _outpaced(attempt: _Attempt, attempts: Sequence[_Attempt]) -> str | None:
    """A more precise variant that is as fast as this refused one or hardly slower; see :func:`outpaced_by`."""
    rivals = [one for one in attempts if one.alive() and one.recipe.engine == attempt.recipe.engine]
    scorers = [one.candidate.scorer for one in rivals if one.candidate]
    found = zip(rivals, measure_latency(scorers), strict=True)
    timed = {one.recipe.id: TimedVariant(one.recipe, latencies) for one, latencies in found}
    return outpaced_by(timed[attempt.recipe.id], list(timed.values()))


def _mixed_attempt(court: _Court, recipe: Recipe, mixed: Mixed, expected: CandidateScores, notify: Notify) -> _Attempt:
    """The mixed variant; where it holds on the few frames of the search only, with more in float."""
    for _ in range(_MIXED_TRIES):
        rung = _mixed_recipe(recipe, mixed)
        shutil.rmtree((court.root / rung.model).parent, ignore_errors=True)
        notify(f"making {rung.id}: {mixed.label}")
        attempt = court.attempt(rung, FloatModel(court.setup.quantizable.model), made=mixed.label)
        court.hear([attempt])
        further = mixed.with_more()
        if further is None or not court.refusal(attempt, expected):
            break
        mixed = further
    return attempt


def _mixed_recipe(recipe: Recipe, mixed: Mixed) -> Recipe:
    return Recipe(
        recipe.id.replace("int8", "mixed"), recipe.engine, "int8", lambda _model, path, _int8: mixed.write(path)
    )


def _time(attempts: Sequence[_Attempt]) -> None:
    alive = [attempt for attempt in attempts if attempt.alive()]
    scorers = [attempt.candidate.scorer for attempt in alive if attempt.candidate]
    for attempt, latencies in zip(alive, measure_latency(scorers), strict=True):
        attempt.latencies_ms = latencies
        if attempt.candidate:
            attempt.candidate.latencies_ms = latencies


def _judged(court: _Court, attempt: _Attempt, expected: CandidateScores) -> VariantResult:
    candidate = attempt.alive()
    folder = (court.root / attempt.recipe.model).parent
    size = sum(path.stat().st_size for path in folder.iterdir())
    labelled = court.evidence.labelled
    agreement = agree(candidate, expected, labelled) if candidate else None
    return VariantResult(attempt.recipe, agreement, size, court.refusal(attempt, expected), attempt.made, len(labelled))


def _without_slow(tried: Sequence[VariantResult], attempts: Sequence[_Attempt]) -> list[VariantResult]:
    timed = [
        TimedVariant(one.recipe, attempt.latencies_ms, one.size_bytes)
        for one, attempt in zip(tried, attempts, strict=True)
    ]
    passed = [candidate for one, candidate in zip(tried, timed, strict=True) if not one.rejected]
    return [
        one if one.rejected else one.rejected_for(not_worth_shipping(candidate, passed))
        for one, candidate in zip(tried, timed, strict=True)
    ]
