"""BandIt v2 and Plus agree with their authors' layers; golden outputs have seeded weights."""

import ast
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import bandit as benchmark
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.autocast import InLowPrecision
from demixing.networks.bandit import bands_of, bin_weights
from demixing.separators import bandit
from demixing.separators.msst.config import Config
from demixing.weights.loading import fill
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.bandit import FULL, NARROW, PLUS, SAMPLES, STEP, V2, constant, is_copy

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "bandit.npz"
KINDS: dict[str, dict[str, Any]] = {"v2": V2, "plus": PLUS}
FRAME = 2048

every_kind = pytest.mark.parametrize("kind", KINDS)


def config(kind: str, sizes: dict[str, Any], **changed: Any) -> Config:
    model = {**KINDS[kind], **sizes, **changed}
    return Config({"model": model, "training": {"instruments": model["stems"]}}, "mine")


@functools.cache
def shapes(kind: str, size: str) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of the authors' state dict."""
    with np.load(GOLDEN) as stored:
        lines = [str(line).partition(" ") for line in stored[f"{kind}_{size}"]]
    return {key: ast.literal_eval(shape) for key, _, shape in lines}


def state(kind: str) -> dict[str, Tensor]:
    """What a file has: seeded weights, constants and second copies."""
    drawn = seeded.state(shapes(kind, "narrow"))
    bands = bands_of(FRAME // 2, NARROW["n_bands"])
    for key in drawn:
        if key.endswith("window"):
            drawn[key] = torch.hann_window(FRAME)
        elif "freq_weights" in key:
            drawn[key] = bin_weights(bands)[slice(*bands[int(key.rpartition("/")[2])])].double()
        elif is_copy(key):
            before, _, after = key.partition(".combined.")
            own = ("norm", "hidden", "output")[int(after[0])]
            drawn[key] = drawn[f"{before}.{own}{after[1:]}"].clone()
    return drawn


@functools.cache
def filled(kind: str) -> nn.Module:
    network, ours = bandit.network(config(kind, NARROW), state(kind))
    fill(network, ours, kind)
    return network


def separated(network: nn.Module, samples: int) -> Tensor:
    with torch.inference_mode():
        stems: Tensor = network(seeded.song(samples, seed=8)[None])
    return stems


@every_kind
def test_the_network_is_the_original(kind: str) -> None:
    stems = separated(filled(kind), SAMPLES)[0]

    with np.load(GOLDEN) as stored:
        assert agreement_db(torch.from_numpy(stored[kind]), stems[..., ::STEP]) > 110


@pytest.mark.parametrize(("kind", "tensors"), [("v2", 2946), ("plus", 1794)])
def test_the_published_sizes_are_built_from_the_shapes_of_the_weights(
    kind: str, tensors: int
) -> None:
    published = {
        key: torch.empty(shape, device="meta")
        for key, shape in shapes(kind, "full").items()
        if not constant(key)
    }
    sizes = {key: value for key, value in FULL.items() if key in bandit.LIMITS}

    network, ours = bandit.network(config(kind, sizes), published)

    built = {key: value.shape for key, value in network.state_dict().items()}
    assert built == {key: value.shape for key, value in ours.items()}
    assert sum(parameter.numel() for parameter in network.parameters()) == 37_022_688
    assert len(shapes(kind, "full")) == tensors
    assert all(parameter.is_meta for parameter in network.parameters())


def test_the_bands_are_those_of_the_published_weights() -> None:
    bands = bands_of(1024, 64)
    published = [
        shapes("v2", "full")[f"mask_estim.speech.freq_weights/{band}"] for band in range(64)
    ]

    assert [(end - start,) for start, end in bands] == published
    assert bands[0][0] == 0
    assert bands[-1][1] == 1025


def test_bin_weights_sum_to_one() -> None:
    bands = bands_of(1024, 64)
    total = torch.zeros(1025)
    for start, end in bands:
        total[start:end] += bin_weights(bands)[start:end]

    torch.testing.assert_close(total, torch.ones(1025))


@every_kind
@pytest.mark.parametrize("samples", [1025, 2048, 5000])
def test_lengths_are_kept(kind: str, samples: int) -> None:
    stems = separated(filled(kind), samples)

    assert stems.shape == (1, 3, 2, samples)
    assert torch.isfinite(stems).all()


def test_plus_takes_audio_shorter_than_half_a_window() -> None:
    assert separated(filled("plus"), 7).shape == (1, 3, 2, 7)


def test_channels_are_separated_by_themselves() -> None:
    song = seeded.song(3000)[None]

    with torch.inference_mode():
        both, left = filled("v2")(song), filled("v2")(song[:, :1])

    torch.testing.assert_close(both[:, :, :1], left)


def test_low_precision_is_close() -> None:
    network, ours = bandit.network(config("v2", NARROW), state("v2"))
    fill(network, ours, "v2")
    exact = separated(network, 4000)

    coarse = separated(InLowPrecision(network), 4000)
    coarser = separated(network.to(torch.bfloat16), 4000)

    assert coarse.dtype == coarser.dtype == torch.float32
    assert 20 < agreement_db(exact, coarse) < 70
    assert 20 < agreement_db(exact, coarser) < 70


def test_the_network_trains() -> None:
    network, _ = bandit.network(config("v2", NARROW), state("v2"))
    network = network.to_empty(device="cpu")
    seeded.fill(network)

    network(seeded.song(3000)[None]).sum().backward()

    assert all(parameter.grad is not None for parameter in network.parameters())


@every_kind
@pytest.mark.parametrize("section", ["model", "kwargs"])
def test_configurations_are_recognised(kind: str, section: str) -> None:
    assert bandit.recognises(Config({"audio": {}, section: KINDS[kind] | NARROW}, "mine"))


@pytest.mark.parametrize(
    "other",
    [{}, {"model": {"dim": 384, "depth": 6}}, {"model": 3}, {"model": {"band_type": "musical"}}],
    ids=str,
)
def test_other_configurations_are_not(other: dict[str, Any]) -> None:
    assert not bandit.recognises(Config(other, "mine"))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rnn_type": "LSTM"}, "config of mine needs 'GRU' for model.rnn_type, got 'LSTM'"),
        ({"band_type": "mel"}, "needs 'musical' for model.band_type, got 'mel'"),
        ({"pad_mode": "circular"}, "needs 'constant' or 'reflect' for model.pad_mode, got 'circ"),
        ({"pad_mode": ["reflect"]}, r"model.pad_mode, got \['reflect'\]"),
        ({"n_bands": 10**9}, "an integer from 2 to 256 for model.n_bands, got 1000000000"),
        ({"n_bands": "64"}, "an integer from 2 to 256 for model.n_bands, got '64'"),
        ({"n_sqm_modules": True}, "an integer from 1 to 64 for model.n_sqm_modules, got True"),
        ({"n_sqm_modules": None}, "an integer from 1 to 64 for model.n_sqm_modules, got noth"),
        ({"n_fft": 2**40}, "an even integer from 64 to 4096 for model.n_fft, got 1099511627776"),
        ({"n_fft": 2047}, "an even integer from 64 to 4096 for model.n_fft, got 2047"),
        ({"win_length": 1024}, "needs nothing or 2048 for model.win_length, got 1024"),
        ({"hop_length": 0}, "an integer from 1 to 1024 for model.hop_length, got 0"),
        ({"stems": []}, "a list of 1 to 16 different words for model.stems"),
        ({"stems": ["a", "a"]}, "different words"),
        ({"stems": ["a.b"]}, "different words"),
        ({"stems": ["items"]}, "different words"),
        ({"stems": ["training"]}, "different words"),
        ({"stems": "speech"}, "different words"),
    ],
    ids=str,
)
def test_options_that_are_not_supported_are_named(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        bandit.network(config("v2", NARROW, **changed), state("v2"))


@pytest.mark.parametrize(
    "key",
    [
        "stft.window",
        "istft.window",
        "mask_estim.speech.freq_weights/3",
        "mask_estim.sfx.norm_mlp.2.combined.1.0.weight",
    ],
)
def test_constants_are_checked(key: str) -> None:
    damaged = state("v2")
    damaged[key] = damaged[key] * 1.01

    with pytest.raises(CheckpointError, match=f"expected a constant {key}"):
        bandit.network(config("v2", NARROW), damaged)


@pytest.mark.parametrize("number", [12, 999])
def test_constants_of_bands_that_do_not_exist_are_refused(number: int) -> None:
    more = state("v2") | {f"mask_estim.speech.freq_weights/{number}": torch.ones(3)}

    with pytest.raises(CheckpointError, match="expected a constant"):
        bandit.network(config("v2", NARROW), more)


def test_other_weights_are_refused() -> None:
    with pytest.raises(
        CheckpointError, match="not for BandIt with a stem 'speech': expected tf_mo"
    ):
        bandit.network(config("v2", NARROW), {"fc1.weight": torch.ones(3)})
    with pytest.raises(CheckpointError, match="not for BandIt with a stem 'voice'"):
        bandit.network(config("v2", NARROW, stems=["voice"]), state("v2"))
    network, ours = bandit.network(config("v2", NARROW | {"n_sqm_modules": 3}), state("v2"))
    with pytest.raises(CheckpointError, match="for another network than Bandit: 24 keys missing"):
        fill(network, ours, "bandit")


def test_the_benchmark_requires_the_original() -> None:
    with pytest.raises(ConfigError, match="needs --original with a clone of Music-Source"):
        next(benchmark.run(quick=True))
