"""Losses match their definitions in numpy, and handle silence and blocks of time."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.errors import ConfigError
from demixing.evaluation.metrics.sdr import sdr
from demixing.training import losses
from demixing.training.losses import Loss

pytestmark = pytest.mark.engine

Audio = NDArray[np.float64]

TERMS: list[dict[str, Any]] = [{"name": "wave_l1", "weight": 2}, {"name": "magnitude_l1"}]
OPTIONS: dict[str, dict[str, Any]] = {
    "sum": {"terms": TERMS},
    "quantile": {"loss": {"name": "wave_l1"}, "quantile": 0.6},
}
"""Options of losses that require some."""

RATIOS = {"sdr", "si_snr"}
"""Losses that take ratios within blocks."""

every_loss = pytest.mark.parametrize("name", losses.names())
every_loss_in_time = pytest.mark.parametrize("name", sorted({*losses.names()} - {"quantile"}))


def built(name: str, **options: Any) -> Loss:
    return losses.build(name, {**OPTIONS.get(name, {}), **options})


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def batch(samples: int = 2_400) -> tuple[Tensor, Tensor]:
    """An estimate and stems, ``(2, 3, 2, samples)``, in double precision."""
    stems = noise(2, 3, 2, samples)
    return stems + 0.5 * noise(2, 3, 2, samples, seed=1), stems


def spectrum_by_hand(audio: Audio, frame: int, hop: int) -> NDArray[np.complex128]:
    """Direct definition of the spectrum, ``(..., frames, bins)``."""
    around = [(0, 0)] * (audio.ndim - 1) + [(frame // 2, frame // 2)]
    longer = np.pad(audio, around, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    starts = range(0, audio.shape[-1] + 1, hop)
    frames = [np.fft.rfft(longer[..., start : start + frame] * window) for start in starts]
    return np.stack(frames, axis=-2)


def magnitude_by_hand(estimate: Audio, stems: Audio, frame: int, hop: int) -> Audio:
    ours, theirs = (np.abs(spectrum_by_hand(audio, frame, hop)) for audio in (estimate, stems))
    return np.asarray(np.abs(ours - theirs).mean(axis=(2, 3, 4)))


def resolutions_by_hand(
    estimate: Audio, stems: Audio, resolutions: list[tuple[int, int]], log: float
) -> Audio:
    total = np.zeros(stems.shape[:2])
    for frame, hop in resolutions:
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
        ours, theirs = (
            np.abs(spectrum_by_hand(audio, frame, hop)) / np.sqrt((window**2).sum())
            for audio in (estimate, stems)
        )
        total += np.abs(ours - theirs).mean(axis=(2, 3, 4))
        total += log * np.abs(np.log(ours + 1e-3) - np.log(theirs + 1e-3)).mean(axis=(2, 3, 4))
    return total / len(resolutions)


def compressed_by_hand(estimate: Audio, stems: Audio, power: float) -> Audio:
    total = np.zeros(stems.shape[:2])
    spectra = [spectrum_by_hand(audio, 2048, 441) for audio in (estimate, stems)]
    sizes = [np.abs(spectrum) for spectrum in spectra]
    phases = [np.angle(spectrum) for spectrum in spectra]
    for part in (np.ones_like, np.cos, np.sin):
        ours, theirs = (
            size**power * part(phase) for size, phase in zip(sizes, phases, strict=True)
        )
        total += np.abs(ours - theirs).mean(axis=(2, 3, 4))
    return total


def complex_by_hand(estimate: Audio, stems: Audio) -> Audio:
    error = spectrum_by_hand(estimate, 2048, 441) - spectrum_by_hand(stems, 2048, 441)
    return np.asarray((np.abs(error.real) + np.abs(error.imag)).mean(axis=(2, 3, 4)) / 2)


def sdr_by_hand(estimate: Audio, stems: Audio, best_db: float, quiet_db: float) -> Audio:
    error = ((estimate - stems) ** 2).sum(axis=(2, 3)) + 1e-7
    mixture = (stems.sum(axis=1) ** 2).sum(axis=(1, 2))[:, None]
    energy = (stems**2).sum(axis=(2, 3)) + 10 ** (quiet_db / 10) * mixture + 1e-7
    return np.asarray(10 * np.log10(error / energy + 10 ** (-best_db / 10)))


def si_snr_by_hand(estimate: Audio, stems: Audio) -> Audio:
    estimate = estimate - estimate.mean(axis=-1, keepdims=True)
    stems = stems - stems.mean(axis=-1, keepdims=True)
    energy = (stems**2).sum(axis=-1, keepdims=True) + 1e-8
    signal = (estimate * stems).sum(axis=-1, keepdims=True) / energy * stems
    noise = ((estimate - signal) ** 2).sum(axis=-1) + 1e-8
    ratio = ((signal**2).sum(axis=-1) + 1e-8) / noise
    return np.asarray(-10 * np.log10(ratio).mean(axis=2))


DEFINITIONS: list[tuple[str, dict[str, Any], Any]] = [
    ("wave_l1", {}, lambda e, s: np.abs(e - s).mean(axis=(2, 3))),
    ("wave_l2", {}, lambda e, s: ((e - s) ** 2).mean(axis=(2, 3))),
    ("magnitude_l1", {}, lambda e, s: magnitude_by_hand(e, s, 2048, 441)),
    (
        "magnitude_l1",
        {"frame": 600, "hop": 100},
        lambda e, s: magnitude_by_hand(e, s, 600, 100),
    ),
    (
        "multi_resolution",
        {"frames": [256, 1000], "hops": [64, 300], "log": 0.3},
        lambda e, s: resolutions_by_hand(e, s, [(256, 64), (1000, 300)], 0.3),
    ),
    (
        "multi_resolution",
        {},
        lambda e, s: resolutions_by_hand(
            e, s, [(512, 128), (1024, 256), (2048, 512), (4096, 1024)], 0.0
        ),
    ),
    (
        "sum",
        {},
        lambda e, s: 2 * np.abs(e - s).mean(axis=(2, 3)) + magnitude_by_hand(e, s, 2048, 441),
    ),
    ("complex_l1", {}, complex_by_hand),
    ("compressed", {}, lambda e, s: compressed_by_hand(e, s, 0.3)),
    ("compressed", {"power": 1}, lambda e, s: compressed_by_hand(e, s, 1.0)),
    ("sdr", {}, lambda e, s: sdr_by_hand(e, s, 30, -30)),
    ("sdr", {"best_db": 20, "quiet_db": -10}, lambda e, s: sdr_by_hand(e, s, 20, -10)),
    ("si_snr", {}, si_snr_by_hand),
]


@pytest.mark.parametrize(("name", "options", "by_hand"), DEFINITIONS)
def test_a_loss_matches_its_definition(name: str, options: dict[str, Any], by_hand: Any) -> None:
    estimate, stems = batch()

    values = built(name, **options)(estimate, stems)

    assert values.dtype == torch.float64
    # Compressed magnitudes have a floor, which a few bins of noise reach.
    tolerance = 1e-5 if "compressed" in name else 1e-9
    np.testing.assert_allclose(values, by_hand(estimate.numpy(), stems.numpy()), rtol=tolerance)


@every_loss
def test_single_precision_is_close_to_double(name: str) -> None:
    loss = built(name)
    estimate, stems = batch()

    values = loss(estimate.float(), stems.float())

    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), loss(estimate, stems), rtol=1e-4, atol=1e-4)


@every_loss
def test_it_is_computed_in_float32_under_autocast(name: str) -> None:
    loss = built(name)
    estimate, stems = (audio.bfloat16() for audio in batch())

    with torch.autocast("cpu", torch.bfloat16):
        values = loss(estimate, stems.float())

    assert values.dtype == torch.float32
    assert torch.equal(values, loss(estimate.float(), stems.float()))


@every_loss_in_time
def test_worse_estimates_have_a_higher_loss_and_examples_are_independent(name: str) -> None:
    loss = built(name)
    estimate, stems = batch()
    worse = estimate.clone()
    worse[1, 2] += noise(2, 2_400, seed=2)

    before, after = loss(estimate, stems), loss(worse, stems)

    assert before.shape == (2, 3)
    assert after[1, 2] > before[1, 2]
    same = torch.ones(2, 3, dtype=torch.bool)
    same[1, 2] = False
    assert torch.equal(before[same], after[same])


@every_loss
def test_the_gradient_matches_finite_differences(name: str) -> None:
    loss = built(name)
    estimate, stems = batch()
    weights = torch.tensor([[1.0, 2, 3], [4, 5, 6]], dtype=torch.float64)
    direction = estimate - stems + noise(*estimate.shape, seed=3)
    estimate.requires_grad_()

    (loss(estimate, stems) * weights).sum().backward()  # type: ignore[no-untyped-call]

    assert estimate.grad is not None
    slope = float((estimate.grad * direction).sum())
    with torch.no_grad():
        ahead, behind = (
            (loss(estimate + side * 1e-6 * direction, stems) * weights).sum() for side in (1, -1)
        )
    assert slope == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-3)


@every_loss
@pytest.mark.parametrize("stem_level", [0.0, 1e-20, 1.0])
def test_values_and_gradients_are_finite_for_any_levels(name: str, stem_level: float) -> None:
    loss = built(name)
    estimate, stems = (audio.float() for audio in batch())
    stems[:, 0] *= stem_level

    for level in (0.0, 1e-20, 1e-6, 1.0, 1e4):
        scaled = (estimate * level).requires_grad_()
        values = loss(scaled, stems)
        values.mean().backward()  # type: ignore[no-untyped-call]

        assert torch.isfinite(values).all()
        assert scaled.grad is not None
        assert torch.isfinite(scaled.grad).all()


@every_loss
def test_all_silent_is_finite(name: str) -> None:
    loss = built(name)
    estimate = torch.zeros(1, 3, 2, 2_400, requires_grad=True)

    values = loss(estimate, torch.zeros(1, 3, 2, 2_400))
    values.mean().backward()  # type: ignore[no-untyped-call]

    assert torch.isfinite(values).all()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


@every_loss_in_time
@pytest.mark.parametrize("count", [1, 4, 7])
def test_there_are_as_many_blocks_as_requested(name: str, count: int) -> None:
    loss = built(name)
    estimate, stems = batch(10_000)

    values = loss.blocks(estimate, stems, count)

    assert values.shape == (2, 3, count)
    if name not in RATIOS:  # numbers of frames differ slightly
        torch.testing.assert_close(values.mean(dim=2), loss(estimate, stems), rtol=0.1, atol=1e-9)
    if count == 1:
        torch.testing.assert_close(values[..., 0], loss(estimate, stems))


@every_loss_in_time
def test_a_late_error_is_in_the_last_blocks(name: str) -> None:
    loss = built(name)
    _, stems = batch(20_000)
    estimate = stems + 0.01 * noise(2, 3, 2, 20_000, seed=1)
    estimate[:, 1, :, 15_000:] += noise(2, 2, 5_000, seed=2)

    values = loss.blocks(estimate, stems, 4)

    assert (values[:, 1, 3] > values[:, 1, :2].amax(dim=1)).all()
    assert (values[:, 1, 3] > values[:, 0, 3]).all()


@every_loss
def test_more_blocks_than_there_are_frames_are_refused(name: str) -> None:
    estimate, stems = batch()

    with pytest.raises(ValueError, match="blocks"):
        built(name).blocks(estimate, stems, 2_401)


@every_loss
def test_different_shapes_are_refused(name: str) -> None:
    estimate, stems = batch()

    with pytest.raises(ValueError, match="of one shape"):
        built(name)(estimate[:, :1], stems)


def test_a_sum_is_weighted() -> None:
    estimate, stems = batch()
    terms = [{"name": "wave_l1", "weight": 0.25}, {"name": "wave_l2", "weight": 3}]

    values = losses.build("sum", {"terms": terms}).blocks(estimate, stems, 5)

    first, second = (built(name).blocks(estimate, stems, 5) for name in ("wave_l1", "wave_l2"))
    torch.testing.assert_close(values, 0.25 * first + 3 * second)


def test_absolute_errors_grow_with_the_level_and_squares_with_its_square() -> None:
    estimate, stems = batch()

    for name, power in (("wave_l1", 1), ("wave_l2", 2), ("magnitude_l1", 1)):
        loss = built(name)
        expected = loss(estimate, stems) * 10**power
        torch.testing.assert_close(loss(10 * estimate, 10 * stems), expected)


def test_noise_has_the_same_magnitudes_in_every_resolution() -> None:
    stems = noise(1, 1, 2, 40_000)
    silence = torch.zeros_like(stems)

    values = [
        float(built("multi_resolution", frames=[frame])(silence, stems))
        for frame in (256, 1024, 4096)
    ]

    # Magnitudes of noise of level 0.1 have a Rayleigh distribution, whose mean is 0.0886.
    assert values == pytest.approx([0.0886] * 3, rel=0.02)


def test_without_bounds_the_sdr_matches_the_evaluation() -> None:
    loss = built("sdr", best_db=float("inf"), quiet_db=float("-inf"))
    estimate, stems = (audio.float().double() for audio in batch())

    values = loss(estimate, stems)

    for example in range(2):
        for stem in range(3):
            truth, answer = (audio[example, stem].T.numpy() for audio in (stems, estimate))
            assert float(values[example, stem]) == pytest.approx(
                -sdr(truth[None], answer[None])[0],
                abs=1e-6,  # the evaluation subtracts in float32
            )


def test_a_perfect_estimate_reaches_the_bound_of_the_sdr_and_has_no_gradient() -> None:
    _, stems = batch()
    estimate = stems.clone().requires_grad_()

    values = built("sdr", best_db=25)(estimate, stems)
    values.mean().backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(values, torch.full_like(values, -25), rtol=0, atol=0.01)
    assert estimate.grad is not None
    assert not estimate.grad.any()


def test_a_silent_stem_is_measured_against_its_mixture() -> None:
    _, stems = batch()
    stems[:, 0] = 0
    mixture = stems.sum(dim=1)
    estimate = stems.clone()
    estimate[:, 0] = 0.1 * mixture

    values = built("sdr", quiet_db=-20, best_db=60)(estimate, stems)

    torch.testing.assert_close(values[:, 0], torch.zeros_like(values[:, 0]), rtol=0, atol=0.01)


def test_the_si_snr_ignores_the_level_of_an_estimate() -> None:
    loss = built("si_snr")
    estimate, stems = batch()

    torch.testing.assert_close(loss(3 * estimate, stems), loss(estimate, stems))


def test_the_si_snr_of_a_silent_stem_has_no_gradient() -> None:
    estimate, stems = batch()
    stems[:, 1] = 0
    estimate.requires_grad_()

    values = built("si_snr")(estimate, stems)
    values.mean().backward()  # type: ignore[no-untyped-call]

    assert not values[:, 1].any()
    assert estimate.grad is not None
    assert not estimate.grad[:, 1].any()
    assert estimate.grad[:, 0].any()


@pytest.mark.parametrize(
    ("old", "options", "new"),
    [
        ("l1_wav", {}, {"name": "wave_l1"}),
        (
            "l1_wav_l1_sp",
            {"frame": 512, "hop": 128},
            {
                "name": "sum",
                "options": {
                    "terms": [
                        {"name": "wave_l1"},
                        {"name": "magnitude_l1", "options": {"frame": 512, "hop": 128}},
                    ]
                },
            },
        ),
        (
            "l1_wav_l1_compressed_sp",
            {},
            {"name": "sum", "options": {"terms": [{"name": "wave_l1"}, {"name": "compressed"}]}},
        ),
    ],
)
def test_an_old_name_is_the_same_loss_with_one_warning(
    old: str, options: dict[str, Any], new: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    loss = losses.build(old, options)

    assert loss == losses.from_table(new)
    assert len(caplog.messages) == 1
    assert f"is now '{new['name']}'" in caplog.text


def test_names_are_those_of_the_files() -> None:
    files = Path(losses.__file__).parent.glob("[!_]*.py")

    assert losses.names() == sorted(file.stem for file in files)


@every_loss
def test_it_has_a_summary(name: str) -> None:
    assert losses.summary(name)[-1] in ".:"


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("wave_l", {}, "did you mean 'wave_l"),
        ("magnitude_l1", {"frames": 3}, "has no option 'frames'; did you mean 'frame'"),
        ("magnitude_l1", {"frame": 100, "hop": 51}, "need 0 < hop <= frame / 2"),
        ("magnitude_l1", {"frame": 100.0}, "whole numbers of samples"),
        ("multi_resolution", {"frames": [512], "hops": [128, 256]}, "a hop for each"),
        ("multi_resolution", {"frames": []}, "at least one frame"),
        ("multi_resolution", {"log": -1}, "log must be a weight"),
        ("sum", {}, "rejects its options"),
        ("compressed", {"power": 0}, "power must be above 0"),
        ("sdr", {"best_db": 0}, "best_db must be above 0"),
        ("sdr", {"quiet_db": float("nan")}, "quiet_db must be 0 or less"),
        ("quantile", {}, "rejects its options"),
        ("quantile", {"loss": {"name": "wave"}}, "no loss named 'wave'"),
        ("quantile", {"loss": {"name": "wave_l1"}, "quantile": 1}, "above 0 and below 1"),
        ("quantile", {"loss": {"name": "wave_l1"}, "blocks": 0}, "blocks must be a whole"),
        ("quantile", {"loss": {"name": "wave_l1"}, "after_steps": -1}, "after_steps must be"),
        ("quantile", {"loss": {"name": "wave_l1"}, "within": "song"}, "within must be one of"),
        ("quantile", {"loss": {"name": "wave_l1"}, "within": "example"}, "at least 2 blocks"),
        ("sum", {"terms": []}, "at least one table"),
        ("sum", {"terms": ["wave_l1"]}, "a loss is a table"),
        ("sum", {"terms": [{"options": {}}]}, "a loss needs a name"),
        ("sum", {"terms": [{"name": "wave_l1", "wieght": 1}]}, "a loss has no key 'wieght'"),
        ("sum", {"terms": [{"name": "wave_l1", "weight": 0}]}, "above 0"),
        ("sum", {"terms": [{"name": "wave_l1", "weight": True}]}, "above 0"),
        ("sum", {"terms": [{"name": "wave_l1", "options": {"a": 1}}]}, "has no option 'a'"),
    ],
)
def test_a_wrong_option_is_refused_with_a_hint(
    name: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        losses.build(name, copy.deepcopy(options))
