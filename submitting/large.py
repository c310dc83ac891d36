"""Large files, and Git LFS."""

from pathlib import Path

from evaluator.preflight.checkout import Checkout
from evaluator.preflight.git import Git
from evaluator.preflight.repository.lfs_limit import too_large
from submitting.errors import SubmissionError
from submitting.shell import Shell


def to_track(checkout: Checkout, *, whole: bool) -> list[str]:
    """Files that LFS must track from now on.

    Args:
        checkout: the repository to submit.
        whole: push large files without LFS.

    Raises:
        SubmissionError: LFS is needed, but git-lfs is not installed.
    """
    large = [] if whole else sorted(too_large(checkout))
    if (large or uses_lfs(checkout)) and not installed(checkout.folder):
        names = ", ".join(large) or "files that .gitattributes assigns to it"
        raise SubmissionError(
            f"expected git-lfs, for {names}, but it is not installed; install it (Debian, Ubuntu: "
            "apt install git-lfs), or push large files whole with --whole-files"
        )
    return large


def uses_lfs(checkout: Checkout) -> bool:
    """Whether .gitattributes assigns existing files to LFS."""
    return bool(checkout.by_lfs(list(checkout.sizes)))


def installed(folder: Path) -> bool:
    """Whether git-lfs is installed."""
    return Git(folder).succeeds("lfs", "version")


def track(shell: Shell, checkout: Checkout, names: list[str]) -> None:
    """Let LFS track files, and convert those that git stores whole.

    Args:
        shell: runs the commands.
        checkout: the repository to submit.
        names: names of the files; may be empty if LFS already tracks some.

    Raises:
        SubmissionError: a command failed.
    """
    # Filters and the upload hook, in this repository only.
    shell.run("git", "lfs", "install", "--local")
    for name in names:
        shell.run("git", "lfs", "track", "--filename", name)
    known = [name for name in names if name in checkout.tracked]
    if known:
        # Git does not notice if only the attributes change.
        shell.run("git", "add", "--renormalize", "--", *known)
