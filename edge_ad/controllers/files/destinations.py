"""Where files go: a folder, an SFTP server, S3-compatible storage. Whoever reads there never sees half a file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edge_ad.controllers.files.files_settings import FilesSettings
from edge_ad.errors import DeviceError, one_line
from edge_ad.files import atomic_write

if TYPE_CHECKING:
    import asyncssh

__all__ = ["Destination", "destination"]

_CONNECT_S, _ANSWER_S = 5.0, 30.0
_TYPES = {".png": "image/png", ".json": "application/json", ".csv": "text/csv"}


class Destination(Protocol):
    """``put`` replaces what has this name, such as ``line1/top/name.png``, or raises ``DeviceError``."""

    async def put(self, name: str, data: bytes) -> None: ...

    async def close(self) -> None: ...


def destination(settings: FilesSettings) -> Destination:
    """The one that the settings name."""
    for library in ("asyncssh", "botocore", "boto3"):  # they log users and where keys were found
        logging.getLogger(library).setLevel(logging.WARNING)
    if settings.folder is not None:
        return _Folder(Path(settings.folder))
    return _Sftp(settings) if settings.sftp_host is not None else _S3(settings)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, self._folder / name, data)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeviceError(f"{path.parent}: cannot be made: {error.strerror}") from error
        atomic_write(path, data)

    async def close(self) -> None:
        """Nothing is open."""


class _Sftp:
    """One connection, kept while it lasts. A file gets its name when it is whole."""

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None

    async def put(self, name: str, data: bytes) -> None:
        import asyncssh

        where = f"{self._settings.sftp_host}:{self._settings.sftp_port}"
        putting = asyncio.ensure_future(self._put(name, data))
        try:
            # Not wait_for, which swallows a cancellation in Python 3.10 and 3.11.
            await asyncio.wait([putting], timeout=_ANSWER_S)
            if not putting.done():
                await self.close()
                raise DeviceError(f"{where}: no answer within {_ANSWER_S:g} s")
            putting.result()
        except (OSError, asyncssh.Error) as error:
            await self.close()
            raise DeviceError(f"{where}: {one_line(error) or type(error).__name__}") from error
        finally:
            putting.cancel()

    async def close(self) -> None:
        connection, self._connection, self._sftp = self._connection, None, None
        if connection is not None:
            connection.abort()
            with contextlib.suppress(Exception):
                await connection.wait_closed()

    async def _put(self, name: str, data: bytes) -> None:
        sftp = self._sftp or await self._connect()
        path = f"{self._settings.sftp_folder}/{name}"
        folder, _, file = path.rpartition("/")
        part = f"{folder}/.{file}.part"
        await sftp.makedirs(folder, exist_ok=True)
        async with sftp.open(part, "wb") as out:
            await out.write(data)
        try:
            await sftp.posix_rename(part, path)
        except self._unsupported():
            with contextlib.suppress(self._missing()):
                await sftp.remove(path)
            await sftp.rename(part, path)

    async def _connect(self) -> asyncssh.SFTPClient:
        import asyncssh

        settings = self._settings
        self._connection = await asyncssh.connect(
            settings.sftp_host or "",
            settings.sftp_port,
            username=settings.sftp_user,
            client_keys=[settings.sftp_key],
            known_hosts=settings.sftp_known_hosts,
            config=None,
            agent_path=None,
            password=None,
            connect_timeout=_CONNECT_S,
            login_timeout=_ANSWER_S,
            keepalive_interval=10,
        )
        self._sftp = await self._connection.start_sftp_client()
        return self._sftp

    @staticmethod
    def _unsupported() -> type[Exception]:
        import asyncssh

        return asyncssh.SFTPOpUnsupported

    @staticmethod
    def _missing() -> type[Exception]:
        import asyncssh

        return asyncssh.SFTPNoSuchFile


class _S3:
    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings
        self._client: Any = None

    async def put(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, name, data)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _put(self, name: str, data: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        prefix = f"{self._settings.s3_prefix}/" if self._settings.s3_prefix else ""
        try:
            if self._client is None:
                self._client = _s3_client(self._settings)
            kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
            self._client.put_object(Bucket=self._settings.s3_bucket, Key=prefix + name, Body=data, ContentType=kind)
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            raise DeviceError(f"{self._settings.s3_endpoint}: {one_line(error)}") from error


def _s3_client(settings: FilesSettings) -> Any:
    import boto3
    import botocore.session
    from botocore.config import Config

    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # keys stand in the file or the environment: nobody else is asked
    session = botocore.session.get_session()
    session.set_config_variable("config_file", os.devnull)
    if settings.s3_credentials is not None:
        session.set_config_variable("credentials_file", settings.s3_credentials)
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_ANSWER_S,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    made = boto3.Session(botocore_session=session, region_name=settings.s3_region)
    return made.client("s3", endpoint_url=settings.s3_endpoint, config=config)
