"""The virtual environment of a device, laid out here: its wheels and edge-ad itself, without running anything of it."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

from edge_ad.errors import InputError
from edge_ad_deploy.package.lock import Pin
from edge_ad_deploy.package.pip import run_pip
from edge_ad_deploy.package.target import PackageTarget

__all__ = ["OWN_PACKAGES", "lay_out_environment"]

OWN_PACKAGES = (
    "edge_ad",
    "edge_ad_export",
    "edge_ad_calibration",
    "edge_ad_metrics",
    "edge_ad_report",
    "edge_ad_demo",
    "edge_ad_deploy",
)
"""The packages of edge-ad's wheel. Those of the workstation are small, and they say which extra they need."""

_PROGRAM = """\
#!/opt/edge-ad/bin/python
import sys

from edge_ad.cli import main

sys.exit(main())
"""


def lay_out_environment(root: Path, target: PackageTarget, pins: Sequence[Pin], wheels: Path | None) -> None:
    """Writes ``opt/edge-ad`` below ``root``: a virtual environment that only has to be copied to the device.

    Raises:
        DeviceError: no package registry can be reached.
        InputError: a wheel is missing or differs from its pin.
    """
    libraries = root / target.site_packages
    libraries.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        requirements = Path(work) / "requirements.txt"
        requirements.write_text("".join(pin.requirement() for pin in pins), encoding="utf-8")
        options = ["--no-deps", "--no-compile", "--require-hashes", "--requirement", str(requirements)]
        run_pip(["install", *options, "--target", str(libraries), *target.pip_options()], target, wheels)
    _drop_programs(libraries)
    _copy_ourselves(libraries)
    _write_environment(root / "opt/edge-ad", target)


def _drop_programs(libraries: Path) -> None:
    """The programs of the libraries: pip has written the path of this machine's Python into them."""
    shutil.rmtree(libraries / "bin", ignore_errors=True)
    for record in libraries.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(("bin/", "../../bin/"))]
        record.write_text("".join(kept), encoding="utf-8")


def _copy_ourselves(libraries: Path) -> None:
    """edge-ad as it is installed here, from a wheel or as a clone of its repository."""
    for name in OWN_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise InputError(f"edge-ad is not installed whole: {name} is missing; install it again")
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        shutil.copytree(Path(spec.origin).parent, libraries / name, ignore=ignored)
    own = distribution("edge-ad")
    info = libraries / f"edge_ad-{own.version}.dist-info"
    info.mkdir()
    for file in own.files or ():
        kept = file.name in {"METADATA", "WHEEL", "entry_points.txt"} or "licenses" in file.parts
        if ".dist-info" in file.parts[0] and kept:
            place = info.joinpath(*file.parts[1:])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_binary())
    (info / "INSTALLER").write_text("edge-ad package\n", encoding="utf-8")


def _write_environment(prefix: Path, target: PackageTarget) -> None:
    (prefix / "bin").mkdir()
    (prefix / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {target.python}\n", encoding="utf-8"
    )
    program = prefix / "bin/edge-ad"
    program.write_text(_PROGRAM, encoding="utf-8")
    program.chmod(0o755)
