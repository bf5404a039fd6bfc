"""``make bench-page``: what the page costs while a browser shows it, and whether its memory grows in eight hours.

The cost is measured in turns, with and without the browser, on one station: what its controller and its scorer take of
a core, and how long a part takes from trigger to result. The browser itself is not counted: it runs somewhere else.
Here it takes time of the same cores, so a third turn asks for all that the page asks for without drawing it.
Eight hours are the results of two parts a second, handed to a controller as fast as it takes them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.station import Tree, by_link, running
from edge_ad.bundle import Bundle
from edge_ad.link import Client, FakeStation, Judgement
from edge_ad.sources import list_images, read_image
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PER_S = 2.0
_HOURS, _PARTS_AN_HOUR = 8, 7_200
_SETTLE_S = 3.0
_TURNS = _NOBODY, _BROWSER, _PROGRAM = "nobody looks", "one browser looks", "the same requests alone"


@contextmanager
def controller(file: Path, port: int) -> Iterator[Tree]:
    """``edge-ad connect`` with the page, in a process of its own."""
    command = [sys.executable, "-m", "edge_ad", "connect", str(file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not _answers(port):
                if time.monotonic() > end or process.poll() is not None:
                    raise click.ClickException("the controller did not begin to serve")
                time.sleep(0.1)
            yield Tree(process.pid)
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _bring(client: Client, frames: list[NDArray[np.uint8]], seconds: float) -> list[float]:
    """Two parts a second; what each took from trigger to result, in milliseconds."""
    taken = []
    begin = time.monotonic()
    for number in range(round(seconds * _PER_S)):
        time.sleep(max(0.0, begin + number / _PER_S - time.monotonic()))
        asked = time.perf_counter()
        client.result(client.hand_in(frames[number % len(frames)], f"P{number}"), timeout_s=30)
        taken.append((time.perf_counter() - asked) * 1e3)
    return taken


@contextmanager
def asking(port: int) -> Iterator[None]:
    """Asks for what the page asks for, until the end of the block: events, and four pictures a second."""
    is_over = threading.Event()
    web = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def hear() -> None:
        with web.stream("GET", "/page/events") as stream:
            for _ in stream.iter_bytes():
                if is_over.is_set():
                    return

    def look() -> None:
        while not is_over.wait(0.25):
            web.get("/page/preview/c0")

    threads = [threading.Thread(target=hear), threading.Thread(target=look)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        is_over.set()
        for one in threads:
            one.join()
        web.close()


def cost(folder: Path, bundle: Path, variant: str, frames: list[NDArray[np.uint8]], turns: int, seconds: float) -> None:
    """In turns: nobody looks, one browser looks, or a program asks for the same."""
    port, preview = _free_port(), folder / "preview"
    kept = f'preview = "{preview}"\nevidence = "{folder / "evidence"}"'
    tables = (
        f'{by_link(bundle, variant)}\n[preview]\nfolder = "{preview}"\n[evidence]\nfolder = "{folder / "evidence"}"'
    )
    tables += f'\n[controller.page]\nprotocol = "http"\nport = {port}\n{kept}'
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in _TURNS}
    taken: dict[str, list[float]] = {name: [] for name in _TURNS}
    with (
        running(folder, tables) as (station, path),
        controller(folder / "station.toml", port) as page,
        chromium() as browser,
        Client(path) as client,
    ):
        _bring(client, frames, _SETTLE_S)
        for turn in range(len(_TURNS) * turns):
            name = _TURNS[turn % len(_TURNS)]
            with ExitStack() as stack:
                if name == _BROWSER:
                    context = stack.enter_context(closing(browser.new_context()))
                    context.new_page().goto(f"http://127.0.0.1:{port}/")
                elif name == _PROGRAM:
                    stack.enter_context(asking(port))
                _bring(client, frames, _SETTLE_S)
                begin, before = time.monotonic(), (page.cpu_s(), station.cpu_s())
                taken[name] += _bring(client, frames, seconds)
                spent = time.monotonic() - begin
                shares[name].append(((page.cpu_s() - before[0]) / spent, (station.cpu_s() - before[1]) / spent))
            time.sleep(_SETTLE_S)
    print(
        f"{turns} turns of {seconds:g} s each, {_PER_S:g} parts a second of {frames[0].shape[1]}x{frames[0].shape[0]}"
    )
    print(f"  {'':<24}{'controller':>12}{'station':>12}{'p10 ms':>9}{'p50 ms':>9}{'p99 ms':>9}")
    for name in _TURNS:
        share = np.mean(shares[name], axis=0)
        p10, p50, p99 = np.percentile(taken[name], [10, 50, 99])
        print(f"  {name:<24}{share[0]:>12.1%}{share[1]:>12.1%}{p10:>9.2f}{p50:>9.2f}{p99:>9.2f}")
    more = np.sum(np.mean(shares[_BROWSER], axis=0) - np.mean(shares[_NOBODY], axis=0))
    usual = np.percentile(taken[_NOBODY], 10)
    ratios = [np.percentile(taken[name], 10) / usual for name in (_BROWSER, _PROGRAM)]
    print(
        f"  a browser costs {more:.1%} of a core; trigger to result takes {ratios[0]:.3f} times as long beside one\n"
        f"  and {ratios[1]:.3f} times where only the same is asked for (p10, which other jobs disturb least)\n"
    )


def memory(folder: Path) -> None:
    """Eight hours of results, as fast as they go."""
    port, path = _free_port(), folder / "fake.sock"
    file = folder / "fake.toml"
    file.write_text(
        f'[station]\nname = "fake"\ntrigger = "link"\n[camera.top]\nsource = "link"\n[inspect.top]\ncamera = "top"\n'
        f'bundle = "none"\n[link]\nsocket = "{path}"\n[controller.page]\nprotocol = "http"\nport = {port}\n',
        encoding="utf-8",
    )
    with (
        FakeStation(path, judge=lambda _: _judged(), keep=100) as _,
        controller(file, port) as tree,
        chromium() as browser,
        Client(path) as client,
    ):
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("body[data-ready]")
        print(f"{_HOURS} hours of {_PARTS_AN_HOUR} results each")
        print(f"  {'hour':<8}{'page, MiB of JavaScript':>26}{'elements':>10}{'controller, MiB':>18}{'seconds':>9}")
        for hour in range(_HOURS + 1):
            begin = time.monotonic()
            for number in range(_PARTS_AN_HOUR if hour else _PARTS_AN_HOUR // 8):
                client.result(client.trigger(f"{hour}-{number}"), timeout_s=60)
            spent = time.monotonic() - begin
            time.sleep(_SETTLE_S)
            heap, elements = _heap(page)
            print(f"  {hour:<8}{heap:>26.2f}{elements:>10}{tree.memory_mib():>18.1f}{spent:>9.0f}")


def _judged() -> Judgement:
    state = State.REJECT if time.monotonic_ns() // 1000 % 10 == 0 else State.ACCEPT
    return Judgement(
        state,
        verdicts=(Verdict(state=state, score=0.5, threshold=1.0, captured_at=time.time(), bundle="b", variant="v"),),
    )


def _heap(page: Page) -> tuple[float, int]:
    """The page's heap after a collection, and its elements."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return found["JSHeapUsedSize"] / 2**20, int(found["Nodes"])


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.argument("images", type=click.Path(path_type=Path, exists=True))
@click.option("--variant", help="Otherwise the bundle's default.")
@click.option("--turns", default=3, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="How long each turn takes.")
@click.option("--hours/--no-hours", default=True, help="Whether eight hours are simulated, too.")
def main(bundle: Path, images: Path, variant: str | None, turns: int, seconds: float, hours: bool) -> None:
    """Measure the page of a station with BUNDLE on IMAGES."""
    print(machine.describe())
    chosen = Bundle.open(bundle).variant(variant).id
    print(f"{bundle.name}, {chosen}, one thread")
    frames = [read_image(path) for path in list_images(images)[:8]]
    with tempfile.TemporaryDirectory() as folder:
        if turns:
            cost(Path(folder), bundle.absolute(), chosen, frames, turns, seconds)
        if hours:
            memory(Path(folder))


if __name__ == "__main__":
    main()
