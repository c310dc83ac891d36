"""The options of a separator as a recipe writes them: name, default and description."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import griffe

from demixing import separators

CLASS = re.compile(r":class:`(?P<name>\w+)` for the arguments")


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: key in a recipe's table ``options``.
        default: as in TOML; empty if the option must be given.
        meaning: from the docstring.
    """

    name: str
    default: str
    meaning: str


def of(name: str) -> Iterator[Option]:
    """Yield the options of a separator's ``build``."""
    build = separators.module(name).build
    meanings = documented(getattr(build, "func", build))
    for parameter in inspect.signature(build).parameters.values():
        yield Option(parameter.name, as_toml(parameter.default), meanings.get(parameter.name, ""))


def documented(build: Callable[..., Any]) -> dict[str, str]:
    """Return the descriptions of a function's arguments by name.

    A docstring that refers to a class for the arguments has those of the class's attributes.
    """
    text = inspect.getdoc(build) or ""
    if found := CLASS.search(text):
        text = inspect.getdoc(build.__globals__[found["name"]]) or ""
    described: dict[str, str] = {}
    for section in griffe.parse_google(griffe.Docstring(text), warnings=False):
        if section.kind.value in ("parameters", "attributes"):
            described |= {one.name: " ".join(one.description.split()) for one in section.value}
    return described


def as_toml(default: object) -> str:
    """Return a default as a recipe would write it.

    >>> [as_toml(one) for one in (0.5, "umxl", True, ("a", "b"), inspect.Parameter.empty)]
    ['0.5', '"umxl"', 'true', '["a", "b"]', '']
    """
    if default is inspect.Parameter.empty:
        return ""
    if default is None:
        return "not given"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, tuple | list):
        return f"[{', '.join(map(as_toml, default))}]"
    return str(default)
