"""The OpenAPI document: as it is stored, and whether a fuzzer finds that the application keeps it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.fuzzing import rounds, tell
from support.http_served import Served, http_served
from support.http_served import settings as http_settings
from support.paths import ROOT

from edge_ad.controllers import Gateway
from edge_ad.controllers.http.app import make_app, make_desk

STORED = ROOT / "firmware_notes/controllers/http-openapi.json"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
UNENDING = "/api/v1/events"
schemathesis.serializer.alias("application/zip", "application/octet-stream")


def document(folder: Path) -> dict[str, Any]:
    chosen = http_settings()
    made: dict[str, Any] = make_app(make_desk(chosen, Gateway(folder / "s.sock", "web", chosen), "web")).openapi()
    return made


def test_the_stored_document_is_that_of_the_application(tmp_path: Path) -> None:
    text = json.dumps(document(tmp_path), indent=1) + "\n"
    if os.environ.get("EDGE_AD_WRITE_TABLES") == "1":
        STORED.write_text(text)
    assert STORED.read_text() == text


def test_every_route_has_a_text_and_tells_its_problems(tmp_path: Path) -> None:
    routes = [route for methods in document(tmp_path)["paths"].values() for route in methods.values()]
    assert len(routes) >= 18
    for route in routes:
        assert {"400", "401", "403", "422", "429"} <= route["responses"].keys()
        assert route["description"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fuzz")
    with http_served(folder, rate_per_s=1_000_000, window_ms=2_000, recent=0, max_open=1_000) as one:
        yield one


def fuzz(served: Served, examples: int, seed: int = 0) -> list[str]:
    """Asks every route, as its description allows and as it does not; what it was asked."""
    schema = schemathesis.openapi.from_dict(document(served.folder))
    asked = []
    operations = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    for operation in operations:
        if operation.path == UNENDING:
            continue
        for mode in map(GenerationMode, ("positive", "negative")):

            @hypothesis_seed(seed)
            @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                case.call_and_validate(base_url=served.url, checks=CHECKS, timeout=60)
                asked.append(case.operation.label)

            with contextlib.suppress(Unsatisfiable):  # a route that takes nothing cannot be asked wrongly
                ask()
    return asked


def test_no_request_gives_a_500_or_an_answer_that_is_not_described(served: Served) -> None:
    assert len(set(fuzz(served, 2))) >= 17


@pytest.mark.slow
def test_many_requests_give_no_500(served: Served) -> None:
    """``EDGE_AD_FUZZ_MINUTES`` says for how long."""
    for number in rounds("http"):
        asked = fuzz(served, examples=20, seed=number)
        assert len(set(asked)) >= 17
        tell(f"{len(asked)} requests")
