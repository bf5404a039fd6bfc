"""An image file that is read when the test says so: what happens in the middle of a run can be told exactly."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 600


class SlowImage:
    """Puts a named pipe in the place of an image. Whoever reads it waits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)

    @contextmanager
    def being_read(self) -> Iterator[None]:
        """Waits for a reader. It gets nothing within the context, and is to be dead at its end."""
        pipe = self._open()
        try:
            yield
        finally:
            os.close(pipe)

    @contextmanager
    def being_held(self) -> Iterator[None]:
        """Waits for a reader, and lets it have the image at the end; a plain file is there from then on."""
        pipe = self._open()
        yield
        os.set_blocking(pipe, True)
        with os.fdopen(pipe, "wb") as file:
            file.write(self.data)
        self.restore()

    def restore(self) -> None:
        """Puts the image back where it was."""
        self.path.unlink()
        self.path.write_bytes(self.data)

    def _open(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads yet
                    raise
            time.sleep(0.01)
        raise TimeoutError(f"nobody read {self.path} within {PATIENCE_S} s")
