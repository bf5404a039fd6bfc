"""The table ``[controller.NAME]`` with ``protocol = "files"``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import msgspec

from edge_ad.controllers.settings import ControllerSettings, Port, is_loopback
from edge_ad.errors import InputError, MissingExtraError
from edge_ad.files import check_folder

__all__ = ["FilesSettings", "check"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Bucket = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Prefix = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$", max_length=512)]


class FilesSettings(ControllerSettings, frozen=True, kw_only=True):
    """``csv``: the folder of the results, a file for each local day.

    ``evidence``: the station's folder of evidence, from which images are taken: those of rejected frames (``rejects``),
    of frames that could not be scored (``invalid``), and every ``every``-th accepted one that is kept there (0: none).
    They go to one place: ``folder``; or ``sftp_...``: a folder of an SSH server whose key stands in
    ``sftp_known_hosts``, as the user with the private key ``sftp_key``; or ``s3_...``: a bucket at ``s3_endpoint``,
    with the keys of the profile ``default`` in ``s3_credentials`` or else of the environment. ``allow_insecure``: S3
    without TLS on another machine. ``queue``: the file of what is not uploaded yet, at most ``queue_images``.
    """

    PATHS: ClassVar[tuple[str, ...]] = (
        "csv", "evidence", "folder", "sftp_key", "sftp_known_hosts", "s3_credentials", "queue"
    )  # fmt: skip

    csv: str | None = None
    evidence: str | None = None
    rejects: bool = True
    invalid: bool = True
    every: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    folder: str | None = None
    sftp_host: Name | None = None
    sftp_port: Port = 22
    sftp_user: Name | None = None
    sftp_key: str | None = None
    sftp_known_hosts: str | None = None
    sftp_folder: Annotated[str, msgspec.Meta(min_length=1)] = "."
    s3_endpoint: Name | None = None
    s3_bucket: Bucket | None = None
    s3_prefix: Prefix = ""
    s3_region: Name = "us-east-1"
    s3_credentials: str | None = None
    allow_insecure: bool = False
    queue: str = "files-queue.sqlite"
    queue_images: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000

    def claims(self) -> dict[str, str]:
        """The folder of the results, and the queue of images."""
        claimed = {"csv": self.csv, "queue": self.queue if self.destinations else None}
        return {entry: path for entry, path in claimed.items() if path is not None}

    @property
    def destinations(self) -> list[str]:
        """The places for images that are named: one, where all is well."""
        named = {"folder": self.folder, "sftp_host": self.sftp_host, "s3_bucket": self.s3_bucket}
        return [name for name, value in named.items() if value is not None]


def check(settings: FilesSettings) -> None:
    """Whether the table is complete and what it names can be used; connects to nothing.

    Raises:
        MissingExtraError: a library is not installed.
        InputError: something in the table is wrong.
        OutputError: a folder cannot be written.
    """
    chosen = settings.destinations
    if not chosen and settings.csv is None:
        raise InputError("expected csv, folder, sftp_host or s3_bucket, found none of them")
    if len(chosen) > 1:
        raise InputError(f"images go to one place, found {' and '.join(chosen)}: make a table for each")
    if chosen and settings.evidence is None:
        raise InputError("evidence is missing: name the folder of the table [evidence]")
    if not chosen and settings.evidence is not None:
        raise InputError("evidence needs a place for the images: folder, sftp_host or s3_bucket")
    for name in ("csv", "folder"):
        if getattr(settings, name) is not None:
            check_folder(Path(getattr(settings, name)), f"{name} {getattr(settings, name)}")
    if chosen:
        check_folder(Path(settings.queue).parent, f"queue {settings.queue}")
    if settings.sftp_host is not None:
        _check_sftp(settings)
    if settings.s3_bucket is not None:
        _check_s3(settings)


def _check_sftp(settings: FilesSettings) -> None:
    if importlib.util.find_spec("asyncssh") is None:
        raise MissingExtraError("asyncssh", "sftp")
    for name in ("sftp_user", "sftp_key", "sftp_known_hosts"):
        if getattr(settings, name) is None:
            raise InputError(f"{name} is missing: sftp_host needs it")
    _secret(settings.sftp_key, "sftp_key")
    _readable(settings.sftp_known_hosts, "sftp_known_hosts")


def _check_s3(settings: FilesSettings) -> None:
    if importlib.util.find_spec("boto3") is None:
        raise MissingExtraError("boto3", "s3")
    if settings.s3_endpoint is None:
        raise InputError("s3_endpoint is missing: s3_bucket needs it, such as https://minio.local:9000")
    url = urlsplit(settings.s3_endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise InputError("s3_endpoint: expected an address such as https://minio.local:9000")
    if url.username or url.password:
        raise InputError("s3_endpoint: keys do not belong into an address: name a file, s3_credentials")
    if url.scheme == "http" and not settings.allow_insecure and not is_loopback(url.hostname):
        raise InputError(
            f"s3_endpoint: {url.hostname} is another machine, and http is not encrypted: use https, or "
            "allow_insecure = true if the network is trusted"
        )
    if settings.s3_credentials is not None:
        _secret(settings.s3_credentials, "s3_credentials")


def _readable(path: str | None, name: str) -> None:
    try:
        Path(path or "").open("rb").close()
    except OSError as error:
        raise InputError(f"{name} {path}: cannot be read: {error.strerror}") from error


def _secret(path: str | None, name: str) -> None:
    _readable(path, name)
    if Path(path or "").stat().st_mode & 0o007:
        raise InputError(f"{name} {path} can be read by everybody: run  chmod o-rwx {path}")
