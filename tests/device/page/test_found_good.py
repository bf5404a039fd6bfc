"""The archive of what people found falsely rejected."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import httpx
from support.page_served import page_served

from edge_ad.page.findings import Finding, Findings
from edge_ad.page.found_good import MOST_FRAMES, write_found_good

PNG = b"\x89PNG of a camera"


def a_finding(name: str, judged: str = "good", **more: object) -> Finding:
    given = {"inspection": "top", "who": "anna", "at": 2.0, "captured_at": 1.0, "part_id": name, "score": 1.5}
    return Finding(**{**given, "name": name, "judged": judged, **more})  # type: ignore[arg-type]


def archive_of(folder: Path, inspection: str | None = None) -> tuple[list[str], list[dict[str, str]]]:
    target = io.BytesIO()
    count = write_found_good(folder, target, inspection)
    with zipfile.ZipFile(target) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
        names = archive.namelist()
    assert count == len(rows)
    return names, rows


def test_only_what_was_found_good_and_is_still_kept_is_offered(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    for finding in (
        a_finding("1", part_id="=cmd"),
        a_finding("2", "bad"),
        a_finding("3", part_id="P"),
        a_finding("4", "bad", part_id="P", inspection="side"),
        a_finding("5"),
        a_finding("6", inspection="side", part_id=None),
    ):
        Findings(tmp_path).put(finding)
        place = tmp_path / finding.inspection / f"{finding.name}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(PNG)
    (tmp_path / "top/5.png").unlink()
    names, rows = archive_of(tmp_path)
    assert names == ["top/1.png", "side/6.png", "manifest.csv"]
    assert (rows[0]["part_id"], rows[0]["found_by"], rows[0]["captured_at"]) == (
        "'=cmd", "anna", "1970-01-01T00:00:01.000+00:00",
    )  # fmt: skip
    assert rows[0]["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert archive_of(tmp_path, "side")[0] == ["side/6.png", "manifest.csv"]


def test_without_findings_the_archive_has_only_its_manifest(tmp_path: Path) -> None:
    assert archive_of(tmp_path) == (["manifest.csv"], [])
    assert MOST_FRAMES == 500


def test_it_is_downloaded_with_the_pictures_as_they_were_kept(tmp_path: Path) -> None:
    with page_served(tmp_path) as one:
        kept = httpx.get(f"{one.url}/page/kept", timeout=60).json()[0]
        path = f"{one.url}/page/kept/{kept['inspection']}/{kept['name']}"
        assert httpx.put(f"{path}/finding", json={"judged": "good"}, timeout=60).status_code == 200
        answer = httpx.get(f"{one.url}/page/kept/falsely-rejected.zip", timeout=60)
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            name = f"{kept['inspection']}/{kept['name']}.png"
            assert archive.namelist() == [name, "manifest.csv"]
            assert archive.read(name) == (one.evidence / name).read_bytes()
