"""Which leaderboards admit weights: those of a track whose rules admit all their training data."""

import re
from collections.abc import Collection, Iterable

from demixing.recipes.tracks import TRACKS

ADMITTED = {
    ("mdx", "A"): re.compile(r"label[-_ ]?noise", re.IGNORECASE),
    ("mdx", "B"): re.compile(r"bleeding", re.IGNORECASE),
    ("cdx", "A"): re.compile(r"^(dnr|divide and remaster)\b(?!.*\b(test|v3)\b)", re.IGNORECASE),
}
"""Names of the data sets that a leaderboard admits; the last one of each track admits all.

CDX A admits Divide and Remaster v2 without its test songs; v3 came after the contest.
"""

STEMS = {
    "mdx": {"bass", "drums", "other", "vocals", "accompaniment", "instrumental"},
    "cdx": {"dialog", "speech", "effect", "effects", "sfx"},
}
"""Outputs of networks that show which track they are for."""


def admitting(stems: Collection[str], trained_on: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Find the leaderboards that admit weights, by track.

    Args:
        stems: outputs of the network.
        trained_on: names of data sets.

    Returns:
        Names of leaderboards by name of track; only tracks that can use the stems.
    """
    data = list(trained_on)
    return {
        name: tuple(board for board in track.boards if _admits(name, board, data))
        for name, track in TRACKS.items()
        if STEMS[name] & {*stems}
    }


def _admits(track: str, board: str, trained_on: Iterable[str]) -> bool:
    pattern = ADMITTED.get((track, board))
    return pattern is None or all(pattern.search(name) for name in trained_on)
