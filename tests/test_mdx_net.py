"""MDX-Net agrees with KUIELab's own code, on small ONNX files that their code wrote."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.ensemble.blend import RunningAverage, subsets
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.tfc_tdf import TFCTDFUNet
from demixing.recipes import reading
from demixing.separators import mdx_net
from demixing.separators.mdx_net import STEMS, MDXNet
from demixing.weights import checkpoints
from demixing.weights.onnx_session import open_session
from tools.golden import seeded
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden"
HOP = 16
MIXER = seeded.state({"linear.weight": (8, 10)})


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / "mdx_net.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def sessions(tmp_path: Path, golden: dict[str, NDArray[Any]]) -> dict[str, InferenceSession]:
    """The networks by leaderboard and stem."""
    opened = {}
    for board in "ab":
        for stem in STEMS:
            path = tmp_path / f"{board}_{stem}.onnx"
            path.write_bytes(golden[path.stem].tobytes())
            opened[path.stem] = open_session(path)
    return opened


def streamed(separator: MDXNet, song: Tensor, block: int = 700) -> Tensor:
    overlap = OverlapAdd(separator)
    parts = [overlap.push(part[None]) for part in song.split(block, dim=-1)]  # type: ignore[no-untyped-call]
    return torch.cat([*parts, overlap.finish()], dim=-1)[0]


def test_leaderboard_b_is_separated_as_by_the_original(
    golden: dict[str, NDArray[Any]], sessions: dict[str, InferenceSession]
) -> None:
    song = torch.from_numpy(golden["song"])
    for index, stem in enumerate(STEMS):
        separator = mdx_net.adapt(sessions[f"b_{stem}"], stem, frame_hop=HOP)

        answer = streamed(separator, song)[0]

        assert separator.stems == (stem,)
        assert agreement_db(torch.from_numpy(golden["b_stems"][index]), answer) > 100


def test_members_with_a_mixer_sum_to_the_output_of_the_original_mixer(
    golden: dict[str, NDArray[Any]], sessions: dict[str, InferenceSession]
) -> None:
    song = torch.from_numpy(golden["song"])
    total = torch.zeros(len(STEMS), *song.shape)
    for stem in STEMS:
        share = mdx_net.shared(stem, MIXER)
        separator = mdx_net.adapt(sessions[f"a_{stem}"], stem, frame_hop=HOP, share=share)
        total += streamed(separator, song)

    assert separator.stems == STEMS
    assert agreement_db(torch.from_numpy(golden["a_stems"]), total) > 100


def test_silence_within_a_song_is_answered_as_by_the_original(
    sessions: dict[str, InferenceSession],
) -> None:
    song = seeded.song(2000)
    song[:, 300:1700] = 0
    separator = mdx_net.adapt(sessions["b_drums"], "drums", frame_hop=HOP)
    skipping = mdx_net.adapt(sessions["b_drums"], "drums", frame_hop=HOP, skip_silence=True)
    silence = separator.separate(torch.zeros(1, 2, separator.chunking.chunk))[0, 0]

    answer, skipped = (streamed(one, song)[0] for one in (separator, skipping))

    # Chunk 4 is silent; without its context, it is where these samples are.
    start, stop = 4 * separator.chunking.hop, 5 * separator.chunking.hop
    context = separator.chunking.context
    assert agreement_db(silence[:, context:-context], answer[:, start:stop]) > 100
    assert not skipped[:, start:stop].any()
    assert torch.equal(skipped[:, :300], answer[:, :300])


def test_the_file_determines_the_length_of_chunks(sessions: dict[str, InferenceSession]) -> None:
    bass, drums = (
        mdx_net.adapt(sessions[f"b_{stem}"], stem, frame_hop=HOP).chunking
        for stem in ("bass", "drums")
    )

    assert (bass.chunk, bass.context, bass.hop) == (31 * HOP, 128, 31 * HOP - 256)
    assert (drums.chunk, drums.context, drums.hop) == (15 * HOP, 32, 15 * HOP - 64)


def test_denoised_silence_is_silent(sessions: dict[str, InferenceSession]) -> None:
    plain = mdx_net.adapt(sessions["b_drums"], "drums", frame_hop=HOP)
    denoised = mdx_net.adapt(sessions["b_drums"], "drums", frame_hop=HOP, denoise=True)
    silence = torch.zeros(1, 2, plain.chunking.chunk)
    song = seeded.song(plain.chunking.chunk)[None]

    assert plain.separate(silence).abs().max() > 1e-3
    assert denoised.separate(silence).abs().max() == 0
    expected = (plain.separate(song) - plain.separate(-song)) / 2
    torch.testing.assert_close(denoised.separate(song), expected, rtol=0, atol=1e-6)


def test_our_network_is_the_one_in_their_files(sessions: dict[str, InferenceSession]) -> None:
    network = TFCTDFUNet(5, bins=32, layers=1, growth=2, squeeze=4).eval()
    names = {name: value for name, value in network.state_dict().items() if value.dim()}
    state = {name: seeded.drawn(f"drums.{name}", tuple(names[name].shape)) for name in names}
    checkpoints.fill(network, state, "small")
    inputs = torch.randn(2, 4, 32, 16, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        answer = network(inputs)

    (expected,) = sessions["b_drums"].run(None, {"input": inputs.numpy()})
    assert agreement_db(torch.from_numpy(expected), answer) > 100


@pytest.mark.parametrize(("blocks", "parameters"), [(11, 7_423_236), (9, 5_480_196)])
def test_the_network_has_the_published_size_and_names(blocks: int, parameters: int) -> None:
    with torch.device("meta"):
        network = TFCTDFUNet(blocks)

    published = json.loads((GOLDEN / "mdx_net_keys.json").read_text())[str(blocks)]
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == published
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_network_can_be_trained() -> None:
    network = TFCTDFUNet(3, bins=16, layers=1, growth=2, squeeze=4)

    network(torch.ones(2, 4, 16, 4)).square().sum().backward()

    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    "options",
    [{"blocks": 4}, {"blocks": 5, "bins": 30}, {"blocks": 5, "bins": 16, "squeeze": 8}],
    ids=str,
)
def test_impossible_networks_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="odd number of blocks"):
        TFCTDFUNet(**options)


def test_another_network_is_refused(tmp_path: Path, copying_model: bytes) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(copying_model)

    with pytest.raises(CheckpointError, match="expected a network of MDX-Net"):
        mdx_net.adapt(open_session(path), "bass")


def test_too_few_frames_are_refused(sessions: dict[str, InferenceSession]) -> None:
    with pytest.raises(CheckpointError, match="more than a frame of 256 samples"):
        mdx_net.adapt(sessions["b_bass"], "bass", frame_hop=8)


@pytest.mark.parametrize(
    "state", [{}, {"linear.weight": torch.zeros(8, 8)}, MIXER | {"linear.bias": torch.zeros(8)}]
)
def test_another_mixer_is_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"expected a mixer's linear\.weight of 8 by 10"):
        mdx_net.shared("bass", state)


@pytest.mark.parametrize("options", [{"stem": "vocal"}, {"leaderboard": "c"}], ids=str)
def test_unknown_stems_and_leaderboards_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="MDX-Net has no"):
        separators.build("mdx_net", options)


def test_build_joins_the_files_of_a_member(
    monkeypatch: pytest.MonkeyPatch, sessions: dict[str, InferenceSession]
) -> None:
    monkeypatch.setattr(checkpoints, "find", lambda name: name)
    monkeypatch.setattr(
        checkpoints, "session", lambda name: sessions[name.removeprefix("mdx_net_")]
    )
    monkeypatch.setattr(checkpoints, "load", lambda name: {"mdx_net_mixer": MIXER}[name])

    separator = separators.build("mdx_net", {"stem": "other", "mixer": "mdx_net_mixer"})

    assert separator.stems == STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_members_of_leaderboard_a_sum_up_in_any_order(stem: str) -> None:
    """Members with a mixer return parts of every stem, and none may be lost."""
    chosen = reading.load("mdx_net_a")
    everyone = chosen.members_for(stem)
    share = {"bass": 0.5, "drums": 0.5, "other": 0.7, "vocals": 0.9}[stem]
    for order in itertools.permutations(everyone):
        chain = RunningAverage(
            stem=stem, blends=chosen.blends, givers=everyone, planned=frozenset(everyone)
        )
        total, mixture = dict.fromkeys(everyone, 0.0), 0.0
        for index, name in enumerate(order):
            step = chain.update(frozenset(order[:index]), name)
            total = {one: step.keep * weight for one, weight in total.items()}
            total[name], mixture = step.add, step.keep * mixture + step.mix

        expected = dict.fromkeys(STEMS, share) | {"demucs": 1 - share}
        assert total == pytest.approx(expected)
        assert mixture == pytest.approx(0)


@pytest.mark.parametrize("stem", STEMS)
def test_a_part_of_a_stem_is_not_mistaken_for_the_stem(stem: str) -> None:
    chosen = reading.load("mdx_net_a")
    for names in subsets(chosen.members_for(stem)):
        blend = chosen.blend(stem, names)

        assert blend.weights.keys() == set(names)
        largest = max(names, key=blend.weights.__getitem__)
        assert largest in (stem, "demucs") or stem in names or blend.mixture
        assert max(blend.weights.values()) <= 1
