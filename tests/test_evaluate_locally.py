"""The main job: separate like the grader, score like the leaderboard."""

import argparse
import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

import evaluate_locally
import samples
from demixing import atomic
from demixing.cli import evaluate as cli
from demixing.cli import evaluate_track
from demixing.cli.main import parser
from demixing.engine.omissions import EVERY_MEMBER, Omission
from demixing.engine.progress import SEPARATING, Progress
from demixing.errors import ConfigError
from demixing.evaluation import run as books
from demixing.evaluation.songs import choose, find_songs
from demixing.machine import threads
from demixing.process import pool
from demixing.recipes import reading
from demixing.schedule import costs
from demixing.weights.catalogue import entries
from my_submission import workers as side_by_side
from my_submission.aicrowd_wrapper import AIcrowdWrapper
from tests.waiting import until

ROOT = Path(__file__).parents[1]
MDX = ("bass", "drums", "other", "vocals")
CDX = ("dialog", "effect", "music")
SHARES = ("--recipe", "mdx_equal_shares")
HALF = Omission(member="spleeter", part=0.5, reason="out of time")
BOUND_S = 60
"""A process that runs longer than this hangs."""

WriteSong = Callable[..., Path]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def music(write_song: WriteSong, data: Path) -> Path:
    """Two songs of stems, and files that are not songs."""
    for song in "ab":
        for stem in MDX:
            write_song(f"data/{song}/{stem}.wav")
        (data / song / ".DS_Store").write_text("stray")
        (data / song / "lyrics.txt").write_text("stray")
    (data / "README.md").write_text("stray")
    (data / "artwork").mkdir()
    return data


@pytest.fixture
def four_songs(write_song: WriteSong, data: Path) -> Path:
    """With mixtures, because a mixture that we write contains the time."""
    for song in ("s1", "s2", "s3", "s4"):
        for stem in ("mixture", *MDX):
            write_song(f"data/{song}/{stem}.wav")
    return data


class Separated(list[str]):
    """Names of the songs that were separated.

    Attributes:
        omissions: the members that each song lacks.
        environment: variables of the last run's workers.
    """

    omissions: dict[str, tuple[Omission, ...]]
    environment: Mapping[str, str]


@pytest.fixture
def separated(monkeypatch: pytest.MonkeyPatch) -> Separated:
    """Separate in this process, which has torch already; record which songs were."""
    done = Separated()
    done.omissions = {}

    def separate(
        lengths_s: Mapping[str, float],
        environment: Mapping[str, str],
        jobs: int,
        finish: side_by_side.Finish,
        **_: object,
    ) -> dict[str, float]:
        del jobs
        done.environment = environment
        with pytest.MonkeyPatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, value)
            wrapper = AIcrowdWrapper()
            for name in lengths_s:
                wrapper.separate_music_file(name)
                done.append(name)
                finish(name, done.omissions.get(name, ()))
        return dict.fromkeys(lengths_s, 0.1)

    monkeypatch.setattr(side_by_side, "separate", separate)
    return done


def parsed(words: list[str]) -> argparse.Namespace:
    return parser(["evaluate"]).parse_args(["evaluate", *words])


def evaluate(out: Path, *words: str | Path) -> int:
    return evaluate_locally.main(["--output", str(out), *map(str, words)])


