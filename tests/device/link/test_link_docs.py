"""docs/link.md: its examples are messages, its sessions and programs run, its figures are those of the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import typing
from pathlib import Path
from types import UnionType

import msgspec
import pytest
from support.paths import DOCS

from edge_ad.link import FakeStation, LinkLimits, messages
from edge_ad.link.lines import LINE_BYTES, decode_request, decode_sent, encode_line
from edge_ad.link.protocol import TRANSITIONS

PAGE = (DOCS / "link.md").read_text(encoding="utf-8")
SOCKET = "/run/edge-ad/line1.sock"


def section(title: str) -> str:
    return PAGE[PAGE.index(f"\n## {title}\n") :].split("\n## ")[1]


def blocks(kind: str, text: str = PAGE) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def structs(union: UnionType) -> dict[str, type[msgspec.Struct]]:
    """The types of a union by their tag."""
    return {str(one.__struct_config__.tag): one for one in typing.get_args(union)}


def examples(title: str) -> list[str]:
    return [line for block in blocks("json", section(title)) for line in block.splitlines()]


SENT, ASKED = examples("What the station sends"), examples("What clients send")


@pytest.mark.parametrize("line", ASKED, ids=lambda line: json.loads(line)["type"])
def test_each_example_of_a_client_is_a_request_to_the_letter(line: str) -> None:
    assert json.loads(encode_line(decode_request(line.encode()))) == json.loads(line)


@pytest.mark.parametrize("line", SENT, ids=lambda line: json.loads(line)["type"])
def test_each_example_of_a_station_is_a_message_to_the_letter(line: str) -> None:
    message = decode_sent(line.encode())
    assert without_defaults(json.loads(encode_line(message))) == without_defaults(json.loads(line))


def without_defaults(message: dict[str, object]) -> dict[str, object]:
    """Without the verdicts, whose fields are all written and are described elsewhere."""
    return {key: value for key, value in message.items() if key != "verdicts"}


@pytest.mark.parametrize(
    ("union", "lines"), [(messages.Request, ASKED), (messages.Answer | messages.Event, SENT)], ids=["client", "station"]
)
def test_every_message_has_an_example(union: UnionType, lines: list[str]) -> None:
    assert {json.loads(line)["type"] for line in lines} == set(structs(union))


@pytest.mark.parametrize(
    ("title", "union"),
    [
        ("What clients send", messages.Request),
        ("What the station sends", messages.Answer),
        ("What the station sends", messages.Event),
    ],
    ids=["requests", "answers", "events"],
)
def test_every_field_stands_in_the_table_and_is_marked_where_it_may_be_missing(title: str, union: UnionType) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section(title), re.MULTILINE)
    told = [(name, re.findall(r"`(\w+)`(\??)", fields)) for name, fields in rows]
    found = [(name, dict(fields)) for name, fields in told if name in structs(union)]
    wanted = {
        name: {one.name: "" if one.required else "?" for one in msgspec.structs.fields(struct)}
        for name, struct in structs(union).items()
    }
    assert [(name, fields) for name, fields in found if fields == wanted[name]] == found
    assert {name for name, _ in found} == set(wanted)


def test_the_topics_are_all_named() -> None:
    (sentence,) = re.findall(r"The topics are (.*?)\.\n", PAGE)
    assert tuple(re.findall(r"`(\w+)`", sentence)) == messages.TOPICS


def test_the_states_of_the_station_are_all_named() -> None:
    (row,) = re.findall(r"the station is now (.*?);", PAGE)
    assert re.findall(r"`(\w+)`", row) == [state.value for state in messages.StationState]


def test_the_diagram_is_that_of_the_table() -> None:
    (diagram,) = blocks("mermaid")
    arrows = [
        f"    {state.value} --> {after.value}: {happening.name.lower().replace('_', ' ')}"
        for (state, happening), after in TRANSITIONS.items()
    ]
    assert diagram.splitlines() == ["stateDiagram-v2", "    [*] --> GREETING", *arrows, "    CLOSED --> [*]"]


def test_the_limits_are_those_of_the_code() -> None:
    limits = LinkLimits()
    told = {
        f"{limits.queue_bytes >> 20} MiB waits for it",
        f"more than {limits.requests_per_s:,.0f} lines a second for long ({limits.burst:.0f} at once",
        f"a line of more than {LINE_BYTES:,} bytes",
        f"sends {limits.bad_lines} lines in a row that are not understood",
        f"hello within {limits.hello_s:.0f} s",
        f"is the {limits.clients + 1}rd",
        f"connects when {limits.connects_burst:.0f} did at once, or more than {limits.connects_per_s:.0f} a second",
        f"a frame of more than {limits.frame_bytes >> 20} MiB",
    }
    assert {one for one in told if one not in section("Limits")} == set()


@pytest.fixture
def station(tmp_path: Path) -> FakeStation:
    return FakeStation(tmp_path / "s.sock")


def test_the_session_with_socat_runs(station: FakeStation, tmp_path: Path) -> None:
    if shutil.which("socat") is None:
        pytest.skip("no socat on this machine")
    (session,) = blocks("console")
    command, *told = session.splitlines()
    hold = tmp_path / "hold"
    os.mkfifo(hold)
    # The client stays until its answers are there, instead of a second.
    command = command.removeprefix("$ ").replace(SOCKET, str(tmp_path / "s.sock")).replace("sleep 1", f"cat {hold}")
    said: list[str] = []
    with station, subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True) as client:  # noqa: S607
        assert client.stdout is not None
        while len(said) < len(told):
            line = client.stdout.readline()
            said += [line.strip()] * (line != '{"type":"heartbeat"}\n')
        hold.write_text("", encoding="utf-8")
    assert [timeless(line) for line in said] == [timeless(line) for line in told]


def timeless(line: str) -> str:
    return re.sub(r'"latency_ms":[0-9.]+', '"latency_ms":0', line)


def test_the_programs_run(station: FakeStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simple, handed, fake = (
        code.replace(SOCKET, str(tmp_path / "s.sock")).replace("timeout_s=0.5", "timeout_s=60")
        for code in blocks("python")
    )
    with station:
        exec(simple, {})  # noqa: S102
        exec(handed, {})  # noqa: S102
    exec(fake, {})  # noqa: S102
    assert capsys.readouterr().out == "A-17 pass\nA-18 pass\nACCEPT A-19\nFalse A-20\n"


def test_the_commands_of_the_fake_station_are_those_it_knows(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from edge_ad.link.__main__ import main

    (listed,) = re.findall(r"obeys one command\na line: (.*?)\. In Python", PAGE, re.DOTALL)
    commands = [one.split()[0] for one in re.findall(r"`(.*?)`", listed)]
    done = CliRunner().invoke(main, [str(tmp_path / "s.sock")], input="\n".join([*commands, "dance"]))
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert sorted(error.removeprefix("error: expected one of ").split(", ")) == sorted(commands)
