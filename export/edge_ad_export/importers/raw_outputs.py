"""Finds the raw score and map behind the normalisation that anomalib's post-processor leaves in a graph.

In ONNX it is ``clip((raw - threshold) / range + 0.5, 0, 1)``, written in one of many ways: any clamp to 0..1 of an
affine function of one value is taken away. What changes no order (casts, reshapes, identities) is walked through.
OpenVINO's converter multiplies the kernel of a blur by the scale where one comes before the normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnxscript import optimizer

from edge_ad_export.graph.embedded import embed, embedded_model, find_embedded
from edge_ad_export.graph.libraries import load_openvino, quiet_logs
from edge_ad_export.graph.match import read_array
from edge_ad_export.importers.raw_search import (
    Chain,
    OnnxReader,
    OpenVinoReader,
    find_chain,
    find_clamp,
    may_be_clamped,
)

if TYPE_CHECKING:
    from edge_ad_export.model.imported import Provenance

__all__ = ["RawOutput", "RawOutputs", "find_raw", "find_raw_outputs", "removed"]


@dataclass(frozen=True)
class RawOutput:
    """A score or map before normalisation.

    Attributes:
        name: of the raw value in the graph.
        threshold: the constant that was subtracted; ``None`` without normalisation, or where it is not finite.
        range: the constant that was divided by; ``None`` likewise.
        found: whether there was a normalisation, which the value lies before.
        exact: whether it was written as anomalib writes it.
        clamp: what keeps the value in a range, such as ``Clip to 0..1``; ``None`` where nothing does.
    """

    name: str
    threshold: float | None = None
    range: float | None = None
    found: bool = False
    exact: bool = False
    clamp: str | None = None

    @classmethod
    def of(cls, chain: Chain, name: str) -> RawOutput:
        return cls(name, _finite(chain.threshold), _finite(chain.range), found=True, exact=chain.exact)


@dataclass(frozen=True)
class RawOutputs:
    """``model``: the graph, with the raw values among its values; ``raw``: by the name of the normalised output."""

    model: ir.Model
    raw: Mapping[str, RawOutput]

    def as_named(self, model: ir.Model) -> RawOutputs:
        """The outputs of ``model`` as they are, with the clamps that they lie behind."""
        clamped = {
            name: RawOutput(name, clamp=raw.clamp or ("to 0..1" if raw.found else None))
            for name, raw in self.raw.items()
        }
        return RawOutputs(model, clamped)

    def warnings(self) -> tuple[str, ...]:
        """What a user should know of these values: those that stay in a range, and those on different scales."""
        lines = [
            f"{raw.name} is clamped ({raw.clamp}): images beyond the end of the range get equal scores; name the value "
            "before it with --score-output or --map-output"
            for raw in self.raw.values()
            if raw.clamp
        ]
        found = {name for name, raw in self.raw.items() if raw.found}
        if found and (rest := sorted(self.raw.keys() - found)):
            lines.append(
                f"the normalisation of {', '.join(sorted(found))} was taken away, and {', '.join(rest)} has none that "
                "is known: the two may have different scales"
            )
        return tuple(lines)


def find_raw_outputs(model: ir.Model, outputs: Sequence[str]) -> RawOutputs:
    """The raw values behind these outputs. The model given is not changed.

    Taken away are a clamp to [0, 1], the affine step before it and the branches around them, nothing else: any other
    arithmetic belongs to the model. An output without them is raw already, as with ``post_processor=False``.
    """
    node = find_embedded(model)
    return _in_onnx(model, outputs) if node is None else _in_openvino(model, node, outputs)


def find_raw(output: ir.Value) -> RawOutput:
    """Walks back from an output to the value that was normalised; constants must be folded. See :class:`RawOutput`."""
    chain = find_chain(OnnxReader(), output)
    if chain is None:
        return RawOutput(str(output.name), clamp=find_clamp(OnnxReader(), output))
    return RawOutput.of(chain, str(chain.raw.name))


def removed(score: RawOutput | None, anomaly_map: RawOutput | None) -> Provenance:
    """The constants of the normalisation that was taken away."""
    constants: dict[str, str | int | float | bool | None] = {}
    for what, raw in (("image", score), ("pixel", anomaly_map)):
        constants[f"baked_{what}_threshold"] = raw.threshold if raw else None
        constants[f"baked_{what}_range"] = raw.range if raw else None
    return constants


def _in_onnx(model: ir.Model, outputs: Sequence[str]) -> RawOutputs:
    """The values are found on a copy with folded constants, which keeps their names."""
    known = ir.convenience.create_value_mapping(model.graph)
    if not any(may_be_clamped(known[name]) for name in outputs):
        return RawOutputs(model, {name: RawOutput(name) for name in outputs})
    copy = model.clone()
    with quiet_logs("onnx_ir", "onnxscript"):
        common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
        optimizer.fold_constants(copy)
    known = ir.convenience.create_value_mapping(copy.graph)
    chains = {name: find_chain(OnnxReader(), known[name]) for name in outputs}
    raw = {name: find_raw(known[name]) for name in outputs}
    moved = {name: chain for name, chain in chains.items() if chain is not None and chain.moves}
    if moved:
        model = model.clone()
        for name, chain in moved.items():
            raw[name] = RawOutput.of(chain, _put_back(model.graph, chain, f"{name}_raw"))
    return RawOutputs(model, raw)


def _put_back(graph: ir.Graph, chain: Chain, name: str) -> str:
    """What moved numbers behind the normalisation comes behind the raw value instead; the name of the result."""
    known = ir.convenience.create_value_mapping(graph)
    value = known[str(chain.raw.name)]
    steps = [node for node in chain.path if node.op_type not in ("Cast", "Identity")]
    for index, step in enumerate(steps):
        others = [_known_again(graph, known, other, f"{name}_{index}_{i}") for i, other in enumerate(step.inputs[1:])]
        out = ir.val(f"{name}_{index}", value.dtype)
        node = ir.Node(step.domain, step.op_type, [value, *others], list(step.attributes.values()), outputs=[out])
        graph.append(node)
        value = out
    value.name = name
    return name


def _known_again(graph: ir.Graph, known: Mapping[str, ir.Value], value: ir.Value | None, name: str) -> ir.Value | None:
    """What a node of the folded copy takes beside the value, in the graph itself: names of folded nodes differ."""
    array = None if value is None else read_array(value)
    if value is None or array is None:
        return None if value is None else known[str(value.name)]
    constant = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(constant)
    return constant


def _in_openvino(model: ir.Model, node: ir.Node, outputs: Sequence[str]) -> RawOutputs:
    """A copy of the graph that has the raw values as outputs too, named ``<output>_raw``."""
    graph = embedded_model(node).clone()
    names = [str(value.name) for value in node.outputs]
    ports = {name: graph.outputs[names.index(name)].get_node().input_value(0) for name in outputs}
    reader = OpenVinoReader()
    chains = {name: find_chain(reader, port) for name, port in ports.items()}
    raw: dict[str, RawOutput] = {}
    for name, chain in chains.items():
        if chain is None:
            raw[name] = RawOutput(name, clamp=find_clamp(reader, ports[name]))
        else:
            _add_output(graph, f"{name}_raw", chain, ports[name])
            raw[name] = RawOutput.of(chain, f"{name}_raw")
    for index, name in enumerate(names):  # an output that had no name is called as the graph calls it here
        if not graph.outputs[index].names:
            graph.outputs[index].get_tensor().set_names({name})
    made = embed(graph)
    for value, name in zip(made.graph.outputs, names, strict=False):
        value.name = name
    return RawOutputs(_in_its_place(model, made), raw)


def _in_its_place(model: ir.Model, made: ir.Model) -> ir.Model:
    """The graph with another embedded model in the place of its own, all of whose outputs are the graph's."""
    found, new = find_embedded(model), find_embedded(made)
    if found is None or new is None or found.inputs[0] is model.graph.inputs[0]:
        return made
    shell = model.clone()
    old = find_embedded(shell)
    if old is None:
        raise AssertionError("a copy has what the original has")
    made.graph.outputs.clear()
    made.graph.remove(new)
    new.replace_input_with(0, old.inputs[0])
    shell.graph.insert_before(old, new)
    shell.graph.outputs[:] = new.outputs
    shell.graph.remove(old)
    return shell


def _add_output(graph: Any, name: str, chain: Chain, behind: Any) -> None:
    """``behind``: the output's own port, behind what moved numbers after the normalisation."""
    opset = load_openvino().opset15
    port = chain.raw
    if chain.inside != 1.0:
        port = opset.multiply(port, port.get_element_type().to_dtype().type(1 / chain.inside)).output(0)
    if chain.moves:
        entry = chain.path[0].input(0)
        wanted = entry.get_element_type()
        if port.get_element_type() != wanted:
            port = opset.convert(port, wanted).output(0)
        entry.replace_source_output(port)
        # A node of its own keeps the name of the output where it is.
        port = opset.reshape(behind, opset.shape_of(behind), special_zero=False).output(0)
    result = opset.result(port)
    port.get_tensor().set_names({name})
    graph.add_results([result])


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
