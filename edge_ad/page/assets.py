"""The files of the page, read once at start: what is not among them cannot be asked for."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec

from edge_ad.errors import InputError

__all__ = ["Asset", "Assets", "read_assets", "read_texts"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON = "application/json"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. ``packed``: the same with gzip."""

    type: str
    data: bytes
    packed: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Assets:
    """``files``: by name, ``index.html`` and the texts ``LANGUAGE.json`` among them. ``languages``: code to name."""

    files: dict[str, Asset]
    languages: dict[str, str]


def read_assets(more_texts: Path | None = None) -> Assets:
    """The files of the package, and the texts of a folder with further languages.

    Raises:
        InputError: a file of texts lacks some, or is no JSON.
    """
    found = {one.name: one.read_bytes() for one in files("edge_ad.page").joinpath("static").iterdir()}
    texts = read_texts(Path(str(files("edge_ad.page").joinpath("texts"))))
    if more_texts is not None:
        texts |= _complete(read_texts(more_texts), texts["en"], more_texts)
    assets = {name: _asset(_TYPES[Path(name).suffix], data) for name, data in found.items()}
    assets |= {f"{code}.json": _asset(_JSON, msgspec.json.encode(table)) for code, table in texts.items()}
    return Assets(assets, {code: table["language"] for code, table in sorted(texts.items())})


def read_texts(folder: Path) -> dict[str, dict[str, str]]:
    """The tables of texts of a folder, by the code of their language, which is the name of the file.

    Raises:
        InputError: the folder or a file cannot be read, or is no table of texts.
    """
    found = {}
    try:
        for path in sorted(folder.glob("*.json")):
            if _LANGUAGE.fullmatch(path.stem) is None:
                raise InputError(f"{path}: expected the name of a language such as fr.json or pt-BR.json")
            found[path.stem] = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except OSError as error:
        raise InputError(f"texts {folder}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a JSON object of texts, as in edge_ad/page/texts/en.json: {error}"
        ) from None
    return found


def _complete(added: dict[str, dict[str, str]], english: dict[str, str], folder: Path) -> dict[str, dict[str, str]]:
    for code, table in added.items():
        missing = sorted(english.keys() - table.keys())
        if missing:
            raise InputError(f"{folder / code}.json: texts are missing: {', '.join(missing)}")
    return added


def _asset(kind: str, data: bytes) -> Asset:
    digest = hashlib.sha256(data).hexdigest()[:16]
    return Asset(kind, data, gzip.compress(data, mtime=0), f'"{digest}"')
