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
        checkout: to submit.
        whole: push large files without LFS.

    Raises:
        SubmissionError: LFS is needed, but git-lfs is not installed.
    """
    large = [] if whole else sorted(too_large(checkout))
    if (large or uses_lfs(checkout)) and not installed(checkout.folder):
        names = ", ".join(large) or "files that .gitattributes gives to it"
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
    """Let LFS track files, and convert those that git has whole.

    Args:
        shell: runs the commands.
        checkout: to submit.
        names: of the files; may be empty if LFS tracks some already.

    Raises:
        SubmissionError: a command failed.
    """
    # Filters and the hook that uploads, only in this repository.
    shell.run("git", "lfs", "install", "--local")
    for name in names:
        shell.run("git", "lfs", "track", "--filename", name)
    known = [name for name in names if name in checkout.tracked]
    if known:
        # Git does not notice a change of attributes alone.
        shell.run("git", "add", "--renormalize", "--", *known)
