"""MQTT without a broker: settings, commands of any content, schemas, and brokers that send nonsense."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.adapters import serving
from support.paths import ROOT

from edge_ad.controllers import Gateway, HandshakeSettings
from edge_ad.controllers.adapter import read_settings
from edge_ad.controllers.conversation import Outcome
from edge_ad.controllers.files import FilesSettings
from edge_ad.controllers.mqtt import PROTOCOL, MqttSettings, messages
from edge_ad.controllers.mqtt.broker import Incoming
from edge_ad.controllers.mqtt.commands import Commands
from edge_ad.errors import EdgeAdError, InputError, OutputError

SCHEMAS = ROOT / "firmware_notes" / "controllers" / "mqtt-schemas.json"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        pytest.param({"host": "broker.local"}, "broker.local is another machine", id="plain-to-another-host"),
        pytest.param({"host": "10.0.0.1", "username": "a"}, "not encrypted", id="password-in-plain"),
        pytest.param({"ca": "missing.pem"}, "ca .*missing.pem: cannot be used: No such file", id="no-ca"),
        pytest.param({"ca": "text"}, "ca .*text: cannot be used", id="no-certificate-in-it"),
        pytest.param({"certificate": "text"}, "certificate or key .*text", id="no-certificate"),
        pytest.param({"key": "text"}, "key needs certificate", id="key-alone"),
        pytest.param({"username": "a"}, "belong together", id="name-without-password"),
        pytest.param({"username": "a", "password_file": "missing"}, "missing: cannot be used", id="no-password-file"),
        pytest.param({"username": "a", "password_file": "text"}, "can be read by everybody", id="open-password-file"),
        pytest.param({"username": "a", "password_file": "empty"}, "found nothing", id="empty-password-file"),
        pytest.param({"outbox": "text/outbox"}, "outbox", id="outbox-below-a-file"),
        pytest.param({"topic": "a/#"}, "topic", id="topic-with-wildcard"),
        pytest.param({"topic": "$SYS/a"}, "topic", id="topic-of-the-broker"),
        pytest.param({"hots": "a"}, "did you mean host", id="misspelt"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "text").chmod(0o644)
    (tmp_path / "empty").touch(0o600)
    with pytest.raises((InputError, OutputError), match=said) as caught:
        PROTOCOL.check(read_settings("broker", {"protocol": "mqtt", **table}, tmp_path)[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param({}, id="loopback"),
        pytest.param({"host": "::1"}, id="loopback-6"),
        pytest.param({"host": "broker.local", "tls": True}, id="tls"),
        pytest.param({"host": "broker.local", "allow_insecure": True}, id="on-purpose"),
    ],
)
def test_settings_that_are_in_order(tmp_path: Path, table: dict[str, Any]) -> None:
    protocol, settings = read_settings("broker", {"protocol": "mqtt", **table}, tmp_path)
    protocol.check(settings)
    assert isinstance(settings, MqttSettings)
    assert settings.outbox == str(tmp_path / "mqtt-outbox.sqlite")


def test_the_schemas_are_those_of_the_code() -> None:
    made = json.dumps(messages.schemas(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("EDGE_AD_WRITE_TABLES"):
        SCHEMAS.write_text(made, encoding="utf-8")
    assert SCHEMAS.read_text(encoding="utf-8") == made


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
commands = st.fixed_dictionaries(
    {},
    optional={key: json_values | st.text(min_size=1, max_size=9) for key in ("part_id", "name", "alarm", "by", "x")},
)
payloads = st.binary(max_size=200) | commands.map(lambda value: json.dumps(value).encode())
names = st.sampled_from(list(messages.COMMANDS)) | st.text(max_size=20)
topics = st.none() | st.text(max_size=30) | st.sampled_from(["b/command/trigger", "b/result", "b/answer", "a/#", "x"])


@given(st.lists(st.tuples(names, payloads, topics, st.booleans()), min_size=1, max_size=8))
def test_every_command_is_answered_once_and_no_answer_goes_to_our_own_topics(
    given_messages: list[tuple[str, bytes, str | None, bool]],
) -> None:
    answered: list[tuple[Incoming, messages.Answer]] = []
    published: list[Outcome] = []

    def publish(outcome: Outcome) -> messages.ResultMessage:
        published.append(outcome)
        return messages.result_message(outcome, "id", 1, "s", 0.0)

    async def run() -> None:
        settings = MqttSettings(protocol="mqtt", stale_ms=600_000)
        gateway = Gateway(Path("/nowhere"), "test", settings)
        under = Commands(settings, gateway, "test", publish, lambda *one: answered.append(one), lambda _: None)
        for name, payload, topic, is_retained in given_messages:
            under.hear(Incoming(f"b/command/{name}", payload, is_retained, topic), name)
        while len(answered) < len(given_messages):  # a command that is never answered hangs this test
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 60))
    assert published == []
    assert len(answered) == len(given_messages)
    for to, answer in answered:
        assert not answer.done
        assert answer.reason in {"bad_request", "retained", "station_away"}
        assert to.response_topic in {None, "x", "b/answer"} or not (to.response_topic or "").startswith("b/")
        assert msgspec.json.decode(msgspec.json.encode(answer), type=messages.Answer) == answer


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http"),
        pytest.param(b"\x20\x03\x00\x00\xff", id="connack-with-bad-properties"),
        pytest.param(b"\x20\x00", id="empty-connack"),
        pytest.param(b"\x30\x02\x00\x09", id="publish-with-long-topic"),
        pytest.param(b"\x20\x03\x00\x00\x00\x40\x02\x00\x01\x30\x03\x00\x01\xff", id="topic-that-is-no-text"),
        pytest.param(b"\xff" * 64, id="ones"),
        pytest.param(b"\x00" * 64, id="zeros"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_broker_is_left_and_tried_again(tmp_path: Path, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        outbox = str(tmp_path / "outbox.sqlite")
        settings = MqttSettings(protocol="mqtt", port=port, outbox=outbox, keepalive_s=2)
        listener.settimeout(60)
        with serving(PROTOCOL, settings, tmp_path / "s.sock"):
            for _ in range(2):
                accepted, _address = listener.accept()
                with accepted:
                    accepted.sendall(said)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EdgeAdError, match=r"pip install 'edge-ad\[mqtt\]'"):
        PROTOCOL.check(MqttSettings(protocol="mqtt"))


def test_settings_can_be_read_without_the_libraries() -> None:
    loaded = "import sys, edge_ad.controllers.mqtt, edge_ad.controllers.files; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert {"paho", "asyncssh", "boto3", "botocore"} & set(said) == set()
    assert "edge_ad.controllers.files" in said


@pytest.mark.parametrize(
    ("page", "settings"), [("mqtt.md", MqttSettings), ("files.md", FilesSettings)], ids=["mqtt", "files"]
)
def test_every_key_of_a_table_stands_in_its_page(page: str, settings: type[msgspec.Struct]) -> None:
    text = (SCHEMAS.parent / page).read_text(encoding="utf-8")
    common = {"protocol", *(field.name for field in msgspec.structs.fields(HandshakeSettings))} - {"recent"}
    keys = {field.name for field in msgspec.structs.fields(settings)} - common
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()
