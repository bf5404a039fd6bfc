"""From a bundle's variant to a scorer: geometry and engine, checked against the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge_ad.bundle import Bundle, Manifest, Variant
from edge_ad.engines import EngineOptions, Extractor, open_engine, open_extractor
from edge_ad.errors import BundleFormatError, EngineError, GoldenError
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.golden import Replay, replay
from edge_ad.scoring.scorer import Scorer

__all__ = ["describe_choice", "open_proven_scorer", "open_scorer"]


def open_proven_scorer(
    bundle: Bundle, variant: Variant, options: EngineOptions | None = None
) -> tuple[Scorer, tuple[Replay, ...]]:
    """As :func:`open_scorer`, and its golden frames replayed.

    A kept compiled model that gives other scores is deleted, and the variant is compiled again. What was compiled is
    kept after the golden frames only: one that gives other scores must not take the room of one that scores.

    Raises:
        GoldenError: this device gives other scores or maps.
    """
    scorer = open_scorer(bundle, variant, options)
    try:
        replays = replay(bundle, variant, scorer)
        scorer.keep_compiled()
    except GoldenError:
        used = [info.compiled for info in scorer.engines if info.compiled is not None]
        scorer.close()
        if not used or options is None:
            raise
        options = options if _deleted(used) else replace(options, cache_dir=None)
    except BaseException:
        scorer.close()
        raise
    else:
        return scorer, replays
    return open_proven_scorer(bundle, variant, options)


def _deleted(files: list[Path]) -> bool:
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError:  # a folder that may only be read
        return False
    return True


def open_scorer(bundle: Bundle, variant: Variant, options: EngineOptions | None = None) -> Scorer:
    """Opens the geometry and the engine of a variant, without thresholds and without the self-test.

    Raises:
        BundleFormatError: the model, the extractor or the ignore mask does not fit the manifest.
        MissingExtraError: the variant's engine is not installed.
        EngineError: the engine refuses the model.
    """
    manifest = bundle.manifest
    mask = None
    if manifest.geometry.ignore is not None:
        data = np.frombuffer(bundle.read(manifest.geometry.ignore), np.uint8)
        mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise BundleFormatError(f"{manifest.geometry.ignore} of {bundle.path} is no image")
        mask = mask.astype(np.uint8, copy=False)
    preprocessor = Preprocessor(manifest.geometry, manifest.input, mask, map_size=variant.map)
    try:
        engine = open_engine(variant.engine, bundle.artefact(variant), options, precision=variant.precision)
    except EngineError as error:
        if variant.min_runtime is None:
            raise
        raise EngineError(f"{error}; this variant was made for {variant.engine} {variant.min_runtime}") from None
    extractor: Extractor | None = None
    try:
        extractor = _open_extractor(bundle, variant, options)
        vector = manifest.input.width if extractor is None else extractor.features.size
        found, expected = engine.input.shape[1:], _input_shape(manifest, vector)
        if found != expected:
            raise BundleFormatError(f"{variant.model} of {bundle.path} takes {found}, its manifest says {expected}")
    except BaseException:
        engine.close()
        if extractor is not None:
            extractor.close()
        raise
    if manifest.geometry.level == "object":
        from edge_ad.scoring.objects import ObjectScorer

        return ObjectScorer(preprocessor, engine)
    if manifest.clip is None:
        return Scorer(preprocessor, engine)
    from edge_ad.scoring.clip_scorer import ClipScorer

    return ClipScorer(preprocessor, engine, manifest.clip, extractor)


def describe_choice(
    bundle: Bundle, variant: Variant, *, is_first: bool, is_calibrated: bool, is_tested: bool = True
) -> str | None:
    """Why this device scores with ``variant``, where none was named: the sentence of every command, and of the log.

    ``is_first``: it is the first of :meth:`Bundle.choices`. Of a bundle for one kind of CPU nothing is said then.
    ``is_tested``: its golden frames were replayed.
    """
    if is_first and bundle.target is None:
        return None
    kind = "" if bundle.target is None else f" for this kind of CPU ({bundle.target})"
    proof = " whose golden frames agree here" if is_tested else "; its golden frames were not checked"
    calibrated = "calibrated " if is_calibrated else ""
    return f"{variant.id} scores: it is the fastest {calibrated}variant{kind}{proof}"


def _open_extractor(bundle: Bundle, variant: Variant, options: EngineOptions | None) -> Extractor | None:
    artefact, manifest = bundle.extractor(variant), bundle.manifest
    if artefact is None or manifest.clip is None:
        return None
    size, snippet = manifest.input, manifest.clip.snippet
    expected = (*([] if snippet == 1 else [snippet]), size.height, size.width, size.channels)
    extractor = open_extractor(variant.engine, artefact, options, precision=variant.precision)
    found = extractor.input.shape[1:]
    if found != expected:
        extractor.close()
        raise BundleFormatError(f"{variant.extractor} of {bundle.path} takes {found}, its manifest says {expected}")
    return extractor


def _input_shape(manifest: Manifest, vector: int) -> tuple[int, ...]:
    """The input shape of this bundle's graph for one image or clip. ``vector``: the length of its vectors, if any."""
    size, clip = manifest.input, manifest.clip
    if clip is None:
        return size.height, size.width, size.channels
    if clip.input == "features":
        return clip.length, vector
    return clip.length, size.height, size.width, 2 if clip.input == "flow" else size.channels
