"""What the listening report measures: outlines, seconds, spectrograms, compressed sound."""

import base64
import io
import math
from collections.abc import Iterator
from typing import Any, cast

import av
import numpy as np
import pytest
import scipy.signal
import soxr
from numpy.typing import NDArray
from PIL import Image

from demixing.evaluation.metrics import sdr
from demixing.report import measuring, opus, picture, sounds, spectrogram
from demixing.report.measuring import Meter, Part, Track
from demixing.report.peaks import Outline, Peaks
from demixing.report.seconds import Second, Seconds, song_sdr_db
from demixing.report.separated import Separation, song, summed
from demixing.report.sounds import Block, Sound
from demixing.report.spectrogram import Spectrogram

RATE_HZ = 8000


def cut(audio: Block, *lengths: int) -> Iterator[Block]:
    """Blocks of these lengths, again and again."""
    start = 0
    while start < len(audio):
        for length in lengths:
            yield audio[start : start + length]
            start += length


def of_array(audio: Block, rate_hz: int = RATE_HZ) -> Sound:
    return Sound(rate_hz, audio.shape[1], len(audio), lambda: cut(audio, sounds.BLOCK))


def outline(audio: Block, parts: int, *lengths: int) -> Outline:
    peaks = Peaks(len(audio), parts)
    for block in cut(audio, *lengths):
        peaks.push(block)
    return peaks.finish()


def decoded(data: bytes) -> NDArray[np.float32]:
    with av.open(io.BytesIO(data), "r") as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)


def lag(one: NDArray[np.floating], other: NDArray[np.floating]) -> int:
    """By how many samples the first is later."""
    size = len(one) + len(other)
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    place = int(np.fft.irfft(spectrum, size).argmax())
    return place if place < len(one) else place - size


# Outlines


@pytest.mark.parametrize("lengths", [(1000,), (1, 7, 300), (5000,)])
def test_an_outline_has_the_extremes_of_each_part(
    rng: np.random.Generator, lengths: tuple[int, ...]
) -> None:
    audio = rng.standard_normal((3000, 2))

    found = outline(audio, 30, *lengths)

    wanted = audio.reshape(30, 100, 2)
    np.testing.assert_array_equal(found.top, wanted.max(axis=(1, 2)))
    np.testing.assert_array_equal(found.bottom, -wanted.min(axis=(1, 2)))


def test_all_samples_are_in_the_outline_if_parts_are_uneven(rng: np.random.Generator) -> None:
    audio = rng.standard_normal((1234, 1))

    found = outline(audio, 100, 77)

    assert found.peak == np.abs(audio).max()
    assert len(found.top) == 100
    assert (found.top > 0).all()


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_a_short_waveform_has_a_short_outline(samples: int) -> None:
    assert len(outline(np.ones((samples, 2)), 1000, 3).top) == max(samples, 1)


def test_an_outline_is_a_byte_for_each_part() -> None:
    plain = Outline(np.array([0, 0.25, 0.5]), np.array([0.5, 0, 0])).plain()

    assert plain["peak"] == 0.5
    assert list(base64.b64decode(str(plain["top"]))) == [0, 128, 255]
    assert list(base64.b64decode(str(plain["bottom"]))) == [255, 0, 0]


def test_the_outline_of_silence_is_zero() -> None:
    assert set(base64.b64decode(str(outline(np.zeros((50, 2)), 10, 50).plain()["top"]))) == {0}


# Seconds


def seconds(reference: Block, estimate: Block, *lengths: int) -> list[Second]:
    meter = Seconds(RATE_HZ)
    for blocks in zip(cut(reference, *lengths), cut(estimate, *lengths), strict=True):
        meter.push(*blocks)
    return meter.finish()


@pytest.mark.parametrize("lengths", [(65536,), (1000, 3), (RATE_HZ,)])
def test_a_second_has_the_official_sdr_of_that_second(
    rng: np.random.Generator, lengths: tuple[int, ...]
) -> None:
    reference = rng.standard_normal((int(3.4 * RATE_HZ), 2))
    estimate = reference + 0.1 * rng.standard_normal(reference.shape)

    found = seconds(reference, estimate, *lengths)

    assert len(found) == 4  # the last one is shorter
    for place, second in enumerate(found):
        part = slice(place * RATE_HZ, (place + 1) * RATE_HZ)
        official = sdr.sdr(reference[None, part], estimate[None, part])[0]
        assert second.sdr_db == pytest.approx(official, abs=1e-6)  # float32 differences


