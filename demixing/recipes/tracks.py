"""The two tracks of the challenge: input, stems, time limit and leaderboards.

Source: AIcrowd's MDX'23 starter kit, and for CDX'23 the only public copy of its wrapper. The time
limit of CDX was not published; we assume that it is the same.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import ConfigError
from demixing.machine.installation import ROOT

TRACK_VARIABLE = "DEMIX_TRACK"
"""Environment variable: overrides aicrowd.json, so one checkout can serve both tracks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One track.

    Attributes:
        name: short name, as on the command line.
        challenge_ids: values of ``challenge_id`` in aicrowd.json that mean this track.
        stems: names of the outputs, in the order of the leaderboard.
        time_limit: seconds of computing per second of audio.
        boards: names of its leaderboards, which differ in the permitted training data. MDX: A only
            the songs with label noise, B only those with bleeding. CDX: A only DnR. The last
            leaderboard of each track permits any data.
        split_mixture: the mixture comes as two mono files, and every file name starts with the
            name of its folder.
    """

    name: str
    challenge_ids: tuple[str, ...]
    stems: tuple[str, ...]
    time_limit: float
    boards: tuple[str, ...]
    split_mixture: bool

    def stem_file(self, song: str, stem: str) -> str:
        """File name of ``stem`` of ``song``."""
        return f"{song}_{stem}.wav" if self.split_mixture else f"{stem}.wav"


TRACKS = {
    "mdx": Track(
        name="mdx",
        challenge_ids=("music-demixing-track-mdx-23", "evaluations-api-music-demixing"),
        stems=("bass", "drums", "other", "vocals"),
        time_limit=1.57,
        boards=("A", "B", "C"),
        split_mixture=False,
    ),
    "cdx": Track(
        name="cdx",
        challenge_ids=("cinematic-sound-demixing-track-cdx-23",),
        stems=("dialog", "effect", "music"),
        time_limit=1.57,
        boards=("A", "B"),
        split_mixture=True,
    ),
}


def of_stems(stems: tuple[str, ...]) -> Track:
    """A track outside the challenge, with any stems and no time limit."""
    return Track(
        name="stems",
        challenge_ids=(),
        stems=stems,
        time_limit=math.inf,
        boards=(),
        split_mixture=False,
    )


def by_name(name: str) -> Track:
    """Find a track by its short name.

    Raises:
        ConfigError: there is no such track.
    """
    if name not in TRACKS:
        raise ConfigError(f"expected the track to be one of {', '.join(TRACKS)}, got {name!r}")
    return TRACKS[name]


def submitted(path: Path = ROOT / "aicrowd.json") -> Track:
    """Find the track of this checkout's submission.

    Raises:
        ConfigError: aicrowd.json is missing, is not JSON, or names an unknown challenge.
    """
    if name := os.environ.get(TRACK_VARIABLE):
        return by_name(name)
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path} as JSON: {error}; restore it from git") from error
    challenge = table.get("challenge_id") if isinstance(table, dict) else None
    for track in TRACKS.values():
        if challenge in track.challenge_ids:
            return track
    known = ", ".join(id_ for track in TRACKS.values() for id_ in track.challenge_ids)
    raise ConfigError(f"{path}: challenge_id is {challenge!r}, expected one of {known}")
