"""How many images there is time for: a model that takes seconds for each is measured on fewer of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edge_ad.errors import InputError, counted
from edge_ad_export.samples.defects import DEFECTS_MOST
from edge_ad_export.samples.split import judge_with_all, share_of_quantizer, split_images
from edge_ad_metrics.sampling import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_ad_export.lowering.recipes import Recipe
    from edge_ad_export.preparation.prepare import Setup
    from edge_ad_export.request import ExportRequest

__all__ = ["LEAST_IMAGES", "fit_into_minutes", "most_images"]

LEAST_IMAGES: Final = 20
"""With fewer the order of the scores is decided by chance, so that the time is exceeded instead."""

# A quantizer runs the model on what it sees, once for the ranges and once for the biases, and the search of layers has
# 40 frames to look at.
_QUANTIZER_RUNS, _PROBES = 2, 40


def most_images(given: int, runs: Callable[[int], int], run_s: float, budget_s: float) -> int:
    """How many of the ``given`` images there is time for, not fewer than :data:`LEAST_IMAGES` where there are so many.

    ``runs``: how often the model runs for so many images. ``run_s``: seconds for one of them.
    """
    if runs(given) * run_s <= budget_s:
        return given
    low, high = min(LEAST_IMAGES, given), given
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if runs(middle) * run_s <= budget_s else (low, middle - 1)
    return low


def fit_into_minutes(
    setup: Setup, request: ExportRequest, recipes: Sequence[Recipe], labelled: int
) -> tuple[Setup, str | None]:
    """The same with as many images as there is time for, evenly spaced, and a line where some are left out.

    Taken for granted is that every variant takes as long as the imported model, as it does at worst. ``labelled``: how
    many images are scored besides, all of them. Of a two-stage model only the scorer's time is known.

    Raises:
        InputError: too few parts are among the images that are left.
    """
    int8 = sum(recipe.precision == "int8" for recipe in recipes)
    tiles = setup.preprocessor().layout(next(iter(setup.images))).tiles if setup.clip is None else 1

    def runs(count: int) -> int:
        """Of the model, for so many images."""
        shown = share_of_quantizer(count) if request.asks_for_int8 else 0
        judging = count - shown
        scored = judging + min(judging, DEFECTS_MOST) + labelled
        return tiles * (1 + len(recipes)) * scored + int8 * (_QUANTIZER_RUNS * 2 * shown + _PROBES)

    given = len(setup.images)
    count = most_images(given, runs, setup.run_s, 60 * request.max_minutes)
    if count == given:
        return setup, None
    run = f"{setup.run_s:.1f} s" if setup.run_s >= 0.1 else f"{setup.run_s * 1e3:.2f} ms"
    line = (
        f"one run of the model takes {run}: {counted(count, 'image')} of {given} are used, so that "
        f"measuring takes about {counted(max(round(runs(count) * setup.run_s / 60), 1), 'minute')} (--max-minutes)"
    )
    images = setup.images.chosen(evenly_spaced(given, count))
    split_up = split_images if request.asks_for_int8 else judge_with_all
    try:
        return replace(setup, images=images, split=split_up(images, request.part_by)), line
    except InputError as error:
        raise InputError(
            f"{error}; these are the {count} of {counted(given, 'image')} for which --max-minutes "
            f"{request.max_minutes:g} leaves time: raise it"
        ) from error
