"""``completion SHELL``: a script that lets a shell complete commands, options and choices.

The script contains all words, so pressing Tab does not start Python.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from demixing.cli import contest
from demixing.errors import ConfigError

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers

BASH = """\
# Load it by: eval "$(demixing completion bash)"
_demixing() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    local command="${{COMP_WORDS[1]}}" words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words={commands}
    else
        case "$command $before" in
{choices}
        *)
            case "$word" in -*) case "$command" in
{options}
            esac ;; esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _demixing demixing
"""
"""Bash falls back to file names if no word matches."""

ZSH = """\
# Load it by: eval "$(demixing completion zsh)"
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
"""
"""Zsh reads the Bash script."""


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "completion",
        description="Print a script that completes commands, options and their choices. "
        'For Bash, put this into ~/.bashrc: eval "$(demixing completion bash)"; for zsh, into '
        '~/.zshrc: eval "$(demixing completion zsh)"; for fish, run: demixing completion fish > '
        "~/.config/fish/completions/demixing.fish",
    )
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="which shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[options.shell](described()), end="")
    return 0


def described() -> dict[str, argparse.ArgumentParser]:
    """The parsers of all commands, including the contest's in a checkout."""
    from demixing.cli.main import COMMANDS, parser  # it imports this module

    (commands,) = (
        action
        for action in parser(list(COMMANDS))._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    result = dict(commands.choices)
    for name in contest.COMMANDS:
        try:
            result[name] = contest.module(contest.COMMANDS[name], name).parser()
        except ConfigError:
            del result[name]  # an installed package
    return result


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield all arguments of a command and its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)


def option_words(parser: argparse.ArgumentParser) -> list[str]:
    """Names of a command's options, each once."""
    return list(dict.fromkeys(word for one in actions(parser) for word in one.option_strings))


def choices_of(action: argparse.Action) -> list[str]:
    """The allowed values of an argument, if they are listed."""
    return [str(choice) for choice in action.choices or ()]


def bash(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for Bash."""
    choices: dict[str, dict[str, None]] = {}
    options = []
    for name, parser in commands.items():
        words = shlex.quote(" ".join(option_words(parser)))
        options.append(f"            {name}) words={words} ;;")
        for action in actions(parser):
            for before in action.option_strings or [name]:
                values = dict.fromkeys(choices_of(action))
                choices.setdefault(f"'{name} {before}'", {}).update(values)
    listed = [
        f"        {before}) words={shlex.quote(' '.join(values))} ;;"
        for before, values in choices.items()
        if values
    ]
    return BASH.format(
        commands=shlex.quote(" ".join(commands)),
        choices="\n".join(listed),
        options="\n".join(options),
    )


def zsh(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for zsh."""
    return ZSH + bash(commands)


def fish(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for fish."""
    names = " ".join(commands)
    lines = [f"complete -c demixing -n __fish_use_subcommand -f -a {shlex.quote(names)}"]
    for name, parser in commands.items():
        seen = shlex.quote(f"__fish_seen_subcommand_from {name}")
        for action in actions(parser):
            values = " ".join(choices_of(action))
            words = [
                f"-{'l' if option.startswith('--') else 's'} {option.lstrip('-')}"
                for option in action.option_strings
            ]
            if values:
                words.append(f"-f -a {shlex.quote(values)}")
            if action.option_strings and action.nargs != 0:
                words.append("-r")
            if words:
                lines.append(f"complete -c demixing -n {seen} {' '.join(words)}")
    return "\n".join(lines) + "\n"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
