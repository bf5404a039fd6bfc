"""A station is proved in a real Chromium, as a person does it: parts put in, a set replayed, a lock opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.browser import AXE, DESKTOP, PHONE, SMALL_TARGETS, opened, seen, serious, until
from support.proving_station import proving_station
from support.tiny_calibration import calibrate

from edge_ad.station.proofs import ProofOutcome
from edge_ad.verdict import State

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


def press(view: Page, name: str) -> None:
    view.get_by_role("button", name=name, exact=True).click()


def put_in(view: Page, name: str) -> None:
    """Says that the next part comes, as soon as the page asks for this one."""
    seen(view, "#challenge-next", f"Next part: {name}")
    press(view, "It comes now")
    seen(view, "#challenge-next", f"Put in {name}")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_locked_station_is_proved_by_parts(
    browser: Browser, bundle: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    with proving_station(tmp_path, bundle, lock=True) as station, opened(browser, station.url, size) as watched:
        view = watched.page
        assert station.part().reason == "locked"
        seen(view, "#why", "the station is not proved now")
        view.get_by_role("link", name="Prove").click()
        seen(view, "#challenge-status", "Locked: the challenge parts have not been put in yet")
        press(view, "Begin")
        put_in(view, "G-1")
        assert station.part(part_id="17").challenge == "G-1"
        seen(view, "#challenge-parts", "ACCEPT ✓ right")
        assert station.part().reason == "locked"
        put_in(view, "B-1 scratch")
        station.part(is_bad=True)
        put_in(view, "B-2 dent")
        station.part(is_bad=True)
        seen(view, "#challenge-status", "Last challenge: passed")
        assert station.part().state is State.ACCEPT
        seen(view, "#report", "Measurement system: parts, recipe default")
        seen(view, "#report", "100% (from 29% to 100%)")
        seen(view, "#report", "not shown: too few runs")
        seen(view, "#report", "Challenge parts (not counted above)")
        seen(view, "#report", "Proofs")
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.evaluate(SMALL_TARGETS) == []
        assert watched.wrong == []
    assert [one.outcome for one in station.proofs() if one.kind == "parts"] == [ProofOutcome.BEGUN, ProofOutcome.PASSED]


def test_a_missed_part_is_shown_and_two_people_do_not_get_in_each_others_way(
    browser: Browser, bundle: Path, tmp_path: Path
) -> None:
    with (
        proving_station(tmp_path, bundle) as station,
        opened(browser, f"{station.url}/#prove") as first,
        opened(browser, f"{station.url}/#prove", PHONE) as second,
    ):
        press(first.page, "Begin")
        seen(second.page, "#challenge-status", "has begun a challenge")
        put_in(first.page, "G-1")
        seen(second.page, "#challenge-next", "Put in G-1")
        station.part()
        put_in(second.page, "B-1 scratch")
        station.part()
        seen(first.page, "#challenge-parts", "ACCEPT ✗ WRONG")
        put_in(first.page, "B-2 dent")
        station.part(is_bad=True)
        seen(second.page, "#challenge-status", "Last challenge: FAILED")
        seen(second.page, "#challenge-status", "A part was judged wrongly. Look at the part, the camera and the light")
        seen(second.page, "#proved", "wrong: B-1 scratch")
        seen(second.page, "#report", "NOT ACCEPTABLE")
        second.page.get_by_role("link", name="Operate").click()
        seen(second.page, "#alarm-list", "the challenge parts were not passed: wrong: B-1 scratch")
        assert first.wrong + second.wrong == []


def test_a_set_is_replayed_from_the_page(browser: Browser, bundle: Path, tmp_path: Path) -> None:
    with proving_station(tmp_path, bundle, {}) as station, opened(browser, f"{station.url}/#prove") as watched:
        view = watched.page
        seen(view, "#challenge-set", "Challenge set: passed")
        seen(view, "#challenge-set", "Why: the first time.")
        assert not view.locator("#challenge-begin").is_visible()
        press(view, "Replay it three times")
        seen(view, "#challenge-set", "Why: somebody asked.")
        seen(view, "#report", "4 parts (2 bad), 16 runs in 2 proofs")
        assert watched.wrong == []
    assert [len(one.parts) for one in station.proofs()] == [4, 12]


def test_a_station_that_is_restarted_in_the_midst_says_so(browser: Browser, bundle: Path, tmp_path: Path) -> None:
    with proving_station(tmp_path, bundle, lock=True) as station, opened(browser, f"{station.url}/#prove") as watched:
        view = watched.page
        press(view, "Begin")
        put_in(view, "G-1")
        station.restart()
        seen(view, "#challenge-status", "Locked: the challenge parts have not been put in yet")
        seen(view, "#proved", "interrupted")
        view.wait_for_selector("#challenge-begin:visible")
        assert station.part().reason == "locked"
    assert [one.outcome for one in station.proofs() if one.kind == "parts"] == [
        ProofOutcome.BEGUN,
        ProofOutcome.INTERRUPTED,
    ]


@pytest.mark.parametrize("theme", ["light", "dark", "contrast"])
def test_axe_has_nothing_serious_to_say_of_a_challenge(
    browser: Browser, bundle: Path, tmp_path: Path, theme: str
) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core:  make axe-core")
    with (
        proving_station(tmp_path, bundle, lock=True) as station,
        opened(browser, f"{station.url}/#prove", bypass_csp=True) as watched,
    ):
        view = watched.page
        view.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        view.add_script_tag(path=str(AXE))
        seen(view, "#challenge-status", "Locked")
        found = {"locked": serious(view)}
        press(view, "Begin")
        put_in(view, "G-1")
        found["running"] = serious(view)
        station.part(is_bad=True)
        for name in ("B-1 scratch", "B-2 dent"):
            put_in(view, name)
            station.part(is_bad=True)
        seen(view, "#proved", "wrong: G-1")
        found["failed"] = serious(view)
        assert found == {"locked": [], "running": [], "failed": []}


def test_scripts_in_names_of_parts_show_as_text(browser: Browser, bundle: Path, tmp_path: Path) -> None:
    parts = {"good_parts": [SCRIPT], "bad_parts": [f"B{SCRIPT}"]}
    with proving_station(tmp_path, bundle, parts) as station, opened(browser, f"{station.url}/#prove") as watched:
        view = watched.page
        seen(view, "#challenge-parts", SCRIPT)
        press(view, "Begin")
        put_in(view, SCRIPT)
        station.part(is_bad=True)
        put_in(view, f"B{SCRIPT}")
        station.part(is_bad=True)
        seen(view, "#proved", f"wrong: {SCRIPT}")
        until(view, "document.querySelectorAll('img[src=x]').length === 0")
        assert watched.wrong == []
