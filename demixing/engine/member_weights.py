"""The contents of the weights of members, which decide their estimates beside the options."""

import functools
from collections.abc import Iterator
from pathlib import Path

from demixing import separators
from demixing.errors import CheckpointError
from demixing.machine.description import installed_version
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.weights.catalogue import Checkpoint, find
from demixing.weights.verification import sha256_of

SHA256_DIGITS = 64


def made_with(recipe: Recipe) -> list[tuple[str, str]]:
    """What decides the estimates of a recipe but is not in it, for the keys of kept results.

    Args:
        recipe: all members are used.

    Returns:
        The version of this package, empty if it is not installed, and :func:`weights`.

    Raises:
        CheckpointError: a file is missing.
        ConfigError: a member's options are invalid.
    """
    version = installed_version("sound-demixing") or ""
    return [("version", version), *(pair for one in recipe.members for pair in weights(one))]


def weights(member: Member) -> Iterator[tuple[str, str]]:
    """The name and sha256 of each file of weights of a member.

    Raises:
        CheckpointError: one is missing.
        ConfigError: the member's options are invalid.
    """
    for key in ("checkpoint", "config"):  # a user's own files
        path = Path(str(member.options.get(key, "")))
        if path.is_file():
            yield path.name, _sha256(path)
    for name in separators.required_weights(member.separator, member.options):
        yield name, digest(find(name))


def digest(checkpoint: Checkpoint) -> str:
    """The registered sha256 of a file of the catalogue, or that of the file that is here.

    Raises:
        CheckpointError: it is missing.
    """
    if len(checkpoint.sha256) == SHA256_DIGITS:
        return checkpoint.sha256
    paths = (checkpoint.path(), checkpoint.converted_path())
    for path in (one for one in paths if one.is_file()):
        return _sha256(path)
    raise CheckpointError(f"expected weights {checkpoint.name!r}; {checkpoint.remedy()}")


def _sha256(path: Path) -> str:
    """The sha256 of a file; computed again when it changes."""
    status = path.stat()
    return _known_sha256(path.absolute(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _known_sha256(path: Path, size_bytes: int, mtime_ns: int) -> str:
    """The sha256 of a file; size and time are part of the key of the cache."""
    del size_bytes, mtime_ns
    return sha256_of(path)
