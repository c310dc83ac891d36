"""All streams keep the promises of their contract: same samples in any blocks, and same length."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from demixing.audio import AudioFormat
from demixing.chunks import tta
from demixing.chunks.answer import Reliable
from demixing.chunks.overlap_add import OverlapAdd
from demixing.chunks.stream import Stream
from demixing.engine.leakage_filter import LeakageFilter
from demixing.engine.members import ScheduledMember, Task
from demixing.engine.pipeline import SongPipeline
from demixing.ensemble.leak import Leak
from demixing.ensemble.setting import Setting
from demixing.recipes import reading, tracks
from demixing.separator import Chunking

RATE_HZ = 8_000
SAMPLES = 25 * RATE_HZ  # more than the leakage filter takes at once


@dataclass
class Gain:
    """Returns each chunk times a factor that depends on the position in the chunk."""

    sample_rate_hz: int | None
    chunking: Chunking = Chunking(chunk=30_000, hop=20_000, context=1_000)
    stems: tuple[str, ...] = ("part",)

    def separate(self, chunks: Tensor) -> Tensor:
        return torch.linspace(0.2, 0.9, chunks.shape[-1]) * chunks[:, None]


def overlap_add() -> Stream[Tensor, Tensor]:
    return OverlapAdd(Gain(None))


class Joined:
    """The leakage filter, with the pieces of each step joined."""

    def __init__(self) -> None:
        leak = Leak(of="bass", into="drums", power=0.1, returned=True)
        self._filter = LeakageFilter([leak], ("bass", "drums"), RATE_HZ, 1)

    def push(self, block: Tensor) -> Tensor:
        return self._joined(self._filter.push(block))

    def finish(self) -> Tensor:
        return self._joined(self._filter.finish())

    @staticmethod
    def _joined(pieces: Iterable[Tensor]) -> Tensor:
        return torch.cat([torch.zeros(1, 2, 2, 0), *pieces], dim=-1)


def pipeline() -> Stream[Tensor, Tensor]:
    """A member at the song's rate, an absent one, one at another rate, and one in doubt."""
    members = [
        {"name": "one", "outputs": {"dialog": ["part"]}},
        {"name": "absent", "outputs": {"effect": ["part"]}},
        {"name": "other", "subtract": ["dialog"], "outputs": {"music": ["part"]}},
        {
            "name": "doubted",
            "outputs": {"dialog": ["part"]},
            "doubt": {"stem": "dialog", "least": 0.1, "most": 0.2},
        },
    ]
    table = {
        "track": "cdx",
        "summary": "-",
        "members": [{"separator": "gain", **member} for member in members],
        "consistency": {"effect": 0.5},
        "leaks": [{"of": "music", "into": "dialog", "power": 0.1}],
    }
    chosen = reading.parse("test", table)
    scheduled = []
    for member in chosen.members:
        gain = Gain({"other": 11_025}.get(member.name))
        setting = Setting(passes=2)
        cut = tta.chunking(gain, setting)
        task = Task(separator=gain, source=Reliable(separator=gain), setting=setting, cut=cut)
        absent = member.name == "absent"
        scheduled.append(ScheduledMember(member=member, task=None if absent else task))
    form = AudioFormat(sample_rate_hz=RATE_HZ, channels=2)
    return SongPipeline(chosen, scheduled, ["one", "other", "doubted"], form)


STREAMS = {
    "overlap-add": (overlap_add, (1, 2)),
    "leakage filter": (Joined, (1, 3, 2)),
    "pipeline": (pipeline, (2,)),
}


@pytest.mark.parametrize(("make", "shape"), STREAMS.values(), ids=STREAMS)
def test_blocks_change_neither_samples_nor_length(
    make: Callable[[], Stream[Tensor, Tensor]], shape: tuple[int, ...]
) -> None:
    song = 0.1 * torch.randn(*shape, SAMPLES, generator=torch.Generator().manual_seed(0))
    results = []
    for block in (SAMPLES, 50_001, 7_013):
        stream = make()
        parts = [stream.push(part) for part in torch.split(song, block, dim=-1)]
        results.append(torch.cat([*parts, stream.finish()], dim=-1))

    for result in results:
        assert result.shape[-1] == SAMPLES
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("make", "shape"), STREAMS.values(), ids=STREAMS)
def test_a_stream_holds_a_bounded_part_of_a_song(
    make: Callable[[], Stream[Tensor, Tensor]], shape: tuple[int, ...]
) -> None:
    stream, pushed, out = make(), 0, 0
    for _ in range(16):
        pushed += 5 * RATE_HZ
        out += stream.push(torch.zeros(*shape, 5 * RATE_HZ)).shape[-1]
        assert 0 <= pushed - out < 60 * RATE_HZ


def test_an_absent_member_leaves_a_share_of_the_mixture() -> None:
    stream = pipeline()

    stems = torch.cat([stream.push(torch.ones(2, SAMPLES)), stream.finish()], dim=-1)

    effect = tracks.by_name("cdx").stems.index("effect")
    assert bool((stems[effect].abs() > 0.1).all())
