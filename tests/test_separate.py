"""``separate`` for many songs: folders, names of files, several at a time, again after a crash."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing import atomic
from demixing.audio.files import whole_files
from demixing.cli import jobs, say, songs, targets
from demixing.cli.main import main
from demixing.cli.songs import Song
from demixing.errors import ConfigError, OutputError
from demixing.recipes import reading
from tests.waiting import ROOT, until

pytestmark = pytest.mark.process

WriteSong = Callable[..., Path]
STEMS = ("bass", "drums", "other", "vocals")
RECIPE = ("--recipe", "mdx_equal_shares")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def separate(out: Path, *words: object, recipe: Sequence[str] = RECIPE) -> int:
    return main(["separate", "-o", str(out), *recipe, *map(str, words)])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def stems_of(*names: str) -> set[str]:
    return {f"{name}/{stem}.wav" for name in names for stem in STEMS}


# Peaks


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_stems_above_full_scale_are_rescaled_instead_of_clipped(
    kind: str, tmp_path: Path, out: Path
) -> None:
    loud = np.random.default_rng(3).uniform(-6, 6, (50_000, 2)).astype(np.float32)
    loud[:, 1] /= 100
    soundfile.write(tmp_path / "loud.wav", loud, 44_100, "FLOAT")

    assert separate(out, tmp_path / "loud.wav", "--rescale", "--format", kind, "--bits", "16") == 0

    stem, _ = soundfile.read(out / "loud" / f"bass.{kind}")
    expected = loud / 4 / (1.01 * np.abs(loud / 4).max())
    np.testing.assert_allclose(stem, expected, rtol=0, atol=1 / 32768)


def test_quiet_stems_are_not_rescaled(write_song: WriteSong, out: Path) -> None:
    song = write_song(subtype="FLOAT")

    assert separate(out, song, "--rescale") == 0

    for stem in STEMS:
        given, _ = soundfile.read(song)
        np.testing.assert_array_equal(soundfile.read(out / song.stem / f"{stem}.wav")[0], given / 4)


# Stems


def test_only_the_asked_stems_are_written_in_order(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song(subtype="FLOAT")

    assert separate(out, song, "--stems", "vocals, instrumental,residual") == 0

    listed = capsys.readouterr().out.splitlines()
    assert [Path(line).stem for line in listed] == ["vocals", "instrumental", "residual"]
    assert files(out) == {Path(line).relative_to(out).as_posix() for line in listed}
    audio = soundfile.read(song)[0]
    np.testing.assert_allclose(soundfile.read(listed[0])[0], audio / 4, atol=1e-7)
    np.testing.assert_allclose(soundfile.read(listed[1])[0], 3 * audio / 4, atol=1e-7)


def test_a_wrong_stem_is_one_sentence(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert separate(out, write_song(), "--stems", "vocal") == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no stem 'vocal'; did you mean 'vocals'?" in said


# Folders


def test_a_folder_is_searched_for_audio(write_song: WriteSong, tmp_path: Path, out: Path) -> None:
    for name in ("top.wav", "album/one.flac", "album/cd 2/two.mp3", "album/odd.unknown"):
        write_song(f"in/{name.replace('unknown', 'wav')}")
    (tmp_path / "in/album/odd.wav").rename(tmp_path / "in/album/odd.unknown")
    for name in (".hidden.wav", "._top.wav", "album/.git/x.wav", "__MACOSX/top.wav"):
        write_song(f"in/{name}")
    (tmp_path / "in/cover.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "in/notes").write_text("no music")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")

    assert separate(out, tmp_path / "in") == 0

    assert files(out) == stems_of("top", "album/one", "album/cd 2/two", "album/odd")


def test_the_output_may_be_inside_the_input(
    write_song: WriteSong, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_song("in/a.wav")
    out = tmp_path / "in" / "stems"

    assert separate(out, tmp_path / "in") == 0
    assert separate(out, tmp_path / "in", "--overwrite") == 0  # stems are no songs

    assert files(out) == stems_of("a")
    assert separate(tmp_path / "in", tmp_path / "in") == 2
    assert "is both an input and --output" in capsys.readouterr().err


def test_a_folder_without_audio_fails_alone(
    write_song: WriteSong, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()

    assert separate(out, tmp_path / "empty", write_song()) == 2

    assert "empty: expected audio files in this folder, but found none" in capsys.readouterr().err
    assert files(out) == stems_of("song")


def test_a_folder_that_cannot_be_listed_and_a_link_to_nothing_fail_alone(
    write_song: WriteSong,
    tmp_path: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_song("in/a.wav")
    locked = tmp_path / "in" / "locked"
    locked.mkdir()
    write_song("in/lost+found/a.wav")  # of a disk, not of its user
    (tmp_path / "in" / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere.txt")
    list_folder = os.scandir

    def denied(folder: str | Path | int) -> object:
        if str(folder) == str(locked):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return list_folder(folder)

    monkeypatch.setattr(os, "scandir", denied)

    assert separate(out, tmp_path / "in") == 2

    said = capsys.readouterr().err
    assert "locked: cannot list this folder: Permission denied" in said
    assert f"{tmp_path}/in/gone.wav" in said
    assert "gone.txt" not in said
    assert files(out) == stems_of("a")

    assert separate(out, locked, "--overwrite") == 2
    assert "locked: cannot list this folder: Permission denied" in capsys.readouterr().err


def test_a_damaged_song_in_a_folder_fails_alone(
    write_song: WriteSong, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_song("in/good.wav")
    (tmp_path / "in/bad.mp3").write_text("no music")

    assert separate(out, tmp_path / "in", "--json") == 2

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["song"]).name for line in lines] == ["bad.mp3", "good.wav"]
    assert [bool(line["error"]) for line in lines] == [True, False]


# Names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/x.wav", "b/y.wav"], ["x", "y"]),
        (["a/x.wav", "b/x.wav", "y.wav"], ["a/x", "b/x", "y"]),
        (["c/a/x.wav", "d/a/x.wav"], ["c/a/x", "d/a/x"]),
        (["ru.mp3", "ru.ogg"], ["ru.mp3", "ru.ogg"]),
        (["a/ru.mp3", "a/ru.ogg", "b/ru.mp3"], ["a/ru.mp3", "a/ru.ogg", "b/ru.mp3"]),
        (["a/X.wav", "b/x.wav"], ["a/X", "b/x"]),
        (["a/caf\u00e9.wav", "b/cafe\u0301.wav"], ["a/caf\u00e9", "b/cafe\u0301"]),
    ],
)
def test_default_names_never_collide(names: list[str], expected: list[str]) -> None:
    listed = [Song(Path("/music", name)) for name in names]

    folders = targets.default_folders(listed)

    assert [str(folder) for folder in folders.values()] == expected


def test_folders_of_a_folder_are_kept_and_two_folders_do_not_mix() -> None:
    inside = [Song(Path("/m/in/album/x.wav"), Path("/m/in")), Song(Path("x.wav"))]
    two = [Song(Path("/m", top, "cd/x.wav"), Path("/m", top)) for top in "ab"]

    assert [*map(str, targets.default_folders(inside).values())] == ["album/x", "x"]
    assert [*map(str, targets.default_folders(two).values())] == ["a/cd/x", "b/cd/x"]


def test_a_song_that_is_named_twice_is_separated_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").touch()
    words = [tmp_path / "in", tmp_path / "in/a.wav", tmp_path / "in/../in/a.wav"]

    assert len(songs.found(words, tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{name}_{stem}.{ext}", "two {x}_bass.wav"),
        ("{stem}/{parent}-{name}.{ext}", "bass/al{bum}-two {x}.wav"),
        ("{{x}}/{stem}.{ext}", "{x}/bass.wav"),
    ],
)
def test_a_template_names_the_files(
    write_song: WriteSong, out: Path, template: str, expected: str
) -> None:
    song = write_song("al{bum}/two {x}.wav")

    assert separate(out, song, "--output-template", template) == 0

    assert expected in files(out)
    assert len(files(out)) == 4


def test_the_parent_of_a_song_in_a_folder_begins_with_that_folder(
    write_song: WriteSong, tmp_path: Path, out: Path
) -> None:
    write_song("in/cd/a.wav")

    words = (tmp_path / "in", "--output-template", "{parent}/{name}.{ext}", "--stems", "bass")
    assert separate(out, *words) == 0

    assert files(out) == {"in/cd/a.wav"}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{nam}/{stem}.{ext}", "its fields are parent, name, stem, ext"),
        ("{name!r}/{stem}.{ext}", "its fields are"),
        ("{name[0]}/{stem}.{ext}", "its fields are"),
        ("{name/{stem}.{ext}", "expected --output-template like"),
        ("{name}.{ext}", "without {stem}, all stems would be one file"),
        ("{name}/{stem}.wav", "it must end with .{ext}"),
        ("/{name}/{stem}.{ext}", "it must stay inside of --output"),
        ("../{name}/{stem}.{ext}", "it must stay inside of --output"),
    ],
)
def test_a_wrong_template_is_one_sentence(template: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        targets.check_template(template, STEMS)

    assert message in str(caught.value)


def test_a_template_that_collides_is_refused(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [write_song("a/x.wav"), write_song("b/x.wav")]

    assert separate(out, *listed, "--output-template", "{name}_{stem}.{ext}") == 2

    assert "would both be written to" in capsys.readouterr().err
    assert not out.exists()


def test_paths_may_end_with_a_null_byte(
    write_song: WriteSong, out: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert separate(out, write_song("two\nlines.wav"), "-0", "--stems", "bass") == 0

    assert capsysbinary.readouterr().out == os.fsencode(out / "two\nlines" / "bass.wav") + b"\0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "mp3", "--bits", "16"], "--bits is for wav and flac; mp3 has --bitrate"),
        (["--bitrate", "192"], "--bitrate is for mp3, m4a, opus; wav has --bits"),
        (["--format", "mp3", "--bitrate", "500"], "from 32 to 320 kbit/s for mp3, got 500"),
        (["--jobs", "0"], "--jobs to be at least 1"),
        (["--resume", "--overwrite"], "choose one"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(
    write_song: WriteSong,
    out: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert separate(out, write_song(), *words) == 2

    assert message in capsys.readouterr().err
    assert not out.exists()


# Another process


def test_a_stem_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    paths = [tmp_path / "song" / f"{stem}.wav" for stem in STEMS]

    def write() -> None:
        with whole_files(paths, replace=False) as staged:
            for path in staged:
                path.write_text("ours")
            paths[2].write_text("theirs")

    with pytest.raises(OutputError, match=r"other.wav already exists; use --overwrite"):
        write()
    assert files(tmp_path) == {"song/other.wav"}
    assert paths[2].read_text() == "theirs"


def test_two_runs_with_one_target_do_not_lose_stems(tmp_path: Path) -> None:
    paths = [tmp_path / "song" / f"{stem}.wav" for stem in STEMS]
    barrier, failed = threading.Barrier(4), []

    def run(name: str) -> None:
        try:
            with whole_files(paths, replace=False) as staged:
                for path in staged:
                    path.write_text(name)
                barrier.wait()
        except OutputError:
            failed.append(name)

    threads = [threading.Thread(target=run, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # They may hinder each other, but never mix, and who succeeds has all stems.
    assert len(failed) >= 3
    if len(failed) == 3:
        assert len({path.read_text() for path in paths}) == 1
        assert paths[0].read_text() not in failed


def test_files_are_moved_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("new")
    (tmp_path / "there").write_text("old")

    atomic.publish({tmp_path / "a": tmp_path / "c"}, replace=False)
    with pytest.raises(FileExistsError):
        atomic.publish({tmp_path / "b": tmp_path / "there"}, replace=False)

    assert files(tmp_path) == {"b", "c", "there"}
    assert (tmp_path / "there").read_text() == "old"


def test_what_a_killed_run_left_is_removed_but_nothing_of_a_run_at_work(
    write_song: WriteSong, out: Path
) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from demixing import atomic\n"
        "with atomic.staging(pathlib.Path(sys.argv[1])) as stage:\n"
        "    print(stage, flush=True)\n"
        "    time.sleep(100)\n"
    )
    (out / "song").mkdir(parents=True)
    words = [sys.executable, "-c", program, str(out / "song")]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as working,
    ):
        assert killed.stdout
        assert working.stdout
        left, at_work = (Path(one.readline().strip()) for one in (killed.stdout, working.stdout))
        try:
            killed.kill()
            killed.wait()
            assert left.is_dir()

            assert separate(out, write_song()) == 0

            assert not left.exists()
            assert at_work.is_dir()
        finally:
            working.kill()


# Several at a time, and again


def test_songs_are_separated_several_at_a_time(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [write_song(f"{name}.wav", samples=5_000, subtype="FLOAT") for name in "abc"]
    bad = write_song("bad.wav", audio=np.full((10, 2), np.nan), subtype="FLOAT")

    assert separate(out, *listed, bad, "--jobs", "2", "--json") == 2

    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert {Path(line["song"]).stem for line in lines if not line["error"]} == {*"abc"}
    assert f"error: {bad}: expected samples" in said.err
    assert files(out) == stems_of(*"abc")
    for song in listed:
        expected = soundfile.read(song)[0] / 4
        np.testing.assert_array_equal(soundfile.read(out / song.stem / "bass.wav")[0], expected)


def test_a_recipe_that_cannot_be_used_is_said_once(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [write_song(f"{name}.wav") for name in "ab"]

    assert separate(out, *listed, "--jobs", "2", recipe=["--recipe", "mdx_net_b"]) == 2

    assert capsys.readouterr().err.count("error:") == 1
    assert not out.exists()


def test_a_worker_that_dies_is_one_sentence(
    write_song: WriteSong, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = reading.load("mdx_equal_shares")
    how = jobs.How(recipe=shares, bits="16", bitrate=None, best=False)
    listed = [jobs.Job(song=write_song(), paths={"bass": out / "bass.wav"}, replace=False)] * 2
    monkeypatch.setattr(jobs, "_begin", os.abort)

    with pytest.raises(OutputError, match=r"a worker died.*fewer --jobs"):
        list(jobs.together(listed, how, 2, device=None, quiet=True))


def test_resuming_skips_complete_songs_and_completes_others(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [write_song(f"{name}.wav") for name in "abc"]
    assert separate(out, *listed[:2]) == 0
    (out / "a" / "bass.wav").write_text("kept")
    (out / "b" / "bass.wav").unlink()
    capsys.readouterr()

    assert separate(out, *listed, "--resume") == 0

    said = capsys.readouterr()
    assert {Path(line).parent.name for line in said.out.splitlines()} == {"b", "c"}
    assert said.err == "note: 1 of 3 songs are separated already\n"
    assert (out / "a" / "bass.wav").read_text() == "kept"
    assert files(out) == stems_of(*"abc")
    assert separate(out, *listed, "--resume") == 0
    assert separate(out, *listed) == 2


def test_a_killed_run_can_be_resumed(write_song: WriteSong, tmp_path: Path, out: Path) -> None:
    """Killed while two songs are written: nothing incomplete, no process left, no leftovers."""
    for number in range(4):
        write_song(f"in/{number}.wav", samples=3_000_000, sample_rate_hz=8_000)
    words = ["separate", str(tmp_path / "in"), "-o", str(out), *RECIPE, "--jobs", "2", "--resume"]
    program = [sys.executable, "-m", "demixing", *words]

    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        until(lambda: len([*out.glob("*/.unfinished-*/bass.wav")]) > 0, 60)
        process.send_signal(signal.SIGKILL)
    time.sleep(0.5)

    complete = [path for path in out.glob("*/*.wav") if ".unfinished" not in str(path)]
    assert all(soundfile.info(path).frames == 3_000_000 for path in complete)
    assert main(words) == 0
    assert files(out) == stems_of(*"0123")


def test_an_empty_output_folder_is_refused(
    write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["separate", "-o", "", *RECIPE, str(write_song())])

    assert "expected a folder, got an empty word" in capsys.readouterr().err


def test_names_are_escaped_in_a_terminal_only(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("a\x1b[31m\nb.wav")

    say(path)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    say(path)
    say(path, end=b"\0")

    plain, escaped = os.fsencode(path), rb"a\x1b[31m\nb.wav"
    assert capfdbinary.readouterr().out == plain + b"\n" + escaped + b"\n" + plain + b"\0"
