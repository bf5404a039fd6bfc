"""Fixtures for the tests of export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forked_children import ForkedChildren
from support.real_models import RealModels

from edge_ad_export.files import isolated


@pytest.fixture(scope="session")
def _forked_children() -> Iterator[ForkedChildren]:
    children = ForkedChildren()
    yield children
    children.close()


@pytest.fixture(scope="session")
def real_models(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> RealModels:
    """The trained models of ``../shared``."""
    return RealModels(shared / "models", tmp_path_factory.mktemp("real-models"))


@pytest.fixture
def new_interpreters() -> None:
    """A test that asks for this one has its child processes started as a user's are: by a new interpreter each."""


@pytest.fixture(autouse=True)
def _quick_children(
    request: pytest.FixtureRequest, _forked_children: ForkedChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Child processes do not import the large libraries anew."""
    if "new_interpreters" not in request.fixturenames:
        monkeypatch.setattr(isolated, "subprocess", _forked_children)
