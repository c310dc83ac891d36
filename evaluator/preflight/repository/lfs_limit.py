"""Finds large files that LFS does not track, notes because submit.py lets LFS track them."""

from collections.abc import Iterator

from evaluator.preflight import Finding, listed, note
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Compare the sizes of files, and of git's own objects, with the limit."""
    loose = list(too_large(checkout))
    limit = _megabytes(checkout.lfs_limit_bytes)
    if loose:
        yield note(
            f"larger than {limit} and not tracked by LFS: "
            f"{listed([f'{name} ({_megabytes(checkout.sizes[name])})' for name in loose])}",
            "AIcrowd's kits put such files under LFS, and its server may refuse the push",
            "submit.py does it; or run: git lfs track --filename FILE, and add it again",
        )
    old = sorted(_in_history(checkout) - {*loose})
    if old:
        yield note(
            f"earlier commits contain files larger than {limit} without LFS: {listed(old)}",
            "they are pushed as well",
            "if the push is refused, run: git lfs migrate import --everything --above=5MB",
        )


def too_large(checkout: Checkout) -> Iterator[str]:
    """Files above the limit that are not stored by LFS."""
    large = [name for name, size in checkout.sizes.items() if size > checkout.lfs_limit_bytes]
    by_lfs = checkout.by_lfs(large)
    for name in large:
        # If LFS tracks it only since it was added, git still stores the whole file.
        whole = checkout.blobs.get(name, 0) > checkout.lfs_limit_bytes
        if name not in by_lfs or whole:
            yield name


def _in_history(checkout: Checkout) -> set[str]:
    """Large files in commits that the remote does not have, according to the last fetch."""
    git = checkout.git
    if not git.succeeds("rev-parse", "--verify", "--quiet", "HEAD"):
        return set()
    listing = git.text("rev-list", "--objects", "HEAD", "--not", f"--remotes={checkout.remote}")
    names = {}
    for line in listing.splitlines():
        object_, _, name = line.partition(" ")
        if name:
            names[object_] = name
    given = "".join(f"{object_}\n" for object_ in names)
    output = git.text("cat-file", "--batch-check=%(objectname) %(objectsize)", given=given)
    sizes = (line.split() for line in output.splitlines())
    return {names[one] for one, size in sizes if int(size) > checkout.lfs_limit_bytes}


def _megabytes(size: int) -> str:
    """Format a number of bytes."""
    return f"{size / 1e6:.3g} MB"
