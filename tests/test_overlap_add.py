"""Overlap-add of a separator that copies returns the song, for any lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from demixing.chunks.overlap_add import OverlapAdd, weights
from demixing.separator import Chunking, SongEnd, Window


@dataclass(frozen=True)
class Copies:
    """Returns the mixture as each of three stems, times one, two and three."""

    chunking: Chunking
    stems: tuple[str, ...] = ("one", "two", "three")
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        samples, chunk = chunks.shape[-1], self.chunking.chunk
        assert 0 < samples <= chunk
        assert samples == chunk or self.chunking.end.ragged
        return torch.stack([chunks, 2 * chunks, 3 * chunks], dim=1)


@dataclass(frozen=True)
class Ramp:
    """Returns the position in the chunk, so the result shows where chunks were cut."""

    chunking: Chunking
    stems: tuple[str, ...] = ("position",)
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        return torch.arange(chunks.shape[-1]).expand(len(chunks), 1, 2, -1).float()


@dataclass(frozen=True)
class Sees:
    """Returns the mean of a chunk plus its reverse, so the result shows all that was in it."""

    chunking: Chunking
    stems: tuple[str, ...] = ("seen",)
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        return (chunks.mean(dim=-1, keepdim=True) + chunks.flip(-1))[:, None]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def streamed(overlap: OverlapAdd, song: Tensor, lengths: Sequence[int]) -> Tensor:
    blocks = [overlap.push(block) for block in torch.split(song, list(lengths), dim=-1)]
    return torch.cat([*blocks, overlap.finish()], dim=-1)


@st.composite
def chunkings(draw: st.DrawFn) -> Chunking:
    end = draw(st.sampled_from(SongEnd))
    context = 0 if end.centred or end.covered else draw(st.integers(0, 40))
    window = draw(st.sampled_from(Window)) if end.covered else Window.CROSS_FADE
    kept = draw(st.integers(2, 200))
    most = kept // 2 if window is Window.HANN else kept
    fewest = end.every_hop and not end.covered and draw(st.booleans())
    return Chunking(
        fewest=fewest,
        chunk=kept + 2 * context,
        hop=draw(st.integers(1, most)),
        context=context,
        end=end,
        window=window,
    )


@st.composite
def songs_in_blocks(draw: st.DrawFn) -> tuple[Tensor, list[int]]:
    lengths = draw(st.lists(st.integers(1, 300), min_size=1, max_size=5))
    return noise(draw(st.integers(1, 3)), 2, sum(lengths)), lengths


@given(chunking=chunkings(), cut_song=songs_in_blocks(), batch=st.integers(1, 4))
def test_a_separator_that_copies_gives_the_song_back(
    chunking: Chunking, cut_song: tuple[Tensor, list[int]], batch: int
) -> None:
    song, lengths = cut_song
    overlap = OverlapAdd(Copies(chunking), groups=len(song), batch=batch)

    stems = streamed(overlap, song, lengths)

    assert stems.shape == (len(song), 3, 2, song.shape[-1])
    for index in range(3):
        torch.testing.assert_close(stems[:, index], (index + 1) * song, rtol=0, atol=2e-6 * 3 * 4)


@given(chunking=chunkings(), cut_song=songs_in_blocks(), overlap=st.floats(0, 0.9))
def test_with_any_overlap_a_separator_that_copies_gives_the_song_back(
    chunking: Chunking, cut_song: tuple[Tensor, list[int]], overlap: float
) -> None:
    song, lengths = cut_song
    assume(chunking.window is not Window.HANN or overlap > 0.5)

    cut = chunking.overlapping(overlap)
    stems = streamed(OverlapAdd(Copies(cut), groups=len(song)), song, lengths)

    for index in range(3):
        torch.testing.assert_close(stems[:, index], (index + 1) * song, rtol=0, atol=2e-6 * 3 * 4)


@given(chunking=chunkings(), ends=st.tuples(st.booleans(), st.booleans()), data=st.data())
def test_a_part_of_a_window_is_a_part_of_the_whole_one(
    chunking: Chunking, ends: tuple[bool, bool], data: st.DataObject
) -> None:
    first, last = ends
    start = data.draw(st.integers(0, chunking.chunk))
    stop = data.draw(st.integers(start, chunking.chunk))

    part = weights(chunking, start, stop, first=first, last=last)
    whole = weights(chunking, 0, chunking.chunk, first=first, last=last)

    assert torch.equal(part, whole[start:stop])


@pytest.mark.parametrize("chunk", [24, 60])
def test_windows_of_frames_add_up_to_1(chunk: int) -> None:
    cut = Chunking(chunk=chunk, hop=chunk - 12, frame_hop=4)

    window = weights(cut, 0, chunk, first=False, last=False)

    torch.testing.assert_close(window[:12] + window[-12:], torch.ones(12))
    assert torch.equal(window[12:-12], torch.ones(chunk - 24))


def test_with_another_overlap_no_chunk_only_repeats_samples_of_the_one_before() -> None:
    own = Chunking(chunk=100, hop=75, end=SongEnd.EVERY_HOP_CENTRED)

    less = own.overlapping(0.1)

    assert own.overlapping(0.25) == own
    assert [own.count(samples) for samples in (75, 76, 100, 101)] == [1, 2, 2, 2]
    assert [less.count(samples) for samples in (75, 100, 101, 190, 191)] == [1, 1, 2, 2, 3]


@given(chunking=chunkings(), cut_song=songs_in_blocks(), batch=st.integers(1, 4))
def test_blocks_and_batches_do_not_change_where_a_song_is_cut(
    chunking: Chunking, cut_song: tuple[Tensor, list[int]], batch: int
) -> None:
    song, lengths = cut_song

    parts = streamed(OverlapAdd(Ramp(chunking), groups=len(song), batch=batch), song, lengths)
    whole = streamed(OverlapAdd(Ramp(chunking), groups=len(song)), song, [song.shape[-1]])

    assert torch.equal(parts, whole)


def plainly(song: Tensor, separator: Ramp | Copies) -> Tensor:
    """Overlap-add of a whole song, as plain as possible and without shared code."""
    cut = separator.chunking
    samples = song.shape[-1]
    starts = [0]
    while starts[-1] + cut.chunk < samples:
        starts.append(starts[-1] + cut.hop)
    padded = torch.nn.functional.pad(song, (0, starts[-1] + cut.chunk - samples))
    total = torch.zeros(len(separator.stems), 2, padded.shape[-1], dtype=torch.float64)
    weight = torch.zeros(padded.shape[-1], dtype=torch.float64)
    kept = cut.chunk - 2 * cut.context
    fade = min(kept - cut.hop, kept // 2)
    for start in starts:
        piece = separator.separate(padded[None, :, start : start + cut.chunk])[0]
        for i in range(cut.chunk):
            rise = min(max(i - cut.context + 1, 0), fade + 1) / (fade + 1)
            fall = min(max(cut.chunk - cut.context - i, 0), fade + 1) / (fade + 1)
            half = cut.chunk // 2 if 2 * cut.hop >= kept else cut.context
            if start == starts[0] and i < half:
                rise = fall = 1
            if start == starts[-1] and i >= cut.chunk - half:
                rise = fall = 1
            total[..., start + i] += min(rise, fall) * piece[..., i]
            weight[start + i] += min(rise, fall)
    return (total / weight)[..., :samples]


@pytest.mark.parametrize(
    "chunking",
    [
        Chunking(chunk=100, hop=100),
        Chunking(chunk=100, hop=75),
        Chunking(chunk=100, hop=50, context=10),
        Chunking(chunk=101, hop=20, context=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("samples", [1, 99, 100, 101, 175, 176, 987])
def test_streaming_equals_whole_songs(chunking: Chunking, samples: int) -> None:
    song = noise(1, 2, samples)

    stems = streamed(OverlapAdd(Ramp(chunking)), song, [samples])

    torch.testing.assert_close(
        stems[0].double(), plainly(song[0], Ramp(chunking)), rtol=0, atol=1e-4
    )


@given(
    samples=st.integers(1, 150),
    block=st.sampled_from([1, 7, 150]),
    batch=st.integers(1, 3),
    offset=st.sampled_from([0, 3, 8]),
    cut=st.sampled_from(
        [
            Chunking(chunk=28, hop=16, end=SongEnd.EVERY_HOP, lead=16, frame_hop=4),
            Chunking(chunk=28, hop=8, end=SongEnd.EVERY_HOP, lead=16, frame_hop=4),
            Chunking(chunk=20, hop=16, lead=5),
        ]
    ),
)
def test_silence_before_a_song_and_joints_of_frames_leave_no_trace(
    samples: int, block: int, batch: int, offset: int, cut: Chunking
) -> None:
    song = noise(2, 2, samples)
    offset = min(offset, cut.hop - 1)

    class Counts(Copies):
        calls = 0

        def separate(self, chunks: Tensor) -> Tensor:
            Counts.calls += len(chunks)
            assert chunks.shape[-1] == cut.chunk
            return super().separate(chunks)

    overlap = OverlapAdd(Counts(cut), groups=2, batch=batch, offset=offset, skip_silence=False)
    parts = [overlap.push(part) for part in torch.split(song, block, dim=-1)]
    stems = torch.cat([*parts, overlap.finish()], dim=-1)

    assert stems.shape == (2, 3, 2, samples)
    torch.testing.assert_close(stems[:, 0], song, rtol=0, atol=2e-6)
    assert Counts.calls == 2 * cut.count(samples, offset)


@given(batch=st.integers(1, 5), groups=st.integers(1, 6), samples=st.integers(1, 200))
def test_no_more_chunks_than_a_batch_are_separated_at_once(
    batch: int, groups: int, samples: int
) -> None:
    sizes = []

    class Counts(Copies):
        def separate(self, chunks: Tensor) -> Tensor:
            sizes.append(len(chunks))
            return super().separate(chunks)

    overlap = OverlapAdd(Counts(Chunking(chunk=10, hop=8)), groups=groups, batch=batch)

    streamed(overlap, noise(groups, 2, samples), [samples])

    assert max(sizes) <= batch
    assert sum(sizes) == groups * max(-(-(samples - 10) // 8) + 1, 1)


def test_silent_chunks_are_not_separated() -> None:
    overlap = OverlapAdd(Ramp(Chunking(chunk=10, hop=10)))
    song = torch.cat([torch.ones(1, 2, 10), torch.zeros(1, 2, 10), torch.ones(1, 2, 10)], dim=-1)

    stems = streamed(overlap, song, [30])

    assert stems[0, 0, 0].tolist() == [*range(10), *[0] * 10, *range(10)]


def test_context_is_discarded_inside_a_song_and_kept_at_its_ends() -> None:
    overlap = OverlapAdd(Ramp(Chunking(chunk=10, hop=6, context=2)))

    stems = streamed(overlap, torch.ones(1, 2, 20), [20])

    # Chunks at 0, 6 and 12; the last is 8 samples long and zero-filled.
    assert stems[0, 0, 0].tolist() == [*range(8), *range(2, 8), *range(2, 8)]


@pytest.mark.parametrize(
    ("samples", "chunks", "expected"),
    [
        (6, 1, range(2, 8)),
        (7, 2, [*range(2, 8), 2]),
        (12, 2, [*range(2, 8), *range(2, 8)]),
        (20, 4, [*range(2, 8), *range(2, 8), *range(2, 8), 2, 3]),
    ],
)
@pytest.mark.parametrize("end", [SongEnd.PADDED, SongEnd.EVERY_HOP])
@pytest.mark.parametrize("block", [1, 5, 20])
def test_padded_songs_lose_their_context_at_the_ends_too(
    samples: int, chunks: int, expected: Sequence[int], end: SongEnd, block: int
) -> None:
    cut = Chunking(chunk=10, hop=6, context=2, end=end)
    song = torch.ones(1, 2, samples)

    stems = streamed(
        OverlapAdd(Ramp(cut)),
        song,
        [min(block, samples - start) for start in range(0, samples, block)],
    )

    assert stems[0, 0, 0].tolist() == list(expected)
    assert cut.count(samples) == chunks


@pytest.mark.parametrize(
    ("end", "lengths"),
    [(SongEnd.RAGGED, [10, 10, 8]), (SongEnd.EVERY_HOP_RAGGED, [10, 10, 10, 6])],
)
def test_ragged_chunks_end_with_the_song(end: SongEnd, lengths: Sequence[int]) -> None:
    lengths_seen = []

    class Recorder(Copies):
        def separate(self, chunks: Tensor) -> Tensor:
            lengths_seen.append(chunks.shape[-1])
            return super().separate(chunks)

    cut = Chunking(chunk=10, hop=6, context=2, end=end)
    song = noise(1, 2, 20)

    stems = streamed(OverlapAdd(Recorder(cut)), song, [20])

    torch.testing.assert_close(stems[:, 0], song)
    assert lengths_seen == lengths


@pytest.mark.parametrize("end", [end for end in SongEnd if not end.covered])
@pytest.mark.parametrize("lead", [0, 8])
def test_a_short_song_is_cut_into_a_single_shorter_chunk(end: SongEnd, lead: int) -> None:
    context = 0 if end.centred else 8
    cut = Chunking(
        chunk=176, hop=120, context=context, end=end, lead=lead, shorter=(88, 44), step=4
    )

    for samples in range(1, 88 - lead - 2 * cut.silence + 1):
        fitted = cut.fitted(samples)
        assert fitted.chunk < cut.chunk
        assert fitted.count(samples) == 1


def test_a_short_song_of_demucs_v3_is_separated_as_with_long_segments() -> None:
    cut = Chunking(chunk=176, hop=132, end=SongEnd.EVERY_HOP_RAGGED, shorter=(88, 44))

    for samples in (38, 39, 44, 45, 77, 78, 88):
        song = noise(1, 2, samples)
        fitted = streamed(OverlapAdd(Sees(cut), chunking=cut.fitted(samples)), song, [samples])
        assert torch.equal(fitted, streamed(OverlapAdd(Sees(cut)), song, [samples]))


@pytest.mark.parametrize(
    ("chunk", "hop", "context"), [(8, 9, 0), (8, 0, 0), (8, 5, 2), (8, 1, 4), (8, 8, -1)]
)
def test_chunkings_that_leave_samples_out_are_refused(chunk: int, hop: int, context: int) -> None:
    with pytest.raises(ValueError, match="need context >= 0 and 0 < hop <= chunk"):
        Chunking(chunk=chunk, hop=hop, context=context)


def as_demucs(song: Tensor, separator: Ramp | Copies) -> Tensor:
    """How Demucs separates a whole song: triangular weights, and at the end chunks moved back."""
    cut, samples = separator.chunking, song.shape[-1]
    half = cut.chunk // 2
    rise = torch.arange(1, half + 1)
    triangle = torch.cat([rise, torch.arange(cut.chunk - half, 0, -1)]).double()
    total = torch.zeros(len(separator.stems), 2, samples, dtype=torch.float64)
    weight = torch.zeros(samples, dtype=torch.float64)
    for start in range(0, samples, cut.hop):
        length = min(cut.chunk, samples - start)
        first = start - (cut.chunk - length) // 2
        padded = torch.nn.functional.pad(song, (cut.chunk, cut.chunk))
        chunk = padded[None, :, cut.chunk + first : 2 * cut.chunk + first]
        piece = separator.separate(chunk)[0][..., start - first :][..., :length]
        total[..., start : start + length] += triangle[:length] * piece
        weight[start : start + length] += triangle[:length]
    return total / weight


@pytest.mark.parametrize("samples", [1, 50, 74, 75, 76, 99, 100, 101, 150, 151, 175, 176, 987])
def test_a_song_can_end_as_with_demucs(samples: int) -> None:
    cut = Chunking(chunk=100, hop=75, end=SongEnd.EVERY_HOP_CENTRED)
    song = noise(1, 2, samples)

    @dataclass(frozen=True)
    class Adds(Ramp):
        """Shows both where a chunk was cut and its contents."""

        def separate(self, chunks: Tensor) -> Tensor:
            return super().separate(chunks) / 100 + chunks[:, None].flip(-1)

    lengths = [min(40, samples), samples - min(40, samples)]
    stems = streamed(OverlapAdd(Adds(cut)), song, [one for one in lengths if one])

    expected = as_demucs(song[0], Adds(cut))
    assert stems.shape == (1, 1, 2, samples)
    torch.testing.assert_close(stems[0].double(), expected, rtol=0, atol=1e-5)
    assert cut.count(samples) == len(range(0, samples, 75))


def test_centred_chunks_have_no_context() -> None:
    with pytest.raises(ValueError, match="centred or covered chunks have no context"):
        Chunking(chunk=100, hop=50, context=10, end=SongEnd.EVERY_HOP_CENTRED)


def covered(song: Tensor, separator: Ramp | Sees) -> Tensor:
    """Overlap-add of a whole song whose first chunk starts before it, without shared code."""
    cut = separator.chunking
    samples, before = song.shape[-1], cut.chunk - cut.hop
    padded = extended(song, cut, before)
    if cut.end is SongEnd.MIRRORED_IF_LONG and samples <= 2 * before:
        before = 0
    total = torch.zeros(2, padded.shape[-1], dtype=torch.float64)
    weight = torch.zeros(padded.shape[-1], dtype=torch.float64)
    for start in range(0, before + samples, cut.hop):
        piece = padded[:, start : start + cut.chunk].float()
        if not before and samples - start <= cut.chunk // 2:
            piece = piece * (torch.arange(cut.chunk) < samples - start)
        window = {
            Window.FLAT: torch.ones(cut.chunk),
            Window.HANN: 0.5 - 0.5 * torch.cos(torch.arange(cut.chunk) / cut.chunk * 2 * torch.pi),
            Window.TENTHS: (torch.arange(cut.chunk) / (cut.chunk // 10 - 1)).clamp(max=1),
        }[cut.window].clone()
        if cut.window is Window.TENTHS:
            window = torch.minimum(window, window.flip(0))
            window[: cut.chunk // 2 if start == 0 else 0] = 1
        total[:, start : start + cut.chunk] += window * separator.separate(piece[None])[0, 0]
        weight[start : start + cut.chunk] += window
    return (total / weight.clamp(min=1e-9))[:, before : before + samples]


def extended(song: Tensor, cut: Chunking, before: int) -> Tensor:
    """A song with all that its chunks contain before and after it."""
    left = right = song.shape[-1] - 1
    if cut.end is SongEnd.COVERED:
        left = right = 0
    if cut.end is SongEnd.MIRRORED_IF_LONG and song.shape[-1] <= 2 * before:
        before = left = 0
    array = song.double().numpy()
    array = np.pad(array, ((0, 0), (min(left, before), 0)), mode="reflect")
    array = np.pad(array, ((0, 0), (before - min(left, before), 0)))
    if cut.end is SongEnd.MIRRORED_IF_LONG and before:
        array = np.pad(array, ((0, 0), (0, before)), mode="reflect")
        right = array.shape[-1] - 1
    array = np.pad(array, ((0, 0), (0, min(right, cut.chunk))), mode="reflect")
    return torch.from_numpy(np.pad(array, ((0, 0), (0, cut.chunk))))


@pytest.mark.parametrize(
    "chunking",
    [
        Chunking(chunk=160, hop=20, end=SongEnd.COVERED, window=Window.FLAT),
        Chunking(chunk=160, hop=120, end=SongEnd.COVERED, window=Window.FLAT),
        Chunking(chunk=160, hop=20, end=SongEnd.MIRRORED, window=Window.HANN),
        Chunking(chunk=161, hop=80, end=SongEnd.MIRRORED_IF_LONG, window=Window.TENTHS),
        Chunking(chunk=160, hop=40, end=SongEnd.MIRRORED_IF_LONG, window=Window.TENTHS),
    ],
    ids=str,
)
@pytest.mark.parametrize("samples", [1, 30, 79, 80, 81, 82, 140, 160, 161, 239, 240, 241, 801])
@pytest.mark.parametrize("block", [7, 1000])
def test_songs_are_covered_and_mirrored_as_by_the_authors_of_networks(
    chunking: Chunking, samples: int, block: int
) -> None:
    song = noise(2, samples)
    blocks = [block] * (samples // block) + [samples % block] * bool(samples % block)

    for separator in (Sees(chunking), Ramp(chunking)):
        stems = streamed(OverlapAdd(separator, skip_silence=False), song[None], blocks)

        torch.testing.assert_close(
            stems[0, 0].double(), covered(song, separator), rtol=0, atol=1e-4
        )


def test_hann_windows_overlap_by_half() -> None:
    with pytest.raises(ValueError, match="must overlap by half"):
        Chunking(chunk=10, hop=6, window=Window.HANN)
