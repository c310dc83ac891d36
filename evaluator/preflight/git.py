"""Facts about a repository, from the git program; nothing is changed."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from demixing.errors import EvaluationError

SHORTEST_TOKEN = 20
"""Length of GitLab's tokens; user names in addresses are shorter."""


class Git:
    """A repository.

    Args:
        folder: its top, or a folder in it.
        environment: additional variables for git.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment or {}

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run git; a failure is not an error.

        Args:
            words: arguments of ``git``.
            given: text for standard input.

        Raises:
            EvaluationError: there is no such folder, or git is not installed.
        """
        try:
            return subprocess.run(
                ["git", *words],
                cwd=self.folder,
                input=given,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                check=False,
                # Git must not refresh the index, which would be a change.
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **self.environment},
            )
        except FileNotFoundError as error:
            raise EvaluationError(
                f"expected git and a folder at {str(self.folder)!r}, but {error.strerror}: "
                f"{error.filename!r}; install git, or check the path"
            ) from error
        except OSError as error:
            raise EvaluationError(
                f"cannot run git in {str(self.folder)!r} ({error.strerror})"
            ) from error

    def text(self, *words: str, given: str = "") -> str:
        """Run git and return its output.

        Raises:
            EvaluationError: it failed.
        """
        done = self.run(*words, given=given)
        if done.returncode:
            raise EvaluationError(
                f"expected 'git {words[0]}' to work in {str(self.folder)!r}, but it reports: "
                f"{without_password(done.stderr.strip())}"
            )
        return done.stdout

    def names(self, *words: str, given: str = "") -> list[str]:
        """Run git and split its output at zero bytes.

        Raises:
            EvaluationError: it failed.
        """
        return [word for word in self.text(*words, given=given).split("\0") if word]

    def succeeds(self, *words: str) -> bool:
        """Whether git exits with status 0."""
        return self.run(*words).returncode == 0


def has_password(url: str) -> bool:
    """Whether an address contains a password, or a token instead of a user name.

    >>> has_password("https://oauth2:secret@example.org/a.git"), has_password("git@host:a.git")
    (True, False)
    """
    found = re.search(r"\w://([^/@\s]+)@", url)
    return found is not None and (":" in found[1] or len(found[1]) >= SHORTEST_TOKEN)


def without_password(text: str) -> str:
    """Remove user names and passwords from the addresses in a text.

    >>> without_password("to https://oauth2:secret@example.org/a.git")
    'to https://***@example.org/a.git'
    """
    return re.sub(r"(\w://)[^/\s]*@", r"\1***@", text)
