"""Songs are normalised for networks that expect it, and stems are scaled back."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import Normaliser, SongStatistics, measured
from demixing.errors import SongError
from demixing.recipes import reading
from demixing.schedule.budget import Deadline
from demixing.separator import Chunking, Loudness
from my_submission.predictor import Predictor

SONG = 0.3 + 0.2 * torch.randn(2, 30_000, generator=torch.Generator().manual_seed(0))
TABLE = {
    "track": "cdx",
    "summary": "-",
    "residual": "music",
    "members": [{"separator": "first", "outputs": {"dialog": ["same"], "effect": ["squares"]}}],
}


@dataclass
class Normalised:
    """Returns its input, and the input squared, so that the scale matters."""

    normalises: str | Loudness = "mono"
    stems: tuple[str, ...] = ("same", "squares")
    sample_rate_hz: None = None
    chunking: Chunking = Chunking(chunk=4000, hop=3000, context=100)
    fails: bool = False

    def separate(self, chunks: Tensor) -> Tensor:
        if self.fails:
            raise ValueError("boom")
        return torch.stack([chunks, chunks.square()], dim=1)


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Normalised:
    member = Normalised()
    monkeypatch.setattr(separators, "build", lambda *_: member)
    return member


def ready(*, forgiving: bool = False) -> Demixer:
    return Demixer(reading.parse("test", TABLE), forgiving=forgiving)


def blocks(song: Tensor) -> list[Tensor]:
    return list(torch.split(song, 7000, dim=-1))


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_statistics_are_those_of_the_whole_song(channels: int) -> None:
    song = SONG[:1].repeat(channels, 1) * torch.arange(1, channels + 1)[:, None]

    statistics = SongStatistics.of(blocks(song))

    left = song[:2].double()
    assert statistics.mean[0] == pytest.approx(float(left.mean()))
    assert statistics.mono[0] == pytest.approx(float(left.mean(dim=0).std()))
    both = left.repeat(2, 1) if channels == 1 else left
    assert statistics.stereo[0] == pytest.approx(float(both.std()))
    assert len(statistics.mean) == {1: 1, 2: 1, 6: 4}[channels]


def test_statistics_of_no_and_of_one_sample_are_numbers() -> None:
    assert SongStatistics.of([]).mono == (0,)
    assert SongStatistics.of([torch.ones(2, 1)]).mono == (0,)


@pytest.mark.parametrize("kind", ["mono", "stereo"])
def test_the_input_of_members_is_normalised(inner: Normalised, kind: str) -> None:
    inner.normalises = kind
    statistics = SongStatistics.of(blocks(SONG))

    stems = torch.cat(list(ready().stream(blocks(SONG), 44_100, statistics=statistics)), dim=-1)

    deviation = SONG.mean(dim=0).std() if kind == "mono" else SONG.std()
    squares = ((SONG - SONG.mean()) / deviation).square() * deviation + SONG.mean()
    torch.testing.assert_close(stems[0], SONG, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems[1], squares, rtol=0, atol=1e-5)


@pytest.fixture
def loudness(inner: Normalised, monkeypatch: pytest.MonkeyPatch) -> Normalised:
    """A member whose input has a loudness."""
    inner.normalises = Loudness(-27.0)
    monkeypatch.setattr(separators, "target_lufs", lambda name: -27.0)
    return inner


def test_the_input_of_members_has_the_loudness_that_they_expect(loudness: Normalised) -> None:
    demixer = ready()
    statistics = measured(demixer.recipe, blocks(SONG), 44_100)

    stems = torch.cat(list(demixer.stream(blocks(SONG), 44_100, statistics=statistics)), dim=-1)

    gain = 10 ** ((-27.0 - statistics.lufs[0]) / 20)
    again = measured(demixer.recipe, blocks(gain * SONG), 44_100)
    assert again.lufs == pytest.approx((-27,), abs=1e-4)
    torch.testing.assert_close(stems[0], SONG, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems[1], SONG.square() * gain, rtol=0, atol=1e-5)


def test_the_loudness_is_measured_only_if_a_member_needs_it(inner: Normalised) -> None:
    statistics = measured(ready().recipe, blocks(SONG), 44_100)

    assert statistics == SongStatistics.of(blocks(SONG))
    assert statistics.lufs == ()


@pytest.mark.parametrize("song", [torch.zeros(2, 30_000), SONG[:, :9000], SONG[:1, :0]])
def test_silence_and_songs_that_are_too_short_keep_their_level(
    loudness: Normalised, song: Tensor
) -> None:
    statistics = measured(ready().recipe, blocks(song), 44_100)
    normaliser = Normaliser(loudness, statistics, groups=1)

    torch.testing.assert_close(normaliser.into(SONG[None]), SONG[None])


def test_each_pair_of_channels_gets_its_own_gain(loudness: Normalised) -> None:
    song = torch.cat([SONG, 0.1 * SONG[:1], SONG])
    statistics = measured(ready().recipe, blocks(song), 44_100)
    normaliser = Normaliser(loudness, statistics, groups=3)
    pairs = torch.stack([SONG, SONG, SONG])

    left, centre, right = normaliser.into(pairs)

    torch.testing.assert_close(left, right)
    assert (centre / left).mean() > 10
    torch.testing.assert_close(normaliser.back(normaliser.into(pairs)[:, None])[:, 0], pairs)


def test_a_loudness_that_was_not_measured_is_refused(loudness: Normalised) -> None:
    statistics = SongStatistics.of(blocks(SONG))

    with pytest.raises(ValueError, match="the song's loudness, which was not measured"):
        list(ready().stream(blocks(SONG), 44_100, statistics=statistics))


def test_the_loudness_of_a_song_in_an_impossible_format_is_refused(loudness: Normalised) -> None:
    with pytest.raises(SongError, match="expected a sample rate of 8000 to 192000 Hz, got 0"):
        measured(ready().recipe, blocks(SONG), 0)


def test_a_song_without_statistics_is_refused(inner: Normalised) -> None:
    assert ready().normalises
    with pytest.raises(ValueError, match="statistics must be given"):
        list(ready().stream(blocks(SONG), 44_100))


def test_if_such_a_member_fails_the_stems_are_shares_of_the_mixture(inner: Normalised) -> None:
    inner.fails = True
    stream = ready(forgiving=True).stream(
        blocks(SONG),
        44_100,
        samples=SONG.shape[-1],
        deadline=Deadline(60),
        statistics=SongStatistics.of(blocks(SONG)),
    )

    stems = torch.cat(list(stream), dim=-1)

    torch.testing.assert_close(stems[0], SONG / 3, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems.sum(dim=0), SONG, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", ["mono", Loudness(-27.0)], ids=str)
def test_the_predictor_measures_the_statistics(loudness: Normalised, kind: str | Loudness) -> None:
    loudness.normalises = kind
    arrays, _ = Predictor(reading.parse("test", TABLE)).separate_music_file(
        SONG.T.numpy().astype("float64"), 44_100
    )

    torch.testing.assert_close(torch.from_numpy(arrays["dialog"]).T, SONG, rtol=0, atol=2e-6)
