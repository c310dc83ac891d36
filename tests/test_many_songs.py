"""Songs are read and written beside the computing; workers share what is loaded once."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from demixing.audio.files import read_blocks, song_format, write_stems
from demixing.cli import jobs
from demixing.engine import channel, separate_file
from demixing.engine.channel import Channel, ClosedError, Helpers
from demixing.engine.separate_file import Order, separate_files
from demixing.errors import DemixError, OutputError, SongError
from demixing.machine import threads
from demixing.process import pool
from demixing.recipes import reading
from tests.waiting import ROOT, begun, until

WriteSong = Callable[..., Path]
BOUND_S = 60.0


class Copier:
    """Stands in for a demixer: its one stem is the song.

    Args:
        before: called before each block.
    """

    normalises = False
    recipe = SimpleNamespace(outputs=("song",))

    def __init__(self, before: Callable[[int], object] = lambda number: None) -> None:
        self.before = before
        self.songs = 0
        self.blocks = 0

    def stream(self, blocks: Iterable[Tensor], rate_hz: int, **_: object) -> Iterator[Tensor]:
        self.songs += 1
        song = self.songs
        for block in blocks:
            self.before(song)
            self.blocks += 1
            yield block[None]


def order(song: Path, out: Path) -> Order:
    return Order(song=song, paths={"song": out / song.stem / "song.wav"}, bits="32f")


def shown(_: Order) -> AbstractContextManager[None]:
    return nullcontext()


def separated(
    demixer: Copier, songs: Sequence[Path], out: Path
) -> Iterator[tuple[str, DemixError | None]]:
    errors = separate_files(demixer, [order(song, out) for song in songs], shown)  # type: ignore[arg-type]
    names = [song.stem for song in songs]
    return zip(names, errors, strict=True)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def in_small_blocks(monkeypatch: pytest.MonkeyPatch, seen: Callable[[], object]) -> None:
    """Read blocks of 100 samples."""

    def read(path: Path, **options: Any) -> Iterator[Tensor]:
        for block in read_blocks(path, 100, **options):
            seen()
            yield block

    monkeypatch.setattr(separate_file, "read_blocks", read)


# Between threads


def test_a_channel_holds_few_items_and_keeps_their_order() -> None:
    passed: Channel[int] = Channel(most=2)
    sent: list[int] = []

    def send() -> None:
        for number in range(50):
            passed.put(number)
            sent.append(number)
        passed.end()

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: len(sent) == 2)
    taken: list[int] = []
    for number in passed:
        taken.append(number)
        assert len(sent) <= len(taken) + 2

    sender.join()
    assert taken == list(range(50))


def test_an_error_arrives_after_the_items() -> None:
    passed: Channel[int] = Channel()
    passed.put(1)
    passed.end(SongError("damaged"))
    taken: list[int] = []

    with pytest.raises(SongError, match="damaged"):
        taken.extend(passed)

    assert taken == [1]


def test_a_closed_channel_frees_a_sender_that_waits() -> None:
    passed: Channel[int] = Channel(most=1)
    passed.put(1)
    outcome: list[type[Exception]] = []

    def send() -> None:
        try:
            passed.put(2)
        except ClosedError as error:
            outcome.append(type(error))

    sender = threading.Thread(target=send)
    sender.start()
    passed.close()
    sender.join(BOUND_S)

    assert outcome == [ClosedError]
    with pytest.raises(ClosedError):
        list(passed.while_open([1]))


def test_items_may_have_a_size() -> None:
    passed: Channel[str] = Channel(5, len)
    sent: list[str] = []

    def send() -> None:
        for item in ("a", "bb", "cc", "d", "eeeeeeeee", "f"):
            passed.put(item)
            sent.append(item)
        passed.end()

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: sent == ["a", "bb", "cc"])

    assert list(passed) == ["a", "bb", "cc", "d", "eeeeeeeee", "f"]
    sender.join()


def test_threads_are_waited_for_unless_they_wait_for_another_program() -> None:
    helpers = Helpers()
    waits, written, outcome = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        try:
            with helpers.waiting():
                waits.set()
                written.wait()
        except ClosedError:
            outcome.set()

    helpers.start(read)
    assert waits.wait(BOUND_S)
    helpers.close()

    written.set()
    assert outcome.wait(BOUND_S)


# One process


def test_songs_are_whole_and_results_in_order_with_a_failure_between(
    write_song: WriteSong, tmp_path: Path
) -> None:
    songs = [write_song(f"{name}.wav", samples=700, subtype="FLOAT") for name in "abcd"]
    songs[1].write_bytes(b"no audio")
    songs[2].unlink()

    results = list(separated(Copier(), songs, tmp_path / "out"))

    assert [name for name, _ in results] == [*"abcd"]
    assert [type(error) for _, error in results] == [
        type(None), SongError, SongError, type(None)
    ]  # fmt: skip
    assert files(tmp_path / "out") == {"a", "a/song.wav", "d", "d/song.wav"}
    for name in "ad":
        stem, _ = soundfile.read(tmp_path / "out" / name / "song.wav")
        np.testing.assert_array_equal(stem, soundfile.read(tmp_path / f"{name}.wav")[0])


def test_the_next_song_is_opened_while_one_is_computed(
    write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [write_song(f"{name}.wav", samples=500) for name in "ab"]
    opened = threading.Event()

    def note(path: Path, stream: str | None) -> object:
        if path == songs[1]:
            opened.set()
        return song_format(path, stream)

    monkeypatch.setattr(separate_file, "song_format", note)
    waited = []

    results = list(
        separated(Copier(lambda song: waited.append(opened.wait(BOUND_S))), songs, tmp_path)
    )

    assert waited == [True, True]
    assert [error for _, error in results] == [None, None]


def test_a_song_is_written_while_the_next_is_computed(
    write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [write_song(f"{name}.wav", samples=500) for name in "ab"]
    second = threading.Event()

    def write(stems: Iterable[Tensor], paths: Mapping[str, Path], *rest: Any, **how: Any) -> object:
        if paths["song"].parent.parent.name == "a":
            assert second.wait(BOUND_S)
        return write_stems(stems, paths, *rest, **how)

    monkeypatch.setattr(separate_file, "write_stems", write)

    results = separated(
        Copier(lambda song: second.set() if song == 2 else None), songs, tmp_path / "out"
    )

    assert [error for _, error in results] == [None, None]
    assert second.is_set()


def test_few_blocks_wait_however_slow_the_computing_is(
    write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    in_small_blocks(monkeypatch, lambda: read.append(1))
    demixer = Copier()
    most = 0

    def before(_: int) -> None:
        nonlocal most
        # The reader holds one more block than wait, and one is computed.
        until(lambda: len(read) >= min(demixer.blocks + channel.MOST + 2, 40))
        most = max(most, len(read) - demixer.blocks)

    demixer.before = before

    list(separated(demixer, [write_song(samples=4000)], tmp_path / "out"))

    assert len(read) == 40
    assert most == channel.MOST + 2


@pytest.mark.parametrize("at", [0, 2])
def test_a_disk_that_fills_up_fails_one_song_and_ends_its_computing(
    write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    songs = [write_song(f"{name}.wav", samples=4000) for name in "abc"]
    in_small_blocks(monkeypatch, lambda: None)

    def write(stems: Iterable[Tensor], paths: Mapping[str, Path], *rest: Any, **how: Any) -> object:
        for number, done in enumerate(write_stems(stems, paths, *rest, **how)):
            yield done
            if number == at and paths["song"].parent.parent.name == "b":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(separate_file, "write_stems", write)
    monkeypatch.setattr(separate_file, "MOST_SAMPLES", 200)
    demixer = Copier()

    results = dict(separated(demixer, songs, tmp_path / "out"))

    assert isinstance(results["b"], OutputError)
    assert str(results["b"]) == f"cannot write stems to {tmp_path}/out/b: No space left on device"
    assert files(tmp_path / "out") == {"a", "a/song.wav", "c", "c/song.wav"}
    assert demixer.blocks < 2 * 40 + 10


def test_stopping_removes_what_is_not_complete_and_ends_the_threads(
    write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small_blocks(monkeypatch, lambda: None)
    songs = [write_song(f"{name}.wav", samples=4000) for name in "abc"]

    def before(song: int) -> None:
        if song == 2:
            raise KeyboardInterrupt

    errors = separate_files(
        Copier(before),  # type: ignore[arg-type]
        [order(song, tmp_path / "out") for song in songs],
        shown,
    )

    with pytest.raises(KeyboardInterrupt):
        list(errors)

    assert files(tmp_path / "out") <= {"a", "a/song.wav"}
    assert not [one for one in threading.enumerate() if one.name.startswith("song")]


def test_stems_in_short_pieces_do_not_wait_for_the_writer_one_by_one(
    write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small_blocks(monkeypatch, lambda: None)
    computed = threading.Event()

    def write(stems: Iterable[Tensor], *rest: Any, **how: Any) -> object:
        assert computed.wait(BOUND_S)
        return write_stems(stems, *rest, **how)

    monkeypatch.setattr(separate_file, "write_stems", write)
    demixer = Copier()
    demixer.before = lambda _: computed.set() if demixer.blocks == 39 else None

    results = list(separated(demixer, [write_song(samples=4000)], tmp_path / "out"))

    assert [error for _, error in results] == [None]


# Several processes


@pytest.mark.parametrize("at_once", [True, False])
def test_workers_are_not_copies_if_onnx_runtime_is_loaded(
    monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    """It is loaded with a separator's module, or only when a model is opened."""
    monkeypatch.setattr(jobs, "ONNX_RUNTIME", "runtime")
    monkeypatch.delitem(sys.modules, "runtime", raising=False)
    built = []

    def load(*_: object) -> object:
        monkeypatch.setitem(sys.modules, "runtime", runtime)
        return None

    def build(_: object) -> object:
        built.append(True)
        load()
        return object()

    runtime = type(sys)("runtime")
    monkeypatch.setattr(jobs, "built", build)
    if at_once:
        monkeypatch.setattr("demixing.separators.module", load)
    how = jobs.How(recipe=reading.load("mdx_silence"), bits="16", bitrate=None, best=False)

    assert jobs.shared(how) is None
    assert built == ([] if at_once else [True])


