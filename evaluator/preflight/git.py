"""Facts about a repository, by the plain git program, which changes nothing for that."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from demixing.errors import EvaluationError

SHORTEST_TOKEN = 20
"""Characters of GitLab's tokens; users of remotes are called git, oauth2, or by name."""


class Git:
    """A repository.

    Args:
        folder: its top, or a folder in it.
        environment: further variables.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment or {}

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run git, whether it succeeds or not.

        Args:
            words: after ``git``.
            given: to its standard input.

        Raises:
            EvaluationError: there is no such folder, or no git.
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
                # Refreshing the index is a change that nobody asked for.
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **self.environment},
            )
        except FileNotFoundError as error:
            raise EvaluationError(
                f"expected git and a folder at {str(self.folder)!r}, but {error.strerror}: "
                f"{error.filename!r}; install git, or check the path"
            ) from error
        except OSError as error:
            raise EvaluationError(
                f"expected to run git in {str(self.folder)!r}, which failed ({error.strerror})"
            ) from error

    def text(self, *words: str, given: str = "") -> str:
        """Run git and return what it says.

        Raises:
            EvaluationError: it failed.
        """
        done = self.run(*words, given=given)
        if done.returncode:
            raise EvaluationError(
                f"expected 'git {words[0]}' to work in {str(self.folder)!r}, but it says: "
                f"{without_password(done.stderr.strip())}"
            )
        return done.stdout

    def names(self, *words: str, given: str = "") -> list[str]:
        """Run git with an output of words that end with a zero, and return them."""
        return [word for word in self.text(*words, given=given).split("\0") if word]

    def succeeds(self, *words: str) -> bool:
        """Whether git ends with status 0."""
        return self.run(*words).returncode == 0


def has_password(url: str) -> bool:
    """Whether an address holds a password, or a token in place of a user's name.

    >>> has_password("https://oauth2:secret@example.org/a.git"), has_password("git@host:a.git")
    (True, False)
    """
    found = re.search(r"\w://([^/@\s]+)@", url)
    return found is not None and (":" in found[1] or len(found[1]) >= SHORTEST_TOKEN)


def without_password(text: str) -> str:
    """Take user names and passwords out of the addresses in a text.

    >>> without_password("to https://oauth2:secret@example.org/a.git")
    'to https://***@example.org/a.git'
    """
    return re.sub(r"(\w://)[^/\s]*@", r"\1***@", text)
