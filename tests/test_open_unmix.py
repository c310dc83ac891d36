"""Open-Unmix agrees with the original; golden outputs have weights that are seeded by names."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import open_unmix as benchmark
from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.open_unmix import INPUT_BINS, OpenUnmix, prepared, weights
from demixing.separators import open_unmix
from demixing.separators.open_unmix import OpenUnmixes, chunking
from demixing.weights import checkpoints
from demixing.weights.checkpoints import Checkpoint
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.open_unmix import HIDDEN, SONG, STRIDE, Prefixed

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "open_unmix.npz"


@functools.cache
def networks() -> dict[str, OpenUnmix]:
    made = {target: OpenUnmix(hidden=HIDDEN).eval() for target in open_unmix.TARGETS}
    seeded.fill(Prefixed(dict(made)))
    return made


def separator(
    *, iterations: int = 1, softmask: bool = False, residual: bool = False
) -> OpenUnmixes:
    fast = tuple(prepared(network) for network in networks().values())
    stems = (*open_unmix.TARGETS, "residual") if residual else open_unmix.TARGETS
    return OpenUnmixes(fast, stems, chunking(60), iterations, softmask)


def streamed(asked: OpenUnmixes, song: Tensor) -> Tensor:
    overlap = OverlapAdd(asked)
    parts = [overlap.push(block[None]) for block in torch.split(song, 100_000, dim=-1)]
    return torch.cat([*parts, overlap.finish()], dim=-1)[0]


def golden(name: str) -> Tensor:
    with np.load(GOLDEN) as stored:
        return torch.from_numpy(stored[name])


@pytest.mark.parametrize("fast", [False, True])
def test_the_network_is_the_original(*, fast: bool) -> None:
    spectrum = torch.stft(
        seeded.song(44_100), 4096, 1024, window=torch.hann_window(4096), return_complex=True
    )
    network = networks()["vocals"]

    with torch.inference_mode():
        answer = (prepared(network) if fast else network)(spectrum.abs()[None])[0]

    assert agreement_db(golden("network"), answer[:, ::16]) > 110


def test_a_copy_in_bfloat16_is_close_and_leaves_the_network_alone() -> None:
    magnitudes = torch.rand(1, 2, 2049, 9, generator=torch.Generator().manual_seed(0))
    network = networks()["drums"]

    with torch.inference_mode():
        coarse = prepared(network, torch.bfloat16)(magnitudes)
        exact = network(magnitudes)

    assert coarse.dtype == torch.float32
    assert 20 < agreement_db(exact, coarse) < 60


@pytest.mark.parametrize("hidden", [512, 1024])
def test_keys_and_shapes_are_those_of_the_published_files(hidden: int) -> None:
    with torch.device("meta"):
        state = OpenUnmix(hidden=hidden).state_dict()

    with np.load(GOLDEN) as stored:
        expected = list(stored[f"keys_{hidden}"])
    assert sorted(f"{key} {tuple(value.shape)}" for key, value in state.items()) == expected


def test_a_song_is_separated_as_by_the_original() -> None:
    stems = streamed(separator(), seeded.song(SONG))

    assert agreement_db(golden("song"), stems[..., ::STRIDE]) > 100


def test_a_soft_mask_alone_is_the_originals() -> None:
    stems = streamed(separator(iterations=0, softmask=True), seeded.song(SONG))

    assert agreement_db(golden("song_masked"), stems[..., ::STRIDE]) > 100


def test_two_iterations_with_a_residual_are_the_originals() -> None:
    stems = streamed(separator(iterations=2, residual=True), seeded.song(SONG))

    assert agreement_db(golden("song_twice"), stems[..., ::STRIDE]) > 100


@pytest.mark.parametrize("samples", [1, 4095, 44_100])
def test_silence_at_the_end_of_a_song_is_part_of_it(samples: int) -> None:
    song = torch.nn.functional.pad(seeded.song(samples), (0, 50_000))
    asked = separator()

    with torch.inference_mode():
        whole = asked.separate(song[None])[0]

    torch.testing.assert_close(streamed(asked, song), whole)
    assert streamed(asked, song[:, :samples]).shape == (*whole.shape[:2], samples)


def test_chunks_start_with_a_block_of_the_wiener_filter() -> None:
    cut = chunking(60)

    assert cut.hop % (300 * 1024) == 0
    assert cut.context % (300 * 1024) == 0
    assert cut.chunk >= 60 * 44_100


def test_a_long_song_is_separated_as_if_it_were_one_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_unmix, "WIENER_FRAMES", 100)
    monkeypatch.setattr(open_unmix, "FADED_FRAMES", 33)
    two, targets = separator().networks[:2], open_unmix.TARGETS[:2]
    whole = OpenUnmixes(two, targets, chunking(20), wiener_frames=100)
    short = dataclasses.replace(whole, chunking=chunking(7))
    song = seeded.song(44_100 * 9)

    stems = streamed(short, song)

    assert short.chunking.count(song.shape[-1]) == 2
    assert agreement_db(streamed(whole, song), stems) > 90


def test_files_may_contain_tensors_of_earlier_releases() -> None:
    network = networks()["bass"]
    state = network.state_dict() | {"stft.window": torch.ones(4096)}

    made = open_unmix.network(state, "umx_bass")

    assert len(made.fc1.weight) == HIDDEN
    assert "stft.window" not in weights(network, state)


def test_weights_of_another_network_are_refused() -> None:
    state = dict(networks()["bass"].state_dict())
    del state["fc3.weight"]

    with pytest.raises(CheckpointError, match="for another network than OpenUnmix: 1 keys missing"):
        open_unmix.network(state, "umx_bass")
    with pytest.raises(CheckpointError, match=r"there is no fc1\.weight"):
        open_unmix.network({}, "umx_bass")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "umxs"}, "model must be one of umx, umxhq, umxl"),
        ({"targets": ["voice"]}, "targets must be of vocals"),
        ({"targets": ["vocals"]}, "one target needs niter = 0"),
        ({"niter": -1}, "niter must not be negative"),
        ({"chunk_s": 5}, "expected chunk_s above 16.25"),
    ],
)
def test_options_are_checked_before_files_are(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        separators.build("open_unmix", options)


def test_the_benchmark_requires_the_original() -> None:
    with pytest.raises(ConfigError, match="needs --original with a clone of open-unmix-pytorch"):
        next(benchmark.run(quick=True))


def test_the_network_trains() -> None:
    network = OpenUnmix(hidden=HIDDEN)
    assert network.input_bins == INPUT_BINS

    network(torch.rand(2, 2, 2049, 5, generator=torch.Generator().manual_seed(0))).sum().backward()

    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_recipe_builds_it_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(entry: Checkpoint) -> dict[str, Tensor]:
        asked.append(entry.name)
        return dict(networks()[entry.stems[0]].state_dict())

    monkeypatch.setattr(checkpoints, "load", load)
    built = separators.build("open_unmix", {"model": "umxhq", "targets": ["drums", "bass"]})
    chunk = seeded.song(44_100)[None]

    with torch.inference_mode():
        stems = built.separate(chunk)

    assert asked == ["umxhq_drums", "umxhq_bass"]
    assert stems.shape == (1, 2, 2, 44_100)


@pytest.mark.parametrize("level", [0.0, 1e-30, 30.0])
def test_extreme_chunks_give_finite_stems(level: float) -> None:
    with torch.inference_mode():
        stems = separator().separate(torch.full((2, 2, 44_100), level))

    assert torch.isfinite(stems).all()
