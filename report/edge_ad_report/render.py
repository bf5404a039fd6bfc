"""A page as one HTML file."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from edge_ad.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Template

    from edge_ad_report.page import Page

__all__ = ["render_page", "write_page"]


def render_page(page: Page) -> bytes:
    """One HTML file, UTF-8: light and dark, fit to print, and it asks no server for anything."""
    return _template().render(page=page).encode()


def write_page(path: Path, page: Page) -> None:
    """Writes :func:`render_page` to ``path``, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    atomic_write(path, render_page(page))


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edge_ad_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
