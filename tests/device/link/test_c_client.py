"""The C client: compiled with all warnings, run against the fake station and against stations that lie."""

from __future__ import annotations

import json
import math
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.c_programs import BUILDS, SOURCES, build
from support.link_ends import STATION_HELLO, raw_station, read_line

from edge_ad import Detector
from edge_ad.link import Client, FakeStation, FrameRequest, Judgement, RecordedRequest, TriggerRequest
from edge_ad.verdict import State


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example program."""
    target = tmp_path_factory.mktemp("c") / "example"
    return build(target, [SOURCES / "edge_ad_link_example.c", SOURCES / "edge_ad_link.c"], BUILDS[request.param])


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("c") / "parser"
    return build(target, [Path(__file__).with_name("c_parser.c")], [*BUILDS["sanitized"], "-Wno-unused-function"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@pytest.fixture
def station(path: Path) -> Iterator[FakeStation]:
    with FakeStation(path) as fake:
        yield fake


def run(program: Path, path: Path, parts: str) -> list[str]:
    done = subprocess.run([str(program), str(path), "60000"], input=parts, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_it_is_as_short_as_promised() -> None:
    lines = sum(len((SOURCES / f"edge_ad_link.{kind}").read_text("utf-8").splitlines()) for kind in "ch")
    assert lines < 200


def test_parts_pass_for_their_accept_alone(program: Path, path: Path) -> None:
    def judge(asked: RecordedRequest) -> Judgement:
        assert isinstance(asked.request, TriggerRequest)
        return Judgement(State(asked.request.part_id), reason="late")

    with FakeStation(path, judge=judge) as station:
        said = run(program, path, "ACCEPT\nREJECT\nINVALID\nACCEPT\n")
        assert [line.split()[:3] for line in said] == [
            ["PASS", "ACCEPT", "nan"],
            ["REJECT", "REJECT", "nan"],
            ["REJECT", "INVALID", "nan"],
            ["PASS", "ACCEPT", "nan"],
        ]
        assert '"state":"INVALID","part_id":"INVALID","id":"3","reason":"late"' in said[2]
        assert [one.request for one in station.requests] == [
            TriggerRequest(id=str(number), part_id=state)
            for number, state in enumerate(("ACCEPT", "REJECT", "INVALID", "ACCEPT"), 1)
        ]


@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "colour"])
def test_a_frame_arrives_pixel_by_pixel(program: Path, station: FakeStation, path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1080, 1920, channels), np.uint8)
    image = path.with_name("image.raw")
    image.write_bytes(pixels.tobytes())
    (said,) = run(program, path, f"A-17 1080 1920 {channels} {image}\n")
    assert said.split() == ["PASS", "A-17", "nan"]
    (seen,) = station.requests
    assert isinstance(seen.request, FrameRequest)
    assert seen.pixels is not None
    np.testing.assert_array_equal(seen.pixels.reshape(pixels.shape), pixels)


def test_scores_are_those_of_python_to_the_last_bit(program: Path, tiny_bundle: Path, path: Path) -> None:
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(5)]
    lines = []
    for index, pixels in enumerate(pictures):
        path.with_name(f"{index}.raw").write_bytes(pixels.tobytes())
        lines.append(f"part-{index} 48 64 3 {path.with_name(f'{index}.raw')}\n")
    with Detector.open(tiny_bundle) as detector:

        def judge(asked: RecordedRequest) -> Judgement:
            assert asked.pixels is not None
            verdict = detector.score(asked.pixels)
            return Judgement(verdict.state, verdicts=(verdict,))

        with FakeStation(path, judge=judge), Client(path) as link:
            by_c = [float(line.split()[2]) for line in run(program, path, "".join(lines))]
            by_python = [link.result(link.hand_in(pixels)).verdicts[0].score for pixels in pictures]
        direct = [detector.score(pixels).score for pixels in pictures]
    assert by_c == by_python == direct
    assert len(set(direct)) > 1


def test_whatever_a_station_does_instead_means_reject(program: Path, station: FakeStation, path: Path) -> None:
    station.refuse("camera_busy")
    (said,) = run(program, path, "refused\n")
    assert said.startswith("REJECT refused nan")
    assert "camera_busy" in said
    station.refuse(None)
    station.hold()
    with subprocess.Popen(
        [str(program), str(path), "60000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("waits\n")
        station.wait_for(2)
        station.fault("disk_full")
        said = running.stdout.readline()
        assert said.startswith("REJECT waits nan")
        assert "disk_full" in said
        running.stdin.write("again\n")
        assert "not_ready" in running.stdout.readline()


def test_a_verdict_that_comes_late_means_reject(program: Path, station: FakeStation, path: Path) -> None:
    station.hold()
    done = subprocess.run([str(program), str(path), "50"], input="A-1\n", capture_output=True, text=True, check=False)
    assert done.stdout.startswith("REJECT A-1 nan the station did not answer in time")


def test_no_station_means_reject(program: Path, path: Path) -> None:
    assert run(program, path, "a\nb\n") == ["REJECT a nan no station listens", "REJECT b nan no station listens"]


def test_a_line_that_cannot_be_read_is_rejected_and_nothing_is_asked(
    program: Path, station: FakeStation, path: Path
) -> None:
    said = run(program, path, f"a 10 10 3 {path}/nothing\nb 10 10\n\nc -1 10 3 x\nd 2000000000 2000000000 3 x\n")
    assert [line.split()[0] for line in said] == ["REJECT"] * 5
    assert station.requests == []


ACCEPTED = b'{"type":"accepted","id":"1","trigger":5}\n'
ACCEPT = b'{"type":"result","trigger":5,"state":"ACCEPT","id":"1","latency_ms":3}\n'
LIES = {
    "other-trigger": ACCEPTED + ACCEPT.replace(b"5,", b"6,"),
    "longer-number": ACCEPTED + ACCEPT.replace(b"5,", b"55,"),
    "fraction": ACCEPTED + ACCEPT.replace(b"5,", b"5.0,"),
    "other-id": ACCEPTED + ACCEPT.replace(b'"1"', b'"11"'),
    "no-id": ACCEPTED + ACCEPT.replace(b'"id":"1",', b""),
    "number-as-id": ACCEPTED + ACCEPT.replace(b'"1"', b"1"),
    "reject": ACCEPTED + ACCEPT.replace(b"ACCEPT", b"REJECT"),
    "more-than-accept": ACCEPTED + ACCEPT.replace(b"ACCEPT", b"ACCEPTED"),
    "small-letters": ACCEPTED + ACCEPT.replace(b"ACCEPT", b"accept"),
    "another-event": ACCEPTED + ACCEPT.replace(b"result", b"results"),
    "state-deeper": ACCEPTED + ACCEPT.replace(b'"state":"ACCEPT"', b'"verdicts":[{"state":"ACCEPT"}]'),
    "state-in-a-text": ACCEPTED + ACCEPT.replace(b'"state":"ACCEPT"', rb'"part_id":"\",\"state\":\"ACCEPT"'),
    "state-as-a-text": ACCEPTED + ACCEPT.replace(b'"state":"ACCEPT"', b'"part_id":"state"'),
    "two-states": ACCEPTED + ACCEPT.replace(b'"id"', b'"state":"REJECT","id"'),
    "cut-off": ACCEPTED + ACCEPT.replace(b"}", b""),
    "a-list": ACCEPTED + b"[" + ACCEPT.strip() + b"]\n",
    "nul": ACCEPTED + ACCEPT.replace(b"}", b"}\0"),
    "fault-first": ACCEPTED + b'{"type":"fault","cause":"x","triggers":[5]}\n' + ACCEPT,
    "before-accepted": ACCEPT + ACCEPTED,
    "never-accepted": ACCEPT,
    "accepted-as-0": ACCEPTED.replace(b"5", b"0") + ACCEPT.replace(b"5", b"0"),
    "accepted-for-another": ACCEPTED.replace(b'"1"', b'"2"') + ACCEPT,
    "huge-number": ACCEPTED.replace(b"5", b"9" * 30) + ACCEPT.replace(b"5,", b"9" * 30 + b","),
    "error": b'{"type":"error","detail":"no"}\n' + ACCEPT,
    "no-end": ACCEPTED + b"x" * 80_000 + b"\n" + ACCEPT,
    "nothing": b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_only_the_accept_of_the_part_that_waits_lets_it_pass(program: Path, path: Path, lie: str) -> None:
    assert answer(program, path, LIES[lie]).startswith("REJECT A-1 nan ")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(ACCEPTED + ACCEPT, id="plain"),
        pytest.param(
            b'{"type":"heartbeat"}\n\n?\n' + ACCEPTED + b'{"type":"new","x":[{}]}\n' + ACCEPT, id="more-lines"
        ),
        pytest.param(
            ACCEPTED + b' { "id" : "1" , "state":\t"ACCEPT", "trigger": 5 , "type":"result"}\r\n', id="spaces"
        ),
        pytest.param(ACCEPTED + ACCEPT.replace(b"}", b',"detail":"\\"}{[","x":{"type":[1]}}'), id="brackets-in-texts"),
        pytest.param(ACCEPTED + ACCEPT.replace(b"}", b',"pad":"' + b"x" * 65_000 + b'"}'), id="longest-line"),
    ],
)
def test_an_accept_is_understood_however_it_is_written(program: Path, path: Path, sent: bytes) -> None:
    assert answer(program, path, sent).startswith("PASS A-1 nan")


def test_an_accept_that_comes_byte_by_byte_is_understood(program: Path, path: Path) -> None:
    assert answer(program, path, ACCEPTED + ACCEPT, chunk=1).startswith("PASS")


def test_a_station_that_dies_after_any_byte_means_reject(parser: Path, program: Path, path: Path) -> None:
    whole = STATION_HELLO + ACCEPTED + ACCEPT
    for length in range(0, len(whole), 7):
        said = answer(program, path, whole[:length], hello=b"")
        assert said.startswith("REJECT A-1 nan the connection is lost"), whole[:length]


def answer(program: Path, path: Path, sent: bytes, *, chunk: int = 1 << 20, hello: bytes = STATION_HELLO) -> str:
    """What the program says of one part to a station that says this, then hangs up."""

    def serve(accepted: socket.socket) -> None:
        read_line(accepted)
        accepted.sendall(hello)
        if hello:
            read_line(accepted)
        try:
            for begin in range(0, len(sent), chunk):
                accepted.sendall(sent[begin : begin + chunk])
            accepted.shutdown(socket.SHUT_WR)
            while accepted.recv(4096):
                pass
        except OSError:  # the client hung up first
            return

    path.unlink(missing_ok=True)
    with raw_station(path, serve):
        (said,) = run(program, path, "A-1\n")
    return said


keys = st.sampled_from(["type", "id", "state", "trigger", "verdicts", "score", "typ", "", 'a"type', "\\", "é"])
texts = st.sampled_from(["result", "ACCEPT", "1", "11", '"', "\\", "{", "]", '","type":"result', "é\u2028"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)
scalars = (
    texts
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.none()
    | st.booleans()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
usual = st.fixed_dictionaries(
    {"type": st.just("result"), "id": st.just("1"), "state": st.just("ACCEPT"), "trigger": st.integers(0, 10**18)},
    optional={"verdicts": st.lists(st.dictionaries(keys, values, max_size=3) | scalars, max_size=2), "é": values},
)
objects = st.dictionaries(keys, values, max_size=8) | usual
spacing = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\t")])


def parsed(parser: Path, lines: list[bytes]) -> list[list[str]]:
    done = subprocess.run(
        [str(parser)], input=b"".join(line + b"\n" for line in lines), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return [line.split() for line in done.stdout.decode().splitlines()]


def expected(found: dict[str, object]) -> list[str]:
    """What Python finds in the same object, as the program prints it."""
    trigger = found.get("trigger")
    is_number = isinstance(trigger, int) and not isinstance(trigger, bool) and 0 <= trigger < 10**18
    verdicts = found.get("verdicts")
    first = verdicts[0] if isinstance(verdicts, list) and verdicts else None
    score = first.get("score") if isinstance(first, dict) else None
    has_score = isinstance(score, int | float) and not isinstance(score, bool)
    return [
        str(int(found.get("type") == "result")),
        str(int(found.get("id") == "1")),
        str(int(found.get("state") == "ACCEPT")),
        str(trigger if is_number else -1),
        repr(float(score)) if has_score and isinstance(score, int | float) else "nan",
    ]


@given(st.lists(st.tuples(objects, spacing, st.booleans()), min_size=1, max_size=40))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_the_c_parser_finds_in_any_object_what_python_finds(
    parser: Path, cases: list[tuple[dict[str, object], tuple[str, str], bool]]
) -> None:
    lines = [json.dumps(one, separators=marks, ensure_ascii=ascii_only).encode() for one, marks, ascii_only in cases]
    for line, found, (one, _, _) in zip(lines, parsed(parser, lines), cases, strict=True):
        wanted = expected(one)
        assert found[:4] == wanted[:4], line
        assert same(float(found[4]), float(wanted[4])), line


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


pieces = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"\\",
        b" ",
        b'"type":"result"',
        b'"verdicts":[{"score":',
        b"1e9",
        b"-",
        b"\0",
    ]
)


@given(st.lists(st.lists(pieces | st.binary(max_size=9), max_size=30).map(b"".join), min_size=1, max_size=40))
@settings(max_examples=40)
def test_no_bytes_make_the_c_parser_read_where_it_must_not(parser: Path, lines: list[bytes]) -> None:
    """The sanitizers end the program when it does."""
    parsed(parser, [line.replace(b"\n", b" ") for line in lines])
