"""Shows commands and runs them; removes secrets from their output."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evaluator.preflight.git import without_password
from submitting.errors import SubmissionError

HIDDEN = "***"


@dataclass(kw_only=True)
class Shell:
    """Runs commands that change something.

    Attributes:
        folder: working directory.
        dry_run: only show commands.
        secret: replaced in all output; empty if there is none.
        done: commands that succeeded, as shown.
    """

    folder: Path
    dry_run: bool = False
    secret: str = ""
    done: list[str] = field(default_factory=list)

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        """Show a command, and run it unless this is a dry run.

        Args:
            words: the command.
            environment: additional variables.

        Raises:
            SubmissionError: it failed; its output has been printed.
        """
        shown = without_password(shlex.join(words))
        print(f"+ {shown}", flush=True)
        if self.dry_run:
            return
        with subprocess.Popen(
            words,
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            self._relay(process.stdout.fileno())
        if process.returncode:
            raise SubmissionError(
                f"expected {shown!r} to work, but it ended with status "
                f"{process.returncode}; see above"
            )
        self.done.append(shown)

    def _relay(self, pipe: int) -> None:
        """Print the output of a pipe in whole lines, so that a secret is never split."""
        waiting = b""
        while part := os.read(pipe, 65536):
            waiting += part
            end = max(waiting.rfind(b"\n"), waiting.rfind(b"\r")) + 1
            self._show(waiting[:end])
            waiting = waiting[end:]
        self._show(waiting)

    def _show(self, output: bytes) -> None:
        """Print output to stderr, without secrets."""
        text = without_password(output.decode(errors="replace"))
        sys.stderr.write(text.replace(self.secret, HIDDEN) if self.secret else text)
        sys.stderr.flush()
