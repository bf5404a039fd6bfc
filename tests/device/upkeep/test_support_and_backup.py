"""What leaves a device, and what another one is made of."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from support import tiny
from support.station_files import station_file, to_toml
from support.tiny_calibration import calibrate

from edge_ad import Detector
from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.errors import BundleError, InputError
from edge_ad.station.kept_counts import CountsFile
from edge_ad.station.running import run_station
from edge_ad.station.station_file import read_station_file
from edge_ad.update import Slots, Step
from edge_ad.upkeep import back_up, restore, write_support
from edge_ad.upkeep.support import without_secrets


@pytest.fixture(scope="module")
def _ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a station that has run: two bundles, counters, evidence, a log; one camera has a password."""
    folder = tmp_path_factory.mktemp("ran")
    bundle = tiny.write_bundle(folder / "tiny")
    calibrate(bundle, 0.5)
    strict = tiny.write_bundle(folder / "elsewhere" / "tiny")
    calibrate(strict, 0.4)
    pictures = tiny.frames(4)
    pictures[2] = tiny.spotted(pictures[2], 20, 20)
    images = tiny.write_images(folder / "images", pictures)
    tables: dict[str, Any] = {
        "station": {"name": "line-3", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast", "allow_repeats": True}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        "recipe": {"a": {}, "b": {"inspect": {"top": {"bundle": str(strict)}}}},
        "output": {"results": {"kind": "jsonl", "path": str(folder / "results.jsonl")}},
        "evidence": {"folder": str(folder / "evidence")},
        "counters": {"file": str(folder / "counters.json")},
        "log": {"file": str(folder / "log"), "format": "json"},
    }
    run_station(station_file(**tables))
    (folder / "station.toml").write_text(f"# watched by rtsp://admin:geheim@10.0.0.7/1\n{to_toml(tables)}\n")
    return folder


@pytest.fixture
def station(_ran: Path, tmp_path: Path) -> Path:
    """The file of that station, with all that belongs to it in the folder of this test."""
    shutil.copytree(_ran, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "station.toml"
    file.write_text(file.read_text().replace(str(_ran), str(tmp_path)))
    return file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('source = "rtsp://admin:s3cret@10.0.0.7/1"', 'source = "rtsp://***@10.0.0.7/1"'),
        ("http://admin:p@ss:word@cam/x", "http://***@cam/x"),
        ("rtsp://token@cam", "rtsp://***@cam"),
        ("http://cam/x?user=a&password=b&w=3", "http://cam/x?user=***&password=***&w=3"),
        ('api_key = "abc def"', "api_key = ***"),
        ("http://cam/x@2", "http://cam/x@2"),
        ("bundle = 'part@1'", "bundle = 'part@1'"),
    ],
)
def test_secrets_are_taken_out(text: str, expected: str) -> None:
    assert without_secrets(text) == expected


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        return {one.name: opened.extractfile(one).read() for one in opened}  # type: ignore[union-attr]


def test_the_archive_holds_what_helps_and_no_secret(station: Path, tmp_path: Path) -> None:
    written = write_support(station, tmp_path / "x.tar.gz")
    inside = members(written.path)
    assert {"station.toml", "doctor.json", "versions.json", "logs/log", "counters.json"} <= set(inside)
    assert json.loads(inside["outputs/results-end.jsonl"].splitlines()[2])["state"] == "REJECT"
    assert len([name for name in inside if re.fullmatch(r"bundles/\d-.*\.json", name)]) == 2
    assert {Path(name).suffix for name in inside if name.startswith("evidence/")} == {".png", ".npy", ".json"}
    assert b"***@10.0.0.7/1" in inside["station.toml"]
    assert not [name for name, data in inside.items() if b"geheim" in data]
    assert written.left_out == ()


def test_evidence_is_left_out_first(station: Path, tmp_path: Path) -> None:
    everything = write_support(station, tmp_path / "x.tar.gz")
    inside = members(everything.path)
    least = sum(len(data) for name, data in inside.items() if not name.startswith("evidence/"))
    written = write_support(station, tmp_path / "y.tar.gz", limit_mb=(least + 500) / 1e6)
    assert {name.partition("/")[0] for name in written.left_out} == {"evidence"}
    assert sum(map(len, members(written.path).values())) <= least + 500


def test_a_station_that_is_not_in_order_is_archived_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text('[station]\nnmae = "x"\npassword = "geheim"\n')
    inside = members(write_support(file, tmp_path / "x.tar.gz").path)
    assert b"did you mean name?" in inside["station-error.txt"]
    assert b"geheim" not in b"".join(inside.values())


