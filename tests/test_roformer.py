"""RoFormers agree with the originals; golden outputs have weights that are seeded by names."""

import functools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from librosa import filters
from torch import Tensor

from benchmarks import roformer as benchmark
from demixing.errors import CheckpointError, ConfigError
from demixing.networks import roformer, roformer_state
from demixing.networks.autocast import InLowPrecision
from demixing.networks.bs_roformer import BSRoFormer
from demixing.networks.mel_band_roformer import MelBandRoFormer, mel_bands
from demixing.networks.roformer import RoFormer, frequencies
from demixing.networks.stft import stft
from demixing.separators import bs_roformer, mel_band_roformer
from demixing.separators.msst.config import Config
from demixing.weights import loading
from tools.golden import roformer as golden
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

PLUGINS: dict[str, ModuleType] = {"bs": bs_roformer, "mel": mel_band_roformer}
PUBLISHED: dict[str, tuple[type[RoFormer], dict[str, Any], int]] = {
    "viperx vocals": (BSRoFormer, {"dim": 512, "depth": 12}, 159_758_092),
    "viperx other": (BSRoFormer, {"dim": 384, "depth": 12}, 98_194_828),
    "ZFTurbo": (
        BSRoFormer,
        {"dim": 384, "depth": 8, "num_stems": 4, "mlp_expansion_factor": 2},
        131_704_164,
    ),
    "SW": (BSRoFormer, {"dim": 256, "depth": 12, "num_stems": 6}, 174_656_564),
    "Resurrection": (BSRoFormer, {"dim": 256, "depth": 12}, 51_049_484),
    "stemd": (BSRoFormer, {"dim": 256, "depth": 12, "num_stems": 4}, 125_213_732),
    "Kim": (MelBandRoFormer, {"dim": 384, "depth": 6}, 228_202_852),
    "viperx Mel": (MelBandRoFormer, {"dim": 384, "depth": 12}, 251_869_636),
}
"""Class, arguments and number of parameters of published files, with the constants of rotary."""


def stored(name: str) -> Any:
    with np.load(golden.OUTPUT) as arrays:
        return arrays[name]


def class_of(kind: str) -> type[RoFormer]:
    return BSRoFormer if kind.startswith("bs") else MelBandRoFormer


@functools.cache
def network(kind: str) -> RoFormer:
    made = class_of(kind)(**golden.CHOICES[kind]).eval()
    golden.fill(made)
    return made


def separated(separate: Callable[[Tensor], Tensor], mixtures: Tensor) -> Tensor:
    with torch.inference_mode():
        return separate(mixtures)


def file(kind: str) -> dict[str, Tensor]:
    """Return the weights as a file has them: with the constants, in every layer."""
    state = dict(network(kind).state_dict())
    end, pope = ("pope_embed.inv_freqs", True) if "pope" in kind else ("rotary_embed.freqs", False)
    for key in [key for key in state if key.endswith("to_gates.bias")]:
        state[key.replace("to_gates.bias", end)] = frequencies(8, pope=pope)
    return state


def config(kind: str, **changed: Any) -> Config:
    model = {"stft_win_length": 256, **golden.CHOICES[kind], **changed}
    names = {"instruments": [f"stem {number}" for number in range(model.get("num_stems", 1))]}
    return Config({"model": model, "training": names}, "mine")


def built(kind: str, state: dict[str, Tensor] | None = None, **changed: Any) -> Any:
    plugin = PLUGINS[kind.partition("_")[0]]
    return plugin.network(config(kind, **changed), file(kind) if state is None else state)


@pytest.mark.parametrize("kind", golden.CHOICES)
def test_the_network_is_the_original(kind: str) -> None:
    stems = separated(network(kind), golden.song(kind))

    assert agreement_db(torch.from_numpy(stored(kind)), stems[0]) > 120


@pytest.mark.parametrize("kind", golden.CHOICES)
def test_a_file_and_its_config_give_the_network(kind: str) -> None:
    made, state = built(kind)
    assert all(value.is_meta for value in made.state_dict().values())

    loading.fill(made, state, kind)

    song = golden.song(kind)
    torch.testing.assert_close(separated(made, song), separated(network(kind), song))


