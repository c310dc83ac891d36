"""Indexing data sets and reading parts of their songs."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from demixing.errors import ConfigError, SongError
from demixing.training.data import layouts, metadata, songs, wav
from demixing.training.data.checks import analysis

RATE_HZ = 8_000
MDX = ("vocals", "drums", "bass", "other")
CDX = ("dialog", "effect", "music")


def noise(seed: int, samples: int = 2 * RATE_HZ, channels: int = 2) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, channels))


def put(path: Path, audio: NDArray[np.float64] | None = None, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = noise(len(str(path))) if audio is None else audio
    soundfile.write(path, audio, RATE_HZ, subtype=subtype)
    return path


def song(folder: Path, names: tuple[str, ...] = MDX, suffix: str = ".wav") -> None:
    for seed, name in enumerate(names):
        put(folder / f"{name}{suffix}", noise(seed))


def musdb(root: Path) -> None:
    for place in ("train/Artist - One", "train/Two", "test/Three"):
        song(root / place, ("mixture", *MDX))


def mdx23(root: Path) -> None:
    for place in ("clean/a", "moisesdb23_labelnoise_v1.0/b", "moisesdb23_bleeding_v1.0/c"):
        song(root / place)


def dnr_v2(root: Path) -> None:
    for place in ("tr/1", "cv/2", "tt/3"):
        song(root / place, ("mix", "speech", "sfx", "music"))
        (root / place / "annots.csv").write_text("class\n", encoding="utf-8")


def dnr_v3(root: Path) -> None:
    for place in ("eng/train/000001", "eng/val/000002", "deu/test/000003"):
        song(root / place, ("mixture", "speech", "sfx", "music"), ".flac")


def stem_folders(root: Path) -> None:
    song(root / "one", suffix=".flac")
    put(root / "two/drums_1.wav")
    put(root / "two/drums_2.wav")
    put(root / "two/Vocals/lead.wav")
    put(root / "two/Vocals/choir.flac")
    put(root / "two/notes.wav")


def cdx23(root: Path) -> None:
    names = ("mixture_Lt", "mixture_Rt", *CDX)
    song(root / "clip_1", tuple(f"clip_1_{name}" for name in names))


@pytest.mark.parametrize(
    ("make", "layout", "expected"),
    [
        (musdb, "musdb18hq", {"train/Artist - One": "train", "train/Two": "train"}),
        (dnr_v2, "dnr", {"tr/1": "train", "cv/2": "valid", "tt/3": "test"}),
        (dnr_v3, "dnr", {"eng/train/000001": "train", "eng/val/000002": "valid"}),
        (stem_folders, "stems", {"one": "", "two": ""}),
        (cdx23, "stems", {"clip_1": ""}),
        (mdx23, "mdx23", {"clean/a": ""}),
    ],
)
def test_a_layout_is_detected(tmp_path: Path, make, layout, expected) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path)

    found, listed = layouts.find(tmp_path)

    assert found == layout
    assert expected.items() <= {entry.name: entry.split for entry in listed}.items()


def test_stems_of_film_sound_have_the_tracks_names(tmp_path: Path) -> None:
    dnr_v2(tmp_path)

    (_, (first, *_)) = layouts.find(tmp_path)

    assert set(first.stems) == set(CDX)
    assert [path.name for path in (*first.stems["effect"], *first.mixture)] == [
        "sfx.wav",
        "mix.wav",
    ]


def test_mdx23_has_the_corruption_of_a_song(tmp_path: Path) -> None:
    mdx23(tmp_path)

    kinds = {entry.name[-1]: entry.kind for entry in songs.index([tmp_path], MDX)}

    assert kinds == {"a": "", "b": "labelnoise", "c": "bleeding"}


def test_a_split_can_be_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    musdb(tmp_path)
    monkeypatch.chdir(tmp_path / "train")

    layout, listed = layouts.find(Path())

    assert layout == "musdb18hq"
    assert {entry.split for entry in listed} == {"train"}


def test_a_layout_can_be_given(tmp_path: Path) -> None:
    stem_folders(tmp_path)

    with pytest.raises(ConfigError, match="in the layout 'dnr', found none"):
        layouts.find(tmp_path, "dnr")
    with pytest.raises(ConfigError, match="did you mean 'stems'"):
        layouts.find(tmp_path, "stem")


def test_parts_of_a_stem_are_found_and_other_files_are_not_stems(tmp_path: Path) -> None:
    stem_folders(tmp_path)

    two = layouts.find(tmp_path)[1][1]

    assert [path.name for path in two.stems["drums"]] == ["drums_1.wav", "drums_2.wav"]
    assert [path.name for path in two.stems["vocals"]] == ["choir.flac", "lead.wav"]
    assert [path.name for path in two.ignored] == ["notes.wav"]


def test_two_files_for_one_stem_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a/drums.wav")
    put(tmp_path / "a/drums.flac")

    with pytest.raises(ConfigError, match=r"found 'drums\.flac' and 'drums\.wav'.*drums_1"):
        layouts.find(tmp_path)


def test_a_song_in_place_of_its_folder_is_explained(tmp_path: Path) -> None:
    song(tmp_path / "a")

    with pytest.raises(ConfigError, match="it is itself a song"):
        layouts.find(tmp_path / "a")


def test_songs_have_lengths_activity_and_loudness(tmp_path: Path) -> None:
    audio = noise(1, 4 * RATE_HZ + 10)
    audio[RATE_HZ : 2 * RATE_HZ] = 0
    put(tmp_path / "a/vocals.wav", audio)
    put(tmp_path / "a/bass.wav", np.zeros((100, 2)))

    (found,) = songs.index([tmp_path], MDX)

    assert (found.name, found.samples, found.rate_hz) == ("a", 4 * RATE_HZ + 10, RATE_HZ)
    assert found.active == {"vocals": ((0, 1), (2, 5)), "drums": (), "bass": (), "other": ()}
    assert found.loudness_db["vocals"] == pytest.approx(10 * np.log10(1 / 12), abs=0.6)
    assert found.loudness_db["bass"] == -120


def test_one_of_several_splits_must_be_named(tmp_path: Path) -> None:
    musdb(tmp_path)

    with pytest.raises(ConfigError, match="expected one split"):
        songs.index([tmp_path], MDX)
    assert [entry.name for entry in songs.index([tmp_path], MDX, split="test")] == ["test/Three"]


def test_incomplete_songs_are_silent_skipped_or_refused(tmp_path: Path) -> None:
    stem_folders(tmp_path)

    assert len(songs.index([tmp_path], MDX)) == 2
    assert len(songs.index([tmp_path], MDX, incomplete="skip")) == 1
    with pytest.raises(ConfigError, match="'bass' is missing"):
        songs.index([tmp_path], MDX, incomplete="refuse")


def test_nothing_is_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stem_folders(tmp_path)
    first = songs.index([tmp_path], MDX)
    changed = put(tmp_path / "two/drums_1.wav", noise(9, 77))
    decoded_: list[Path] = []
    decode = metadata.decoded

    def noted(path: Path) -> metadata.FileMetadata:
        decoded_.append(path)
        return decode(path)

    monkeypatch.setattr(metadata, "decoded", noted)

    second = songs.index([tmp_path], MDX)

    assert decoded_ == [changed]
    assert first[0] == second[0]


@pytest.mark.parametrize(
    "contents", ["", "{", '{"version": 0, "files": {}}', '{"version":1,"files":{"a":3}}', "[]"]
)
def test_a_damaged_index_is_made_again(tmp_path: Path, contents: str) -> None:
    stem_folders(tmp_path)
    expected = songs.index([tmp_path], MDX)
    (tmp_path / metadata.NAME).write_text(contents, encoding="utf-8")

    assert songs.index([tmp_path], MDX) == expected
    assert (
        json.loads((tmp_path / metadata.NAME).read_text(encoding="utf-8"))["version"]
        == metadata.VERSION
    )


def test_the_index_can_be_in_another_folder(tmp_path: Path) -> None:
    stem_folders(tmp_path / "data")

    songs.index([tmp_path / "data"], MDX, cache=tmp_path / "cache")

    assert not (tmp_path / "data" / metadata.NAME).exists()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_songs_are_found_even_if_no_index_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stem_folders(tmp_path)
    (tmp_path / "taken").write_text("a file", encoding="utf-8")

    assert len(songs.index([tmp_path], MDX, cache=tmp_path / "taken")) == 2
    assert "give a cache folder" in caplog.text


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
def test_wav_is_read_as_soundfile_reads_it(tmp_path: Path, subtype: str, form: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(3, 1000), RATE_HZ, subtype=subtype, format=form)
    expected, _ = soundfile.read(path, dtype="float32", start=100, frames=800)

    assert np.array_equal(wav.part(path, 100, 800), expected)
    assert (wav.header(path).offset_bytes > 0) == (subtype not in ("PCM_U8", "DOUBLE"))


def test_a_chunk_of_odd_length_before_the_data_is_skipped(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", noise(3, 50))
    contents = path.read_bytes()
    odd = b"note" + struct.pack("<I", 3) + b"abc\0"
    path.write_bytes(contents[:36] + odd + contents[36:])

    assert np.array_equal(wav.part(path, 0, 50), soundfile.read(path, dtype="float32")[0])


def test_a_header_with_too_long_data_is_corrected(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", noise(3, 50))
    path.write_bytes(path.read_bytes()[:-40])

    assert wav.header(path).samples == 40
    assert wav.part(path, 30, 50).shape == (10, 2)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
def test_a_rate_of_zero_is_refused(tmp_path: Path, subtype: str) -> None:
    song(tmp_path / "a")
    path = put(tmp_path / "a" / "drums.wav", subtype=subtype)
    contents = path.read_bytes()
    path.write_bytes(contents[:24] + struct.pack("<I", 0) + contents[28:])

    with pytest.raises(SongError, match=r"drums\.wav"):
        wav.header(path)
    with pytest.raises(SongError, match=r"drums\.wav"):
        songs.index([tmp_path], MDX)
    files = analysis.analyse(layouts.find(tmp_path)[1][0]).files
    assert "drums.wav" in files["drums.wav"].error
    assert files["bass.wav"].error == ""


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_any_part_of_a_stem_is_the_sum_of_its_files(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / f"a/drums_1{suffix}", noise(1, 1000))
    put(tmp_path / f"a/drums_2{suffix}", noise(2, 600, channels=1))
    (found,) = songs.index([tmp_path], MDX)

    got = songs.read(found, "drums", 550, 600)

    expected = noise(1, 1000)[550:]
    expected[:50] += noise(2, 600, channels=1)[550:]
    assert got.shape == (2, 600)
    assert got.dtype == torch.float32
    assert np.allclose(got[:, :450].T, expected, atol=2**-14)
    assert not got[:, 450:].any()
    assert not songs.read(found, "drums", 5000, 10).any()
    assert not songs.read(found, "vocals", 0, 10).any()


def test_another_rate_is_refused(tmp_path: Path) -> None:
    song(tmp_path / "a")

    with pytest.raises(SongError, match=r"expected 44100 Hz in .*, found 8000 Hz; resample it"):
        songs.index([tmp_path], MDX, rate_hz=44_100)
    (found,) = songs.index([tmp_path], MDX)
    soundfile.write(tmp_path / "a/drums.wav", noise(1), 16_000)
    os.utime(tmp_path / "a/drums.wav", ns=(1, 1))
    with pytest.raises(SongError, match="found 16000 Hz"):
        songs.read(found, "drums", 0, 10)


def test_a_file_that_shrinks_while_a_run_goes_on_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", noise(3, 500))
    found = wav.header(path)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(SongError, match=r"a\.wav"):
        wav._pcm(path, found, 0, 500)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a/drums.flac").write_bytes(b"fLaC and no more")

    with pytest.raises(SongError, match=r"drums\.flac"):
        songs.index([tmp_path], MDX)


def moisesdb(root: Path) -> None:
    songs = {
        "v0.1/one": ("bass", "drums", "vocals", "guitar", "piano", "other_keys"),
        "v0.1/two": ("vocals", "other"),
    }
    for place, groups in songs.items():
        for seed, group in enumerate(groups):
            put(root / place / group / f"{seed}a.wav", noise(seed))
            put(root / place / group / f"{seed}b.wav", noise(seed + 20))
        (root / place / "data.json").write_text("{}", encoding="utf-8")


def counts(song: layouts.Found) -> dict[str, int]:
    """Number of files by stem."""
    return {stem: len(files) for stem, files in song.stems.items()}


def test_groups_of_moisesdb_become_the_four_stems(tmp_path: Path) -> None:
    moisesdb(tmp_path)

    layout, (one, two) = layouts.find(tmp_path)

    assert layout == "moisesdb"
    assert [one.name, two.name] == ["v0.1/one", "v0.1/two"]
    assert counts(one) == {"bass": 2, "drums": 2, "other": 6, "vocals": 2}
    assert counts(two) == {"other": 2, "vocals": 2}


def test_a_group_of_moisesdb_can_be_a_stem_of_its_own(tmp_path: Path) -> None:
    moisesdb(tmp_path)

    (one, two) = songs.index([tmp_path / "v0.1"], ("guitar", "other"), cache=tmp_path / "cache")

    assert {stem: len(files) for stem, files in one.stems.items()} == {"guitar": 2, "other": 4}
    assert [*two.stems] == ["other"]


@pytest.mark.parametrize("instrument", ["kazoo", "guitar"])
def test_a_folder_of_another_instrument_is_not_left_out_silently(
    tmp_path: Path, instrument: str
) -> None:
    song(tmp_path / "a")
    put(tmp_path / "a" / instrument / "solo.wav")

    layout, (found,) = layouts.find(tmp_path)

    assert layout == "stems"
    assert len(found.stems) == 4
    assert [path.name for path in found.ignored] == [instrument]


def test_files_of_one_name_in_a_folder_per_stem_are_a_song(tmp_path: Path) -> None:
    for stem in MDX:
        for name in ("one", "two"):
            put(tmp_path / "train" / stem.capitalize() / f"{name}.wav")
    put(tmp_path / "train" / "kazoo" / "one.wav")

    layout, (one, two) = layouts.find(tmp_path)

    assert layout == "stem_folders"
    assert [one.name, two.name] == ["train/one", "train/two"]
    assert counts(one) == dict.fromkeys(sorted(MDX), 1)
    assert (one.split, one.loose) == ("train", False)
    assert [path.name for path in one.ignored] == ["kazoo"]


def test_files_of_different_names_in_a_folder_per_stem_are_on_their_own(tmp_path: Path) -> None:
    for stem in MDX:
        for number in (1, 2):
            put(tmp_path / stem / f"{stem}_{number}.wav")

    layout, found = layouts.find(tmp_path)

    assert layout == "stem_folders"
    assert len(found) == 8
    assert all(one.loose and len(one.stems) == 1 for one in found)
    assert found[0].name == "bass/bass_1"
    kept = songs.index([tmp_path], MDX, incomplete="refuse", cache=tmp_path / "cache")
    assert len(kept) == 8


@pytest.mark.parametrize("column", ["instrum", "type"])
def test_a_list_of_files_names_files_anywhere(tmp_path: Path, column: str) -> None:
    first = put(tmp_path / "here/a.wav")
    second = put(tmp_path / "there/a.wav", noise(3))
    table = tmp_path / "lists" / "train.csv"
    table.parent.mkdir()
    rows = [f"{column},path", f"Vocals,{first}", "vocals,../there/a.wav", "kazoo,/none.wav"]
    table.write_text("\n".join(rows), encoding="utf-8-sig")

    for place in (table, table.parent):
        for _ in range(2):  # the second time, from the cache
            found = songs.index([place], MDX)
        assert [one.name for one in found] == ["vocals/a", "vocals/a 2"]
        read = songs.read(found[1], "vocals", 5, 100)
        torch.testing.assert_close(read, songs.read(found[1], "vocals", 0, 105)[:, 5:])
        assert found[1].stems["vocals"][0].resolve() == second
    assert (tmp_path / "lists" / ".train.csv.songs-index.json").is_file()


def test_a_list_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"instrum,path\n\xff\xfe,\n")

    with pytest.raises(ConfigError, match="CSV in UTF-8"):
        layouts.find(tmp_path / "a.csv")


def test_a_table_of_something_else_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("song,path\na,b.wav\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="found none"):
        layouts.find(tmp_path)


@pytest.mark.parametrize(("split", "stem"), [("TRAIN", "VOCALS"), ("Train", "Vocals")])
def test_letter_case_does_not_matter(tmp_path: Path, split: str, stem: str) -> None:
    song(tmp_path / split / "A", ("Mixture", stem, "DRUMS", "Bass", "other"), ".WAV")

    layout, (found,) = layouts.find(tmp_path)

    assert layout == "musdb18hq"
    assert found.split == "train"
    assert counts(found) == dict.fromkeys(MDX, 1)
    assert len(found.mixture) == 1


def test_names_may_be_in_either_form_of_unicode(tmp_path: Path) -> None:
    song(tmp_path / "Beyonce\u0301", tuple(f"Beyonc\u00e9_{stem}" for stem in MDX))

    _, (found,) = layouts.find(tmp_path)

    assert counts(found) == dict.fromkeys(sorted(MDX), 1)
