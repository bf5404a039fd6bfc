"""An export as a page."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from edge_ad_export.fidelity.evaluation import EvaluationData
from edge_ad_export.fidelity.examples import choose_examples, example_galleries
from edge_ad_export.pages.agreement_charts import bar_chart, scatter_chart
from edge_ad_export.pages.variant_table import SOURCE, change_text, figure_text, source_figures, target_lines
from edge_ad_export.variants.result import NOISE
from edge_ad_metrics.machine import describe_cpu
from edge_ad_report import Fact, Facts, Note, Page, Section, Table, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad.bundle import Manifest
    from edge_ad.bundle.records import Fidelity, LabelledFidelity
    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.preparation.prepare import Setup
    from edge_ad_export.variants.result import VariantResult
    from edge_ad_report import Chart, Gallery

__all__ = ["export_page"]

_IMPORTED = "the imported model"
_SHOWN_MAX = 3


def export_page(setup: Setup, results: Sequence[VariantResult], manifest: Manifest, gate: Gate, root: Path) -> Page:
    """The table of all variants, scores against the imported model's, maps, latency and size. ``root``: where the
    shipped variants lie."""
    measured = [one for one in results if one.agreement is not None]
    default = next(one for one in measured if one.recipe.id == manifest.default_variant)
    sections = [
        Section(
            "Variants",
            (
                _table(results, manifest),
                Text(_COLUMNS),
                *_labelled_table(results),
                *_remarks(results),
                Text(_gate_text(gate)),
                Text(_speed_text(manifest)),
            ),
        ),
        Section("Latency and size", _bars(measured, manifest.default_variant)),
        Section(
            "Scores against the imported model's",
            tuple(scatter_chart(one.recipe.id, _IMPORTED, one.agreement) for one in measured if one.agreement),
        ),
        Section("The same frames", (Text(_EXAMPLES), *_examples(setup, results, default, root))),
    ]
    return Page(
        title=f"Export of {manifest.name}",
        subtitle=" · ".join(
            (
                manifest.created[:10],
                f"version {manifest.version}",
                manifest.family,
                str(manifest.provenance.get("source")),
            )
        ),
        lead=(_facts(default), *_target_note(manifest)),
        sections=tuple(sections),
        footer=f"Written by {manifest.producer} at {manifest.created}. Latencies measured on: {describe_cpu().model}.",
    )


_EXAMPLES = (
    "On the left is the frame, then the frame with the map of each model. All maps of a frame have the colour scale of "
    "the imported model's map. Synthetic defects are outlined in cyan."
)


def _facts(default: VariantResult) -> Facts:
    found = default.fidelity
    if found is None:
        raise AssertionError("the default variant was measured")
    return Facts(
        (
            Fact("Default variant", default.recipe.id, default.made or ""),
            Fact("Latency", f"{found.latency_ms:.2f} ms", "engine alone"),
            Fact("Size", f"{found.size_bytes / 1e6:.1f} MB"),
            Fact(
                "Rank correlation", f"{found.spearman:.4f}", f"over {found.images} normals and {found.defects} defects"
            ),
            Fact("ROC-AUC change", change_text(found.roc_auc_lost), "on synthetic defects"),
        )
    )


def _target_note(manifest: Manifest) -> tuple[Note, ...]:
    target = manifest.provenance.get("target_cpu")
    if target == "this":
        return ()
    takes = "".join(f" {line[0].upper()}{line[1:]}." for line in target_lines(manifest))
    return (Note(f"Made for {target}: the latencies on this page were not measured there.{takes}", "warning"),)


_HEAD = (
    "Variant", "Verdict", "Latency, ms", "Size, MB", "Rank corr.", "At least", "of normals", "Worst map", "AUC change",
    "AUPIMO change", "Rejects",
)  # fmt: skip


def _table(results: Sequence[VariantResult], manifest: Manifest) -> Table:
    rows = tuple(_row(one, manifest) for one in results)
    if (source := source_figures(manifest.provenance)) is not None:
        figures = (source.latency.removesuffix(" ms"), source.size.removesuffix(" MB"))
        rows += ((f"{SOURCE}: {source.name}", "not shipped", *figures, *("-",) * (len(_HEAD) - 4)),)
    return Table(head=_HEAD, rows=rows, text_columns=2)


def _row(one: VariantResult, manifest: Manifest) -> tuple[str, ...]:
    is_written = one.recipe.id in {variant.id for variant in manifest.variants}
    verdict = "default" if one.recipe.id == manifest.default_variant else "shipped"
    if one.rejected:
        verdict = "rejected, but written" if is_written else "rejected"
    return (one.recipe.id, verdict, *(("-",) * (len(_HEAD) - 2) if one.fidelity is None else _cells(one.fidelity)))


def _labelled_table(results: Sequence[VariantResult]) -> tuple[Table, ...]:
    rows = tuple(
        (one.recipe.id, *_labelled_cells(one.fidelity.labelled))
        for one in results
        if one.fidelity and one.fidelity.labelled
    )
    head = ("Variant", "ROC-AUC", "AUC change", "Average precision", "Pixel AUC", "AUPIMO", "AUPIMO change")
    return (Table(head=head, rows=rows, caption="On the labelled images"),) if rows else ()


def _remarks(results: Sequence[VariantResult]) -> tuple[Table, ...]:
    """How variants were quantized, and why some were left out."""
    rows = tuple((one.recipe.id, one.made or "-", one.rejected or "-") for one in results if one.made or one.rejected)
    return (Table(head=("Variant", "Made by", "Left out because"), rows=rows, text_columns=3),) if rows else ()


def _cells(found: Fidelity) -> tuple[str, ...]:
    rejects = found.more_false_rejects
    return (
        f"{found.latency_ms:.2f}",
        f"{found.size_bytes / 1e6:.1f}",
        f"{found.spearman:.4f}",
        figure_text(found.spearman_low),
        figure_text(found.spearman_normals),
        figure_text(found.map_correlation_min),
        change_text(found.roc_auc_lost),
        change_text(found.aupimo_lost),
        "-" if rejects is None else f"{rejects:+d}" if rejects else "0",
    )


def _labelled_cells(real: LabelledFidelity) -> tuple[str, ...]:
    return (
        figure_text(real.roc_auc),
        change_text(real.roc_auc_lost),
        figure_text(real.average_precision),
        figure_text(real.pixel_roc_auc),
        figure_text(real.aupimo),
        change_text(real.aupimo_lost),
    )


def _gate_text(gate: Gate) -> str:
    return (
        "Each variant is compared with the imported model, on normal images that the quantizer was not shown and on "
        "copies of them with a synthetic defect. It is shipped if the rank correlation of the scores, at the lower end "
        f"of its interval, is at least {gate.min_spearman:g}, if the "
        f"correlation of every map is at least {gate.min_map_correlation:g}, if the ROC-AUC is at most "
        f"{gate.max_roc_auc_lost:g} lower, if the AUPIMO is at most {gate.max_aupimo_lost:g} lower, and if at most "
        f"{100 * gate.max_more_false_rejects:g} % more of the normals are rejected when both are calibrated anew."
    )


def _speed_text(manifest: Manifest) -> str:
    if manifest.provenance.get("target_cpu") != "this":
        return "Latency decides nothing here, because it was not measured on the target."
    return (
        "A variant that is slower than a more precise one for the same engine is not shipped. An int8 variant must "
        f"also be faster or at least a tenth smaller. Differences under {100 * NOISE:g} % count as noise. The "
        "default is the fastest variant; if others are as fast within the noise, it is the smallest of them."
    )


_COLUMNS = (
    "Rank corr. is the rank correlation of the scores with those of the imported model, over all images that judge. At "
    "least is the lower end of its interval (95 % confidence). Then follows the correlation of the normals alone. "
    "Worst map is the correlation of the map that differs most. AUC and AUPIMO change say how much higher (+) or lower "
    "(-) the figure is than the imported model's, on synthetic defects. Rejects is how many more (+) or fewer (-) "
    "normals are rejected."
)


def _bars(measured: Sequence[VariantResult], default: str) -> tuple[Chart, ...]:
    found = {one.recipe.id: one.fidelity for one in measured if one.fidelity}
    names = list(found)
    return (
        bar_chart(names, [f.latency_ms for f in found.values()], "ms", "Latency of the engine for one frame.", default),
        bar_chart(names, [f.size_bytes / 1e6 for f in found.values()], "MB", "Size of the model's files.", default),
    )


def _examples(
    setup: Setup, results: Sequence[VariantResult], default: VariantResult, root: Path
) -> tuple[Gallery, ...]:
    shipped = [default, *(one for one in reversed(results) if not one.rejected and one is not default)][:_SHOWN_MAX]
    if default.agreement is None:
        return ()
    data = EvaluationData(setup.split.judging, setup.defects())
    with ExitStack() as stack:
        scorers = {_IMPORTED: stack.enter_context(closing(setup.reference()))}
        for one in shipped:
            scorers[one.recipe.id] = stack.enter_context(closing(setup.scorer(one.recipe, root)))
        return example_galleries(choose_examples(data, default.agreement), scorers)
