"""The Python client against the fake station: real sockets, real protocol."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.link_ends import SteppingClock, raw_station

from edge_ad.errors import InputError, LinkError, LinkRefusedError, LinkTimeoutError, StationFaultError
from edge_ad.link import (
    AlarmChanged,
    Client,
    ExposureComplete,
    FakeStation,
    FrameRequest,
    Judgement,
    PartResult,
    RecordedRequest,
    StateChanged,
    StationState,
    TriggerRequest,
)
from edge_ad.verdict import State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "station.sock"


@pytest.fixture
def station(path: Path) -> Iterator[FakeStation]:
    with FakeStation(path) as fake:
        yield fake


@pytest.fixture
def link(station: FakeStation, path: Path) -> Iterator[Client]:
    with Client(path, timeout_s=60) as client:
        yield client


def test_hello_tells_who_is_there(station: FakeStation, link: Client) -> None:
    assert (link.station, link.state) == ("fake", StationState.READY)
    assert list(station.clients.values()) == ["python"]


def test_a_trigger_gets_its_own_result(station: FakeStation, link: Client) -> None:
    result = link.result(link.trigger("A-17"), timeout_s=60)
    assert (result.trigger, result.part_id, result.state, result.id) == (1, "A-17", State.ACCEPT, "1")
    assert result.accepted
    assert [one.request for one in station.requests] == [TriggerRequest(id="1", part_id="A-17")]


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3)], ids=str)
def test_a_frame_arrives_pixel_by_pixel(station: FakeStation, link: Client, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert link.result(link.hand_in(pixels, "A-18", camera="top"), timeout_s=60).accepted
    (seen,) = station.requests
    assert seen.request == FrameRequest(
        id="1", part_id="A-18", camera="top", height=4, width=6, channels=3 if shape[-1] == 3 else 1
    )
    assert seen.pixels is not None
    np.testing.assert_array_equal(seen.pixels, pixels.reshape(seen.pixels.shape))
    assert not seen.pixels.flags.writeable


def test_a_frame_that_is_a_part_of_another_image_is_handed_in_too(station: FakeStation, link: Client) -> None:
    image = np.arange(60, dtype=np.uint8).reshape(6, 10)
    link.result(link.hand_in(image[1:5, 2:8]), timeout_s=60)
    np.testing.assert_array_equal(station.requests[0].pixels, image[1:5, 2:8])


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 6, 2), np.uint8), np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6), np.uint16), np.zeros(4, np.uint8)],
    ids=["two-channels", "four-channels", "sixteen-bit", "one-row"],
)
def test_other_pixels_are_refused_before_anything_is_sent(
    station: FakeStation, link: Client, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    with pytest.raises(InputError, match="expected pixels uint8"):
        link.hand_in(pixels)
    link.snapshot()
    assert len(station.requests) == 1


def test_a_part_passes_for_its_accept_alone(path: Path) -> None:
    def judge(asked: RecordedRequest) -> Judgement:
        assert isinstance(asked.request, TriggerRequest)
        return Judgement(State(asked.request.part_id))

    with FakeStation(path, judge=judge), Client(path) as link:
        assert [link.passes(state.value, timeout_s=60) for state in State] == [True, False, False]


def test_a_result_that_is_held_back_is_no_accept_and_its_later_coming_changes_nothing(
    station: FakeStation, link: Client
) -> None:
    station.hold()
    assert not link.passes("late", timeout_s=0.05)
    station.release()
    station.refuse("not_now")
    assert not link.passes("next", timeout_s=60)


def test_a_part_without_pixels_for_a_station_that_needs_them_is_a_fault_of_the_program(
    station: FakeStation, link: Client
) -> None:
    station.refuse("needs_frame")
    with pytest.raises(InputError, match=r"give passes\(\) the pixels of the part"):
        link.passes("A-1", timeout_s=60)


def test_waiting_in_vain_says_for_what(station: FakeStation, link: Client) -> None:
    station.hold()
    trigger = link.trigger()
    with pytest.raises(LinkTimeoutError, match=r"the result of trigger 1 did not come within 0\.05 s"):
        link.result(trigger, timeout_s=0.05)
    with pytest.raises(LinkError, match="trigger 1 does not wait for a result here"):
        link.result(trigger)


def test_fault_ends_every_open_trigger_and_reset_opens_the_door_again(station: FakeStation, link: Client) -> None:
    station.hold()
    triggers = [link.trigger(), link.trigger()]
    station.fault("camera_lost")
    for trigger in triggers:
        with pytest.raises(StationFaultError, match="camera_lost") as caught:
            link.result(trigger, timeout_s=60)
        assert caught.value.cause == "camera_lost"
    with pytest.raises(LinkRefusedError, match="not_ready") as refused:
        link.trigger()
    assert refused.value.reason == "not_ready"
    assert link.snapshot().cause == "camera_lost"
    link.reset()
    assert link.snapshot().state is StationState.READY


def test_a_subscriber_sees_what_others_do_without_their_ids(station: FakeStation, link: Client, path: Path) -> None:
    with Client(path, client="watcher") as watcher:
        watcher.subscribe("state", "exposure_complete", "result")
        assert watcher.next_event(timeout_s=60) == StateChanged(state=StationState.READY)
        link.result(link.trigger("A-1"), timeout_s=60)
        assert watcher.next_event(timeout_s=60) == ExposureComplete(trigger=1, part_id="A-1")
        result = watcher.next_event(timeout_s=60)
        assert isinstance(result, PartResult)
        assert (result.trigger, result.id) == (1, None)


def test_the_line_may_move_on_before_the_result_is_there(station: FakeStation, link: Client) -> None:
    station.hold()
    trigger = link.trigger()
    link.exposed(trigger, timeout_s=60)
    with pytest.raises(LinkTimeoutError):
        link.result(trigger, timeout_s=0.01)
    with pytest.raises(LinkError, match="trigger 1 does not wait"):
        link.exposed(trigger)


def test_only_subscribed_events_are_given(station: FakeStation, link: Client) -> None:
    link.subscribe("alarm")
    link.result(link.trigger(), timeout_s=60)
    station.alarm("a", "text")
    assert isinstance(link.next_event(timeout_s=60), AlarmChanged)


def test_results_of_others_are_never_taken_for_ones_own(station: FakeStation, link: Client, path: Path) -> None:
    station.hold()
    with Client(path) as other:
        mine, theirs = link.trigger("mine"), other.trigger("theirs")
        link.subscribe()
        station.publish(PartResult(trigger=mine, state=State.ACCEPT, latency_ms=0))
        station.publish(PartResult(trigger=theirs, state=State.ACCEPT, latency_ms=0, id="1"))
        with pytest.raises(LinkTimeoutError):
            link.result(mine, timeout_s=0.05)


def test_alarms_are_acknowledged(station: FakeStation, link: Client) -> None:
    station.alarm("rejects", "5 rejects in a row")
    assert link.snapshot().alarms == {"rejects": "5 rejects in a row"}
    link.acknowledge("rejects")
    assert link.snapshot().alarms == {}
    with pytest.raises(LinkRefusedError, match="unknown_alarm"):
        link.acknowledge("rejects")


def test_a_recipe_is_asked_for(station: FakeStation, link: Client) -> None:
    link.recipe("caps-30mm")
    assert link.snapshot().recipe == "caps-30mm"


def test_recipes_are_told_in_their_order_and_others_are_refused(path: Path) -> None:
    with FakeStation(path, recipes=("caps-20mm", "caps-30mm")), Client(path) as link:
        with pytest.raises(LinkRefusedError, match="unknown_recipe"):
            link.recipe("caps-40mm")
        link.recipe(link.snapshot().recipes[1])
        assert (link.snapshot().recipe, link.snapshot().recipes) == ("caps-30mm", ("caps-20mm", "caps-30mm"))


def test_counts_begin_at_zero_when_they_are_reset(path: Path) -> None:
    with FakeStation(path, judge=lambda _: Judgement(State.INVALID, "late")) as station, Client(path) as link:
        station.drift("top", "WATCH")
        link.result(link.trigger(), timeout_s=60)
        before = link.snapshot()
        link.reset_counters()
        after = link.snapshot()
    assert before.counts is not None
    assert after.counts is not None
    assert (before.counts.parts, before.counts.invalid) == ({"ACCEPT": 0, "REJECT": 0, "INVALID": 1}, {"late": 1})
    assert (after.counts.parts, after.counts.invalid) == ({"ACCEPT": 0, "REJECT": 0, "INVALID": 0}, {})
    assert before.drift == {"top": "WATCH"}


def test_who_asks_stands_in_the_request(station: FakeStation, link: Client) -> None:
    station.alarm("a", "text")
    link.recipe("r", by="anna")
    link.acknowledge("a", by="anna")
    link.reset_counters(by="anna")
    with pytest.raises(LinkRefusedError, match="not_in_fault"):
        link.reset(by="anna")
    assert [getattr(one.request, "by", None) for one in station.requests] == ["anna"] * 4


def test_a_station_that_hangs_is_noticed_before_the_whole_time_is_over(station: FakeStation, path: Path) -> None:
    clock = SteppingClock()
    with Client(path, clock=clock) as link:
        station.hold()
        trigger = link.trigger()
        station.go_silent()
        clock.step_ns = 100_000_000_000
        with pytest.raises(LinkError, match="silent: no heartbeat in time"):
            link.result(trigger, timeout_s=600)


def test_a_station_that_ends_is_noticed(station: FakeStation, link: Client) -> None:
    station.hold()
    trigger = link.trigger()
    station.close()
    with pytest.raises(LinkError, match="is lost"):
        link.result(trigger, timeout_s=600)
    assert not link.passes()


def test_where_nobody_listens_is_said(path: Path) -> None:
    with pytest.raises(LinkError, match=r"no station listens on .*station\.sock: No such file or directory"):
        Client(path)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b'{"type":"hello","version":2,"station":"s","state":"READY","heartbeat_s":1.0}\n', "speaks version 2"),
        (b'{"type":"error","detail":"too many clients"}\n', "the station says: too many clients"),
        (b"x" * 70_000, "a line of more than 65536 bytes"),
        (b"", "is lost"),
    ],
    ids=["version", "error", "no-end", "hangs-up"],
)
def test_another_kind_of_station_is_refused(path: Path, sent: bytes, said: str) -> None:
    def serve(accepted: socket.socket) -> None:
        accepted.recv(4096)
        accepted.sendall(sent)

    with raw_station(path, serve), pytest.raises(LinkError, match=said):
        Client(path, timeout_s=60)


def test_a_part_id_that_no_station_takes_is_refused_here(link: Client) -> None:
    with pytest.raises(InputError, match="at most 128 characters, found 129"):
        link.trigger("x" * 129)


def test_a_fake_station_that_runs_for_long_keeps_the_newest_requests_alone(path: Path) -> None:
    with FakeStation(path, keep=2) as station, Client(path, timeout_s=60) as link:
        for number in range(5):
            link.result(link.trigger(str(number)), timeout_s=60)
        kept = station.wait_for(5)
        assert [getattr(one.request, "part_id", None) for one in kept] == ["3", "4"]
        assert link.snapshot().counters == {"requests": 6}


def test_the_parts_of_late_are_told_to_clients_of_the_same_name_until_a_fault_is_reset(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with FakeStation(path) as station:
        with Client(path, client="web") as one, Client(path, client="plc") as other:
            for number in range(300):
                assert one.passes(f"part {number}", timeout_s=60)
            assert other.passes("of the plc", timeout_s=60)
            station.refuse("test")
            assert not one.passes("refused", timeout_s=60)
            station.refuse(None)
        with Client(path, client="web") as again:
            assert again.snapshot(recent_parts=True).recent_parts == tuple(f"part {one}" for one in range(44, 300))
            assert again.snapshot().recent_parts == ()
            for number in range(100):
                assert again.passes("\0" * 120 + str(number), timeout_s=60)
            told = again.snapshot(recent_parts=True).recent_parts
            assert 0 < len(told) < 100
            assert told[-1].endswith("99")
            station.fault("camera_lost")
            again.reset()
            assert again.snapshot(recent_parts=True).recent_parts == ()
        with Client(path, client="plc") as other:
            assert other.snapshot(recent_parts=True).recent_parts == ("of the plc",)
