"""Checks the wheels of a device for known faults: ``python -m edge_ad_deploy.advisories``, or ``make advisories``.

Every pin of the locks is asked for in an advisory database (OSV), by pip-audit. Where the database cannot be reached
nothing is checked, which is said; whoever has to know takes ``--required``.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from packaging.utils import canonicalize_name

from edge_ad.errors import DeviceError, EdgeAdError, GateError, InputError, MissingExtraError, one_line
from edge_ad_deploy.package.lock import Lock

__all__ = ["KnownFault", "find_faults", "main", "why_unreachable"]

OSV = "https://api.osv.dev/v1/query"
LOCKS = Path(__file__).parent / "package" / "locks"
_PROBE_S, _ANSWER_S, _ALL_S = 10, 30, 600
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class KnownFault:
    """Of one wheel. ``ids``: of the advisory, its own first. ``mended``: the versions in which it is gone."""

    name: str
    version: str
    ids: tuple[str, ...]
    what: str
    mended: tuple[str, ...]
    wanted: tuple[str, ...]

    def __str__(self) -> str:
        remedy = f"mended in {', '.join(self.mended)}" if self.mended else "not mended yet"
        return (
            f"{self.name} {self.version} (for {', '.join(self.wanted)}): {', '.join(self.ids)}: {remedy}: "
            f"{one_line(self.what)[:_SHOWN]}"
        )


def why_unreachable(url: str) -> str | None:
    """Asks the database for a wheel that it does not know: why there is no answer, ``None`` where there is one.

    Raises:
        InputError: ``url`` is no address of http or https.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--url: expected an address such as {OSV}, found {url!r}")
    asked = json.dumps({"package": {"name": "edge-ad-probe", "ecosystem": "PyPI"}, "version": "0"}).encode()
    request = urllib.request.Request(url, asked, {"Content-Type": "application/json"})  # noqa: S310  checked above
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_S) as answer:  # noqa: S310
            json.loads(answer.read(1_000_000))
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code} {error.reason}"
    except ValueError:
        return f"{url} does not answer as an advisory database"
    except (urllib.error.URLError, OSError) as error:
        return f"{url} cannot be reached: {one_line(getattr(error, 'reason', error))}"
    return None


def find_faults(lock: Path, url: str) -> list[KnownFault]:
    """What the database knows of the pins of a lock.

    Raises:
        InputError: the lock is missing or damaged.
        MissingExtraError: pip-audit is not installed.
        DeviceError: pip-audit or the database fails, or leaves a pin out.
    """
    if importlib.util.find_spec("pip_audit") is None:
        raise MissingExtraError("pip-audit", "dev")
    pins = {canonicalize_name(pin.name): pin for pin in Lock.read(lock).pins}
    told = _audited("".join(pin.requirement() for pin in pins.values()), url)
    checked = {one["name"] for one in told if "skip_reason" not in one}
    if left_out := sorted(set(pins) - checked):
        raise DeviceError(f"{lock.name}: the database was not asked for {', '.join(left_out)}")
    return [
        KnownFault(
            one["name"],
            one["version"],
            (fault["id"], *fault["aliases"]),
            fault["description"],
            tuple(fault["fix_versions"]),
            pins[one["name"]].wanted,
        )
        for one in told
        for fault in one["vulns"]
    ]


def _audited(requirements: str, url: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(requirements, encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--disable-pip", "--require-hashes"]
        command += ["--vulnerability-service", "osv", "--osv-url", url, "--timeout", str(_ANSWER_S)]
        command += ["--format", "json", "--progress-spinner", "off", "--cache-dir", str(Path(folder) / "cache")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_ALL_S, check=False)
        except subprocess.TimeoutExpired:
            raise DeviceError(f"the advisory database {url} did not answer within {_ALL_S} s") from None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise DeviceError(f"the wheels could not be checked at {url}: {one_line(last)}") from None
    return found


def check(locks: Sequence[Path], url: str) -> Iterable[str]:
    """A line for each fault that is known, then one for each lock.

    Raises:
        GateError: there are faults.
        EdgeAdError: as :func:`find_faults`.
    """
    count = 0
    for lock in locks:
        faults = find_faults(lock, url)
        count += len(faults)
        yield from (f"{lock.stem}: {fault}" for fault in faults)
        yield f"{lock.stem}: {len(Lock.read(lock).pins)} wheels, {len(faults)} known faults"
    if count:
        raise GateError(f"{count} known faults: take newer wheels with  edge-ad package --update-lock")


@click.command()
@click.argument("locks", nargs=-1, type=click.Path(path_type=Path))
@click.option("--url", default=OSV, show_default=True, help="The database: OSV's own, or one that speaks as it does.")
@click.option("--required", is_flag=True, help="Fail with exit code 4 where the database cannot be reached.")
def main(locks: tuple[Path, ...], url: str, required: bool) -> None:
    """Check the wheels of LOCKS, without any those of edge-ad package, for known faults.

    The exit code is 5 where one is known.
    """
    try:
        why = why_unreachable(url)
        if why is not None and required:
            raise DeviceError(why)
        if why is not None:
            click.echo(f"skipped: the wheels were not checked: {why}", err=True)
            return
        for line in check(locks or sorted(LOCKS.glob("*.txt")), url):
            click.echo(line)
    except EdgeAdError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
