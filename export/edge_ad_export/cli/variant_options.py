"""The options of ``edge-ad export`` about what a variant must reach, and about smaller heads."""

from __future__ import annotations

import click

from edge_ad.cli.option_groups import OptionGroup, option

__all__ = ["GATE", "SHRINK"]

GATE = OptionGroup(
    "What a variant must reach",
    "edge_ad_export.fidelity.gate:Gate",
    (
        option(
            "--min-spearman",
            type=click.FloatRange(-1, 1),
            metavar="R",
            help="The smallest rank correlation between the scores of the variant and those of the model. It is "
            "measured over images that the quantizer was not shown and copies of them with a synthetic defect, and the "
            "lower end of its interval must reach this.",
        ),
        option(
            "--min-map-correlation",
            type=click.FloatRange(-1, 1),
            metavar="R",
            help="The smallest correlation between the anomaly maps of the variant and those of the model. Every image "
            "must reach it.",
        ),
        option(
            "--max-auc-loss",
            into="max_roc_auc_lost",
            type=click.FloatRange(0, 1),
            metavar="X",
            help="The largest ROC-AUC that the variant may lose against the model, on synthetic defects and on the "
            "labelled images.",
        ),
        option(
            "--max-aupimo-loss",
            into="max_aupimo_lost",
            type=click.FloatRange(0, 1),
            metavar="X",
            help="The largest AUPIMO that the variant may lose against the model on synthetic defects. AUPIMO says how "
            "much of a defect the anomaly map marks while there are few false alarms.",
        ),
        option(
            "--max-more-false-rejects",
            type=click.FloatRange(0, 1),
            metavar="SHARE",
            help="The largest share of normal images that the variant may reject in addition to those that the model "
            "rejects, when both are calibrated anew.",
        ),
    ),
)

SHRINK = OptionGroup(
    "Smaller and faster heads, with other scores",
    "edge_ad_export.model.shrink:Shrink",
    (
        option(
            "--coreset",
            type=int,
            metavar="N",
            help="Memory bank: keep only N vectors. The scores change, and the table shows how much.",
        ),
        option(
            "--project",
            type=int,
            metavar="K",
            help="Memory bank: search it in K dimensions instead of all. The scores change, and the table shows how "
            "much.",
        ),
        option(
            "--energy",
            type=float,
            metavar="SHARE",
            help="Gaussian models such as PaDiM: keep this share of the energy of the whitening and drop the other "
            "directions. The scores change if it is below 1.",
        ),
    ),
)