def test_workers_are_not_copies_with_a_recipe_of_onnx_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "built", lambda _: pytest.fail("models were opened in vain"))
    how = jobs.How(recipe=reading.load("mdx_net_a"), bits="16", bitrate=None, best=False)

    assert jobs.shared(how) is None


def test_the_longest_songs_come_first(write_song: WriteSong, tmp_path: Path) -> None:
    listed = [
        write_song("short.wav", samples=4000),
        write_song("long.flac", samples=20_000),
        tmp_path / "none.wav",
        tmp_path / "pipe.wav",
        tmp_path / f"{'x' * 300}.wav",  # a name that the system refuses
        write_song("middle.wav", samples=9000, sample_rate_hz=44_100),
    ]
    many = [jobs.Job(song=song, paths={}, replace=False) for song in listed]

    os.mkfifo(listed[3])

    ordered = [job.song.stem for job in jobs.longest_first(many)]

    assert ordered == ["long", "middle", "short", "none", "pipe", "x" * 300]


def test_a_process_with_a_thread_is_not_copied() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert not pool.can_fork()
    finally:
        end.set()
        thread.join()


def test_a_process_whose_threads_are_unknown_is_not_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool, "THREADS", tmp_path / "no proc")

    assert not pool.can_fork()


def test_a_context_without_threads_restores_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(threads.THREADS_VARIABLE, "3")
    monkeypatch.delenv(threads.OPENMP_VARIABLE, raising=False)

    with threads.single():
        assert threads.chosen() == 1

    assert threads.chosen() == 3
    assert threads.OPENMP_VARIABLE not in os.environ


