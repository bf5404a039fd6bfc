"""Every error that edge-ad raises on purpose.

::

    EdgeAdError
    ├── InputError (ValueError)               exit 2   an argument, a file or an image is not what was asked for
    │   ├── FrameError                                 one image cannot be scored; a stream goes on as INVALID
    │   ├── InUseError                                 another process uses this file
    │   ├── ModelError                                 a model to import is unreadable or of an unknown contract
    │   └── NotEnoughNormalsError                      the asked guarantee needs more normals than were given
    ├── MissingExtraError (ImportError)       exit 2   an optional part is not installed; names the pip command
    ├── BundleError (ValueError)              exit 3   the bundle is refused
    │   ├── BundleFormatError                          not a bundle, a newer format, a missing or wrong field
    │   ├── BundleIntegrityError                       a file is missing, changed or outside the bundle
    │   ├── SignatureError                             not signed by whom this device trusts, expired, or older
    │   ├── CalibrationError                           a calibration made for another artefact or geometry
    │   └── GoldenError                                this device gives other scores than the bundle promises
    ├── DeviceError (RuntimeError)            exit 4   something outside edge-ad failed
    │   ├── EngineError                                the inference engine refused the model or died
    │   ├── SourceError                                a camera, video or stream failed
    │   ├── LinkError                                  the link between a station and its clients failed
    │   │   ├── LinkRefusedError                       the station refused a request
    │   │   ├── LinkTimeoutError (TimeoutError)        an answer did not come in time
    │   │   └── StationFaultError                      the station is in FAULT; the part has no result
    │   └── OutputError (OSError)                      a result could not be written
    └── GateError (RuntimeError)              exit 5   a quality gate was not met

A message is one line that says what was expected, what was found and what to do.
"""

from __future__ import annotations

import copy
from typing import Any, cast

__all__ = [
    "BundleError",
    "BundleFormatError",
    "BundleIntegrityError",
    "CalibrationError",
    "DeviceError",
    "EdgeAdError",
    "EngineError",
    "FrameError",
    "GateError",
    "GoldenError",
    "InUseError",
    "InputError",
    "LinkError",
    "LinkRefusedError",
    "LinkTimeoutError",
    "MissingExtraError",
    "ModelError",
    "NotEnoughNormalsError",
    "OutputError",
    "SignatureError",
    "SourceError",
    "StationFaultError",
    "named",
    "one_line",
]

_MOST_NAMED = 3


class EdgeAdError(Exception):
    """The root of the tree. ``exit_code`` is what the command line ends with."""

    exit_code: int = 1

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel between processes; those with arguments of their own are not built from the message alone.
        return _made_again, (type(self), *self.args), self.__dict__

    def saying(self, message: str) -> EdgeAdError:
        """The same error with another message; what else it carries stays."""
        other = copy.copy(self)
        other.args = (message,)
        if isinstance(other, ImportError):
            other.msg = message
        return other


class InputError(EdgeAdError, ValueError):
    """An argument, a file or an image is not what was asked for."""

    exit_code = 2


class FrameError(InputError):
    """One image cannot be scored. ``reason`` is the short code that the verdict carries."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InUseError(InputError):
    """Another process uses this file."""


class ModelError(InputError):
    """A model to import is unreadable or of an unknown contract."""


class NotEnoughNormalsError(InputError):
    """The asked guarantee needs more normals. ``needed`` says how many."""

    def __init__(self, needed: int, message: str) -> None:
        super().__init__(message)
        self.needed = needed


class MissingExtraError(EdgeAdError, ImportError):
    """An optional part of edge-ad is not installed."""

    exit_code = 2

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed: run  pip install 'edge-ad[{extra}]'")


class BundleError(EdgeAdError, ValueError):
    """The bundle is refused."""

    exit_code = 3


class BundleFormatError(BundleError):
    """Not a bundle, a newer format, a missing or wrong field."""


class BundleIntegrityError(BundleError):
    """A file is missing, changed or outside the bundle."""


class SignatureError(BundleError):
    """The bundle does not come from whom this device trusts, or its signature expired, or it is an older one."""


class CalibrationError(BundleError):
    """A calibration made for another artefact or geometry."""


class GoldenError(BundleError):
    """This device gives other scores than the bundle promises."""


class DeviceError(EdgeAdError, RuntimeError):
    """Something outside edge-ad failed."""

    exit_code = 4


class EngineError(DeviceError):
    """The inference engine refused the model or died."""


class SourceError(DeviceError):
    """A camera, video or stream failed."""


class LinkError(DeviceError):
    """The link between a station and its clients failed. For a part that waits for its result this means reject."""


class LinkRefusedError(LinkError):
    """The station refused a request. ``reason`` is the short code of its answer."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class LinkTimeoutError(LinkError, TimeoutError):
    """An answer did not come in time."""


class StationFaultError(LinkError):
    """The station went into FAULT, and the part has no result. ``cause`` is the station's word for it."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class OutputError(DeviceError, OSError):
    """A result could not be written."""


class GateError(EdgeAdError, RuntimeError):
    """A quality gate was not met."""

    exit_code = 5


def _made_again(kind: type[EdgeAdError], *args: object) -> EdgeAdError:
    # The first base in the order of look-up need not be the one that gives the object its layout.
    layout: type[Exception] = cast("Any", kind.__base__)
    made: EdgeAdError = layout.__new__(cast("Any", kind))
    made.args = args
    return made


def counted(count: int, thing: str) -> str:
    """``1 frame``, ``1,200 frames``. ``thing``: one of them; its plural ends in -s."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def every(count: int, thing: str) -> str:
    """``every frame``, ``every 2 frames``."""
    return f"every {thing}" if count == 1 else f"every {counted(count, thing)}"


def named(things: list[str], joint: str = ", ") -> str:
    """The first few of many, for a message."""
    more = len(things) - _MOST_NAMED
    return joint.join([*things[:_MOST_NAMED], *([f"and {more:,} more"] if more > 0 else [])])


def one_line(error: object) -> str:
    """The text of an error on one line: other libraries break theirs over several."""
    return " ".join(str(error).split())


def visible(text: str) -> str:
    """``text`` without what would move the cursor of a terminal or turn round its text: part ids come from anywhere."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in text)
