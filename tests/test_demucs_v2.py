"""Demucs v1 and v2 against outputs of the original code, with weights seeded by names.

The golden files are made by ``tools/golden/demucs_v2.py``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.engine.normalisation import Normaliser, SongStatistics
from demixing.errors import ConfigError
from demixing.networks.demucs_v2 import Demucs, prepared
from demixing.networks.upsample2 import Folded, Resample
from demixing.separators import demucs_v1, demucs_v2
from demixing.separators.demucs.segments import Segments
from demixing.weights import checkpoints
from demixing.weights.catalogue import entries
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.demucs_v2 import CHANNELS, FULL, NETWORK, SEGMENT, SONG, STEP

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden"
VERSIONS: dict[str, dict[str, Any]] = {
    "v1": {"resample": False, "epsilon": 0.0},
    "v2": {},
    "v2_normalize": {"normalize": True},
}
every_version = pytest.mark.parametrize("version", list(VERSIONS))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "demucs_v2.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def network(version: str) -> Demucs:
    """A narrow network with the weights of the golden files."""
    narrow = Demucs(CHANNELS, **VERSIONS[version])
    seeded.fill(narrow)
    return narrow.eval()


def separator(version: str) -> Segments:
    adapt = demucs_v1.adapt if version == "v1" else demucs_v2.adapt
    return adapt(network(version), chunk_s=SEGMENT / 44_100)


def separated(separator: Segments, song: Tensor, *, batch: int = 1) -> Tensor:
    """A song through the engine in uneven blocks, normalised first, and scaled back."""
    normaliser = Normaliser(separator, SongStatistics.of([song]), groups=1)
    overlap = OverlapAdd(separator, batch=batch)
    blocks = torch.split(normaliser.into(song[None]), 30_011, dim=-1)
    stems = torch.cat([*(overlap.push(block) for block in blocks), overlap.finish()], dim=-1)
    return normaliser.back(stems)[0]


@every_version
def test_the_network_agrees_with_the_original(version: str, golden: dict[str, Tensor]) -> None:
    plain = network(version)
    mixture = seeded.song(plain.valid_length(NETWORK))[None]

    with torch.inference_mode():
        for one in (plain, prepared(plain)):
            assert agreement_db(golden[f"{version}_network"], one(mixture)[0, ..., ::7]) > 100


@every_version
def test_a_song_is_separated_as_by_the_original(version: str, golden: dict[str, Tensor]) -> None:
    stems = separated(separator(version), seeded.song(SONG))

    assert agreement_db(golden[f"{version}_song"], stems[..., ::STEP]) > 90


def test_chunks_at_once_change_nothing(golden: dict[str, Tensor]) -> None:
    stems = separated(separator("v2"), seeded.song(SONG), batch=3)

    assert agreement_db(golden["v2_song"], stems[..., ::STEP]) > 90


@pytest.mark.parametrize("name", list(FULL))
def test_names_and_shapes_at_full_size_are_those_of_the_original(name: str) -> None:
    stored = json.loads((GOLDEN / "demucs_v2_keys.json").read_text(encoding="utf-8"))[name]

    with torch.device("meta"):
        state = Demucs(FULL[name], resample="v2" in name).state_dict()

    assert {key: list(tensor.shape) for key, tensor in state.items()} == stored
    assert len(stored) == 66


def test_bfloat16_is_close() -> None:
    plain = network("v2")
    mixture = seeded.song(plain.valid_length(NETWORK))[None]

    with torch.inference_mode():
        answer = prepared(plain, torch.bfloat16)(mixture)
        assert answer.dtype == torch.float32
        assert agreement_db(plain(mixture), answer) > 40


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("samples", [1, 33, 4001])
def test_folded_resampling_is_resampling(old: int, new: int, samples: int) -> None:
    plain = Resample(old, new)
    x = seeded.song(samples)[None]

    torch.testing.assert_close(Folded(plain)(x), plain(x), rtol=0, atol=1e-6)


def test_a_tone_is_doubled_in_rate_and_halved_again() -> None:
    time_s = torch.arange(8000) / 44_100
    tone = torch.sin(2 * torch.pi * 1000 * time_s)[None, None]

    twice = Resample(1, 2)(tone)

    exact = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 88_200)
    torch.testing.assert_close(twice[0, 0, 200:-200], exact[200:-200], rtol=0, atol=1e-3)
    again = Resample(2, 1)(twice)
    torch.testing.assert_close(again[..., 200:-200], tone[..., 200:-200], rtol=0, atol=1e-3)


@every_version
@pytest.mark.parametrize("samples", [1, 1000, SEGMENT])
def test_the_last_segment_may_be_as_short_as_the_rest_of_a_song(version: str, samples: int) -> None:
    small = separator(version)
    context = small.chunking.context
    chunk = torch.nn.functional.pad(seeded.song(samples)[None], (context, context))

    with torch.inference_mode():
        stems = small.separate(chunk)

    assert stems.shape == (1, 4, *chunk.shape[1:])
    assert stems[..., context : context + samples].abs().max() > 0
    assert small.chunking.end.ragged


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("demucs_v2", {"checkpoint": "demucs_v1"}, "checkpoint must be one of demucs_v2"),
        ("demucs_v1", {"checkpoint": "demucs_v2"}, "checkpoint must start with demucs_v1"),
    ],
)
def test_weights_of_another_version_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        separators.build(name, options)


def test_impossible_lengths_are_refused() -> None:
    for adapt in (demucs_v1.adapt, demucs_v2.adapt):
        with pytest.raises(ValueError, match="chunk_s > 0"):
            adapt(network("v2"), chunk_s=0)
        with pytest.raises(ValueError, match="overlap < 1"):
            adapt(network("v2"), overlap=1.0)


def test_songs_are_normalised_by_the_chosen_deviation() -> None:
    assert demucs_v2.adapt(network("v2"), normalises="stereo").normalises == "stereo"
    assert demucs_v2.adapt(network("v2")).normalises == "mono"
    with pytest.raises(ValueError, match="normalises must be mono or stereo, got 'left'"):
        demucs_v2.adapt(network("v2"), normalises="left")


def test_released_weights_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def state(entry: Any) -> dict[str, Tensor]:
        asked.append(entry)
        return network("v2").state_dict()

    monkeypatch.setitem(demucs_v2.CHANNELS, "demucs_v2_48_hq", CHANNELS)
    monkeypatch.setattr(checkpoints, "load", state)
    monkeypatch.setattr(checkpoints, "find", lambda name: next(iter(entries().values())))

    built = separators.build("demucs_v2", {"checkpoint": "demucs_v2_48_hq", "chunk_s": 1})

    assert len(asked) == 1
    assert built.stems == ("drums", "bass", "other", "vocals")
    assert built.chunking.hop == 33_075
