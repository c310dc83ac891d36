"""Which arrays the predictor accepts and returns."""

import functools
import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demixing import audio
from demixing.errors import SongError
from demixing.recipes import reading
from demixing.schedule import costs
from demixing.schedule.costs import Cost
from my_submission.predictor import Predictor
from tests.plain import once

pytestmark = pytest.mark.engine


@functools.cache
def predictor(name: str = "mdx_equal_shares") -> Predictor:
    return Predictor(reading.load(name))


def noise(*shape: int) -> NDArray[np.float64]:
    return 0.1 * np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("shape", [(5000, 2), (5000, 1), (5000,), (1, 2), (5000, 6)], ids=str)
@pytest.mark.parametrize("name", ["mdx_equal_shares", "cdx_equal_shares"])
def test_the_output_has_the_shape_of_the_song(name: str, shape: tuple[int, ...]) -> None:
    song = noise(*shape)
    before = song.copy()

    stems, rates = predictor(name).separate_music_file(song, 44_100)

    names = predictor(name).instruments
    assert list(stems) == list(rates) == names
    assert set(rates.values()) == {44_100}
    for stem in stems.values():
        assert stem.shape == shape
        assert stem.dtype == np.float32
        np.testing.assert_allclose(stem, song / len(names), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(song, before)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda song: song.astype(np.float32), id="float32"),
        pytest.param(lambda song: song.astype(np.float16), id="float16"),
        pytest.param(lambda song: np.asfortranarray(song), id="Fortran order"),
        pytest.param(lambda song: np.repeat(song, 2, axis=0)[::2], id="not contiguous"),
        pytest.param(lambda song: song.astype(">f8"), id="big endian"),
    ],
)
def test_all_float_types_are_accepted(view: Any) -> None:
    song = view(noise(3000, 2))
    song.flags.writeable = False

    stems, _ = predictor().separate_music_file(song, 48_000)

    np.testing.assert_allclose(4 * stems["bass"], song.astype(np.float32), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("song", "reason"),
    [
        (np.zeros((100, 2), np.int16), "array of floats .* got int16 samples"),
        (np.zeros((100, 2), np.complex64), "got complex64 samples"),
        ([[0.0, 0.0]], "got list"),
        (np.zeros((2, 100)), "got 100; if these are samples, transpose the array"),
        (np.zeros((1, 100, 2)), "got .1, 100, 2."),
        (np.full((9, 2), 1e300), "got inf at sample 0 of channel 0"),
        (np.full((9, 2), 1e30), "got 1e.30 at sample 0 of channel 0"),
        (np.zeros((0, 2)), "at least one sample"),
        (np.zeros((100, 0)), "at least one sample"),
        (np.array([[0.0, 0.0], [0.0, np.nan]]), "got nan at sample 1 of channel 1"),
    ],
    ids=str,
)
def test_invalid_songs_are_refused(song: Any, reason: str) -> None:
    with pytest.raises(SongError, match=reason):
        predictor().separate_music_file(song, 44_100)


@pytest.mark.parametrize("rate", [44_100.0, np.int32(44_100), np.float64(44_100)])
def test_any_whole_number_is_a_rate(rate: Any) -> None:
    _, rates = predictor().separate_music_file(noise(100, 2), rate)

    assert {type(rate) for rate in rates.values()} == {int}
    assert set(rates.values()) == {44_100}


@pytest.mark.parametrize("rate", [44_100.5, "44100", None, float("nan"), float("inf")])
def test_other_sample_rates_are_refused(rate: Any) -> None:
    with pytest.raises(SongError, match="sample rate to be a whole number"):
        predictor().separate_music_file(noise(100, 2), rate)


def test_stems_do_not_share_memory() -> None:
    stems, _ = predictor().separate_music_file(noise(100, 2), 44_100)

    assert not np.shares_memory(stems["bass"], stems["drums"])


def test_clipping_is_logged_with_the_number_of_samples(caplog: pytest.LogCaptureFixture) -> None:
    song = noise(1000, 2)
    song[10:13, 1] = 8.0

    with caplog.at_level(logging.WARNING):
        stems, _ = predictor().separate_music_file(song, 44_100)

    assert stems["bass"].max() == pytest.approx(2.0), "the values themselves are left alone"
    assert "bass: 3 samples are above full scale, the peak is 2.00" in caplog.text


def test_nothing_is_logged_about_a_quiet_song(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DEMIX_TIME_LIMIT", "none")  # a slow machine would log that time is short
    with caplog.at_level(logging.WARNING):
        predictor().separate_music_file(noise(1000, 2), 44_100)

    assert not caplog.text


def test_errors_are_raised_as_in_the_kit() -> None:
    with pytest.raises(NameError, match="no weights"):
        predictor().raise_aicrowd_error("no weights")


def test_separating_twice_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_TIME_LIMIT", "none")  # otherwise the load of the machine decides
    monkeypatch.setattr(costs, "measure", lambda *_, **__: Cost())
    ready, song = Predictor(once("mdx_default")), noise(50_000, 2)

    first, _ = ready.separate_music_file(song, 44_100)
    second, _ = ready.separate_music_file(song, 44_100)

    for stem in first:
        np.testing.assert_array_equal(first[stem], second[stem])


def test_a_gated_stem_is_exactly_silent(caplog: pytest.LogCaptureFixture) -> None:
    never = {"midpoint_db": -300.0, "width_db": 1.0, "active_db": 1.0}
    table: dict[str, Any] = {
        "track": "mdx",
        "summary": "For tests.",
        "members": [
            {
                "separator": "equal_shares",
                "outputs": {stem: [stem] for stem in ("bass", "drums", "other", "vocals")},
            }
        ],
        # A quarter of the mixture is at -12 dB.
        "gates": {"bass": {**never, "midpoint_db": 100.0}, "drums": never},
    }
    song = noise(audio.BLOCK + 1000, 2)

    with caplog.at_level(logging.INFO):
        stems, _ = Predictor(reading.parse("test", table)).separate_music_file(song, 44_100)

    assert not stems["bass"].any()
    for stem in ("drums", "other", "vocals"):
        np.testing.assert_allclose(stems[stem], song / 4, rtol=0, atol=1e-6)
    assert "bass: considered silent" in caplog.text
    assert "drums" not in caplog.text
