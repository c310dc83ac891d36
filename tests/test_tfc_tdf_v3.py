"""TFC-TDF v3 agrees with KUIELab's own code; its weights are seeded by names."""

import copy
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import tfc_tdf_v3 as benchmark
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.autocast import InLowPrecision
from demixing.networks.tfc_tdf_v3 import Norm, TFCTDFv3
from demixing.separators import tfc_tdf_v3
from demixing.separators.msst.config import Config
from demixing.weights.loading import fill
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.tfc_tdf_v3 import OFFICIAL, SMALL, TINY, config, samples

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "tfc_tdf_v3.npz"
PARAMETERS = {
    "mdx_ab": 30_119_168,
    "cdx_a": 27_498_304,
    "mdx_c_3": 45_807_744,
    "mdx23c": 111_990_272,
}
FILE_BYTES = {
    "mdx_ab": 120_586_444,
    "cdx_a": 110_102_539,
    "mdx_c_1": 183_368_960,
    "mdx_c_2": 358_963_712,
    "mdx_c_3": 183_344_384,
    "mdx23c": 448_101_203,
}


Sections = dict[str, dict[str, Any]]


def stored(name: str) -> Any:
    with np.load(GOLDEN) as arrays:
        return arrays[name]


def official(name: str) -> dict[str, Tensor]:
    """Weights without memory, with the keys and shapes of a published file."""
    state = {}
    for line in stored(f"keys_{name}"):
        key, _, shape = str(line).partition(" ")
        sizes = [int(size) for size in re.findall(r"\d+", shape)]
        state[key] = torch.empty(sizes, device="meta")
    return state


def made(choice: Sections, stems: int) -> TFCTDFv3:
    """A network without a file."""
    audio = {key: choice["audio"][key] for key in ("n_fft", "hop_length", "dim_f")}
    network = TFCTDFv3(**audio, **choice["model"], stems=stems).eval()
    seeded.fill(network)
    return network.requires_grad_(requires_grad=False)


def network_of(
    choice: Sections, weights: Mapping[str, Tensor]
) -> tuple[TFCTDFv3, dict[str, Tensor]]:
    return tfc_tdf_v3.network(Config(choice, "mine"), weights)


def recognised(sections: dict[str, Any]) -> bool:
    return tfc_tdf_v3.recognises(Config(sections, "mine"))


def stems_of(choice: Sections) -> int:
    training = choice["training"]
    return 1 if training["target_instrument"] else len(training["instruments"])


@functools.cache
def tiny() -> TFCTDFv3:
    return made(SMALL["instance_norm"], 4)


def state() -> dict[str, Tensor]:
    return dict(tiny().state_dict())


@pytest.mark.parametrize("name", SMALL)
def test_a_file_gives_the_output_of_the_original(name: str) -> None:
    choice = SMALL[name]
    weights = made(choice, stems_of(choice)).state_dict()
    network, rest = network_of(choice, weights)
    fill(network, rest, name)
    mixture = seeded.song(samples(choice))[None]
    kept = mixture.clone()

    with torch.inference_mode():
        stems = network(mixture)

    assert stems.dtype == torch.float32
    assert agreement_db(torch.from_numpy(stored(name)), stems[0]) > 100
    assert torch.equal(mixture, kept)


@pytest.mark.parametrize("name", OFFICIAL)
def test_networks_of_published_files_are_built_from_their_shapes(name: str) -> None:
    weights = official(name)

    network, rest = network_of(OFFICIAL[name], weights)

    own = network.state_dict()
    assert {key: value.shape for key, value in own.items()} == {
        key: value.shape for key, value in weights.items()
    }
    assert all(value.is_meta for value in own.values())
    assert rest == weights
    count = sum(value.numel() for value in own.values())
    assert count == PARAMETERS.get(name, count)
    # A file contains its weights in float32, and little else.
    assert 0 < FILE_BYTES[name] - 4 * count < 200_000


@pytest.mark.parametrize("frames", [8, 12, 20])
def test_chunks_may_have_any_number_of_frames_that_the_scales_divide(frames: int) -> None:
    mixtures = torch.stack([seeded.song(32 * (frames - 1), seed) for seed in (0, 1)])

    with torch.inference_mode():
        stems = tiny()(mixtures)
        alone = tiny()(mixtures[1:])

    assert stems.shape == (2, 4, *mixtures.shape[1:])
    assert agreement_db(alone[0], stems[1]) > 100


