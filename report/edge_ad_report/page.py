"""A page: what it is made of, and writing it as one HTML file.

Text is plain text: whatever is in it is shown, never run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from edge_ad.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Template
    from markupsafe import Markup

__all__ = [
    "Chart",
    "Fact",
    "Facts",
    "Gallery",
    "Note",
    "Page",
    "Part",
    "Picture",
    "Section",
    "SignatureLines",
    "Table",
    "Text",
    "render_page",
    "write_page",
]


_LONG_WORD = 16
_BEFORE_PERCENT = re.compile(r"(?<=\d) (?=%)")
_SEPARATORS = re.compile(r"(?<=\w)[/\\_=#:,-]+(?=.)|(?<=.)(?=\.)")


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that must not be missed: a remark, or a warning."""

    kind: ClassVar[str] = "note"
    text: str
    level: Literal["note", "warning"] = "note"


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure, its name above and what qualifies it below. ``level``: a warning stands out in colour."""

    label: str
    value: str
    detail: str = ""
    level: Literal["", "warning"] = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The few figures that a reader came for, set large."""

    kind: ClassVar[str] = "facts"
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text as they are to be shown. Columns from ``text_columns`` on are figures and stand on the right.

    Raises:
        ValueError: a row is not as long as the head.
    """

    kind: ClassVar[str] = "table"
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    text_columns: int = 1

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"expected {len(self.head)} cells as in the head {self.head}, found {row}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawn figure, from ``figure_svg`` or ``figure_png``; a wide one has a row to itself.

    ``markup``: HTML that needs nothing from outside.
    """

    kind: ClassVar[str] = "chart"
    markup: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A photograph. ``uri``: from ``image_data_uri``. ``alt``: what it shows, for readers who cannot see it.

    ``tag``: one or two words on a coloured ground before the caption, such as a verdict; ``tone`` is its colour.
    ``detail``: a line in small letters below the caption, such as the path of the file.
    """

    uri: str
    alt: str
    caption: str = ""
    tag: str = ""
    tone: Literal["", "good", "bad", "unsure"] = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures side by side."""

    kind: ClassVar[str] = "gallery"
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class SignatureLines:
    """Lines to sign on paper: a row for each role, with room for name, date and signature."""

    kind: ClassVar[str] = "signatures"
    roles: tuple[str, ...]


Part: TypeAlias = Text | Note | Facts | Table | Chart | Gallery | SignatureLines


@dataclass(frozen=True, slots=True)
class Section:
    """A titled run of parts; charts that follow one another stand side by side where there is room."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``lead``: what stands above the first section. ``subtitle``: what was looked at, one short line."""

    title: str
    subtitle: str = ""
    lead: tuple[Part, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: str = ""


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
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html")


def _breakable(text: str) -> Markup:
    """The text as HTML. Long words, such as paths, may be broken after their separators; a number keeps its ``%``."""
    from markupsafe import Markup

    return Markup(" ").join(map(_word, _BEFORE_PERCENT.sub("\u00a0", text).split(" ")))


def _word(word: str) -> Markup:
    from markupsafe import Markup

    if word.startswith("--"):  # an option, which a browser would break after its hyphens
        return Markup('<span class="short">{}</span>').format(word)
    return Markup("<wbr>").join((_SEPARATORS.sub(r"\g<0>\n", word) if len(word) > _LONG_WORD else word).split("\n"))
