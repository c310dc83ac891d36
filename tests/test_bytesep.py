"""ByteSep agrees with the original; golden outputs have weights that are seeded by names."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import bytesep as benchmark
from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.bytesep import ResUNet143, weights
from demixing.networks.bytesep_fast import Summed, prepared
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.networks.decoupled import Decoupled
from demixing.networks.pqmf import PQMF
from demixing.separators import bytesep
from demixing.separators.bytesep import ByteSep, chunking
from demixing.weights import checkpoints
from demixing.weights.checkpoints import Checkpoint
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.bytesep import CHANNELS, SEGMENT, SONGS, STRIDE, constant

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "bytesep.npz"
VARIANTS = ("subband", "ismir2021", "mobilenet")
CONSTANTS = [
    f"{name}.conv_{part}.weight" for name in ("stft", "istft") for part in ("real", "imag")
]


def golden(name: str) -> Tensor:
    with np.load(GOLDEN) as stored:
        return torch.from_numpy(stored[name])


@functools.cache
def network(variant: str, targets: int = 2) -> Decoupled:
    made: Decoupled
    if variant == "mobilenet":
        made = MobileNet(targets=targets)
    else:
        made = ResUNet143(targets=targets, variant=variant, channels=CHANNELS)
    seeded.fill(made, keep=constant)
    if variant != "ismir2021":
        filters = {
            part: golden(f"pqmf.{part}.weight") for part in ("ana_conv_filter", "syn_conv_filter")
        }
        for part, values in filters.items():
            getattr(made.pqmf, part).weight.data.copy_(values)
    return made.eval()


@functools.cache
def ready() -> Decoupled:
    """A network of one target, prepared."""
    return prepared(network("subband", 1))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_network_is_the_original(variant: str, *, fast: bool) -> None:
    made = network(variant)

    with torch.inference_mode():
        stems = (prepared(made) if fast else made)(seeded.song(SEGMENT)[None])

    assert stems.shape == (1, 2, 2, SEGMENT)
    assert agreement_db(golden(variant), stems[0].flatten(0, 1)[:, ::STRIDE]) > 100


def test_quiet_bins_have_the_phase_of_the_mixture_and_not_of_rounding_errors() -> None:
    tone = 0.3 * torch.sin(0.03 * torch.arange(9_000.0)).expand(1, 2, -1)
    made = network("ismir2021")

    spectrum = made._stft(tone[:, :, None])[..., 500:]

    exact = torch.stft(
        tone[0].double(),
        made.frame,
        made.frame_hop,
        window=torch.hann_window(made.frame, dtype=torch.float64),
        return_complex=True,
    )[:, 500:].transpose(1, 2)
    assert agreement_db(exact, spectrum[0, :, 0]) > 120  # in float32: 67


@pytest.mark.parametrize("variant", ["subband", "mobilenet"])
def test_a_copy_in_bfloat16_is_close_and_leaves_the_network_alone(variant: str) -> None:
    song = seeded.song(20_000)[None]
    made = network(variant)

    with torch.inference_mode():
        coarse = prepared(made, torch.bfloat16)(song)
        exact = made(song)

    assert coarse.dtype == torch.float32
    assert 20 < agreement_db(exact, coarse) < 60


def test_wide_convolutions_are_summed_in_parts_with_smaller_errors() -> None:
    convolution = torch.nn.Conv2d(384, 5, 3, padding=1)
    seeded.fill(convolution)
    parts = Summed(convolution).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, 384, 20, 6, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        answer = parts(x.contiguous(memory_format=torch.channels_last))
        exact = convolution.double()(x.double())

    assert len(parts.weights) == 6
    assert agreement_db(exact, answer) > 125


@pytest.mark.parametrize("variant", VARIANTS)
def test_keys_and_shapes_are_those_of_the_published_files(variant: str) -> None:
    with torch.device("meta"):
        made = (
            MobileNet(targets=2)
            if variant == "mobilenet"
            else ResUNet143(targets=2, variant=variant)
        )

    with np.load(GOLDEN) as stored:
        published = {
            line for line in stored[f"{variant}_keys"] if not line.startswith(("stft", "istft"))
        }
    own = {f"{key} {tuple(value.shape)}" for key, value in made.state_dict().items()}
    # The original's InPlaceABN does not count its batches; ours does while it is trained.
    own = {line for line in own if ".abn2.num_batches_tracked" not in line}
    assert own == published


@pytest.mark.parametrize("samples", SONGS)
def test_a_song_is_separated_as_by_the_original(samples: int) -> None:
    separator = ByteSep((ready(),), ("vocals",), chunking(1.0))
    overlap = OverlapAdd(separator)

    parts = [
        overlap.push(block[None]) for block in torch.split(seeded.song(samples), 30_000, dim=-1)
    ]
    stem = torch.cat([*parts, overlap.finish()], dim=-1)[0, 0]

    assert stem.shape == (2, samples)
    assert agreement_db(golden(f"song_{samples}"), stem[:, ::STRIDE]) > 100


def test_the_rest_is_the_mixture_minus_the_stem() -> None:
    stems = ("vocals", "accompaniment")
    separator = ByteSep((ready(),), stems, chunking(1.0), rest=True)
    chunk = seeded.song(separator.chunking.chunk)[None]

    with torch.inference_mode():
        answer = separator.separate(chunk)

    torch.testing.assert_close(answer.sum(dim=1), chunk, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1])
def test_shorter_chunks_are_accepted(length: int) -> None:
    separator = ByteSep((ready(),), ("vocals",), chunking(2.0))
    shorter = separator.chunking.shorter[length]

    with torch.inference_mode():
        answer = separator.separate(seeded.song(shorter)[None])

    assert answer.shape == (1, 1, 2, shorter)
    assert answer[..., -100:].any()


def test_stems_are_as_long_as_a_mixture_of_any_length() -> None:
    with torch.inference_mode():
        stems = network("subband")(seeded.song(20_003)[None])

    assert stems.shape == (1, 2, 2, 20_003)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_network_trains(variant: str) -> None:
    made = (
        MobileNet(1, 3)
        if variant == "mobilenet"
        else ResUNet143(1, 3, variant=variant, channels=CHANNELS)
    )

    stems = made(seeded.song(8_000)[:1, None].transpose(0, 1).transpose(0, 1))
    stems.abs().mean().backward()

    assert stems.shape == (1, 3, 1, 8_000)
    trained = {name for name, weight in made.named_parameters() if weight.grad is not None}
    assert trained == {name for name, _ in made.named_parameters() if not name.startswith("pqmf")}


def test_designed_filters_reconstruct_the_song() -> None:
    bank = PQMF()
    song = seeded.song(44_100)

    bands = bank.analysis(song)

    assert bands.shape == (2, 4, 44_100 // 4 + 16)
    assert agreement_db(song, bank.synthesis(bands)) > 75
    energy = bands.square().sum(dim=(0, 2))
    assert (energy > 0.01 * energy.sum()).all(), "every band has something of noise"


def test_published_filters_reconstruct_the_song() -> None:
    bank = network("subband").pqmf
    song = seeded.song(44_100)

    assert agreement_db(song, bank.synthesis(bank.analysis(song))) > 95


def test_a_published_state_fills_the_network_without_its_constants() -> None:
    made = MobileNet()
    seeded.fill(made)
    state = made.state_dict() | {name: torch.zeros(1) for name in CONSTANTS}

    filled = bytesep.network("mobilenet", state, "bytesep_mobilenet_vocals")

    assert weights(state).keys() == made.state_dict().keys()
    assert torch.equal(filled.bn0.weight, made.bn0.weight)
    assert not filled.training


def test_weights_of_another_variant_are_refused() -> None:
    state = MobileNet().state_dict()

    with pytest.raises(CheckpointError, match="for another network than ResUNet143"):
        bytesep.network("ismir2021", state, "bytesep_ismir2021_vocals")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"variant": "ismir"}, "variant must be one of subband, ismir2021, mobilenet"),
        ({"stem": "drums"}, "stem must be of vocals, accompaniment"),
        ({"stem": ["vocals", "accompaniment"], "rest": True}, "rest needs a single stem"),
        ({"checkpoint": ["a", "b"]}, "expected one checkpoint for each"),
        ({"chunk_s": 0.1}, "expected chunk_s of at least 1 second"),
    ],
)
def test_options_are_checked_before_files_are(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        separators.build("bytesep", options)


def test_the_benchmark_requires_the_original() -> None:
    with pytest.raises(ConfigError, match="needs --original with a clone of music_source"):
        next(benchmark.run(quick=True))


def test_a_recipe_builds_it_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    state = network("mobilenet", 1).state_dict()
    asked = []

    def load(entry: Checkpoint) -> dict[str, Tensor]:
        asked.append(entry.name)
        return state

    monkeypatch.setattr(checkpoints, "load", load)
    options = {"variant": "mobilenet", "stem": ["vocals", "accompaniment"], "chunk_s": 1}
    separator = separators.build("bytesep", options)
    chunk = seeded.song(separator.chunking.chunk)[None]

    with torch.inference_mode():
        stems = separator.separate(chunk)

    assert asked == ["bytesep_mobilenet_vocals", "bytesep_mobilenet_accompaniment"]
    assert separator.stems == ("vocals", "accompaniment")
    assert torch.equal(stems[:, 0], stems[:, 1]), "both have the same weights here"


@pytest.mark.parametrize("level", [0.0, 1e-30, 30.0])
def test_extreme_chunks_give_finite_stems(level: float) -> None:
    separator = ByteSep((ready(),), ("vocals",), chunking(1.0))

    with torch.inference_mode():
        stems = separator.separate(torch.full((1, 2, separator.chunking.chunk), level))

    assert torch.isfinite(stems).all()
