"""``edge-ad export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_ad.cli.options import as_json, echo_json
from edge_ad_export.cli.clip_options import clip_options, read_clip_options, read_extractor_options
from edge_ad_export.cli.head_options import head_options, read_head_options
from edge_ad_export.cli.model_options import geometry_options, import_options, model_argument, shrink_options
from edge_ad_export.cli.variant_options import gate_options, variant_options

if TYPE_CHECKING:
    from edge_ad_export.request import ExportRequest

__all__ = ["export"]


@click.command()
@model_argument
@click.option(
    "--images",
    required=True,
    metavar="PATH",
    help="Normal images: a folder, a file or a glob. 30 or more. For a model of clips: a video, a folder of "
    "frames, or an .npy file of vectors.",
)
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle to write, a new folder.",
)
@click.option("--force", is_flag=True, help="Replace the bundle that lies there.")
@click.option("--name", metavar="ID", help="Name of the bundle; that of the output folder otherwise.")
@click.option("--version-label", default="1", show_default=True, metavar="TEXT", help="Version of the bundle.")
@click.option("--variants", metavar="ID,ID", help="Variants to try, such as onnx-fp32,openvino-int8; all otherwise.")
@gate_options
@variant_options
@click.option(
    "--max-images",
    type=click.IntRange(min=3),
    default=100,
    show_default=True,
    help="Measure on at most so many images, evenly spaced.",
)
@click.option(
    "--engine-threads", type=click.IntRange(min=1), help="Threads of the engines; their own choice otherwise."
)
@import_options
@head_options
@clip_options
@geometry_options
@shrink_options
@as_json
def export(as_json: bool, **given: Any) -> None:
    """Turn a trained MODEL into a bundle.

    Finds the raw score and map in the model, takes away clamps and thresholds that were baked in, makes variants for
    ONNX Runtime and OpenVINO in several precisions, measures each of them on the given normal images against the
    model itself, and writes those that pass the gate. The fastest of them is the bundle's default.

    MODEL is an ONNX file, an OpenVINO IR, a TFLite, TensorFlow, Paddle or PyTorch model, or a folder that holds one:
    an export of anomalib or AnomaVision, or any graph from one image to a score, a map or features.
    """
    from edge_ad_export.export import export_bundle
    from edge_ad_export.pages.variant_table import format_table

    result = export_bundle(_request(given), notify=lambda line: click.echo(line, err=True))
    manifest = result.bundle.manifest
    if as_json:
        echo_json(
            {
                "bundle": str(result.bundle.path),
                "default_variant": manifest.default_variant,
                "trials": manifest.trials,
                "provenance": manifest.provenance,
            }
        )
        return
    click.echo(format_table(manifest.trials, manifest.default_variant))
    click.echo(f"\nwritten: {result.bundle.path}")
    objects = " --objects FILE.csv" if manifest.geometry.level == "object" else ""
    click.echo(f"next:    edge-ad calibrate {result.bundle.path} --normal FOLDER{objects}")


def _request(given: dict[str, Any]) -> ExportRequest:
    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.model.imported import ImportOptions
    from edge_ad_export.passes.cheaper import Shrink
    from edge_ad_export.request import ExportRequest
    from edge_ad_export.samples.geometry import GeometryOptions

    return ExportRequest(
        model=given["model"],
        images=given["images"],
        target=given["target"],
        importing=ImportOptions(
            **{name: given[name] for name in ImportOptions.__dataclass_fields__ if name not in ("head", "clip")},
            head=read_head_options(given),
            clip=read_clip_options(given),
        ),
        geometry=GeometryOptions(**{name: given[name] for name in GeometryOptions.__dataclass_fields__}),
        shrink=Shrink(**{name: given[name] for name in Shrink.__dataclass_fields__}),
        gate=Gate(**{name: given[name] for name in Gate.__dataclass_fields__ if name != "parity"}),
        variants=tuple(filter(None, (given["variants"] or "").split(","))),
        name=given["name"],
        version=given["version_label"],
        max_images=given["max_images"],
        threads=given["engine_threads"],
        replace=given["force"],
        effort=given["effort"],
        target_cpu=given["target_cpu"],
        labelled=given["labelled"],
        report=given["report"],
        state_dict=given["state_dict"],
        trust_pickle=given["trust_pickle"],
        extractor=read_extractor_options(given),
    )
