"""What the user gives up for a smaller and faster model."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.errors import InputError

__all__ = ["Shrink"]


@dataclass(frozen=True)
class Shrink:
    """What makes a head smaller and changes its scores. The defaults change nothing.

    ``coreset``: vectors of a memory bank to keep. ``project``: dimensions to search it in. ``energy``: the part of
    a Gaussian's whitening to keep, above 0 and at most 1.

    Raises:
        InputError: a number is out of its range.
    """

    coreset: int | None = None
    project: int | None = None
    energy: float = 1.0

    def __post_init__(self) -> None:
        for option, number in (("--coreset", self.coreset), ("--project", self.project)):
            if number is not None and number < 1:
                raise InputError(f"{option} {number}: expected at least 1")
        if not 0 < self.energy <= 1:
            raise InputError(f"--energy {self.energy:g}: expected above 0 and at most 1")

    def __str__(self) -> str:
        given = (("--coreset", self.coreset), ("--project", self.project))
        words = [f"{option} {number}" for option, number in given if number is not None]
        return " ".join([*words, *([f"--energy {self.energy:g}"] if self.energy < 1 else [])])

    @property
    def is_asked(self) -> bool:
        return self != Shrink()
