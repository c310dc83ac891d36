"""Songs are found in every known layout, and other files are ignored."""

from pathlib import Path

import pytest

from demixing.errors import EvaluationError
from demixing.evaluation.songs import STEMS, Song, choose, detect_track, find_songs

MDX = ["mixture.wav", "bass.wav", "drums.wav", "other.wav", "vocals.wav"]
DNR = ["mix.wav", "speech.wav", "sfx.wav", "music.wav"]


def make(folder: Path, *names: str) -> Path:
    """Write empty files, because finding songs reads no audio."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def file_names(song: Song) -> dict[str, str]:
    return {stem: path.name for stem, path in song.stems.items()}


def test_music_in_the_contest_layout(tmp_path: Path) -> None:
    folder = make(tmp_path / "song", *MDX)

    (song,) = find_songs(tmp_path, "mdx")

    assert song == Song(
        name="song",
        folder=folder,
        stems={stem: folder / f"{stem}.wav" for stem in STEMS["mdx"]},
        mixture=(folder / "mixture.wav",),
    )
    assert tuple(song.stems) == STEMS["mdx"]


def test_musdb_means_its_test_split(tmp_path: Path) -> None:
    make(tmp_path / "train" / "a", *MDX)
    make(tmp_path / "test" / "b", *MDX)

    songs = find_songs(tmp_path, "mdx")

    assert [song.name for song in songs] == ["b"]
    assert songs == find_songs(tmp_path / "test", "mdx")


def test_a_split_may_be_in_any_letter_case(tmp_path: Path) -> None:
    make(tmp_path / "Train" / "a", *MDX)
    make(tmp_path / "Test" / "b", *MDX)

    assert [song.name for song in find_songs(tmp_path, "mdx")] == ["b"]


def test_a_song_called_test_is_a_song(tmp_path: Path) -> None:
    make(tmp_path / "test", *MDX)

    assert [song.name for song in find_songs(tmp_path, "mdx")] == ["test"]


def test_film_sound_in_the_contest_layout(tmp_path: Path) -> None:
    endings = ["mixture_Rt", "mixture_Lt", "music", "effect", "dialog"]
    make(tmp_path / "c_1", *(f"c_1_{ending}.wav" for ending in endings))

    (song,) = find_songs(tmp_path, "cdx")

    assert list(file_names(song).items()) == [
        ("dialog", "c_1_dialog.wav"),
        ("effect", "c_1_effect.wav"),
        ("music", "c_1_music.wav"),
    ]
    assert [path.name for path in song.mixture] == ["c_1_mixture_Lt.wav", "c_1_mixture_Rt.wav"]


@pytest.mark.parametrize("given", [".", "tt"])
def test_divide_and_remaster(tmp_path: Path, given: str) -> None:
    make(tmp_path / "tr" / "1", *DNR)
    make(tmp_path / "tt" / "2", *DNR)

    (song,) = find_songs(tmp_path / given, "cdx")

    assert song.name == "2"
    assert file_names(song) == {
        "dialog": "speech.wav",
        "effect": "sfx.wav",
        "music": "music.wav",
    }
    assert [path.name for path in song.mixture] == ["mix.wav"]


@pytest.mark.parametrize(
    ("track", "name", "stem"),
    [
        ("mdx", "s_bass.wav", "bass"),
        ("cdx", "dialog.wav", "dialog"),
        ("cdx", "s_sfx.wav", "effect"),
    ],
)
def test_files_may_begin_with_the_name_of_their_folder_or_not(
    tmp_path: Path, track: str, name: str, stem: str
) -> None:
    make(tmp_path / "s", name)

    (song,) = find_songs(tmp_path, track)

    assert file_names(song) == {stem: name}


def test_a_clip_may_have_the_name_of_a_stem(tmp_path: Path) -> None:
    make(tmp_path / "music", "music_dialog.wav", "music_music.wav")
    make(tmp_path / "effect", "effect.wav", "music.wav")

    effect, music = find_songs(tmp_path, "cdx")

    assert file_names(effect) == {"effect": "effect.wav", "music": "music.wav"}
    assert file_names(music) == {"dialog": "music_dialog.wav", "music": "music_music.wav"}


def test_the_prefix_of_another_song_does_not_count(tmp_path: Path) -> None:
    make(tmp_path / "a", "a_dialog.wav", "b_music.wav")

    (song,) = find_songs(tmp_path, "cdx")

    assert file_names(song) == {"dialog": "a_dialog.wav"}


def test_flac_and_capital_letters_in_the_suffix_are_known(tmp_path: Path) -> None:
    make(tmp_path / "s", "bass.flac", "drums.WAV", "other.Flac", "vocals.mp3")

    (song,) = find_songs(tmp_path, "mdx")

    assert file_names(song) == {
        "bass": "bass.flac",
        "drums": "drums.WAV",
        "other": "other.Flac",
    }
    assert song.mixture == ()


def test_stray_files_and_folders_are_ignored(tmp_path: Path) -> None:
    make(tmp_path, ".DS_Store", "desktop.ini", "README.md", "bass.wav")
    make(tmp_path / "song", *MDX, "._bass.wav", ".bass.flac", "Thumbs.db", "linear_mixture.wav")
    make(tmp_path / ".hidden", *MDX)
    make(tmp_path / "__MACOSX", "._bass.wav")
    make(tmp_path / "notes", "notes.txt")
    (tmp_path / "empty" / "bass.wav").mkdir(parents=True)

    songs = find_songs(tmp_path, "mdx")

    assert [song.name for song in songs] == ["song"]
    assert len(songs[0].stems) == 4


def test_songs_are_sorted_by_name_whatever_it_contains(tmp_path: Path) -> None:
    names = ["b", "A", "10", "9", "曲", "two\nlines", '100 %, "quoted"']
    for name in names:
        make(tmp_path / name, "bass.wav")

    assert [song.name for song in find_songs(tmp_path, "mdx")] == sorted(names)


@pytest.mark.parametrize(
    ("track", "names"),
    [
        ("mdx", ["bass.wav", "bass.flac"]),
        ("mdx", ["bass.wav", "s_bass.wav"]),
        ("mdx", ["mixture.wav", "mixture.flac"]),
        ("cdx", ["dialog.wav", "speech.wav"]),
    ],
)
def test_two_files_for_one_stem_are_refused(tmp_path: Path, track: str, names: list[str]) -> None:
    make(tmp_path / "s", *names)

    with pytest.raises(EvaluationError, match=r"expected one file for '.*' of song 's', found"):
        find_songs(tmp_path, track)


@pytest.mark.parametrize(
    "names",
    [["mixture_Lt.wav"], ["mixture_Rt.wav"], ["mix.wav", "mixture_Lt.wav", "mixture_Rt.wav"]],
)
def test_half_a_mixture_and_two_mixtures_are_refused(tmp_path: Path, names: list[str]) -> None:
    make(tmp_path / "s", *names)

    with pytest.raises(EvaluationError, match="expected song 's' to have one mixture"):
        find_songs(tmp_path, "cdx")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"nowhere'.*\(No such file or directory\)"):
        find_songs(tmp_path / "nowhere", "mdx")


def test_a_file_is_not_a_folder_of_songs(tmp_path: Path) -> None:
    make(tmp_path, "songs.zip")

    with pytest.raises(EvaluationError, match=r"songs\.zip'.*\(Not a directory\)"):
        detect_track(tmp_path / "songs.zip")


def test_an_error_about_a_folder_without_songs_says_what_was_expected(tmp_path: Path) -> None:
    expected = "with dialog, effect, music as wav or flac in .*, found none; check the path"
    with pytest.raises(EvaluationError, match=expected):
        find_songs(tmp_path, "cdx")


def test_an_error_about_the_folder_of_one_song_names_its_parent(tmp_path: Path) -> None:
    make(tmp_path / "song", *MDX)

    with pytest.raises(EvaluationError, match="itself a song, so give the folder above"):
        find_songs(tmp_path / "song", "mdx")


def test_another_split_is_suggested(tmp_path: Path) -> None:
    make(tmp_path / "cv" / "1", *DNR)

    with pytest.raises(EvaluationError, match="'cv' inside it has songs, so give that"):
        find_songs(tmp_path, "cdx")


def test_an_unknown_track_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a track of mdx, cdx, got 'music'"):
        find_songs(tmp_path, "music")


@pytest.mark.parametrize(
    ("names", "track"),
    [(MDX, "mdx"), (["mixture.flac"], "mdx"), (DNR, "cdx"), (["music.wav"], "cdx")],
)
def test_the_track_follows_from_the_names_of_files(
    tmp_path: Path, names: list[str], track: str
) -> None:
    make(tmp_path / "s", *names)

    assert detect_track(tmp_path) == track


def test_songs_of_two_tracks_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "a", *MDX)
    make(tmp_path / "b", *DNR)

    with pytest.raises(EvaluationError, match="found mdx and cdx; choose one"):
        detect_track(tmp_path)


def test_songs_of_no_track_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "a", "piano.wav")

    with pytest.raises(EvaluationError, match="bass/drums/other/vocals or dialog/effect/music"):
        detect_track(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["VOCALS.WAV", "Drums.wav", "bass.Flac", "OTHER.wav", "Mixture.wav"],
        ["Song_Vocals.wav", "SONG_drums.wav", "song_bass.wav", "Song_Other.wav", "MIXTURE.wav"],
    ],
)
def test_letter_case_does_not_matter(tmp_path: Path, names: list[str]) -> None:
    make(tmp_path / "Song", *names)

    (song,) = find_songs(tmp_path, "mdx")

    assert list(song.stems) == [*STEMS["mdx"]]
    assert len(song.mixture) == 1


def test_a_prefix_may_be_in_another_form_of_unicode(tmp_path: Path) -> None:
    names = [f"Beyonc\u00e9_{name}" for name in MDX]
    make(tmp_path / "Beyonce\u0301", *names)

    (song,) = find_songs(tmp_path, "mdx")

    assert list(song.stems) == [*STEMS["mdx"]]


def test_two_names_that_differ_in_case_are_the_same_stem(tmp_path: Path) -> None:
    make(tmp_path / "a", *MDX, "Bass.wav")

    with pytest.raises(EvaluationError, match="one file for 'bass'"):
        find_songs(tmp_path, "mdx")


def test_languages_have_test_splits_of_their_own(tmp_path: Path) -> None:
    version_3 = ["mixture.flac", "speech.flac", "sfx.flac", "music.flac"]
    for language in ("deu", "eng"):
        for split in ("train", "val", "test"):
            make(tmp_path / "dnr-v3" / language / split / "0001", *version_3)

    songs = find_songs(tmp_path / "dnr-v3", "cdx")

    assert [song.name for song in songs] == ["deu_0001", "eng_0001"]
    assert [song.folder.parent.name for song in songs] == ["test", "test"]
    assert all(len(song.stems) == 3 and len(song.mixture) == 1 for song in songs)
    assert detect_track(tmp_path) == "cdx"


def test_one_test_split_is_found_below_other_folders(tmp_path: Path) -> None:
    """As in the kit's public_dataset, where other splits are not searched."""
    make(tmp_path / "MUSDB18-7-WAV" / "train" / "a", *MDX)
    make(tmp_path / "MUSDB18-7-WAV" / "test" / "b", *MDX)

    assert [song.name for song in find_songs(tmp_path, "mdx")] == ["b"]


