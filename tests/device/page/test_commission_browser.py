"""Commissioning in a real Chromium, as a person does it, before a real station with its scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import tiny
from support.browser import AXE, DESKTOP, PHONE, SMALL_TARGETS, opened, seen, serious, until
from support.commission_ends import Line, line_with
from support.commissioned import Commissioned, commissioned
from support.page_served import write_preview
from support.taught import teach
from support.tiny_calibration import calibrate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture
def line(tiny_bundle: Path, tmp_path: Path) -> Iterator[Line]:
    with line_with(tiny_bundle, tmp_path) as one:
        yield one


def taught(view: Page, line: Line) -> None:
    """Counts parts on the page until there are enough, and calibrates."""
    view.locator("#c-rate").select_option("0.1")
    view.get_by_role("button", name="Count the next good parts").click()
    seen(view, "#c-counted", "good parts counted")
    line.taught(29)
    seen(view, "#c-counted", "29 of 29 good parts")
    view.get_by_role("button", name="Calibrate with these parts").click()
    seen(view, "#c-promise", "At most 10% of good parts are rejected")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_person_teaches_and_sets_a_threshold(browser: Browser, line: Line, size: tuple[int, int]) -> None:
    with opened(browser, f"{line.url}/#commission", size) as watched:
        view = watched.page
        watched.accepts = True
        seen(view, "#c-status", "Not calibrated: every part is rejected")
        taught(view, line)
        assert view.locator("#c-highest img").count() == 12
        view.get_by_role("button", name="All are good: take into use").click()
        seen(view, "#c-steps", "In use, on trial")
        seen(view, "#c-status", "On trial: tiny@1. Let parts come")
        line.kept(1)
        seen(view, "#c-status", "In force: tiny@1")
        view.locator("#c-value").fill("0.9")
        seen(view, "#c-meaning", "It would reject 0 of the 29 good parts")
        view.locator("#c-set #c-reason").fill("the customer wants <b>fewer</b> rejects")
        view.get_by_role("button", name="Set by hand").click()
        line.kept(2)
        seen(view, "#c-status", "in doubt. The threshold was set by hand by local: the customer wants <b>fewer</b>")
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.evaluate(SMALL_TARGETS) == []
        assert [one for one in watched.wrong if "threshold" in one or "Content" in one] == []


@pytest.fixture
def desk(tiny_bundle: Path, tmp_path: Path) -> Iterator[Commissioned]:
    """A page whose station is fake, and whose inspection has a calibration and a picture."""
    calibrate(tiny_bundle, 0.5)
    write_preview(tmp_path / "preview", "P-0")
    with commissioned(tiny_bundle, tmp_path) as one:
        yield one


def count(desk: Commissioned, parts: int, name: str = "P") -> None:
    """So many parts are counted while nobody looks."""
    since = desk.state()["session"]["since"]
    pictures = [(f"{name}-{number}", frame) for number, frame in enumerate(tiny.frames(parts, seed=5))]
    teach(desk.folder / "teaching", pictures, since=since)


def points_on(view: Page, places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places as shares of the picture, in pixels of the window."""
    box = view.locator("#c-stage").bounding_box()
    assert box is not None
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]


def drag(view: Page, places: list[tuple[float, float]]) -> None:
    """Draws with the mouse from place to place."""
    points = points_on(view, places)
    view.mouse.move(*points[0])
    view.mouse.down()
    for point in points[1:]:
        view.mouse.move(*point, steps=8)
    view.mouse.up()


def swipe(view: Page, places: list[tuple[float, float]]) -> None:
    """Draws with a finger from place to place. Playwright itself can only tap."""
    touch = view.context.new_cdp_session(view)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    points = points_on(view, places)
    send("touchStart", points[0])
    for (x, y), (to_x, to_y) in pairwise(points):
        for step in range(1, 9):
            send("touchMove", (x + (to_x - x) * step / 8, y + (to_y - y) * step / 8))
    send("touchEnd")


