"""Pages: everything is in the file, and nothing that it shows can run."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_ad_report as report
from edge_ad.errors import OutputError

HOSTILE = "<script>alert('x')</script> & \"quoted\""


class Outline(HTMLParser):
    """Which elements a page has, with their attributes, and the text outside of style."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def chart(alt: str = "a line") -> report.Chart:
    figure = report.new_figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=report.NORMAL, label="line")
    axes.set_xlabel("A < B & C")
    axes.legend()
    report.strip(axes)
    return report.figure_svg(figure, alt=alt, caption=HOSTILE)


def full_page() -> report.Page:
    picture = report.Picture(uri=report.image_data_uri(np.zeros((30, 40, 3), np.uint8)), alt=HOSTILE, caption=HOSTILE)
    signatures = report.SignatureLines((HOSTILE,))
    parts: tuple[report.page.Part, ...] = (
        signatures,
        report.Text(HOSTILE),
        report.Note(HOSTILE, "warning"),
        report.Facts((report.Fact(HOSTILE, HOSTILE, HOSTILE),)),
        report.Table(head=(HOSTILE, "n"), rows=((HOSTILE, "3"),), caption=HOSTILE),
        chart(HOSTILE),
        report.Gallery((picture, picture)),
    )
    sections = (report.Section(HOSTILE, parts),)
    return report.Page(title=HOSTILE, subtitle=HOSTILE, lead=parts[:2], sections=sections, footer=HOSTILE)


def test_text_is_shown_and_never_run() -> None:
    outline = Outline(report.render_page(full_page()))
    assert outline.named("script") == []
    # title (twice: window and heading) and subtitle (with the window's), lead, parts, captions, footer
    assert outline.text.count(HOSTILE) >= 14
    assert outline.named("img")[0]["alt"] == HOSTILE
    assert outline.named("svg")[0]["aria-label"] == HOSTILE


def test_nothing_is_asked_for_outside_the_file() -> None:
    page = report.render_page(full_page())
    outline = Outline(page)
    sources = [
        value for _, attributes in outline.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert [source for source in sources if not str(source).startswith(("data:", "#"))] == []
    assert outline.named("link") == []
    assert re.findall(rb"url\((?!#)", page) == []
    assert b"@import" not in page
    policies = [
        meta["content"] for meta in outline.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_the_same_page_is_the_same_bytes() -> None:
    assert report.render_page(full_page()) == report.render_page(full_page())


def test_ink_takes_the_colour_of_the_page() -> None:
    drawing = chart().markup
    assert report.INK not in drawing
    assert "currentColor" in drawing
    assert report.NORMAL in drawing
    assert "A &lt; B &amp; C" in drawing


def test_letters_of_a_chart_stay_letters() -> None:
    assert "A < B & C" in Outline(chart().markup.encode()).text


def test_a_chart_of_pixels_is_a_png() -> None:
    figure = report.new_figure()
    figure.subplots().plot([0, 1])
    markup = report.figure_png(figure, alt="x").markup
    data = base64.b64decode(str(Outline(markup.encode()).named("img")[0]["src"]).partition("base64,")[2])
    assert data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("width_in", "wide"), [pytest.param(5.2, False, id="half"), pytest.param(10.6, True, id="whole")]
)
def test_a_wide_chart_has_a_row_to_itself(width_in: float, wide: bool) -> None:
    figure = report.new_figure(width_in)
    figure.subplots()
    assert report.figure_svg(figure, alt="x").wide is wide


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param((30, 40, 3), (30, 40), id="small stays"),
        pytest.param((1000, 2000), (160, 320), id="wide and gray"),
        pytest.param((2000, 1, 3), (320, 1), id="a line"),
    ],
)
def test_photographs_are_shrunk_and_keep_their_shape(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    image = np.full(shape, 90, np.uint8)
    uri = report.image_data_uri(image, longest_px=320)
    data = np.frombuffer(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,")), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape[:2] == expected
    assert np.abs(decoded.astype(int) - 90).max() <= 2


def test_a_row_that_does_not_fit_the_head_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 cells as in the head"):
        report.Table(head=("a", "b"), rows=(("1",),))


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    page = report.Page(title="t")
    report.write_page(tmp_path / "page.html", page)
    assert (tmp_path / "page.html").read_bytes() == report.render_page(page)
    with pytest.raises(OutputError, match="its folder does not exist"):
        report.write_page(tmp_path / "absent/page.html", page)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        pytest.param("a short-word", "a short-word", id="short"),
        pytest.param(
            "/data/held_out/part-0001.png", "/data/<wbr>held_<wbr>out/<wbr>part-<wbr>0001<wbr>.png", id="path"
        ),
        pytest.param("<i>/long/enough/to/break</i>", "&lt;i&gt;/long/<wbr>enough", id="escaped"),
    ],
)
def test_long_words_break_after_their_separators(text: str, html: str) -> None:
    page = report.Page(title="t", sections=(report.Section("s", (report.Text(text),)),))
    assert f"<p>{html}" in report.render_page(page).decode()


def test_a_picture_has_its_verdict_in_words_and_its_path_in_small_letters() -> None:
    picture = report.Picture(uri="data:", alt="a part", caption="score 3", tag="REJECT", tone="bad", detail="a.png")
    page = report.Page(title="t", sections=(report.Section("s", (report.Gallery((picture,)),)),))
    assert '<b class="tag bad">REJECT</b> score 3<small>a.png</small>' in report.render_page(page).decode()


@pytest.mark.parametrize("shape", [pytest.param((40, 60), id="gray"), pytest.param((40, 60, 3), id="colour")])
def test_an_outline_is_drawn_in_cyan_around_what_is_marked(shape: tuple[int, ...]) -> None:
    image = np.full(shape, 90, np.uint8)
    mask = np.zeros((40, 60), np.bool_)
    mask[10:20, 20:40] = True
    drawn = report.outline(image, mask)
    assert drawn.shape == (40, 60, 3)
    assert drawn[10, 30].tolist() == [255, 255, 0]
    assert drawn[15, 30].tolist() == [90, 90, 90]
    assert (image == 90).all()
