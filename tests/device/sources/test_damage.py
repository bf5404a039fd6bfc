"""From FFmpeg's complaints to the frames that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.field_media import LINE_FRAMES, jpegs, write_line

from edge_ad.sources import open_source
from edge_ad.sources.damage import Dependence, decoder_complaints, jpeg_complaints


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("[mjpeg @ 0x56432250d780] overread 8", ["overread 8"], id="mjpeg"),
        pytest.param("[h264 @ 0x5f] error while decoding MB 3 4", ["error while decoding MB 3 4"], id="h264"),
        pytest.param("[swscaler @ 0x5f] deprecated pixel format used", [], id="conversion-of-colours"),
        pytest.param("[rtsp @ 0x5f] max delay reached. need to consume packet", [], id="network"),
        pytest.param("[matroska,webm @ 0x5f] File ended prematurely", [], id="container"),
        pytest.param("[mov,mp4,m4a,3gp,3g2,mj2 @ 0x5f] stream 0: partial file", [], id="container-of-many-names"),
        pytest.param("[mjpeg @ 0x5f] unable to decode APP fields: Invalid data", [], id="metadata"),
        pytest.param("Corrupt JPEG data: 2 extraneous bytes", [], id="not-of-ffmpeg"),
    ],
)
def test_only_decoders_count(line: str, expected: list[str]) -> None:
    assert decoder_complaints(line + "\n") == expected


@pytest.mark.parametrize(
    ("codec", "kinds", "complaint_at", "damaged"),
    [
        pytest.param("MJPG", "IIIII", 2, "..x..", id="every-frame-by-itself"),
        pytest.param("FMP4", "IPPPIPP", 2, "..xx...", id="until-the-next-key-frame"),
        pytest.param("FMP4", "IPPPIPPP", 4, "....xxxx", id="the-key-frame-itself"),
        pytest.param("FMP4", "IBBPBBIBBPBBIP", 4, "....xxxxxxxx..", id="a-key-frame-shown-later-than-decoded"),
        pytest.param("h264", "IPPPIPPP" + "P" * 12 + "IP", 3, "..." + "x" * 17 + "..", id="held-back"),
    ],
)
def test_damage_lasts_until_a_key_frame_behind_it(codec: str, kinds: str, complaint_at: int, damaged: str) -> None:
    dependence = Dependence(codec, is_live=False)
    found = [
        dependence.is_damaged(["error"] if index == complaint_at else [], kind) for index, kind in enumerate(kinds)
    ]
    assert "".join(".x"[one] for one in found) == damaged


def test_what_lies_before_the_place_of_joining_is_no_damage_of_a_live_stream() -> None:
    before = ["non-existing PPS 0 referenced"]
    assert not Dependence("h264", is_live=True).is_damaged(before, "I")
    assert Dependence("h264", is_live=False).is_damaged(before, "I")
    assert Dependence("h264", is_live=True).is_damaged(["error while decoding MB 3 4"], "I")


@pytest.mark.parametrize(
    ("line", "is_damage"),
    [
        ("Corrupt JPEG data: premature end of data segment", True),
        ("Corrupt JPEG data: bad Huffman code", True),
        ("Corrupt JPEG data: found marker 0xd9 instead of RST3", True),
        ("Premature end of JPEG file", True),
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd4", False),
        ("Corrupt JPEG data: 607 extraneous bytes before marker 0xd9", True),
        ("Warning: unknown JFIF revision number 2.01", False),
    ],
)
def test_a_jpeg_of_a_usb_camera_is_damaged_when_pixels_are_missing(line: str, is_damage: bool) -> None:
    assert bool(jpeg_complaints(line + "\n")) == is_damage


@pytest.mark.parametrize("name", ["line.avi", "line.mkv"])
def test_a_frame_without_any_picture_keeps_its_place(tmp_path: Path, name: str) -> None:
    path = write_line(tmp_path / name, "MJPG")
    data = bytearray(path.read_bytes())
    start, end = jpegs(bytes(data))[30]
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    with open_source(path) as source:
        damaged = [frame.index for frame in source if frame.image is None]
        assert source.length == LINE_FRAMES
    assert damaged == [30]


def test_a_damaged_frame_of_ffv1_spoils_those_up_to_the_next_key_frame(tmp_path: Path) -> None:
    path = write_line(tmp_path / "line.mkv", "FFV1", 30)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    with open_source(path) as source:
        damaged = [frame.index for frame in source if frame.image is None]
    next_key = 24  # OpenCV's encoder puts one in every twelfth frame
    assert 12 < damaged[0] < next_key
    assert damaged == list(range(damaged[0], next_key))


def test_mpeg2_holds_one_frame_back() -> None:
    dependence = Dependence("mpg2", is_live=False)
    found = [
        dependence.is_damaged(["ac-tex damaged"] if index == 2 else [], kind) for index, kind in enumerate("PPPIPPIP")
    ]
    assert found == [False, False, True, True, True, True, False, False]
