"""From an imported model to a graph that follows the bundle's contract: which passes run, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import onnx_ir as ir

from edge_ad.bundle.records import MapSize, ModelInput
from edge_ad.errors import ModelError
from edge_ad_export.graph.backbone import FLOAT_ONLY
from edge_ad_export.graph.match import reduced_axes
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.heads.compose import HeadPass
from edge_ad_export.model.imported import ImportedModel
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.passes import (
    ContractPass,
    ExplicitSoftmaxPass,
    HalfStoragePass,
    OldestVersionsPass,
    PreprocessingPass,
    RebatchPass,
    RepeatPass,
    SelectOutputsPass,
    SimplifyPass,
    StaticShapePass,
    WinogradPass,
)
from edge_ad_export.passes.cheaper import cheaper_passes
from edge_ad_export.passes.contract import RequireStaticPass
from edge_ad_export.passes.preprocessing import ClipInputPass, ClipPreprocessingPass

__all__ = ["Batch", "Lowered", "apply_passes", "lower", "shorten_search"]

Batch = Literal["one", "rebatched", "repeated"]


@dataclass(frozen=True)
class Lowered:
    """A graph that follows the contract. ``batch`` says how a fixed batch of several was dealt with.

    ``one``: there was none. ``rebatched``: the graph was rewritten to one image. ``repeated``: the image is fed to
    it as often as it insists on. ``plain``: of a graph made cheaper, the one before the passes that save work.
    ``fast``: the graph with large convolutions in fewer multiplications, for float32 alone; ``None`` where it has none.
    """

    model: ir.Model
    input: ModelInput
    map: MapSize | None
    batch: Batch
    plain: Lowered | None = None
    fast: ir.Model | None = None

    @property
    def cheaper(self) -> bool:
        """Whether the passes that save work were run."""
        return self.plain is not None


def lower(imported: ImportedModel, agrees: Callable[[Lowered], bool], shrink: Shrink | None = None) -> Lowered:
    """Runs the passes on a clone of the imported model.

    ``agrees`` compares a rewritten graph with the imported model on real images. What is guessed (taking a fixed
    batch out) or recognised by its pattern (the cheaper forms of heads) is kept only where it agrees. What ``shrink``
    asks for changes scores, and is not put to it.

    Raises:
        ModelError: an output has no shape that fits its role, the graph cannot be simplified, or holds nothing to
            shrink.
    """
    lowered = _to_contract(imported, agrees)
    exact = _convolve_faster(_cheapen_exactly(lowered, agrees), agrees)
    if shrink is None or not shrink.is_asked:
        return exact
    if not exact.cheaper:
        raise ModelError(f"the head of this model is not understood well enough for {shrink}: leave it out")
    return _as_fast_as(exact, _cheapen(lowered, shrink, half=True))


def shorten_search(lowered: Lowered, shrink: Shrink) -> Lowered | None:
    """The graph with a shortlist in the search of its memory bank; ``None`` where it has none that takes long.

    It changes maps, see :class:`~edge_ad_export.passes.ShortlistPass`.
    """
    plain = lowered.plain
    searches = [] if plain is None else [node for node in plain.model.graph if node.op_type == "ReduceMin"]
    if plain is None or not any(reduced_axes(node) == (1,) for node in searches):
        return None
    with suppress(ModelError):
        candidate = _cheapen(plain, shrink, half=False, shortlist=True)
        if any(str(node.name).startswith(FLOAT_ONLY) for node in candidate.model.graph):
            return _as_fast_as(lowered, candidate)
    return None


def _convolve_faster(lowered: Lowered, agrees: Callable[[Lowered], bool]) -> Lowered:
    """With the graph for float32 variants, where the model has large convolutions and it scores as the model does."""
    model = lowered.model.clone()
    if not WinogradPass()(model).modified:
        return lowered
    apply_passes([OldestVersionsPass()], model)
    return replace(lowered, fast=model) if agrees(replace(lowered, model=model)) else lowered


def _as_fast_as(other: Lowered, lowered: Lowered) -> Lowered:
    """The same of a graph whose convolutions are those of another one, which was looked at."""
    return lowered if other.fast is None else _convolve_faster(lowered, lambda _candidate: True)


def _cheapen_exactly(lowered: Lowered, agrees: Callable[[Lowered], bool]) -> Lowered:
    for half in (True, False):
        with suppress(ModelError):
            candidate = _cheapen(lowered, Shrink(), half=half)
            if agrees(candidate):
                return candidate
    return lowered


def _cheapen(lowered: Lowered, shrink: Shrink, *, half: bool, shortlist: bool = False) -> Lowered:
    """``half``: large constants of the head are stored in 16 bits."""
    model = lowered.model.clone()
    cheaper = cheaper_passes(shrink, shortlist=shortlist)
    apply_passes([*cheaper, SimplifyPass(), *([HalfStoragePass()] if half else []), OldestVersionsPass()], model)
    return replace(lowered, model=model, plain=lowered)


def _to_contract(imported: ImportedModel, agrees: Callable[[Lowered], bool]) -> Lowered:
    if imported.input.batch == 1:
        return _run(imported, "one")
    with suppress(ModelError):
        candidate = _run(imported, "rebatched")
        if agrees(candidate):
            return candidate
    return _run(imported, "repeated")


def _run(imported: ImportedModel, batch: Batch) -> Lowered:
    model = imported.model.clone()
    apply_passes(_passes(imported, batch), model)
    size = imported.input.size
    anomaly_map = next((static_shape(value) for value in model.graph.outputs if value.name == "map"), None)
    return Lowered(
        model=model,
        input=ModelInput(width=size.width, height=size.height, channels=imported.input.channels),
        map=None if anomaly_map is None else MapSize(width=anomaly_map[2], height=anomaly_map[1]),
        batch=batch,
    )


def apply_passes(passes: Sequence[ir.passes.PassBase], model: ir.Model) -> None:
    """Runs passes on a graph, in place. Raises :class:`ModelError` that says what is wrong with it."""
    try:
        ir.passes.Sequential(*passes)(model)
    except (ir.passes.PassError, ir.passes.InvariantError, RuntimeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        cause = error.__cause__ or error
        if isinstance(cause, ModelError):
            raise cause from None
        raise ModelError(f"the graph cannot be rewritten to the bundle's contract: {cause}") from error


def _passes(imported: ImportedModel, batch: Batch) -> list[ir.passes.PassBase]:
    spec = imported.input
    one_image: dict[Batch, list[ir.passes.PassBase]] = {
        "one": [],
        "rebatched": [RebatchPass(), SimplifyPass()],
        "repeated": [RepeatPass(), SimplifyPass()],
    }
    return [
        SelectOutputsPass(imported.outputs_read),
        StaticShapePass(spec.shape(spec.batch)),
        SimplifyPass(),
        RequireStaticPass(),
        *one_image[batch],
        *([] if spec.clip is None else [ClipInputPass(spec, spec.clip)]),
        *([] if imported.head is None else [HeadPass(imported.head)]),
        PreprocessingPass(spec) if spec.clip is None else ClipPreprocessingPass(spec, spec.clip),
        ContractPass(imported.roles),
        SimplifyPass(),
        ExplicitSoftmaxPass(),
        OldestVersionsPass(),
    ]
