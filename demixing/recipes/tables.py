"""Converts TOML tables to frozen dataclasses, and reports anything invalid in one sentence.

Each function raises a :class:`~demixing.errors.ConfigError`; its argument ``where`` locates the
value in the message.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from demixing.errors import ConfigError
from demixing.plugins import did_you_mean

T = TypeVar("T")

MOST_NUMBER = 1e300
"""No number of a recipe comes near; larger integers are no floats."""

MOST_BITS, MOST_SHOWN = 1000, 200
"""Of integers and of other values in messages."""


def record(make: type[T], table: Any, where: str) -> T:
    """Convert a table to a frozen dataclass of numbers, booleans and names."""
    entry = checked(make, kind(table, dict, where), where)
    kinds = {"float": float, "float | None": float, "int": int, "bool": bool, "str": str}
    for field_ in dataclasses.fields(make):  # type: ignore[arg-type]
        expected = kinds.get(str(getattr(field_.type, "__name__", field_.type)))
        if field_.name in entry and expected:
            entry[field_.name] = scalar(entry[field_.name], expected, f"{where}: {field_.name}")
    try:
        return make(**entry)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def each(value: Any, where: str, at: str, make: Callable[[Any, str], T]) -> tuple[T, ...]:
    """Call ``make`` with each entry of a list and its position."""
    entries = kind(value, list, where)
    return tuple(make(entry, f"{at} {position}") for position, entry in enumerate(entries, 1))


def numbers(table: Mapping[str, Any], where: str) -> dict[str, float]:
    """Return a table of finite numbers."""
    return {key: scalar(value, float, f"{where}.{key}") for key, value in table.items()}


def scalar(value: Any, expected: type, where: str) -> Any:
    """Return ``value`` if it has the type: an int is also a float, but a bool is not a number."""
    if expected is float and type(value) is int and abs(value) < MOST_NUMBER:
        value = float(value)
    if type(value) is not expected or (
        isinstance(value, int | float) and not abs(value) < MOST_NUMBER
    ):
        raise ConfigError(f"{where} must be a {expected.__name__}, got {shown(value)}")
    return value


def checked(make: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``table`` if its keys match the fields of the dataclass ``make``."""
    fields = {field_.name: field_ for field_ in dataclasses.fields(make)}
    for key in table:
        if key not in fields:
            raise ConfigError(f"{where}: no key {key!r}{did_you_mean(key, sorted(fields))}")
    for key, field_ in fields.items():
        required = (
            field_.default is dataclasses.MISSING and field_.default_factory is dataclasses.MISSING
        )
        if required and key not in table:
            raise ConfigError(f"{where}: the key {key!r} is missing")
    return dict(table)


def names(value: Any, where: str) -> tuple[str, ...]:
    """Return a non-empty list of distinct names as a tuple."""
    names = tuple(kind(name, str, f"each of {where}") for name in kind(value, list, where))
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"{where} must name at least one and none twice, got {shown(value)}")
    return names


def kind(value: Any, expected: type, where: str) -> Any:
    """Return ``value`` if it has the type."""
    if not isinstance(value, expected):
        raise ConfigError(f"{where} must be a {expected.__name__}, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """The beginning of a value, for messages; integers may have more digits than Python writes."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return "a huge integer"
    try:
        return repr(value)[:MOST_SHOWN]
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
