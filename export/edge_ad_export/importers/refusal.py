"""Options that contradict what a file says of itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import TYPE_CHECKING

from edge_ad.errors import ModelError

if TYPE_CHECKING:
    from edge_ad_export.imported import ImportOptions

__all__ = ["refuse_options"]


def refuse_options(options: ImportOptions, applicable: Collection[str], reason: str) -> None:
    """Raises :class:`ModelError` that names every option given but the ``applicable`` ones."""
    given = [f.name for f in fields(options) if f.name != "head" and getattr(options, f.name) is not None]
    if options.head is not None:
        given += [*options.head.given(), *(["family"] if options.head.family else [])]
    if refused := sorted(set(given) - {"importer", *applicable}):
        names = ", ".join("--" + name.replace("_", "-") for name in refused)
        raise ModelError(f"{names} does not apply: {reason}; leave it out, or say --importer onnx")
