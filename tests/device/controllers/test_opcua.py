"""The OPC UA server, driven by asyncua's client over a socket."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.opcua_ends import COMPANION, OpcUaEnds, opcua_ends, until

from edge_ad.controllers import Gateway, ResultCode
from edge_ad.controllers.opcua import OpcUaSettings
from edge_ad.controllers.opcua.hardened import Bounds, _InternalServer
from edge_ad.controllers.opcua.service import OpcUaService
from edge_ad.controllers.signals import RefusalCode
from edge_ad.link import Client as LinkClient
from edge_ad.link.messages import TriggerRequest

ua = pytest.importorskip("asyncua", reason="needs the extra opcua").ua

STATE_CHANGED, ERROR, RESOLVED, PREPARED, RESULT, DIAGNOSTIC, STARTED = 1018, 1019, 1020, 1022, 1024, 1037, 1013
MACHINE = "ns=1;s=VisionSystem.VisionStateMachine"
FOLDER = "ns=1;s=EdgeAd"


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcUaEnds]:
    with opcua_ends(tmp_path_factory.mktemp("opcua"), recent=0, max_connections=14, local_role="supervisor") as running:
        yield running


async def value(client: Any, name: str) -> Any:
    return await client.get_node(f"{FOLDER}.{name}").read_value()


async def state(client: Any) -> str:
    text = await client.get_node(f"{MACHINE}.CurrentState").read_value()
    return str(text.Text)


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_every_job_has_its_own_result(ends: OpcUaEnds, count: int) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            events = await ends.watch(client, RESULT, STARTED)
            jobs = []
            for number in range(count):
                job, error = await ends.start_job(client, f"H{number}")
                assert error == 0
                jobs.append(job)
                await until(lambda: not ends.service.jobs.conversation.is_exposing)
            await until(lambda: len(events.of(RESULT)) == count)
            results = events.of(RESULT)
            assert [one.JobId.Id for one in results] == jobs == [one.JobId.Id for one in events.of(STARTED)]
            assert [one.PartId.Id for one in results] == [f"H{number}" for number in range(count)]
            assert {(one.ResultState, one.ResultContent[0].Value) for one in results} == {(1, "ACCEPT")}

    ends.run(scene())


def test_a_part_of_another_client_is_published_too(ends: OpcUaEnds, tmp_path: Path) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            events = await ends.watch(client, RESULT)
            await asyncio.to_thread(trigger_by_link, ends)
            await until(lambda: bool(events.of(RESULT)))
            (result,) = events.of(RESULT)
            assert (result.PartId.Id, result.JobId.Id) == ("foreign", "")
            await until(lambda: ends.service.jobs.results != {})
            assert await value(client, "ResultPartId") == "foreign"

    ends.run(scene())


def trigger_by_link(ends: OpcUaEnds) -> None:
    with LinkClient(ends.gateway._socket) as link:
        link.result(link.trigger("foreign"), timeout_s=30)


def test_the_plain_folder_and_its_method(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            answer = await client.get_node(FOLDER).call_method("1:Inspect", "plain")
            assert answer[:2] == ["ACCEPT", int(ResultCode.ACCEPT)]
            assert await value(client, "Ok") is True
            assert await value(client, "ResultPartId") == "plain"
            assert json.loads(await value(client, "LastResult"))["part_id"] == "plain"
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await client.get_node(f"{FOLDER}.Ok").write_value(False)
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await client.get_node("ns=1;s=VisionSystem.ResultManagement.Results.Newest").write_value(None)

    ends.run(scene())


def test_results_can_be_asked_for_later(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            index = await client.get_namespace_index(COMPANION)
            job, _ = await ends.start_job(client, "later")
            await until(lambda: not ends.service.jobs.conversation.open)
            management = client.get_node("ns=1;s=VisionSystem.ResultManagement")
            empty = [ua.Variant(None)] * 5
            given = (ua.Variant(0, ua.VariantType.Int32), ua.Variant(None), ua.PartIdDataType(Id="later"), *empty)
            rest = [ua.Variant(number, ua.VariantType.UInt32) for number in (10, 0)]
            job_id = ua.JobIdDataType(Id=job)
            none = ua.Variant(0, ua.VariantType.Int32)
            found = await management.call_method(f"{index}:GetResultListFiltered", *given, job_id, *rest, none)
            assert (found[0], found[1], found[4]) == (True, 1, 0)
            (result,) = found[3]
            _, again, error = await management.call_method(f"{index}:GetResultById", result.ResultId, none)
            assert (again.PartId.Id, again.JobId.Id, error) == ("later", job, 0)
            parts = await management.call_method(f"{index}:GetResultComponentsById", result.ResultId, none)
            assert parts[6].Id == "later"

    ends.run(scene())


def test_a_recipe_is_prepared_and_a_job_for_another_one_is_refused(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            index = await client.get_namespace_index(COMPANION)
            events = await ends.watch(client, PREPARED)
            recipes = client.get_node("ns=1;s=VisionSystem.RecipeManagement")
            assert (await ends.start_job(client, "R1", "second"))[1] == -int(RefusalCode.RECIPE_PENDING)
            await recipes.call_method(
                f"{index}:PrepareRecipe", ua.RecipeIdExternalDataType(Id="second"), ua.Variant(None)
            )
            await until(lambda: bool(events.of(PREPARED)))
            assert events.of(PREPARED)[0].InternalId.Id == "second"
            assert (await ends.start_job(client, "R1", "second"))[1] == 0
            await client.get_node(FOLDER).call_method("1:SelectRecipe", "first")
            await until(lambda: ends.gateway.view.recipe == "first")
            _, _, error = await recipes.call_method(
                f"{index}:PrepareRecipe", ua.RecipeIdExternalDataType(Id="third"), ua.Variant(None)
            )
            assert error < 0
        asked = [getattr(one.request, "by", None) for one in ends.station.requests]
        assert "opcua:local@127.0.0.1" in asked

    ends.run(scene())


def test_a_fault_is_an_error_until_reset(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            index = await client.get_namespace_index(COMPANION)
            events = await ends.watch(client, ERROR, RESOLVED, RESULT)
            ends.station.hold()
            await ends.start_job(client, "F1")
            ends.station.fault("camera top")
            await until(lambda: bool(events.of(ERROR)) and bool(events.of(RESULT)))
            (result,) = events.of(RESULT)
            assert (result.ResultState, result.ResultContent[1].Value) == (4, int(ResultCode.FAULT))
            assert (await state(client), await value(client, "FaultCode")) == ("Error", 10)
            assert (await value(client, "Ok"), await value(client, "Ng")) == (False, True)
            with pytest.raises(ua.UaStatusCodeError, match="BadInvalidState"):
                await ends.start_job(client, "F2")
            ends.station.release()
            cause = (ua.Variant(0, ua.VariantType.Int32), "seen")
            assert await client.get_node(MACHINE).call_method(f"{index}:Reset", *cause) == 0
            await until(lambda: bool(events.of(RESOLVED)))
            assert await state(client) == "Operational"
            assert (await ends.start_job(client, "F2"))[1] == 0
            await until(lambda: len(events.of(RESULT)) == 2)

    ends.run(scene())


def test_alarms_are_told_and_confirmed(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            index = await client.get_namespace_index(COMPANION)
            events = await ends.watch(client, DIAGNOSTIC)
            ends.station.alarm("drift", "scores wander")
            await until(lambda: bool(events.of(DIAGNOSTIC)))
            assert await value(client, "Alarms") == ["drift"]
            await client.get_node(MACHINE).call_method(f"{index}:ConfirmAll", ua.LocalizedText("seen"))
            await until(lambda: len(events.of(DIAGNOSTIC)) == 2)
            await until(lambda: not ends.gateway.view.alarms)

    ends.run(scene())


def test_what_cannot_be_done_is_said(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            index = await client.get_namespace_index(COMPANION)
            cause = (ua.Variant(0, ua.VariantType.Int32), "")
            machine, automatic = client.get_node(MACHINE), client.get_node(f"{MACHINE}.AutomaticModeStateMachine")
            for node, name in ((machine, "Halt"), (automatic, "Abort")):
                with pytest.raises(ua.UaStatusCodeError, match="BadNotSupported"):
                    await node.call_method(f"{index}:{name}", *cause)
            with pytest.raises(ua.UaStatusCodeError, match="BadArgumentsMissing"):
                await machine.call_method(f"{index}:Reset")
            with pytest.raises(ua.UaStatusCodeError, match="BadInvalidState"):
                await automatic.call_method(f"{index}:Stop", *cause)
            with pytest.raises(ua.UaStatusCodeError, match="BadInvalidArgument"):
                await client.get_node(FOLDER).call_method("1:Inspect", 7)

    ends.run(scene())


def test_a_client_that_is_gone_in_the_middle_of_a_method_costs_nothing(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as other:
            events = await ends.watch(other, RESULT)
            ends.station.hold()
            async with ends.client() as client:
                call = asyncio.create_task(client.get_node(FOLDER).call_method("1:Inspect", "dropped"))
                await until(lambda: bool(ends.service.jobs.conversation.open))
                client.uaclient.protocol.transport.abort()
                with pytest.raises((ConnectionError, ua.UaError, asyncio.TimeoutError)):
                    await call
            ends.station.release()
            await until(lambda: bool(events.of(RESULT)))
            assert events.of(RESULT)[0].PartId.Id == "dropped"
            assert (await ends.start_job(other, "after"))[1] == 0

    ends.run(scene())


def test_ten_clients_at_once_and_not_one_too_many(ends: OpcUaEnds) -> None:
    async def one(number: int) -> str:
        async with ends.client() as client:
            while True:
                answer = await client.get_node(FOLDER).call_method("1:Inspect", f"T{number}")
                if answer[0] != "REFUSED":
                    return str(answer[0])

    async def scene() -> None:
        assert await asyncio.gather(*(one(number) for number in range(10))) == ["ACCEPT"] * 10

    ends.run(scene())
    inspected = [one.request.part_id for one in ends.station.requests if isinstance(one.request, TriggerRequest)]
    assert all(inspected.count(f"T{number}") == 1 for number in range(10))


def test_bytes_that_are_no_opc_ua_end_their_connection_alone(ends: OpcUaEnds) -> None:
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"HELF\xff\xff\xff\x7f" + bytes(100), b"MSGF\x20\0\0\0" + bytes(40)):
        with socket.create_connection(("127.0.0.1", ends.service.port), timeout=30) as connection:
            connection.sendall(rubbish)
            while connection.recv(4096):
                pass

    async def scene() -> None:
        async with ends.client() as client:
            assert await state(client) == "Operational"

    ends.run(scene())


class EnoughError(Exception):
    pass


def test_the_event_loop_goes_on_while_the_nodes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the link's heartbeats would be late on a busy machine, and the station would drop this controller."""
    begun, gone_on = threading.Event(), threading.Event()

    async def nothing(_: OpcUaService) -> None:
        pass

    async def load(_: Any) -> int:
        begun.set()
        raise EnoughError if gone_on.wait(60) else AssertionError("the event loop stood still")

    async def scene() -> None:
        settings = OpcUaSettings(protocol="opcua", port=0)
        starting = asyncio.create_task(
            OpcUaService(settings, Gateway(tmp_path / "s.sock", "opcua", settings), "opcua").__aenter__()
        )
        await until(begun.is_set)
        gone_on.set()
        with pytest.raises(EnoughError):
            await starting

    monkeypatch.setattr(OpcUaService, "_introduce", nothing)
    monkeypatch.setattr("edge_ad.controllers.opcua.service.load_companion", load)
    asyncio.run(scene())


