"""A network becomes a separator that cuts and joins a song as the original driver does."""

import pytest
import torch
from torch import Tensor, nn

from demixing.chunks.overlap_add import OverlapAdd
from demixing.separators.demucs.bag_separator import BagSeparator, adapt

STEMS = ("drums", "vocals")


class Halves(nn.Module):
    """Returns a part of the chunk for each stem, which depends on the position in the chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.lengths.append(x.shape[-1])
        place = torch.linspace(0, 1, x.shape[-1])
        return torch.stack([x * place, x * (1 - place)], dim=1)


def adapted(*, any_length: bool = False) -> tuple[BagSeparator, Halves]:
    separator = adapt(Halves(), STEMS, segment_s=0.4, sample_rate_hz=100, any_length=any_length)
    network = separator.members[0].run._network
    assert isinstance(network, Halves)
    return separator, network


def triangles(network: nn.Module, song: Tensor, chunk: int, hop: int, *, cut: bool) -> Tensor:
    """The original's formula.

    Sum the segments weighted by triangles, then divide by the sum of the weights.
    """
    half, samples = chunk // 2, song.shape[-1]
    triangle = torch.cat([torch.arange(1, half + 1), torch.arange(half, 0, -1)]).float()
    total = torch.zeros(len(STEMS), *song.shape)
    weight = torch.zeros(samples)
    padded = torch.nn.functional.pad(song, (chunk, chunk))
    for start in range(0, samples, hop):
        length = min(chunk, samples - start)
        # A segment beyond the end is shortened, or moved back by half of the excess.
        before = 0 if cut else (chunk - length) // 2
        first = chunk + start - before
        segment = padded[None, :, first : first + (length if cut else chunk)]
        part = slice(start, start + length)
        total[..., part] += triangle[:length] * network(segment)[0][..., before : before + length]
        weight[part] += triangle[:length]
    return total / weight


@pytest.mark.parametrize("samples", [25, 40, 41, 150, 160, 171, 190])
@pytest.mark.parametrize("any_length", [True, False])
def test_a_song_is_cut_and_joined_as_by_the_original(any_length: bool, samples: int) -> None:
    separator, network = adapted(any_length=any_length)
    song = torch.randn(2, samples, generator=torch.Generator().manual_seed(1))

    overlap = OverlapAdd(separator)
    stems = torch.cat([overlap.push(song[None]), overlap.finish()], dim=-1)[0]

    assert (separator.chunking.chunk, separator.chunking.hop) == (40, 30)
    expected = triangles(network, song, 40, 30, cut=any_length)
    torch.testing.assert_close(stems, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("any_length", "expected"), [(True, 25), (False, 40)])
def test_silence_after_a_song_is_computed_only_where_it_must_be(
    any_length: bool, expected: int
) -> None:
    separator, network = adapted(any_length=any_length)
    overlap = OverlapAdd(separator)

    overlap.push(torch.ones(1, 2, 25))
    answer = overlap.finish()

    assert network.lengths == [expected]
    assert answer.shape == (1, 2, 2, 25)
    torch.testing.assert_close(answer.sum(dim=1), torch.ones(1, 2, 25))


def test_segments_may_be_shorter_where_memory_is_short() -> None:
    separator, network = adapted(any_length=True)

    assert separator.chunking.shorter == (20, 10)
    separator.separate(torch.ones(1, 2, 20))
    assert network.lengths == [20]
    assert adapted(any_length=False)[0].chunking.shorter == ()
