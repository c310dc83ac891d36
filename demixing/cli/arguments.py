"""Argument parsing for all commands: the parser, and options that several commands share.

Options and positional arguments may come in any order. An option that takes several words leaves
the required number to the positional arguments: in ``--songs A B NAME``, where one NAME is
required, NAME is not a song. If any number of positional arguments is allowed, the option keeps one
word.
"""

import argparse
import difflib
import re
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from demixing.engine import of_checkpoint
from demixing.errors import ConfigError
from demixing.evaluation import metrics
from demixing.recipes import reading, tracks
from demixing.recipes.recipe import Recipe

ENDLESS = ("+", "*")
NEGATIVE_NUMBER = re.compile(r"-\.?\d")
KINDS: dict[object, str] = {int: "a whole number", float: "a number"}
"""What each type of an option expects, for errors."""


class Formatter(argparse.HelpFormatter):
    """Appends the default to the help of each option that does not mention it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        unsaid = action.default not in (None, False, argparse.SUPPRESS) and "default" not in text
        if unsaid and action.option_strings and action.default != []:
            text += " (default: %(default)s)"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """An option on the command line.

    Attributes:
        words: the option and its values.
        place: number of preceding positional arguments.
        endless: whether it takes any number of words.
    """

    words: list[str]
    place: int
    endless: bool


class Parser(argparse.ArgumentParser):
    """A parser with one-line errors that suggest the closest word."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter, **options})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words in any order; unknown options are errors."""
        words = list(sys.argv[1:] if args is None else args)
        self._has_negative_number_optionals.clear()  # because of -0, values like -3 were refused
        if not any(action.nargs == argparse.PARSER for action in self._actions):
            words = self._arranged(words)
        known, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(f"unexpected: {' '.join(word for word in unknown if word != '--')}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(2, f"error: {message}; see: {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Raise unless a value is one of the choices; name the closest one."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = suggestion(str(value), choices)
        if action.nargs == argparse.PARSER:
            raise argparse.ArgumentError(None, f"no command named {value!r}{hint}")
        listed = ", ".join(choices)
        raise argparse.ArgumentError(
            action, f"invalid choice: {value!r}{hint} (choose from {listed})"
        )

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Convert a word to the type of its option; say what was expected if that fails."""
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            if action.type not in KINDS:
                raise
            message = f"expected {KINDS[action.type]}, got {arg_string!r}"
            raise argparse.ArgumentError(action, message) from None

    def _arranged(self, words: Sequence[str]) -> list[str]:
        """Put options first and positional arguments last."""
        options: list[_Option] = []
        positional: list[str] = []
        left = deque(words)
        while left:
            word = left.popleft()
            if word == "--":
                positional += left
                break
            if self._is_option(word):
                options.append(self._option(word, left, len(positional)))
            else:
                positional.append(word)
        for one in reversed(options):
            if one.endless:
                self._give_back(one, positional)
        flat = [word for one in options for word in one.words]
        return [*flat, "--", *positional] if positional else flat

    def _is_option(self, word: str) -> bool:
        """Whether a word is an option; ``-0`` is, although it looks like a number."""
        return word in self._option_string_actions or looks_like_option(word)

    def _option(self, word: str, left: deque[str], place: int) -> "_Option":
        """Take an option and all words that it may take from the remaining ones."""
        action = self._action(word)
        words = [word]
        most = 0 if action is None or has_value(word) else takes(action)
        while left and len(words) <= most and left[0] != "--" and not self._is_option(left[0]):
            words.append(left.popleft())
        endless = action is not None and action.nargs in ENDLESS
        return _Option(words=words, place=place, endless=endless)

    def _give_back(self, option: "_Option", positional: list[str]) -> None:
        """Move excess words of an option to positional arguments that are missing."""
        wanted = [action for action in self._actions if not action.option_strings]
        needed = sum(
            action.nargs if isinstance(action.nargs, int) else action.nargs in (None, "+")
            for action in wanted
        )
        missing = needed - len(positional)
        if missing <= 0:
            return
        endless = any(action.nargs in ENDLESS for action in wanted)
        keep = 2 if endless else max(len(option.words) - missing, 2)  # the option and one word
        positional[option.place : option.place] = option.words[keep:]
        del option.words[keep:]

    def _action(self, word: str) -> argparse.Action | None:
        """The option that a word stands for; None for an ambiguous abbreviation."""
        known = self._option_string_actions
        name = word.partition("=")[0] if word.startswith("--") else word
        if name in known:
            return known[name]
        if not word.startswith("--"):
            if word[:2] in known:
                return known[word[:2]]
            close: list[str] = []
        else:
            close = [option for option in known if option.startswith(name)]
        if not close:
            self.error(f"unknown option {name!r}{suggestion(name, known)}")
        return known[close[0]] if len({id(known[option]) for option in close}) == 1 else None


def looks_like_option(word: str) -> bool:
    """Whether a word looks like an option; ``-`` and negative numbers do not."""
    return word.startswith("-") and word not in ("-", "--") and not NEGATIVE_NUMBER.match(word)


def has_value(word: str) -> bool:
    """Whether an option's value is in the same word: ``--songs=A`` or ``-oDIR``."""
    return "=" in word if word.startswith("--") else len(word) > 2


def takes(action: argparse.Action) -> float:
    """Maximum number of words that an option takes."""
    if isinstance(action.nargs, int):
        return action.nargs
    return float("inf") if action.nargs in ENDLESS else 1


def suggestion(word: str, known: Iterable[str]) -> str:
    """End of an error message: the closest known word, if there is one.

    >>> suggestion("seperate", ["separate", "score"])
    "; did you mean 'separate'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a recipe."""
    parser.add_argument(
        "--track",
        choices=sorted(tracks.TRACKS),
        help="music or film sound (default: the recipe's, or mdx)",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help="a name from `demixing list`, or a TOML file (default: the track's)",
    )


def add_stems(parser: argparse.ArgumentParser) -> None:
    """Add ``--stems``."""
    parser.add_argument(
        "--stems",
        metavar="NAME,...",
        help="only these stems, separated by commas; members that they do not need do not run; "
        "`instrumental` is the mixture without vocals or dialog, `residual` what all stems leave "
        "of it (default: all stems of the recipe)",
    )


def chosen_stems(options: argparse.Namespace) -> tuple[str, ...] | None:
    """The names in ``--stems``; None if it is not given."""
    if options.stems is None:
        return None
    return tuple(one.strip() for one in options.stems.split(",") if one.strip())


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the options that take the place of a recipe: one network, with its own stems."""
    parser.add_argument(
        "--checkpoint",
        metavar="NAME|FILE",
        help="use one network instead of a recipe: weights from `demixing list --systems`, or "
        "your own file (default: the recipe)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of your own checkpoint (default: the config in the catalogue, or in a file "
        "that `demixing import` wrote)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        metavar="N",
        help="chunks of the checkpoint for each sample: more is better and slower (default: as in "
        "the config)",
    )


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """Read the recipe chosen by the options of :func:`add_recipe` and :func:`add_checkpoint`.

    Raises:
        ConfigError: there is no such recipe, it is for another track, or options exclude each
            other.
    """
    if getattr(options, "checkpoint", None):
        if options.recipe or options.track:
            raise ConfigError(
                "--checkpoint takes the place of --recipe and --track: leave them out"
            )
        return of_checkpoint.recipe(options.checkpoint, options.config or "", options.overlap)
    if getattr(options, "config", None) or getattr(options, "overlap", None):
        raise ConfigError("--config and --overlap are for --checkpoint; name one")
    track = tracks.by_name(options.track or "mdx")
    chosen = reading.load(options.recipe or reading.default_name(track))
    if options.track and chosen.track != track:
        found = f"is for the track {chosen.track.name!r}"
        if chosen.track.name not in tracks.TRACKS:
            found = f"outputs {', '.join(chosen.track.stems)}"
        raise ConfigError(f"recipe {chosen.name!r} {found}, not {track.name!r}")
    return chosen


def add_json(parser: argparse.ArgumentParser, what: str = "print the result as JSON") -> None:
    """Add ``--json``, for commands whose result is a list or a description."""
    parser.add_argument("--json", action="store_true", help=what)


def add_json_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``, for commands whose result is a report."""
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all scores as JSON to FILE; - prints them instead of the table (default: no "
        "file)",
    )


def add_metrics(parser: argparse.ArgumentParser, text: str, default: Sequence[str]) -> None:
    """Add ``--metric NAME...``.

    Args:
        parser: gets the option.
        text: its help.
        default: its value.
    """
    known = metrics.modules()
    parser.add_argument(
        "--metric",
        nargs="+",
        default=list(default),
        metavar="NAME",
        help=f"{text}: {', '.join(known)}, or one of several in a module, such as museval_sir "
        f"(default: {', '.join(default) or 'none'})",
    )


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose`` and ``--quiet``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-v", "--verbose", action="store_true", help="log all steps, not only unusual events"
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="errors only: no progress, notes or warnings"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="device for networks: cpu, cuda, cuda:1 or mps "
        "(default: $DEMIX_DEVICE, or a GPU if there is one)",
    )
