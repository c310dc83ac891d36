"""Facts for the checks of a repository: its files, git's view of them, and its recipe."""

import functools
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing import small_files
from demixing.errors import EvaluationError
from evaluator.preflight import description
from evaluator.preflight.description import Description
from evaluator.preflight.git import Git

LFS_LIMIT_BYTES = 5_000_000
"""AIcrowd's submit.sh tracks files above 5 MB with LFS."""

REMOTE = "aicrowd"
"""Name of the remote in AIcrowd's kits."""

BRANCH = "master"
"""Branch that AIcrowd's kits push."""

CONTEST_FILE = "aicrowd.json"


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A repository to be pushed.

    Attributes:
        folder: top of a git repository.
        lfs_limit_bytes: larger files must be tracked by LFS.
        remote: name of the remote.
        branch: name of the remote's branch.

    Raises:
        EvaluationError: the folder is not the top of a git repository.
    """

    folder: Path
    lfs_limit_bytes: int = LFS_LIMIT_BYTES
    remote: str = REMOTE
    branch: str = BRANCH

    def __post_init__(self) -> None:
        top = self.git.run("rev-parse", "--show-toplevel")
        if top.returncode:
            raise self._unusable(top.stderr)
        found = Path(top.stdout.removesuffix("\n"))
        if found.resolve() != self.folder.resolve():
            raise EvaluationError(
                f"expected the top of a git repository, got {str(self.folder)!r}, which is in "
                f"{str(found)!r}; give that"
            )

    def _unusable(self, errors: str) -> EvaluationError:
        """The error of a folder in which git does not work."""
        if "dubious ownership" in errors:
            where = self.folder.resolve()
            return EvaluationError(
                f"expected a repository of your own at {str(self.folder)!r}, but it belongs to "
                "another user, so git does not use it; if you trust its contents, run: "
                f"git config --global --add safe.directory {shlex.quote(str(where))}"
            )
        said = " ".join(errors.split())
        return EvaluationError(
            f"expected a git repository at {str(self.folder)!r}, but git reports: "
            f"{said}; give the folder of the submission, or run: git init"
        )

    @property
    def git(self) -> Git:
        """Runs git in the folder."""
        return Git(self.folder)

    @functools.cached_property
    def tracked(self) -> frozenset[str]:
        """Files that git tracks, relative to the folder."""
        return frozenset(self.git.names("ls-files", "-z"))

    @functools.cached_property
    def untracked(self) -> frozenset[str]:
        """Files that git neither tracks nor ignores."""
        return frozenset(self.git.names("ls-files", "-z", "--others", "--exclude-standard"))

    @functools.cached_property
    def sizes(self) -> Mapping[str, int]:
        """Size in bytes of each regular file that is tracked or could be added."""
        found = {}
        for name in sorted(self.tracked | self.untracked):
            path = self.folder / name
            if path.is_file() and not path.is_symlink():
                found[name] = path.stat().st_size
        return found

    @functools.cached_property
    def blobs(self) -> Mapping[str, int]:
        """Size in bytes of git's object for each tracked file; small if LFS has the contents."""
        lines = self.git.names("ls-files", "-z", "--stage")
        objects = {line.partition("\t")[2]: line.split()[1] for line in lines}
        wanted = "".join(f"{name}\n" for name in objects.values())
        output = self.git.text("cat-file", "--batch-check=%(objectsize)", given=wanted)
        sizes = [int(line) if line.isdigit() else 0 for line in output.splitlines()]
        return dict(zip(objects, sizes, strict=True))

    def by_lfs(self, names: list[str]) -> set[str]:
        """The subset of files that .gitattributes assigns to LFS."""
        given = "".join(f"{name}\0" for name in names)
        words = self.git.names("check-attr", "-z", "--stdin", "filter", given=given)
        return {words[at] for at in range(0, len(words), 3) if words[at + 2] == "lfs"}

    @functools.cached_property
    def contest(self) -> Mapping[str, Any] | str:
        """The table in aicrowd.json, or a text that describes the fault in the file."""
        path = self.folder / CONTEST_FILE
        try:
            table = json.loads(small_files.read_text(path))
        except FileNotFoundError:
            return "is missing"
        except (OSError, ValueError, RecursionError) as error:
            return f"is not JSON ({error})"
        return table if isinstance(table, dict) else "contains no table"

    @functools.cached_property
    def cut_off(self) -> bool:
        """Whether history is missing that the remote, by the last fetch, does not have either."""
        git = self.git
        if git.run("rev-parse", "--is-shallow-repository").stdout.strip() != "true":
            return False
        listed = Path(git.text("rev-parse", "--git-path", "shallow").removesuffix("\n"))
        ends = (self.folder / listed).read_text(encoding="ascii").split()
        missing = git.text("rev-list", "HEAD", "--not", f"--remotes={self.remote}").split()
        return not {*ends}.isdisjoint(missing)

    @functools.cached_property
    def described(self) -> Description | str:
        """The submission's recipe and weights, or the reason why they are unknown."""
        return description.of(self.folder)