def test_a_worker_takes_the_threads_of_those_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    team = pool.shared_number(before)
    monkeypatch.setattr(jobs, "_team", team, raising=False)
    try:
        jobs._join(None)
        assert torch.get_num_threads() == before
        team.value = before + 1
        jobs._join(None)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


SEPARATE = """
import os, pathlib, signal, sys
from demixing.cli import jobs
from demixing.machine import threads
from demixing.process import pool
from demixing.recipes import reading

def separated(demixer, job, *rest):
    if job.song.stem == "b" and {killed}:
        os.kill(os.getpid(), signal.SIGKILL)
    print(os.getppid() == int(parent), jobs._demixer is demixer, flush=True)
    return real(demixer, job, *rest)

if __name__ == "__main__":
    threads.wait_passively()
    parent, real, jobs.separated = os.getpid(), jobs.separated, separated
    how = jobs.How(recipe=reading.load("{recipe}"), bits="32f", bitrate=None, best=False)
    out = pathlib.Path(sys.argv[1])
    listed = [
        jobs.Job(
            song=pathlib.Path(word),
            paths={{s: out / pathlib.Path(word).stem / (s + ".wav") for s in how.recipe.outputs}},
            replace=False,
        )
        for word in sys.argv[2:]
    ]
    for job, error in jobs.together(listed, how, 2, device=None, quiet=True):
        print(job.song.stem, error, flush=True)
    print("torch" in sys.modules)
"""


