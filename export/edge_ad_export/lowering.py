"""From an imported model to a graph that follows the bundle's contract: which passes run, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from edge_ad.bundle.records import MapSize, ModelInput
from edge_ad.errors import ModelError
from edge_ad_export.imported import ImportedModel
from edge_ad_export.passes import (
    ContractPass,
    FrontPass,
    RebatchPass,
    RepeatPass,
    SelectOutputsPass,
    SimplifyPass,
    StaticShapePass,
)
from edge_ad_export.passes.contract import Role
from edge_ad_export.passes.static_shape import static_shape

__all__ = ["Batch", "Lowered", "lower"]

Batch = Literal["one", "rebatched", "repeated"]


@dataclass(frozen=True)
class Lowered:
    """A graph that follows the contract. ``batch`` says how a fixed batch of several was dealt with.

    ``one``: there was none. ``rebatched``: the graph was rewritten to one image. ``repeated``: the image is fed to
    it as often as it insists on.
    """

    model: ir.Model
    input: ModelInput
    map: MapSize | None
    batch: Batch


def lower(imported: ImportedModel, agrees: Callable[[Lowered], bool]) -> Lowered:
    """Runs the passes on a clone of the imported model.

    ``agrees`` compares a rewritten graph with the imported model on real images; it is asked only where the rewrite
    rests on a guess, which is when a fixed batch was taken out.

    Raises:
        ModelError: an output has no shape that fits its role, or the graph cannot be simplified.
    """
    if imported.input.batch == 1:
        return _run(imported, "one")
    with suppress(ModelError):
        candidate = _run(imported, "rebatched")
        if agrees(candidate):
            return candidate
    return _run(imported, "repeated")


def _run(imported: ImportedModel, batch: Batch) -> Lowered:
    model = imported.model.clone()
    try:
        ir.passes.Sequential(*_passes(imported, batch))(model)
    except (ir.passes.PassError, ir.passes.InvariantError, RuntimeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        cause = error.__cause__ or error
        if isinstance(cause, ModelError):
            raise cause from None
        raise ModelError(f"the graph cannot be rewritten to the bundle's contract: {cause}") from error
    size = imported.input.size
    heat = next((static_shape(value) for value in model.graph.outputs if value.name == "map"), None)
    return Lowered(
        model=model,
        input=ModelInput(width=size.width, height=size.height, channels=imported.input.channels),
        map=None if heat is None else MapSize(width=heat[2], height=heat[1]),
        batch=batch,
    )


def _passes(imported: ImportedModel, batch: Batch) -> list[ir.passes.PassBase]:
    spec = imported.input
    roles: tuple[Role, ...] = tuple(role for role, name in _outputs(imported))
    one_image: dict[Batch, list[ir.passes.PassBase]] = {
        "one": [],
        "rebatched": [RebatchPass(), SimplifyPass()],
        "repeated": [RepeatPass(), SimplifyPass()],
    }
    return [
        SelectOutputsPass([name for _, name in _outputs(imported)]),
        StaticShapePass(spec.shape(spec.batch)),
        SimplifyPass(),
        *one_image[batch],
        FrontPass(spec),
        ContractPass(roles),
        SimplifyPass(),
    ]


def _outputs(imported: ImportedModel) -> list[tuple[Role, str]]:
    named: list[tuple[Role, str | None]] = [("score", imported.score), ("map", imported.map)]
    return [(role, name) for role, name in named if name is not None]
