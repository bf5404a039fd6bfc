"""The options of ``edge-ad export`` that concern variants and what they must reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_ad.cli.options import add_options

__all__ = ["gate_options", "variant_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

_GATE_OPTIONS = (
    click.option(
        "--min-spearman",
        type=click.FloatRange(-1, 1),
        default=0.99,
        show_default=True,
        help="Rank correlation with the imported model's scores that a variant must reach, over the given images and "
        "copies of them with a synthetic defect.",
    ),
    click.option(
        "--min-map-correlation",
        type=click.FloatRange(-1, 1),
        default=0.99,
        show_default=True,
        help="Correlation with the imported model's map that a variant must reach on every one of these images.",
    ),
    click.option(
        "--max-aupimo-loss",
        "max_aupimo_lost",
        type=click.FloatRange(0, 1),
        default=0.01,
        show_default=True,
        help="AUPIMO, what maps mark of the synthetic defects at few false alarms, that a variant may lose.",
    ),
    click.option(
        "--max-auc-loss",
        "max_roc_auc_lost",
        type=click.FloatRange(0, 1),
        default=0.005,
        show_default=True,
        help="ROC-AUC that a variant may lose on the synthetic defects, and on the labelled images.",
    ),
    click.option(
        "--max-more-false-rejects",
        type=click.FloatRange(0, 1),
        default=0.05,
        show_default=True,
        help="Part of the normals that a variant may reject more than the imported model, both calibrated anew.",
    ),
    click.option(
        "--labelled",
        type=click.Path(path_type=Path),
        help="Folder of labelled images, good/ and one a type of defect: judges variants by real anomalies too.",
    ),
)

_VARIANT_OPTIONS = (
    click.option(
        "--effort",
        type=click.Choice(["low", "normal", "high"]),
        default="normal",
        show_default=True,
        help="How hard to look for an int8 variant: low tries one way only, high all calibrators and presets.",
    ),
    click.option(
        "--target",
        "target_cpu",
        type=click.Choice(["this", "x86-avx2", "x86-vnni", "arm64"]),
        default="this",
        show_default=True,
        help="The kind of CPU that int8 variants are made for. Latency is measured on this machine only.",
    ),
    click.option(
        "--report",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write a page (HTML) there: all variants, their scores, maps, latency and size.",
    ),
)


def gate_options(function: _F) -> _F:
    """Adds what a variant must reach, and on which images."""
    return add_options(function, _GATE_OPTIONS)


def variant_options(function: _F) -> _F:
    """Adds how variants are looked for."""
    return add_options(function, _VARIANT_OPTIONS)
