"""Messages of the link to lines of JSON, and back."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from edge_ad.link.messages import Answer, Event, PartResult, Request, RequestId

__all__ = [
    "LINE_BYTES",
    "Unread",
    "decode_request",
    "decode_sent",
    "decode_unread",
    "encode_line",
]

LINE_BYTES = 65_536
"""The longest line in either direction, its line feed included."""
_REGIONS_KEPT = 8
_LONGEST_TEXT = 1000

T = TypeVar("T")
M = TypeVar("M", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_sent: msgspec.json.Decoder[Answer | Event] = msgspec.json.Decoder(Answer | Event)


class Unread(msgspec.Struct, frozen=True):
    """What can be known of a line that is no request: so the client learns which one was not understood."""

    id: RequestId | None = None
    type: str | None = None


_unread = msgspec.json.Decoder(Unread)


def decode_request(line: bytes | bytearray) -> Request:
    """One line of a client.

    Raises:
        ValueError: it is no request; the message says why.
    """
    return _decoded(_requests, line)


def decode_sent(line: bytes | bytearray) -> Answer | Event:
    """One line of the station.

    Raises:
        ValueError: it is no answer and no event; the message says why.
    """
    return _decoded(_sent, line)


def decode_unread(line: bytes | bytearray) -> Unread:
    """What can be known of a line that ``decode_request`` refused."""
    try:
        return _decoded(_unread, line)
    except ValueError:
        return Unread()


def encode_line(message: Request | Answer | Event) -> bytes:
    """One line with its line feed, never longer than ``LINE_BYTES``: texts are cut, and a result loses regions.

    Raises:
        ValueError: it is too long even so.
    """
    line = _encoder.encode(message) + b"\n"
    if len(line) <= LINE_BYTES:
        return line
    shorter = _shortened(message)
    if shorter is None:
        raise ValueError(f"a {type(message).__name__} of {len(line)} bytes is longer than a line of {LINE_BYTES}")
    return encode_line(shorter)


def _shortened(message: M) -> M | None:
    """First with texts cut, then with the highest regions of each frame alone, then without verdicts; then ``None``."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    cut = {
        name: f"{value[:_LONGEST_TEXT]}…"
        for name, value in fields.items()
        if isinstance(value, str) and len(value) > _LONGEST_TEXT + 1
    }
    if cut:
        return msgspec.structs.replace(message, **cut)
    if not isinstance(message, PartResult) or not message.verdicts:
        return None
    if message.shortened:
        return msgspec.structs.replace(message, verdicts=())
    kept = tuple(
        msgspec.structs.replace(
            verdict,
            regions=tuple(sorted(verdict.regions, key=lambda region: -region.peak_score)[:_REGIONS_KEPT]),
            objects=(),
        )
        for verdict in message.verdicts
    )
    return msgspec.structs.replace(message, verdicts=kept, shortened=True)


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes | bytearray) -> T:
    try:
        return decoder.decode(line)
    except RecursionError as error:  # thousands of brackets in a field that nobody knows
        raise ValueError("nested too deeply") from error
