"""A controller whose station file may be taught, before a fake station."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.http_served import Served, http_served
from support.station_files import to_toml

__all__ = ["PLACE", "Commissioned", "commissioned"]

PLACE = "/page/commission/a/top"


class Commissioned:
    """A controller whose station file may be taught, and a client of it."""

    def __init__(self, web: httpx.Client, folder: Path, served: Served) -> None:
        self.web = web
        self.folder = folder
        self.served = served

    @property
    def url(self) -> str:
        return self.served.url

    def state(self) -> Any:
        return self.web.get(PLACE).raise_for_status().json()["state"]

    def ask(self, what: str, method: str = "POST", **body: object) -> httpx.Response:
        given = {"version": self.state()["session"]["version"], **body}
        return self.web.request(method, f"{PLACE}/{what}", json=given)


@contextmanager
def commissioned(bundle: Path, folder: Path, **given: Any) -> Iterator[Commissioned]:
    tables = {
        "station": {"name": "line1", "trigger": "link"},
        "camera": {"top": {"source": "link"}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        "recipe": {"a": {}, "b": {}},
        "link": {"socket": "s.sock"},
        "update": {"folder": "updates"},
        "teaching": {"folder": "teaching"},
    }
    (folder / "station.toml").write_text(to_toml(tables))
    table = {"evidence": str(folder / "evidence"), "preview": str(folder / "preview"), **given}
    with (
        http_served(folder, station_file=folder / "station.toml", **table) as served,
        httpx.Client(base_url=served.url, timeout=60) as web,
    ):
        yield Commissioned(web, folder, served)