def test_the_energies_of_the_seconds_give_the_sdr_of_the_song(rng: np.random.Generator) -> None:
    reference = rng.standard_normal((5 * RATE_HZ + 17, 2))
    reference[: 2 * RATE_HZ] *= 0.01
    estimate = reference + 0.05 * rng.standard_normal(reference.shape)

    found = seconds(reference, estimate, 4096)

    official = sdr.sdr(reference[None], estimate[None])[0]
    assert song_sdr_db(found) == pytest.approx(official, abs=1e-6)  # float32 differences
    assert abs(np.mean([one.sdr_db for one in found]) - official) > 1  # it is not their mean


@pytest.mark.parametrize(("level_dbfs", "silent"), [(-59.9, False), (-60.1, True)])
def test_a_nearly_silent_second_is_marked_by_the_rule_for_songs(
    level_dbfs: float, silent: bool
) -> None:
    audio = np.full((RATE_HZ, 2), 10 ** (level_dbfs / 20))

    assert [one.silent for one in seconds(audio, audio, 512)] == [silent]


def test_no_samples_have_no_seconds() -> None:
    assert Seconds(RATE_HZ).finish() == []


# Spectrograms


def levels(audio: Block, rate_hz: int, *lengths: int) -> NDArray[np.float64]:
    meter = Spectrogram(rate_hz, len(audio), audio.shape[1])
    for block in cut(audio, *lengths):
        meter.push(block)
    return meter.finish()


