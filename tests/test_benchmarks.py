"""The harness of the benchmarks, with fakes; measured values are not asserted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import engine, loading
from benchmarks.__main__ import main
from benchmarks.songs import song
from benchmarks.timing import Line, agreement, compare
from demixing import separators
from demixing.errors import CheckpointError, ConfigError
from demixing.separator import Chunking, Loudness


def test_two_functions_alternate_and_the_ratio_is_theirs_over_ours() -> None:
    calls: list[str] = []
    now_s = 0.0

    def spend(name: str, seconds: float) -> None:
        nonlocal now_s
        calls.append(name)
        now_s += seconds

    line = compare(
        "a",
        lambda: spend("theirs", 3.0),
        lambda: spend("ours", 2.0),
        repeats=3,
        note=lambda theirs_s, ours_s: f"{theirs_s} {ours_s}",
        clock=lambda: now_s,
    )

    assert calls == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert line == Line(what="a", ratio=1.5, low=1.5, high=1.5, note="3.0 2.0")


def test_agreement_is_in_db_and_relative_to_the_largest() -> None:
    reference = torch.tensor([2.0, 0.0])

    assert agreement(reference, torch.tensor([2.0, 0.02])) == "40.0 dB, max 1e-02"


def test_one_command_runs_the_named_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def fake(*, quick: bool) -> Iterator[Line]:
        asked.append(quick)
        yield Line(what="copying", ratio=2, low=1.5, high=2.5, note="40.0 dB")

    def missing(*, quick: bool) -> Iterator[Line]:
        raise ConfigError("this benchmark needs demucs")

    assert main(["--quick", "one"], {"one": fake, "two": missing}) == 0
    assert "| copying | 2.00 | 1.50..2.50 | 40.0 dB |" in capsys.readouterr().out
    assert main([], {"one": fake, "two": missing}) == 2
    printed = capsys.readouterr()
    assert "two: this benchmark needs demucs" in printed.err
    assert "copying" in printed.out
    assert asked == [True, False]
    with pytest.raises(SystemExit):
        main(["three"], {"one": fake})


LOUDNESS = Loudness(-27.0)


@dataclass(frozen=True)
class Copies:
    """Returns the mixture, of which it expects a certain rate and loudness."""

    sample_rate_hz: int = 48_000
    normalises: Loudness = LOUDNESS
    stems: tuple[str, ...] = ("one", "two")
    chunking: Chunking = Chunking(chunk=100_000, hop=90_000, context=1000)

    def separate(self, chunks: Tensor) -> Tensor:
        return torch.stack([chunks, chunks], dim=1)


def test_the_engine_is_measured_with_the_song_s_loudness_and_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "SHORTEST_S", 3)

    def missing() -> Copies:
        raise CheckpointError("no weights")

    cases = {
        "copies": engine.Case(Copies, "a remark"),
        "lighter": engine.Case(missing, quick=Copies, quick_remark="at most this"),
        "missing": engine.Case(missing),
    }

    copies, lighter, left_out = engine.run(quick=True, cases=cases)

    assert copies.ratio > 1
    assert "% with a song of 44100 Hz, which is resampled" in copies.note
    assert copies.note.endswith("a remark")
    assert lighter.note.endswith("at most this")
    assert left_out.note == "left out: no weights"


def test_the_engine_is_measured_with_every_separator_that_computes_something() -> None:
    measured = {name.partition(" ")[0] for name in engine.SEPARATORS}

    assert measured == {*separators.names()} - {"equal_shares", "silence"}


def test_the_song_is_always_the_same_and_never_silent() -> None:
    first, second = song(0.5), song(0.5)

    assert torch.equal(first, second)
    assert first.shape == (2, 22_050)
    loudest = [float(part.abs().max()) for part in torch.split(first, 441, dim=1)]
    assert min(loudest) > 0.01


def test_other_readers_return_the_contents_of_the_files(tmp_path: Path) -> None:
    paths = loading.write_songs(tmp_path, 2, 1)
    whole, memory = (
        way(paths, 30_000).example(7) for way in (loading.WholeFiles, loading.InMemory)
    )

    assert whole.shape == memory.shape == (4, 2, 30_000)
    left = song(1)[0].numpy()
    place = np.correlate(left, whole[0, 0, :500].astype(np.float64), "valid").argmax()
    np.testing.assert_allclose(whole[0, 0, :500], left[place : place + 500], rtol=0, atol=1e-4)
    assert memory.any()
    assert all(path.is_file() for stems in paths for path in stems.values())
