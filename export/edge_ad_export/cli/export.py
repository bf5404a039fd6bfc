"""``edge-ad export``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from edge_ad.cli.group import stopped_like_ctrl_c
from edge_ad.cli.option_groups import command
from edge_ad.cli.options import as_json, echo_json
from edge_ad.cli.progress import progress_bar
from edge_ad_export.cli.clip_options import CLIPS, EXTRACTOR, check_clip
from edge_ad_export.cli.family_options import HEAD
from edge_ad_export.cli.geometry_options import GEOMETRY
from edge_ad_export.cli.model_options import IMPORTING, REQUEST
from edge_ad_export.cli.variant_options import GATE, SHRINK

if TYPE_CHECKING:
    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.importers.extractor import ExtractorOptions
    from edge_ad_export.model.clip_spec import ClipOptions
    from edge_ad_export.model.head_options import HeadOptions
    from edge_ad_export.model.imported import ImportOptions
    from edge_ad_export.model.shrink import Shrink
    from edge_ad_export.request import ExportRequest
    from edge_ad_export.samples.geometry import GeometryOptions

__all__ = ["export"]


@command(
    request=REQUEST,
    importing=IMPORTING,
    head=HEAD,
    clip=CLIPS,
    extractor=EXTRACTOR,
    geometry=GEOMETRY,
    gate=GATE,
    shrink=SHRINK,
)
@as_json
def export(
    *,
    request: ExportRequest,
    importing: ImportOptions,
    head: HeadOptions,
    clip: ClipOptions,
    extractor: ExtractorOptions | None,
    geometry: GeometryOptions,
    gate: Gate,
    shrink: Shrink,
    as_json: bool,
) -> None:
    """Turn a trained MODEL into a bundle for the device.

    The bundle holds variants of the model for ONNX Runtime and OpenVINO in several precisions. They give raw scores
    and anomaly maps: clamps and thresholds in the model are taken away. Each variant is measured against the model
    itself on normal images, and only those that agree closely enough are written. The fastest of these is the default.

    MODEL is an ONNX file, an OpenVINO IR, a TFLite, TensorFlow, Paddle or PyTorch model, or a folder that holds one.
    It may be an export of anomalib or AnomaVision, or any model from one image to a score, an anomaly map or features.
    """
    from edge_ad_export.export import export_bundle
    from edge_ad_export.pages.variant_table import format_table, target_lines

    described = head.family is not None or head.given()
    importing = replace(importing, head=head if described else None, clip=check_clip(clip, head.family))
    asked = replace(request, importing=importing, extractor=extractor, geometry=geometry, gate=gate, shrink=shrink)
    with stopped_like_ctrl_c():
        result = export_bundle(asked, _say, lambda label, frames: progress_bar(label, unit="frames")(frames))
    manifest = result.bundle.manifest
    if as_json:
        echo_json(
            {
                "bundle": str(result.bundle.path),
                "default_variant": manifest.default_variant,
                "targets": manifest.orders,
                "trials": manifest.trials,
                "provenance": manifest.provenance,
            }
        )
        return
    written = [variant.id for variant in manifest.variants]
    click.echo(format_table(manifest.trials, manifest.default_variant, manifest.provenance, written))
    blocks = ("\n".join(target_lines(manifest)), f"written: {result.bundle.path}")
    click.echo("\n" + "\n\n".join(filter(None, blocks)))
    objects = " --objects FILE.csv" if manifest.geometry.level == "object" else ""
    click.echo(f"next:    edge-ad calibrate {result.bundle.path} --normal FOLDER{objects}")


def _say(line: str) -> None:
    # In a terminal a progress bar may stand on the line where the cursor is.
    click.echo(f"\r\033[K{line}" if sys.stderr.isatty() else line, err=True)
