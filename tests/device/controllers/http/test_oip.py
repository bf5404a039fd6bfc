"""The Open Inference Protocol: tensors as values, and tritonclient against a real server."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st
from support.http_served import Served, http_served
from tritonclient.utils import InferenceServerException

from edge_ad.controllers.http.oip_tensors import TensorError, read_request
from edge_ad.link import FakeStation, Judgement, RecordedRequest
from edge_ad.verdict import State, Verdict

MOST = 1_000_000
FRAME = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def judge(asked: RecordedRequest) -> Judgement:
    """Rejects what is bright; a frame of one row is invalid and has no score."""
    if asked.pixels is None or len(asked.pixels) == 1:
        return Judgement(State.INVALID, reason="wrong_shape")
    score = float(np.asarray(asked.pixels).mean())
    state = State.REJECT if score > 200 else State.ACCEPT
    verdict = Verdict(state=state, score=score, threshold=200.0, captured_at=0.0, bundle="part", variant="a")
    return Judgement(state, verdicts=(verdict,))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with http_served(tmp_path_factory.mktemp("oip"), judge=judge) as one:
        yield one


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    one = triton.InferenceServerClient(f"127.0.0.1:{served.port}", connection_timeout=60, network_timeout=60)
    yield one
    one.close()


def tensor(frame: np.ndarray[Any, Any], *, binary: bool) -> Any:
    made = triton.InferInput("frame", [1, *frame.shape], "UINT8")
    made.set_data_from_numpy(frame[None], binary_data=binary)
    return made


@pytest.mark.parametrize("binary_in", [True, False], ids=["binary-in", "json-in"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["binary-out", "json-out"])
def test_tritonclient_scores_a_frame(client: Any, served: Served, binary_in: bool, binary_out: bool) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("score", "state", "threshold")]
    part = f"O-{binary_in}-{binary_out}"
    result = client.infer("a", [tensor(FRAME, binary=binary_in)], outputs=outputs, request_id=part)
    assert result.as_numpy("score").tolist() == [float(FRAME.mean())]
    assert result.as_numpy("threshold").tolist() == [200.0]
    state = result.as_numpy("state")[0]
    assert (state.decode() if binary_out else state) == "ACCEPT"
    assert result.get_response()["id"] == part
    (asked,) = [one for one in served.station.requests if getattr(one.request, "part_id", None) == part]
    assert np.array_equal(np.asarray(asked.pixels), FRAME)


def test_all_outputs_come_where_none_is_named(client: Any) -> None:
    result = client.infer("a", [tensor(np.full((4, 4, 3), 250, np.uint8), binary=True)], model_version="1")
    assert result.as_numpy("passes").tolist() == [False]
    assert result.as_numpy("score").tolist() == [250.0]


def test_an_invalid_part_has_no_score(client: Any) -> None:
    result = client.infer("a", [tensor(FRAME[:1], binary=True)])
    assert result.as_numpy("score").shape == (0,)
    assert result.as_numpy("passes").tolist() == [False]


def test_tritonclient_asks_for_health_and_metadata(client: Any, served: Served) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("a")
    assert client.is_model_ready("a", "1")
    assert not client.is_model_ready("b")
    assert client.get_server_metadata()["name"] == "edge-ad"
    assert client.get_model_metadata("b")["inputs"] == [
        {"name": "frame", "datatype": "UINT8", "shape": [1, -1, -1, -1]}
    ]
    with pytest.raises(InferenceServerException, match="no model 'c'"):
        client.get_model_metadata("c")
    with pytest.raises(InferenceServerException, match="no version '2'"):
        client.infer("a", [tensor(FRAME, binary=True)], model_version="2")
    with pytest.raises(InferenceServerException, match="the active recipe is 'a'"):
        client.infer("b", [tensor(FRAME, binary=True)])


def asked(**changed: Any) -> dict[str, Any]:
    one = {"name": "frame", "shape": [1, 1, 2, 3], "datatype": "UINT8", "data": [1, 2, 3, 4, 5, 6]}
    return {"inputs": [{key: value for key, value in (one | changed).items() if value is not None}]}


MALFORMED = [
    pytest.param(b"", None, "malformed", id="empty"),
    pytest.param(b"{", None, "malformed", id="cut-off"),
    pytest.param(b"[" * 50_000, None, "malformed", id="deep"),
    pytest.param(b"{}", None, "malformed", id="no-inputs"),
    pytest.param({"inputs": []}, None, "one input", id="none"),
    pytest.param({"inputs": asked()["inputs"] * 2}, None, "one input", id="two"),
    pytest.param(asked(name="image"), None, "input 'frame'", id="name"),
    pytest.param(asked(datatype="FP32"), None, "UINT8", id="datatype"),
    pytest.param(asked(shape=[1, 2]), None, "shape", id="rank"),
    pytest.param(asked(shape=[2, 1, 1, 3]), None, "shape", id="batch"),
    pytest.param(asked(shape=[1, 1, 3, 2]), None, "shape", id="channels"),
    pytest.param(asked(shape=[1, -1, 2, 3]), None, "malformed", id="negative"),
    pytest.param(asked(shape=[1, 65535, 65535, 3]), None, "at most", id="huge"),
    pytest.param(asked(shape=[1, 10**30, 1, 3]), None, "malformed", id="beyond-64-bits"),
    pytest.param(asked(data=[1, 2, 3]), None, "expected 6 values", id="few"),
    pytest.param(asked(data=[1, 2, 3, 4, 5, 256]), None, "0 to 255", id="too-bright"),
    pytest.param(asked(data=[1, 2, 3, 4, 5, 0.5]), None, "0 to 255", id="fraction"),
    pytest.param(asked(data=[[[[1, 2], [3]]]]), None, "expected 6 values", id="ragged"),
    pytest.param(asked(data={"a": 1}), None, "0 to 255", id="object"),
    pytest.param(asked(data=None), None, "neither", id="no-data"),
    pytest.param(asked(parameters={"binary_data_size": 6}), None, "both", id="both"),
    pytest.param(asked(data=None, parameters={"binary_data_size": 6}), None, "0 bytes follow", id="no-bytes"),
    pytest.param(asked(data=None, parameters={"binary_data_size": -1}), None, "malformed", id="negative-size"),
    pytest.param(asked(), 10_000, "the body has", id="longer-than-the-body"),
    pytest.param(asked() | {"outputs": [{"name": "boxes"}]}, None, "no output", id="output"),
    pytest.param(asked() | {"id": 5}, None, "malformed", id="id"),
]


@pytest.mark.parametrize(("body", "length", "said"), MALFORMED)
def test_malformed_tensors_are_answered_400_in_the_protocols_form(
    served: Served, body: Any, length: int | None, said: str
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    answer = httpx.post(f"{served.url}/v2/models/a/infer", content=data, headers=headers, timeout=60)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


def test_errors_outside_the_tensors_have_the_protocols_form_too(served: Served) -> None:
    for path, status in (("nothing", 404), ("models/a/infer/x", 404), ("models/c/infer", 404)):
        answer = httpx.post(f"{served.url}/v2/{path}", json={}, timeout=60)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
    length = {"Inference-Header-Content-Length": "-1"}
    assert httpx.post(f"{served.url}/v2/models/a/infer", json={}, headers=length, timeout=60).status_code == 400


@given(st.binary(max_size=300), st.none() | st.integers(0, 400))
def test_any_bytes_are_a_request_or_an_error_of_ours(data: bytes, length: int | None) -> None:
    with pytest.raises(TensorError):
        read_request(data, length, MOST)


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3]), st.booleans(), st.randoms())
def test_a_frame_comes_out_as_it_went_in(height: int, width: int, channels: int, nested: bool, random: Any) -> None:
    values = [random.randrange(256) for _ in range(height * width * channels)]
    frame = np.array(values, np.uint8).reshape(height, width, channels)
    data = frame[None].tolist() if nested else values
    body = json.dumps(asked(shape=[1, height, width, channels], data=data)).encode()
    listed = read_request(body, None, MOST).pixels
    head = json.dumps(asked(shape=[1, height, width, channels], data=None,
                            parameters={"binary_data_size": len(values)})).encode()  # fmt: skip
    packed = read_request(head + frame.tobytes(), len(head), MOST).pixels
    expected = frame[..., 0] if channels == 1 else frame
    assert np.array_equal(listed, expected)
    assert np.array_equal(packed, expected)


def test_bytes_outputs_have_their_length_before_them(served: Served) -> None:
    wanted = {"outputs": [{"name": "state", "parameters": {"binary_data": True}}]}
    answer = httpx.post(f"{served.url}/v2/models/a/infer", json=asked() | wanted, timeout=60)
    head = int(answer.headers["inference-header-content-length"])
    assert answer.content[head:] == struct.pack("<I", 7) + b"INVALID"


def test_a_frame_that_another_recipe_has_judged_does_not_pass(tmp_path: Path) -> None:
    """The recipe may change between the request for a model and its part."""
    stations: list[FakeStation] = []

    def change(_: RecordedRequest) -> Judgement:
        stations[0]._recipe = "b"
        return Judgement()

    asked = {"id": "A", "inputs": [{"name": "frame", "shape": [1, 1, 1, 3], "datatype": "UINT8", "data": [1, 2, 3]}]}
    with http_served(tmp_path, judge=change) as served:
        stations.append(served.station)
        answer = httpx.post(f"{served.url}/v2/models/a/infer", json=asked, timeout=60).json()
    values = {one["name"]: one["data"] for one in answer["outputs"]}
    assert (values["passes"], values["state"]) == ([False], ["INVALID"])
