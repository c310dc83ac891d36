"""Two models of speech find the speech in sound that nobody tuned them on."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import samples
from evaluator.metrics.sdr import sdr
from my_submission import checkpoints, separators
from my_submission.errors import CheckpointError
from my_submission.passes import Passes
from my_submission.recipe import Setting

SPEECH = ["nsnet2", "conv_tasnet"]


def clip(tmp_path: Path) -> tuple[Tensor, Tensor]:
    """The dialog and the mixture of a sample, ``(2, samples)`` at 48 kHz or nearly so."""
    folder = samples.folder("cdx", tmp_path) / "clip_1_briefing"
    stems = [
        soundfile.read(folder / f"{stem}.flac", dtype="float32")[0].T
        for stem in ("dialog", "effect", "music")
    ]
    return torch.from_numpy(stems[0].copy()), torch.from_numpy(np.sum(stems, axis=0))


def separated(name: str, mixture: Tensor) -> Tensor:
    stream = Passes(separators.build(name), Setting(), groups=1, batch=1)
    return torch.cat([stream.push(mixture[None]), stream.finish()], dim=-1)[0]


# A speaker who is 9 % slower than in truth is still one: no resampling here, the engine does it.
@pytest.mark.parametrize("name", SPEECH)
def test_speech_is_found(tmp_path: Path, name: str) -> None:
    dialog, mixture = clip(tmp_path)

    speech, rest = separated(name, mixture).double()

    before, after = (
        float(sdr(dialog.T.double().numpy()[None], one.T.double().numpy()[None])[0])
        for one in (mixture, speech)
    )
    assert before == pytest.approx(1.1, abs=0.1)
    assert after > before + 3
    torch.testing.assert_close(speech + rest, mixture.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["conv_tasnet_speech", "nsnet2_speech"])
def test_an_altered_model_is_not_opened(tmp_path: Path, name: str) -> None:
    entry = checkpoints.find(name)
    altered = bytearray(entry.path().read_bytes())
    altered[1000] ^= 1
    path = tmp_path / "altered.onnx"
    path.write_bytes(altered)

    with pytest.raises(CheckpointError, match="expected sha256"):
        checkpoints.session(entry, path)


def test_weights_of_another_format_are_no_session() -> None:
    with pytest.raises(CheckpointError, match="expected 'onnx'"):
        checkpoints.session(checkpoints.find("spleeter_2stems_vocals"))
