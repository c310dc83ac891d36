"""Conv-TasNet restores the level of speech, and ignores the padding of a chunk."""

import functools

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.separators.conv_tasnet import ConvTasNet

pytestmark = pytest.mark.engine


@functools.cache
def network() -> ConvTasNet:
    built = separators.build("conv_tasnet")
    assert isinstance(built, ConvTasNet)
    return built


@pytest.fixture(scope="module")
def mixture(briefing: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(briefing.values())).sum(dim=0)


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    error = (reference - estimate).double().square().sum() + 1e-7
    return float(10 * torch.log10((reference.double().square().sum() + 1e-7) / error))


def test_clean_speech_keeps_its_level(briefing: dict[str, Tensor]) -> None:
    dialog = briefing["dialog"][:, : network().chunking.shorter[-1]]

    with torch.inference_mode():
        speech = network().separate(dialog[None])[0, 0]

    assert sdr_db(dialog, speech) > 15


def test_padding_of_the_last_chunk_changes_nothing(mixture: Tensor) -> None:
    short = mixture[:, :96_000]
    chunk = torch.nn.functional.pad(short, (0, network().chunking.chunk - 96_000))
    shorter = torch.nn.functional.pad(short, (0, network().chunking.shorter[0] - 96_000))

    with torch.inference_mode():
        long, brief = (network().separate(padded[None])[0, 0] for padded in (chunk, shorter))

    torch.testing.assert_close(long[:, :90_000], brief[:, :90_000], rtol=0, atol=1e-3)
