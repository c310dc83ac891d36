"""The command line: songs in, stems out, one sentence for each error."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing import separators
from demixing.cli.main import main
from demixing.engine import progress_bar
from demixing.engine.progress import Progress, Report
from demixing.recipes import reading
from tests.waiting import begun, until

STEMS = ("bass", "drums", "other", "vocals")
RATES_HZ = (8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000)
ODD_NAMES = [
    "絆 🎵.wav",
    "no\N{NO-BREAK SPACE}break.wav",
    "100 % s %d {} $HOME.wav",
    "two\nlines.wav",
    "a.b.c.wav",
    "-o.wav",
    ".hidden.wav",
    ".wav",
    "..wav",
    "...wav",
    "quote'\".wav",
    "x" * 251 + ".wav",
    os.fsdecode(b"caf\xe9.wav"),
]

WriteSong = Callable[..., Path]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def separate(
    out: Path, *songs: Path, recipe: str = "mdx_equal_shares", options: Sequence[str] = ()
) -> int:
    words = ["separate", "-o", str(out), "--recipe", recipe, *options, "--", *map(str, songs)]
    return main(words)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def assert_shares_of(song: Path, folder: Path, kind: str = "wav", step: float = 1e-6) -> None:
    """The output of ``mdx_equal_shares``: as long as the song, at its rate, with its channels."""
    expected, rate_hz = soundfile.read(os.fsencode(song), always_2d=True)
    for stem in STEMS:
        found, found_hz = soundfile.read(os.fsencode(folder / f"{stem}.{kind}"), always_2d=True)
        assert (found.shape, found_hz) == (expected.shape, rate_hz)
        np.testing.assert_allclose(found, expected / 4, rtol=1e-6, atol=step)


# Every real input


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_stems_have_the_rate_and_channels_of_the_song(
    write_song: WriteSong, out: Path, rate_hz: int, channels: int
) -> None:
    song = write_song(samples=4999, channels=channels, sample_rate_hz=rate_hz, subtype="FLOAT")

    assert separate(out, song) == 0

    assert_shares_of(song, out / "song")


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate_hz", [22_050, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_kind_of_file_is_separated(
    write_song: WriteSong, out: Path, kind: str, rate_hz: int, channels: int
) -> None:
    song = write_song(f"song.{kind}", samples=30_011, channels=channels, sample_rate_hz=rate_hz)

    assert separate(out, song) == 0

    assert_shares_of(song, out / "song")


@pytest.mark.parametrize("samples", [1, 2, 65_535, 65_536, 65_537, 100_003])
def test_stems_are_as_long_as_the_song(write_song: WriteSong, out: Path, samples: int) -> None:
    song = write_song(samples=samples, subtype="FLOAT")

    assert separate(out, song) == 0

    assert_shares_of(song, out / "song")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lengths"), [("mdx_default", [1]), ("cdx_default", [2])])
def test_real_recipes_separate_songs_of_one_or_two_samples(
    write_song: WriteSong, out: Path, name: str, lengths: list[int]
) -> None:
    songs = [
        write_song(f"{samples}.wav", samples=samples, channels=1, sample_rate_hz=48_000)
        for samples in lengths
    ]

    assert separate(out, *songs, recipe=name) == 0

    for song in songs:
        files = [out / song.stem / f"{stem}.wav" for stem in reading.load(name).track.stems]
        stems = np.stack([soundfile.read(file)[0] for file in files])
        assert stems.shape[1:] == soundfile.read(song)[0].shape
        assert np.isfinite(stems).all()


SIGNALS = {
    "silence": np.zeros((5000, 2)),
    "DC": np.full((5000, 2), 0.5),
    "one side silent": np.stack([np.sin(np.arange(5000)), np.zeros(5000)], axis=1),
    "L = -R": np.sin(np.arange(5000))[:, None] * [1, -1],
    "full-scale square": np.sign(np.sin(np.arange(5000) / 20))[:, None] * [1, 1],
    "above full scale": 50 * np.sin(np.arange(5000))[:, None] * [1, 1],
    "denormals": np.full((5000, 2), 1e-40),
}


@pytest.mark.parametrize("signal_", SIGNALS.values(), ids=SIGNALS.keys())
def test_any_signal_is_separated(
    write_song: WriteSong, out: Path, signal_: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> None:
    song = write_song(audio=signal_, subtype="FLOAT")

    assert separate(out, song) == 0

    assert_shares_of(song, out / "song")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_song_that_is_not_finite_fails_alone(
    write_song: WriteSong, out: Path, bad: float, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = np.zeros((300_000, 2))
    audio[280_000:, 1] = bad
    damaged = write_song("damaged.wav", audio=audio, subtype="FLOAT")
    good = write_song("good.wav")

    status = separate(out, damaged, good)

    assert status == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {damaged}: expected ")
    assert f"got {bad} at sample 280000 of channel 1" in said
    assert said.count("\n") == 1
    assert everything(out) == {"good", *(f"good/{stem}.wav" for stem in STEMS)}


def test_each_bad_song_gets_one_sentence_and_the_good_one_is_separated(
    write_song: WriteSong, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no music")
    (tmp_path / "folder.wav").mkdir()
    write_song("nothing.wav", samples=0)
    write_song("slow.wav", sample_rate_hz=7_999)
    write_song("many.wav", channels=65)
    good = write_song("good.wav")
    bad = ["empty", "text", "folder", "nothing", "slow", "many", "missing"]

    status = separate(out, *(tmp_path / f"{name}.wav" for name in bad), good)

    assert status == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{tmp_path}/{name}.wav" for name in bad]
    assert all(": expected" in line for line in lines)
    assert {path.name for path in out.iterdir()} == {"good"}


def test_a_truncated_song_is_separated_as_far_as_it_goes(
    write_song: WriteSong, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    song = write_song("song.mp3", samples=100_000)
    song.write_bytes(song.read_bytes()[:-8_000])

    assert separate(out, song) == 0

    frames = soundfile.info(out / "song" / "bass.wav").frames
    assert 70_000 < frames < 100_000
    assert f"its header promises 100000 samples, but only {frames} could be read" in caplog.text


# Outputs


@pytest.mark.parametrize(
    ("options", "kind", "subtype"),
    [
        ([], "wav", "FLOAT"),
        (["--bits", "16"], "wav", "PCM_16"),
        (["--bits", "24"], "wav", "PCM_24"),
        (["--format", "flac"], "flac", "PCM_24"),
        (["--format", "flac", "--bits", "16"], "flac", "PCM_16"),
    ],
)
def test_stems_have_the_requested_format(
    write_song: WriteSong, out: Path, options: list[str], kind: str, subtype: str
) -> None:
    song = write_song(subtype="FLOAT")

    assert separate(out, song, options=options) == 0

    assert soundfile.info(out / "song" / f"bass.{kind}").subtype == subtype
    assert_shares_of(song, out / "song", kind, step=2**-15 if "16" in subtype else 2**-23)


@pytest.mark.parametrize(("options", "count"), [(["--bits", "16"], 4), (["--bits", "32f"], 0)])
def test_clipping_is_reported_where_it_happens(
    write_song: WriteSong,
    out: Path,
    caplog: pytest.LogCaptureFixture,
    options: list[str],
    count: int,
) -> None:
    song = write_song(audio=np.full((10, 2), 8.0), subtype="FLOAT")

    assert separate(out, song, options=options) == 0

    reports = [text for text in caplog.messages if "20 samples are above full scale" in text]
    assert len(reports) == count


def test_paths_of_stems_go_to_stdout(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    separate(out, write_song("a.wav"), write_song("b.wav"))

    said = capsys.readouterr()
    assert said.out.splitlines() == [f"{out}/{song}/{stem}.wav" for song in "ab" for stem in STEMS]
    assert said.err == ""


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_song_may_have_any_name(
    write_song: WriteSong,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    name: str,
) -> None:
    (tmp_path / "plain.wav").write_bytes(write_song("plain.wav").read_bytes())
    (tmp_path / "plain.wav").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    assert separate(Path("out"), Path(name)) == 0

    folder = name if name in {"..wav", "...wav"} else Path(name).stem
    assert_shares_of(tmp_path / name, tmp_path / "out" / folder)
    assert {path.name for path in tmp_path.iterdir()} == {name, "out"}
    expected = b"".join(os.fsencode(f"out/{folder}/{stem}.wav\n") for stem in STEMS)
    assert capsysbinary.readouterr() == (expected, b"")


def test_an_error_about_any_name_is_one_line(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert separate(out, tmp_path / "two\nlines.wav") == 2

    assert capsys.readouterr().err.count("\n") == 1


def test_existing_stems_are_kept_without_overwrite(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song()
    (out / "song").mkdir(parents=True)
    (out / "song" / "other.wav").write_text("precious")

    assert separate(out, song) == 2
    assert "other.wav already exists; use --overwrite" in capsys.readouterr().err
    assert everything(out) == {"song", "song/other.wav"}
    assert (out / "song" / "other.wav").read_text() == "precious"

    assert separate(out, song, options=["--overwrite"]) == 0
    assert_shares_of(song, out / "song")


def test_a_failure_with_overwrite_keeps_the_old_stems(write_song: WriteSong, out: Path) -> None:
    song = write_song(audio=np.full((10, 2), np.nan), subtype="FLOAT")
    (out / "song").mkdir(parents=True)
    (out / "song" / "other.wav").write_text("precious")

    assert separate(out, song, options=["--overwrite"]) == 2

    assert (out / "song" / "other.wav").read_text() == "precious"
    assert everything(out) == {"song", "song/other.wav"}


@pytest.mark.parametrize("through_link", [False, True])
def test_a_song_is_never_overwritten(
    write_song: WriteSong, tmp_path: Path, through_link: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = write_song("song/vocals.wav")
    song = write_song("song.wav")
    before = inner.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    out = tmp_path / "link" if through_link else tmp_path

    assert separate(out, song, inner, options=["--overwrite"]) == 2

    assert "is both an input and an output; choose another --output" in capsys.readouterr().err
    assert inner.read_bytes() == before


def test_two_songs_of_one_name_get_folders_of_their_own(write_song: WriteSong, out: Path) -> None:
    songs = [write_song("a/song.wav"), write_song("b/song.flac")]

    assert separate(out, *songs) == 0

    for song in songs:
        assert_shares_of(song, out / song.parent.name / "song", step=2**-23)


def test_an_output_that_is_a_file_is_one_sentence(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out.write_text("precious")

    assert separate(out, write_song()) == 2

    assert capsys.readouterr().err.endswith("out/song: Not a directory\n")
    assert out.read_text() == "precious"


def test_a_full_disk_leaves_no_files(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song(samples=20_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))

    try:
        status = separate(out, song)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert status == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {song}: cannot write stems to {out / 'song'}: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not out.exists()


# The command line itself


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "mdx_silense"], "did you mean 'mdx_silence'?"),
        (["--format", "flac", "--bits", "32f"], "FLAC only stores integers"),
        (["--track", "cdx", "--recipe", "mdx_silence"], "is for the track 'mdx', not 'cdx'"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    write_song: WriteSong,
    out: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["separate", str(write_song()), "-o", str(out), *options]) == 2

    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_recipe_determines_the_track(write_song: WriteSong, out: Path) -> None:
    assert separate(out, write_song(), recipe="cdx_equal_shares") == 0

    assert {path.name for path in (out / "song").iterdir()} == {
        "dialog.wav",
        "effect.wav",
        "music.wav",
    }


def test_the_plan_lists_costs_and_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMIX_COSTS", str(tmp_path / "costs.json"))

    assert main(["plan", "--recipe", "cdx_equal_shares", "--seconds", "60"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "member",
        "s",
        "per",
        "s",
        "of",
        "audio",
        "memory",
        "in",
        "MB",
        "batch",
    ]
    assert lines[1].startswith("equal_shares")
    assert "equal_shares  (the limit of cdx)" in lines[-1]
    assert (tmp_path / "costs.json").is_file()


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--seconds", "nan"], ["--recipe", "no"]])
def test_a_plan_with_bad_options_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words]) == 2

    assert capsys.readouterr().err.count("\n") == 1


def test_list_prints_a_table_of_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0

    head, *lines, _, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["recipe", "track", "stems", "SDR", "state"]
    assert [line.split()[0] for line in lines] == reading.names()
    starts = {head.index(word) for word in head.split()}
    assert all(line[start - 1] == " " for line in lines for start in starts - {0})
    default = next(line for line in lines if line.startswith("mdx_default"))
    assert "ready; better after `demixing fetch recommended`" in default
    assert next(line for line in lines if line.startswith("mdx_net_b")).endswith(
        "`demixing fetch demucs_v2_extra mdx_net_b`"
    )
    assert note.startswith("SDR: ")


def test_list_prints_separators(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--separators"]) == 0

    records = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in records] == separators.names()
    assert all(summary.strip() for _, summary in records)


@pytest.mark.process
@pytest.mark.parametrize("words", [["--help"], ["separate", "--help"], ["list", "--separators"]])
def test_commands_that_separate_nothing_import_no_libraries(words: list[str]) -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from demixing.cli.main import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit as stopped:\n"
        "    assert stopped.code == 0\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(loaded - {'demixing', 'my_submission'} - sys.stdlib_module_names)\n"
    )

    with begun([sys.executable, "-c", program, *words]) as process:
        said, complained = process.communicate()

    assert complained == ""
    assert said.splitlines()[-1] == "set()"


@pytest.mark.process
def test_sigterm_leaves_no_part_of_a_song(write_song: WriteSong, tmp_path: Path, out: Path) -> None:
    """The command as users run it, except that it stops after the first block and waits."""
    song = write_song()
    program = f"""
