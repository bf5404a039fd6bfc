"""The kinds of fields that a bundle's records are made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["Identifier", "Offset", "Pixels", "Probability", "Record", "Sha256", "Sha256Start"]

Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Sha256Start = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{12}$")]
"""The first digits of a SHA-256: enough to find an image again among a hundred thousand."""
Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen; an unknown field is refused."""
