"""What is written down of a proof, what is replayed when, and what a restart and a damaged file leave."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import tiny
from support.station_files import station_file
from support.station_trial import eventually
from support.tiny_calibration import calibrate

from edge_ad.errors import OutputError
from edge_ad.station.actions import KeepProof, ReplaySet
from edge_ad.station.proofs import Proof, ProofOutcome, add_proof, read_proofs
from edge_ad.station.proving import StationProofs, identity_of, what_changed
from edge_ad.station.station_file import StationFile
from edge_ad.update import BundleUse, ChallengeSettings
from edge_ad.update.replaying import ProvedPart, ReplayOrder, ReplayResult, ReplayUse, replay, start_replay


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


@pytest.fixture
def pictures(tmp_path: Path) -> ChallengeSettings:
    """Two good parts and a bad one."""
    bad = [tiny.spotted(tiny.frames(1)[0], 20, 20)]
    return ChallengeSettings(
        good=str(tiny.write_images(tmp_path / "good", tiny.frames(2))),
        bad=str(tiny.write_images(tmp_path / "bad", bad)),
    )


def a_station(folder: Path, bundle: Path | str, pictures: ChallengeSettings, **camera: Any) -> StationFile:
    challenge = {"good": pictures.good, "bad": pictures.bad}
    return station_file(
        proof={"file": str(folder / "proof.jsonl")},
        camera={"top": {"source": "0", **camera}},
        inspect={"top": {"camera": "top", "bundle": str(bundle), "challenge": challenge}},
    )


class Replays:
    """Stands for the process that replays; it finds every picture right."""

    def __init__(self) -> None:
        self.orders: list[ReplayOrder] = []
        self.result = ReplayResult(parts=(ProvedPart(name="1.png", is_bad=True, state="REJECT", inspection="top"),))

    def __call__(self, order: ReplayOrder, _: Callable[[subprocess.Popen[bytes]], None]) -> ReplayResult:
        self.orders.append(order)
        return self.result


@contextmanager
def proving(file: StationFile, replays: Replays) -> Iterator[StationProofs]:
    proofs = StationProofs(file, lambda: 100.0, replays)
    try:
        yield proofs
    finally:
        proofs.close()


def asked_for(proofs: StationProofs, bundle: Path, who: str | None = None) -> Proof | str:
    """What comes of a replay."""
    proofs.replay(ReplaySet("default", {"top": str(bundle)}, who, 1))
    done: list[tuple[Proof | str, str | None]] = []
    eventually(lambda: hears(proofs, done))
    return done[0][0]


def hears(proofs: StationProofs, done: list[tuple[Proof | str, str | None]]) -> bool:
    done += proofs.done()
    return bool(done)


def test_every_picture_is_replayed_as_often_as_asked(bundle: Path, pictures: ChallengeSettings) -> None:
    use = BundleUse(recipe="default", inspection="top", challenge=pictures)
    result = replay(ReplayOrder(uses=(ReplayUse(bundle=str(bundle), use=use),), runs=2))
    assert [(one.is_bad, one.state, one.run) for one in result.parts] == [
        (False, "ACCEPT", 1), (False, "ACCEPT", 1), (True, "REJECT", 1),
        (False, "ACCEPT", 2), (False, "ACCEPT", 2), (True, "REJECT", 2),
    ]  # fmt: skip
    assert (result.problem, result.error) == (None, None)


def test_a_set_that_is_not_passed_and_one_that_is_gone_say_so(bundle: Path, pictures: ChallengeSettings) -> None:
    turned = msgspec.structs.replace(pictures, good=pictures.bad, bad=pictures.good)
    use = BundleUse(recipe="default", inspection="top", challenge=turned)
    result = replay(ReplayOrder(uses=(ReplayUse(bundle=str(bundle), use=use),), runs=2))
    assert result.problem is not None
    assert result.problem.startswith("top: 2 bad parts of the challenge set are accepted, allowed are 0:")
    gone = msgspec.structs.replace(use, challenge=msgspec.structs.replace(pictures, bad="nowhere"))
    assert "nowhere" in str(replay(ReplayOrder(uses=(ReplayUse(bundle=str(bundle), use=gone),))).error)


def test_a_replay_that_could_not_be_done_is_tried_again_at_the_next_start(
    bundle: Path, pictures: ChallengeSettings, tmp_path: Path
) -> None:
    file, replays = a_station(tmp_path, bundle, pictures), Replays()
    works, replays.result = replays.result, ReplayResult(error="no memory")
    for _ in range(3):
        with proving(file, replays) as proofs:
            asked_for(proofs, bundle)
        replays.result = works
    known = [(one.outcome, one.why) for one in read_proofs(tmp_path / "proof.jsonl")]
    assert known == [(ProofOutcome.ERROR, ("first",)), (ProofOutcome.PASSED, ("error",))]


@pytest.mark.slow
def test_a_process_of_its_own_replays(bundle: Path, pictures: ChallengeSettings) -> None:
    use = BundleUse(recipe="default", inspection="top", challenge=pictures)
    result = start_replay(ReplayOrder(uses=(ReplayUse(bundle=str(bundle), use=use),)), lambda _: None)
    assert [one.is_right for one in result.parts] == [True, True, True]
    ended = start_replay(ReplayOrder(uses=()), lambda process: process.kill())
    assert ended.error == "the replay ended with status -9"


def test_what_has_changed_is_replayed_once_and_named(bundle: Path, pictures: ChallengeSettings, tmp_path: Path) -> None:
    replays = Replays()
    with proving(a_station(tmp_path, bundle, pictures), replays) as proofs:
        first = asked_for(proofs, bundle)
        assert isinstance(first, Proof)
        assert (first.outcome, first.why, first.at) == (ProofOutcome.PASSED, ("first",), 100.0)
        assert asked_for(proofs, bundle) == "default"
        calibrate(bundle, 0.4)
        second = asked_for(proofs, bundle)
        assert isinstance(second, Proof)
        assert second.why == ("threshold",)
    with proving(a_station(tmp_path, bundle, pictures, exposure_us=5.0), replays) as proofs:
        assert [one.why for one in proofs.known] == [("first",), ("threshold",)]
        third = asked_for(proofs, bundle)
        assert isinstance(third, Proof)
        assert third.why == ("camera",)
        by_hand = asked_for(proofs, bundle, "anna")
        assert isinstance(by_hand, Proof)
        assert (by_hand.why, by_hand.who) == (("asked",), "anna")
    assert len(replays.orders) == 4
    assert [one.who for one in read_proofs(tmp_path / "proof.jsonl")] == [None, None, None, "anna"]


def test_bundle_set_and_software_are_told_apart(bundle: Path, pictures: ChallengeSettings, tmp_path: Path) -> None:
    file = a_station(tmp_path, bundle, pictures)
    before = identity_of(file, "default", {"top": str(bundle)}, "1.0")
    assert what_changed(before, identity_of(file, "default", {"top": str(bundle)}, "1.1")) == ("software",)
    tiny.write_images(tmp_path / "bad", tiny.frames(3))
    assert what_changed(before, identity_of(file, "default", {"top": str(bundle)}, "1.0")) == ("set",)
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tests"', '"others"', 1))
    assert "bundle" in what_changed(before, identity_of(file, "default", {"top": str(bundle)}, "1.0"))


def test_a_threshold_of_what_may_take_the_place_of_the_first_choice_counts_too(
    bundle: Path, pictures: ChallengeSettings, tmp_path: Path
) -> None:
    file = a_station(tmp_path, bundle, pictures)
    calibrate(bundle, 0.6, variant="openvino-fp32")
    before = identity_of(file, "default", {"top": str(bundle)}, "1.0")
    assert identity_of(file, "default", {"top": str(bundle)}, "1.0") == before
    calibrate(bundle, 0.7, variant="openvino-fp32")
    assert what_changed(before, identity_of(file, "default", {"top": str(bundle)}, "1.0")) == ("threshold",)


@pytest.mark.parametrize(
    ("result", "outcome", "detail"),
    [
        (ReplayResult(problem="top: B-1 is accepted"), ProofOutcome.FAILED, "top: B-1 is accepted"),
        (ReplayResult(error="no picture"), ProofOutcome.ERROR, "no picture"),
    ],
    ids=["failed", "error"],
)
def test_how_it_ended_is_written_down(
    result: ReplayResult, outcome: ProofOutcome, detail: str, bundle: Path, pictures: ChallengeSettings, tmp_path: Path
) -> None:
    replays = Replays()
    replays.result = result
    with proving(a_station(tmp_path, bundle, pictures), replays) as proofs:
        asked_for(proofs, bundle)
    (proof,) = read_proofs(tmp_path / "proof.jsonl")
    assert (proof.outcome, proof.detail) == (outcome, detail)
    assert {name.partition(" ")[0] for name in proof.identity} == {"software", "camera", "bundle", "threshold", "set"}


def begun(at: float = 1.0) -> Proof:
    return Proof(at=at, kind="parts", recipe="default", outcome=ProofOutcome.BEGUN, who="anna")


def test_a_challenge_in_whose_midst_the_station_ended_has_an_end(
    bundle: Path, pictures: ChallengeSettings, tmp_path: Path
) -> None:
    path = tmp_path / "proof.jsonl"
    add_proof(path, begun())
    with proving(a_station(tmp_path, bundle, pictures), Replays()) as proofs:
        assert [one.outcome for one in proofs.known] == [ProofOutcome.BEGUN]
    with proving(a_station(tmp_path, bundle, pictures), Replays()):
        pass
    assert [one.outcome for one in read_proofs(path)] == [ProofOutcome.BEGUN, ProofOutcome.INTERRUPTED]
    assert read_proofs(path)[1].detail == "the station ended before the challenge did"


def test_half_a_line_of_a_power_cut_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "proof.jsonl"
    add_proof(path, begun(1.0))
    path.write_bytes(path.read_bytes() + b'{"at":2.0,"ki')
    add_proof(path, begun(3.0))
    assert [one.at for one in read_proofs(path)] == [1.0, 3.0]
    assert read_proofs(tmp_path / "none.jsonl") == ()


def test_a_file_that_cannot_be_written_is_told(bundle: Path, pictures: ChallengeSettings, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    file = a_station(tmp_path / "gone", bundle, pictures)
    with proving(file, Replays()) as proofs:
        (tmp_path / "gone").rmdir()
        proofs.keep(KeepProof(begun(), {"top": str(bundle)}))
        done: list[tuple[Proof | str, str | None]] = []
        eventually(lambda: hears(proofs, done))
    assert "its folder does not exist" in str(done[0][1])
    with pytest.raises(OutputError):
        add_proof(tmp_path / "gone" / "proof.jsonl", begun())
