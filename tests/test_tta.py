"""Several passes over a song are averaged; a separator that copies gives the song back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from demixing.chunks import tta
from demixing.chunks.answer import Answer, Reliable
from demixing.chunks.tta import AugmentedStream
from demixing.ensemble.setting import Setting
from demixing.errors import ConfigError
from demixing.separator import Chunking, SongEnd, Window


@dataclass
class Recorder:
    """Copies the mixture, and records its input."""

    chunking: Chunking = field(default_factory=lambda: Chunking(chunk=90, hop=60, context=5))
    stems: tuple[str, ...] = ("copy",)
    sample_rate_hz: None = None
    inputs: list[Tensor] = field(default_factory=list)

    def separate(self, chunks: Tensor) -> Tensor:
        self.inputs.extend(chunks.clone())
        return chunks[:, None].clone()


@dataclass
class Positions(Recorder):
    """Returns the position in the chunk, so the mean over passes shows where each was cut."""

    def separate(self, chunks: Tensor) -> Tensor:
        super().separate(chunks)
        return torch.arange(90.0).expand(len(chunks), 1, 2, -1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def streamed(separator: Recorder, setting: Setting, song: Tensor, lengths: Sequence[int]) -> Tensor:
    source, cut = Reliable(separator=separator, batch=2), tta.chunking(separator, setting)
    stream = AugmentedStream(source, setting, cut, groups=len(song), batch=2)
    blocks = [stream.push(block) for block in torch.split(song, list(lengths), dim=-1)]
    answer = Answer.joined([*blocks, stream.finish()])
    assert answer.valid is None
    return answer.stems


@given(
    number=st.integers(1, 7),
    polarity=st.booleans(),
    swap=st.booleans(),
    overlap=st.sampled_from([None, 0.0, 0.3, 0.75]),
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=4),
)
def test_a_separator_that_copies_gives_the_song_back(
    number: int, polarity: bool, swap: bool, overlap: float | None, lengths: list[int]
) -> None:
    setting = Setting(passes=number, polarity=polarity, channel_swap=swap, overlap=overlap)
    song, separator = noise(2, 2, sum(lengths)), Recorder()

    stems = streamed(separator, setting, song, lengths)

    assert stems.shape == (2, 1, 2, song.shape[-1])
    torch.testing.assert_close(stems[:, 0], song, rtol=0, atol=4e-6)
    assert len(separator.inputs) == 2 * tta.count(
        tta.chunking(separator, setting), setting, song.shape[-1]
    )


def test_each_pass_is_cut_in_other_places() -> None:
    song = torch.ones(1, 2, 400)

    cuts = {
        tuple(streamed(Positions(), Setting(passes=4), song, [400])[0, 0, 0].tolist()),
        tuple(streamed(Positions(), Setting(passes=1), song, [400])[0, 0, 0].tolist()),
    }

    assert len(cuts) == 2
    assert [tta.offset(Setting(passes=4), one, 60) for one in range(4)] == [0, 15, 30, 45]


def test_passes_alternate_in_polarity_and_channels() -> None:
    separator = Recorder()
    song = noise(1, 2, 90)

    streamed(separator, Setting(passes=4, polarity=True, channel_swap=True), song, [90])

    signs = [song[0], -song[0], song[0].flip(0), -song[0].flip(0)]
    for chunk, expected in zip(separator.inputs, signs, strict=True):
        torch.testing.assert_close(chunk, expected)


def test_more_overlap_is_more_chunks() -> None:
    separator = Recorder()

    none, half = (
        tta.count(tta.chunking(separator, one), one, 9000)
        for one in (Setting(overlap=0.0), Setting(overlap=0.5))
    )

    assert half == pytest.approx(2 * none, rel=0.05)


def test_too_little_overlap_for_a_window_is_refused() -> None:
    separator = Recorder()
    separator.chunking = Chunking(chunk=90, hop=30, window=Window.HANN, end=SongEnd.COVERED)

    with pytest.raises(ConfigError, match=r"expected an overlap of 0\.5 or more .*Hann.* got 0\.1"):
        tta.chunking(separator, Setting(overlap=0.1))


@dataclass
class FailsOften:
    """A source without output for every other chunk."""

    stems: tuple[str, ...] = ("copy",)
    calls: int = 0

    def answer(self, chunks: Tensor) -> Answer:
        self.calls += 1
        valid = torch.full((len(chunks), 1, 1, chunks.shape[-1]), float(self.calls % 2))
        return Answer(chunks[:, None] * valid, valid)

    def nothing(self, groups: int) -> Answer:
        return Answer(torch.zeros(groups, 1, 2, 0), torch.zeros(groups, 1, 1, 0))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("polarity", [False, True])
def test_stems_and_validity_are_faded_alike(number: int, polarity: bool) -> None:
    setting = Setting(passes=number, polarity=polarity, channel_swap=True)
    song, cut = noise(2, 2, 900), Chunking(chunk=90, hop=60, context=5)
    stream = AugmentedStream(FailsOften(), setting, cut, groups=2, batch=2)

    blocks = [stream.push(block) for block in torch.split(song, 70, dim=-1)]
    answer = Answer.joined([*blocks, stream.finish()])

    assert answer.valid is not None
    assert answer.valid.shape == (2, 1, 1, 900)
    assert 0 < float(answer.valid.mean()) < 1
    assert bool(((answer.valid > 0.01) & (answer.valid < 0.99)).any()), "it fades"
    torch.testing.assert_close(answer.stems, answer.valid * song[:, None], rtol=0, atol=2e-6)
