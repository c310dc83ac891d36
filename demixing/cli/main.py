"""The command ``demixing``: one subcommand per job.

Only the module of the chosen subcommand is imported, so ``--help`` is fast. Paths and tables go to
stdout; errors, notes and progress to stderr. The exit status is 0, 2 after bad input, 130 after an
interruption, or 141 if the reader of stdout has exited.
"""

import argparse
import contextlib
import importlib
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

from demixing.cli import console, contest, ending
from demixing.cli.arguments import Parser, add_device, add_verbosity
from demixing.machine import heap, installation, threads
from demixing.printing import start_log

SONGS_STAY = "stopped; finished songs are kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One subcommand.

    Attributes:
        module: with its ``add`` and ``run``; empty for checkout-only commands.
        help: one line.
        device: whether it has ``--device``, because it runs networks.
        stopped: message after an interruption.
    """

    module: str
    help: str
    device: bool = False
    stopped: str = console.STOPPED


GROUPS: dict[str, dict[str, Command]] = {
    "Separate": {
        "separate": Command(
            module="demixing.cli.separate",
            help="write the stems of songs",
            device=True,
            stopped=SONGS_STAY,
        ),
        "batch": Command(
            module="demixing.cli.batch",
            help="separate or score many songs on many machines",
            stopped=f"{SONGS_STAY}: run it again to continue",
        ),
        "ensemble": Command(
            module="demixing.cli.ensemble", help="average stems that were made elsewhere"
        ),
        "list": Command(
            module="demixing.cli.list_", help="list recipes: stems, what is missing, scores"
        ),
        "plan": Command(
            module="demixing.cli.plan",
            help="show the costs of a recipe's members on this machine",
            device=True,
        ),
        "fetch": Command(module="demixing.cli.fetch", help="download weights and verify them"),
        "verify": Command(module="demixing.cli.verify", help="check the weight files"),
        "import": Command(module="demixing.cli.import_", help="convert an official weight file"),
    },
    "Evaluate": {
        "evaluate": Command(
            module="demixing.cli.evaluate",
            help="separate songs with known stems, and score the result",
            device=True,
            stopped=f"{SONGS_STAY}: continue with --resume",
        ),
        "history": Command(
            module="demixing.cli.history", help="show the course of earlier evaluations"
        ),
        "mvsep": Command(
            module="demixing.cli.mvsep",
            help="separate and pack a data set for MVSep's quality checker",
            device=True,
            stopped=f"{SONGS_STAY}: run it again to continue",
        ),
        "score": Command(module="demixing.cli.score", help="score existing stems"),
        "report": Command(
            module="demixing.cli.report", help="write a page to listen to evaluated songs"
        ),
        "compare": Command(
            module="demixing.cli.compare", help="compare systems on the same songs", device=True
        ),
    },
    "Train": {
        "check": Command(
            module="demixing.cli.check",
            help="find faults in a data set; status 1 if any",
        ),
        "render": Command(module="demixing.cli.render", help="render songs with known stems"),
        "train": Command(
            module="demixing.cli.train",
            help="train a network",
            stopped="stopped; run it again to resume from the last checkpoint",
        ),
        "fit": Command(
            module="demixing.cli.fit",
            help="fit a recipe's weights to songs",
            device=True,
        ),
        "export": Command(
            module="demixing.cli.export",
            help="write trained weights for use in recipes",
        ),
        "corrupt": Command(
            module="demixing.cli.corrupt",
            help="copy a data set and corrupt some of its songs",
        ),
    },
    "Compete (in a checkout)": {
        "grade": Command(module="", help="run a submission as the grading server does"),
        "preflight": Command(module="", help="find what the grader hides or punishes"),
        "submit": Command(module="", help="commit, tag and push a submission"),
    },
    "About": {
        "describe": Command(module="demixing.cli.describe", help="show what would be submitted"),
        "completion": Command(
            module="demixing.cli.completion", help="print a completion script for a shell"
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def command() -> None:
    """Run the program and exit with its status."""
    console.open_streams()
    end_cleanly()
    ending.exit_with(main)


def end_cleanly() -> None:
    """Also clean up after SIGTERM, and after SIGHUP, which a terminal sends when it is closed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:  # not under nohup
        signal.signal(hangup, signal.default_int_handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: words after the program's name; None: from the shell.
    """
    threads.wait_passively()
    heap.keep_large_blocks_apart()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # before the subcommand began: importing it takes a second
        print(console.STOPPED, file=sys.stderr)
        return console.INTERRUPTED


def _run(words: Sequence[str]) -> int:
    """Run the command line with these words."""
    name = next((word for word in words if not word.startswith("-")), "")
    if words[:1] == [name] and name in contest.COMMANDS:
        return console.guarded(lambda _: contest.run(name, words[1:]), argparse.Namespace())
    options = parser([name]).parse_args(words)
    chosen = COMMANDS[options.command]
    start_log(level(options))

    def work(_: argparse.Namespace) -> int:
        with device(options):
            return int(load(chosen).run(options))

    return console.guarded(work, options, chosen.stopped)


def parser(described: Sequence[str]) -> Parser:
    """Build the parser of the command line.

    Args:
        described: names of the subcommands whose arguments are added; the others only have names.
    """
    result = Parser(
        prog="demixing",
        usage="%(prog)s COMMAND ...",
        description="Separate music and film sound into stems.",
        epilog=overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = result.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="demixing", help=argparse.SUPPRESS
    )
    for name, one in COMMANDS.items():
        if name not in described or not one.module:
            commands.add_parser(name)
            continue
        load(one).add(commands)
        for sub in leaves(commands.choices[name]):
            if one.device:
                add_device(sub)
            add_verbosity(sub)
    return result


def leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers without subcommands below a parser; the parser itself if it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [leaf for one in action.choices.values() for leaf in leaves(one)]
    return [parser]


def load(chosen: Command) -> ModuleType:
    """Import the module of a subcommand."""
    return importlib.import_module(chosen.module)


def overview() -> str:
    """All subcommands with their help, by group."""
    lines = []
    for title, group in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<12}{one.help}" for name, one in group.items()), ""]
    return "\n".join([*lines, "`demixing COMMAND --help` describes one of them."])


def level(options: argparse.Namespace) -> int:
    """The log level."""
    if options.verbose:
        return logging.INFO
    return logging.ERROR if options.quiet else logging.WARNING


@contextlib.contextmanager
def device(options: argparse.Namespace) -> Iterator[None]:
    """Run networks on the device of ``--device``.

    Raises:
        ConfigError: this machine has no such device.
    """
    if getattr(options, "device", None) is None:
        yield
        return
    from demixing.machine.device import on_device  # imports torch

    with on_device(options.device):
        yield


class Version(argparse.Action):
    """Prints the version, which is only looked up then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and exit."""
        try:
            print(f"demixing {version()}", flush=True)
        except OSError as error:
            console.forget_output()
            console.complain(f"cannot write to standard output: {error.strerror}")
            parser.exit(console.BAD_INPUT)
        parser.exit()


def version() -> str:
    """Version of the installed package, otherwise of the checkout."""
    import tomllib
    from importlib import metadata

    try:
        return metadata.version("sound-demixing")
    except metadata.PackageNotFoundError:
        text = (installation.ROOT / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