import contextlib, pathlib, runpy, sys, time
from demixing.engine import progress_bar

@contextlib.contextmanager
def bar(*_):
    yield wait

def wait(_):
    pathlib.Path({str(tmp_path / "there")!r}).touch()
    time.sleep(10**6)

progress_bar.bar = bar
runpy.run_module("my_submission", run_name="__main__", alter_sys=True)
"""
    words = ["separate", str(song), "-o", str(out), "--recipe", "mdx_silence"]
    with begun([sys.executable, "-c", program, *words]) as process:
        until(lambda: (tmp_path / "there").exists() or process.poll() is not None, 600)
        assert list(out.glob("song/.unfinished-*/vocals.wav"))

        process.terminate()
        said, complained = process.communicate()

    assert (process.returncode, said) == (130, "")
    assert complained == "stopped; finished songs are kept\n"
    assert not out.exists()


def test_an_interruption_leaves_no_part_of_a_song(
    write_song: WriteSong,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupted: list[Path] = []

    @contextlib.contextmanager
    def bar(*_: object) -> Iterator[Report]:
        yield interrupt

    def interrupt(_: Progress) -> None:  # as soon as the other thread has begun to write
        if parts := list(out.glob("song/.unfinished-*/vocals.wav")):
            interrupted.extend(parts)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(progress_bar, "bar", bar)

    song = write_song(samples=60 * 44_100)
    assert separate(out, song, recipe="mdx_silence") == 130

    assert len(interrupted) == 1
    assert capsys.readouterr() == ("", "stopped; finished songs are kept\n")
    assert not out.exists()


@pytest.mark.process
def test_memory_does_not_grow_with_the_song(tmp_path: Path, out: Path) -> None:
    program = (
        "import resource, sys\n"
        "from demixing.cli.main import main\n"
        "for song in sys.argv[1:3]:\n"
        "    assert main(['separate', song, *sys.argv[3:]]) == 0\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
    )
    minute = np.random.default_rng(0).integers(-9000, 9000, (60 * 8_000, 2), dtype=np.int16)
    songs = [tmp_path / f"{minutes}.wav" for minutes in (1, 6)]
    for minutes, song in zip((1, 6), songs, strict=True):
        soundfile.write(song, np.tile(minute, (minutes, 1)), 8_000)
    words = [*map(str, songs), "-o", str(out), "--recipe", "mdx_equal_shares"]

    with begun([sys.executable, "-c", program, *words]) as process:
        said, complained = process.communicate()

    assert process.returncode == 0, complained
    peaks_bytes = [int(line) for line in said.splitlines() if line.isdecimal()]
    # Held as floats, the song and its stems would be 5 * 60 * 8000 * 2 * 4 * 5 = 96 MB more.
    assert peaks_bytes[1] - peaks_bytes[0] < 50e6