@pytest.mark.parametrize("kind", golden.FULL)
def test_keys_and_shapes_are_those_of_published_files(kind: str) -> None:
    made = loading.empty(lambda: class_of(kind)(**golden.FULL[kind]))

    assert list(golden.described(made)) == list(stored(f"keys_{kind}"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_their_number_of_parameters(name: str) -> None:
    kind, sizes, expected = PUBLISHED[name]

    made = loading.empty(lambda: kind(**sizes))

    constants = 2 * frequencies(64).numel()  # of time and of bands, which the files repeat
    assert sum(one.numel() for one in made.parameters()) + constants == expected


@pytest.mark.parametrize("count", [2, 40, 60, 64, 90])
@pytest.mark.parametrize(("rate", "frame"), [(44_100, 2048), (48_000, 4096), (16_000, 1024)])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_mel_bands_are_the_triangles_of_librosa(rate: int, frame: int, count: int) -> None:
    inside = filters.mel(sr=rate, n_fft=frame, n_mels=count) > 0
    inside[0, 0] = inside[-1, -1] = True

    bands = mel_bands(rate, frame, count)

    assert [list(band) for band in bands] == [list(np.flatnonzero(row)) for row in inside]


def test_no_bin_is_in_more_than_two_of_the_published_bands() -> None:
    bands = mel_bands(44_100, 2048, 60)

    assert sum(map(len, bands)) == 1979
    assert {sum(index in band for band in bands) for index in range(1025)} == {1, 2}


@pytest.mark.parametrize("kind", ["bs", "mel"])
@pytest.mark.parametrize("samples", [129, 600, 659])
def test_any_length_is_kept(kind: str, samples: int) -> None:
    stems = separated(network(kind), golden.song(kind)[..., :samples].expand(3, -1, -1))

    assert stems.shape == (3, network(kind).sizes.num_stems, 2, samples)
    assert torch.isfinite(stems).all()


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mixtures = torch.cat([golden.song("bs"), golden.song("bs").flip(-1)])
    whole = separated(network("bs"), mixtures)
    monkeypatch.setitem(roformer.TOKENS, "cpu", 150)  # two of the sequences of a batch along time

    sliced = separated(network("bs"), mixtures)

    torch.testing.assert_close(sliced, whole)
    torch.testing.assert_close(separated(network("bs"), mixtures[:1])[0], whole[0])


def test_channels_of_a_mono_network_are_separated_by_themselves() -> None:
    left = golden.song("bs_unusual")
    mono, right = network("bs_unusual"), left.flip(-1)

    both = separated(mono, torch.cat([left, right], dim=1).expand(2, -1, -1))

    assert both.shape == (2, 1, 2, golden.SAMPLES)
    torch.testing.assert_close(both[1, :, :1], separated(mono, left)[0])
    torch.testing.assert_close(both[0, :, 1:], separated(mono, right)[0])


def test_the_lowest_bin_is_silent_unless_wanted() -> None:
    song, kept = golden.song("bs"), BSRoFormer(**{**golden.CHOICES["bs"], "zero_dc": False}).eval()
    golden.fill(kept)

    rest = separated(kept, song) - separated(network("bs"), song)

    power = stft(rest, 256, 60).abs().square().sum(dim=(0, 1, 2, 4))
    assert power.sum() > 0
    assert power[:3].sum() > 0.9 * power.sum()  # the rest leaks, since the bin varies


@pytest.mark.parametrize("kind", ["bs", "bs_pope", "mel_unusual"])
def test_lower_precision_is_close(kind: str) -> None:
    song, exact = golden.song(kind), separated(network(kind), golden.song(kind))
    cast = class_of(kind)(**golden.CHOICES[kind])
    cast.load_state_dict(network(kind).state_dict())

    for coarse in (InLowPrecision(network(kind)), cast.to(torch.bfloat16)):
        stems = separated(coarse, song)
        assert stems.dtype == torch.float32
        assert 35 < agreement_db(exact, stems) < 70


def test_silence_stays_silent() -> None:
    for kind in ("bs", "mel"):
        assert not separated(network(kind), torch.zeros(1, 2, 700)).any()


@pytest.mark.parametrize("kind", golden.CHOICES)
def test_the_network_trains(kind: str) -> None:
    made = class_of(kind)(**golden.CHOICES[kind])
    golden.fill(made)

    made(golden.song(kind)).square().sum().backward()

    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("kind", golden.CHOICES)
def test_a_config_is_recognised_by_its_plugin_alone(kind: str) -> None:
    own = kind.partition("_")[0]

    given = config(kind)
    if own == "bs":
        given = config(kind, freqs_per_bands=given.get("model.freqs_per_bands", [2]))

    assert [name for name, plugin in PLUGINS.items() if plugin.recognises(given)] == [own]


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"model": None},
        {"model": {"dim": 8, "depth": 2}},
        {"model": {"dim": 8, "depth": 2, "num_bands": 60, "time_conformer_depth": 1}},
        {"model": {"dim": 8, "depth": 2, "freqs_per_bands": [2], "freq_conformer_depth": 1}},
    ],
    ids=str,
)
def test_other_configs_are_not_recognised(other: dict[str, Any]) -> None:
    assert not any(plugin.recognises(Config(other, "mine")) for plugin in PLUGINS.values())


