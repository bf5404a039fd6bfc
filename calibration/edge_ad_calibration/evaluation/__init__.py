"""How good a bundle is on labelled data: the metrics of the field, at the threshold that the device will use.

Names are loaded when they are first used: the command line must not load scipy and scikit-learn for its help.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_calibration.evaluation.evaluate import Evaluated, EvaluationRequest, evaluate_bundle
    from edge_ad_calibration.evaluation.evaluation_page import evaluation_page

__all__ = [
    "Evaluated",
    "EvaluationRequest",
    "evaluate_bundle",
    "evaluation_page",
]

_HOMES = {
    "Evaluated": "evaluate",
    "EvaluationRequest": "evaluate",
    "evaluate_bundle": "evaluate",
    "evaluation_page": "evaluation_page",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad_calibration.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edge_ad_calibration.evaluation.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