def test_what_comes_faster_than_clients_are_told_is_bounded_and_the_newest_stays(tmp_path: Path) -> None:
    async def scene() -> None:
        settings = OpcUaSettings(protocol="opcua", port=0)
        service = OpcUaService(settings, Gateway(tmp_path / "s.sock", "opcua", settings), "opcua")
        for number in range(20_000):
            service._send("DiagnosticInfo", str(number), 100)
        newest = nothing_due
        service._later(newest)
        assert len(service._due) == 10_000
        assert service._due[-1] is newest

    asyncio.run(scene())


async def nothing_due() -> None:
    pass


def test_inspect_says_why_a_part_is_refused(ends: OpcUaEnds) -> None:
    async def scene() -> None:
        async with ends.client() as client:
            answer = await client.get_node(FOLDER).call_method("1:Inspect", "x" * 129)
            assert answer[0] == "REFUSED"
            assert answer[4] == "bad_part: a part id has at most 128 characters, found 129"

    ends.run(scene())


def test_a_flood_of_connections_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    server = _InternalServer(Bounds(2, 65_536), None, None)
    with caplog.at_level(logging.INFO, "edge_ad.controllers.opcua"):
        for port in range(1_000):
            server.say(logging.WARNING, "is turned away", ("10.0.0.9", port), ": there are 2")
        server.say(logging.WARNING, "is turned away", ("10.0.0.10", 1), ": there are 2")
    lines = [one.getMessage() for one in caplog.records]
    assert lines[0] == "the client ('10.0.0.9', 0) is turned away: there are 2"
    assert lines[-1] == "the client ('10.0.0.10', 1) is turned away: there are 2"
    assert len(lines) < 500
