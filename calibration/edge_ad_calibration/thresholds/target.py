"""Reads a target that is written as a sentence: ``2 false rejects per 8 h shift at 1 part/s``."""

from __future__ import annotations

import re

from edge_ad.errors import InputError

__all__ = ["parse_target"]

_SECONDS = {"s": 1, "min": 60, "h": 3600, "day": 86_400}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_UNIT = "|".join(_SECONDS)
_SENTENCE = re.compile(
    rf"(?P<rejects>{_NUMBER}) false rejects? per (?:(?P<span>{_NUMBER}) ?)?(?P<unit>{_UNIT})(?: shift)?"
    rf" at (?P<parts>{_NUMBER}) parts?/(?P<pace>{_UNIT})"
)


def parse_target(sentence: str) -> float:
    """The false-reject rate that a sentence means: so many false rejects on average, over so many parts.

    The sentence is ``N false rejects per [T] UNIT [shift] at N part/UNIT``; units are ``s``, ``min``, ``h`` and
    ``day`` (24 h).

    Raises:
        InputError: the sentence is of another form, or means no rate between 0 and 1.
    """
    match = _SENTENCE.fullmatch(" ".join(sentence.split()))
    if match is None:
        raise InputError(
            f"the target {sentence!r} is not understood: expected words such as "
            f"'2 false rejects per 8 h shift at 1 part/s', with the units {', '.join(_SECONDS)}"
        )
    seconds = float(match["span"] or 1) * _SECONDS[match["unit"]]
    parts = seconds * float(match["parts"]) / _SECONDS[match["pace"]]
    rejects = float(match["rejects"])
    if not 0 < rejects < parts:
        raise InputError(
            f"the target {sentence!r} means {rejects:g} false rejects among {parts:g} parts: "
            "expected more than none and fewer than all"
        )
    return rejects / parts
