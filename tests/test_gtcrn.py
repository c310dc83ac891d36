"""Our GTCRN, with the published weights, agrees with the published graph."""

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import ConfigError
from demixing.separators.gtcrn import FADE, Gtcrn
from demixing.weights import checkpoints
from demixing.weights.onnx_session import open_session
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

RATE_HZ = 16_000
BINS = 257


@functools.cache
def network(above: str = "silence", memory_s: float = 8.0) -> Gtcrn:
    built = separators.build("gtcrn", {"above": above, "memory_s": memory_s})
    assert isinstance(built, Gtcrn)
    return built


def published(audio: Tensor) -> Tensor:
    """Output of the published graph for mono ``(samples,)``, frame by frame; whole hops only."""
    session = open_session(checkpoints.find("gtcrn").path())
    memory = {
        "conv_cache": np.zeros((2, 1, 16, 16, 33), np.float32),
        "tra_cache": np.zeros((2, 3, 1, 1, 16), np.float32),
        "inter_cache": np.zeros((2, 1, 33, 16), np.float32),
    }
    window = torch.hann_window(512).sqrt()
    spectrum = torch.stft(audio, 512, 256, window=window, return_complex=True)
    answers = []
    for frame in torch.view_as_real(spectrum).unbind(dim=1):
        answer, *after = session.run(None, {"mix": frame[None, :, None].numpy(), **memory})
        memory = dict(zip(memory, after, strict=True))
        answers.append(torch.from_numpy(answer)[0, :, 0])
    masked = torch.view_as_complex(torch.stack(answers, dim=1).contiguous())
    return torch.istft(masked, 512, 256, window=window)


def separated(song: Tensor, above: str = "silence", memory_s: float = 8.0) -> Tensor:
    """Speech and the rest of a song."""
    overlap = OverlapAdd(network(above, memory_s))
    with torch.inference_mode():
        return torch.cat([overlap.push(song[None]), overlap.finish()], dim=-1)[0]


@pytest.fixture(scope="module")
def mixture(briefing: dict[str, Tensor]) -> Tensor:
    """Speech in film sound, mono, ``(samples,)``, as loud as if its rate were the network's."""
    return torch.stack(list(briefing.values())).sum(dim=0).mean(dim=0)


@pytest.mark.parametrize("samples", [1000, 16_000, 40_001])
def test_a_song_in_one_sequence_agrees_with_the_published_graph(
    samples: int, mixture: Tensor
) -> None:
    song = mixture[48_000:][:samples]

    speech, _ = separated(song.expand(2, -1))

    # The published code mirrors songs at their end, and stops at the last whole hop.
    whole = (samples // 256 - 1) * 256
    expected = published(song)[:whole]
    assert agreement_db(expected, speech[0, :whole]) > 100
    assert torch.equal(speech[0], speech[1])


def test_the_network_input_is_the_same_at_both_rates(mixture: Tensor) -> None:
    spectrum = torch.fft.rfft(mixture[:96_000])[:14_000]  # up to 7 kHz of 2 s
    low = torch.fft.irfft(spectrum, 32_000) / 3
    high = torch.fft.irfft(spectrum, 96_000)

    slow, fast = separated(low.expand(2, -1))[0, 0], separated(high.expand(2, -1), "average")[0, 0]

    assert agreement_db(slow[2000:-2000], fast[6000:-6000:3]) > 30


def test_the_network_starts_again_after_each_row(mixture: Tensor) -> None:
    brief = network("silence", 1.024)
    row = 64 * 256
    begin = row - 256  # the first frame of the second row is centred on its first sample
    song = mixture[: 4 * row].expand(2, -1)
    louder = torch.cat([10 * song[:, :begin], song[:, begin:]], dim=1)

    with torch.inference_mode():
        speech, other = (brief.separate(one[None])[0, 0] for one in (song, louder))

    later = row + (FADE + 1) * 256
    torch.testing.assert_close(other[:, later:], speech[:, later:], rtol=0, atol=1e-6)
    assert agreement_db(speech[:, :later], other[:, :later]) < 10


@pytest.mark.parametrize("frames", [1, FADE, 64, 65, 64 + FADE, 200])
def test_rows_are_joined_without_a_seam(frames: int) -> None:
    song = torch.randn(1, 2, 768 * frames + 1, generator=torch.Generator().manual_seed(0))

    rows, whole = (
        Gtcrn(lambda seen: seen.tanh(), memory=memory).separate(song) for memory in (64, 1000)
    )

    torch.testing.assert_close(rows, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"above": "noise"}, "average, silence"),
        ({"memory_s": 0.1}, "0.5 to 120 seconds"),
        ({"memory_s": "long"}, "gtcrn"),
        ({"memory_s": float("nan")}, "0.5 to 120 seconds"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        separators.build("gtcrn", options)
