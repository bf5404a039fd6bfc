"""The page in a real Chromium, used as people do: looking, acknowledging, changing the recipe, in every size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.browser import AXE, DESKTOP, PANEL, PHONE, SMALL_TARGETS, opened, seen, serious, until
from support.cable import cable_to
from support.page_served import PageServed, keep_rejects, page_served, write_preview
from support.videos import wait_for

from edge_ad.controllers.security import Role, add_token
from edge_ad.page import read_preview
from edge_ad.verdict import State

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = pytest.mark.parametrize("size", [DESKTOP, PANEL, PHONE], ids=["desktop", "panel", "phone"])
SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PageServed]:
    with page_served(tmp_path) as one:
        yield one


def verdict(page: Page, kind: str) -> None:
    """Waits for this verdict."""
    page.wait_for_selector(f'#verdict[data-show="{kind}"]')


def test_a_person_sees_the_verdict_and_never_an_old_one(browser: Browser, tmp_path: Path) -> None:
    with page_served(tmp_path) as served, opened(browser, served.url) as watched:
        served.part("A-17", State.REJECT)
        seen(watched.page, "#word", "REJECT")
        seen(watched.page, "#part", "A-17")
        served.part("A-18")
        seen(watched.page, "#word", "ACCEPT")
        assert watched.wrong == []
        served.served.station.close()
        verdict(watched.page, "lost")
        seen(watched.page, "#word", "STATION AWAY")
        assert watched.page.locator("#part").inner_text() == ""
    assert {url.partition("//")[2].partition("/")[0] for url in watched.asked} == {served.url.partition("//")[2]}


@pytest.mark.slow
def test_a_connection_that_is_lost_shows_and_comes_back(browser: Browser, page: PageServed) -> None:
    with cable_to(page.served.port) as cable, opened(browser, f"http://127.0.0.1:{cable.port}") as watched:
        page.part("A-1")
        seen(watched.page, "#word", "ACCEPT")
        cable.cut()
        begun = time.monotonic()
        verdict(watched.page, "lost")
        assert time.monotonic() - begun < 30  # three seconds, on a machine that has nothing else to do
        seen(watched.page, "#urgent", "reject parts until the connection is back")
        cable.mend()
        verdict(watched.page, "wait")
        page.part("A-2")
        seen(watched.page, "#part", "A-2")


@pytest.mark.slow
@SIZES
def test_operate_shows_all_there_is(browser: Browser, page: PageServed, size: tuple[int, int]) -> None:
    with opened(browser, page.url, size) as watched:
        view = watched.page
        page.part("A-1")
        page.part("A-2", State.INVALID)
        verdict(view, "invalid")
        seen(view, "#why", "too dark, too bright or without contrast")
        page.part("A-3", State.REJECT)
        verdict(view, "reject")
        seen(view, "#count-list", "Parts")
        until(view, "document.querySelector('#count-list .total dd').textContent === '3'")
        until(view, "document.querySelector('#photo').naturalWidth === 160")
        until(view, "document.querySelector('#map').naturalWidth === 40")
        assert view.locator("#boxes .over").count() == 1
        seen(view, "#caption", "Part P-0: REJECT, score 1.75")
        assert "Scores of the last 3 parts, 1 of them rejected" in str(
            view.locator("#chart").get_attribute("aria-label")
        )
        page.served.station.drift("top", "WATCH")
        seen(view, "#health", "frames are darker")
        assert view.locator("#thumbs img").count() == 3
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.evaluate(SMALL_TARGETS) == []
        height = view.evaluate("parseFloat(getComputedStyle(document.querySelector('#word')).fontSize)")
        assert height >= 60
        assert watched.wrong == []


@pytest.mark.slow
@SIZES
def test_a_fault_says_what_to_do_and_is_reset(browser: Browser, page: PageServed, size: tuple[int, int]) -> None:
    with opened(browser, page.url, size) as watched:
        page.part("A-1")
        seen(watched.page, "#word", "ACCEPT")
        page.served.station.fault("camera top is lost: no frame")
        verdict(watched.page, "fault")
        seen(watched.page, "#causes", "camera top is lost: no frame")
        seen(watched.page, "#causes", "Check the camera's cable")
        seen(watched.page, "#urgent", "FAULT")
        watched.page.get_by_role("button", name="Reset").click()
        verdict(watched.page, "wait")
        assert watched.page.locator("#part").inner_text() == ""


@pytest.mark.slow
@SIZES
def test_an_alarm_is_acknowledged_and_a_recipe_changed(
    browser: Browser, page: PageServed, size: tuple[int, int]
) -> None:
    with opened(browser, page.url, size) as watched:
        view = watched.page
        page.served.station.alarm("rejects", "5 rejects in a row")
        view.get_by_role("button", name="I have seen it: 5 rejects in a row").click()
        view.wait_for_selector("#alarms", state="hidden")
        seen(view, "#recipe", "a")
        view.locator("#recipe-choice").select_option("b")
        view.get_by_role("button", name="Change", exact=True).click()
        seen(view, "#recipe-note", "b is active")
        view.get_by_role("button", name="Confirm the change").click()
        view.wait_for_selector("#recipe-seen", state="hidden")
        asked = [type(one.request).__name__ for one in page.served.station.requests]
        assert [name for name in asked if name in {"AcknowledgeRequest", "RecipeRequest"}] == [
            "AcknowledgeRequest",
            "RecipeRequest",
            "AcknowledgeRequest",
        ]


@pytest.mark.slow
def test_a_reject_is_opened_and_judged_with_the_keyboard_alone(browser: Browser, page: PageServed) -> None:
    with opened(browser, page.url) as watched:
        view = watched.page
        view.wait_for_selector("#thumbs img")
        view.keyboard.press("Tab")
        assert view.evaluate("document.activeElement.className") == "skip"
        for _ in range(60):
            view.keyboard.press("Tab")
            if view.evaluate("document.activeElement.className") == "thumb":
                break
        assert view.evaluate("document.activeElement.textContent").startswith("R-3 · REJECT")
        view.keyboard.press("Enter")
        until(view, "document.querySelector('#kept-picture').naturalWidth === 160")
        view.keyboard.press("Tab")
        view.keyboard.press("Enter")
        seen(view, "#kept-found", "Falsely rejected (local)")
        view.keyboard.press("Escape")
        view.wait_for_selector("#kept", state="hidden")
        seen(view, "#thumbs", "Falsely rejected")
        seen(view, "#rates", "1 of")


@pytest.mark.slow
def test_scripts_in_names_show_as_text(browser: Browser, tmp_path: Path) -> None:
    with page_served(tmp_path, recipes=("a", SCRIPT)) as served:
        keep_rejects(served.evidence, [SCRIPT], time.time() + 5)
        write_preview(served.preview, SCRIPT)
        with opened(browser, served.url) as watched:
            view = watched.page
            served.served.station.alarm("<b>", SCRIPT)
            served.part(SCRIPT, State.REJECT)
            seen(view, "#part", SCRIPT)
            seen(view, "#thumbs", SCRIPT)
            seen(view, "#caption", SCRIPT)
            seen(view, "#alarm-list", SCRIPT)
            view.locator("#recipe-choice").select_option(SCRIPT)
            view.get_by_role("button", name="Change", exact=True).click()
            seen(view, "#recipe", SCRIPT)
            view.get_by_role("button", name=f"I have seen it: {SCRIPT}").click()
            view.wait_for_selector("#alarms", state="hidden")
            served.served.station.fault(SCRIPT)
            seen(view, "#causes", SCRIPT)
            view.locator(".thumb").first.click()
            seen(view, "#kept-title", SCRIPT)
            assert watched.wrong == []
            assert view.locator("img[onerror], main script").count() == 0


@pytest.mark.slow
def test_three_languages_and_the_times_of_the_station(
    browser: Browser, page: PageServed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(browser, page.url, locale="de-DE", timezone_id="Asia/Tokyo") as watched:
        view = watched.page
        page.part("A-1", State.REJECT)
        seen(view, "#word", "SCHLECHT")
        shown = read_preview(page.preview, "top")
        assert shown is not None
        seen(view, "#caption", time.strftime("%H:%M", time.localtime(shown.head.verdict.captured_at)))
        page.served.station.alarm("drift top", "drift of top: WATCH: brightness lower")
        seen(view, "#alarm-list strong", "top sieht nicht mehr, worauf kalibriert wurde")
        seen(view, "#alarm-list [lang=en]", "drift of top: WATCH: brightness lower")
        page.served.station.fault("camera top is lost: no frame", name="camera top")
        seen(view, "#causes strong", "Kamera top liefert keine Bilder")
        seen(view, "#causes [lang=en]", "camera top is lost: no frame")
        view.locator("#open-settings").click()
        view.locator("#language").select_option("es")
        seen(view, "#settings-title", "Ajustes")
        view.locator("#settings-close").click()
        seen(view, "#counts-title", "Este turno")
        assert view.evaluate("document.documentElement.lang") == "es"
        view.reload()
        seen(view, "#counts-title", "Este turno")


@pytest.mark.slow
def test_a_wrong_clock_of_the_browser_changes_nothing(browser: Browser, page: PageServed) -> None:
    with opened(browser, page.url) as watched:
        watched.page.clock.set_system_time("2031-05-05T05:05:05Z")
        watched.page.reload()
        page.part("A-1", State.REJECT)
        seen(watched.page, "#word", "REJECT")
        clock = watched.page.locator("#clock")
        assert wait_for(lambda: time.strftime("%I:", time.localtime()).lstrip("0") in clock.inner_text(), 60)


@pytest.mark.slow
def test_events_that_a_proxy_holds_back_are_asked_for(browser: Browser, page: PageServed) -> None:
    with opened(browser, page.url) as watched:
        watched.page.route("**/page/events*", lambda _: None)
        watched.page.reload()
        page.part("A-1")
        seen(watched.page, "#state", "Ready")
        page.part("A-2", State.REJECT)
        seen(watched.page, "#part", "A-2")


@pytest.mark.slow
def test_a_kiosk_only_looks_and_a_person_logs_in(browser: Browser, tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens.toml", "anna", Role.SUPERVISOR)
    with page_served(tmp_path, tokens=str(tmp_path / "tokens.toml"), kiosk=True) as served:
        with opened(browser, served.url) as watched:
            view = watched.page
            served.served.station.alarm("rejects", "5 rejects in a row")
            seen(view, "#alarm-list", "5 rejects in a row")
            assert view.locator("#alarm-list button, #reset-counts:visible, #recipe-form:visible").count() == 0
            view.locator("#open-settings").click()
            view.locator("#token").fill("ea_wrong")
            view.get_by_role("button", name="Log in").click()
            seen(view, "#log-in-wrong", "This token is not known here.")
            view.locator("#token").fill(token)
            view.get_by_role("button", name="Log in").click()
            view.get_by_role("button", name="I have seen it").wait_for()
            view.locator("#recipe-form").wait_for()
            assert token not in str(view.evaluate("document.cookie + JSON.stringify(localStorage)"))
        with opened(browser, f"{served.url}/?kiosk") as watched:
            assert watched.page.locator("#open-settings:visible").count() == 0


@pytest.mark.slow
def test_without_kiosk_the_page_asks_who_is_there(browser: Browser, tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens.toml", "anna", Role.OPERATOR)
    with page_served(tmp_path, tokens=str(tmp_path / "tokens.toml")) as served, opened(browser, served.url) as watched:
        seen(watched.page, "#log-in-wrong", "Log in to see this station.")
        verdict(watched.page, "lost")
        watched.page.locator("#token").fill(token)
        watched.page.get_by_role("button", name="Log in").click()
        verdict(watched.page, "wait")
        seen(watched.page, "#station", "fake")


@pytest.mark.slow
def test_ten_browsers_see_the_same(browser: Browser, page: PageServed) -> None:
    contexts = [browser.new_context(locale="en-US") for _ in range(10)]
    try:
        views = [one.new_page() for one in contexts]
        for view in views:
            view.goto(page.url)
            view.wait_for_selector("body[data-ready]")
        page.part("A-1", State.REJECT)
        for view in views:
            seen(view, "#part", "A-1")
    finally:
        for one in contexts:
            one.close()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark", "contrast"])
def test_axe_has_nothing_serious_to_say(browser: Browser, page: PageServed, theme: str) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core:  make axe-core")
    with opened(browser, page.url, bypass_csp=True) as watched:
        view = watched.page
        page.served.station.alarm("rejects", "5 rejects in a row")
        page.served.station.drift("top", "WATCH")
        view.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        view.add_script_tag(path=str(AXE))
        shown = {}
        for state in (State.ACCEPT, State.REJECT, State.INVALID):
            page.part(f"A-{state.value}", state)
            seen(view, "#part", f"A-{state.value}")
            shown[state.value] = serious(view)
        view.locator(".thumb").first.click()
        shown["kept"] = serious(view)
        view.keyboard.press("Escape")
        view.locator("#open-settings").click()
        shown["settings"] = serious(view)
        view.keyboard.press("Escape")
        page.served.station.fault("stop rule rejects")
        verdict(view, "fault")
        shown["fault"] = serious(view)
        view.locator("#to-prove").click()
        seen(view, "#report", "Recipe a")
        shown["report"] = serious(view)
        assert [one for one in shown.items() if one[1]] == []


@pytest.mark.slow
@SIZES
def test_a_report_of_the_shift_is_read_and_saved(browser: Browser, page: PageServed, size: tuple[int, int]) -> None:
    with opened(browser, page.url, size) as watched:
        view = watched.page
        page.part("A-1", State.REJECT)
        page.part("A-2", State.INVALID)
        assert wait_for(lambda: page.counted("INVALID") == 1, 60)  # a report is made of the station's own count
        view.get_by_role("link", name="Prove").click()
        seen(view, "#report", "Recipe a")
        view.locator("#all-thumbs .thumb").nth(1).click()
        view.get_by_role("button", name="Truly bad").click()
        seen(view, "#kept-found", "Truly bad (local)")
        view.locator("#kept-close").click()
        seen(view, "#report", "reject judged top/")
        seen(view, "#report", "too dark, too bright or without contrast")
        seen(view, "#report", "highest region of 3 kept rejects")
        with view.expect_download() as saving:
            view.locator("#report-csv").click()
        assert "parts,a,REJECT,1" in Path(saving.value.path()).read_text()
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.evaluate(SMALL_TARGETS) == []
        view.emulate_media(media="print")
        assert view.locator("#report").is_visible()
        assert not view.locator("header").is_visible()
        assert watched.wrong == []
