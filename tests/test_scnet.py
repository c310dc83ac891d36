"""SCNet agrees with the original; golden outputs have weights that are seeded by names."""

import copy
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.autocast import InLowPrecision
from demixing.networks.scnet import SCNet, padding
from demixing.networks.scnet_fast import rewrite
from demixing.separator import Chunking, SongEnd
from demixing.separators import scnet
from demixing.separators.msst.config import Config
from demixing.separators.msst.separator import prepare
from demixing.weights import loading
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.scnet import LENGTHS, SIZES, SMALL, STEMS, STRIDE, mixtures

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "scnet.npz"

PARAMETERS = {"small": 10_578_768, "large": 42_181_232, "xl": 54_006_896, "xl_ihf": 53_466_800}

CONFIG: dict[str, Any] = {
    "audio": {"chunk_size": 485_100, "sample_rate": 44_100},
    "model": {
        "sources": ["drums", "bass", "other", "vocals"],
        "nfft": 4096,
        "hop_size": 1024,
        "win_size": 4096,
        "normalized": True,
        "band_SR": [0.175, 0.392, 0.433],
        "band_stride": [1, 4, 16],
        "band_kernel": [3, 4, 16],
        "num_dplayer": 6,
    },
}
"""As in the file of the small size."""


@functools.cache
def small(*, masked: bool = False) -> SCNet:
    network = SCNet(sources=len(STEMS), masked=masked, **SMALL).eval().requires_grad_(False)
    seeded.fill(network)
    return network


def golden(name: str) -> Any:
    with np.load(GOLDEN) as stored:
        return stored[name]


def config(**model: Any) -> Config:
    sources = model.get("sources")
    names = {"instruments": sources if isinstance(sources, list) else ["a", "b", "c", "d"]}
    return Config({"model": CONFIG["model"] | model, "training": names}, "mine")


def small_config() -> Config:
    return config(nfft=512, hop_size=128, win_size=512, sources=list(STEMS))


def meta(size: str) -> dict[str, Tensor]:
    """Weights of a published size, on the meta device."""
    shapes = (line.split(" ", 1) for line in golden(f"keys_{size}"))
    sizes = {key: tuple(map(int, shape.strip("(),").split(","))) for key, shape in shapes}
    return {key: torch.empty(shape, device="meta") for key, shape in sizes.items()}


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_the_network_is_the_original(*, fast: bool, masked: bool, samples: int) -> None:
    network = small(masked=masked)
    chosen: nn.Module = rewrite(network) if fast else network

    stems = chosen(mixtures(samples))

    assert stems.shape == (2, len(STEMS), 2, samples)
    expected = torch.from_numpy(golden(f"{'masked' if masked else 'plain'}_{samples}"))
    assert agreement_db(expected, stems[..., ::STRIDE]) > 115


@pytest.mark.parametrize("samples", [1, 50, 127, 128, 255, 256])
@pytest.mark.parametrize("fast", [False, True])
def test_the_short_end_of_a_song_is_separated(*, fast: bool, samples: int) -> None:
    chosen: nn.Module = rewrite(small()) if fast else small()
    end = mixtures(512)[..., :samples]

    stems = chosen(end)

    assert stems.shape == (2, len(STEMS), 2, samples)
    longer = chosen(F.pad(end, (0, 383 - samples)))[..., :samples]  # three hops with one more zero
    assert agreement_db(longer, stems) > 115


@pytest.mark.parametrize("rest", [1, 64, 127, 128])
def test_songs_that_end_in_a_short_chunk_keep_their_length(rest: int) -> None:
    cut = Chunking(chunk=4096, hop=2048, end=SongEnd.EVERY_HOP_RAGGED)
    separator = prepare(
        copy.deepcopy(small()),
        stems=STEMS,
        sample_rate_hz=44_100,
        chunking=cut,
        rewrite=rewrite,
    )
    overlap = OverlapAdd(separator)

    parts = [overlap.push(mixtures(4096 + rest)[:1]), overlap.finish()]

    assert sum(part.shape[-1] for part in parts) == 4096 + rest
    assert all(bool(torch.isfinite(part).all()) for part in parts)


def test_blocks_of_sequences_do_not_change_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = mixtures(2500)
    whole = rewrite(small())(mixture)
    monkeypatch.setattr("demixing.networks.scnet_fast.BLOCK", 5000)

    assert agreement_db(whole, rewrite(small())(mixture)) > 120


def test_the_fast_copy_leaves_network_and_random_numbers_alone() -> None:
    network = copy.deepcopy(small(masked=True))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()

    for dtype in (torch.float32, torch.bfloat16):
        made = rewrite(network, dtype)
        made(mixtures(2048))
        made.to("meta")

    assert torch.equal(random, torch.get_rng_state())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("masked", [False, True])
def test_bfloat16_is_close(*, masked: bool) -> None:
    network, mixture = small(masked=masked), mixtures(2048)
    exact = network(mixture)

    for coarse in (
        rewrite(network, torch.bfloat16),
        InLowPrecision(network),
        copy.deepcopy(network).to(torch.bfloat16),
    ):
        stems = coarse(mixture)
        assert stems.dtype == torch.float32
        assert 25 < agreement_db(exact, stems) < 80