def test_a_spare_device_is_the_same_station(station: Path, tmp_path: Path) -> None:
    record = back_up(station, tmp_path / "line-3.backup")
    assert record.station == "line-3"
    restore(tmp_path / "line-3.backup", tmp_path / "spare")
    text = (tmp_path / "spare" / "station.toml").read_text()
    assert text.startswith("# watched by")
    was, now = read_station_file(station), read_station_file(tmp_path / "spare" / "station.toml")
    assert Path(now.inspect["top"].bundle).is_relative_to(tmp_path / "spare")
    frame = tiny.frames(1)[0]
    for recipe in ("a", "b"):
        verdicts = []
        for one in (was, now):
            with Detector.open(one.inspections(recipe)["top"].bundle) as detector:
                verdict = detector.score(frame)
            verdicts.append((verdict.score, verdict.threshold))
        assert verdicts[0] == verdicts[1]
    assert now.counters is not None
    counts = msgspec.json.decode(Path(now.counters.file).read_bytes(), type=CountsFile)
    assert Path(now.counters.file) == tmp_path / "spare" / "counters.json"
    assert counts.total["a"].parts == {"ACCEPT": 3, "REJECT": 1, "INVALID": 0}


def changed(archive: Path, target: Path, name: str, data: bytes | None) -> Path:
    """The archive with other content under this name; ``None`` leaves it out."""
    inside = members(archive)
    first = "backup.json"
    rest = {one: content for one, content in inside.items() if one not in {first, name}}
    with tarfile.open(target, "w:gz") as made:
        for one, content in ({first: inside[first]} | rest | ({} if data is None else {name: data})).items():
            info = tarfile.TarInfo(one)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return target


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        pytest.param("station.toml", b"other", "station.toml is not what was backed up", id="changed"),
        pytest.param("counters.json", None, "counters.json is missing", id="missing"),
        pytest.param("../outside", b"x", "'../outside' does not belong into a backup", id="outside"),
        pytest.param("more", b"x", "'more' does not belong into a backup", id="more"),
    ],
)
def test_of_a_damaged_archive_nothing_is_restored(
    station: Path, tmp_path: Path, name: str, data: bytes | None, expected: str
) -> None:
    back_up(station, tmp_path / "good")
    before = set(tmp_path.iterdir())
    broken = changed(tmp_path / "good", tmp_path / "broken", name, data)
    with pytest.raises(InputError, match=re.escape(expected)):
        restore(broken, tmp_path / "spare")
    assert set(tmp_path.iterdir()) - before == {broken}


@pytest.mark.parametrize("cut", [0, 10, 200, -1000])
def test_an_archive_that_is_cut_off_is_refused(station: Path, tmp_path: Path, cut: int) -> None:
    back_up(station, tmp_path / "good")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:cut])
    with pytest.raises(InputError, match="nothing was restored"):
        restore(tmp_path / "cut", tmp_path / "spare")
    assert not (tmp_path / "spare").exists()


def test_a_damaged_bundle_is_not_backed_up(station: Path, tmp_path: Path) -> None:
    bundle = Path(read_station_file(station).inspect["top"].bundle)
    (model,) = bundle.rglob("onnx-fp32/*.onnx")
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(BundleError):
        back_up(station, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_deployed_bundle_is_the_one_that_is_backed_up(station: Path, tmp_path: Path) -> None:
    station.write_text(station.read_text() + "[update]\nfolder = 'updates'\n")
    named, deployed = tmp_path / "tiny", Path(shutil.copytree(tmp_path / "tiny", tmp_path / "new"))
    calibrate(deployed, 0.6)
    slots = Slots(tmp_path / "updates", str(named))
    with slots.staging() as slot:
        slots.note(Step.STAGED, slot, slots.stage(Bundle.open(deployed), slot))
        for step in (Step.CHECKED, Step.SWITCHED, Step.WATCHED, Step.KEPT):
            slots.note(step, slot)
    back_up(station, tmp_path / "out.backup")
    restore(tmp_path / "out.backup", tmp_path / "spare")
    with Detector.open(tmp_path / "spare/bundles/tiny-2") as detector:
        assert detector.calibration is not None
        assert detector.calibration.image.threshold == 0.6


def test_a_folder_with_something_in_it_is_left_alone(station: Path, tmp_path: Path) -> None:
    back_up(station, tmp_path / "good")
    with pytest.raises(InputError, match="is not empty: name a new folder"):
        restore(tmp_path / "good", tmp_path)


def test_the_commands_say_what_they_wrote(station: Path, tmp_path: Path) -> None:
    def edge_ad(*arguments: object) -> str:
        done = CliRunner().invoke(main, [str(one) for one in arguments])
        assert done.exit_code == 0, done.output
        return done.stderr

    assert "files" in edge_ad("support", station, "-o", tmp_path / "x.tar.gz")
    assert "station line-3" in edge_ad("backup", station, "-o", tmp_path / "b")
    assert "edge-ad doctor" in edge_ad("restore", tmp_path / "b", tmp_path / "spare")
    done = CliRunner().invoke(main, ["restore", str(tmp_path / "none"), str(tmp_path / "other")])
    assert done.exit_code == 2
    assert "No such file" in done.stderr
