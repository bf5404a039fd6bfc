"""The routes of commissioning, before a station that is not there: sessions, versions, roles, thresholds, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from support import tiny
from support.changed_bundle import change
from support.commissioned import PLACE, Commissioned, commissioned
from support.http_served import http_served
from support.page_served import PICTURE, page_verdict, write_preview
from support.taught import teach
from support.tiny_calibration import calibrate
from support.videos import wait_for

from edge_ad.bundle import Bundle
from edge_ad.controllers.http.answers import ProblemError
from edge_ad.controllers.http.commission_views import check_variant
from edge_ad.controllers.security import Role, add_token, read_trail
from edge_ad.engines.processor import Processor
from edge_ad.link.messages import InspectionFacts, Snapshot, StationState
from edge_ad.page.assets import read_texts
from edge_ad.page.commission import bundle_facts, find_place, previous_facts, scoring_now
from edge_ad.page.findings import Finding, Findings
from edge_ad.station.evidence import EvidenceRecord, EvidenceStore
from edge_ad.verdict import State, Verdict


@pytest.fixture
def one(tiny_bundle: Path, tmp_path: Path) -> Iterator[Commissioned]:
    calibrate(tiny_bundle, 0.5)
    with commissioned(tiny_bundle, tmp_path) as found:
        yield found


def test_what_may_be_commissioned(one: Commissioned) -> None:
    assert one.web.get("/page/commission").json() == [
        {"recipe": "a", "inspection": "top"},
        {"recipe": "b", "inspection": "top"},
    ]
    facts = one.state()["bundle"]
    assert (facts["threshold"], facts["method"], facts["has_map"]) == (0.5, "order-statistic", True)
    unknown = one.web.get("/page/commission/a/..%2f..%2fetc")
    assert unknown.status_code == 404
    assert one.web.get("/page/commission/c/top").json()["reason"] == "no_teaching"


def test_a_station_file_without_teaching_has_nothing_to_commission(tiny_bundle: Path, tmp_path: Path) -> None:
    with http_served(tmp_path) as served:
        assert httpx.get(f"{served.url}/page/commission", timeout=60).json() == []
        assert httpx.get(f"{served.url}{PLACE}", timeout=60).json()["reason"] == "no_teaching"


def test_parts_are_counted_while_nobody_looks(one: Commissioned) -> None:
    assert one.ask("teach", count=5, alpha=0.1, confidence=0.9).status_code == 200
    teach(one.folder / "teaching", [(f"P-{number}", frame) for number, frame in enumerate(tiny.frames(3))])
    state = one.state()
    assert (state["parts"], state["session"]["wanted"], state["needed"]) == (0, 5, 22)  # taken before it began


def test_two_people_change_the_same_thing(one: Commissioned) -> None:
    seen = one.state()["session"]["version"]
    assert one.ask("teach", count=5).status_code == 200
    for what, body in (
        ("teach", {"count": 9}),
        ("counting", {"collecting": False}),
        ("exclude", {"part": "P-1", "reason": "dirty"}),
        ("calibrate", {"alpha": 0.1, "confidence": 0.9}),
        ("threshold", {"value": 0.4, "reason": "because"}),
        ("confirm", {}),
    ):
        late = one.web.post(f"{PLACE}/{what}", json={"version": seen, **body})
        assert (late.status_code, late.json()["reason"]) == (409, "changed"), what
        assert late.json()["detail"].startswith("local changed this at ")
    assert one.state()["session"]["wanted"] == 5


def test_only_an_engineer_changes_anything_and_it_is_recorded(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    anna, ben = (add_token(tmp_path / "t.toml", *who) for who in (("anna", Role.ENGINEER), ("ben", Role.SUPERVISOR)))
    with commissioned(tiny_bundle, tmp_path, tokens=str(tmp_path / "t.toml")) as found:
        found.web.headers["Authorization"] = f"Bearer {ben}"
        assert found.state()["parts"] == 0
        for what in ("teach", "counting", "exclude", "calibrate", "confirm", "threshold", "back"):
            assert found.ask(what).status_code == 403, what
        assert found.ask("regions", "PUT").status_code == 403
        found.web.headers["Authorization"] = f"Bearer {anna}"
        assert found.ask("teach", count=7).status_code == 200
        assert found.state()["session"]["changed_by"] == "anna"
    records = [record for record in read_trail(tmp_path / "audit.jsonl") if record.action == "teach"]
    assert [(record.result, record.who, record.target) for record in records] == [
        ("asked", "anna", "a/top"),
        ("done", "anna", "a/top"),
    ]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        pytest.param("teach", {"count": 0}, id="no-parts"),
        pytest.param("teach", {"count": 10, "alpha": 0.7}, id="most-are-rejected"),
        pytest.param("threshold", {"value": 0.4, "reason": ""}, id="no-reason"),
        pytest.param("threshold", {"value": "high", "reason": "because"}, id="no-number"),
        pytest.param("exclude", {"part": "", "reason": "because"}, id="no-part"),
    ],
)
def test_what_cannot_be_is_refused(one: Commissioned, what: str, body: dict[str, Any]) -> None:
    assert one.ask(what, **body).status_code == 422
    assert one.state()["session"]["version"] == 0


def test_regions_are_kept_and_checked(one: Commissioned) -> None:
    area = [[1, 1], [20, 1], [20, 20]]
    drawn = {"width": 64, "height": 48, "roi": [0, 0, 32, 40], "ignored": [area], "overlap": None}
    assert one.ask("regions", "PUT", regions=drawn).status_code == 200
    assert one.state()["session"]["regions"]["roi"] == [0, 0, 32, 40]
    for wrong in ({"roi": [40, 0, 40, 40]}, {"roi": [0, 0, 2, 2]}, {"ignored": [area[:2]]}):
        assert one.ask("regions", "PUT", regions={**drawn, **wrong}).status_code == 422
    assert one.ask("regions", "PUT", regions=None).status_code == 200
    assert "regions" not in one.state()["session"] or one.state()["session"]["regions"] is None


def test_nothing_is_confirmed_that_was_not_proposed(one: Commissioned) -> None:
    assert one.ask("confirm").json()["reason"] == "no_proposal"
    assert one.ask("back", reason="because").json()["reason"] == "no_previous"


@pytest.mark.slow
def test_what_cannot_be_calibrated_is_told_and_found_again(one: Commissioned) -> None:
    assert one.ask("teach", count=5).status_code == 200
    assert one.ask("calibrate", alpha=0.1, confidence=0.9).status_code == 202
    assert wait_for(lambda: one.state()["proposal"] is not None, 60)
    told = one.state()
    assert (told["proposal"]["reason"], told["proposal"]["needed"], told["fits"]) == ("too_few", 22, True)


def keep(folder: Path, artefact: str, found: dict[float, str | None]) -> None:
    """Evidence with these scores; what a person found of each."""
    with EvidenceStore(folder / "top", 10_000_000) as store:
        for number, (score, judged) in enumerate(found.items()):
            plain = page_verdict(State.REJECT if score > 0.5 else State.ACCEPT, number, 1e9 + number)
            verdict = Verdict(**{**{name: getattr(plain, name) for name in plain.__struct_fields__}, "score": score})
            record = EvidenceRecord(
                why="reject", station="line1", inspection="top", camera="top", recipe="a", part_id=f"K-{number}",
                frame="", frame_sha256="0" * 64, map=None, artefact_sha256=artefact, verdict=verdict,
            )  # fmt: skip
            kept = store.add(record, PICTURE, None)
            assert kept is not None
            if judged is not None:
                finding = Finding(
                    inspection="top", name=kept.frame.removesuffix(".png"), judged=judged,  # type: ignore[arg-type]
                    who="anna", at=1e9, captured_at=verdict.captured_at, recipe="a",
                )  # fmt: skip
                Findings(folder).put(finding)


@pytest.mark.parametrize(
    ("recipe", "bundle", "variant"),
    [
        pytest.param("a", "tiny@1", "onnx-fp32", id="the-first-choice"),
        pytest.param("b", "tiny@1", "openvino-fp32", id="another-recipe-is-active"),
        pytest.param("a", "tiny@2", "openvino-fp32", id="another-bundle"),
    ],
)
def test_a_threshold_is_that_of_the_variant_that_scores(
    one: Commissioned, tiny_bundle: Path, recipe: str, bundle: str, variant: str
) -> None:
    place = find_place(one.folder / "station.toml", "a", "top")
    facts = bundle_facts(str(tiny_bundle), place.settings)
    assert check_variant(None, place) == facts
    assert check_variant(a_snapshot(recipe, bundle, variant), place) == facts


@pytest.mark.parametrize(
    ("named", "said", "reason"),
    [
        pytest.param(None, "because onnx-fp32 cannot be used here", "other_variant", id="the-first-choice"),
        pytest.param("onnx-fp32", "until it is started again with", "other_variant_until_restart", id="another-one"),
    ],
)
def test_why_no_threshold_is_set_is_said_in_every_language(
    one: Commissioned, named: str | None, said: str, reason: str
) -> None:
    place = find_place(one.folder / "station.toml", "a", "top")
    place = replace(place, settings=msgspec.structs.replace(place.settings, variant=named))
    with pytest.raises(ProblemError, match=f"this device scores with openvino-fp32,? {said}") as refused:
        check_variant(a_snapshot("a", "tiny@1", "openvino-fp32"), place)
    problem = refused.value.problem
    assert (problem.reason, problem.names) == (reason, {"running": "openvino-fp32", "wanted": "onnx-fp32"})
    texts = [table[f"refused_{reason}"] for table in read_texts(Path(str(files("edge_ad.page"))) / "texts").values()]
    assert len(texts) == 3
    assert [("{running}" in text, "{wanted}" in text) for text in texts] == [(True, True)] * 3


def test_the_page_speaks_of_the_variant_that_scores(one: Commissioned, tiny_bundle: Path) -> None:
    calibrate(tiny_bundle, 0.7, variant="openvino-fp32")
    bundle = Bundle.open(tiny_bundle)
    keep(one.folder / "evidence", bundle.artefact_sha256(bundle.variant("openvino-fp32")), {0.6: None, 0.75: "bad"})
    before = one.web.get(f"{PLACE}/threshold", params={"value": 0.8}).json()
    assert (before["before"], before["kept"]) == (0.5, 0)
    one.served.station.scores("top", a_snapshot("a", "tiny@1", "openvino-fp32").inspections["top"])
    assert wait_for(lambda: one.state()["bundle"]["variant"] == "openvino-fp32", 60)
    assert one.state()["bundle"]["threshold"] == 0.7
    change = one.web.get(f"{PLACE}/threshold", params={"value": 0.8}).json()
    assert (change["before"], change["kept"], change["accepted"], change["bad_accepted"]) == (0.7, 2, 1, 1)
    refused = one.ask("threshold", value=0.8, reason="because")
    assert (refused.status_code, refused.json()["reason"]) == (409, "other_variant")
    assert refused.json()["names"]["running"] == "openvino-fp32"


@pytest.mark.parametrize(
    ("title", "calibrated", "named", "expected"),
    [
        pytest.param("tiny@1", True, None, ["openvino-fp32", "openvino-fp32"], id="the-same-bundle"),
        pytest.param("tiny@2", True, None, ["onnx-fp32", "onnx-fp32"], id="another-bundle"),
        pytest.param("tiny@1", False, None, ["onnx-fp32", "onnx-fp32"], id="not-calibrated"),
        pytest.param("tiny@1", True, "onnx-fp32", ["openvino-fp32", "onnx-fp32"], id="named-for-the-next-start"),
    ],
)
def test_which_variant_a_bundle_in_force_and_the_one_before_are_shown_with(
    one: Commissioned,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    title: str,
    calibrated: bool,
    named: str | None,
    expected: list[str],
) -> None:
    calibrate(tiny_bundle, 0.7, "default" if calibrated else "night", "openvino-fp32")
    monkeypatch.setattr("edge_ad.page.commission.previous_bundle", lambda _: str(tiny_bundle))
    place = find_place(one.folder / "station.toml", "a", "top")
    place = replace(place, settings=msgspec.structs.replace(place.settings, variant=named))
    running = scoring_now(a_snapshot("a", title, "openvino-fp32"), place)
    before = previous_facts(place, running)
    assert before is not None
    assert [bundle_facts(str(tiny_bundle), place.settings, running).variant, before.variant] == expected


def test_the_variant_of_a_group_is_the_one_that_is_calibrated_for_it(
    one: Commissioned, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vnni = Processor("x86_64", frozenset({"avx2", "avx512_vnni"}))
    monkeypatch.setattr("edge_ad.bundle.reader.this_processor", lambda: vnni)
    change(tiny_bundle, targets={"x86-vnni": ("onnx-fp32", "openvino-fp32")})
    calibrate(tiny_bundle, 0.7, "night", "openvino-fp32")
    settings = find_place(one.folder / "station.toml", "a", "top").settings
    of_the_group = bundle_facts(str(tiny_bundle), msgspec.structs.replace(settings, calibration="night"))
    assert (of_the_group.variant, of_the_group.threshold) == ("openvino-fp32", 0.7)
    usual = bundle_facts(str(tiny_bundle), settings)
    assert (usual.variant, usual.threshold) == ("onnx-fp32", 0.5)


def a_snapshot(recipe: str, bundle: str, variant: str) -> Snapshot:
    """Of a station that scores with this."""
    scoring = InspectionFacts(
        camera="top", bundle=bundle, variant=variant, engine="e", calibration="default", method="m", threshold=0.5,
        normals=3,
    )  # fmt: skip
    return Snapshot(
        id="1", station="line1", version="1", state=StationState.READY, recipe=recipe, inspections={"top": scoring}
    )


def test_a_threshold_says_what_it_would_change(one: Commissioned, tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    artefact = bundle.artefact_sha256(bundle.variant())
    keep(one.folder / "evidence", artefact, {0.3: None, 0.45: None, 0.6: "bad", 0.65: "good", 0.9: None})
    higher = one.web.get(f"{PLACE}/threshold", params={"value": 0.7}).json()
    assert (higher["kept"], higher["accepted"], higher["rejected"]) == (5, 2, 0)
    assert (higher["bad_accepted"], higher["good_accepted"]) == (1, 1)
    assert {example["part_id"] for example in higher["examples"]} == {"K-2", "K-3"}
    lower = one.web.get(f"{PLACE}/threshold", params={"value": 0.15}).json()
    assert (lower["accepted"], lower["rejected"], lower["normals"]["count"]) == (0, 2, 2)


def test_the_camera_is_compared_with_a_reference(one: Commissioned) -> None:
    write_preview(one.folder / "preview", "P-1")
    reference = one.web.get(f"{PLACE}/reference.jpg")
    assert reference.headers["content-type"] == "image/jpeg"
    assert set(one.web.get(f"{PLACE}/aids").json()) == {"shift"}
    assert one.web.get(f"{PLACE}/taught/..%2fsession.jpg").status_code == 404
    assert one.web.get(f"{PLACE}/taught/0000000000000000-00000001.jpg").status_code == 404


def test_thresholds_that_others_share_are_refused_in_the_language_of_the_page(
    one: Commissioned, tiny_bundle: Path
) -> None:
    with (one.folder / "station.toml").open("a") as file:
        file.write(f'\n[inspect.side]\ncamera = "top"\nbundle = "{tiny_bundle}"\n')
    for what, given in (("threshold", {"value": 0.8, "reason": "because"}), ("teach", {"count": 9})):
        refused = one.ask(what, **given)
        assert (refused.status_code, refused.json()["reason"]) == (409, "shared")
        assert refused.json()["detail"].startswith("side would change along")


def test_counting_before_anything_was_taught_is_refused_in_the_language_of_the_page(one: Commissioned) -> None:
    refused = one.ask("counting", collecting=True)
    assert (refused.status_code, refused.json()["reason"]) == (409, "not_begun")
