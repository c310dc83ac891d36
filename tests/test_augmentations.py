"""The contract of every augmentation; a new plug-in is tested automatically."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from demixing.errors import ConfigError
from demixing.training import augmentations
from demixing.training.augmentations import Apart, Augmentation, Choice, Only, build
from demixing.training.augmentations.flip_polarity import FlipPolarity
from demixing.training.augmentations.gain import Gain
from demixing.training.augmentations.swap_channels import SwapChannels

RATE_HZ = 44_100
BUILT = {name: build(name, {"probability": 1.0}) for name in augmentations.names()}
WAVES = [name for name, built in BUILT.items() if isinstance(built, Augmentation)]
every_wave = pytest.mark.parametrize("name", WAVES)


def wave(name: str, **options: float) -> Augmentation:
    built = build(name, {"probability": 1.0, **options})
    assert isinstance(built, Augmentation)
    return built


def noise(stems: int, samples: int, seed: int = 0) -> Tensor:
    """Coloured stereo noise; all stems and channels differ."""
    white = torch.randn(stems, 2, samples, generator=torch.Generator().manual_seed(seed))
    return 0.1 * (white + white.roll(1, dims=2))


def test_each_is_either_an_augmentation_or_a_choice() -> None:
    for name, built in BUILT.items():
        assert isinstance(built, Augmentation) != isinstance(built, Choice), name


@every_wave
@pytest.mark.parametrize("samples", [1, 1000, 30_011])
def test_shapes_stay_and_the_input_is_not_modified(name: str, samples: int) -> None:
    stems = noise(3, samples)
    before = stems.clone()
    augmentation = wave(name)

    drawn = augmentation.draw(np.random.default_rng(1), 3, samples, RATE_HZ)
    changed = augmentation.apply(stems, drawn)

    assert changed.shape == stems.shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert torch.equal(stems, before), "apply() must not modify its input"


@every_wave
def test_one_stem_at_a_time_gives_the_same(name: str) -> None:
    stems = noise(3, 30_000)
    stems[1] = 0
    augmentation = wave(name)
    drawn = augmentation.draw(np.random.default_rng(4), 3, 30_000, RATE_HZ)
    together = augmentation.apply(stems, drawn)

    parts = augmentation.apart(drawn, 3) if isinstance(augmentation, Apart) else None

    if parts is None:
        assert name == "clip", "a new augmentation should act on one stem at a time if it can"
        return
    alone = [augmentation.apply(stem[None], part) for stem, part in zip(stems, parts, strict=True)]
    assert torch.equal(torch.cat(alone), together)


@every_wave
def test_all_randomness_is_in_the_drawn_values(name: str) -> None:
    stems = noise(3, 20_000)
    augmentation = wave(name)
    first, second, other = (
        augmentation.draw(np.random.default_rng(seed), 3, 20_000, RATE_HZ) for seed in (5, 5, 6)
    )

    assert first == second
    sent = pickle.loads(pickle.dumps(first))
    assert sent == first
    once = augmentation.apply(stems, first)
    assert torch.equal(once, augmentation.apply(stems, sent))
    if first != other:
        assert not torch.equal(once, augmentation.apply(stems, other))


@every_wave
def test_a_silent_stem_stays_silent_and_the_others_do_not(name: str) -> None:
    stems = noise(3, 20_000)
    stems[1] = 0
    augmentation = wave(name)

    changed = augmentation.apply(
        stems, augmentation.draw(np.random.default_rng(2), 3, 20_000, RATE_HZ)
    )

    assert not changed[1].any()
    assert changed[0].any()
    assert changed[2].any()


@every_wave
def test_with_probability_0_nothing_happens(name: str) -> None:
    stems = noise(3, 5000)
    augmentation = wave(name, probability=0.0)

    for seed in range(5):
        drawn = augmentation.draw(np.random.default_rng(seed), 3, 5000, RATE_HZ)
        assert torch.equal(augmentation.apply(stems, drawn), stems)


@pytest.mark.parametrize("name", augmentations.names())
def test_wrong_options_are_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' rejects.* 0 <= probability <= 1, got 1.5"):
        build(name, {"probability": 1.5})
    with pytest.raises(ConfigError, match="no key 'probabilty'; did you mean 'probability'"):
        build(name, {"probabilty": 1.0})


def test_unknown_names_are_refused_with_the_closest() -> None:
    with pytest.raises(ConfigError, match="no augmentation named 'gian'; did you mean 'gain'"):
        build("gian")


def test_only_names_the_affected_stems() -> None:
    built = build("gain", {"only": ["vocals"], "low_db": -1})

    assert built == Only(("vocals",), Gain(low_db=-1.0))
    with pytest.raises(ConfigError, match="augmentation 'gain': only must be a list"):
        build("gain", {"only": "vocals"})


@given(st.floats(-60, 60), st.floats(0, 20), st.integers(0, 1000))
def test_gains_stay_in_their_range(low_db: float, width_db: float, seed: int) -> None:
    gain = Gain(low_db=low_db, high_db=min(low_db + width_db, 60))

    drawn = gain.draw(np.random.default_rng(seed), 4, 10, RATE_HZ)

    assert all(value is not None and low_db <= value <= gain.high_db for value in drawn)


def test_twenty_db_are_ten_times() -> None:
    stems = noise(2, 100)

    torch.testing.assert_close(Gain().apply(stems, (20.0, None))[0], 10 * stems[0])
    assert torch.equal(Gain().apply(stems, (20.0, None))[1], stems[1])


def test_an_invalid_range_is_refused() -> None:
    with pytest.raises(ValueError, match="need -60 <= low_db <= high_db <= 60, got 3 and -3"):
        Gain(low_db=3, high_db=-3)


@pytest.mark.parametrize("augmentation", [SwapChannels(), FlipPolarity()])
def test_doing_it_twice_undoes_it(augmentation: Augmentation) -> None:
    stems = noise(3, 100)
    drawn = (True, None, True)

    once = augmentation.apply(stems, drawn)

    assert not torch.equal(once[0], stems[0])
    assert torch.equal(once[1], stems[1])
    assert torch.equal(augmentation.apply(once, drawn), stems)
