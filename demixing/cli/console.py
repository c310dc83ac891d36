"""Shared by all command lines: printing, and the exit status of errors.

Results go to stdout, errors and notes to stderr. The status is 0 for success, 1 if a command
reports findings, 2 for an error that the user can act on, 130 after Ctrl-C, and 141 if the reader
of the output has exited.
"""

import argparse
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from demixing.errors import DemixError
from demixing.machine.installation import install_command
from demixing.printing import one_line, visible

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[
        argparse.ArgumentParser
    ]  # the return type of add_subparsers

STOPPED = "stopped; what is finished stays"
EXTRAS = {
    "PIL": "report",
    "fsspec": "cluster",
    "jinja2": "report",
    "matplotlib": "report",
    "mido": "rendering",
    "pyworld": "rendering",
    "ray": "cluster",
}
"""Packages that only some commands import, and the extra that installs each."""

MEMORY_SIGNS = ("t allocate memory", "cannot allocate", "failed to map segment", "bad alloc")
"""In the messages of torch and of the linker if memory is short."""

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def open_streams() -> None:
    """Replace closed standard streams, so that writing to them does nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123


def forget_output() -> None:
    """Drop what could not be written, so that Python does not try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: str) -> None:
    """Print an error as one line, whatever it quotes."""
    with contextlib.suppress(OSError):  # no place is left to say it
        sys.stderr.write(f"error: {one_line(message)}\n")  # at once: processes share the terminal


def show(lines: Iterable[str]) -> None:
    """Print each line of results for people as soon as it is available, with columns at tabs.

    Escape sequences in names that it quotes are shown, not obeyed. Paths that a script may read
    are printed by :func:`demixing.cli.say`.
    """
    for line in lines:
        print(visible(line, keep="\t"), flush=True)


def _lacks_memory(error: Exception) -> bool:
    """Whether an error means that no more memory can be allocated, here or by the linker."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in MEMORY_SIGNS)


def guarded(
    run: Callable[[argparse.Namespace], int], options: argparse.Namespace, stopped: str = STOPPED
) -> int:
    """Run a command; convert errors that a user can act on to a sentence and a status.

    Args:
        run: the command; returns its exit status.
        options: of the command.
        stopped: what to print after Ctrl-C.

    Returns:
        The exit status.
    """
    open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names outside the terminal's encoding
    try:
        status = run(options)
        sys.stdout.flush()
    except DemixError as error:
        complain(str(error))
        return BAD_INPUT
    except ModuleNotFoundError as error:  # a package of an extra, which may not be installed
        if error.name not in EXTRAS:
            raise
        command = install_command(EXTRAS[error.name])
        complain(f"expected the package {error.name}, which is not installed; run: {command}")
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output has exited, for example `head`
        forget_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        forget_output()
        complain(f"cannot write to standard output: {error.strerror}")
        return BAD_INPUT
    except (MemoryError, ImportError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        complain("there is too little memory; end other programs, or raise the limit (ulimit -v)")
        return BAD_INPUT
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return INTERRUPTED
    return status
