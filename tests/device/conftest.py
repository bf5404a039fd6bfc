"""Fixtures for the tests of the device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_ad.link import AsyncClient, Client

PATIENCE_S = 60.0
SIDES = ("edge_ad.link.client_side._SILENT_BEATS", "edge_ad.link.protocol._SILENT_BEATS")
WAITS = ("__init__", "passes", "result", "exposed", "next_event")


@pytest.fixture(scope="session", autouse=True)
def _patient_links() -> Iterator[None]:
    """The ends of the link wait a minute where they would wait seconds: a machine at work may stand still for some.

    What happens when a time is over is tested with times that a test gives itself, and with ``usual_silence``.
    """
    with pytest.MonkeyPatch.context() as patch:
        for side in SIDES:
            patch.setattr(side, int(PATIENCE_S))  # beats of one second each
        for name in WAITS:
            patch.setitem(getattr(Client, name).__kwdefaults__, "timeout_s", PATIENCE_S)
        for name in WAITS[:-1]:  # the last one waits without end as it is
            patch.setitem(getattr(AsyncClient, name).__kwdefaults__, "timeout_s", PATIENCE_S)
        yield


@pytest.fixture
def usual_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is silent is given up after three heartbeats, as outside of tests."""
    for side in SIDES:
        monkeypatch.setattr(side, 3)
