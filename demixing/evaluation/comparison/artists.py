"""The artist in the name of a song.

Songs of one artist share players, instruments, a room and an engineer, so they are not independent.
"""

MARKS = (" - ", "_")
"""Between the artist and the title: that of MUSDB18, and that of MedleyDB."""


def named(song: str) -> str | None:
    """The artist in the name of a song; None if there is none.

    >>> named("A Band - A Song"), named("ABand_ASong"), named("5.Rubidium")
    ('A Band', 'ABand', None)
    """
    for mark in MARKS:
        artist, found, _ = song.partition(mark)
        if found and artist.strip():
            return artist.strip()
    return None
