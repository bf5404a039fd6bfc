"""The variants that export tries: for which engine, in which precision, and how the file is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import onnx_ir as ir

from edge_ad.engines.processor import BF16_INSTRUCTIONS, this_processor
from edge_ad.errors import InputError, ModelError
from edge_ad_export.graph.embedded import find_embedded, to_openvino
from edge_ad_export.graph.libraries import openvino_capabilities, save_openvino
from edge_ad_export.lowering.engine_trial import try_openvino
from edge_ad_export.passes.late_transpose import LateTransposePass

if TYPE_CHECKING:
    from edge_ad_export.quantize.int8_graph import QuantizedGraph

__all__ = [
    "BASELINE",
    "RECIPES",
    "FloatModel",
    "Recipe",
    "baseline_for",
    "calculates_bf16_here",
    "chosen_recipes",
    "usable_recipes",
    "with_shortlists",
]


class FloatModel:
    """A lowered graph, converted to OpenVINO once and only when that is asked for.

    Args:
        model: the graph, which int8 variants are made of, too.
        fast: the same graph as float32 variants have it, where that is another one.
    """

    def __init__(self, model: ir.Model, fast: ir.Model | None = None) -> None:
        self.model = model
        self._fast = None if fast is None else FloatModel(fast)

    @property
    def openvino(self) -> Any:
        """The same graph as an ``openvino.Model``. Not to be changed.

        Raises:
            ModelError: OpenVINO cannot convert the graph, or crashes on it.
        """
        if isinstance(self._converted, ModelError):
            raise self._converted
        return self._converted

    def try_openvino(self) -> None:
        """Raises :class:`ModelError` where OpenVINO cannot convert the graph, or crashes on it."""
        _ = self.openvino

    @cached_property
    def _converted(self) -> Any:
        """The ``openvino.Model``, or why there is none. A conversion that failed is not tried again."""
        try:
            model = self.model.clone()
            LateTransposePass()(model)
            converted = to_openvino(model)
            try_openvino(model, converted)
            return converted
        except ModelError as error:
            return error

    def save(self, engine: Literal["onnxruntime", "openvino"], path: Path) -> None:
        """Writes the graph in float32; for OpenVINO the weights lie beside ``path``."""
        if self._fast is not None:
            self._fast.save(engine, path)
        elif engine == "openvino":
            self.save_openvino(path, half=False)
        else:
            ir.save(self.model, path)

    def save_openvino(self, path: Path, *, half: bool) -> None:
        """Writes ``path`` and the ``.bin`` beside it. ``half``: float weights are stored in 16 bits."""
        save_openvino(self.openvino, path, half=half)


@dataclass(frozen=True)
class Recipe:
    """``write`` makes the model's file at a path and, for OpenVINO, the weights beside it. An int8 recipe takes the
    quantized form of the graph, every other one the float form alone.

    It raises :class:`~edge_ad.errors.ModelError` if the graph cannot be written in this form.

    ``shortlist``: made of the graph whose search of a memory bank starts with a shortlist, where there is one.
    ``mended``: int8 only where errors are mended afterwards, all else in float.
    ``made_for``: in a bundle for several kinds of CPU those that an int8 variant is made for; empty: for all.
    """

    id: str
    engine: Literal["onnxruntime", "openvino"]
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    write: Callable[[FloatModel, Path, QuantizedGraph | None], None]
    shortlist: bool = False
    mended: bool = False
    made_for: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Where the model lies in the bundle."""
        return f"variants/{self.id}/model.{self._ending}"

    @property
    def extractor(self) -> str:
        """Where the extractor of a two-stage variant lies in the bundle."""
        return f"variants/{self.id}/extractor.{self._ending}"

    @property
    def in_float(self) -> Recipe:
        """The recipe for graphs of the same variant that stay in float where this one quantizes."""
        return RECIPES[f"{self.id.partition('-')[0]}-fp32"] if self.precision == "int8" else self

    @property
    def _ending(self) -> str:
        return "onnx" if self.engine == "onnxruntime" else "xml"


