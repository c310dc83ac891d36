"""Checks one table of the catalogue: its keys, types and ranges.

A value of the wrong type would otherwise fail far from the catalogue, or not at all. Everything is
bounded, so that a table can neither name a file outside the folder of weights nor make a network
allocate without end.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, get_args, get_origin

from demixing.errors import CheckpointError
from demixing.plugins import did_you_mean

MAX_CHARACTERS = 1_000

MAX_ITEMS = 100

MAX_BYTES = 10**12

MAX_SAMPLE_RATE_HZ = 768_000

MAX_CONFIG_VALUES = 1_000
"""Numbers and strings in a whole config."""

MAX_CONFIG_DEPTH = 4
"""Sections, keys, and lists of lists."""

MAX_CONFIG_NUMBER = 10**9

SECTIONS = ("audio", "model", "kwargs", "training", "inference")
"""Tables of a config; ``kwargs`` is another name for ``model``."""

SET_ELSEWHERE = ("name", "folder")
"""Fields that a table does not have."""

KINDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list of strings",
    dict: "a table",
}


def checked(make: type, name: str, table: object) -> dict[str, Any]:
    """Return a table of the catalogue if it fits the fields of a dataclass.

    Args:
        make: the dataclass.
        name: of the table.
        table: as read from the file.

    Raises:
        CheckpointError: a key is missing or unknown, or a value has the wrong type or is out of
            range.
    """
    where = f"table {name[:MAX_CHARACTERS]!r}"
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise CheckpointError(f"{where}: expected a name of letters, digits, '_', '.' and '-'")
    if not isinstance(table, dict):
        raise CheckpointError(f"{where}: expected a table, got {_shown(table)}")
    fields = {one.name: one for one in dataclasses.fields(make) if one.name not in SET_ELSEWHERE}
    for key, value in table.items():
        if key not in fields:
            raise CheckpointError(f"{where}: no key {key!r}{did_you_mean(key, sorted(fields))}")
        _check(f"{where}: {key}", key, value, fields[key].type)
    for key, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and key not in table:
            raise CheckpointError(f"{where}: the key {key!r} is missing")
    return table


def _check(where: str, key: str, value: object, annotation: Any) -> None:
    """Raise unless a value has the type of its field, and is in range."""
    kind = _kind(annotation)
    if not _is(value, kind):
        raise CheckpointError(f"{where}: expected {KINDS[kind]}, got {_shown(value)}")
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if len(texts) > MAX_ITEMS or any(len(text) > MAX_CHARACTERS for text in texts):
        raise CheckpointError(
            f"{where}: expected at most {MAX_ITEMS} strings of {MAX_CHARACTERS} characters"
        )
    if key in RULES and not RULES[key][0](value):
        raise CheckpointError(f"{where}: expected {RULES[key][1]}, got {_shown(value)}")
    if kind is dict:
        _check_config(where, value)


def _kind(annotation: Any) -> type:
    """The type of a field, without what is in it and without None."""
    found: type = get_origin(annotation) or annotation
    named = [one for one in get_args(annotation) if one is not type(None)]
    return found if found in KINDS else named[0]


def _is(value: object, kind: type) -> bool:
    """Whether a value has a type; an integer is also a number, but true and false are not."""
    if kind is float:
        return isinstance(value, int | float) and type(value) is not bool and abs(value) < math.inf
    if kind is list:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is kind


def _check_config(where: str, config: Any) -> None:
    """Raise unless a config has known sections of plain, bounded values."""
    for section, table in config.items():
        if section not in SECTIONS:
            raise CheckpointError(
                f"{where}: no section {section!r}{did_you_mean(section, [*SECTIONS])}"
            )
        if not isinstance(table, dict):
            raise CheckpointError(f"{where}.{section}: expected a table, got {_shown(table)}")
    if _count(where, config, 1) > MAX_CONFIG_VALUES:
        raise CheckpointError(f"{where}: expected at most {MAX_CONFIG_VALUES} values")


def _count(where: str, value: object, depth: int) -> int:
    """Count the plain values of a config.

    Raises:
        CheckpointError: it is too deep, or a value is not plain or too large.
    """
    if isinstance(value, dict | list):
        if depth > MAX_CONFIG_DEPTH:
            raise CheckpointError(f"{where}: expected at most {MAX_CONFIG_DEPTH} levels")
        parts = value.items() if isinstance(value, Mapping) else enumerate(value, 1)
        return sum(_count(f"{where}.{key}", part, depth + 1) for key, part in parts)
    number = isinstance(value, int | float) and abs(value) <= MAX_CONFIG_NUMBER
    if not number and not (isinstance(value, str) and len(value) <= MAX_CHARACTERS):
        raise CheckpointError(
            f"{where}: expected a string, or a number up to {MAX_CONFIG_NUMBER:g}, "
            f"got {_shown(value)}"
        )
    return 1


def _shown(value: object) -> str:
    """The beginning of a value, for messages."""
    return repr(value)[:60]


def _is_inside(file: str) -> bool:
    """Whether a path stays in the folder that it is relative to."""
    parts = PurePosixPath(file).parts
    relative = bool(parts) and not file.startswith("/") and ".." not in parts
    return relative and "\\" not in file and file.isprintable()


def _is_address(address: str) -> bool:
    return address.startswith(("https://", "hf:"))


RULES: dict[str, tuple[Callable[[Any], object], str]] = {
    "file": (_is_inside, "a relative path"),
    "member": (lambda path: not path or _is_inside(path), "a relative path"),
    # Words that a package manager would take for options, or for addresses, are no names.
    "package": (re.compile(r"(\w[\w.-]*)?").fullmatch, "the name of a package"),
    "version": (re.compile(r"([\w.+!]*)").fullmatch, "the version of a package"),
    "npm": (re.compile(r"((@[\w-]+/)?\w[\w.-]*@\d[\w.+-]*)?").fullmatch, "a name and a version"),
    "sha256": (re.compile("[0-9a-f]{0,64}").fullmatch, "up to 64 hexadecimal digits"),
    "size_bytes": (lambda size: 0 < size <= MAX_BYTES, f"a size up to {MAX_BYTES:g}"),
    "part": (lambda part: 0 <= part < MAX_ITEMS, f"an index below {MAX_ITEMS}"),
    "sample_rate_hz": (
        lambda rate: 0 < rate <= MAX_SAMPLE_RATE_HZ,
        f"a rate up to {MAX_SAMPLE_RATE_HZ}",
    ),
    "stems": (lambda stems: 0 < len(set(stems)) == len(stems), "different names"),
    "url": (lambda url: not url or _is_address(url), "an address with https: or hf:"),
    "archive": (lambda url: not url or _is_address(url), "an address with https: or hf:"),
    "mirrors": (lambda urls: all(map(_is_address, urls)), "addresses with https: or hf:"),
}
"""By key: whether a value is in range, and what is expected."""
