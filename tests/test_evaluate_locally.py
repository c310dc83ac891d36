"""The main job: separate as the grader does, score as the board does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

import evaluate_locally
from my_submission.aicrowd_wrapper import AIcrowdWrapper
from my_submission.errors import ConfigError

ROOT = Path(__file__).parents[1]
MDX = ("bass", "drums", "other", "vocals")
CDX = ("dialog", "effect", "music")
SHARES = ("--recipe", "mdx_equal_shares")

WriteSong = Callable[..., Path]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def music(write_song: WriteSong, data: Path) -> Path:
    """Two songs of stems, with files that nobody asked for."""
    for song in "ab":
        for stem in MDX:
            write_song(f"data/{song}/{stem}.wav")
        (data / song / ".DS_Store").write_text("stray")
        (data / song / "lyrics.txt").write_text("stray")
    (data / "README.md").write_text("stray")
    (data / "artwork").mkdir()
    return data


@pytest.fixture
def separated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Separate in this process, which has torch already; note which songs were."""
    done: list[str] = []

    def separate(
        lengths_s: Mapping[str, float], environment: Mapping[str, str], jobs: int
    ) -> dict[str, float]:
        del jobs
        with pytest.MonkeyPatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, value)
            wrapper = AIcrowdWrapper()
            for name in lengths_s:
                wrapper.separate_music_file(name)
                done.append(name)
        return dict.fromkeys(lengths_s, 0.1)

    monkeypatch.setattr(evaluate_locally, "separate", separate)
    return done


def evaluate(out: Path, *words: str | Path) -> int:
    return evaluate_locally.main(["--output", str(out), *map(str, words)])