@contextlib.contextmanager
def started(
    out: Path,
    *words: str | Path,
    hold: str | None = None,
    isolate: str = "0",
    background: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """Run the script in a session of its own, so that its group can be interrupted.

    Args:
        out: folder for the results; also identifies its processes.
        words: additional arguments.
        hold: songs that are never finished.
        isolate: whether another process separates.
        background: start it like a shell's background job.
    """
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] if background else []
    script = ["evaluate_locally.py"] if hold is None else ["-m", "tests.held_evaluation"]
    process = subprocess.Popen(
        [*shell, sys.executable, *script, "--output", str(out), *map(str, words)],
        cwd=ROOT,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",  # threads that wait for each other are slow
            "DEMIX_ISOLATE": isolate,
            "HELD": hold or "",
            "TEST_OUTPUT": str(out),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in processes(out):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def processes(out: Path, word: bytes = b"") -> list[int]:
    """Ids of a run's processes whose commands contain a word."""
    token = f"TEST_OUTPUT={out}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if token in (folder / "environ").read_bytes().split(b"\0"):
                found += [int(folder.name)] * (word in (folder / "cmdline").read_bytes())
    return found


def workers(out: Path) -> list[int]:
    return processes(out, b"spawn_main")


def noted(out: Path) -> set[str]:
    """Songs that a run lists as finished."""
    return set(json.loads((out / "mdx" / "run.json").read_text())["omissions"])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the history, which has the times of all runs."""
    return {name: (folder / name).read_bytes() for name in files(folder) if name != "history.jsonl"}


def stems_of(songs: Iterable[str]) -> set[str]:
    return {f"{song}/{stem}.wav" for song in songs for stem in MDX}


def report_of(out: Path, track: str = "mdx") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / track / "scores.json").read_text())
    return report


def table_of(out: Path) -> list[dict[str, str]]:
    with (out / "mdx" / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scores(out: Path, track: str = "mdx") -> dict[str, float]:
    return {song["name"]: song["mean_db"] for song in report_of(out, track)["songs"]}


# The default run


@pytest.fixture
def short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of each film sample, in which all stems are active; the music sample is short."""
    whole = samples.folder

    def folder(track: str, cache: Path) -> Path:
        if track == "mdx":
            return whole(track, cache)
        for song in find_songs(whole(track, cache), track):
            (cache / song.name).mkdir(parents=True)
            for stem, path in song.stems.items():
                rate_hz = soundfile.info(path).samplerate
                audio, _ = soundfile.read(path, frames=2 * rate_hz, start=5 * rate_hz)
                soundfile.write(cache / song.name / f"{stem}.wav", audio, rate_hz)
        return cache

    monkeypatch.setattr(samples, "folder", folder)


@pytest.mark.slow
@pytest.mark.usefixtures("short_clips")
def test_without_arguments_both_tracks_run_on_real_samples(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    separated: Separated,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Without a time limit costs decide nothing, and measuring them takes as long as separating.
    monkeypatch.setattr(costs, "measure", lambda *_, **__: costs.Cost(chunk_s=1.0))

    assert evaluate(out) == 0

    table, said = capfd.readouterr()
    assert "\r" not in said
    assert "%|" not in said  # a progress bar is for terminals
    rows = [line.split() for line in table.splitlines() if line.startswith("MEAN ")]
    mdx, cdx = ([float(number) for number in row[1:]] for row in rows)
    assert (len(mdx), len(cdx)) == (5, 4)
    # The load of the machine makes no difference.
    assert mdx[0] == pytest.approx(3.658, abs=0.005)  # as in README.md
    assert cdx[0] == pytest.approx(6.486, abs=0.005)
    assert "without part of the recipe" not in table
    assert table.count("(the contest allows 1.57 x, which was not enforced here)\n") == 2
    assert "WARNING" not in said
    assert said.count("\n") == said.count("note: ")
    assert len(scores(out)) == 1
    assert len(scores(out, "cdx")) == 3
    assert len(separated) == 4


# Data sets


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("split", ["", "test/"])
@pytest.mark.parametrize("mixture", ["mixture", None])
def test_songs_of_any_music_set_are_separated_and_scored(
    write_song: WriteSong,
    data: Path,
    out: Path,
    separated: Separated,
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
    write_song: WriteSong, data: Path, out: Path, separated: Separated, layout: str
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

    chosen = cli.runs(parsed(words))

    assert [recipe.name for _, recipe in chosen] == names


def test_a_submission_of_the_other_track_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", "mdx_silence")

    with pytest.raises(ConfigError, match="for the track 'mdx'"):
        cli.runs(parsed(["--track", "cdx"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--songs", "c"], "no song named 'c' (available: a, b)"),
        (["--track", "cdx", "--recipe", "mdx_silence"], "is for the track 'mdx', not 'cdx'"),
        (["--jobs", "0"], "expected --jobs to be at least 1, got 0"),
        (["--recipe", "mdx_silense"], "did you mean 'mdx_silence'?"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_changes_nothing(
    music: Path,
    out: Path,
    separated: Separated,
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


@pytest.mark.process
def test_workers_separate_and_the_process_keeps_its_environment(
    music: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)

    assert evaluate(out, "--data", music, *SHARES) == 0

    assert dict(os.environ) == before
    assert "separated 0 s of audio" in capsys.readouterr().out
    assert files(out / "mdx" / "predictions") == stems_of("ab")
    assert noted(out) == {"a", "b"}


@pytest.mark.process
def test_workers_leave_the_report_of_clipping_to_the_evaluation(
    write_song: WriteSong, music: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_song("data/a/mixture.wav", audio=np.full((1000, 2), 8.0), subtype="FLOAT")

    assert evaluate(out, "--data", music, "--songs", "a", *SHARES) == 0

    said = capfd.readouterr().err
    assert said.startswith("note: a: its 16-bit files are clipped, unlike the true stems: bass (")
    assert said.count("\n") == 1


# Time


@pytest.mark.parametrize(
    ("words", "given", "limit"),
    [([], None, "none"), ([], "0.5", "none"), (["--limit"], None, "1.57"), (["--limit"], "2", "2")],
)
def test_a_song_has_a_limit_only_with_the_option(
    monkeypatch: pytest.MonkeyPatch,
    music: Path,
    out: Path,
    separated: Separated,
    words: list[str],
    given: str | None,
    limit: str,
) -> None:
    if given:
        monkeypatch.setenv("DEMIX_TIME_LIMIT", given)

    assert evaluate(out, "--data", music, *words, *SHARES) == 0

    assert separated.environment["DEMIX_TIME_LIMIT"] == limit
    assert separated == ["a", "b"]


def test_songs_with_and_without_a_limit_are_not_mixed(
    music: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)

    assert evaluate(out, "--data", music, "--resume", "--limit", *SHARES) == 2

    assert "was made with another time limit, 'none'" in capsys.readouterr().err
    assert separated == ["a", "b"]


@pytest.mark.parametrize(("jobs", "share"), [("1", None), ("2", "4"), ("3", "3"), ("20", "1")])
def test_workers_share_the_threads(
    monkeypatch: pytest.MonkeyPatch,
    music: Path,
    out: Path,
    separated: Separated,
    jobs: str,
    share: str | None,
) -> None:
    monkeypatch.setattr(threads, "chosen", lambda: 9)

    evaluate(out, "--data", music, "--jobs", jobs, *SHARES)

    for name in ("DEMIX_THREADS", "OMP_NUM_THREADS"):
        assert separated.environment.get(name) == share


@pytest.mark.parametrize(
    ("b_s", "pace", "slowest"),
    [(10.0, "4.0 x faster", "0.50"), (115.0, "2.0 x slower", "2.30")],
)
@pytest.mark.parametrize(
    ("limit", "rule"),
    [
        ("none", "the contest allows 1.57 x, which was not enforced here"),
        ("2", "the limit of 2 x was enforced"),
    ],
)
def test_the_line_about_time_says_whether_there_was_a_limit(
    b_s: float, pace: str, slowest: str, limit: str, rule: str
) -> None:
    lengths_s = {"a": 10.0, "b": 50.0} if b_s > 100 else {"a": 40.0, "b": 20.0}

    said = evaluate_track.speed({"a": 5.0, "b": b_s}, lengths_s, limit, 1.57)

    assert said == (
        f"separated 60 s of audio {pace} than real time; "
        f"the slowest song took {slowest} x its length\n({rule})"
    )


def test_a_run_without_any_work_has_no_speed() -> None:
    assert evaluate_track.speed({}, {}, "none", 1.57) == "all songs were separated earlier"


# Omissions


def test_a_worker_reports_the_time_and_the_omissions_of_a_song(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = [0.0, 0.0]
    model = SimpleNamespace(omissions=(), report=None)

    def separate_music_file(name: str) -> None:
        model.report(Progress(stage=SEPARATING, done=0.5))
        model.omissions = (Omission(member=name, part=1.0, reason="it failed"),)

    ready = SimpleNamespace(model=model, separate_music_file=separate_music_file)
    monkeypatch.setattr(side_by_side, "wrapper", lambda: ready)
    monkeypatch.setattr(pool, "interruptible", contextlib.nullcontext)

    monkeypatch.setattr(side_by_side, "progress_parts", parts)

    spent_s, omissions = side_by_side.work("a", 1)

    assert spent_s >= 0
    assert parts == [0.0, 0.5]
    assert omissions == (Omission(member="a", part=1.0, reason="it failed"),)


def test_omissions_are_shown_everywhere(
    music: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = Omission(member=EVERY_MEMBER, part=0.25, reason="it failed")
    separated.omissions["b"] = (HALF, shares)

    evaluate(out, "--data", music, *SHARES)

    said = (
        "50 % of the song without spleeter (out of time); "
        "25 % of the song in equal shares of the mixture (it failed)"
    )
    a, b, *rest = capsys.readouterr().out.splitlines()[3:]
    assert "!" not in a
    assert b.split()[1].endswith("!")
    assert f"! b: {said}" in rest
    assert "1 of 2 songs was separated without part of the recipe" in rest
    assert [row["omissions"] for row in table_of(out)] == ["", said, "", "", ""]
    assert [song["omissions"] for song in report_of(out)["songs"]] == [
        [],
        [
            {"member": "spleeter", "part": 0.5, "reason": "out of time"},
            {"member": "", "part": 0.25, "reason": "it failed"},
        ],
    ]


def test_omissions_of_songs_that_were_separated_earlier_are_kept(
    music: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    separated.omissions["a"] = separated.omissions["b"] = (HALF,)
    evaluate(out, "--data", music, *SHARES)
    evaluate(out, "--data", music, "--songs", "b", *SHARES)
    before = contents(out)
    capsys.readouterr()

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 0

    assert separated == ["a", "b", "b"]
    table = capsys.readouterr().out
    assert "2 of 2 songs were separated without part of the recipe\n" in table
    assert contents(out).items() >= {"mdx/run.json": before["mdx/run.json"]}.items()


def test_a_song_that_is_separated_again_has_new_omissions(
    music: Path, out: Path, separated: Separated
) -> None:
    separated.omissions["a"] = separated.omissions["b"] = (HALF,)
    evaluate(out, "--data", music, *SHARES)
    (out / "mdx" / "predictions" / "a" / "bass.wav").unlink()
    separated.omissions["a"] = ()

    evaluate(out, "--data", music, "--resume", *SHARES)

    assert [len(song["omissions"]) for song in report_of(out)["songs"]] == [0, 1]


def test_a_song_whose_omissions_are_not_known_is_separated_again(
    music: Path, out: Path, separated: Separated
) -> None:
    evaluate(out, "--data", music, *SHARES)
    note = json.loads((out / "mdx" / "run.json").read_text())
    del note["omissions"]["b"]  # as if we had been killed right after its files were there
    (out / "mdx" / "run.json").write_text(json.dumps(note))
    separated.clear()

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 0

    assert separated == ["b"]


# Resuming


def test_a_resumed_run_keeps_complete_songs(music: Path, out: Path, separated: Separated) -> None:
    evaluate(out, "--data", music, "--songs", "a", *SHARES)
    evaluate(out, "--data", music, "--resume", *SHARES)
    evaluate(out, "--data", music, "--resume", *SHARES)

    assert separated == ["a", "b"]
    assert scores(out).keys() == {"a", "b"}


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut off", "short"])
def test_an_incomplete_song_is_separated_again(
    music: Path, out: Path, separated: Separated, damage: str
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
    music: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out)
    separated.clear()

    assert evaluate(out, "--data", music, "--resume", "--recipe", "mdx_silence") == 2

    assert "was made with another recipe, 'mdx_equal_shares'" in capsys.readouterr().err
    assert not separated
    assert contents(out) == before


@pytest.fixture
def lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose optional member is missing."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    path = tmp_path / "lacking.toml"
    path.write_text(
        (reading.FOLDER / "mdx_equal_shares.toml").read_text()
        + '[[members]]\nname = "htdemucs"\nseparator = "demucs_v4"\noptional = true\n'
        'options = { files = "any" }\noutputs = { vocals = ["vocals"] }\n'
    )
    return path


def test_a_missing_optional_member_is_noted_once_and_is_no_omission(
    music: Path,
    out: Path,
    separated: Separated,
    lacking: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(out, "--data", music, "--track", "mdx", "--recipe", lacking) == 0

    said = capsys.readouterr()
    assert said.err.count("note: htdemucs is not installed") == 1
    assert "MDX, recipe 'lacking' without htdemucs, " in said.out
    assert noted(out) == {"a", "b"}
    assert {row["omissions"] for row in table_of(out)} == {""}


def test_songs_separated_before_a_file_was_fetched_are_not_resumed(
    music: Path,
    out: Path,
    separated: Separated,
    lacking: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate(out, "--data", music, "--recipe", lacking)
    separated.clear()
    file = entries()["demucs_v4_955717e8"].path()
    file.parent.mkdir()
    file.touch()

    assert evaluate(out, "--data", music, "--resume", "--recipe", lacking) == 2

    assert "was made with another recipe" in capsys.readouterr().err
    assert not separated


def test_a_run_on_other_data_is_not_resumed(
    write_song: WriteSong,
    music: Path,
    out: Path,
    tmp_path: Path,
    separated: Separated,
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
    write_song: WriteSong, music: Path, out: Path, tmp_path: Path, separated: Separated
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


def test_songs_of_another_run_never_count_as_finished(
    music: Path, out: Path, separated: Separated
) -> None:
    evaluate(out, "--data", music, *SHARES)
    evaluate(out, "--data", music, "--songs", "a", "--recipe", "mdx_silence")
    separated.clear()

    assert evaluate(out, "--data", music, "--resume", "--recipe", "mdx_silence") == 0

    assert separated == ["b"]
    assert scores(out) == pytest.approx({"a": 0.0, "b": 0.0})


def test_a_run_of_one_song_leaves_the_others_alone(
    music: Path, out: Path, separated: Separated
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out / "mdx" / "predictions" / "b")
    separated.clear()

    assert evaluate(out, "--data", music, "--songs", "a", *SHARES) == 0

    assert separated == ["a"]
    assert contents(out / "mdx" / "predictions" / "b") == before


def test_leftovers_of_a_killed_run_are_removed(
    music: Path, out: Path, separated: Separated
) -> None:
    evaluate(out, "--data", music, *SHARES)
    for folder in ("predictions/b", "predictions", "dataset"):
        (out / "mdx" / folder / ".unfinished-x").mkdir()
        (out / "mdx" / folder / ".unfinished-x" / "bass.wav").write_text("half")

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 0

    assert not list(out.rglob(".unfinished-*"))
    assert separated == ["a", "b"]


@pytest.mark.parametrize("moment", ["rmtree", "write_report"])
def test_a_run_that_was_killed_while_starting_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch, four_songs: Path, out: Path, separated: Separated, moment: str
) -> None:
    words = ("--data", four_songs, *SHARES)
    evaluate(out, *words)
    before = contents(out)
    separated.clear()

    rmtree = shutil.rmtree

    def killed(path: Path, *_: object, **options: Any) -> None:
        if path.name.startswith(".unfinished-"):  # it was about to write its note
            rmtree(path, **options)
            return
        if path.is_dir():
            (path / "bass.wav").unlink()  # killed here
        else:
            path.with_name(".unfinished-7").write_text("half")
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(shutil if moment == "rmtree" else books, moment, killed)
        with pytest.raises(SystemExit):
            evaluate(out, *words)

    assert evaluate(out, *words, "--resume") == 0

    assert separated == (["s1", "s2", "s3", "s4"] if moment == "rmtree" else [])
    assert contents(out) == before


def test_a_run_that_was_killed_before_its_first_record_can_be_resumed(
    music: Path, out: Path, separated: Separated
) -> None:
    (out / "mdx").mkdir(parents=True)
    (out / "mdx" / ".unfinished-7").write_text("half")

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 0

    assert separated == ["a", "b"]
    assert not (out / "mdx" / ".unfinished-7").exists()


# Two runs at a time


@pytest.mark.process
def test_a_second_run_leaves_the_files_of_the_first_alone(
    four_songs: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(out, "--data", four_songs, *SHARES, hold="s2"):
        until(lambda: held(out, "s2") and noted(out) == {"s1"})
        before = contents(out)

        assert evaluate(out, "--data", four_songs, "--recipe", "mdx_silence") == 2

        said = capsys.readouterr().err
        assert said.startswith(f"error: another run is at work in {str(out / 'mdx')!r}; wait for")
        assert contents(out) == before
    assert not separated


def test_the_samples_are_not_written_into_the_folder_of_another_run(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / "mdx").mkdir(parents=True)
    lock = atomic.locked(out / "mdx")

    assert evaluate(out, "--track", "mdx", *SHARES) == 2

    atomic.unlock(lock)
    assert "another run is at work" in capsys.readouterr().err
    assert not list((out / "mdx").iterdir())


def test_an_interrupted_run_has_no_scores_of_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch, music: Path, out: Path
) -> None:
    evaluate(out, "--data", music, *SHARES)
    assert (out / "mdx" / "scores.json").exists()

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(evaluate_track, "separate", killed)
        with pytest.raises(SystemExit):
            evaluate(out, "--data", music, "--recipe", "mdx_silence")

    assert not list((out / "mdx").glob("scores.*"))


def test_what_another_run_has_just_finished_does_not_count(
    monkeypatch: pytest.MonkeyPatch, music: Path, out: Path, separated: Separated
) -> None:
    """The other run begins after this one has checked the folder, and ends before it begins."""
    evaluate(out, "--data", music, *SHARES)

    def late(*words: Any) -> Any:
        monkeypatch.setattr(evaluate_track, "choose", choose)
        evaluate(out, "--data", music, "--recipe", "mdx_silence")
        separated.clear()
        return choose(*words)

    monkeypatch.setattr(evaluate_track, "choose", late)

    assert evaluate(out, "--data", music, "--resume", *SHARES) == 2

    assert not separated
    assert json.loads((out / "mdx" / "run.json").read_text())["recipe"] == "mdx_silence"


# Other people's files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.txt", "precious"),
        ("dataset/song.txt", "precious"),
        ("run.json", '{"epochs": 3}'),
        ("run.json", "no JSON"),
        ("run.json", "[]"),
        pytest.param("run.json", "[" * 100_000, id="deep"),
        ("run.json", '{"recipe": [], "recipe_sha256": "", "data": "", "songs": []}'),
        ("run.json", '{"recipe": "a", "recipe_sha256": "", "data": "", "songs": [["b"]]}'),
    ],
)
def test_an_output_with_other_contents_is_left_alone(
    music: Path,
    out: Path,
    separated: Separated,
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
    music: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(out, "--data", music, *SHARES)
    before = contents(out)

    assert evaluate(out, "--data", out / "mdx" / "dataset", *SHARES) == 2

    assert "is inside" in capsys.readouterr().err
    assert contents(out) == before
    assert separated == ["a", "b"]


def test_an_output_that_is_a_file_is_one_sentence(
    music: Path, out: Path, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    out.write_text("precious")

    assert evaluate(out, "--data", music, *SHARES) == 2

    assert "Not a directory" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert not separated


# Errors during a run


@pytest.mark.process
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


def held(out: Path, song: str) -> list[Path]:
    return list(out.glob(f"mdx/predictions/{song}/.unfinished-*/held"))


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "to_group"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["process", "terminal", "terminate"],
)
def test_an_interrupted_run_keeps_complete_songs_and_can_be_resumed(
    four_songs: Path, out: Path, separated: Separated, number: signal.Signals, to_group: bool
) -> None:
    words = ("--data", four_songs, *SHARES)
    with started(out, *words, hold="s2") as process:
        until(lambda: held(out, "s2") and noted(out) == {"s1"})

        (os.killpg if to_group else os.kill)(process.pid, number)
        table, said = process.communicate(timeout=BOUND_S)

    assert process.returncode == 130
    assert (table, said) == (
        "",
        "stopped; finished songs are kept: continue with --resume\n",
    )
    assert files(out / "mdx" / "predictions") == stems_of(["s1"])
    assert not list(out.rglob(".unfinished-*"))
    assert evaluate(out, *words, "--resume") == 0
    assert separated == ["s2", "s3", "s4"]


@pytest.mark.process
def test_an_interruption_before_any_work_is_quiet(four_songs: Path, out: Path) -> None:
    with started(out, "--data", four_songs, *SHARES) as process:
        until(lambda: workers(out))

        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=BOUND_S)

    assert process.returncode == 130
    assert said == "stopped; finished songs are kept: continue with --resume\n"
    assert not files(out / "mdx" / "predictions")


@pytest.mark.process
def test_a_run_in_the_background_ignores_ctrl_c_at_the_terminal(
    four_songs: Path, out: Path
) -> None:
    with started(out, "--data", four_songs, *SHARES, background=True) as process:
        until(lambda: workers(out))

        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=BOUND_S)

    assert process.returncode == 0
    assert files(out / "mdx" / "predictions") == stems_of(["s1", "s2", "s3", "s4"])


@pytest.mark.process
def test_a_killed_worker_is_one_sentence_and_the_run_can_be_resumed(
    four_songs: Path, out: Path, separated: Separated
) -> None:
    with started(out, "--data", four_songs, *SHARES, hold="s2") as process:
        until(lambda: held(out, "s2") and noted(out) == {"s1"})

        for pid in workers(out):
            os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=BOUND_S)

    assert process.returncode == 2
    assert said.startswith("error: a worker died, probably because it ran out of memory")
    assert said.count("\n") == 1
    words = ("--data", four_songs, "--resume", "--songs", "s1", "s2")
    assert evaluate(out, *words, *SHARES) == 0
    assert separated == ["s2"]
    assert files(out / "mdx" / "predictions") == stems_of(["s1", "s2"])


@pytest.mark.process
@pytest.mark.parametrize(
    ("moment", "isolate"),
    [
        pytest.param("a worker starts", "0"),
        pytest.param("songs are written", "1", marks=pytest.mark.slow),
    ],
)
def test_no_process_outlives_a_killed_run_and_the_run_can_be_resumed(
    four_songs: Path, out: Path, tmp_path: Path, separated: Separated, moment: str, isolate: str
) -> None:
    words = ("--data", four_songs, *SHARES)
    early = moment == "a worker starts"
    hold = None if early else "s3 s4"
    with started(out, *words, "--jobs", "2", hold=hold, isolate=isolate) as process:
        if early:
            until(lambda: workers(out))
        else:
            until(lambda: held(out, "s3") and held(out, "s4"))
            assert len(processes(out, b"process.worker")) == 2  # children of the workers

        process.kill()
        until(lambda: not processes(out))

    assert evaluate(out, *words, "--resume") == 0
    assert evaluate(tmp_path / "whole", *words) == 0
    assert contents(out) == contents(tmp_path / "whole")
