"""A config: sections of plain values, with checked access, because anybody may have written it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing.errors import ConfigError

MOST_BYTES = 1 << 17
"""Configs are a few kilobytes long. YAML needs time and memory for each byte."""

MOST_VALUES = 10_000

MOST_LEVELS = 16

MOST_BITS = 64

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

    def section(self, name: str) -> Mapping[str, Any]:
        """A section.

        Raises:
            ConfigError: it is missing.
        """
        found = self._section(name)
        if not isinstance(found, Mapping):
            raise ConfigError(
                f"the config of {self.name} needs a section {name}, got {_shown(found)}"
            )
        return found

    def keys(self, section: str) -> set[str]:
        """The keys of a section; empty if it is missing."""
        found = self._section(section)
        return set(map(str, found)) if isinstance(found, Mapping) else set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``section.key``; the default if it is missing or null.

        The keys of ``model`` are arguments of the original network, which would get the null. So
        there the value is then None.
        """
        section, _, name = key.partition(".")
        found = self._section(section)
        value = found.get(name, default) if isinstance(found, Mapping) else default
        return default if value is None and section != "model" else value

    def checked(
        self, key: str, needs: str, good: Callable[[Any], bool], default: Any = None
    ) -> Any:
        """The value of ``section.key``, which must satisfy a condition.

        Args:
            key: of the value.
            needs: names the condition in the error.
            good: whether a value satisfies it.
            default: see :meth:`get`.

        Raises:
            ConfigError: it does not.
        """
        value = self.get(key, default)
        if not good(value):
            raise self.refused(key, needs)
        return value

    def refused(self, key: str, needs: str, advice: str = "") -> ConfigError:
        """The error that names what a config needs for a key, and what it has.

        Raises:
            ConfigError: even the section is missing.
        """
        section, _, name = key.partition(".")
        got = _shown(self.section(section).get(name))
        return ConfigError(f"the config of {self.name} needs {needs} for {key}, got {got}{advice}")

    def integer(
        self, key: str, default: int | None = None, *, least: int = 1, most: int, even: bool = False
    ) -> int:
        """An integer from ``least`` to ``most``.

        Raises:
            ConfigError: it is something else, or is missing and has no default.
        """
        kind = "an even integer" if even else "an integer"
        found: int = self.checked(
            key,
            f"{kind} from {least} to {most}",
            lambda value: (
                type(value) is int and least <= value <= most and not (even and value % 2)
            ),
            default,
        )
        return found

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false.

        Raises:
            ConfigError: it is something else.
        """
        found: bool = self.checked(
            key, "true or false", lambda value: isinstance(value, bool), default
        )
        return found

    def text(self, key: str) -> str:
        """A text.

        Raises:
            ConfigError: it is missing or something else.
        """
        found: str = self.checked(key, "a text", lambda value: isinstance(value, str))
        return found

    def one_of(self, key: str, *allowed: Any) -> Any:
        """One of some values; the first one if it is missing.

        Raises:
            ConfigError: it is something else.
        """
        needs = " or ".join(map(_shown, allowed))
        return self.checked(key, needs, lambda value: value in allowed, allowed[0])

    def agrees(self, key: str, expected: Any, *, optional: bool = False) -> None:
        """Check that a value is the one that follows from the weights.

        Args:
            key: of the value.
            expected: of the weights; a list in the config can equal a tuple.
            optional: whether it may be missing.

        Raises:
            ConfigError: it is another one.
        """
        value = self.get(key, expected if optional else None)
        if (tuple(value) if isinstance(value, list) else value) != expected:
            needs = f"{_shown(expected)}, as in the weights,"
            raise self.refused(key, needs, "; use the config that was published with them")

    def names(self, key: str) -> tuple[str, ...]:
        """A list of distinct names; empty if it is missing.

        Raises:
            ConfigError: it is something else.
        """
        needs = f"a list of at most {MOST_STEMS} different names"
        value = self.checked(key, needs, _are_names, [])
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
            raise self.refused("training.instruments", "the names of the stems")
        return stems

    def check_outputs(self, count: int) -> None:
        """Check that each output of the weights has a name.

        Raises:
            ConfigError: there are more or fewer names.
        """
        if len(stems := self.stems()) != count:
            raise ConfigError(
                f"the config of {self.name} needs names for {count} outputs of the weights, as "
                "training.target_instrument or training.instruments, got "
                f"{', '.join(stems)[:60]}"
            )

    def rest(self) -> str:
        """Name of what a network with a target leaves of the mixture; empty without a target."""
        target = self.get("training.target_instrument")
        if target is None:
            return ""
        others = [one for one in self.names("training.instruments") if one != target]
        if len(others) == 1:
            return others[0]
        return "rest" if target != "rest" else "residual"

    def _section(self, name: str) -> Any:
        """A section, whatever it is; None if it is missing. BandIt v2 calls ``model`` kwargs."""
        names = (name, "kwargs") if name == "model" else (name,)
        return next((self.sections[one] for one in names if one in self.sections), None)


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
        raise ConfigError(
            f"expected a config of at most {MOST_VALUES} values in {MOST_LEVELS} levels, with "
            f"integers of at most {MOST_BITS} bits, at {path}"
        )
    return Config(sections, str(path))


def _count(value: object, limit: int = MOST_VALUES, depth: int = 0) -> int:
    """Count values, up to a limit that too many levels or bits exceed, too."""
    huge = isinstance(value, int) and value.bit_length() > MOST_BITS
    if depth > MOST_LEVELS or huge:  # a huge number cannot even be printed
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


def _are_names(value: Any) -> bool:
    """Whether a value is a list of different texts, and not too long."""
    good = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    return good and len(value) == len(set(value)) <= MOST_STEMS


def _shown(value: object) -> str:
    """A value in one short line."""
    return "nothing" if value is None else f"{value!r:.60}"


def _short(error: Exception) -> str:
    """The error in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
