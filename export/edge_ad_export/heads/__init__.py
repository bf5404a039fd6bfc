"""Heads: what makes a score and a map of features, reconstructions, likelihoods or class scores.

The trained model keeps its graph; the head of its family is composed into it at export, so that the device knows no
families. A new family is a module with a class that has ``OPTIONS`` and ``make``, follows
:class:`~edge_ad_export.model.head.Head`, and a line in :data:`FAMILIES`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

from edge_ad.errors import InputError

if TYPE_CHECKING:
    from edge_ad_export.heads.request import HeadRequest
    from edge_ad_export.model.head import Head, Unfitted

__all__ = ["FAMILIES", "make_head"]

FAMILIES = {
    "score": "edge_ad_export.heads.direct:ScoreHead",
    "map": "edge_ad_export.heads.direct:MapHead",
    "reconstruction": "edge_ad_export.heads.reconstruction:ReconstructionHead",
    "student-teacher": "edge_ad_export.heads.student_teacher:StudentTeacherHead",
    "flow": "edge_ad_export.heads.normalizing_flow:FlowHead",
    "gaussian": "edge_ad_export.heads.gaussian:GaussianHead",
    "memory-bank": "edge_ad_export.heads.memory_bank:MemoryBankHead",
    "one-class": "edge_ad_export.heads.one_class:OneClassHead",
    "next-frame": "edge_ad_export.heads.video:NextFrameHead",
    "clip-reconstruction": "edge_ad_export.heads.video:ClipReconstructionHead",
    "mil": "edge_ad_export.heads.video:SegmentHead",
}


_OF_CLIPS = {"next-frame", "clip-reconstruction", "mil"}
_OF_BOTH = {"score", "map"}


class _HeadClass(Protocol):
    OPTIONS: frozenset[str]

    def make(self, request: HeadRequest) -> Head | Unfitted: ...


def make_head(request: HeadRequest) -> Head | Unfitted:
    """The head of the request's family.

    Raises:
        InputError: no such family, an option that does not apply to it, or one that contradicts another.
        ModelError: the graph has no values that fit.
    """
    if request.family not in FAMILIES:
        raise InputError(f"no family {request.family!r}: choose from {', '.join(FAMILIES)}")
    clips = request.spec.clip is not None
    if clips != (request.family in _OF_CLIPS) and request.family not in _OF_BOTH:
        takes = _OF_CLIPS | _OF_BOTH if clips else FAMILIES.keys() - _OF_CLIPS
        raise InputError(
            f"--family {request.family} does not fit a model that takes {'clips' if clips else 'single images'}: "
            f"choose from {', '.join(sorted(takes))}"
        )
    kind = _load(request.family)
    _refuse_options(request, kind)
    made = kind.make(request)
    twice = [name for name in made.inputs if made.inputs.count(name) > 1]
    if twice:
        raise InputError(f"{twice[0]} is named twice: name every output once")
    return made


def _load(family: str) -> _HeadClass:
    module, _, attribute = FAMILIES[family].partition(":")
    found: _HeadClass = getattr(importlib.import_module(module), attribute)
    return found


def _refuse_options(request: HeadRequest, kind: _HeadClass) -> None:
    taken = {"score": {"score_output"}, "mil": {"score_output"}, "map": {"map_output"}}.get(request.family, set())
    outputs = [name for name in ("score_output", "map_output") if getattr(request.importing, name) is not None]
    wrong = [name for name in request.options.given() if name not in kind.OPTIONS]
    wrong += [name for name in outputs if name not in taken]
    if wrong:
        names = " and ".join("--" + name.replace("_", "-") for name in wrong)
        allowed = ", ".join("--" + name.replace("_", "-") for name in sorted(kind.OPTIONS | taken))
        raise InputError(f"{names}: does not apply to --family {request.family}, which takes {allowed}; leave it out")
