"""An index in columns has the same songs as a list of them, in a fraction of the memory."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from demixing.training.data import metadata, songs
from demixing.training.data.song_table import Song, SongTable
from tests.test_training_songs import MDX, put

SONGS = (
    Song(
        name="a/Björk",
        stems={"drums": (Path("/d/1.wav"), Path("/d/2.wav")), "bass": (Path("/d/ü.flac"),)},
        samples=3 << 31,
        rate_hz=44_100,
        active={"drums": ((0, 3), (7, 8)), "bass": ()},
        loudness_db={"drums": -20.25, "bass": -120.0},
        kind="bleeding",
    ),
    Song(name="b", stems={"vocals": ()}, samples=5, rate_hz=8000),
    Song(name="c", stems={}, samples=0, rate_hz=8000, active={"bass": ((1, 2),)}),
)


def test_a_table_has_the_songs_it_was_made_from() -> None:
    table = SongTable(SONGS)

    assert tuple(table) == SONGS
    assert table == SONGS
    assert table != SONGS[:2]
    assert table[-1] == SONGS[2]
    assert table[1:] == SONGS[1:]
    assert pickle.loads(pickle.dumps(table)) == SONGS
    assert not len(SongTable(()))
    with pytest.raises(IndexError, match="below 3, got 3"):
        table[3]


def test_names_that_are_not_unicode_are_kept() -> None:
    song = Song(name="\udcff", stems={"x": (Path("/\udcfe.wav"),)}, samples=1, rate_hz=1)

    assert SongTable([song])[0] == song


def test_a_song_takes_a_few_hundred_bytes_and_no_objects() -> None:
    stems = {stem: (Path(f"/data/music/train/the name of a song/{stem}.wav"),) for stem in MDX}
    active = dict.fromkeys(MDX, ((0, 100), (120, 200)))
    song = Song(name="the name of a song", stems=stems, samples=1, rate_hz=1, active=active)

    table = SongTable([song] * 100)

    assert table.size_bytes < 100 * 600
    assert len(pickle.dumps(table)) < 100 * 600 + 3000  # there is nothing besides the columns


def test_the_cache_is_written_a_few_times_however_many_files_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(metadata, "GROUP", 1)
    monkeypatch.setattr(metadata, "save", lambda place, known: written.append(len(known)))
    for number in range(60):
        put(tmp_path / f"{number}/vocals.wav", np.zeros((10, 2)))

    assert len(songs.index([tmp_path], MDX)) == 60

    assert written[:2] == [1, 2], "an interrupted run loses little"
    assert written[-1] == 60
    assert len(written) < 14
