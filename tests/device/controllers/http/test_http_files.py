"""Evidence by id and bundles handed in: ids only, nothing half-written, verified before use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from support.http_served import Served, http_served
from support.station_files import to_toml
from support.tiny_calibration import calibrate

from edge_ad.bundle import Bundle, TrustStore, pack
from edge_ad.cli import main
from edge_ad.controllers.security import read_trail
from edge_ad.errors import BundleError, InputError
from edge_ad.link import UpdateChanged, UpdateRequest
from edge_ad.sources import read_image
from edge_ad.station.evidence import EvidenceRecord, EvidenceStore
from edge_ad.update import Slots, Step
from edge_ad.update.remote import _Device, deploy_to
from edge_ad.verdict import State, Verdict
from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.signing import sign_bundle

FRAME = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
ZIP = {"Content-Type": "application/zip"}


def record(number: int) -> EvidenceRecord:
    verdict = Verdict(state=State.REJECT, score=0.5, frame_id=number, captured_at=1e9 + number, bundle="b", variant="v")
    return EvidenceRecord(
        why="reject", station="line1", inspection="top", camera="top", recipe="a", part_id=f"P{number}",
        frame="", frame_sha256="0" * 64, map=None, artefact_sha256="a" * 64, verdict=verdict,
    )  # fmt: skip


def a_station_file(folder: Path, **tables: Any) -> Path:
    """A station that takes bundles for its recipes ``a`` and ``b``, and whose link is in the folder."""
    data = {
        "station": {"name": "trial", "trigger": "link"},
        "camera": {"top": {"source": "link"}},
        "inspect": {"top": {"camera": "top", "bundle": "a.bundle"}},
        "recipe": {"a": {}, "b": {"inspect": {"top": {"bundle": "b.bundle"}}}},
        "link": {"socket": "s.sock"},
        "update": {"folder": "updates"},
    }
    (folder / "station.toml").write_text(to_toml(data | tables))
    return folder / "station.toml"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("files")
    with EvidenceStore(folder / "evidence" / "top", 10_000_000) as store:
        for number in range(3):
            store.add(record(number), FRAME, None)
    (folder / "secret.png").write_bytes(b"secret")
    evidence, file = str(folder / "evidence"), a_station_file(folder)
    with http_served(folder, station_file=file, evidence=evidence, bundle_mb=50.0) as one:
        yield one


@pytest.fixture
def web(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=300) as client:
        yield client


def test_kept_frames_are_listed_and_read_by_their_ids(web: httpx.Client, tmp_path: Path) -> None:
    listed = web.get("/api/v1/evidence?limit=2").json()
    assert [one["part_id"] for one in listed] == ["P2", "P1"]
    (found,) = web.get("/api/v1/evidence?part_id=P1").json()
    picture = web.get(f"/api/v1/evidence/{found['inspection']}/{found['name']}/frame.png")
    assert picture.headers["content-type"] == "image/png"
    (tmp_path / "one.png").write_bytes(picture.content)
    assert np.array_equal(read_image(tmp_path / "one.png"), FRAME)
    assert web.get(f"/api/v1/evidence/top/{found['name']}/record.json").json()["part_id"] == "P1"


@pytest.mark.parametrize(
    "path",
    [
        "top/20010909T014640.000000Z-00000009/frame.png",
        "other/20010909T014640.000000Z-00000000/frame.png",
        "top/..%2f..%2fsecret/frame.png",
        "..%2f/20010909T014640.000000Z-00000000/frame.png",
        "%2e%2e/secret/frame.png",
        "top/20010909T014640.000000Z-00000000/../../secret.png",
    ],
)
def test_no_path_of_a_client_leads_anywhere(web: httpx.Client, path: str) -> None:
    answer = web.get(f"/api/v1/evidence/{path}")
    assert answer.status_code in {404, 422}
    assert b"secret" not in answer.content


def test_a_bundle_is_checked_and_handed_to_the_station_whose_recipe_is_active(
    web: httpx.Client, served: Served, tiny_bundle: Path, tmp_path: Path
) -> None:
    calibrate(tiny_bundle, 0.5)
    archive = pack(Bundle.open(tiny_bundle), tmp_path / "new.zip")
    other = web.get("/api/v1/bundles/b").json()
    answer = web.put("/api/v1/bundles/a", content=archive.read_bytes(), headers=ZIP)
    assert answer.status_code == 202, answer.text
    steps = answer.json()["steps"]
    assert [one["step"] for one in steps] == ["STAGED", "CHECKED"]
    assert "golden frames replayed" in steps[1]["reason"]
    asked = [one.request for one in served.station.requests if isinstance(one.request, UpdateRequest)]
    assert [(one.bundle, one.slot, one.by) for one in asked] == [(steps[0]["bundle"], 1, "web:local@127.0.0.1")]
    assert web.get("/api/v1/bundles/a").json()["steps"] == steps
    assert web.get("/api/v1/bundles/b").json() == other
    assert (other["recipe"], other["active"]) == ("b", None)
    told = [(one.action, one.result, one.target) for one in read_trail(served.folder / "audit.jsonl")]
    assert told[-2:] == [("bundle", "asked", "a"), ("bundle", "done", "a")]


@pytest.mark.slow
def test_with_a_trust_store_an_unsigned_bundle_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    keys = KeyFolder.create(tmp_path / "keys")
    TrustStore.create(tmp_path / "store", keys.folder / "root.json")
    calibrate(tiny_bundle, 0.5)
    file = a_station_file(tmp_path, trust={"store": "store"})
    with (
        http_served(tmp_path, station_file=file, bundle_mb=50.0) as served,
        httpx.Client(base_url=served.url, timeout=300) as client,
    ):
        unsigned = pack(Bundle.open(tiny_bundle), tmp_path / "unsigned.zip").read_bytes()
        answer = client.put("/api/v1/bundles/b", content=unsigned, headers=ZIP)
        assert (answer.status_code, "is not signed" in answer.text) == (422, True)
        sign_bundle(tiny_bundle, keys)
        signed = pack(Bundle.open(tiny_bundle), tmp_path / "signed.zip").read_bytes()
        answer = client.put("/api/v1/bundles/b", content=signed, headers=ZIP)
        assert (answer.status_code, "signed with the serial 1" in answer.text) == (202, True)


def test_what_cannot_be_used_is_refused_and_leaves_nothing(
    web: httpx.Client, served: Served, tiny_bundle: Path, tmp_path: Path
) -> None:
    data = bytearray(pack(Bundle.open(tiny_bundle), tmp_path / "new.zip").read_bytes())
    data[len(data) // 2] ^= 0xFF
    for content in (bytes(data), b"no zip"):
        answer = web.put("/api/v1/bundles/b", content=content, headers=ZIP)
        assert (answer.status_code, answer.json()["reason"]) == (422, "bundle_refused")
        assert str(served.folder) not in answer.text
    whole = pack(Bundle.open(tiny_bundle), tmp_path / "whole.zip").read_bytes()
    with Slots(served.folder / "updates", str(served.folder / "b.bundle")).staging():
        answer = web.put("/api/v1/bundles/b", content=whole, headers=ZIP)
        assert (answer.status_code, answer.json()["reason"]) == (409, "busy")
    assert web.put("/api/v1/bundles/c", content=b"", headers=ZIP).json()["reason"] == "unknown_recipe"
    assert web.put("/api/v1/bundles/b", content=b"").json()["reason"] == "content_type"
    left = [path for path in (served.folder / "updates").rglob("*") if path.is_file() and "/b" in str(path)]
    assert {path.name for path in left} <= {"journal.jsonl", "journal.jsonl.lock", "lock"}


def test_a_bundle_that_is_too_large_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "updates/incoming-web").mkdir(parents=True)  # a controller that was killed has left it
    with http_served(tmp_path, station_file=a_station_file(tmp_path), bundle_mb=0.001) as served:
        for content in (b"x" * 2_000, iter([b"x" * 2_000])):
            answer = httpx.put(f"{served.url}/api/v1/bundles/b", content=content, headers=ZIP, timeout=60)
            assert answer.status_code == 413
    assert list((tmp_path / "updates").iterdir()) == []


def test_the_command_says_why_a_large_bundle_is_refused_before_it_was_sent(tmp_path: Path) -> None:
    (tmp_path / "large.zip").write_bytes(bytes(30_000_000))
    with (
        http_served(tmp_path, station_file=a_station_file(tmp_path), bundle_mb=0.001) as served,
        pytest.raises(InputError, match="at most 1000 bytes are taken here: see bundle_mb"),
    ):
        _Device(served.url, None, None).ask("PUT", "/api/v1/bundles/b", tmp_path / "large.zip")


def test_without_a_table_update_no_bundle_is_taken(tmp_path: Path) -> None:
    with http_served(tmp_path) as served:
        answer = httpx.put(f"{served.url}/api/v1/bundles/b", content=b"", headers=ZIP, timeout=60)
        assert (answer.status_code, answer.json()["reason"]) == (404, "no_updates")


def test_the_command_deploys_to_another_device_and_follows_the_bundle_to_its_end(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    calibrate(tiny_bundle, 0.5)
    told: list[str] = []
    with http_served(tmp_path, station_file=a_station_file(tmp_path), bundle_mb=50.0) as served:
        slots = Slots(tmp_path / "updates", str(tmp_path / "a.bundle"))

        def hears(what: UpdateChanged) -> None:
            told.append(what.step)
            if what.step == "CHECKED":  # the station is made up: what it would write down
                slots.note(Step.SWITCHED, what.slot)
                slots.note(Step.RETURNED, what.slot, reason="its scorer ended: SIGSEGV")

        with pytest.raises(BundleError, match=r"tiny@1 was given back, .*: its scorer ended: SIGSEGV"):
            deploy_to(served.url, tiny_bundle, "a", None, None, None, hears)
        assert told == ["STAGED", "CHECKED", "SWITCHED", "RETURNED"]
        command = ["deploy", str(tiny_bundle), "--to", served.url]
        several = CliRunner().invoke(main, command)
        assert (several.exit_code, "several recipes (a, b): name one by --recipe" in several.stderr) == (2, True)
        unknown = CliRunner().invoke(main, [*command, "--recipe", "c"])
        assert (unknown.exit_code, "the station has no recipe 'c'" in unknown.stderr) == (2, True)
        (tiny_bundle / "variants/onnx-fp32/calibration.json").unlink()
        refused = CliRunner().invoke(main, [*command, "--recipe", "a"])
        assert (refused.exit_code, "is not calibrated" in refused.stderr) == (3, True), refused.stderr
    away = CliRunner().invoke(main, [*command, "--recipe", "a"])
    assert (away.exit_code, "the device cannot be reached" in away.stderr) == (4, True)
