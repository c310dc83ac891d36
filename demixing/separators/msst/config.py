"""A config: sections of plain values, with checked access, because anybody may have written it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from demixing.errors import ConfigError

Value = TypeVar("Value")

MOST_BYTES = 1 << 20
"""Configs are a few kilobytes long. YAML needs time and memory for each byte."""

MOST_VALUES = 10_000

MOST_LEVELS = 16

MOST_STEMS = 64

LONGEST_CHUNK = 1 << 26
"""Samples: 25 minutes at 44.1 kHz."""


@dataclass(frozen=True, slots=True)
class Config:
    """The sections of a config.

    Attributes:
        sections: ``audio``, ``model``, ``training`` and ``inference``; some may be missing.
        name: of the file or of the weights, for messages.
    """

    sections: Mapping[str, Any]
    name: str

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``section.key``; the default if it is missing or null."""
        section, _, name = key.partition(".")
        found = self.sections.get(section, {})
        value = found.get(name) if isinstance(found, Mapping) else None
        return default if value is None else value

    def integer(self, key: str, default: int | None = None, *, least: int = 1, most: int) -> int:
        """An integer from ``least`` to ``most``.

        Raises:
            ConfigError: it is something else, or is missing and has no default.
        """
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            got = "nothing" if value is None else repr(value)[:60]
            raise ConfigError(
                f"the config of {self.name} needs an integer from {least} to {most} for {key}, "
                f"got {got}"
            )
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false.

        Raises:
            ConfigError: it is something else.
        """
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise ConfigError(
                f"the config of {self.name} needs true or false for {key}, got {value!r:.60}"
            )
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of distinct names; empty if it is missing.

        Raises:
            ConfigError: it is something else.
        """
        value = self.get(key, [])
        good = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        if not good or len(set(value)) < len(value) or len(value) > MOST_STEMS:
            raise ConfigError(
                f"the config of {self.name} needs a list of at most {MOST_STEMS} different names "
                f"for {key}, got {str(value)[:60]}"
            )
        for one in value:
            if not one or one.startswith(".") or any(mark in one for mark in "/\\\0\n"):
                raise ConfigError(
                    f"the config of {self.name} names a stem {one!r:.60}, which cannot be the name "
                    "of a file; rename it"
                )
        return tuple(value)

    def stems(self) -> tuple[str, ...]:
        """Names of the network's outputs: the target, or else all instruments.

        Raises:
            ConfigError: it names none.
        """
        target = self.get("training.target_instrument")
        if target is not None:
            return Config({"training": {"instruments": [target]}}, self.name).stems()
        stems = self.names("training.instruments")
        if not stems:
            raise ConfigError(
                f"the config of {self.name} needs the names of the stems, training.instruments"
            )
        return stems

    def rest(self) -> str:
        """Name of what a network with a target leaves of the mixture; empty without a target."""
        target = self.get("training.target_instrument")
        if target is None:
            return ""
        others = [one for one in self.names("training.instruments") if one != target]
        return others[0] if len(others) == 1 else "rest"


def read(path: Path) -> Config:
    """Read a YAML file.

    Only plain values are built: of all tags that name Python types, only the tuple is known, and
    becomes a list. A few lines of aliases can stand for gigabytes, so values are counted.

    Raises:
        ConfigError: it cannot be read, is too long, or is not a table of sections.
    """
    import yaml  # a second that only a user's own config costs

    from demixing.separators.msst.yaml_loader import PlainLoader

    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ConfigError(f"expected a config of at most {MOST_BYTES} bytes at {path}")
        sections = yaml.load(text, Loader=PlainLoader)
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"cannot read the config {path} as YAML: {_short(error)}") from error
    if not isinstance(sections, dict) or not all(isinstance(key, str) for key in sections):
        raise ConfigError(
            f"expected the config {path} to have sections such as audio and model, "
            f"got {type(sections).__name__}"
        )
    if _count(sections) > MOST_VALUES:
        raise ConfigError(f"expected a config of at most {MOST_VALUES} values at {path}")
    return Config(sections, str(path))


def _count(value: object, limit: int = MOST_VALUES, depth: int = 0) -> int:
    """Count values, up to a limit that too many levels exceed, too."""
    if depth > MOST_LEVELS:
        return limit + 1
    parts: Iterable[object] = ()
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
    count = 1
    for part in parts:
        if count > limit:
            break
        count += _count(part, limit - count, depth + 1)
    return count


def _short(error: Exception) -> str:
    """The error in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
