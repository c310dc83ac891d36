"""The effect of each augmentation; test_augmentations.py has the contract of all."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from demixing.errors import ConfigError
from demixing.training.augmentations import Augmentation, build
from demixing.training.augmentations.clip import Clip, Limit
from demixing.training.augmentations.codec import Codec, Coding
from demixing.training.augmentations.compress import Compress, Setting
from demixing.training.augmentations.equaliser import Bump, Curve, Equaliser
from demixing.training.augmentations.low_pass import Cut, LowPass
from demixing.training.augmentations.pan import Pan
from demixing.training.augmentations.reverb import Reverb, Room
from demixing.training.augmentations.speed import Speed, faster
from demixing.training.augmentations.stretch import Change, Stretch, stretched
from demixing.training.augmentations.width import Image, Width
from demixing.training.filtering import convolve

RATE_HZ = 44_100


def noise(samples: int, stems: int = 2, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(stems, 2, samples, generator=torch.Generator().manual_seed(seed))


def tone(hz: float, samples: int = RATE_HZ) -> Tensor:
    wave = torch.sin(2 * torch.pi * hz * torch.arange(samples, dtype=torch.float64) / RATE_HZ)
    return wave.float().repeat(1, 2, 1)


def level_db(audio: Tensor, reference: Tensor) -> float:
    """Level of the middle half, where filters have settled."""
    inside = slice(audio.shape[-1] // 4, -(audio.shape[-1] // 4))
    ratio = audio[..., inside].square().sum() / reference[..., inside].square().sum()
    return 10 * math.log10(float(ratio) + 1e-30)


def pitch_hz(audio: Tensor) -> float:
    """The loudest frequency in the middle of the left channel."""
    inside = audio[0, audio.shape[-1] // 4 : -(audio.shape[-1] // 4)].double()
    spectrum = torch.fft.rfft(inside * torch.hann_window(len(inside), dtype=torch.float64)).abs()
    return float(spectrum.argmax()) * RATE_HZ / len(inside)


@given(st.integers(1, 9000), st.integers(1, 3000), st.integers(0, 50), st.integers(0, 99))
@settings(max_examples=25)
def test_convolution_in_blocks_is_convolution(
    samples: int, taps: int, delay: int, seed: int
) -> None:
    audio, impulse = noise(samples, seed=seed)[0], noise(taps, seed=seed + 1)[0, 0]

    expected = [np.convolve(c, impulse.double().numpy()) for c in audio.double().numpy()]
    wanted = np.zeros((2, samples))
    part = np.stack(expected)[:, delay : delay + samples]
    wanted[:, : part.shape[1]] = part

    np.testing.assert_allclose(convolve(audio, impulse, delay), wanted, rtol=0, atol=2e-6)


LINEAR: list[tuple[Augmentation, object]] = [
    (Equaliser(), (Curve((Bump(1000, 6, 1), Bump(80, -5, 0.5)), RATE_HZ), None)),
    (LowPass(), Cut(12_000, RATE_HZ)),
    (Reverb(), (Room(1, 0.1, 0.01, -10, RATE_HZ),) * 2),
    (Width(), (Image(1.4, 0.3, 1, RATE_HZ),) * 2),
    (Pan(), (3.0, -2.0)),
    (Speed(), (1.07, 0.95)),
]


@pytest.mark.parametrize(("augmentation", "drawn"), LINEAR, ids=lambda value: type(value).__name__)
def test_filters_are_linear(augmentation: Augmentation, drawn: object) -> None:
    first, second = noise(20_000, seed=1), noise(20_000, seed=2)

    whole = augmentation.apply(first - 3 * second, drawn)

    parts = augmentation.apply(first, drawn) - 3 * augmentation.apply(second, drawn)
    torch.testing.assert_close(whole, parts, rtol=0, atol=5e-6)


@pytest.mark.parametrize(("hz", "gain_db"), [(1000, 6.0), (80, -5.0), (15_000, 0.0)])
def test_an_equaliser_has_the_gains_of_its_curve(hz: float, gain_db: float) -> None:
    curve = Curve((Bump(1000, 6, 0.5), Bump(80, -5, 0.8)), RATE_HZ)

    filtered = Equaliser().apply(tone(hz), (curve,))

    assert level_db(filtered, tone(hz)) == pytest.approx(gain_db, abs=0.3)


@pytest.mark.parametrize(
    ("augmentation", "drawn"),
    [
        (Equaliser(), (Curve((Bump(500, 3, 1),), RATE_HZ),)),
        (LowPass(), Cut(15_000, RATE_HZ)),
        (Codec(), (Coding("mp3", 320, RATE_HZ),)),
        (Codec(), (Coding("aac", 320, RATE_HZ),)),
        (Compress(), (Setting(-6, 3, 0.1, RATE_HZ),)),
        (Clip(), (Limit(6, soft=True),)),
        (Stretch(), Change(1.0, 1.0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_is_delayed(augmentation: Augmentation, drawn: object) -> None:
    stem = convolve(noise(30_000, stems=1), torch.ones(5) / 5)

    changed = augmentation.apply(stem, drawn)

    spectrum = torch.fft.rfft(stem[0, 0], 1 << 17).conj() * torch.fft.rfft(changed[0, 0], 1 << 17)
    assert int(torch.fft.irfft(spectrum).argmax()) == 0


def test_a_low_pass_cuts_all_stems_at_one_frequency() -> None:
    low, high = tone(9000), tone(11_000)

    both = LowPass().apply(torch.cat([low + high, high + low]), Cut(10_000, RATE_HZ))

    assert level_db(both[:1], low) == pytest.approx(0, abs=0.05)
    assert level_db(both[:1] - low, high) < -60
    assert torch.equal(both[0], both[1])


def test_a_cutoff_above_half_the_rate_does_nothing(rng: np.random.Generator) -> None:
    high = LowPass(low_hz=17_000, high_hz=19_000, probability=1.0)

    assert high.draw(rng, 2, 100, 32_000) is None


def test_a_room_has_its_delay_level_and_decay() -> None:
    room = Room(seed=3, decay_s=0.4, delay_s=0.02, wet_db=-6, rate_hz=RATE_HZ)
    click = torch.zeros(1, 2, RATE_HZ)
    click[..., 0] = 1

    answer = Reverb().apply(click, (room,))[0] - click[0]

    assert answer[:, : int(0.02 * RATE_HZ)].abs().max() < 1e-6
    energy_db = 10 * torch.log10(answer.square().sum(dim=1))
    torch.testing.assert_close(energy_db, torch.tensor([-6.0, -6.0]), rtol=0, atol=0.1)
    early, late = (answer[:, int(s * RATE_HZ) :][:, :2205].square().sum() for s in (0.05, 0.25))
    assert 10 * math.log10(float(early / late)) == pytest.approx(30, abs=2)
    assert abs(float(torch.corrcoef(answer)[0, 1])) < 0.1, "a room is wide"


def test_width_keeps_the_middle_and_widens_mono() -> None:
    mono = noise(20_000)[:, :1].expand(2, 2, -1).contiguous()
    stems = torch.stack([noise(20_000, seed=4)[0], mono[0]])

    wide = Width().apply(stems, (Image(1.5, 0.4, 7, RATE_HZ),) * 2)

    torch.testing.assert_close(wide.sum(dim=1), stems.sum(dim=1), rtol=0, atol=1e-5)
    side, before = (audio[:, 0] - audio[:, 1] for audio in (wide, stems))
    torch.testing.assert_close(side[0], 1.5 * before[0], rtol=0, atol=1e-5)
    assert float(side[1].square().sum() / mono[0].sum(dim=0).square().sum()) == pytest.approx(
        0.16, rel=0.2
    )


def test_panning_attenuates_one_channel_and_amplifies_none() -> None:
    stems = torch.ones(2, 2, 10)

    panned = Pan().apply(stems, (20.0, -20.0))

    torch.testing.assert_close(panned[..., 0], torch.tensor([[0.1, 1.0], [1.0, 0.1]]))


@pytest.mark.parametrize("speed", [2 ** (-2 / 12), 1.0, 2 ** (2 / 12)])
def test_speed_changes_pitch_and_pads_with_silence(speed: float) -> None:
    changed = faster(tone(1000)[0], speed)

    assert changed.shape == (2, RATE_HZ)
    audible = changed[:, : int(RATE_HZ / max(speed, 1)) - 100]
    assert pitch_hz(audible) == pytest.approx(1000 * speed, abs=3)
    assert not changed[:, math.ceil(RATE_HZ / speed) + 1 :].any()


@given(st.integers(1, 5000), st.floats(-12, 12), st.floats(0, 12))
def test_speed_requests_enough_samples(samples: int, low: float, width: float) -> None:
    speed = Speed(low_semitones=low, high_semitones=min(low + width, 12))
    given_samples = speed.needs(samples)

    changed = speed.apply(torch.ones(1, 2, given_samples), (2 ** (speed.high_semitones / 12),))

    assert changed[..., :samples].all(), "no silence within what is kept"


def test_stems_are_sped_up_together_on_request(rng: np.random.Generator) -> None:
    drawn = Speed(together=True, probability=1.0).draw(rng, 4, 10, RATE_HZ)

    assert len(drawn) == 4
    assert len(set(drawn)) == 1


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_stretching_changes_the_length_and_neither_pitch_nor_level(factor: float) -> None:
    stem = tone(1000)[0] * torch.tensor([[1.0], [-0.5]])

    long = stretched(stem, factor)

    assert long.shape == (2, round(RATE_HZ * factor))
    assert pitch_hz(long) == pytest.approx(1000, abs=3)
    inside = long[:, RATE_HZ // 4 : RATE_HZ // 2]
    assert inside[0].square().mean().sqrt() == pytest.approx(0.5**0.5, rel=0.03)
    torch.testing.assert_close(inside[1], -0.5 * inside[0], rtol=0, atol=1e-3)


def test_stretching_by_1_returns_the_stem() -> None:
    stem = noise(20_000)[0]

    torch.testing.assert_close(stretched(stem, 1.0), stem, rtol=0, atol=1e-4)


def test_pitch_and_tempo_change_independently() -> None:
    beats = torch.zeros(1, 2, 2 * RATE_HZ)
    beats[..., 4410::8820] = 1  # every 0.2 s

    slower = Stretch().apply(beats, Change(tempo=0.8, pitch=1.0))[0, 0]
    higher = Stretch().apply(tone(1000), Change(tempo=1.1, pitch=1.2))[0]

    power = slower.square().view(-1, 441).sum(dim=1)  # 10 ms each
    near = [abs(number - 12.5 - 25 * round((number - 12.5) / 25)) <= 3 for number in range(200)]
    assert power[torch.tensor(near)].sum() > 0.8 * power.sum(), "beats every 0.25 s"
    assert pitch_hz(higher[:, : RATE_HZ * 8 // 10]) == pytest.approx(1200, abs=3)


def test_stretching_requests_enough_samples() -> None:
    stretch = Stretch(high_tempo=1.5, probability=1.0)
    needed = stretch.needs(10_000)

    changed = stretch.apply(noise(needed, stems=1), Change(tempo=1.5, pitch=0.9))

    assert changed[0, 0, 9000:10_000].square().mean() > 0.3 * 0.01


@given(st.floats(0, 20), st.booleans(), st.integers(0, 20))
def test_clipping_of_the_mixture_is_shared_by_all_stems(
    under_db: float, soft: bool, seed: int
) -> None:
    stems = noise(2000, stems=3, seed=seed)
    limit = Limit(under_db, soft)

    clipped = Clip().apply(stems, (limit,))

    mixture, before = clipped.sum(dim=0), stems.sum(dim=0)
    edge = float(before.abs().max()) * 10 ** (-under_db / 20)
    assert mixture.abs().max() <= edge + 1e-6
    if not soft:
        torch.testing.assert_close(mixture, before.clamp(-edge, edge), rtol=0, atol=1e-6)
    assert torch.equal(clipped.sign(), stems.sign())


def test_stems_can_be_clipped_separately() -> None:
    stems = noise(2000)

    clipped = Clip(each_stem=True).apply(stems, (Limit(6, soft=False), None))

    edge = float(stems[0].abs().max()) * 10 ** (-6 / 20)
    torch.testing.assert_close(clipped[0], stems[0].clamp(-edge, edge), rtol=0, atol=1e-6)
    assert torch.equal(clipped[1], stems[1])


def test_a_compressor_reduces_differences_and_keeps_the_power() -> None:
    stem = noise(2 * RATE_HZ, stems=1)
    stem[..., RATE_HZ:] *= 0.1

    changed = Compress().apply(stem, (Setting(-30, 4, 0.05, RATE_HZ),))

    loud, soft = (
        level_db(changed[..., part], stem[..., part])
        for part in (slice(None, RATE_HZ), slice(RATE_HZ, None))
    )
    assert soft - loud == pytest.approx(15, abs=1), "20 dB become 5"
    torch.testing.assert_close(changed.square().mean(), stem.square().mean(), rtol=1e-4, atol=0)
    ratio = changed[0, 0] / stem[0, 0]
    torch.testing.assert_close(ratio, changed[0, 1] / stem[0, 1], rtol=1e-3, atol=0)


@pytest.mark.parametrize("codec", ["mp3", "aac"])
def test_a_codec_is_more_accurate_at_a_higher_bit_rate(codec: str) -> None:
    stem = convolve(noise(40_000, stems=1), torch.ones(5) / 5)

    harm_db = [
        level_db(Codec().apply(stem, (Coding(codec, rate, RATE_HZ),)) - stem, stem)
        for rate in (64, 320)
    ]

    assert harm_db[1] < -15
    assert harm_db[1] + 10 < harm_db[0] < -1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("codec", {"codecs": ["mp4"]}, "need codecs out of mp3, aac, got"),
        ("codec", {"low_kbit_s": 65, "high_kbit_s": 70}, "need a bit rate of MP3"),
        ("equaliser", {"bumps": 0}, "need 1 <= bumps <= 16"),
        ("equaliser", {"bumps": 1.5}, "bumps must be a int"),
        ("reverb", {"low_s": 2}, "low_s <= high_s"),
        ("reverb", {"most_delay_s": -1}, "need 0 <= most_delay_s <= 1"),
        ("low_pass", {"low_hz": 30_000}, "low_hz <= high_hz"),
        ("speed", {"high_semitones": 13}, "high_semitones <= 12"),
        ("stretch", {"low_tempo": 0.1}, "need 0.5 <= low_tempo"),
        ("width", {"spread": 3}, "need 0 <= spread <= 2"),
        ("pan", {"most_db": -1}, "need 0 <= most_db <= 60"),
        ("clip", {"soft": 2}, "need 0 <= soft <= 1"),
        ("compress", {"most_ratio": 0.5}, "need 1 <= most_ratio <= 100"),
        ("mixup", {"low_db": 3}, "low_db <= high_db"),
    ],
)
def test_impossible_values_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, options)


def test_codecs_refuse_unsupported_rates(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"sample rates of .* Hz, got 1000"):
        Codec().draw(rng, 1, 10, 1000)
