"""The contract of every separator; a new file is included automatically."""

import functools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import ConfigError
from demixing.separator import Chunking, Separator, answers_silence
from tools.golden import narrow

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[1]

every_separator = pytest.mark.parametrize("name", separators.names())


@functools.cache
def built(name: str) -> Separator:
    return narrow.build(name)


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def shortest(cut: Chunking) -> int:
    """Samples of the shortest accepted chunk; ragged ones may have any length, here a second."""
    return min(cut.chunk, *cut.shorter, 44_100 if cut.end.ragged else cut.chunk)


def separated(name: str, chunks: Tensor) -> Tensor:
    with torch.inference_mode():
        return built(name).separate(chunks)


@functools.cache
def in_a_batch(name: str) -> Tensor:
    """Stems of two of the shortest chunks."""
    return separated(name, noise(2, 2, shortest(built(name).chunking)))


@functools.cache
def alone(name: str) -> Tensor:
    """Stems of the second of them."""
    return separated(name, noise(2, 2, shortest(built(name).chunking))[1:])


@every_separator
def test_a_batch_of_chunks_becomes_a_batch_of_stems(name: str) -> None:
    stems = in_a_batch(name)

    assert stems.shape == (2, len(built(name).stems), 2, shortest(built(name).chunking))
    assert stems.dtype == torch.float32
    assert torch.isfinite(stems).all()


@every_separator
def test_chunks_of_a_batch_do_not_affect_each_other(name: str) -> None:
    torch.testing.assert_close(in_a_batch(name)[1:], alone(name), rtol=0, atol=1e-5)


@every_separator
def test_silence_is_silence_unless_the_separator_says_otherwise(name: str) -> None:
    separator = built(name)

    stems = separated(name, torch.zeros(1, 2, shortest(separator.chunking)))

    assert bool(stems.any()) == answers_silence(separator)


@every_separator
def test_separating_twice_gives_the_same_and_leaves_the_chunks_as_they_were(name: str) -> None:
    chunks = noise(2, 2, shortest(built(name).chunking))[1:]
    before = chunks.clone()

    again = separated(name, chunks)

    assert torch.equal(again, alone(name))
    assert torch.equal(chunks, before)


@every_separator
def test_the_longest_chunks_keep_the_contract_too(name: str) -> None:
    separator = built(name)
    if separator.chunking.chunk == shortest(separator.chunking):
        return  # tested above
    chunks = noise(1, 2, separator.chunking.chunk)
    before = chunks.clone()

    stems = separated(name, chunks)

    assert stems.shape == (1, len(separator.stems), 2, separator.chunking.chunk)
    assert stems.dtype == torch.float32
    assert torch.isfinite(stems).all()
    assert torch.equal(chunks, before)


@every_separator
def test_shorter_chunks_that_are_declared_are_accepted(name: str) -> None:
    separator = built(name)

    for length in separator.chunking.shorter:
        stems = separated(name, noise(1, 2, length))
        assert stems.shape == (1, len(separator.stems), 2, length)
        assert separator.chunking.shortened(length).chunk == length


@every_separator
@pytest.mark.parametrize("samples", [1, 2, 1023, 44_101])
def test_songs_of_any_length_keep_it_and_stay_finite(name: str, samples: int) -> None:
    cut = built(name).chunking
    brief = cut.shortened(shortest(cut)) if cut.shorter else cut
    overlap = OverlapAdd(built(name), chunking=brief)

    blocks = [overlap.push(noise(1, 2, samples)), overlap.finish()]
    stems = torch.cat(blocks, dim=-1)

    assert stems.shape == (1, len(built(name).stems), 2, samples)
    assert torch.isfinite(stems).all()


@every_separator
@pytest.mark.parametrize("level", [0.0, 1e-30, 0.5, 30.0], ids="constant {}".format)
def test_extreme_chunks_give_finite_stems(name: str, level: float) -> None:
    stems = separated(name, torch.full((1, 2, shortest(built(name).chunking)), level))

    assert torch.isfinite(stems).all()


@every_separator
def test_each_separator_has_a_summary_of_one_line(name: str) -> None:
    summary = separators.summary(name)

    assert summary.endswith(".")
    assert "\t" not in summary


def test_an_unknown_name_gets_a_close_one_as_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no separator named 'hpps'; did you mean 'hpss'\?"):
        separators.build("hpps")


def test_an_unknown_option_gets_a_close_one_as_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no option 'cros_hz'; did you mean 'crossover_hz'\?"):
        separators.build("hpss", {"cros_hz": 1})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"across_time": 30}, "odd"),
        ({"frame_hop": 4096}, "frame_hop <= frame / 4"),
        ({"frame_hop": 1}, "frame / 64 <= frame_hop"),
        ({"frame": 4096.0}, "frame must be a whole number"),
        ({"across_time": True}, "across_time must be a whole number"),
        ({"across_frequency": 99_999}, "at most frame / 2"),
        ({"power": 0}, "power > 0"),
        ({"power": float("nan")}, "power > 0"),
        ({"crossover_hz": float("inf")}, "crossover_hz >= 0"),
        ({"crossover_hz": "high"}, "hpss"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        separators.build("hpss", options)


@pytest.mark.parametrize("name", ["bytesep", "mrx", "open_unmix"])
@pytest.mark.parametrize("chunk_s", [math.inf, math.nan, 1e308])
def test_chunks_without_an_end_are_refused(name: str, chunk_s: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}' rejects its options: .*chunk_s") as one:
        separators.build(name, {"chunk_s": chunk_s})

    assert str(chunk_s) in str(one.value)


@pytest.mark.parametrize("stems", [[], ["a", "a"], "ab", [1]], ids=str)
@pytest.mark.parametrize("name", ["silence", "equal_shares"])
def test_stems_of_the_baselines_are_different_names(name: str, stems: object) -> None:
    with pytest.raises(ConfigError, match="stems must be"):
        separators.build(name, {"stems": stems})


def test_building_does_not_change_the_random_state() -> None:
    before = torch.random.get_rng_state()

    separators.build("gtcrn")

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.process
def test_building_every_separator_imports_nothing_of_librosa() -> None:
    program = (
        "import sys\n"
        "from demixing import separators\n"
        "from tools.golden import narrow\n"
        "for name in separators.names():\n"
        "    narrow.build(name)\n"
        "assert 'torch' in sys.modules\n"
        "print({'librosa', 'numba', 'llvmlite', 'sklearn'} & sys.modules.keys())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"
