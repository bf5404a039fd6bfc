"""The files that an evaluation leaves."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad.files import atomic_write
from edge_ad_calibration.evaluation.result_text import rows_as_csv

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad.bundle import Bundle
    from edge_ad_calibration.evaluation.evaluate import Evaluated, EvaluationRequest

__all__ = ["Outputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """``table``: a CSV file, ``report``: an HTML page; ``None`` for what nobody wants."""

    table: Path | None = None
    report: Path | None = None

    def check(self) -> None:
        """Raises ``InputError`` or ``ImportError`` for what would otherwise come out after hours of scoring."""
        for path in (self.table, self.report):
            if path is not None and not path.parent.is_dir():
                raise InputError(f"{path}: its folder does not exist: create it first")
        if self.report is not None:
            for needed in ("jinja2", "matplotlib"):
                importlib.import_module(needed)

    def write(self, result: Evaluated, bundle: Bundle, request: EvaluationRequest) -> None:
        """Writes each file whole or not at all. The page's pictures are scored once more.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.table is not None:
            atomic_write(self.table, rows_as_csv(result.rows))
        if self.report is not None:
            from edge_ad_calibration.evaluation.evaluation_page import evaluation_page
            from edge_ad_report import write_page

            write_page(self.report, evaluation_page(result, bundle, request))
