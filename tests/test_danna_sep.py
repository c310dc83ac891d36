"""Danna-Sep against outputs of the original code, with weights seeded by names.

The golden files are made by ``tools/golden/danna_sep.py``.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import ConfigError
from demixing.networks import d3_fast
from demixing.networks.d3_unet import D3UNet
from demixing.networks.demucs_split import DemucsSplit
from demixing.networks.xumx import XUMX
from demixing.separator import Chunking, SongEnd
from demixing.separators import danna_sep
from demixing.separators.danna_sep import FRAME_HOP, NETWORKS, DannaSep, adapt
from demixing.weights import checkpoints
from tools.golden import seeded
from tools.golden.agreement import agreement_db
from tools.golden.danna_sep import (
    BINS_STEP,
    FRAMES_STEP,
    SEGMENT,
    SONG,
    STEP,
    constant,
    magnitudes,
)

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "danna_sep.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@functools.cache
def networks() -> dict[str, Any]:
    """Narrow networks with the weights of the golden files."""
    made: dict[str, nn.Module] = {
        "unet": D3UNet(growth=2),
        "demucs": DemucsSplit(channels=4),
        "xumx": XUMX(hidden=16),
    }
    for network in made.values():
        seeded.fill(network, keep=constant)
        network.eval()
    return made


def separated(separator: DannaSep, song: Tensor) -> Tensor:
    """A song through the engine in uneven blocks."""
    overlap = OverlapAdd(separator)
    blocks = torch.split(song[None], 30_011, dim=-1)
    return torch.cat([*(overlap.push(block) for block in blocks), overlap.finish()], dim=-1)[0]


@pytest.mark.parametrize("name", ["unet", "xumx"])
def test_a_network_for_masks_agrees_with_the_original(name: str, golden: dict[str, Tensor]) -> None:
    plain = networks()[name]

    with torch.inference_mode():
        for one in (plain, NETWORKS[name][1](plain)):
            answer = one(magnitudes())[0, ..., ::BINS_STEP, ::FRAMES_STEP]
            assert agreement_db(golden[f"{name}_network"], answer) > 100


def test_the_split_demucs_agrees_with_the_original(golden: dict[str, Tensor]) -> None:
    plain = networks()["demucs"]

    with torch.inference_mode():
        for one in (plain, NETWORKS["demucs"][1](plain)):
            answer = one(seeded.song(SEGMENT)[None])[0, ..., ::23]
            assert agreement_db(golden["demucs_network"], answer) > 100


@pytest.mark.parametrize("fast", [False, True])
def test_a_song_is_separated_as_by_the_original(fast: bool, golden: dict[str, Tensor]) -> None:
    stems = separated(adapt(networks(), fast=fast), seeded.song(SONG))

    assert agreement_db(golden["fast_song" if fast else "full_song"], stems[..., ::STEP]) > 90


@pytest.mark.parametrize("frames", [130, 131, 257])
def test_tiles_of_the_unet_change_nothing(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    plain = D3UNet(input_bins=80, growth=2)
    seeded.fill(plain)
    monkeypatch.setattr(d3_fast, "TILE", 64)

    with torch.inference_mode():
        inputs = magnitudes(frames)[:, :, :100]
        assert agreement_db(plain.eval()(inputs), d3_fast.prepared(plain)(inputs)) > 100


def test_names_and_shapes_at_full_size_are_those_of_the_original() -> None:
    stored = json.loads((GOLDEN / "danna_sep_keys.json").read_text(encoding="utf-8"))

    with torch.device("meta"):
        own = {name: parts[0]().state_dict() for name, parts in NETWORKS.items()}

    assert {
        name: {key: list(tensor.shape) for key, tensor in state.items()}
        for name, state in own.items()
    } == stored
    assert {name: len(state) for name, state in own.items()} == {
        "unet": 462,
        "demucs": 74,
        "xumx": 118,
    }


@pytest.mark.parametrize("name", list(NETWORKS))
def test_bfloat16_is_close(name: str) -> None:
    plain = networks()[name]
    inputs = seeded.song(SEGMENT)[None] if name == "demucs" else magnitudes()

    separator = adapt({name: plain}, only=name, precision="bf16")
    with torch.inference_mode():
        answer = separator.networks[name](inputs)
        assert answer.dtype == torch.float32
        assert agreement_db(plain(inputs), answer) > 30


def test_a_song_of_several_chunks_is_separated_as_if_it_were_one() -> None:
    whole = adapt(networks(), only="demucs")
    cut = Chunking(
        chunk=160 * FRAME_HOP,
        hop=80 * FRAME_HOP,
        context=35 * FRAME_HOP,
        step=FRAME_HOP,
        end=SongEnd.RAGGED,
    )
    song = seeded.song(165 * FRAME_HOP)

    stems = separated(dataclasses.replace(whole, chunking=cut), song)

    assert cut.count(song.shape[-1]) == 2
    # Except for the normalisation and the state of the LSTM; and Demucs pads the end of a chunk.
    end = song.shape[-1] - 8192
    assert agreement_db(separated(whole, song)[..., :end], stems[..., :end]) > 30


def test_the_unet_processes_its_blocks_one_by_one() -> None:
    asked = []

    def mask(magnitudes: Tensor) -> Tensor:
        asked.append(magnitudes.shape[-1])
        return torch.full((1, 4, *magnitudes.shape[1:]), 0.25)

    separator = DannaSep(
        networks={"unet": mask},
        weights={"unet": (1.0,) * 4},
        chunking=danna_sep.chunking(4),
        unet_frames=70,
    )
    chunk = seeded.song(150 * FRAME_HOP)

    stems = separator.separate(chunk[None])[0]

    assert asked == [
        70,
        70,
        64,
    ]  # the last has 12 frames, and is padded to the minimum of the network
    torch.testing.assert_close(stems.sum(dim=0), chunk, rtol=0, atol=1e-4)


def test_the_output_of_demucs_is_limited_and_padded_with_silence() -> None:
    def loud(audio: Tensor) -> Tensor:
        return audio.new_full((1, 4, 2, audio.shape[-1] - 5000), 2.0)

    separator = DannaSep(
        networks={"demucs": loud},
        weights={"demucs": (1.0, 0.5, 1.0, 1.0)},
        chunking=danna_sep.chunking(4),
    )

    stems = separator.separate(torch.ones(1, 2, 20_000))[0]

    assert stems[0].max() == pytest.approx(0.99)
    assert stems[1].max() == pytest.approx(0.495)
    assert stems[:, :, : 20_000 + 1024 - 5000].min() > 0.4
    assert not stems[:, :, 20_000 + 1024 - 5000 :].any()


def test_chunks_start_with_the_minutes_of_the_unet() -> None:
    for chunk_s, minutes in ((60, 1), (61, 2), (300, 5)):
        cut = danna_sep.chunking(chunk_s)

        assert cut.hop == minutes * danna_sep.UNET_FRAMES * FRAME_HOP
        assert cut.chunk > cut.hop + 2 * cut.context
        assert cut.chunk % FRAME_HOP == cut.context % FRAME_HOP == 0


def test_the_blends_are_those_of_the_authors() -> None:
    for weights in (danna_sep.blend(), danna_sep.blend(fast=True)):
        columns = zip(*weights.values(), strict=True)
        assert [sum(column) for column in columns] == pytest.approx([1, 1, 1, 1])
    assert danna_sep.blend(only="xumx") == {"xumx": (1.0, 1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "umx"}, "no network 'umx'; did you mean 'xumx'"),
        ({"chunk_s": 1}, "need chunk_s >= 2, got 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapt(networks(), **options)


def test_files_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(entry: checkpoints.Checkpoint) -> dict[str, Tensor]:
        asked.append(entry.name)
        state: dict[str, Tensor] = networks()[entry.name.removeprefix("danna_")].state_dict()
        return state

    for name, (kind, *rest) in list(NETWORKS.items()):
        narrow = {"unet": {"growth": 2}, "demucs": {"channels": 4}, "xumx": {"hidden": 16}}[name]
        monkeypatch.setitem(NETWORKS, name, (functools.partial(kind, **narrow), *rest))
    monkeypatch.setattr(checkpoints, "load", load)

    built = separators.build("danna_sep", {"fast": True})

    assert asked == ["danna_unet", "danna_demucs"]
    assert built.stems == ("drums", "bass", "other", "vocals")
    with pytest.raises(ConfigError, match="no option 'quick'"):
        separators.build("danna_sep", {"quick": True})