@pytest.mark.parametrize(
    ("kind", "changed", "reason"),
    [
        (
            "bs",
            {"stft_hop_length": 1},
            "an integer from 16 to 128 for model.stft_hop_length, got 1",
        ),
        (
            "bs",
            {"stft_hop_length": True},
            "an integer from 16 to 128 for model.stft_hop_length, got T",
        ),
        ("bs", {"stft_n_fft": 1 << 30}, "an even integer from 64 to 16384 for model.stft_n_fft"),
        ("bs", {"stft_win_length": 128}, "integer from 256 to 256 for model.stft_win_length"),
        (
            "bs",
            {"stft_n_fft": 257, "stft_win_length": 257},
            "an even integer .* for model.stft_n_fft, got 257",
        ),
        ("bs", {"stft_n_fft": 512, "stft_win_length": 512}, "all 257 bins of 1 or 2 channels"),
        ("bs", {"zero_dc": "no"}, "true or false for model.zero_dc, got 'no'"),
        ("bs", {"skip_connection": 1}, "true or false for model.skip_connection, got 1"),
        ("bs", {"depth": 1e9}, "needs 2, as in the weights, for model.depth"),
        ("bs", {"num_stems": 4}, "needs 2, as in the weights, for model.num_stems, got 4"),
        ("bs", {"use_pope": True}, "False, as in the weights, for model.use_pope, got True"),
        ("mel", {"stereo": False}, "True, as in the weights, for model.stereo, got False"),
        ("mel", {"num_bands": 60}, "8, as in the weights, for model.num_bands, got 60"),
        ("mel", {"sample_rate": 16_000}, "8 mel bands are those of the weights"),
        ("mel", {"sample_rate": 10**9}, "an integer from 8000 to 192000 for model.sample_rate"),
    ],
)
def test_a_wrong_config_is_refused(kind: str, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        built(kind, **changed)


def test_a_config_without_a_model_is_refused() -> None:
    for plugin in PLUGINS.values():
        with pytest.raises(ConfigError, match="config of mine needs a section model, got nothing"):
            plugin.network(Config({"audio": {}}, "mine"), file("bs"))


def test_weights_of_the_other_kind_are_refused() -> None:
    with pytest.raises(CheckpointError, match="got a Mel-Band RoFormer's"):
        bs_roformer.network(config("bs"), file("mel"))
    with pytest.raises(CheckpointError, match="got a BS-RoFormer's"):
        mel_band_roformer.network(config("mel"), file("bs"))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (roformer_state.FIRST, None, "there is no band_split"),
        ("layers.0.0.layers.0.0.to_gates.weight", None, "to_gates.weight, got none"),
        ("layers.0.0.layers.0.0.to_gates.weight", torch.ones(()), r"to_gates.weight, got \(\)"),
        ("mask_estimators.0.to_freqs.0.0.0.weight", torch.ones(0, 12), r"got \(0, 12\)"),
        ("layers.1.0.layers.0.0.rotary_embed.freqs", torch.ones(4), "base of 10000"),
        ("layers.1.0.layers.0.0.rotary_embed.freqs", torch.ones(5), "base of 10000"),
    ],
)
def test_damaged_weights_are_refused(key: str, value: Tensor | None, reason: str) -> None:
    state = file("bs")
    state.pop(key) if value is None else state.update({key: value})

    with pytest.raises(CheckpointError, match=reason):
        built("bs", state)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers.0.1.layers.0.1.net.4.bias", None),
        ("layers.0.1.layers.0.1.net.1.weight", torch.zeros(24, 12)),
        ("mask_estimators.1.to_freqs.6.0.2.bias", torch.zeros(1)),
        ("layers.0.0.layers.0.2.extra", torch.zeros(1)),
    ],
)
def test_weights_of_another_network_do_not_fill_this_one(key: str, value: Tensor | None) -> None:
    state = file("bs")
    state.pop(key) if value is None else state.update({key: value})
    made, state = built("bs", state)

    with pytest.raises(CheckpointError, match="for another network than BSRoFormer"):
        loading.fill(made, state, "damaged")


def test_names_alone_do_not_make_a_large_network() -> None:
    blocks = {f"layers.{block}.0.x": torch.ones(1) for block in range(500)}
    layers = {f"layers.0.0.layers.{layer}.x": torch.ones(1) for layer in range(500)}

    with pytest.raises(CheckpointError, match="500 blocks like the first one"):
        built("bs", file("bs") | blocks | layers)


def test_prefixes_and_half_precision_are_accepted() -> None:
    half = {f"module.{key}": value.half() for key, value in file("bs_pope").items()}

    made, state = built("bs_pope", half)
    loading.fill(made, state, "half")

    song = golden.song("bs_pope")
    exact, rounded = separated(network("bs_pope"), song), separated(made, song)
    assert 50 < agreement_db(exact, rounded) < 100


def test_bands_must_contain_all_bins() -> None:
    with pytest.raises(ValueError, match="that cover 1025"):
        BSRoFormer(dim=8, depth=1, freqs_per_bands=[24, 1000])


def test_the_benchmark_requires_the_original() -> None:
    with pytest.raises(ConfigError, match="needs --original with a clone of Music-Source"):
        next(benchmark.run(quick=True))


def test_golden_files_are_small() -> None:
    assert Path(golden.OUTPUT).stat().st_size < 150_000
