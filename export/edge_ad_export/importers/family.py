"""Which of anomalib's models a graph is, told by the names of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad_export.embedded import embedded_model, find_embedded

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["find_family", "weight_names"]

# Names that only one of anomalib's models gives its weights.
_FAMILIES = {
    "memory_bank": "patchcore",
    "gaussian.inv_covariance": "padim",
    "student_model.": "stfpm",
    "teacher.conv": "efficientad",
    "fast_flow_blocks": "fastflow",
}


def find_family(model: ir.Model) -> str:
    """The family, ``anomalib`` where nothing tells."""
    names = weight_names(model)
    return next((family for part, family in _FAMILIES.items() if any(part in name for name in names)), "anomalib")


def weight_names(model: ir.Model) -> tuple[str, ...]:
    """The names of the constants, those of an embedded model among them."""
    node = find_embedded(model)
    inside = [] if node is None else embedded_model(node).get_ops()
    constants = (op.get_friendly_name() for op in inside if op.get_type_name() == "Constant")
    return (*model.graph.initializers, *constants)