def test_the_output_of_an_evaluation_is_not_searched(tmp_path: Path) -> None:
    for folder in ("dataset", "predictions"):
        make(tmp_path / folder / "a", *MDX)

    with pytest.raises(EvaluationError, match="inside it has songs"):
        find_songs(tmp_path, "mdx")


def test_files_with_several_streams_are_songs(tmp_path: Path) -> None:
    make(tmp_path / "test", "A - B.stem.mp4", "notes.mp4")

    (song,) = find_songs(tmp_path, "mdx")

    assert song.name == "A - B"
    assert song.stems["drums"] == tmp_path / "test" / "A - B.stem.mp4" / "drums"
    assert [path.name for path in song.mixture] == ["mixture"]
    assert detect_track(tmp_path) == "mdx"


def test_a_folder_per_stem_is_explained(tmp_path: Path) -> None:
    for stem in STEMS["mdx"]:
        make(tmp_path / stem.upper(), "song 1.wav", "song 2.wav")

    with pytest.raises(EvaluationError, match="it has a folder per stem"):
        find_songs(tmp_path, "mdx")


def test_songs_are_chosen_in_either_form_of_unicode(tmp_path: Path) -> None:
    make(tmp_path / "Beyonce\u0301", *MDX)
    songs = find_songs(tmp_path, "mdx")

    assert choose(songs, ["Beyonc\u00e9"]) == songs
