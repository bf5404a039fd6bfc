"""Options that several commands share."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from edge_ad.cli.option_groups import OptionGroup, option

__all__ = [
    "ENGINE",
    "FILE",
    "FOLDER",
    "PATH",
    "VARIANT",
    "as_json",
    "bundle_argument",
    "echo_json",
    "find_bundle",
    "parse_size",
    "variant_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

bundle_argument = click.argument("bundle", type=PATH)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of text.")

_VARIANT_HELP = (
    "The variant of the bundle to use. Without this option it is the bundle's default variant, or, of a bundle for "
    "several kinds of CPU, the fastest calibrated one for this CPU."
)
VARIANT = option("--variant", metavar="ID", help=_VARIANT_HELP)

ENGINE = OptionGroup(
    "Inference engine",
    "edge_ad.engines.base:EngineOptions",
    (
        option(
            "--device",
            metavar="NAME",
            help="The device that the engine runs on: CPU, GPU or NPU with OpenVINO, or the execution provider of ONNX "
            "Runtime, such as CPU or CUDA. Where a command runs variants of both engines, say it for each: "
            "openvino=GPU,onnxruntime=CPU. An engine that is not named runs on the CPU.",
        ),
        option(
            "--threads",
            type=click.IntRange(min=1),
            metavar="N",
            help="The number of threads of the engine. Without this option the engine decides.",
        ),
        option(
            "--cache-dir",
            type=FOLDER,
            metavar="FOLDER",
            help="The engine may keep compiled models in this folder and then starts faster the next time. Without "
            "this option it writes no files.",
        ),
    ),
)


def variant_option(help_text: str) -> Callable[[_F], _F]:
    """--variant of a command that takes it alone."""
    return click.option("--variant", metavar="ID", help=help_text)


def parse_size(text: str) -> tuple[int, int]:
    """Reads a size such as 1920x1080 as (width, height). Raises :class:`ValueError` for anything else."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= 65_535 for part in parts):
        raise ValueError("expected WIDTHxHEIGHT in pixels, such as 1920x1080")
    return int(parts[0]), int(parts[1])


def find_bundle(path: Path) -> bool:
    """Whether a bundle is at ``path``, a folder or a zip file. It may still be damaged."""
    from edge_ad.bundle import MANIFEST

    if not zipfile.is_zipfile(path):
        return (path / MANIFEST).is_file()
    with zipfile.ZipFile(path) as archive:
        return MANIFEST in archive.namelist()


def echo_json(record: object) -> None:
    """Prints one JSON document on one line."""
    sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    sys.stdout.flush()
