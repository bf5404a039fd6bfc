"""A camera that is none, for tests of faults: the test says what it does, and it writes down what it was asked."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_ad.capture.backends.protocol import CameraGoneError, CameraRefusedError, CounterRange, FetchedPicture, Grab

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["Behaviour", "FakeBackend", "FakeCall", "FakeCamera", "FakeScript"]

Behaviour = Literal["good", "frozen", "silent", "hang", "crash", "garbage", "torn", "wrong_size", "unplugged"]
"""``frozen``: the last picture again and again. ``silent``: no frame. ``hang``: a call that never returns.
``crash``: the process dies of SIGSEGV. ``garbage``: bytes that are no picture. ``torn``: the lower half of a picture is
missing, and the decoder says so. ``wrong_size``: pictures of half the width. ``unplugged``: the camera is gone."""

_SCRIPT, _CALLS = "script.json", "calls.jsonl"
_GIGE = CounterRange(1, 65_535)


class FakeScript(msgspec.Struct, frozen=True, kw_only=True):
    """What the camera does from now on.

    ``after``: the behaviour begins after so many good frames of this capture process. ``refuses``: what it says when it
    is opened, in place of opening. ``opens_for_s``: how long opening takes. ``pictures``: image files that it shows in
    turn; without them each frame has another pattern. ``loses``: frames that are lost before each frame.
    ``counter``: of the first frame after opening; the counter wraps from 65,535 to 1 as that of GigE Vision.
    ``ignores``: settings that it does not take.
    """

    behaviour: Behaviour = "good"
    after: int = 0
    refuses: str | None = None
    opens_for_s: float = 0.0
    width: int = 64
    height: int = 48
    fps: float = 50.0
    pictures: tuple[str, ...] = ()
    loses: int = 0
    counter: int = 1
    ignores: tuple[str, ...] = ()


class FakeCall(msgspec.Struct, frozen=True):
    """One call to the camera: ``open``, ``trigger``, ``grab`` (that gave a frame) or ``close``."""

    name: str
    pid: int
    settings: dict[str, str | int | float | bool] = {}


class FakeCamera:
    """A camera for tests, used through the source ``fake:FOLDER``; what it does can be changed at any moment.

    Example::

        fake = FakeCamera(tmp_path)
        camera = CameraProcess("top", CameraSettings(source=fake.source))
        fake.does(behaviour="unplugged")
    """

    def __init__(self, folder: Path, **script: Any) -> None:
        self._folder = folder
        self.source = f"fake:{folder}"
        self.script = FakeScript()
        self.does(**script)

    def does(self, **changes: Any) -> None:
        """Change what it does; what is not named stays as it is. See :class:`FakeScript`."""
        self.script = msgspec.structs.replace(self.script, **changes)
        new = self._folder / f"{_SCRIPT}.new"
        new.write_bytes(msgspec.json.encode(self.script))
        new.replace(self._folder / _SCRIPT)

    @property
    def calls(self) -> list[FakeCall]:
        """What it was asked, from the beginning, by all capture processes."""
        path = self._folder / _CALLS
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [msgspec.json.decode(line, type=FakeCall) for line in lines if line.endswith(b"\n")]


class FakeBackend:
    """The capture's side of a :class:`FakeCamera`."""

    is_live = True
    has_trigger = True
    counter_range: CounterRange | None = _GIGE

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._folder = Path(settings.source.partition(":")[2])
        self._script = FakeScript()
        self._counter = 0
        self._frames = 0
        self._triggers = 0
        self._due_s = time.monotonic()
        self._shown: NDArray[np.uint8] | None = None

    def open(self) -> dict[str, Setting]:
        """Open the camera, or refuse, as the script says."""
        script = self._read_script()
        self._fail_if_unplugged()
        time.sleep(script.opens_for_s)
        if script.refuses is not None:
            raise CameraRefusedError(script.refuses)
        asked = {
            name: value
            for name in ("trigger", "pixel_format", "exposure_us", "gain", "width", "height", "fps")
            if (value := getattr(self._settings, name)) is not None
        }
        taken = {name: value if name not in script.ignores else 0 for name, value in asked.items()}
        self._counter = script.counter - 1
        self._write("open", taken)
        return taken

    def trigger(self) -> None:
        """One frame more may be grabbed."""
        self._write("trigger")
        self._triggers += 1

    def grab(self, timeout_s: float) -> Grab | None:
        """The next frame, when it is due, or the fault that the script wants."""
        script = self._read_script()
        self._fail_if_unplugged()
        behaviour = self._behaviour()
        if behaviour == "hang":
            while True:
                time.sleep(3600)
        if behaviour == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        is_due = self._triggers > 0 if self._settings.trigger == "software" else self._wait(timeout_s)
        if behaviour == "silent" or not is_due:
            time.sleep(min(timeout_s, 0.02))
            return None
        self._triggers -= 1
        self._frames += 1
        for _ in range(1 + script.loses):
            self._counter = self._counter + 1 if self._counter < _GIGE.last else _GIGE.first
        self._write("grab")
        now_ns = time.monotonic_ns()
        return Grab(
            captured_at=time.time(),
            captured_ns=now_ns,
            counter=self._counter,
            camera_time_ns=now_ns,
            exposure_us=self._settings.exposure_us,
            gain=self._settings.gain,
        )

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """The frame's pixels, BGR."""
        behaviour = self._behaviour()
        if behaviour == "garbage":
            return FetchedPicture(0, 0, 0, "expected a picture, found bytes that cannot be decoded")
        if behaviour != "frozen" or self._shown is None:
            self._shown = self._picture()
        image = self._shown[:, ::2] if behaviour == "wrong_size" else self._shown
        height, width, channels = image.shape
        target = slot[: image.size].reshape(image.shape)
        target[:] = image
        if behaviour == "torn":
            target[height // 2 :] = 0
            return FetchedPicture(height, width, channels, "the lower half of the picture did not arrive")
        return FetchedPicture(height, width, channels)

    def close(self) -> None:
        """Write down that it was closed."""
        self._write("close")

    def _behaviour(self) -> Behaviour:
        return self._script.behaviour if self._frames >= self._script.after else "good"

    def _fail_if_unplugged(self) -> None:
        if self._behaviour() == "unplugged":
            raise CameraGoneError("the camera was unplugged")

    def _wait(self, timeout_s: float) -> bool:
        wait_s = self._due_s - time.monotonic()
        time.sleep(max(min(wait_s, timeout_s), 0))
        if wait_s > timeout_s:
            return False
        self._due_s = max(self._due_s, time.monotonic() - 1) + 1 / self._script.fps
        return True

    def _picture(self) -> NDArray[np.uint8]:
        import numpy as np

        from edge_ad.sources.image_file import read_image

        if self._script.pictures:
            image = read_image(Path(self._script.pictures[(self._frames - 1) % len(self._script.pictures)]))
            return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
        shape = (self._script.height, self._script.width, 3)
        return np.random.default_rng(self._counter).integers(0, 256, shape, np.uint8)

    def _read_script(self) -> FakeScript:
        try:
            self._script = msgspec.json.decode((self._folder / _SCRIPT).read_bytes(), type=FakeScript)
        except OSError as error:
            raise CameraRefusedError(
                f"{self._folder}: expected the folder of a fake camera: {error.strerror}"
            ) from error
        return self._script

    def _write(self, name: str, settings: dict[str, Setting] | None = None) -> None:
        line = msgspec.json.encode(FakeCall(name, os.getpid(), settings or {})) + b"\n"
        with (self._folder / _CALLS).open("ab") as file:
            file.write(line)
