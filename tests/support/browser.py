"""A real Chromium, driven by Playwright; tests are skipped where one of them is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.paths import ROOT
from support.videos import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

__all__ = [
    "AXE", "DESKTOP", "PANEL", "PHONE", "SMALL_TARGETS", "Watched", "chromium", "opened", "seen", "serious", "until",
]  # fmt: skip

CHROMIUM = Path("/usr/bin/chromium")
DESKTOP, PANEL, PHONE = (1440, 900), (800, 480), (390, 844)
PATIENCE_MS = 60_000.0
AXE = ROOT / "build/axe-core/axe.min.js"
SMALL_TARGETS = """() => [...document.querySelectorAll('button, a, select, input')]
    .filter((one) => one.checkVisibility() && !one.classList.contains('skip'))
    .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
    .filter(([, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""
"""What a gloved finger cannot hit: controls of less than 44 pixels."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    if not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs the distribution's package chromium and  pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and what went wrong in it: errors of scripts, refusals of the content security policy, dialogs.

    ``accepts``: the person says yes to what is asked; otherwise a dialog is wrong.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.accepts = False
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.asked.append(request.url))

    def _dialog(self, dialog: Dialog) -> None:
        if self.accepts:
            dialog.accept()
            return
        self.wrong.append(dialog.message)
        dialog.dismiss()


@contextmanager
def opened(browser: Browser, url: str, size: tuple[int, int] = DESKTOP, **context: Any) -> Iterator[Watched]:
    """The page at this address in a fresh context, as soon as it has been built."""
    width, height = size
    fresh = browser.new_context(viewport={"width": width, "height": height}, **{"locale": "en-US", **context})
    fresh.set_default_timeout(PATIENCE_MS)
    try:
        watched = Watched(fresh.new_page())
        watched.page.goto(url)
        watched.page.wait_for_selector("body[data-ready]")
        yield watched
    finally:
        fresh.close()


def seen(page: Page, selector: str, text: str) -> None:
    """Waits until an element shows this text."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(text, timeout=PATIENCE_MS)


def until(page: Page, expression: str) -> None:
    """Waits until an expression is true. Playwright's own way needs ``eval``, which the page's policy forbids."""
    assert wait_for(lambda: bool(page.evaluate(expression)), PATIENCE_MS / 1e3), expression


def serious(view: Page) -> list[object]:
    """What axe, which the page has loaded, finds; but for what is minor."""
    found = view.evaluate("axe.run(document).then((found) => found.violations)")
    kept = [one for one in found if one["impact"] in {"serious", "critical", "moderate"}]
    return [[one["id"], [node["html"][:120] for node in one["nodes"]]] for one in kept]
