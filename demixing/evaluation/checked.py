"""Reads JSON that another program, another version, or an enemy may have written.

A type describes what is expected: str, bool, int, float, None, a union, ``tuple[X, ...]``, a
mapping from str, a dataclass, a TypedDict or Any. Whatever differs is one sentence.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

MOST_BYTES = 64 * 1024**2
"""Longest text; the records of a thousand songs are a hundred times shorter."""

LARGEST = 2**63
"""Bound of the absolute value of a whole number, so that it fits into arrays and floats."""

SHOWN = 60
"""Length of a value in a message, in characters."""


def parse(text: str | bytes, kind: type[T], what: str) -> T:
    """Read one JSON value.

    Args:
        text: the JSON.
        kind: what it must be.
        what: what the text is, for the message.

    Raises:
        ValueError: it is something else.

    >>> parse('{"a": [1, 2]}', Mapping[str, tuple[float, ...]], "a table")
    {'a': (1.0, 2.0)}
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"expected {what} of at most {MOST_BYTES} bytes, got {len(text)}")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"expected {what}, but its brackets are too deep") from None
    except ValueError as error:
        raise ValueError(f"expected {what}, got no valid JSON ({error})"[:500]) from None
    return typing.cast(T, check(value, kind, what))


def check(value: object, kind: Any, what: str) -> Any:
    """Check a value that was read from JSON, and convert it.

    Args:
        value: dicts, lists, strings, numbers, booleans and None.
        kind: what it must be; see the module.
        what: what the value is, for the message.

    Raises:
        ValueError: it is something else.
    """
    if kind is Any:
        return value
    if kind in _PLAIN:
        return _PLAIN[kind](value, what)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (other,) = (part for part in parts if part is not types.NoneType)
        return None if value is None else check(value, other, what)
    if origin is tuple:
        found = _expected(value, list, "a list", what)
        return tuple(check(one, parts[0], f"{what}[{at}]") for at, one in enumerate(found))
    table = _expected(value, dict, "a table", what)
    if origin is not None:
        return {key: check(one, parts[1], f"{what}.{_short(key)}") for key, one in table.items()}
    return kind(**_fields(table, kind, what))


def _fields(table: Mapping[str, object], kind: Any, what: str) -> dict[str, Any]:
    """The fields of a dataclass or a TypedDict; others in the table are ignored."""
    hints = typing.get_type_hints(kind)
    if missing := sorted(_required(kind) - table.keys()):
        raise ValueError(f"expected {what} to have {missing[0]!r}, which is missing")
    known = hints.keys() & table.keys()
    return {key: check(table[key], hints[key], f"{what}.{key}") for key in sorted(known)}


def _required(kind: Any) -> frozenset[str]:
    """The fields without a default."""
    if not dataclasses.is_dataclass(kind):
        return frozenset(kind.__required_keys__)
    nothing = dataclasses.MISSING
    return frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is nothing and field.default_factory is nothing
    )


def _text(value: object, what: str) -> str:
    """Check a string."""
    return typing.cast(str, _expected(value, str, "a text", what))


def _truth(value: object, what: str) -> bool:
    """Check a boolean."""
    return typing.cast(bool, _expected(value, bool, "true or false", what))


def _whole(value: object, what: str) -> int:
    """Check a whole number."""
    if type(value) is not int or abs(value) >= LARGEST:
        raise _error(value, "a whole number of at most 19 digits", what)
    return value


def _number(value: object, what: str) -> float:
    """Check a finite number."""
    if type(value) is int and abs(value) < LARGEST:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise _error(value, "a finite number", what)
    return value


def _expected(value: object, kind: type, name: str, what: str) -> Any:
    """Check the class of a value."""
    if type(value) is not kind:
        raise _error(value, name, what)
    return value


def _error(value: object, name: str, what: str) -> ValueError:
    """The error for a value of another kind."""
    return ValueError(f"expected {what} to be {name}, got {_short(value)}")


def _short(value: object) -> str:
    """A value in at most :data:`SHOWN` characters."""
    if type(value) in (list, dict):
        return "a list" if type(value) is list else "a table"
    if type(value) is int and abs(value) >= LARGEST:
        return "a longer one"
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _refuse(name: str) -> None:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{name} is not JSON")


_PLAIN: Mapping[Any, Callable[[object, str], object]] = {
    str: _text,
    bool: _truth,
    int: _whole,
    float: _number,
}
