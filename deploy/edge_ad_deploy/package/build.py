"""A package from first to last: checked before anything is downloaded, and written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version as version_of
from pathlib import Path

from edge_ad.errors import InputError
from edge_ad.files import check_output, check_space, output_error, part_file
from edge_ad_deploy.package.contents import (
    checked_bundles,
    lay_out_bundles,
    lay_out_service,
    lay_out_trust,
    station_example,
)
from edge_ad_deploy.package.debian import DebianFields, debian_version, find_nfpm, set_times, write_debian_package
from edge_ad_deploy.package.environment import lay_out_environment
from edge_ad_deploy.package.lock import Lock
from edge_ad_deploy.package.papers import Papers, collect_licences, make_papers
from edge_ad_deploy.package.target import PackageTarget

__all__ = ["BuiltPackage", "PackageRequest", "build_package"]

_DOC = "usr/share/doc/edge-ad"
_ROOM_BYTES = 1.5e9
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~-]*")
_MAINTAINER = re.compile(r"[^<>\n\r]*[^<>\s] <[^<>@\s]+@[^<>@\s]+>")
_NOBODY = "nobody <nobody@localhost>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRequest:
    """What is asked of a package.

    ``lock``: other pins than those of edge-ad; ``wheels``: a folder instead of a registry; ``version``: other than
    edge-ad's own; ``maintainer``: who answers for the package, ``NAME <MAIL>``.
    """

    target: PackageTarget
    output: Path
    bundles: Sequence[Path] = ()
    trust: Path | None = None
    extras: Sequence[str] = ()
    lock: Path | None = None
    wheels: Path | None = None
    version: str | None = None
    maintainer: str | None = None


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """What was written, and what a builder should know about it."""

    package: Path
    bill: Path
    statement: Path
    package_bytes: int
    installed_bytes: int
    warnings: Sequence[str] = field(default=())


def build_package(request: PackageRequest) -> BuiltPackage:
    """Writes the package, its bill of materials (``.cdx.json``) and its statement (``.vex.json``) beside it.

    With ``SOURCE_DATE_EPOCH`` in the environment equal input gives equal bytes.

    Raises:
        BundleError: a bundle is damaged, or ``trust`` does not vouch for it.
        DeviceError: no package registry can be reached.
        InputError: something that was given cannot be used.
        OutputError: the package cannot be written.
    """
    find_nfpm()
    made, output = _time(), request.output
    if output.suffix != ".deb":
        raise InputError(f"-o {output}: expected a name that ends with .deb")
    check_output(output, "-o")
    fields = _fields(request, made)
    extras = tuple(dict.fromkeys((*request.extras, *(("trust",) if request.trust else ()))))
    bundles, warnings = checked_bundles(request.bundles, request.trust, extras, request.target.machine)
    if request.maintainer is None:
        warnings.append(f"the package names {_NOBODY} as its maintainer: say who answers for it with --maintainer")
    pins = Lock.read(request.lock or request.target.lock).chosen(extras)
    with tempfile.TemporaryDirectory(prefix="edge-ad-package-") as work:
        check_space(Path(work), _ROOM_BYTES)
        stage, ready = Path(work) / "root", Path(work) / "ready.deb"
        lay_out_environment(stage, request.target, pins, request.wheels)
        lay_out_service(stage)
        lay_out_bundles(stage, bundles)
        if request.trust is not None:
            lay_out_trust(stage, request.trust)
        papers = make_papers(stage / request.target.site_packages, request.target, fields.version, pins, bundles, made)
        _write_documents(stage, request.target, papers)
        station = Path(work) / "station.toml"
        station.write_text(station_example(bundles, request.trust is not None), encoding="utf-8")
        set_times(Path(work), made)
        write_debian_package(stage, station, fields, ready)
        size = sum(path.stat().st_size for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
        bill, statement = output.with_suffix(".cdx.json"), output.with_suffix(".vex.json")
        _put({bill: papers.bill.encode(), statement: papers.statement.encode(), output: ready})
    return BuiltPackage(output, bill, statement, output.stat().st_size, size, tuple(warnings))


def _fields(request: PackageRequest, made: datetime) -> DebianFields:
    version, maintainer = request.version, request.maintainer
    if version is None:
        version = debian_version(version_of("edge-ad"))
    if not _VERSION.fullmatch(version):
        raise InputError(f"--package-version {version}: expected a digit first, then letters, digits and . + ~ -")
    if maintainer is not None and not _MAINTAINER.fullmatch(maintainer):
        raise InputError(f"--maintainer {maintainer}: expected 'NAME <MAIL>', such as 'Line <line@example.com>'")
    return DebianFields(request.target, version, maintainer or _NOBODY, made)


def _time() -> datetime:
    """The time that everything in the package carries."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return datetime.now(timezone.utc).replace(microsecond=0)
    if not text.isdecimal() or len(text) > 10:
        raise InputError(f"SOURCE_DATE_EPOCH={text}: expected the seconds since 1970, or nothing")
    return datetime.fromtimestamp(int(text), timezone.utc)


def _write_documents(stage: Path, target: PackageTarget, papers: Papers) -> None:
    documents = stage / _DOC
    documents.mkdir(parents=True, exist_ok=True)
    libraries = stage / target.site_packages
    table = collect_licences(libraries, documents / "licences")
    head = "edge-ad is under the Apache License 2.0. The package also holds these libraries:\n\n"
    (documents / "copyright").write_text(head + table, encoding="utf-8")
    (documents / "edge-ad.cdx.json").write_text(papers.bill, encoding="utf-8")
    (documents / "edge-ad.vex.json").write_text(papers.statement, encoding="utf-8")


def _put(files: dict[Path, bytes | Path]) -> None:
    """Puts finished files in their places, the package last."""
    for place, content in files.items():
        part = part_file(place)
        try:
            if isinstance(content, bytes):
                part.write_bytes(content)
            else:
                shutil.copyfile(content, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise output_error(place, error) from error
