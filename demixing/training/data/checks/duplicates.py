"""Finds audio that occurs twice, and leaks from one split into another."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demixing.training.data.checks.findings import Finding

SAME_SHARE = 0.5
"""Least part of the shorter fingerprint that is also in the other."""
PART_SHARE = 0.1
"""The same for songs of two splits: a common passage is a leak."""
LEAST_VOTES = 4
"""Least number of pairs of distances that agree on one delay: chance gives one or two."""
COMMON = 64
"""Pairs of distances that are in more stems are ignored: they are rhythms of machines."""
NUMBERED = re.compile(r"([a-z]+[ _-]?)?\d+", re.IGNORECASE)
"""A number, not the name of a song: ``song_007``, ``1234``."""
SOURCES = "sources.json"
"""File next to the stems of a rendered song that lists its sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Name, split and sources of a song.

    Attributes:
        name: name in the findings.
        own: the name without its folder.
        split: the split it belongs to; the name of the folder if nothing else is known.
        sources: files from which it was rendered; None if unknown.
    """

    name: str
    own: str
    split: str
    sources: tuple[str, ...] | None = None


def sources_of(folder: Path) -> tuple[str, tuple[str, ...]] | None:
    """Split and source files of a rendered song; None if there is no valid list."""
    try:
        contents = json.loads((folder / SOURCES).read_text(encoding="utf-8"))
        files = contents.get("files", [])
        if not isinstance(files, list):
            return None
        return str(contents.get("split") or ""), tuple(map(str, files))
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def find(
    places: Sequence[Place], prints: Mapping[tuple[int, str], Sequence[Sequence[int]]]
) -> list[Finding]:
    """Find duplicates, leaks, and names and sources that several splits share.

    Args:
        places: the songs.
        prints: fingerprints by index of the song and name of the stem, each a list of (place,
            distance, distance) in samples.
    """
    return [*_same_audio(places, prints), *_same_sources(places), *_same_names(places)]


def matches(
    prints: Mapping[tuple[int, str], Sequence[Sequence[int]]],
) -> dict[tuple[tuple[int, str], tuple[int, str]], tuple[int, int]]:
    """Compare the fingerprints of all pairs of stems.

    Returns:
        By pair of stems: the number of pairs of distances that agree on the best delay, and that
        delay in samples; only pairs that have any in common.
    """
    table: dict[tuple[int, int], list[tuple[tuple[int, str], int]]] = defaultdict(list)
    for key, found in prints.items():
        for place, *steps in found:
            table[steps[0], steps[1]].append((key, place))
    votes: dict[tuple[tuple[int, str], tuple[int, str]], dict[int, int]] = {}
    for entries in table.values():
        if not 1 < len(entries) <= COMMON:
            continue
        for number, (one, place) in enumerate(entries):
            for two, other in entries[number + 1 :]:
                if one != two:
                    (one_, place_), (two_, other_) = sorted(((one, place), (two, other)))
                    delays = votes.setdefault((one_, two_), {})
                    delays[other_ - place_] = delays.get(other_ - place_, 0) + 1
    return {
        pair: max((count, delay) for delay, count in delays.items())
        for pair, delays in votes.items()
    }


def _same_audio(
    places: Sequence[Place], prints: Mapping[tuple[int, str], Sequence[Sequence[int]]]
) -> Iterator[Finding]:
    for (one, two), (votes, delay) in sorted(matches(prints).items()):
        share = round(votes / min(len(prints[one]), len(prints[two])), 3)
        first, second = places[one[0]], places[two[0]]
        leaks = first.split != second.split
        if votes < LEAST_VOTES or share < (PART_SHARE if leaks else SAME_SHARE):
            continue
        where = f" from {second.split} into {first.split}" if leaks else ""
        shifted = f", {delay:+d} samples away" if delay else ""
        yield Finding(
            kind="leak" if leaks else "duplicate",
            song=first.name,
            stem=one[1],
            value=share,
            text=f"{share:.0%} of {two[1]} of {second.name}{where}{shifted}",
        )


def _same_sources(places: Sequence[Place]) -> Iterator[Finding]:
    """Source files that are in songs of several splits."""
    users: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for place in places:
        for file in place.sources or ():
            users[file][place.split].append(place.name)
    for file, splits in sorted(users.items()):
        if len(splits) > 1:
            counts = ", ".join(f"{len(names)} of {split}" for split, names in splits.items())
            fewest = min(splits.values(), key=len)
            yield Finding(
                kind="source",
                song=fewest[0],
                value=len(fewest),
                text=f"{file} is in songs of several splits: {counts}",
            )


def _same_names(places: Sequence[Place]) -> Iterator[Finding]:
    """Names that are in several splits."""
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for place in places:
        if not NUMBERED.fullmatch(place.own):
            splits[place.own.casefold()].setdefault(place.split, place.name)
    for names in splits.values():
        if len(names) > 1:
            yield Finding(
                kind="name",
                song=next(iter(names.values())),
                text=f"a song of that name is in {' and '.join(names)}",
                fault=False,
            )
