"""Where one source takes over from another: no sample lost, no click, the sum kept."""

import pytest
import torch
from torch import Tensor

from demixing.process.handover import Song

RATE_HZ = 44_100
SONG = 0.1 * torch.randn(2, 20_000, generator=torch.Generator().manual_seed(0))


def one_sided(block: Tensor) -> Tensor:
    """All of the mixture to the first of two stems."""
    return torch.stack([block, 0 * block])


@pytest.mark.parametrize("sizes", [[5000], [1, 100, 7000], [300]], ids=str)
@pytest.mark.parametrize("losses", [(0,), (1,), (2, 3), (1, 2, 3)], ids=str)
def test_sources_may_be_lost_at_any_time(sizes: list[int], losses: tuple[int, ...]) -> None:
    blocks: list[Tensor] = []
    start = 0
    while start < SONG.shape[-1]:
        blocks.append(SONG[:, start : start + sizes[len(blocks) % len(sizes)]])
        start += blocks[-1].shape[-1]
    song = Song(blocks, RATE_HZ, 2)
    out, pushes = [], 0
    while (block := song.next()) is not None:
        if pushes in losses:  # this one got a block but returned no stems
            song.take_over()
            block = song.next()
            assert block is not None
        out.append(song.push(one_sided(block)))
        pushes += 1
    assert song.complete
    out.append(song.finish())

    assert torch.equal(torch.cat(out, dim=-1), one_sided(SONG))


def test_shares_start_with_a_cross_fade() -> None:
    level = torch.ones(2, 20_000)
    song = Song(torch.split(level, 5000, dim=-1), RATE_HZ, 2)
    out = []
    for _ in range(2):
        block = song.next()
        assert block is not None
        out.append(song.push(one_sided(block)))

    stems = torch.cat([*out, *song.shares()], dim=-1)

    torch.testing.assert_close(stems.sum(dim=0), level)
    assert stems[0, :, :9500].eq(1).all()
    assert stems[0, :, 10_000:].eq(0.5).all()
    assert stems.diff(dim=-1).abs().max() < 0.5 / 400, "10 ms and no step"


def test_more_stems_than_mixture_are_refused() -> None:
    song = Song([SONG], RATE_HZ, 2)

    with pytest.raises(ValueError, match="more samples than it was given"):
        song.push(one_sided(SONG))
    song.next()
    with pytest.raises(ValueError, match="a NaN or an infinity"):
        song.push(one_sided(SONG * torch.nan))


def test_only_the_part_without_stems_is_kept() -> None:
    song = Song(torch.split(SONG, 1000, dim=-1), RATE_HZ, 2)
    while (block := song.next()) is not None:
        song.push(one_sided(block))

        assert sum(block.shape[-1] for block in song._mixture) <= 1441
