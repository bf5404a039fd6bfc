"""A station that trusts keys opens no other bundles."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from support.station_files import to_toml
from support.station_trial import eventually
from support.tiny_calibration import calibrate

from edge_ad.bundle import Bundle, TrustStore
from edge_ad.errors import OutputError, SignatureError
from edge_ad.station import check_station, read_station_file
from edge_ad.station.scorer_messages import Opening, Refusal, ScorerReady
from edge_ad.station.scorer_process import ScorerEvent, ScorerProcess
from edge_ad.station.scorer_worker import open_detector
from edge_ad.update import Slots
from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.signing import sign_bundle


@pytest.fixture
def opening(tiny_bundle: Path, tmp_path: Path) -> Opening:
    calibrate(tiny_bundle, 0.5)
    TrustStore.create(tmp_path / "store", KeyFolder.create(tmp_path / "keys").folder / "root.json")
    return Opening(
        bundle=str(tiny_bundle),
        variant=None,
        calibration=None,
        device="CPU",
        threads=1,
        station="trial",
        inspection="top",
        camera="top",
        recipe="default",
        trust=str(tmp_path / "store"),
    )


def first_word(opening: Opening) -> ScorerEvent:
    """What a scorer says when it has opened its bundle, or not."""
    scorer = ScorerProcess(opening, memory_mb=1024, open_s=600)
    heard: list[ScorerEvent] = []

    def has_spoken() -> bool:
        scorer.tick(time.monotonic_ns())
        heard.extend(scorer.receive())
        return bool(heard)

    try:
        eventually(has_spoken)
    finally:
        scorer.close()
    return heard[0]


def test_a_scorer_opens_a_signed_bundle_and_remembers_it(opening: Opening, tmp_path: Path) -> None:
    refused = first_word(opening)
    assert isinstance(refused, Refusal)
    assert "is not signed" in refused.detail
    sign_bundle(Path(opening.bundle), KeyFolder(tmp_path / "keys"))
    assert isinstance(first_word(opening), ScorerReady)
    seen = msgspec.json.decode((tmp_path / "store" / "seen.json").read_bytes())
    assert seen["serials"] == {"tiny": 1}


def test_a_full_disk_stops_no_bundle_that_was_taken_before(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyFolder.create(tmp_path / "keys")
    store = TrustStore.create(tmp_path / "store", keys.folder / "root.json")

    def take() -> None:
        bundle = Bundle.open(tiny_bundle)
        store.remember(bundle, store.check(bundle))

    def full(path: Path, data: bytes) -> None:
        raise OutputError(f"{path}: the disk is full")

    sign_bundle(tiny_bundle, keys)
    take()
    monkeypatch.setattr("edge_ad.bundle.signature.atomic_write", full)
    take()
    sign_bundle(tiny_bundle, keys)
    with pytest.raises(OutputError, match=r"seen\.json: the disk is full"):
        take()


def test_the_station_file_names_the_store(opening: Opening, tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    tables = {
        "station": {"name": "trial"},
        "camera": {"top": {"source": "images"}},
        "inspect": {"top": {"camera": "top", "bundle": opening.bundle}},
        "trust": {"store": "store"},
    }
    (tmp_path / "images").mkdir()
    path.write_text(to_toml(tables))
    with pytest.raises(SignatureError, match=r"inspect\.top\.bundle: .* is not signed"):
        check_station(read_station_file(path))
    sign_bundle(Path(opening.bundle), KeyFolder(tmp_path / "keys"))
    check_station(read_station_file(path))


def test_a_bundle_on_trial_is_not_remembered_and_one_that_was_kept_may_be_older(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """Otherwise nobody could go back to the bundle before, at the end of a trial or from damaged files."""
    calibrate(tiny_bundle, 0.5)
    keys = KeyFolder.create(tmp_path / "keys")
    store = TrustStore.create(tmp_path / "store", keys.folder / "root.json")
    slots = Slots(tmp_path / "updates", str(tiny_bundle))
    for serial in (1, 2):
        sign_bundle(tiny_bundle, keys, serial=serial)
        with slots.staging() as slot:
            slots.stage(Bundle.open(tiny_bundle), slot)
    opening = Opening(
        bundle=str(slots.path(2)), variant=None, calibration=None, device="CPU", threads=1, station="trial",
        inspection="top", camera="top", recipe="default", trust=str(store.folder),
    )  # fmt: skip
    open_detector(msgspec.structs.replace(opening, is_trial=True)).close()
    assert not (store.folder / "seen.json").exists()
    open_detector(opening).close()
    seen = (store.folder / "seen.json").read_bytes()
    assert msgspec.json.decode(seen)["serials"] == {"tiny": 2}
    open_detector(msgspec.structs.replace(opening, bundle=str(slots.path(1)))).close()
    with pytest.raises(SignatureError, match="is older than what this device has taken"):
        open_detector(msgspec.structs.replace(opening, bundle=str(slots.path(1)), is_trial=True))