@pytest.mark.parametrize("hop", [3, 10, 1024])
def test_frames_are_even_and_something_is_appended(hop: int) -> None:
    for samples in range(5 * hop, 9 * hop, max(hop // 7, 1)):
        pad = padding(samples, hop, 4 * hop)
        assert 0 < pad <= 2 * hop
        assert (samples + pad) % hop == 0
        assert ((samples + pad) // hop + 1) % 2 == 0


def test_audio_is_padded_until_half_a_window_can_be_mirrored() -> None:
    assert [padding(samples, 1024, 4096) for samples in (1, 500, 1023)] == [3071, 2572, 2049]
    assert [padding(samples, 1024, 4096) for samples in (1024, 2047, 2048)] == [2048, 1025, 1024]
    assert padding(100, 256, 4096) == 9 * 256 - 100  # 2048 samples would be too few


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes_are_recognised_by_their_shapes(size: str) -> None:
    shapes = meta(size)

    network, state = scnet.network(config(**SIZES[size]), shapes)

    own = network.state_dict()
    assert {key: value.shape for key, value in own.items()} == {
        key: value.shape for key, value in shapes.items()
    }
    assert state.keys() == own.keys()
    assert all(parameter.is_meta for parameter in network.parameters())
    assert sum(math.prod(value.shape) for value in own.values()) == PARAMETERS[size]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_network_takes_over_the_weights_of_a_file(*, prefix: str, masked: bool) -> None:
    original = small(masked=masked)
    state = {prefix + key: value for key, value in original.state_dict().items()}

    network, weights = scnet.network(small_config(), state)
    loading.fill(network, weights, "x")

    mixture = mixtures(2048)
    assert torch.equal(network(mixture), original(mixture))
    assert agreement_db(original(mixture), rewrite(network)(mixture)) > 115  # type: ignore[arg-type]


def test_configs_are_recognised() -> None:
    assert scnet.recognises(config())
    assert not scnet.recognises(Config({}, "mine"))
    assert not scnet.recognises(Config({"model": ["band_SR"]}, "mine"))
    other = {"bandsplit_ratios": [0.1, 0.2, 0.7]}
    assert not scnet.recognises(Config({"model": other}, "mine"))
    assert not scnet.recognises(config(tran_depth=1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nfft", 10**9),
        ("nfft", 4095),
        ("nfft", "4096"),
        ("nfft", True),
        ("hop_size", 0),
        ("hop_size", 4096),
        ("hop_size", 1),
        ("hop_size", 1000),
        ("win_size", 2048),
        ("normalized", "yes"),
        ("sources", ["vocals", "other"]),
        ("sources", 4),
        ("band_stride", [1, 4]),
        ("band_stride", [1, 4, 10**9]),
        ("band_stride", [1, 4, 0]),
        ("band_stride", [1, 64, 64]),
        ("band_SR", None),
        ("band_SR", [0.5, 0.5, 0.5]),
        ("band_SR", [float("nan"), 0.1, 0.1]),
        ("band_SR", [0.1, "0.2", 0.7]),
    ],
)
def test_wrong_configs_get_a_sentence(key: str, value: object) -> None:
    with pytest.raises(
        ConfigError, match=rf"the config of mine (needs .* for model\.{key}|does.*band)"
    ):
        scnet.network(config(**{key: value}), meta("small"))


def test_a_config_without_a_model_gets_a_sentence() -> None:
    with pytest.raises(ConfigError, match="config of mine needs a section model, got nothing"):
        scnet.network(Config({"model": None}, "mine"), meta("small"))


@pytest.mark.parametrize(
    "key",
    [
        "encoder.0.SDlayer.convs.0.weight",
        "encoder.0.conv_modules.0.layers.0.1.weight",
        "separation_net.dp_modules.0.lstm_layers.0.weight_hh_l0",
        "decoder.2.1.convtrs.0.weight",
    ],
)
@pytest.mark.parametrize("damage", [(), (4,), (0, 0, 0, 0)])
def test_weights_that_decide_sizes_are_checked(key: str, damage: tuple[int, ...]) -> None:
    state = meta("small")
    state[key] = torch.empty(damage, device="meta")

    with pytest.raises(CheckpointError, match="weights of an SCNet"):
        scnet.network(config(), state)


def test_other_weights_are_refused() -> None:
    with pytest.raises(CheckpointError, match="weights of an SCNet"):
        scnet.network(config(), {})
    state = small().state_dict()
    for damaged in (
        {key: value for key, value in state.items() if key != "encoder.1.globalconv.bias"},
        state | {"more": torch.zeros(1)},
        state | {"encoder.1.globalconv.bias": torch.zeros(3)},
    ):
        network, weights = scnet.network(small_config(), damaged)
        with pytest.raises(CheckpointError, match="another network"):
            loading.fill(network, weights, "x")


@pytest.mark.parametrize(
    "options",
    [
        {"dims": (3, 8)},
        {"num_dplayer": 5},
        {"conv_kernel": 2},
        {"hop_size": 1000},
        {"band_stride": (1, 64, 64)},
    ],
)
def test_sizes_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"need|band"):
        loading.empty(lambda: SCNet(**options))
