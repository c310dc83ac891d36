"""Plug-in folders: each module is a choice, and its name is the key.

To add a choice, add a file; no other file changes. Listing the names imports no module.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demixing.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

MOST_LISTED = 24
"""Maximum number of names in an error message."""

LARGE = 1e15
"""No option is as large; sizes that are computed from one overflow."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plug-in modules of one package.

    Attributes:
        package: its name, the package's ``__name__``.
        paths: its folders, the package's ``__path__``.
        kind: noun for a module in messages.
    """

    package: str
    paths: Iterable[str]
    kind: str

    def names(self) -> list[str]:
        """All keys."""
        return sorted(one.name for one in pkgutil.iter_modules(self.paths) if not one.ispkg)

    def summary(self, name: str) -> str:
        """Return the first line of a module's docstring, without importing it."""
        (folder,) = self.paths
        text = Path(folder, f"{name}.py").read_text(encoding="utf-8")
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]

    def has(self, name: str, function: str) -> bool:
        """Whether a module defines a function; the module is not imported."""
        return self._function(name, function) is not None

    def literal(self, name: str, function: str) -> Any:
        """Return the value of a function whose body is one literal, without importing the module.

        Returns:
            The value; None if there is no such function.
        """
        found = self._function(name, function)
        match found and [one for one in found.body if not isinstance(one, ast.Expr)]:
            case [ast.Return(value=ast.expr() as value)]:  # besides the docstring
                with contextlib.suppress(ValueError):  # it is computed
                    return ast.literal_eval(value)
        return None

    def _function(self, name: str, function: str) -> ast.FunctionDef | None:
        """The source of a function of a module; None if there is none."""
        if name not in self.names():
            return None
        (folder,) = self.paths
        tree = ast.parse(Path(folder, f"{name}.py").read_text(encoding="utf-8"))
        found = (one for one in tree.body if isinstance(one, ast.FunctionDef))
        return next((one for one in found if one.name == function), None)

    def module(self, name: str) -> ModuleType:
        """Import one module.

        Raises:
            ConfigError: there is no such module.
        """
        if name not in self.names():
            raise ConfigError(f"no {self.kind} named {name!r}{did_you_mean(name, self.names())}")
        return importlib.import_module(f"{self.package}.{name}")

    def build(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Import one module and call its ``build`` with options.

        Raises:
            ConfigError: there is no such module, or an option is unknown or invalid.
        """
        make = self.module(name).build
        self.check_options(name, options or {})
        try:
            return make(**options or {})
        except (TypeError, ValueError, OverflowError) as error:
            reason = f"{error}{_too_large(str(error), options or {})}"
            raise ConfigError(f"{self.kind} {name!r} rejects its options: {reason}") from error

    def check_options(self, name: str, options: Mapping[str, Any]) -> None:
        """Raise unless a module's ``build`` accepts all the given options.

        Raises:
            ConfigError: there is no such module, or it has no such option.
        """
        known = list(inspect.signature(self.module(name).build).parameters)
        for option in options:
            if option not in known:
                hint = did_you_mean(option, known)
                raise ConfigError(f"{self.kind} {name!r} has no option {option!r}{hint}")


def _too_large(reason: str, options: Mapping[str, Any]) -> str:
    """End of an error message: options that are huge or no number, unless the reason names them.

    >>> _too_large("cannot convert float infinity to integer", {"chunk_s": float("inf")})
    ', got chunk_s = inf'
    """
    found = (
        f"{option} = {value}"
        for option, value in options.items()
        if isinstance(value, float) and not abs(value) < LARGE and option not in reason
    )
    listed = ", ".join(found)
    return f", got {listed}" if listed else ""


def did_you_mean(word: str, known: list[str]) -> str:
    """End of an error message: the closest known word, and a list of the known words.

    >>> did_you_mean("hpps", ["hpss", "silence"])
    "; did you mean 'hpss'? (available: hpss, silence)"
    """
    close = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(known[:MOST_LISTED]) or "none"
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"{hint} (available: {listed}{more})"
