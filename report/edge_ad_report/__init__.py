"""Self-contained HTML pages for people: one template, charts and pictures embedded. A workstation package.

>>> from edge_ad_report import Page, Section, Table, write_page           # doctest: +SKIP
>>> table = Table(head=("set", "images"), rows=(("test", "46"),))         # doctest: +SKIP
>>> write_page(path, Page(title="Evaluation", sections=(Section("Data", (table,)),)))   # doctest: +SKIP
"""

from __future__ import annotations

from edge_ad_report.charts import (
    ANOMALY,
    FAINT,
    INK,
    LIMIT,
    NORMAL,
    figure_png,
    figure_svg,
    image_data_uri,
    new_figure,
    outline,
    strip,
)
from edge_ad_report.page import (
    Chart,
    Fact,
    Facts,
    Gallery,
    Note,
    Page,
    Picture,
    Section,
    SignatureLines,
    Table,
    Text,
    render_page,
    write_page,
)

__all__ = [
    "ANOMALY",
    "FAINT",
    "INK",
    "LIMIT",
    "NORMAL",
    "Chart",
    "Fact",
    "Facts",
    "Gallery",
    "Note",
    "Page",
    "Picture",
    "Section",
    "SignatureLines",
    "Table",
    "Text",
    "figure_png",
    "figure_svg",
    "image_data_uri",
    "new_figure",
    "outline",
    "render_page",
    "strip",
    "write_page",
]