@pytest.mark.parametrize(
    ("size", "draw", "context"),
    [(DESKTOP, drag, {}), (PHONE, drag, {}), (PHONE, swipe, {"has_touch": True, "is_mobile": True})],
    ids=["desktop", "phone", "finger"],
)
def test_regions_are_drawn_and_wait_for_a_calibration(
    browser: Browser,
    desk: Commissioned,
    size: tuple[int, int],
    draw: Callable[[Page, list[tuple[float, float]]], None],
    context: dict[str, bool],
) -> None:
    with opened(browser, f"{desk.url}/#commission", size, **context) as watched:
        view = watched.page
        seen(view, "#c-regions-note", "The whole picture is inspected")
        until(view, "document.querySelector('#c-roi-w').value === '160'")
        view.get_by_role("button", name="Draw region").click()
        view.locator("#c-stage").scroll_into_view_if_needed()
        draw(view, [(0.25, 0.25), (0.75, 0.75)])
        seen(view, "#c-regions-note", "Drawn, not saved")
        until(view, "Math.abs(document.querySelector('#c-roi-w').value - 80) < 4")
        view.get_by_role("button", name="Draw ignored area").click()
        view.locator("#c-stage").scroll_into_view_if_needed()
        draw(view, [(0.3, 0.3), (0.5, 0.3), (0.5, 0.5), (0.3, 0.5)])
        seen(view, "#c-regions-note", "Areas that are ignored: 1")
        view.locator("#c-roi-x").fill("10")
        view.locator("#c-roi-x").press("Tab")
        view.get_by_role("button", name="Save regions").click()
        seen(view, "#c-regions-note", "Other regions change all scores")
        assert watched.wrong == []
    kept = desk.state()["session"]["regions"]
    assert (kept["roi"][0], len(kept["ignored"])) == (10, 1)


def test_a_closed_browser_ends_nothing_and_what_goes_on_is_found_again(browser: Browser, desk: Commissioned) -> None:
    with opened(browser, f"{desk.url}/#commission") as watched:
        watched.page.locator("#c-rate").select_option("0.1")
        watched.page.get_by_role("button", name="Count the next good parts").click()
        seen(watched.page, "#c-counted", "0 of 29 good parts counted")
    count(desk, 29)
    with opened(browser, f"{desk.url}/#commission", PHONE) as watched:
        seen(watched.page, "#c-counted", "29 of 29 good parts")
        watched.page.get_by_role("button", name="Calibrate with these parts").click()
        seen(watched.page, "#c-note", "has begun to calibrate")
    with opened(browser, f"{desk.url}/#commission") as watched:
        seen(watched.page, "#c-promise", "At most 10% of good parts are rejected")
        watched.page.locator("#c-highest button").first.click()
        watched.page.locator("#c-out-reason").fill("there is dirt on it")
        watched.page.get_by_role("button", name="Take this part out").click()
        seen(watched.page, "#c-excluded", "was taken out by local: there is dirt on it")
        watched.page.get_by_role("button", name="Calibrate with these parts").click()
        seen(watched.page, "#c-promise", "Too few parts for this promise: 28 were counted, 29 are needed")


def test_who_comes_second_is_told(browser: Browser, desk: Commissioned) -> None:
    with opened(browser, f"{desk.url}/#commission") as watched:
        seen(watched.page, "#c-status", "threshold 0.5")
        watched.page.route("**/page/commission/a/top", lambda route: route.abort())  # it has not seen the change yet
        assert desk.ask("teach", count=7).status_code == 200
        watched.page.get_by_role("button", name="Count the next good parts").click()
        seen(watched.page, "#note", "somebody else has changed it meanwhile")
    assert desk.state()["session"]["wanted"] == 7


def test_scripts_in_names_and_reasons_show_as_text(browser: Browser, desk: Commissioned) -> None:
    assert desk.ask("teach", count=29, alpha=0.1).status_code == 200
    count(desk, 29, SCRIPT)
    assert desk.ask("exclude", part=f"{SCRIPT}-3", reason=SCRIPT).status_code == 200
    assert desk.ask("exclude", part=f"{SCRIPT}-3", reason=None).status_code == 200
    assert desk.ask("exclude", part="gone", reason=SCRIPT).status_code == 200
    assert desk.ask("calibrate", alpha=0.1, confidence=0.95).status_code == 202
    with opened(browser, f"{desk.url}/#commission") as watched:
        seen(watched.page, "#c-highest", SCRIPT)
        seen(watched.page, "#c-excluded", SCRIPT)
        watched.page.locator("#c-highest button").first.click()
        seen(watched.page, "#c-out-title", SCRIPT)
        assert watched.page.locator("img[onerror]").count() == 0
        assert watched.wrong == []


@pytest.mark.parametrize("theme", ["light", "dark", "contrast"])
def test_axe_finds_no_barrier(browser: Browser, desk: Commissioned, theme: str) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core:  make axe-core")
    assert desk.ask("teach", count=29, alpha=0.1).status_code == 200
    count(desk, 29)
    assert desk.ask("calibrate", alpha=0.1, confidence=0.95).status_code == 202
    with opened(browser, f"{desk.url}/#commission", bypass_csp=True) as watched:
        view = watched.page
        seen(view, "#c-promise", "At most 10% of good parts are rejected")
        view.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        view.add_script_tag(path=str(AXE))
        shown = {"commission": serious(view)}
        view.locator("#c-highest button").first.click()
        shown["taken out"] = serious(view)
        assert [one for one in shown.items() if one[1]] == []
