"""What is asked of an export, and of a comparison of two models."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import BundleWriter
from edge_ad.engines.processor import this_processor
from edge_ad.files import check_output
from edge_ad_export.fidelity.gate import Gate
from edge_ad_export.model.imported import ImportOptions
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.quantize.settings import Effort, Plan, Target, TargetName, choose_target
from edge_ad_export.samples.geometry import GeometryOptions

if TYPE_CHECKING:
    from edge_ad_export.files.torch_file import TorchOptions
    from edge_ad_export.importers.extractor import ExtractorOptions

__all__ = ["CompareRequest", "ExportRequest", "check_report", "check_target"]


@dataclass(frozen=True)
class ExportRequest:
    """``model`` becomes the bundle ``target``, measured on at most ``max_images`` of the normal ``images``, and on
    fewer where measuring would take longer than ``max_minutes``.

    ``images``: a folder, a file or a glob. ``variants``: ids of the recipes to try, all when empty. ``name``:
    ``None`` takes the target's. ``threads``: of the engines, ``None`` leaves the choice to them. ``replace``: an
    existing bundle at ``target`` gives way. ``effort``: how hard to look for a good int8 variant. ``target_cpus``:
    the kinds of CPU the bundle is made for. ``part_by``: which images show one part and are not split, see
    :func:`~edge_ad_export.samples.split.split_images`. ``labelled``: a data set, see
    :func:`~edge_ad_metrics.datasets.layouts.read_labelled_images`. ``report``: a page to write.
    ``keep_rejected``: variants that were measured and rejected are written too, but never as the default.
    ``extractor``: of a two-stage bundle, whose scorer ``model`` is.
    ``state_dict`` and ``trust_pickle``: for PyTorch models, see
    :class:`~edge_ad_export.files.torch_file.TorchOptions`.
    """

    model: Path
    images: str | Path
    target: Path
    importing: ImportOptions = field(default_factory=ImportOptions)
    geometry: GeometryOptions = field(default_factory=GeometryOptions)
    shrink: Shrink = field(default_factory=Shrink)
    gate: Gate = field(default_factory=Gate)
    variants: tuple[str, ...] = ()
    name: str | None = None
    version: str = "1"
    max_images: int = 100
    max_minutes: float = 10.0
    part_by: str | None = None
    threads: int | None = None
    replace: bool = False
    effort: Effort = "normal"
    target_cpus: tuple[TargetName, ...] = ("this",)
    labelled: Path | None = None
    report: Path | None = None
    keep_rejected: bool = False
    state_dict: Path | None = None
    trust_pickle: bool = False
    extractor: ExtractorOptions | None = None

    @cached_property
    def plan(self) -> Plan:
        """How variants are looked for, and for which CPUs. A kind that is named twice counts once."""
        chosen: dict[str, Target] = {}
        for name in self.target_cpus or ("this",):
            target = choose_target(name, this_processor())
            chosen.setdefault(target.id, target)
        first, *further = chosen.values()
        return Plan(self.effort, first, self.threads, tuple(further))

    @property
    def asks_for_int8(self) -> bool:
        """Whether anything is made that is fitted to images."""
        return not self.variants or any(name.endswith("int8") for name in self.variants)

    @property
    def asks_for_shortlist(self) -> bool:
        """Whether variants with a shortlist are made, where the model has a memory bank."""
        return not self.variants or any(name.endswith("shortlist") for name in self.variants)

    @property
    def torch(self) -> TorchOptions:
        """How a PyTorch model is to be read."""
        from edge_ad_export.files.torch_file import TorchOptions

        channels = 1 if self.importing.color == "gray" else 3
        return TorchOptions(self.state_dict, self.trust_pickle, self.importing.size, channels)


@dataclass(frozen=True)
class CompareRequest:
    """``first`` and ``second``: a bundle, ``bundle:variant``, or the model's file; at least one is a bundle, through
    whose geometry the images go to a model's file. ``labelled``: a data set, see
    :func:`~edge_ad_metrics.datasets.layouts.read_labelled_images`."""

    first: str
    second: str
    images: str | Path
    labelled: Path | None = None
    max_images: int = 100
    threads: int | None = None


def check_report(report: Path | None) -> None:
    """Raises before anything is computed what writing the page would raise.

    Raises:
        InputError: its folder does not exist.
        OutputError: it cannot be written.
    """
    if report is not None:
        check_output(report, "--report")


def check_target(target: Path, *, replace: bool) -> None:
    """Raises what writing the bundle would raise at once, before anything is computed.

    Raises:
        InputError: the target exists and is not to be replaced, or is no bundle.
        OutputError: its folder cannot be written to.
    """
    with BundleWriter(target, replace=replace):
        pass
