"""``python -m edge_ad.link SOCKET``: a fake station to try a client on, whatever language it is written in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from edge_ad.errors import EdgeAdError
from edge_ad.link.fake_station import FakeStation, Judgement, RecordedRequest
from edge_ad.link.lines import encode_line
from edge_ad.verdict import State

__all__ = ["main"]


class _Judge:
    """Says the same of every part, until it is told otherwise; prints what it is asked."""

    def __init__(self) -> None:
        self.state = State.ACCEPT

    def __call__(self, asked: RecordedRequest) -> Judgement:
        click.echo(encode_line(asked.request), nl=False)
        return Judgement(self.state)


@click.command()
@click.argument("socket", type=click.Path(path_type=Path))
def main(socket: Path) -> None:
    """Listen on SOCKET as a station would, and print every part that is asked for. Ends with the standard input.

    Each line of the standard input is a command: accept, reject or invalid (what is said of every part from now on);
    hold (results wait) and release; refuse REASON and take; fault CAUSE; alarm NAME TEXT; silent and speak.
    """
    judge = _Judge()
    try:
        with FakeStation(socket, judge=judge, keep=1) as station:
            click.echo(f"listens on {socket}", err=True)
            for line in sys.stdin:
                _obey(station, judge, line)
    except EdgeAdError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def _obey(station: FakeStation, judge: _Judge, line: str) -> None:
    word, _, rest = line.strip().partition(" ")
    name, _, text = rest.partition(" ")
    commands: dict[str, Callable[[], None]] = {
        "hold": station.hold,
        "release": station.release,
        "silent": station.go_silent,
        "speak": station.speak,
        "take": lambda: station.refuse(None),
        "refuse": lambda: station.refuse(rest or "told_so"),
        "fault": lambda: station.fault(rest or "told_so"),
        "alarm": lambda: station.alarm(name or "alarm", text),
        "": lambda: None,
    }
    if word.upper() in State.__members__:
        judge.state = State(word.upper())
    elif word in commands:
        commands[word]()
    else:
        click.echo(f"error: expected one of accept, reject, invalid, {', '.join(filter(None, commands))}", err=True)


if __name__ == "__main__":
    main()
