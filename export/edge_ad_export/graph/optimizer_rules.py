"""The rules of ``onnxscript``'s optimizer, asked only about nodes whose operation they are for.

The optimizer tries each of its rules on each node, and takes most of its time to find that the node is of another
operation than the one that the rule ends in. Here that is looked at first. What matches, and in what order, stays.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from onnxscript import rewriter

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

__all__ = ["index_optimizer_rules"]


@cache
def index_optimizer_rules() -> None:
    """Does it once a process. A rule whose inside is not as in the version that this was written for stays as it is."""
    for rule in getattr(rewriter, "_DEFAULT_REWRITE_RULES", ()):
        if (op_type := _last_operation(rule)) is not None:
            rule.try_rewrite = partial(_try_rewrite, rule.try_rewrite, op_type)


def _last_operation(rule: Any) -> str | None:
    """The operation of the node that the matcher begins with; ``None``: it may be several, or is not known."""
    try:
        identifier = rule._matcher.pattern.output_nodes[0].op_identifier()
    except (AttributeError, IndexError):
        return None
    return None if identifier is None else str(identifier[1])


def _try_rewrite(
    ask: Callable[..., Any], op_type: str, model: ir.Model, graph: ir.Graph, node: ir.Node, **options: Any
) -> Any:
    if node.op_type != op_type and options.get("tracer") is None:
        return None
    return ask(model, graph, node, **options)