def _onnx_fp32(model: FloatModel, path: Path, _int8: QuantizedGraph | None) -> None:
    model.save("onnxruntime", path)


def _openvino_fp32(model: FloatModel, path: Path, _int8: QuantizedGraph | None) -> None:
    model.save("openvino", path)


def _openvino_fp16(model: FloatModel, path: Path, _int8: QuantizedGraph | None) -> None:
    model.save_openvino(path, half=True)


def _int8(_model: FloatModel, path: Path, int8: QuantizedGraph | None) -> None:
    if int8 is None:
        raise AssertionError("an int8 variant is made of a quantized graph")
    int8.save(path)


BASELINE = Recipe("onnx-fp32", "onnxruntime", "fp32", _onnx_fp32)
"""The baseline of every graph that ONNX Runtime can run."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.id: recipe
        for recipe in (
            BASELINE,
            Recipe("onnx-shortlist", "onnxruntime", "fp32", _onnx_fp32, shortlist=True),
            Recipe("onnx-int8", "onnxruntime", "int8", _int8),
            Recipe("openvino-fp32", "openvino", "fp32", _openvino_fp32),
            Recipe("openvino-shortlist", "openvino", "fp32", _openvino_fp32, shortlist=True),
            Recipe("openvino-fp16", "openvino", "fp16", _openvino_fp16),
            # Stored as openvino-fp16 is, opened otherwise.
            Recipe("openvino-bf16", "openvino", "bf16", _openvino_fp16),
            Recipe("openvino-int8", "openvino", "int8", _int8),
        )
    }
)


def baseline_for(model: ir.Model) -> Recipe:
    """The recipe that is always made of this graph: it must agree with the imported model before anything else is
    worth making. A model that exists only as an OpenVINO graph has no ONNX variants."""
    return RECIPES["openvino-fp32"] if find_embedded(model) else BASELINE


def usable_recipes(recipes: Sequence[Recipe], model: ir.Model) -> tuple[Recipe, ...]:
    """Those of the recipes that this graph can be had in. Raises :class:`InputError` where none is."""
    only_openvino = find_embedded(model) is not None
    usable = tuple(recipe for recipe in recipes if recipe.engine == "openvino" or not only_openvino)
    if not usable:
        raise InputError(
            f"the model exists only as an OpenVINO graph, which cannot be written as "
            f"{', '.join(recipe.id for recipe in recipes)}: ask for an openvino variant"
        )
    return usable


def calculates_bf16_here() -> bool:
    """Whether a variant in bfloat16 can gain anything on this machine as it is set up."""
    return this_processor().calculates_bf16 and "BF16" in openvino_capabilities()


def chosen_recipes(ids: Sequence[str], *, bf16: bool) -> tuple[Recipe, ...]:
    """The recipes of these ids in the table's order, for none all that can gain anything with every kind of model.

    Args:
        bf16: whether :func:`calculates_bf16_here` says so; variants are measured where they are made.

    Raises:
        InputError: an unknown id, or one that cannot be measured here.
    """
    unknown = [name for name in ids if name not in RECIPES]
    if unknown:
        hint = "; a mixed variant is made where int8 fails the gate" if "mixed" in " ".join(unknown) else ""
        raise InputError(f"no variant {', '.join(unknown)}: choose from {', '.join(RECIPES)}{hint}")
    chosen = tuple(one for one in RECIPES.values() if one.id in ids or not (ids or one.shortlist))
    if bf16:
        return chosen
    if any(RECIPES[name].precision == "bf16" for name in ids):
        raise InputError(
            "openvino-bf16 is measured where it is made, which takes a CPU with instructions for bfloat16 "
            f"({' or '.join(BF16_INSTRUCTIONS)}), and this one has none: leave it out"
        )
    return tuple(recipe for recipe in chosen if recipe.precision != "bf16")


def with_shortlists(recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The recipes and, of each of their engines, the one with a shortlist; in the table's order."""
    engines = {recipe.engine for recipe in recipes}
    return tuple(one for one in RECIPES.values() if one in recipes or (one.shortlist and one.engine in engines))
