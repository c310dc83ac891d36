"""Signals pass through a pipeline without copies, and what waits is freed piece by piece."""

import gc
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from demixing.audio import AudioFormat
from demixing.chunks.answer import Answer, Reliable
from demixing.chunks.cutting import Cutter, held
from demixing.engine import members as members_
from demixing.engine.blending import full_validity
from demixing.engine.estimates import Estimates, Queue
from demixing.engine.members import ScheduledMember, Task
from demixing.engine.pipeline import SongPipeline
from demixing.engine.tidying import LONG_S, Tidying
from demixing.ensemble.setting import Setting
from demixing.recipes import tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.separator import Chunking

STEMS = ("a", "b")
CHUNK = 1 << 18


@dataclass(frozen=True)
class Halves:
    """Each stem is half of the mixture."""

    stems: tuple[str, ...] = STEMS
    sample_rate_hz: int | None = None
    chunking: Chunking = Chunking(chunk=CHUNK, hop=CHUNK - 3000, context=500)

    def separate(self, chunks: Tensor) -> Tensor:
        return torch.stack([chunks / 2, chunks / 2], dim=1)


def pipeline(members: int, own_hz: int | None = None) -> SongPipeline:
    """A recipe of several equal members, with a sample rate of their own or without."""
    separator = Halves(sample_rate_hz=own_hz)
    made = tuple(
        Member(name=f"m{n}", separator="halves", outputs={stem: (stem,) for stem in STEMS})
        for n in range(members)
    )
    recipe = Recipe(name="test", track=tracks.of_stems(STEMS), summary="-", members=made)
    scheduled = [
        ScheduledMember(
            member=member,
            task=Task(
                separator=separator,
                source=Reliable(separator=separator),
                setting=Setting(),
                cut=separator.chunking,
            ),
        )
        for member in made
    ]
    form = AudioFormat(sample_rate_hz=44_100, channels=2)
    return SongPipeline(recipe, scheduled, [member.name for member in made], form)


def live_values() -> int:
    """Values in all tensors, each storage once."""
    found = {}
    for one in gc.get_objects():
        if type(one) is Tensor:
            storage = one.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes() // 4
    return sum(found.values())


@pytest.mark.engine
def test_a_pipeline_holds_a_few_chunks_per_member() -> None:
    before, most = live_values(), 0
    stream, members = pipeline(3), 3
    for _ in range(12):
        for piece in stream.pieces(torch.zeros(2, 1 << 17)):
            del piece
        most = max(most, live_values() - before)

    # Per member: its input, the mixture and two stems, stereo, for one chunk and one block.
    assert most < members * 4 * 2 * (CHUNK + (1 << 17))


def test_a_queue_frees_what_was_taken() -> None:
    queue = Queue()
    for start in range(0, 100, 10):
        mixture = torch.arange(start, start + 10.0).expand(1, 2, 10)
        queue.push(Estimates(mixture, (mixture,), (1.0,)))

    taken = list(queue.take(35))

    assert [one.samples for one in taken] == [10, 10, 10, 5]
    assert queue.samples == 65
    rest = Estimates.joined(list(queue.take(65)))
    torch.testing.assert_close(rest.mixture[0, 0], torch.arange(35, 100.0))
    assert rest.answered == (1.0,)


def test_presences_are_joined_as_numbers_only_if_they_are_equal() -> None:
    mixture = torch.zeros(1, 2, 3)
    ones, none = Estimates(mixture, (), (1.0,)), Estimates(mixture, (), (0.0,))

    assert Estimates.joined([ones, ones]).answered == (1.0,)
    (mixed,) = Estimates.joined([ones, none]).answered
    assert isinstance(mixed, Tensor)
    assert mixed[0, 0].tolist() == [1, 1, 1, 0, 0, 0]


def test_a_stem_without_output_is_a_share_of_the_mixture_that_takes_no_memory() -> None:
    ones = Estimates(torch.ones(1, 2, 3), (4, 4))
    known = Estimates(torch.ones(1, 2, 3), (torch.zeros(1, 2, 3), 4))

    assert ones.split(2)[0].stems == (4, 4)
    assert Estimates.joined([ones, ones]).stems == (4, 4)
    first, second = Estimates.joined([ones, known]).stems
    assert isinstance(first, Tensor)
    assert first[0, 0].tolist() == [0.25, 0.25, 0.25, 0, 0, 0]
    assert second == 4
    assert all(bool((stem == 0.25).all()) for stem in ones.signals())


@pytest.mark.engine
def test_what_waits_for_a_first_member_is_the_mixture_alone() -> None:
    before, stream = live_values(), pipeline(1)

    assert not list(stream.pieces(torch.zeros(2, CHUNK)))  # no chunk is complete

    assert live_values() - before < 1.1 * 2 * CHUNK


@pytest.mark.engine
def test_resampled_stems_leave_in_pieces_and_do_not_depend_on_their_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    song = torch.randn(2, 3 * CHUNK, generator=torch.Generator().manual_seed(0))

    def pieces(step: int) -> list[Tensor]:
        monkeypatch.setattr(members_, "STEP", step)
        stream = pipeline(1, own_hz=48_000)
        return [*stream.pieces(song), *stream.last_pieces()]

    short, whole = pieces(10_000), pieces(1 << 30)

    assert torch.equal(torch.cat(short, dim=-1), torch.cat(whole, dim=-1))
    assert sum(piece.shape[-1] for piece in short) == song.shape[-1]
    assert max(piece.shape[-1] for piece in short) < 10_000


def test_a_cutter_does_not_keep_what_it_has_cut() -> None:
    cut = Chunking(chunk=1000, hop=900)
    cutter = Cutter(cut, (1, 2))

    for chunk in cutter.push(torch.zeros(1, 2, 1950), most=9):
        del chunk

    assert held(cutter._pending) <= 2 * 2 * cutter._pending.shape[-1]


def test_memory_is_tidied_only_around_slow_calls() -> None:
    times, tidied = iter([0.0, 5.0, 5.0, 5.1, 6.0, 6.1]), []

    class Source:
        stems = STEMS

        def answer(self, chunks: Tensor) -> Answer:
            return Answer(chunks[:, None])

        def nothing(self, groups: int) -> Answer:
            return Answer(torch.zeros(groups, 1, 2, 0))

    source = Tidying(Source(), tidy=lambda: tidied.append(True), clock=lambda: next(times))
    counts = []
    for _ in range(3):
        source.answer(torch.zeros(1, 2, 4))
        counts.append(len(tidied))

    assert LONG_S > 0.1
    assert counts == [2, 3, 3]  # before and after the first call, of 5 s, and before the next


def test_whether_a_sample_is_valid_does_not_depend_on_its_neighbours() -> None:
    valid = torch.tensor([0.58, 1.2, 0.9995, 1.0, 0.0])[None, None, None]
    whole = Answer(torch.ones(1, 1, 2, 5), valid)

    together = full_validity(whole, passes=1)

    for index in range(5):
        one = full_validity(whole.split(index)[1].split(1)[0], passes=1)
        assert torch.equal(one.stems, together.stems[..., index : index + 1])