def program(recipe: str, *, killed: bool = False) -> list[str]:
    return [sys.executable, "-c", SEPARATE.format(recipe=recipe, killed=killed)]


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="copies of a process are for Linux")
def test_a_killed_worker_is_one_sentence_and_leaves_other_songs_whole(
    write_song: WriteSong, tmp_path: Path
) -> None:
    songs = [write_song("a.wav", samples=9000), write_song("b.wav", samples=500)]

    done = subprocess.run(
        [*program("mdx_equal_shares", killed=True), tmp_path / "out", *songs],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )

    assert "OutputError: a worker died" in done.stderr
    complete = [soundfile.info(path).frames for path in (tmp_path / "out").glob("a/*.wav")]
    assert complete in ([], [9000] * 4)
    assert not [*(tmp_path / "out").glob("b/*.wav")]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="copies of a process are for Linux")
def test_copies_of_a_loaded_process_give_the_same_bits(
    write_song: WriteSong, tmp_path: Path
) -> None:
    songs = [write_song(f"{name}.wav", samples=30_000) for name in "abc"]

    done = subprocess.run(
        [*program("mdx_filters"), tmp_path / "two", *songs],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "DEMIX_THREADS": "2"},
    )
    alone = jobs.How(recipe=reading.load("mdx_filters"), bits="32f", bitrate=None, best=False)
    listed = [
        jobs.Job(song=song, paths=paths(tmp_path / "one", song), replace=False) for song in songs
    ]
    results = list(jobs.one_by_one(listed, alone, quiet=True))

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("True True") == 3  # the parent's networks, in its children
    assert [error for _, error in results] == [None] * 3
    for job in listed:
        for path in job.paths.values():
            other = tmp_path / "two" / path.relative_to(tmp_path / "one")
            assert path.read_bytes() == other.read_bytes()


def paths(out: Path, song: Path) -> dict[str, Path]:
    stems = ("bass", "drums", "other", "vocals")
    return {stem: out / song.stem / f"{stem}.wav" for stem in stems}


@pytest.mark.process
@pytest.mark.parametrize("count", ["1", "2"])
def test_an_interrupted_run_leaves_nothing_incomplete(
    write_song: WriteSong, tmp_path: Path, count: str
) -> None:
    for number in range(2):
        write_song(f"in/{number}.wav", samples=6_000_000, sample_rate_hz=8_000)
    out = tmp_path / "out"
    words = ["separate", str(tmp_path / "in"), "-o", str(out), "--recipe", "mdx_equal_shares"]

    with subprocess.Popen(
        [sys.executable, "-m", "demixing", *words, "--jobs", count],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        until(lambda: [*out.glob("*/.unfinished-*/bass.wav")])
        os.killpg(process.pid, signal.SIGINT)

    assert process.returncode == 130
    assert not [*out.rglob(".unfinished-*")]
    assert all(soundfile.info(path).frames == 6_000_000 for path in out.glob("*/*.wav"))


@pytest.mark.process
def test_a_pipe_into_which_nothing_is_written_can_be_interrupted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = ["separate", str(tmp_path / "pipe"), "-o", str(tmp_path / "out")]

    command = [sys.executable, "-m", "demixing", *words, "--recipe", "mdx_silence"]

    with begun(command) as process, (tmp_path / "pipe").open("wb"):  # waits for the reader
        process.send_signal(signal.SIGINT)
        assert process.wait(BOUND_S) == 130

    assert not (tmp_path / "out").exists()
