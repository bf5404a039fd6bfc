"""The page of a real station, its scorer and its controller, each a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support import tiny
from support.browser import chromium, opened, seen, until
from support.ports import free_port
from support.station_files import to_toml
from support.tiny_calibration import calibrate
from support.videos import wait_for


@pytest.mark.slow
def test_a_real_station_shows_what_it_sees(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    pictures = tiny.frames(400)
    for number in range(3, 400, 4):
        pictures[number] = tiny.spotted(pictures[number], 20, 20)
    tiny.write_images(tmp_path / "images", pictures)
    port = free_port()
    tables = {
        "station": {"name": "line-7", "deadline_ms": 60_000},
        "camera": {"top": {"source": "images", "pace": "real", "fps": 4.0}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
        "link": {"socket": "s.sock"},
        "evidence": {"folder": "evidence"},
        "preview": {"folder": "preview"},
        "drift": {"folder": "drift"},
        "controller": {
            "page": {"protocol": "http", "port": port, "preview": "preview", "evidence": "evidence"},
        },
    }
    (tmp_path / "station.toml").write_text(to_toml(tables))
    with running("run", tmp_path / "station.toml"), running("connect", tmp_path / "station.toml"):
        assert wait_for(lambda: answers(port), 120)
        with chromium() as browser, opened(browser, f"http://127.0.0.1:{port}") as watched:
            view = watched.page
            seen(view, "#station", "line-7")
            view.wait_for_selector('#verdict[data-show="reject"]')
            seen(view, "#rates", "at most 50%, with 50% confidence (3 normals)")
            seen(view, "#health", "Controller page")
            seen(view, "#caption", "REJECT")
            until(view, f"document.querySelector('#photo').naturalWidth === {tiny.FRAME[1]}")
            until(view, "document.querySelectorAll('#boxes .over').length > 0")
            until(view, "document.querySelectorAll('#thumbs img').length > 0")
            assert watched.wrong == []


@contextmanager
def running(command: str, file: Path) -> Iterator[None]:
    """``edge-ad run`` or ``edge-ad connect`` until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_ad", command, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    """Whether the page is served there, and the station is reached."""
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/page/state", timeout=10).json()["station"]["connected"])
    except httpx.HTTPError:
        return False
