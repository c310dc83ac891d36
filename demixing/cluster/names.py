"""Names of songs: they become folders of results, so they must be safe, and each be there once."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from demixing.errors import ConfigError

MOST_BYTES = 200
"""Of one part of a name: file systems allow 255, and endings are added."""

MIXTURE = "mixture"

MANIFEST = "manifest.jsonl"
"""The file that lists all results; it is beside them, so no song can have its name."""


RECORD = ".json"
"""Suffix of records, which are in folders as results are."""


def check(name: str) -> str:
    """Return a name if it can be the path of a folder below another one.

    Raises:
        ConfigError: it leads elsewhere, is hidden, or is not a name that all stores accept.
    """
    parts = name.split("/")
    wrong = (
        not name.isprintable()
        or "\\" in name
        or any(part.startswith(".") or not part.strip() for part in parts)
        or any(len(part.encode("utf-8", "replace")) > MOST_BYTES for part in parts)
    )
    if wrong:
        raise ConfigError(
            f"expected a song's name like album/song, with parts of at most {MOST_BYTES} bytes "
            f"that do not begin with a dot, got {name!r}; name it in a list, as NAME"
        )
    if key(parts[0]) == MANIFEST:
        raise ConfigError(
            f"expected a song's name, got {name!r}, but {MANIFEST} is the list of all results; "
            "name it in a list, as NAME"
        )
    return name


def key(name: str) -> str:
    """Equal for names that are one folder on a system that ignores case or composes accents."""
    return unicodedata.normalize("NFC", name).casefold()


def of_files(paths: Iterable[str]) -> dict[str, str]:
    """Names for the files of a folder.

    A song has the path of its file without the suffix. Where that is the same for several files,
    or the name of the manifest, they keep their suffix. The song ``a/mixture.wav`` of a data set is
    ``a``, and the other files of its folder, its stems, are no songs.

    Args:
        paths: of the files, below the folder.

    Returns:
        The name of each song, by its path.
    """
    found = {given: PurePosixPath(given) for given in paths}  # which drops a second slash
    mixtures = {path.parent for path in found.values() if is_mixture(path)}
    short = {
        given: path.parent if is_mixture(path) else path.with_suffix("")
        for given, path in found.items()
        if is_mixture(path) or path.parent not in mixtures
    }
    counts = Counter(key(str(name)) for name in short.values())
    counts[MANIFEST] += 1
    return {
        given: readable(str(name if counts[key(str(name))] == 1 else found[given]))
        for given, name in short.items()
    }


def is_mixture(path: PurePosixPath) -> bool:
    """Whether a file is the mixture of a data set's song: it has a folder of its own."""
    return path.stem.lower() == MIXTURE and len(path.parts) > 1


def readable(name: str) -> str:
    r"""A name without bytes that are not text, and without what a terminal does not print.

    >>> readable("a\x1b[2J")
    'a%1b[2J'
    """
    return "".join(one if one.isprintable() and one != "\\" else f"%{ord(one):02x}" for one in name)


def flat(name: str) -> str:
    """A name without folders, for data sets, whose songs are all in one folder.

    >>> flat("album/song")
    'album__song'
    """
    return name.replace("/", "__")


def check_distinct(addresses: Mapping[str, Iterable[str]]) -> None:
    """Raise if two songs have one name.

    Args:
        addresses: of the songs of each :func:`key`.

    Raises:
        ConfigError: two have.
    """
    for own in addresses.values():
        first, *others = own
        if others:
            raise ConfigError(
                f"{first!r} and {others[0]!r} have the same name (upper and lower case count as "
                "equal); name them differently in a list"
            )


def check_places(songs: Iterable[str], results: Collection[str]) -> None:
    """Raise if the folder of a song would be where another one has a file.

    Args:
        songs: names, each there once.
        results: names of the files that each song gets.

    Raises:
        ConfigError: it would.
    """
    given = {key(name): name for name in songs}
    taken = {key(name) for name in results}
    for own, name in given.items():
        for other in _owners(own, taken):
            if other in given:
                raise ConfigError(
                    f"the results of {name!r} would be where {given[other]!r} has a file; name "
                    "one of them differently in a list"
                )


def _owners(name: str, results: Collection[str]) -> Iterator[str]:
    """Names of the songs that would have a file where this one needs a folder."""
    parts = name.split("/")
    for count in range(1, len(parts)):
        folder = "/".join(parts[:count])
        if parts[count] in results:
            yield folder
        if folder.endswith(RECORD):  # the record of a song is a file, too
            yield folder.removesuffix(RECORD)