@pytest.mark.parametrize("length", [0, 32 * 14, 32 * 15 - 1, 32 * 15 + 1, 32 * 16])
def test_chunks_of_other_lengths_are_refused(length: int) -> None:
    expected = (
        rf"expected 32 \* \(frames - 1\) samples, more than 64, with frames a multiple of 4; "
        f"got {length} samples"
    )

    with pytest.raises(ValueError, match=expected):
        tiny()(torch.zeros(1, 2, length))


def test_the_nearest_length_is_one_that_is_accepted() -> None:
    for network in (tiny(), made(config(("a", "b"), **TINY | {"n_fft": 512}), 2)):
        hop, half = network.hop_length, network.n_fft // 2
        frames = range(network.frame_multiple, 60, network.frame_multiple)
        accepted = [hop * (count - 1) for count in frames if hop * (count - 1) > half]
        for wanted in range(0, accepted[-1] + 1, 7):
            nearest = network.nearest_length(wanted)
            assert nearest in accepted
            assert abs(wanted - nearest) == min(abs(wanted - length) for length in accepted)


def test_chunks_that_are_too_short_to_be_mirrored_are_refused() -> None:
    network = made(config(("a", "b"), **TINY | {"n_fft": 512}), 2)

    network(torch.zeros(1, 2, 32 * 11))
    with pytest.raises(ValueError, match="more than 256"):
        network(torch.zeros(1, 2, 32 * 7))


@pytest.mark.parametrize("name", SMALL)
def test_lower_precision_is_close(name: str) -> None:
    network = made(SMALL[name], stems_of(SMALL[name]))
    mixture = seeded.song(samples(SMALL[name]))[None]

    with torch.inference_mode():
        exact = network(mixture)
        products = InLowPrecision(network)(mixture)
        weights = network.to(torch.bfloat16)(mixture)

    assert products.dtype == weights.dtype == torch.float32
    assert 25 < agreement_db(exact, products) < 60
    assert 25 < agreement_db(exact, weights) < 60


def test_norms_have_their_sums_in_float32() -> None:
    norm = Norm(2, 2)
    draw = torch.Generator().manual_seed(0)
    x = (30 + torch.randn(1, 2, 64, 64, generator=draw)).to(torch.bfloat16)

    exact = norm(x.float())
    coarse = norm.to(torch.bfloat16)(x)

    assert torch.equal(coarse, exact.to(torch.bfloat16))


@pytest.mark.parametrize("level", [0.0, 1e-30, 30.0])
def test_extreme_chunks_give_finite_stems(level: float) -> None:
    with torch.inference_mode():
        stems = tiny()(torch.full((1, 2, 32 * 15), level))

    assert torch.isfinite(stems).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dim_f": 66}, "got 66 bins for an n_fft of 128"),
        ({"dim_f": 60}, "4 sub-bands share equally"),
        ({"bottleneck_factor": 5}, "a bottleneck by 5"),
        ({"norm": "LayerNorm"}, "norm must be InstanceNorm, BatchNorm"),
        ({"norm": "GroupNorm3"}, "must be divisible by num_groups"),
        ({"norm": "GroupNorm0"}, "norm must be"),
        ({"act": "elu"}, "act must be gelu, relu or elu and its alpha"),
        ({"act": "swish"}, "got 'swish'"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    changes: dict[str, Any], reason: str
) -> None:
    choice = config(("a", "b"), **TINY | changes)

    with pytest.raises(ValueError, match=reason):
        made(choice, 2)


def test_configurations_of_this_system_are_recognised() -> None:
    assert recognised(OFFICIAL["mdx_ab"])
    assert not recognised({"model": {"num_subbands": 4, "num_channels": 64}})
    assert not recognised({"audio": {}})
    assert not recognised({"model": ["num_subbands"]})