@pytest.mark.parametrize("hz", [100.0, 1000.0, 9000.0])
def test_a_full_scale_sine_has_about_0_db_in_its_row(hz: float) -> None:
    rate_hz = 44_100
    audio = np.sin(2 * np.pi * hz * np.arange(2 * rate_hz) / rate_hz)[:, None]

    found = levels(audio, rate_hz, 5000)

    middle = found[:, found.shape[1] // 2]
    frequency = spectrogram.frequencies_hz(rate_hz)[middle.argmax()]
    assert frequency == pytest.approx(hz, rel=0.1)
    assert middle.max() == pytest.approx(0, abs=3)
    assert middle[-1] < -50


def test_noise_has_the_power_of_each_band(rng: np.random.Generator) -> None:
    """Where rows are much wider than bins; 0 dB is a sine at full scale, whose power is 1/2."""
    rate_hz = 44_100
    found = levels(0.1 * rng.standard_normal((10 * rate_hz, 1)), rate_hz, 30_000)

    centres_hz = spectrogram.frequencies_hz(rate_hz)
    widths_hz = centres_hz * (centres_hz[1] / centres_hz[0] - 1)
    expected = 2 * 0.1**2 * widths_hz / (rate_hz / 2)
    excess_db = 10 * np.log10(np.power(10, found / 10).mean(axis=1) / expected)
    inside = (centres_hz > 2000) & (centres_hz < 18_000)
    np.testing.assert_allclose(excess_db[inside], 0, atol=0.6)


def test_channels_out_of_phase_are_seen(rng: np.random.Generator) -> None:
    mono = 0.1 * rng.standard_normal((44_100, 1))

    both = levels(np.concatenate([mono, -mono], axis=1), 44_100, 4096)

    np.testing.assert_allclose(both, levels(mono, 44_100, 4096), atol=1e-3)


@pytest.mark.parametrize("columns", [800, 40])  # frames overlap, or have gaps between them
def test_a_picture_does_not_depend_on_the_blocks(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(spectrogram, "MOST_COLUMNS", columns)
    audio = 0.1 * rng.standard_normal((60 * RATE_HZ, 1))

    whole = levels(audio, RATE_HZ, len(audio))

    np.testing.assert_allclose(levels(audio, RATE_HZ, 1500, 17, 9001), whole, atol=1e-6)
    assert whole.shape[1] == columns
    assert whole.min() > -80  # no column is empty


@pytest.mark.parametrize("columns", [800, 4])
def test_sound_is_where_it_is_in_time(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(spectrogram, "MOST_COLUMNS", columns)
    audio = np.zeros((4 * RATE_HZ, 1))
    audio[3 * RATE_HZ :] = np.sin(np.arange(RATE_HZ))[:, None]

    loud = levels(audio, RATE_HZ, 1000).max(axis=0) > -40

    assert 0.72 < loud.argmax() / len(loud) < 0.76
    assert not loud[: 2 * len(loud) // 3].any()
    assert loud[-1]


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_a_short_waveform_has_a_picture(samples: int) -> None:
    found = levels(np.zeros((samples, 2)), RATE_HZ, 64)

    assert found.shape == (spectrogram.ROWS, 1)
    assert "everywhere" in spectrogram.description(found, RATE_HZ)


def test_the_description_says_where_the_sound_is() -> None:
    audio = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)[:, None]

    said = spectrogram.description(levels(audio, 44_100, 4096), 44_100)

    assert said.startswith("loudest around 4")
    assert " Hz, 95 % below " in said


def test_the_lowest_frequency_is_at_the_bottom_of_the_picture() -> None:
    found = np.full((3, 4), spectrogram.FLOOR_DB - 50)
    found[0] = spectrogram.CEILING_DB + 50

    image = Image.open(io.BytesIO(picture.png(found))).convert("RGB")

    assert image.size == (4, 3)
    assert image.getpixel((0, 2)) == tuple(picture.ANCHORS[-1])
    assert image.getpixel((0, 0)) == tuple(picture.ANCHORS[0])


# Compressed sound


def encoded(audio: Block, rate_hz: int) -> bytes:
    encoder = opus.Encoder(rate_hz, audio.shape[1])
    for block in cut(audio, 5000):
        encoder.push(block)
    return encoder.finish()


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6, 9])
def test_compressed_sound_stays_where_it_was(
    rng: np.random.Generator, rate_hz: int, channels: int
) -> None:
    mono = 0.1 * rng.standard_normal((2 * rate_hz + 11, 1))

    found = decoded(encoded(np.repeat(mono, channels, axis=1), rate_hz))

    wanted = soxr.resample(mono[:, 0], rate_hz, opus.RATE_HZ)
    assert abs(lag(found[0], wanted)) < 0.001 * opus.RATE_HZ
    assert abs(found.shape[1] - len(wanted)) <= 2


def test_tracks_of_a_stem_are_aligned_and_the_error_is_the_difference(
    rng: np.random.Generator,
) -> None:
    smooth = np.ones((20, 1)) / 5  # noise with less treble, which Opus keeps as it is
    noises = [scipy.signal.convolve(rng.standard_normal((44_100, 2)), smooth) for _ in "12"]
    reference, estimate = 0.1 * noises[0], 0.07 * noises[0] + 0.05 * noises[1]

    true, stem, error = (
        decoded(encoded(audio, 44_100))[0] for audio in (reference, estimate, reference - estimate)
    )

    assert lag(true, stem) == lag(true, error) == 0
    rest = true - stem - error
    assert np.square(rest).sum() < 0.15 * np.square(true).sum()  # only coding noise


def test_only_the_first_minutes_can_be_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MOST_SOUND_S", 1)
    sound = of_array(np.full((3 * RATE_HZ, 1), 0.5))

    found = measuring.measured(Track(key="a", role="mixture", name="A"), sound)

    assert decoded(found.sound).shape[1] == opus.RATE_HZ
    assert found.level_dbfs == pytest.approx(10 * math.log10(0.25))
    assert found.outline.bottom.max() == 0


def test_silence_has_no_level() -> None:
    meter = Meter(Track(key="a", role="error", name="A"), of_array(np.zeros((100, 2))))
    meter.push(np.zeros((100, 2)))

    assert meter.finish().plain()["level"] is None


# Songs without references


@pytest.mark.parametrize("extra", [-500, 0, 500])
def test_blocks_are_cut_evenly(rng: np.random.Generator, extra: int) -> None:
    audio = rng.standard_normal((2 * sounds.BLOCK + 100, 1))
    samples = len(audio) + extra

    blocks = list(sounds.evenly(cut(audio, 9999), samples, 2))

    assert [len(block) for block in blocks[:-1]] == [sounds.BLOCK] * (len(blocks) - 1)
    whole = np.concatenate(blocks)
    kept = min(len(audio), samples)
    assert whole.shape == (samples, 2)
    np.testing.assert_array_equal(whole[:kept, 1], audio[:kept, 0])
    assert not whole[kept:].any()


def test_the_sum_of_the_stems_is_compared_with_the_mixture(rng: np.random.Generator) -> None:
    stems = {name: 0.1 * rng.standard_normal((2 * RATE_HZ, 2)) for name in ("vocals", "drums")}
    both = np.sum(list(stems.values()), axis=0) + 0.01
    parts: dict[str, Part] = {}
    one = Separation("a", of_array(both), {name: of_array(a) for name, a in stems.items()})

    found = song(0, one, 64, parts.__setitem__)

    (view,) = cast(list[dict[str, Any]], found["views"])
    assert [track["key"] for track in view["tracks"]] == ["stem-0", "stem-1", "error"]
    assert view["tracks"][-1]["level"] == pytest.approx(-40, abs=0.01)
    official = sdr.sdr(both[None], (both - 0.01)[None])[0]
    assert view["charts"][0]["sdr"] == pytest.approx(official, abs=1e-3)
    assert set(parts) == {"0-mixture", "0-0"}
    assert set(parts["0-0"]["error"]) == {"sound", "picture"}


def test_an_instrumental_is_not_counted_twice() -> None:
    assert summed(["bass", "instrumental", "vocals"]) == {"bass", "vocals"}
    assert summed(["instrumental", "vocals"]) == {"instrumental", "vocals"}
    assert summed(["instrumental"]) == {"instrumental"}