def start(out: Path, *words: str | Path) -> subprocess.Popen[str]:
    """Run the script in a session of its own, so that its group can be interrupted."""
    return subprocess.Popen(
        [sys.executable, "evaluate_locally.py", "--output", str(out), *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # threads that wait for each other are slow
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def stems_of(songs: Iterable[str]) -> set[str]:
    return {f"{song}/{stem}.wav" for song in songs for stem in MDX}


def scores(out: Path, track: str = "mdx") -> dict[str, float]:
    report = json.loads((out / track / "scores.json").read_text())
    return {song["name"]: song["mean_db"] for song in report["songs"]}


# The default run


def test_without_arguments_both_tracks_run_on_real_samples(out: Path) -> None:
    process = start(out)
    table, said = process.communicate(timeout=120)

    assert process.returncode == 0
    assert "\r" not in said
    assert "%|" not in said  # a progress bar is for terminals
    rows = [line.split() for line in table.splitlines() if line.startswith("MEAN")]
    mdx, cdx = ([float(number) for number in row[1:]] for row in rows)
    assert (len(mdx), len(cdx)) == (5, 4)
    assert mdx[4] == pytest.approx(5.24, abs=0.05)  # time decides how many passes
    assert mdx[0] >= 3.5
    assert cdx[0] >= 6.5
    assert table.count("within the limit of 1.57 x") == 2
    assert len(scores(out)) == 1
    assert len(scores(out, "cdx")) == 3


# Data sets


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("split", ["", "test/"])
@pytest.mark.parametrize("mixture", ["mixture", None])
def test_songs_of_any_music_set_are_separated_and_scored(
    write_song: WriteSong,
    data: Path,
    out: Path,
    separated: list[str],
    capsys: pytest.CaptureFixture[str],
    kind: str,
    split: str,
    mixture: str | None,
) -> None:
    audio = np.random.default_rng(0).integers(-3000, 3000, (4, 500, 2)) / 2**15
    for stem, sound in zip(MDX, audio, strict=True):
        write_song(f"data/{split}song/{stem}.{kind}", audio=sound)
    if mixture:
        write_song(f"data/{split}song/{mixture}.{kind}", audio=audio.sum(axis=0))
    (data / ".DS_Store").write_text("stray")

    assert evaluate(out, "--data", data, *SHARES) == 0

    assert separated == ["song"]
    assert files(out / "mdx" / "predictions") == stems_of(["song"])
    distortion = audio - audio.sum(axis=0) / 4
    powers = (np.square(audio).sum(axis=(1, 2)), np.square(distortion).sum(axis=(1, 2)))
    assert scores(out)["song"] == pytest.approx(
        np.mean(10 * np.log10(powers[0] / powers[1])), abs=0.01
    )
    assert f"MDX, recipe 'mdx_equal_shares', {data}" in capsys.readouterr().out


@pytest.mark.parametrize("layout", ["CDX'23", "DnR", "stems"])
def test_clips_of_any_film_set_are_separated_and_scored(
    write_song: WriteSong, data: Path, out: Path, separated: list[str], layout: str
) -> None:
    if layout == "CDX'23":
        for name in ("mixture_Lt", "mixture_Rt", *CDX):
            write_song(f"data/7/7_{name}.wav", channels=1 if "mixture" in name else 2)
    elif layout == "DnR":
        for name in ("mix", "speech", "sfx", "music"):
            write_song(f"data/tt/7/{name}.wav", channels=1)
    else:
        for name in CDX:
            write_song(f"data/7/{name}.flac")

    assert evaluate(out, "--data", data, "--recipe", "cdx_equal_shares") == 0

    assert separated == ["7"]
    assert files(out / "cdx" / "predictions") == {f"7/7_{stem}.wav" for stem in CDX}
    assert soundfile.info(out / "cdx" / "predictions" / "7" / "7_music.wav").channels == 2
    assert scores(out, "cdx").keys() == {"7"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["mdx_silence", "cdx_default"]),
        (["--track", "mdx"], ["mdx_silence"]),
        (["--recipe", "mdx_equal_shares"], ["mdx_equal_shares"]),
    ],
)
def test_the_recipe_of_the_submission_is_evaluated(
    monkeypatch: pytest.MonkeyPatch, words: list[str], names: list[str]
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", "mdx_silence")

    chosen = evaluate_locally.runs(evaluate_locally.parser().parse_args(words))

    assert [recipe.name for _, recipe in chosen] == names


def test_a_submission_of_the_other_track_is_not_evaluated_as_this(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", "mdx_silence")

    with pytest.raises(ConfigError, match="for the track 'mdx'"):
        evaluate_locally.runs(evaluate_locally.parser().parse_args(["--track", "cdx"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--songs", "c"], "no song named 'c' (have: a, b)"),
        (["--track", "cdx", "--recipe", "mdx_silence"], "is for the track 'mdx', not 'cdx'"),
        (["--jobs", "0"], "expected --jobs to be at least 1, got 0"),
        (["--recipe", "mdx_silense"], "did you mean 'mdx_silence'?"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_changes_nothing(
    music: Path,
    out: Path,
    separated: list[str],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out)
    separated.clear()

    assert evaluate(out, "--data", music, *words) == 2

    assert message in capsys.readouterr().err
    assert not separated
    assert contents(out) == before


def test_the_process_keeps_its_environment(
    music: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)

    assert evaluate(out, "--data", music, "--jobs", "2", *SHARES) == 0

    assert dict(os.environ) == before
    assert "separated 0 s of audio" in capsys.readouterr().out
    assert files(out / "mdx" / "predictions") == stems_of("ab")


# Going on


def test_a_run_that_is_resumed_keeps_what_is_whole(
    music: Path, out: Path, separated: list[str]
) -> None:
    evaluate(out, "--data", music, "--songs", "a", *SHARES)
    evaluate(out, "--data", music, "--resume", *SHARES)
    evaluate(out, "--data", music, "--resume", *SHARES)

    assert separated == ["a", "b"]
    assert scores(out).keys() == {"a", "b"}


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut off", "short"])
def test_a_song_that_is_not_whole_is_separated_again(
    music: Path, out: Path, separated: list[str], damage: str
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = scores(out)
    separated.clear()
    path = out / "mdx" / "predictions" / "b" / "other.wav"
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        audio, rate_hz = soundfile.read(path)
        soundfile.write(path, audio[:-1], rate_hz)
    else:
        path.write_bytes({"empty": b"", "text": b"no music"}.get(damage, path.read_bytes()[:-40]))

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 0

    assert separated == ["b"]
    assert scores(out) == before


def test_another_recipe_is_not_resumed(
    music: Path, out: Path, separated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out)
    separated.clear()

    assert evaluate(out, "--data", music, "--resume", "--recipe", "mdx_silence") == 2

    assert "was made with another recipe, 'mdx_equal_shares'" in capsys.readouterr().err
    assert not separated
    assert contents(out) == before


def test_other_data_are_not_resumed(
    write_song: WriteSong,
    music: Path,
    out: Path,
    tmp_path: Path,
    separated: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out)
    separated.clear()
    for stem in MDX:
        write_song(f"others/a/{stem}.wav")

    assert evaluate(out, "--data", tmp_path / "others", "--resume", *SHARES) == 2

    assert f"was made with other data, '{music}'" in capsys.readouterr().err
    assert not separated
    assert contents(out) == before


def test_other_data_without_resume_replace_songs_of_the_same_name(
    write_song: WriteSong, music: Path, out: Path, tmp_path: Path, separated: list[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    loud = np.full((200, 2), 0.2)
    for stem in MDX:
        write_song(f"others/a/{stem}.wav", audio=loud)

    assert evaluate(out, "--data", tmp_path / "others", *SHARES) == 0

    # Equal stems in equal shares are perfect: neither old references nor old estimates are left.
    assert scores(out)["a"] > 50
    assert soundfile.info(out / "mdx" / "predictions" / "a" / "bass.wav").frames == 200
    assert separated == ["a", "b", "a"]


def test_songs_of_another_run_are_never_taken_for_finished(
    music: Path, out: Path, separated: list[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    evaluate(out, "--data", music, "--songs", "a", "--recipe", "mdx_silence")
    separated.clear()

    assert evaluate(out, "--data", music, "--resume", "--recipe", "mdx_silence") == 0

    assert separated == ["b"]
    assert scores(out) == pytest.approx({"a": 0.0, "b": 0.0})


def test_a_run_of_one_song_leaves_the_others_alone(
    music: Path, out: Path, separated: list[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out / "mdx" / "predictions" / "b")
    separated.clear()

    assert evaluate(out, "--data", music, "--songs", "a", *SHARES) == 0

    assert separated == ["a"]
    assert contents(out / "mdx" / "predictions" / "b") == before


def test_what_a_killed_run_left_is_cleaned_up(music: Path, out: Path, separated: list[str]) -> None:
    evaluate(out, "--data", music, *SHARES)
    for folder in ("predictions/b", "predictions", "dataset"):
        (out / "mdx" / folder / ".unfinished-x").mkdir()
        (out / "mdx" / folder / ".unfinished-x" / "bass.wav").write_text("half")

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 0

    assert not list(out.rglob(".unfinished-*"))
    assert separated == ["a", "b"]


# What is not ours


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.txt", "precious"),
        ("dataset/song.txt", "precious"),
        ("run.json", '{"epochs": 3}'),
        ("run.json", "no JSON"),
        ("run.json", "[]"),
    ],
)
def test_an_output_that_holds_something_else_is_left_alone(
    music: Path,
    out: Path,
    separated: list[str],
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
) -> None:
    (out / "mdx" / name).parent.mkdir(parents=True)
    (out / "mdx" / name).write_text(text)

    assert evaluate(out, "--data", music, *SHARES) == 2

    assert "holds something else; choose another --output" in capsys.readouterr().err
    assert contents(out) == {f"mdx/{name}": text.encode()}
    assert not separated


def test_data_inside_the_output_are_refused(
    music: Path, out: Path, separated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out)

    assert evaluate(out, "--data", out / "mdx" / "dataset", *SHARES) == 2

    assert "lies inside" in capsys.readouterr().err
    assert contents(out) == before
    assert separated == ["a", "b"]


def test_an_output_that_is_a_file_is_one_sentence(
    music: Path, out: Path, separated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out.write_text("mine")

    assert evaluate(out, "--data", music, *SHARES) == 2

    assert "Not a directory" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert not separated


# What goes wrong on the way


def test_a_song_that_cannot_be_separated_is_named(
    write_song: WriteSong, music: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = np.zeros((1000, 2))
    bad[77, 1] = np.nan
    write_song("data/b/mixture.wav", audio=bad, subtype="FLOAT")

    assert evaluate(out, "--data", music, *SHARES) == 2

    said = capfd.readouterr().err
    assert said.startswith("error: song 'b': expected ")
    assert "got nan at sample 77 of channel 1" in said
    assert said.count("\n") == 1
    assert files(out / "mdx" / "predictions") == stems_of("a")


@pytest.fixture
def long_music(data: Path) -> Path:
    """Four songs of four minutes, which take a moment each."""
    (data / "s1").mkdir(parents=True)
    silence = np.zeros(4 * 60 * 8_000, dtype=np.int16)
    soundfile.write(data / "s1" / "bass.wav", silence, 8_000)
    for song in ("s1", "s2", "s3", "s4"):
        (data / song).mkdir(exist_ok=True)
        for stem in ("mixture", *MDX):
            if not (data / song / f"{stem}.wav").exists():
                (data / song / f"{stem}.wav").symlink_to(data / "s1" / "bass.wav")
    return data


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    while process.poll() is None and not list(folder.glob(pattern)):
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "to_group"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["process", "terminal", "terminate"],
)
def test_an_interruption_leaves_whole_songs_and_the_run_can_go_on(
    long_music: Path, out: Path, number: signal.Signals, to_group: bool
) -> None:
    words = ("--data", long_music, "--jobs", "2", *SHARES)
    process = start(out, *words)
    wait_for(process, out, "mdx/predictions/s*/vocals.wav")

    (os.killpg if to_group else os.kill)(process.pid, number)
    table, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert (table, said) == (
        "",
        "stopped; songs that are finished stay: go on with --resume\n",
    )
    found = {path.name for path in (out / "mdx" / "predictions").iterdir()}
    assert 0 < len(found) < 4
    assert files(out / "mdx" / "predictions") == stems_of(found)


def test_an_interruption_before_any_work_is_quiet(long_music: Path, out: Path) -> None:
    process = start(out, "--data", long_music, *SHARES)
    wait_for(process, out, "mdx/run.json")

    time.sleep(0.2)  # the worker starts
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said == "stopped; songs that are finished stay: go on with --resume\n"
    assert not files(out / "mdx" / "predictions")


def children(parent: int) -> set[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in found}


def test_a_worker_that_is_killed_is_one_sentence_and_the_run_can_go_on(
    long_music: Path, out: Path, separated: list[str]
) -> None:
    process = start(out, "--data", long_music, *SHARES)
    wait_for(process, out, "mdx/predictions/s2/.unfinished-*")

    for pid in children(process.pid):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 2
    assert said.startswith("error: a worker died, probably for lack of memory")
    assert said.count("\n") == 1
    assert evaluate(out, "--data", long_music, "--resume", "--songs", "s1", "s2", *SHARES) == 0
    assert separated == ["s2"]
    assert files(out / "mdx" / "predictions") == stems_of(["s1", "s2"])
