"""MRX agrees with the original; golden outputs have weights that are seeded by names."""

import ast
import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import mrx as benchmark
from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import measured
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.autocast import InLowPrecision
from demixing.networks.mrx import MRX, STEMS, prepared
from demixing.recipes import reading
from demixing.separators import mrx
from demixing.separators.mrx import CocktailFork, chunking
from demixing.weights import checkpoints
from demixing.weights.checkpoints import Checkpoint
from demixing.weights.loading import load
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.mrx import HIDDEN, SAMPLES, STEP

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "mrx.npz"
SONG = seeded.song(SAMPLES, seed=11)
TABLE: dict[str, Any] = {
    "track": "cdx",
    "summary": "-",
    "members": [
        {
            "separator": "mrx",
            "outputs": {"music": ["music"], "dialog": ["speech"], "effect": ["sfx"]},
        }
    ],
}


@functools.cache
def network() -> MRX:
    with torch.inference_mode(mode=False):
        made = MRX(hidden=HIDDEN).eval()
        seeded.fill(made)
    return made


def separator() -> CocktailFork:
    return CocktailFork(prepared(network()), chunking(60))


def golden(name: str) -> Tensor:
    with np.load(GOLDEN) as stored:
        return torch.from_numpy(stored[name])


def streamed(asked: CocktailFork, song: Tensor) -> Tensor:
    overlap = OverlapAdd(asked)
    parts = [overlap.push(block[None]) for block in torch.split(song, 50_000, dim=-1)]
    return torch.cat([*parts, overlap.finish()], dim=-1)[0]


@pytest.mark.parametrize("fast", [False, True])
def test_the_network_is_the_original(*, fast: bool) -> None:
    with torch.inference_mode():
        stems = (prepared(network()) if fast else network())(SONG[None])[0]

    assert agreement_db(golden("network"), stems[..., ::STEP]) > 110


def test_a_copy_in_bfloat16_is_close_and_leaves_the_network_alone() -> None:
    song = SONG[None, :, :20_000]

    with torch.inference_mode():
        coarse = prepared(network(), torch.bfloat16)(song)
        under_autocast = InLowPrecision(prepared(network()))(song)
        exact = network()(song)

    assert coarse.dtype == torch.float32
    assert 30 < agreement_db(exact, coarse) < 80
    assert 30 < agreement_db(exact, under_autocast) < 80


def test_keys_and_shapes_are_those_of_the_published_files() -> None:
    with torch.device("meta"):
        whole = MRX()

    with np.load(GOLDEN) as stored:
        published = dict(str(line).split(" ", 1) for line in stored["keys"])
    assert {key: tuple(value.shape) for key, value in whole.state_dict().items()} == {
        key: ast.literal_eval(shape) for key, shape in published.items()
    }
    assert len(published) == 213
    assert sum(parameter.numel() for parameter in whole.parameters()) == 30_509_080


def test_a_song_in_the_engine_is_separated_as_by_the_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(separators, "build", lambda *_: separator())
    demixer = Demixer(reading.parse("test", TABLE))
    blocks = SONG.split(7000, dim=-1)  # type: ignore[no-untyped-call]
    statistics = measured(demixer.recipe, blocks, 44_100)

    stems = torch.cat(list(demixer.stream(blocks, 44_100, statistics=statistics)), dim=-1)

    assert demixer.normalises
    with np.load(GOLDEN) as stored:
        assert tuple(stored["stems"]) == STEMS
    music, speech, sfx = golden("song")
    ours = dict(zip(demixer.recipe.track.stems, stems, strict=True))
    for stem, expected in (("music", music), ("dialog", speech), ("effect", sfx)):
        assert agreement_db(expected, ours[stem][:, ::STEP]) > 100


def test_the_loudness_is_declared_where_it_can_be_read_without_the_module() -> None:
    assert separators.target_lufs("mrx") == separator().normalises.lufs == -27


def test_the_level_of_the_input_matters() -> None:
    """So the test of a song would fail without the gain."""
    with torch.inference_mode():
        quiet = prepared(network())(SONG[None] / 10)[0]

    assert agreement_db(golden("song"), 10 * quiet[..., ::STEP]) < 60


@pytest.mark.parametrize("samples", [1, 4096, 4097, 10_000])
def test_clips_of_any_length_are_separated(samples: int) -> None:
    with torch.inference_mode():
        stems = separator().separate(SONG[None, :, :samples])

    assert stems.shape == (1, 3, 2, samples)
    assert torch.isfinite(stems).all()


def test_a_short_clip_is_one_chunk() -> None:
    asked = separator()

    with torch.inference_mode():
        whole = asked.network(SONG[None])[0]

    assert torch.equal(streamed(asked, SONG), whole)


def test_a_long_song_is_separated_as_if_it_were_one_chunk() -> None:
    frame = 256
    asked = dataclasses.replace(
        separator(),
        chunking=dataclasses.replace(
            chunking(60), chunk=140 * frame, hop=50 * frame, context=40 * frame, shorter=()
        ),
    )

    stems = streamed(asked, SONG)

    assert asked.chunking.count(SAMPLES) == 3
    # Windows of 8192 samples, and an LSTM with random weights, which forgets within a few frames.
    assert agreement_db(streamed(separator(), SONG), stems) > 90


def test_chunks_have_the_frames_of_the_whole_clip() -> None:
    for cut in (chunking(60), chunking(60).shortened(chunking(60).shorter[0]), chunking(20.3)):
        assert cut.hop % 256 == cut.chunk % 256 == cut.context % 256 == 0
        assert cut.context > 8192 / 2


def test_weights_of_another_network_are_refused() -> None:
    state = dict(network().state_dict())
    del state["_decoders.0.0.block.0.weight"]

    with pytest.raises(CheckpointError, match="another network than MRX: 1 keys missing"):
        load(lambda: MRX(hidden=HIDDEN), state, "mrx")
    with pytest.raises(CheckpointError, match="another network than MRX: 0 keys missing"):
        load(MRX, network().state_dict(), "mrx")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"checkpoint": "mrx_adapted"}, "MRX has no weights 'mrx_adapted'; did you mean 'mrx_adap"),
        ({"checkpoint": "spleeter_vocals"}, "MRX has no weights 'spleeter_vocals'"),
        ({"chunk_s": 14}, "expected chunk_s from 15 on, got 14"),
        ({"chunk_s": float("nan")}, "expected chunk_s from 15 on, got nan"),
        ({"chunk_s": "long"}, "rejects its options"),
    ],
    ids=str,
)
def test_options_are_checked_before_files_are(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        separators.build("mrx", options)


def test_a_recipe_builds_it_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    known = checkpoints.find("gtcrn")

    def found(name: str) -> Checkpoint:
        asked.append(name)
        return dataclasses.replace(known, name=name)

    monkeypatch.setattr(mrx, "MRX", lambda: MRX(hidden=HIDDEN))
    monkeypatch.setattr(checkpoints, "load", lambda _: dict(network().state_dict()))
    monkeypatch.setattr(checkpoints, "find", found)
    built = separators.build("mrx", {"checkpoint": "mrx_adapted_eq"})

    with torch.inference_mode():
        stems = built.separate(SONG[None, :, :20_000])

    assert asked == list(separators.required_weights("mrx", {"checkpoint": "mrx_adapted_eq"}))
    assert stems.shape == (1, 3, 2, 20_000)


def test_the_benchmark_requires_the_original() -> None:
    with pytest.raises(ConfigError, match="needs --original with a clone of cocktail-fork"):
        next(benchmark.run(quick=True))
