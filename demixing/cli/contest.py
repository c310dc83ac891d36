"""Access to the contest's top-level folders, which only a checkout has."""

import importlib
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

from demixing.errors import ConfigError
from demixing.machine import installation
from demixing.printing import start_log

COMMANDS = {
    "grade": "evaluator.grading.command",
    "preflight": "evaluator.preflight.command",
    "submit": "submit",
}
"""Modules of checkout-only commands, each with a ``parser`` and a ``main``."""


def here() -> bool:
    """Whether this is a checkout with the contest's folders."""
    return not installation.INSTALLED and (installation.ROOT / "my_submission").is_dir()


def module(name: str, wanted_by: str) -> ModuleType:
    """Import one of the contest's modules.

    Args:
        name: such as ``my_submission.workers``.
        wanted_by: what needs the module, for the message.

    Raises:
        ConfigError: this is an installed package.
    """
    if not here():
        raise ConfigError(
            f"{wanted_by} needs the contest's folders, which only a checkout of the repository "
            "has; clone it, and run: pip install --editable ."
        )
    if str(installation.ROOT) not in sys.path:
        sys.path.insert(0, str(installation.ROOT))
    return importlib.import_module(name)


def run(command: str, words: Sequence[str]) -> int:
    """Run a checkout-only command.

    Args:
        command: a key of :data:`COMMANDS`.
        words: its arguments.

    Raises:
        ConfigError: this is an installed package.
    """
    start_log(logging.INFO, "%(message)s")
    name = f"demixing {command}"
    return int(module(COMMANDS[command], f"`{name}`").main(words, prog=name))
