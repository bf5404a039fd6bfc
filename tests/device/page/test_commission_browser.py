"""Commissioning in a real Chromium, as a person does it, before a real station with its scorer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.browser import DESKTOP, PHONE, chromium, opened, seen
from support.commission_ends import Line, line_with

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

_SMALL_TARGETS = """() => [...document.querySelectorAll('button, a, select, input')]
    .filter((one) => one.checkVisibility() && !one.classList.contains('skip'))
    .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
    .filter(([, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


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
        line.kept(1)
        seen(view, "#c-status", "In force: tiny@1")
        view.locator("#c-value").fill("0.9")
        seen(view, "#c-meaning", "It would reject 0 of the 29 good parts")
        view.locator("#c-set #c-reason").fill("the customer wants <b>fewer</b> rejects")
        view.get_by_role("button", name="Set by hand").click()
        line.kept(2)
        seen(view, "#c-status", "set by hand by local: the customer wants <b>fewer</b> rejects")
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.evaluate(_SMALL_TARGETS) == []
        assert [one for one in watched.wrong if "threshold" in one or "Content" in one] == []
