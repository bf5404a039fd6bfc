"""The texts of the page: every key in every language, and every key that the page asks for."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from edge_ad.errors import InputError
from edge_ad.link.messages import StationState
from edge_ad.page.assets import read_assets, read_texts
from edge_ad.station import challenges, trials
from edge_ad.station.parts import PartReason
from edge_ad.verdict import DriftState, Reason, State

PAGE = Path(str(files("edge_ad.page")))
TEXTS = read_texts(PAGE / "texts")
STATIC = {path.name: path.read_text(encoding="utf-8") for path in (PAGE / "static").iterdir()}


def holes(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_all_languages_have_the_same_keys_with_the_same_holes() -> None:
    english = {key: holes(text) for key, text in TEXTS["en"].items()}
    assert {code: {key: holes(text) for key, text in table.items()} for code, table in TEXTS.items()} == dict.fromkeys(
        ("en", "de", "es"), english
    )


def test_no_text_is_empty() -> None:
    assert [(code, key) for code, table in TEXTS.items() for key, text in table.items() if not text.strip()] == []


def test_every_text_that_the_page_asks_for_is_in_the_table() -> None:
    asked = set(re.findall(r'data-t(?:-label)?="(\w+)"', STATIC["index.html"]))
    for name, text in STATIC.items():
        asked |= set(re.findall(r'\bt\("(\w+)"', text)) if name.endswith(".js") else set()
    assert len(asked) > 60
    assert asked - TEXTS["en"].keys() == set()


@pytest.mark.parametrize(
    "keys",
    [
        [f"state_{one.value}" for one in State],
        [f"station_{one.value}" for one in StationState],
        [f"drift_{one.value}" for one in DriftState],
        [f"reason_{one.value}" for one in Reason],
        [f"reason_{value}" for name, value in vars(PartReason).items() if name.isupper()],
    ],
    ids=["verdicts", "states", "drift", "reasons", "reasons-of-parts"],
)
def test_every_word_of_the_station_has_a_text(keys: list[str]) -> None:
    assert [key for key in keys if key not in TEXTS["en"]] == []


def test_everything_that_commissioning_refuses_is_said_in_the_language_of_the_page() -> None:
    sources = (Path(str(files("edge_ad.controllers.http"))) / f"commission_{name}.py" for name in ("routes", "views"))
    found = {one for path in sources for one in re.findall(r'ProblemError\(\d+, "(\w+)"', path.read_text())}
    assert {"shared", "signed", "uncalibrated", "other_variant", "other_variant_until_restart", "not_begun"} <= found
    assert {f"refused_{one}" for one in found} - TEXTS["en"].keys() == set()


def test_every_kind_of_alarm_and_fault_has_a_headline() -> None:
    kinds = re.search(r"const KINDS = \[(.*)\]", STATIC["operate.js"])
    assert kinds is not None
    names = set(re.findall(r'"(.*?)"', kinds[1]))
    assert {challenges.ALARM, challenges.REPLAY_ALARM, trials.ALARM} <= names
    found = {name.replace(" ", "_") for name in names}
    assert found == {"camera", "scorer", "stop_rule", "input", "drift", "challenge", "challenge_set", "update"}
    assert {f"about_{kind}" for kind in found} <= TEXTS["en"].keys()
    assert {f"do_{kind}" for kind in ("camera", "scorer", "stop_rule", "input", "other")} <= TEXTS["en"].keys()


def test_a_fourth_language_is_added_by_a_file(tmp_path: Path) -> None:
    french = TEXTS["en"] | {"language": "Français"}
    (tmp_path / "fr.json").write_bytes(msgspec.json.encode(french))
    assets = read_assets(tmp_path)
    assert assets.languages == {"de": "Deutsch", "en": "English", "es": "Español", "fr": "Français"}
    assert msgspec.json.decode(assets.files["fr.json"].data) == french


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fr.json", b'{"language": "x"}', r"fr\.json: texts are missing: about_camera, "),
        ("fr.json", b"[]", "expected a JSON object of texts"),
        ("french.json", b"{}", "expected the name of a language such as"),
    ],
    ids=["missing", "no-table", "no-language"],
)
def test_a_wrong_file_of_texts_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_assets(tmp_path)


def test_the_page_is_small_and_names_no_other_host() -> None:
    assert sum(len(text.encode()) for name, text in STATIC.items() if name.endswith(".js")) < 100_000
    hosts = {one for text in STATIC.values() for one in re.findall(r"https?://([\w.-]+)", text)}
    assert hosts == {"www.w3.org"}  # the name of SVG, which is asked of nobody
