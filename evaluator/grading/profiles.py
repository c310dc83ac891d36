"""Limits of the grading servers: one profile for each track and year."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Limits of a server.

    Attributes:
        name: name of the contest.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        interface: ``wrapper``: ``my_submission.aicrowd_wrapper.AIcrowdWrapper``; ``predictor``:
            the ``prediction`` method of MDX'21.
        per_second: seconds per second of song.
        setup_s: seconds for imports and loading the model.
        cpus: number of processors.
        memory_bytes: memory of all processes together.
        disk_bytes: predictions and temporary files together, which a sandbox keeps in memory; also
            the limit of a single file.
        processes: number of processes and threads at a time.
        song_s: seconds per song of any length, instead of ``per_second``; unused if 0.
    """

    name: str
    track: str
    interface: str = "wrapper"
    per_second: float = 1.57
    setup_s: float = 900.0
    cpus: float = 4.0
    memory_bytes: int = 16 * GIB
    disk_bytes: int = 4 * GIB
    processes: int = 1024
    song_s: float = 0.0

    def limit_s(self, seconds: float) -> float:
        """Seconds that a song may take.

        Args:
            seconds: its length.

        >>> PROFILES["mdx23"].limit_s(100)
        157.0
        """
        return self.song_s or self.per_second * seconds


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name="mdx23", track="mdx"),
        # The limits of CDX'23 are not published, so those of the other track are assumed.
        Profile(name="cdx23", track="cdx"),
        # 240 s per song in its first round; setup 900 s is published for this year alone.
        Profile(name="mdx21", track="mdx", interface="predictor"),
    )
}


def changed(profile: Profile, **values: float | int | None) -> Profile:
    """A copy with the limits that are not None."""
    given = {key: value for key, value in values.items() if value is not None}
    return dataclasses.replace(profile, **given)  # type: ignore[arg-type]
