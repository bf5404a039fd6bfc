"""Which frames of a stream are damaged: asked of FFmpeg, whose only word on it is a line on standard error.

A decoder that meets damaged bytes gives a picture all the same, made up of what it has. These pictures, and those that
are predicted from them, are no evidence of anything.
"""

from __future__ import annotations

import os
import re

__all__ = ["DamageWatch", "Dependence", "decoder_complaints", "jpeg_complaints"]

# What FFmpeg prints: the name of the part that complains and its address, then what it complains of.
_LINE = re.compile(r"\[([^\]@]+) @ 0x[0-9a-f]+\]\s*(.*)")
# Parts that are no decoder: containers, networks, the conversion of colours. Names of several containers have commas.
_NO_DECODERS = frozenset(
    {"swscaler", "SWR", "NULL", "IMGUTILS", "AVIOContext", "AVFormatContext", "Parsed_null", "auto_scale_0"}
    | {"rtsp", "rtp", "sdp", "srtp", "udp", "tcp", "tls", "http", "https", "httpproxy", "rtmp", "srt", "file", "cache"}
    | {
        "hls",
        "dash",
        "avi",
        "asf",
        "mpegts",
        "mpeg",
        "mpjpeg",
        "ogg",
        "mxf",
        "concat",
        "image2",
        "rm",
        "nut",
        "live_flv",
    }
)
# Complaints of decoders that do not concern pixels: metadata, and the book-keeping of references that are not used.
_HARMLESS = re.compile(
    r"unable to decode APP fields|\bSEI\b|mmco: |deprecated pixel format|ignoring|[Ll]ate SEI|colou?r (range|space)"
    r"|Application has requested|hardware|hwaccel"
)
# Complaints about what lies before the place where a live stream is joined.
_BEFORE_THE_FIRST = re.compile(
    r"non-existing|decode_slice_header error|no frame|[Mm]issing ref|reference picture missing|co located POCs"
    r"|Could not find ref|First slice|(PPS|SPS|VPS)|Error constructing the frame RPS|Skipping|illegal short term"
)
_READ_BYTES = 1 << 16


class DamageWatch:
    """Keeps this process's standard error in memory and finds the complaints of decoders in it.

    Takes effect on the file descriptor, as FFmpeg is no Python. The decoder has to run in one thread: others would
    complain of frames that are not due yet.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("decoder-complaints")
        os.dup2(self._file, 2)

    def complaints(self) -> list[str]:
        """What decoders have complained of since the last call."""
        if not os.fstat(self._file).st_size:
            return []
        text = os.pread(self._file, _READ_BYTES, 0).decode(errors="replace")
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        return decoder_complaints(text) + jpeg_complaints(text)


def decoder_complaints(text: str) -> list[str]:
    """The complaints in FFmpeg's lines that are of a decoder and concern pixels."""
    found = [_LINE.match(line) for line in text.splitlines()]
    return [
        one.group(2)
        for one in found
        if one and one.group(1) not in _NO_DECODERS and "," not in one.group(1) and not _HARMLESS.search(one.group(2))
    ]


# What libjpeg prints of pictures from which something is missing. It is what decodes JPEGs of USB cameras.
_LIBJPEG = re.compile(
    r"Corrupt JPEG data: (?:premature end|bad Huffman|found marker).*|Premature end of JPEG.*"
    r"|Inconsistent progression.*|Invalid SOS.*|Corrupt JPEG data: \d{2,} extraneous bytes.*"
)


def jpeg_complaints(text: str) -> list[str]:
    """The complaints of libjpeg that speak of missing pixels.

    A few bytes that are left over before a marker are none: common cameras write some into every picture. Many are
    what remains of a picture after damage in its midst.
    """
    return [line for line in text.splitlines() if _LIBJPEG.match(line)]


# Codecs that hold back up to 16 pictures to bring them into order, whether or not they have bidirectional ones.
_HOLD_BACK = re.compile(r"h26[456]|[ahx]vc1|hev1|hvc1|dvh|x26[45]|av01|vvc1|vvi1|davc", re.IGNORECASE)
_MOST_HELD_BACK = 16
# MPEG-1 and MPEG-2 hold back one, also where there are no bidirectional pictures.
_HOLD_ONE_BACK = re.compile(r"mpg[12]|mpeg|m[12]v|mp2v|pim[12]", re.IGNORECASE)


class Dependence:
    """From the complaints, frame by frame, to the frames that are damaged or predicted from a damaged one.

    ``codec``: the four letters of the stream's codec. Damage ends at the next key frame. Where pictures are shown in
    another order than they are decoded, a complaint may be of a picture that is shown some frames later, and that
    picture may be a key frame: then only a key frame behind it ends the damage. ``is_live``: the stream was joined on
    its way, and what comes before its first picture says nothing of it.
    """

    def __init__(self, codec: str, *, is_live: bool) -> None:
        self._is_live = is_live
        self._held_back = _MOST_HELD_BACK if _HOLD_BACK.search(codec) else int(bool(_HOLD_ONE_BACK.search(codec)))
        self._bidirectional = 0
        self._shown = 0
        self._damaged_at: int | None = None

    def is_damaged(self, complaints: list[str], kind: str) -> bool:
        """Whether the next frame is damaged. ``kind``: ``I``, ``P``, ``B`` or ``?``, how it was coded."""
        index = self._shown
        self._shown += 1
        self._count_bidirectional(kind)
        if index == 0 and self._is_live:
            complaints = [one for one in complaints if not (self._held_back and _BEFORE_THE_FIRST.search(one))]
        if complaints:
            self._damaged_at = index
        elif self._damaged_at is not None and kind == "I" and index - self._damaged_at > self._held_back:
            self._damaged_at = None
        return self._damaged_at is not None

    def lose(self) -> None:
        """A frame that gives no picture at all: those that are predicted from it are damaged."""
        if self._damaged_at is None or not self._held_back:
            self._damaged_at = self._shown
        self._shown += 1

    def _count_bidirectional(self, kind: str) -> None:
        self._bidirectional = self._bidirectional + 1 if kind == "B" else 0
        if self._bidirectional:
            self._held_back = max(self._held_back, self._bidirectional + 1)
