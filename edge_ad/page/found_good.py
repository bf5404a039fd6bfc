"""The kept frames that people found falsely rejected, as an archive: offered to a calibration, never used unasked."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from edge_ad.page.findings import Finding, Findings
from edge_ad.page.shift_report import harmless_cell

__all__ = ["MOST_FRAMES", "write_found_good"]

MOST_FRAMES = 500
_COLUMNS = (
    "file", "inspection", "recipe", "part_id", "captured_at", "score", "threshold", "found_by", "found_at", "sha256",
)  # fmt: skip


def write_found_good(folder: Path, target: IO[bytes], inspection: str | None = None) -> int:
    """Writes a ZIP file: each frame as its camera gave it, in a folder of its inspection, and ``manifest.csv``.

    The newest :data:`MOST_FRAMES`, of one inspection where it is named. Frames that have made room for others, and
    those of parts that were found bad by another frame, are left out. How many there are.

    Raises:
        InputError: the findings are damaged.
    """
    found = [one for one in Findings(folder).since(0.0) if inspection in {None, one.inspection}]
    bad_parts = {one.part_id for one in found if one.judged == "bad" and one.part_id is not None}
    good = [one for one in found if one.judged == "good" and one.part_id not in bad_parts][-MOST_FRAMES:]
    rows = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for one in good:
            try:
                data = (folder / one.inspection / f"{one.name}.png").read_bytes()
            except OSError:  # the oldest frames make room for others
                continue
            name = f"{one.inspection}/{one.name}.png"
            archive.writestr(zipfile.ZipInfo(name, _zip_time(one.captured_at)), data)
            rows.append(_row(name, one, data))
        archive.writestr("manifest.csv", _table(rows))
    return len(rows)


def _row(name: str, one: Finding, data: bytes) -> tuple[object, ...]:
    when = (
        datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds") for at in (one.captured_at, one.at)
    )
    captured, at = when
    digest = hashlib.sha256(data).hexdigest()
    return name, one.inspection, one.recipe, one.part_id, captured, one.score, one.threshold, one.who, at, digest


def _table(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    table.writerows([harmless_cell("" if cell is None else str(cell)) for cell in row] for row in rows)
    return text.getvalue().encode()


def _zip_time(at: float) -> tuple[int, int, int, int, int, int]:
    when = datetime.fromtimestamp(max(at, 315_619_200.0), timezone.utc)  # an archive knows no year before 1980
    return when.year, when.month, when.day, when.hour, when.minute, when.second
