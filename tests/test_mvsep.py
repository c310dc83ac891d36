"""``mvsep``: names, checks and the archive for MVSep's quality checker."""

import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.cli import mvsep, mvsep_archive, mvsep_names
from demixing.cli.jobs import How
from demixing.cli.main import main
from demixing.errors import ConfigError, OutputError
from demixing.recipes import reading

WriteSong = Callable[..., Path]


@pytest.fixture
def mixtures(write_song: WriteSong, tmp_path: Path) -> Path:
    for at in range(2):
        write_song(f"set/song_{at:03d}_mixture.wav", samples=2000 + at)
    return tmp_path / "set"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "upload.zip"


def pack(mixtures: Path, archive: Path, *words: str) -> int:
    return main(["mvsep", str(mixtures), "-o", str(archive), "--unchecked", "-q", *words])


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        return sorted(file.namelist())


def refused(capsys: pytest.CaptureFixture[str], mixtures: Path, archive: Path, *words: str) -> str:
    """The sentence of a command that fails."""
    assert main(["mvsep", str(mixtures), "-o", str(archive), *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


SILENCE = ("--recipe", "mdx_silence")


def test_songs_are_separated_named_and_packed(
    mixtures: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(mixtures, archive, "--recipe", "mdx_equal_shares") == 0

    assert capsys.readouterr().out == f"{archive}\n"
    stems = ("bass", "drums", "instrum", "other", "vocals")
    assert names(archive) == [f"song_{at:03d}_{stem}.flac" for at in range(2) for stem in stems]
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "unpacked")
    for at in range(2):
        song = soundfile.read(mixtures / f"song_{at:03d}_mixture.wav")[0]
        for stem, share in (("bass", 0.25), ("instrum", 0.75)):
            audio, rate_hz = soundfile.read(tmp_path / "unpacked" / f"song_{at:03d}_{stem}.flac")
            assert rate_hz == 44_100
            np.testing.assert_allclose(audio, share * song, atol=2**-14)


@pytest.mark.parametrize(
    ("dataset", "recipe", "stems"),
    [
        ("synth", "mdx_silence", ["instrum", "vocals"]),
        ("dnr3", "cdx_silence", ["music", "sfx", "speech"]),
    ],
)
def test_each_data_set_has_its_names(
    dataset: str, recipe: str, stems: list[str], mixtures: Path, archive: Path
) -> None:
    assert pack(mixtures, archive, "--dataset", dataset, "--recipe", recipe) == 0

    assert names(archive) == [f"song_{at:03d}_{stem}.flac" for at in range(2) for stem in stems]


def test_an_interrupted_run_continues_and_equal_stems_make_an_equal_archive(
    mixtures: Path, archive: Path
) -> None:
    assert pack(mixtures, archive, *SILENCE) == 0
    first = archive.read_bytes()
    archive.unlink()
    kept = archive.with_suffix("") / "song_000_mixture" / "bass.flac"
    written = kept.stat().st_mtime_ns
    kept.with_name("vocals.flac").unlink()  # this song is separated again

    assert pack(mixtures, archive, *SILENCE) == 0

    assert archive.read_bytes() == first
    other = archive.with_suffix("") / "song_001_mixture" / "bass.flac"
    assert kept.stat().st_mtime_ns > written > 0
    assert other.stat().st_mtime_ns < kept.stat().st_mtime_ns


def test_a_run_that_was_killed_at_its_very_beginning_is_repeated(
    mixtures: Path, archive: Path
) -> None:
    (archive.with_suffix("") / ".unfinished-x").mkdir(parents=True)

    assert pack(mixtures, archive, *SILENCE) == 0

    assert not list(archive.parent.rglob(".unfinished-*"))


def test_stems_of_two_recipes_are_not_mixed(
    mixtures: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(mixtures, archive, *SILENCE) == 0
    archive.unlink()
    capsys.readouterr()
    words = ("--unchecked", "--recipe", "mdx_equal_shares", "--stems", "vocals")
    assert "use --overwrite" in refused(capsys, mixtures, archive, *words)

    assert pack(mixtures, archive, *words[1:], "--overwrite") == 0

    assert names(archive) == ["song_000_vocals.flac", "song_001_vocals.flac"]


@pytest.mark.parametrize("key", ["checkpoint", "config"])
def test_stems_of_other_weights_of_the_same_name_are_not_packed(tmp_path: Path, key: str) -> None:
    file, folder = tmp_path / "my.ckpt", tmp_path / "upload"
    file.write_bytes(b"first")
    recipe = reading.load("mdx_silence")
    members = [replace(one, options={key: str(file)}) for one in recipe.members]
    how = How(recipe=replace(recipe, members=tuple(members)), bits="16", bitrate=None, best=False)
    mvsep.begin(folder, how, replace=False)
    stem = folder / "song" / "vocals.flac"
    stem.parent.mkdir()
    stem.touch()
    mvsep.begin(folder, how, replace=False)  # an interrupted run continues
    assert stem.exists()
    file.write_bytes(b"other")
    os.utime(file, ns=(1, 1))

    with pytest.raises(OutputError, match="its weights as they are now"):
        mvsep.begin(folder, how, replace=False)

    mvsep.begin(folder, how, replace=True)
    assert not stem.exists()


def test_a_folder_of_the_user_is_never_touched(
    mixtures: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = archive.with_suffix("")
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")

    words = ("--unchecked", "--overwrite", *SILENCE)
    assert "choose another -o" in refused(capsys, mixtures, archive, *words)

    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "pattern",
    ["{}/vocals.wav", "{}_mixture/vocals.flac", "{}_vocals.flac", "{}_mixture_vocals.wav"],
)
def test_stems_of_any_program_are_packed(
    pattern: str, mixtures: Path, archive: Path, write_song: WriteSong
) -> None:
    for at in range(2):
        write_song(f"stems/{pattern.format(f'song_{at:03d}')}", samples=2000 + at)

    assert pack(mixtures, archive, "--estimates", str(mixtures.parent / "stems")) == 0

    end = pattern[-4:].lstrip(".")
    assert names(archive) == [f"song_{at:03d}_vocals.{end}" for at in range(2)]


def test_a_folder_of_an_unpacked_archive_may_contain_one_folder(
    mixtures: Path, archive: Path
) -> None:
    (mixtures.parent / "outer").mkdir()
    mixtures.rename(mixtures.parent / "outer" / "inner")

    assert pack(mixtures.parent / "outer", archive, *SILENCE, "--stems", "vocals") == 0

    assert len(names(archive)) == 2


def test_names_can_be_changed(mixtures: Path, archive: Path) -> None:
    words = ("--stems", "instrumental", "--rename", "instrumental=no_vocals")
    assert pack(mixtures, archive, *SILENCE, *words, "--format", "wav") == 0

    assert names(archive) == ["song_000_no_vocals.wav", "song_001_no_vocals.wav"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected 100 mixtures, got 2; complete the download, or use --unchecked"),
        (("--unchecked", "--stems", "piano"), "expected --stems of bass, drums"),
        (("--unchecked", "--stems", "vocals,vocals"), "expected each stem once"),
        (("--unchecked", "--rename", "other"), "expected --rename STEM=NAME"),
        (("--unchecked", "--rename", "other=a/b"), "expected --rename STEM=NAME"),
        (("--unchecked", *SILENCE, "--rename", "other=bass"), "would have one name"),
        (("--unchecked", "--dataset", "dnr3", *SILENCE), "and the data set 'dnr3' has dialog"),
        (("--unchecked", "--jobs", "0"), "expected --jobs to be at least 1"),
        (("--unchecked", "--bits", "32f"), "FLAC only stores integers"),
        (("--unchecked", "--estimates", "x", *SILENCE), "--estimates packs existing stems"),
        (("--unchecked", "--estimates", "missing"), "expected stems such as song_000/bass.wav"),
    ],
)
def test_wrong_options_are_refused_before_the_work(
    words: tuple[str, ...],
    said: str,
    mixtures: Path,
    archive: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said in refused(capsys, mixtures, archive, *words)

    assert not archive.exists()
    assert not archive.with_suffix("").exists()


def test_wrong_songs_are_refused_before_the_work(
    mixtures: Path, archive: Path, write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "unpack the data set" in refused(capsys, mixtures / "missing", archive)
    (mixtures / "song_000_mixture.flac").write_bytes(b"")
    assert "the same names" in refused(capsys, mixtures, archive)
    (mixtures / "song_000_mixture.flac").rename(mixtures / "song_002_mixture.flac")
    assert "download the data set again" in refused(capsys, mixtures, archive, "--unchecked")
    (mixtures / "song_002_mixture.flac").unlink()
    write_song("set/another.wav")
    assert "expected names such as song_000_mixture.wav" in refused(capsys, mixtures, archive)
    for path in mixtures.iterdir():
        path.unlink()
    assert "expected wav or flac files" in refused(capsys, mixtures, archive)


def test_an_archive_is_not_replaced_unless_asked(
    mixtures: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write_text("old")

    assert "already exists" in refused(capsys, mixtures, archive, "--unchecked")
    assert "to end with .zip" in refused(capsys, mixtures, archive.with_suffix(".rar"))
    assert "create it" in refused(capsys, mixtures, archive.parent / "missing" / "a.zip")

    assert archive.read_text() == "old"


@pytest.mark.parametrize(
    "changes", [{"samples": 1999}, {"sample_rate_hz": 48_000}, {"channels": 1}]
)
def test_a_stem_of_another_format_is_found_before_packing(
    changes: dict[str, int],
    mixtures: Path,
    archive: Path,
    write_song: WriteSong,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for at in range(2):
        write_song(f"stems/song_{at:03d}/vocals.wav", samples=2000 + at)
    write_song("stems/song_000/vocals.wav", **{"samples": 2000, **changes})
    words = ("--unchecked", "--estimates", str(mixtures.parent / "stems"))

    assert "the quality checker would reject it" in refused(capsys, mixtures, archive, *words)

    assert not archive.exists()


def test_an_incomplete_or_ambiguous_song_is_an_error(write_song: WriteSong, tmp_path: Path) -> None:
    songs = [tmp_path / f"song_{at:03d}_mixture.wav" for at in range(2)]
    suffixes = {"vocals": "vocals", "bass": "bass"}
    write_song("stems/song_000/vocals.wav")
    write_song("stems/song_001/bass.wav")
    with pytest.raises(OutputError, match="2 missing, the first 'bass' of 'song_000"):
        mvsep_names.existing(tmp_path / "stems", songs, suffixes)

    write_song("stems/song_000_vocals.flac")
    with pytest.raises(OutputError, match="expected one file for 'vocals'"):
        mvsep_names.existing(tmp_path / "stems", songs, suffixes)


def test_a_full_disk_leaves_no_archive(
    mixtures: Path, archive: Path, write_song: WriteSong, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = next(mixtures.iterdir())
    files = {song: {"vocals": write_song("vocals.wav")}}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OutputError, match="No space left on device"):
        mvsep_archive.pack(archive, files, {"vocals": "vocals"})

    assert not archive.exists()


def test_a_failed_song_fails_the_command(
    mixtures: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(mixtures / "song_001_mixture.wav", np.full((2000, 2), np.nan), 44_100, "FLOAT")

    assert "song_001_mixture" in refused(capsys, mixtures, archive, "--unchecked", *SILENCE)

    assert not archive.exists()
    assert (archive.with_suffix("") / "song_000_mixture" / "bass.flac").exists()


def test_the_names_here_cover_the_tracks() -> None:
    with pytest.raises(ConfigError):
        mvsep.chosen(mvsep_names.DATASETS["synth"].suffixes, ["bass"])
    assert mvsep_names.DATASETS["multisong"].songs == 100
