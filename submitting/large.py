"""Large files and Git LFS."""

from pathlib import Path

from evaluator.preflight.checkout import Checkout
from evaluator.preflight.git import Git
from evaluator.preflight.repository.lfs_limit import too_large
from submitting.errors import SubmissionError
from submitting.shell import Shell


def to_track(checkout: Checkout, *, whole: bool) -> list[str]:
    """Files that LFS is to track from now on.

    Args:
        checkout: what is submitted.
        whole: whether large files are pushed as they are.

    Raises:
        SubmissionError: LFS is needed, and git-lfs is not installed.
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
    """Whether .gitattributes gives files to LFS that are there."""
    return bool(checkout.by_lfs(list(checkout.sizes)))


def installed(folder: Path) -> bool:
    """Whether git has its extension for large files."""
    return Git(folder).succeeds("lfs", "version")


def track(shell: Shell, checkout: Checkout, names: list[str]) -> None:
    """Let LFS track files, and hold those that git has whole as LFS objects.

    Args:
        shell: runs it.
        checkout: where.
        names: of the files; may be none, if LFS has some already.
    """
    # Filters and the hook that uploads, in this repository alone.
    shell.run("git", "lfs", "install", "--local")
    for name in names:
        shell.run("git", "lfs", "track", "--filename", name)
    known = [name for name in names if name in checkout.tracked]
    if known:
        # Git sees no change in a file whose attributes alone have changed.
        shell.run("git", "add", "--renormalize", "--", *known)
