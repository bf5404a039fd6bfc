"""Plain data into structs, with an error that names the entry and suggests the key that was meant."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from edge_ad.errors import InputError

__all__ = ["convert", "no_toml"]

T = TypeVar("T")

# msgspec's names of types, as somebody calls them who writes TOML.
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": 'text in quotes, such as "a"',
    "bool": "true or false",
    "array": "a list in square brackets",
    "object": "a table",
}
_TYPE = re.compile(r"`([a-z |]+)`")
_GOT = re.compile(r", got `[a-z]+`")
_PATTERN = re.compile(r" matching regex (?:'(?P<one>.*)'|\"(?P<two>.*)\")")


def convert(data: object, kind: type[T], where: str) -> T:
    """``data`` as a ``kind``, a struct that refuses unknown fields. ``where``: its place in the file, for messages.

    Raises:
        InputError: an unknown, missing or wrong entry.
    """
    return cast(T, _any(data, inspect.type_info(kind), where))


def no_toml(path: Path, said: str) -> str:
    """What is wrong in a file that is no TOML: the line, as it stands there, and what the parser says."""
    place = re.search(r" \(at line (\d+), column \d+\)", said)
    if place is None:
        return f"expected TOML: {said}"
    number = int(place[1])
    lines = path.read_text(errors="replace").splitlines()[number - 1 : number]
    what = said.replace(place[0], "")
    if what == "Invalid value":
        what = 'no value of TOML; text stands in quotes, such as source = "/dev/video0"'
    return f"line {number}: {''.join(lines).strip()}: {what[:1].lower()}{what[1:]}"


def _any(data: object, kind: inspect.Type, where: str) -> Any:
    if isinstance(kind, inspect.UnionType) and data is not None:
        rest = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(rest) == 1:
            kind = rest[0]
    if isinstance(kind, inspect.StructType):
        return _struct(data, kind, where)
    if isinstance(kind, inspect.DictType):
        pattern = kind.key_type
        return {
            _key(key, pattern, where): _any(value, kind.value_type, _join(where, key))
            for key, value in _table(data, where)
        }
    raise TypeError(f"{where}: no rule for {kind}")  # a field's own type is converted by its struct


def _struct(data: object, kind: inspect.StructType, where: str) -> Any:
    fields = {field.encode_name: field for field in kind.fields}
    values = {}
    for key, value in _table(data, where):
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f", did you mean {close[0]}?" if close else f": known here are {', '.join(fields)}"
            raise InputError(f"{_join(where, key)} is unknown{hint}")
        values[key] = value
    for name, field in fields.items():
        if field.required and name not in values:
            raise InputError(f"{_join(where, name)} is missing")
        if name in values and _is_nested(field.type):
            values[name] = _any(values[name], field.type, _join(where, name))
    plain = {name: value for name, value in values.items() if not _is_nested(fields[name].type)}
    nested = {name: value for name, value in values.items() if name not in plain}
    converted = {name: _value(value, kind.cls, name, where) for name, value in plain.items()}
    try:
        return kind.cls(**converted, **nested)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _value(value: object, struct: type, name: str, where: str) -> Any:
    annotation = {field.name: field.type for field in msgspec.structs.fields(struct)}[name]
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        raise InputError(f"{_join(where, name)}: {_in_words(str(error))}, found {_as_toml(value)}") from None


def _in_words(said: str) -> str:
    """What msgspec says, without the names of Python's types."""

    def words(found: re.Match[str]) -> str:
        return " or ".join(_WORDS.get(one, one) for one in found[1].split(" | ") if one != "null")

    plain = _TYPE.sub(words, _GOT.sub("", said))
    plain = _PATTERN.sub(lambda found: f" of the form {found['one'] or found['two']}", plain)
    return f"{plain[:1].lower()}{plain[1:]}"


def _as_toml(value: object) -> str:
    """The value as it stands in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _is_nested(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_is_nested(one) for one in kind.types)
    return isinstance(kind, inspect.StructType) or (
        isinstance(kind, inspect.DictType) and isinstance(kind.value_type, inspect.StructType)
    )


def _table(data: object, where: str) -> list[tuple[str, object]]:
    if not isinstance(data, dict):
        raise InputError(f"{where or 'the file'}: expected a table, found {data!r}")
    return [(str(key), value) for key, value in data.items()]


def _key(key: str, kind: inspect.Type, where: str) -> str:
    pattern = kind.pattern if isinstance(kind, inspect.StrType) else None
    try:
        return msgspec.convert(key, str if pattern is None else _named(pattern))
    except msgspec.ValidationError:
        raise InputError(f"{_join(where, key)}: a name is made of letters, digits, '.', '_' and '-'") from None


def _named(pattern: str) -> Any:
    from typing import Annotated

    return Annotated[str, msgspec.Meta(pattern=pattern)]


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
