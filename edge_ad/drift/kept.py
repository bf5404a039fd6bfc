"""A kept frame on disk: a PNG file and, beside it, a JSON file with its verdict."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, Literal

import cv2
import msgspec

from edge_ad.bundle.records import Sha256
from edge_ad.errors import InputError
from edge_ad.files import atomic_write
from edge_ad.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CONFIRMED", "PENDING", "Entry", "KeptFrame", "own_name", "read_kept", "write_kept"]

PENDING: Final = "pending"
CONFIRMED: Final = "confirmed"
_OWN_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-\d{8,}")


class KeptFrame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sidecar, ``<name>.json``. ``image``: the PNG's name; ``image_sha256``: over the PNG's bytes."""

    format: Literal["edge-ad-kept/1"] = "edge-ad-kept/1"
    image: str
    image_sha256: Sha256
    source: str
    artefact_sha256: Sha256
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Entry:
    """``stem``: the name of both files without suffix; ``size``: bytes of both."""

    stem: str
    size: int


def own_name(name: str) -> bool:
    """Whether a file of this stem was written by :func:`write_kept`."""
    return _OWN_NAME.fullmatch(name) is not None


def write_kept(folder: Path, image: NDArray[np.uint8], verdict: Verdict, *, source: str, artefact_sha256: str) -> Entry:
    """Writes the frame as the camera gave it, and its sidecar.

    The sidecar comes last: where there is one, its picture is whole. Stems sort by time.

    Raises:
        OutputError: they cannot be written.
    """
    when = datetime.fromtimestamp(verdict.captured_at, timezone.utc)
    stem = f"{when:%Y%m%dT%H%M%S.%fZ}-{verdict.frame_id:08d}"
    # Level 1: this happens beside a running line, and a higher one takes several times as long.
    encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    record = KeptFrame(
        image=f"{stem}.png",
        image_sha256=hashlib.sha256(encoded).hexdigest(),
        source=source.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        artefact_sha256=artefact_sha256,
        verdict=verdict,
    )
    text = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    atomic_write(folder / record.image, encoded)
    atomic_write(folder / f"{stem}.json", text)
    return Entry(stem, len(encoded) + len(text))


def read_kept(sidecar: Path) -> KeptFrame:
    """Reads a sidecar and makes sure that the picture beside it is the one that was kept.

    Raises:
        InputError: the sidecar is damaged, or its picture is missing or another one.
    """
    try:
        record = msgspec.json.decode(sidecar.read_bytes(), type=KeptFrame)
        picture = (sidecar.parent / record.image).read_bytes()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{sidecar} is no record of a kept frame ({error}): take it out with its picture") from error
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}: move both files of a frame") from error
    if hashlib.sha256(picture).hexdigest() != record.image_sha256:
        raise InputError(f"{sidecar.parent / record.image} is not the picture that was kept: take it out")
    return record
