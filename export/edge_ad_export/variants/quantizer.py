"""Where int8 graphs are made and compared: each engine's best, and its mixed form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir

from edge_ad.errors import EngineError, ModelError
from edge_ad.files import check_space
from edge_ad_export.graph.backbone import find_backbone
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.lowering.recipes import FloatModel
from edge_ad_export.passes import SeparateSumsPass
from edge_ad_export.quantize.int8_graph import OnnxInt8, OpenVinoInt8, onnx_ops, openvino_ops
from edge_ad_export.quantize.quantizers import quantize_apart
from edge_ad_export.quantize.settings import Settings, settings_for
from edge_ad_export.variants.mixed_precision import Search, rank_layers, where_to_begin
from edge_ad_export.variants.probes import Probes, Runner
from edge_ad_metrics.sampling import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.quantize.int8_graph import QuantizedGraph
    from edge_ad_export.quantize.settings import Plan

__all__ = ["Int8", "Mixed", "Quantizer", "open_quantizer"]

EngineName = Literal["onnxruntime", "openvino"]

# What is measured in the search of a mixed form is fixed, so that the outcome does not depend on how busy the machine
# is. The time limit is for models that take long; it is told.
_SEARCH_LIMIT_S = {"normal": 90.0, "high": 600.0}
# Frames on which a layer's effect is measured, and a number of float layers is tried.
_RANKING_PROBES = 8
_PROBES = 40


@dataclass(frozen=True)
class Int8:
    """An int8 graph and how it was made."""

    quantized: QuantizedGraph
    settings: Settings


@dataclass(frozen=True)
class Mixed:
    """The first ``count`` of the int8 graph's ``layers``, which are in the order of the harm they do, are in float.

    ``most``: so many may be in float. ``unranked``: how many layers the time limit of the search left unmeasured.
    """

    int8: Int8
    layers: tuple[str, ...]
    count: int
    most: int
    unranked: int = 0

    def with_more(self, forms: int) -> Mixed | None:
        """More of them in float: so many more that after ``forms`` such steps of one ratio it is ``most`` of them.
        ``None`` where no more are left, or no step."""
        if forms < 1 or self.count >= self.most:
            return None
        count = math.ceil(self.count * (self.most / self.count) ** (1 / forms) - 1e-9)
        return replace(self, count=min(max(count, self.count + 1), self.most))

    @property
    def mended(self) -> bool:
        """Whether all is in float but what is mended afterwards: products that make a shortlist."""
        shortlists = self.int8.quantized.shortlists
        return bool(shortlists) and not set(self.layers[self.count :]) - set(shortlists)

    def write(self, path: Path) -> None:
        """Writes the model; for OpenVINO the weights beside it."""
        self.int8.quantized.save(path, self.layers[: self.count])

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.int8.settings.label}; {self.count} of {len(self.layers)} operations in float"


class Quantizer:
    """Works in a folder that is gone in the end; see :func:`open_quantizer`."""

    def __init__(
        self,
        models: Mapping[EngineName, FloatModel],
        plan: Plan,
        folder: Path,
        scorer: FloatModel | None = None,
    ) -> None:
        self._models = {**models, "onnxruntime": _with_separate_sums(models["onnxruntime"])}
        self._scorer = scorer
        self._plan = plan
        self._folder = folder
        self._made: dict[EngineName, Int8] = {}
        self._probe_pixels: tuple[NDArray[np.uint8], ...] = ()
        self._probes: dict[EngineName, Probes] = {}

    def use_calibration_data(self, pixels: Sequence[NDArray[np.uint8]], defects: Sequence[NDArray[np.uint8]]) -> None:
        """Takes in what the model sees of normals and of synthetic defects, uint8 ``[1, h, w, c]`` each.

        Quantizers see both: ranges taken from normals alone cut off the very activations that give a defect away.

        Raises:
            OutputError: the folder for temporary files has no room for them.
        """
        shown = np.concatenate([*pixels, *defects])
        check_space(self._folder, shown.nbytes, f"{self._folder.parent}, the folder for temporary files (TMPDIR)")
        np.save(self._pixels, shown)
        normals, spoilt = ([kind[i] for i in evenly_spaced(len(kind), _PROBES // 2)] for kind in (pixels, defects))
        # In turn, so that evenly spaced ones of them are of both kinds.
        pairs = zip(normals, spoilt, strict=False)
        self._probe_pixels = tuple(frame for pair in pairs for frame in pair) or tuple(normals)

    def int8(self, engine: EngineName) -> Int8:
        """The one of the plan's ways to quantize that does the least damage; made once.

        Raises:
            ModelError: no way leads anywhere.
        """
        if engine not in self._made:
            self._made[engine] = self._best(engine)
        return self._made[engine]

    def mended_form(self, engine: EngineName) -> Mixed | None:
        """The int8 graph with all in float but the products of a shortlist, whose errors are mended afterwards;
        ``None`` without such a product."""
        int8 = self.int8(engine)
        shortlists = int8.quantized.shortlists
        floats = tuple(layer for layer in int8.quantized.layers if layer not in shortlists)
        return Mixed(int8, (*floats, *shortlists), len(floats), len(floats)) if floats and shortlists else None

    def mixed(self, engine: EngineName, gate: Gate, share: float = 1.0, last: Mixed | None = None) -> Mixed | None:
        """The int8 graph with as few of its most harmful layers in float as suffice on the probes.

        Sums are in float in any case. ``share``: of the others at most this part, and at least one less than all, may
        be in float; with the form ``last`` as many as in that. Where that does not suffice on the probes, but may on
        more frames, as many are. ``None`` where it cannot, or with low effort.
        """
        effort = self._plan.effort
        if effort == "low":
            return None
        int8, probes, runner = self.int8(engine), self._probes_of(engine), self._runner(engine)
        most = _most_floats(int8.quantized, share) if last is None else last.count
        path = self._folder / f"mixed{_ending(engine)}"
        if most < 1:
            return None
        few, deadline_s = probes.few(_RANKING_PROBES), monotonic() + _SEARCH_LIMIT_S[effort]
        thorough = effort == "high"
        ranking = rank_layers(int8.quantized, few, runner, self._folder, deadline_s, thorough=thorough)
        search = Search(probes, runner, int8.quantized, ranking.layers, gate, path)
        count = where_to_begin(search, len(int8.quantized.sums), most)
        return None if count is None else Mixed(int8, ranking.layers, count, most, ranking.unmeasured)

    @property
    def _pixels(self) -> Path:
        return self._folder / "pixels.npy"

    def _best(self, engine: EngineName) -> Int8:
        model = self._models[engine]
        ops = openvino_ops(model.openvino) if engine == "openvino" else onnx_ops(model.model.graph)
        if not find_backbone(ops):
            raise ModelError(
                "the model is quantized already: the float variants have its own int8 operators"
                if _is_quantized(model.model)
                else "the graph has no convolution with constant weights to quantize"
            )
        choices = settings_for(engine, self._plan.effort, self._plan.target)
        found = [self._quantize_or_say_why(engine, settings) for settings in choices]
        made = [one for one in found if isinstance(one, Int8)]
        if not made:
            raise ModelError("; ".join(str(one) for one in found))
        return made[0] if len(made) == 1 else min(made, key=lambda one: self._damage(engine, one))

    def _quantize_or_say_why(self, engine: EngineName, settings: Settings) -> Int8 | ModelError:
        try:
            return self._quantize(engine, settings)
        except ModelError as error:
            return error

    def _quantize(self, engine: EngineName, settings: Settings) -> Int8:
        source, target = self._float_file(engine), self._folder / f"int8{_ending(engine)}"
        quantize_apart(source, self._pixels, target, settings)
        model = self._models[engine]
        if engine == "openvino":
            return Int8(OpenVinoInt8(model.openvino, _read_openvino(target)), settings)
        return Int8(OnnxInt8(model.model, ir.from_proto(ir.to_proto(ir.load(target)))), settings)

    def _damage(self, engine: EngineName, int8: Int8) -> float:
        path = self._folder / f"candidate{_ending(engine)}"
        int8.quantized.save(path)
        probes = self._probes_of(engine)
        try:
            return probes.damage(probes.run(path, self._runner(engine)))
        except EngineError:
            return math.inf

    def _probes_of(self, engine: EngineName) -> Probes:
        if engine not in self._probes:
            runner = self._runner(engine)
            self._probes[engine] = Probes(self._probe_pixels, self._float_file(engine), runner)
        return self._probes[engine]

    def _runner(self, engine: EngineName) -> Runner:
        if self._scorer is None:
            return Runner(engine, self._plan.threads)
        path = self._folder / f"scorer{_ending(engine)}"
        if not path.exists():
            self._scorer.save(engine, path)
        return Runner(engine, self._plan.threads, path)

    def _float_file(self, engine: EngineName) -> Path:
        path = self._folder / f"float{_ending(engine)}"
        if path.exists():
            return path
        self._models[engine].save(engine, path)
        return path


@contextmanager
def open_quantizer(
    models: Mapping[EngineName, FloatModel], plan: Plan, scorer: FloatModel | None = None
) -> Iterator[Quantizer]:
    """Quantizes the float graph that ``models`` has for each engine, in a temporary folder.

    ``scorer``: the second stage, where the graph is an extractor.
    """
    with TemporaryDirectory(prefix="edge-ad-") as folder:
        yield Quantizer(models, plan, Path(folder), scorer)


def _most_floats(graph: QuantizedGraph, share: float) -> int:
    """How many layers of a mixed form may be in float: all sums and this share of the others, but not all."""
    layers, sums = len(graph.layers), len(graph.sums)
    return min(sums + int(share * (layers - sums)), layers - 1)


def _with_separate_sums(model: FloatModel) -> FloatModel:
    """The same where NNCF can read every sum, else a graph of its own."""
    graph = model.model.clone()
    return FloatModel(graph) if SeparateSumsPass()(graph).modified else model


def _is_quantized(model: ir.Model) -> bool:
    return any("DequantizeLinear" in node.op_type or "QLinear" in node.op_type for node in model.graph)


def _ending(engine: EngineName) -> str:
    return ".xml" if engine == "openvino" else ".onnx"


def _read_openvino(path: Path) -> Any:
    # Without memory mapping, as the file is written again by the next candidate.
    return load_openvino().Core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