@pytest.mark.parametrize(
    ("section", "key", "value", "reason"),
    [
        ("audio", "n_fft", "128", "an even integer from 2 to 262144 for audio.n_fft, got '128'"),
        ("audio", "n_fft", 127, "an even integer from 2 to 262144 for audio.n_fft, got 127"),
        ("audio", "n_fft", 64, "config of mine is not one of TFC-TDF v3: need at most n_fft // 2"),
        ("audio", "n_fft", 2**40, "for audio.n_fft, got 1099511627776"),
        ("audio", "hop_length", 0, "an integer from 1 to 64 for audio.hop_length, got 0"),
        ("audio", "hop_length", True, "for audio.hop_length, got True"),
        ("audio", "hop_length", None, "for audio.hop_length, got nothing"),
        ("audio", "num_channels", 1, "needs 2, as in the weights, for audio.num_channels, got 1"),
        ("audio", "dim_f", 32, "needs 64, as in the weights, for audio.dim_f, got 32"),
        ("model", "num_subbands", 8, "got 8; use the config that was published with them"),
        ("model", "num_scales", 10**9, "needs 2, as in the weights, for model.num_scales"),
        ("model", "scale", [2, 4], r"needs \(2, 2\), as in the weights, for model\.scale"),
        ("model", "num_channels", [[]], "needs 4, as in the weights, for model.num_channels"),
        ("model", "bottleneck_factor", 0, "an integer from 1 to 65536 for model.bottleneck_factor"),
        ("model", "bottleneck_factor", 16, "a bottleneck by 16"),
        ("model", "norm", None, "needs a text for model.norm, got nothing"),
        ("model", "norm", "GroupNorm3", "must be divisible by num_groups"),
        ("model", "act", "elu" + "9" * 400, "act must be"),
        (
            "training",
            "instruments",
            ["a"],
            "names for 4 outputs of the weights, .* got a$",
        ),
        ("training", "instruments", 4, "different names for training.instruments, got 4"),
        ("training", "target_instrument", "a", "names for 4 outputs of the weights, .* got a$"),
    ],
)
def test_other_configurations_are_refused(
    section: str, key: str, value: object, reason: str
) -> None:
    choice = copy.deepcopy(SMALL["instance_norm"])
    choice[section][key] = value

    with pytest.raises(ConfigError, match=reason):
        network_of(choice, state())


@pytest.mark.parametrize("section", ["audio", "model", "training"])
def test_a_section_that_is_missing_is_named(section: str) -> None:
    choice: dict[str, Any] = dict(SMALL["instance_norm"])
    choice[section] = None

    with pytest.raises(ConfigError, match=f"config of mine needs a section {section}, got nothing"):
        network_of(choice, state())


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("first_conv.weight", None, r"with a first_conv\.weight of 4 axes.*got none"),
        ("first_conv.weight", torch.zeros(4, 16), r"got the shape \(4, 16\)"),
        ("first_conv.weight", torch.zeros(4, 18, 1, 1), "with a multiple of 4 input channels"),
        ("first_conv.weight", torch.zeros(2**40, 16, 0, 1), "at most 65536 channels"),
        ("final_conv.2.weight", torch.zeros(63, 4, 1, 1), "got 16, 63, and 4 new channels in 2"),
        ("bottleneck_block.blocks.0.tfc1.2.weight", torch.zeros(9, 8, 3, 3), "5 new channels in 2"),
        ("encoder_blocks.0.tfc_tdf.blocks.0.tdf.2.weight", torch.zeros(1), "of 2 axes"),
    ],
    ids=str,
)
def test_weights_of_other_systems_are_refused(key: str, value: Tensor | None, reason: str) -> None:
    damaged = state()
    del damaged[key]
    if value is not None:
        damaged[key] = value

    with pytest.raises(CheckpointError, match=reason):
        network_of(SMALL["instance_norm"], damaged)


def test_keys_cannot_ask_for_thousands_of_layers() -> None:
    many = {f"bottleneck_block.blocks.{index}.x": torch.zeros(0) for index in range(100)}

    with pytest.raises(CheckpointError, match=r"1 to 32 of bottleneck_block\.blocks\.\*, got 100"):
        network_of(SMALL["instance_norm"], state() | many)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("decoder_blocks.1.tfc_tdf.blocks.0.shortcut.weight", None),
        ("encoder_blocks.1.tfc_tdf.blocks.1.tdf.3.bias", torch.zeros(7)),
        ("encoder_blocks.0.downscale.conv.2.bias", torch.zeros(6)),
    ],
    ids=str,
)
def test_damaged_weights_are_refused_when_they_are_loaded(key: str, value: Tensor | None) -> None:
    damaged = state()
    damaged.pop(key, None)
    if value is not None:
        damaged[key] = value

    network, rest = network_of(SMALL["instance_norm"], damaged)

    with pytest.raises(CheckpointError, match="for another network than TFCTDFv3"):
        fill(network, rest, "damaged")


def test_weights_of_a_batch_norm_without_its_statistics_are_refused() -> None:
    choice = SMALL["batch_norm"]
    averaged = dict(made(choice, 2).named_parameters())

    network, rest = network_of(choice, averaged)

    with pytest.raises(CheckpointError, match="keys missing"):
        fill(network, rest, "averaged")


def test_the_benchmark_requires_the_original() -> None:
    with pytest.raises(ConfigError, match="needs --original with a clone of sdx23"):
        next(benchmark.run(quick=True))
