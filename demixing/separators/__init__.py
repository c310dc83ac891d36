"""Separator plug-ins, one file each.

Each one implements :class:`demixing.separator.Separator`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from demixing.errors import ConfigError
from demixing.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demixing.separator import Separator

_plugins = Plugins(__name__, __path__, "separator")
names, summary, module = _plugins.names, _plugins.summary, _plugins.module


def build(name: str, options: Mapping[str, Any] | None = None) -> Separator:
    """Import the module ``name`` and build its separator.

    Args:
        name: a key from :func:`names`.
        options: keyword arguments of the module's ``build``, usually from a recipe.

    Raises:
        ConfigError: no separator has that name, or an option is invalid.
        CheckpointError: its weights are missing or damaged.
    """
    return cast("Separator", _plugins.build(name, options))


def required_weights(name: str, options: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the catalogue names of the weights that :func:`build` would open.

    A separator that opens weights has a function ``required_weights`` beside its ``build``, with
    the relevant options. Modules without one are not imported.

    Args:
        name: a key from :func:`names`.
        options: keyword arguments of the module's ``build``.

    Raises:
        ConfigError: no separator has that name, or an option is invalid.
    """
    if name in names() and not _plugins.has(name, "required_weights"):
        return ()
    given = dict(options or {})
    if not given and (written := _plugins.literal(name, "required_weights")) is not None:
        return tuple(written)  # importing the module would take seconds
    _plugins.check_options(name, given)
    function = _plugins.module(name).required_weights
    known = inspect.signature(function).parameters
    try:
        found = function(**{key: value for key, value in given.items() if key in known})
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"separator {name!r} rejects its options: {error}") from error
    return tuple(found)


def having(function: str) -> list[str]:
    """Names of the separators whose modules define a function; they are not imported."""
    return [name for name in names() if _plugins.has(name, function)]


def target_lufs(name: str) -> float | None:
    """Return the loudness that a separator's input has, in LUFS; None if it may have any.

    A separator with a :class:`demixing.separator.Loudness` has a function ``target_lufs`` that
    returns a literal number, because songs may be measured in a process that builds no separators.
    Modules are not imported.

    Args:
        name: a key from :func:`names`.
    """
    found: float | None = _plugins.literal(name, "target_lufs")
    return found


def required_packages(name: str) -> tuple[str, ...]:
    """Return the names of the packages of an extra that a separator imports.

    A separator that needs some has a function ``required_packages`` that returns a literal list.
    Modules are not imported.

    Args:
        name: a key from :func:`names`.
    """
    return tuple(_plugins.literal(name, "required_packages") or ())
