"""Make the golden outputs of MDX-Net from KUIELab's own code.

    python -m tools.golden.mdx_net SUBMISSION TRAINING

SUBMISSION is a clone of https://github.com/kuielab/mdx-net-submission with the commits 13c98c0
(branch leaderboard_A) and 18014d7 (leaderboard_B); TRAINING is a checkout of
https://github.com/kuielab/mdx-net at bbd46db. Needs the package onnx besides ours. The other
imports of the code are not needed here and are replaced by empty modules.

The networks are small: 32 bins, two steps down, two more channels at each. The weights are drawn
from their names in TRAINING. The ONNX files are exported from these networks by torch.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest.mock
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.golden import seeded

FOLDER = Path(__file__).parents[2] / "tests" / "golden"
COMMITS = {"a": "13c98c0", "b": "18014d7"}
STEMS = ("bass", "drums", "other", "vocals")
FRAME_HOP = 16
SAMPLES = 2000
SMALL: dict[str, Any] = {
    "L": 5,
    "l": 1,
    "g": 2,
    "bn": 4,
    "bias": False,
    "dim_f": 5,
    "hop": FRAME_HOP,
}
FRAMES = {"a": dict.fromkeys(STEMS, 4), "b": {"bass": 5, "drums": 4, "other": 5, "vocals": 5}}
"""Exponents of two: frames of a chunk. Leaderboard A doubles the frames for inference."""

NAMES = {"ds_dense": "encoding_blocks", "us_dense": "decoding_blocks"}
NAMES |= {"mid_dense": "bottleneck_block", "H": "tfc.H"}
"""Parts of names in SUBMISSION, and the corresponding names in TRAINING."""


def main(submission: Path, training: Path) -> None:
    """Write tests/golden/mdx_net.npz and mdx_net_keys.json."""
    import_module("onnx")  # once, before modules are replaced: it cannot be loaded twice
    arrays = {"song": seeded.song(SAMPLES, seed=4).numpy()}
    for leaderboard in COMMITS:
        arrays |= separated(submission, leaderboard, arrays["song"].astype(np.float64))
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "mdx_net.npz", **arrays)  # type: ignore[arg-type]
    keys = {str(blocks): shapes(training, blocks) for blocks in (11, 9)}
    (FOLDER / "mdx_net_keys.json").write_text(json.dumps(keys, separators=(",", ":")) + "\n")


def separated(
    submission: Path, leaderboard: str, song: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Run ``demix_base`` of one leaderboard.

    Args:
        submission: the clone.
        leaderboard: a or b.
        song: ``(2, samples)``.

    Returns:
        The stems, ``(stems, 2, samples)``, and the bytes of the ONNX files, by name.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with original(submission, leaderboard) as predict_blend:
        networks = [small(predict_blend, leaderboard, stem) for stem in STEMS]
        folder = Path(predict_blend.onnx_name if leaderboard == "a" else "onnx")
        for network in networks:
            export(network, folder / f"{network.target_name}.onnx")
        predictor = predict_blend.Predictor()
        predictor.models = networks
        if leaderboard == "a":
            mixer = seeded.state({"linear.weight": (8, 10)})
            torch.save(mixer, Path("model", "mixer.ckpt"))
            predictor.mixer = predict_blend.Mixer(torch.device("cpu"))
        stems = predictor.demix_base(song)
        for path in folder.glob("*.onnx"):
            arrays[f"{leaderboard}_{path.stem}"] = np.frombuffer(path.read_bytes(), np.uint8)
    return arrays | {f"{leaderboard}_stems": np.asarray(stems, dtype=np.float32)}


@contextlib.contextmanager
def original(submission: Path, leaderboard: str) -> Iterator[Any]:
    """Import ``predict_blend`` of one leaderboard, with a temporary working directory.

    It separates a whole folder while it is imported, so its base class is replaced by one that does
    nothing. The STFT is replaced by one with real outputs, which torch no longer has.
    """
    before = Path.cwd()
    fakes: dict[str, dict[str, Any]] = {
        "evaluator.music_demixing": {"MusicDemixingPredictor": Idle},
        "demucs.model": {"Demucs": None},
        "demucs.utils": {"apply_model": None},
        "openunmix": {"data": None, "predict": None},
        "torchaudio": {},
    }
    modules = {name: types.ModuleType(name) for name in fakes}
    for name, contents in fakes.items():
        vars(modules[name]).update(contents)
    for name in ("evaluator", "demucs"):
        modules[name] = types.ModuleType(name)
    with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(sys.modules, modules):
        for name in ("models.py", "predict_blend.py"):
            show = ["git", "-C", str(submission), "show", f"{COMMITS[leaderboard]}:{name}"]
            Path(folder, name).write_bytes(subprocess.run(show, check=True, stdout=-1).stdout)
        for name in ("onnx_A", "onnx", "model"):
            Path(folder, name).mkdir()
        sys.modules.pop("models", None)
        sys.path.insert(0, folder)
        os.chdir(folder)
        try:
            with (
                unittest.mock.patch("torch.stft", real_stft(torch.stft)),
                unittest.mock.patch("torch.istft", real_istft(torch.istft)),
            ):
                yield import_module("predict_blend")
        finally:
            os.chdir(before)
            sys.path.remove(folder)


class Idle:
    """Replaces the class that separates a folder."""

    def run(self) -> None:
        """Do nothing."""


def real_stft(stft: Any) -> Any:
    """Return an STFT with real and imaginary parts as its output, as in older versions of torch."""

    def transform(x: Tensor, *, return_complex: bool = False, **options: Any) -> Tensor:
        spectrum: Tensor = stft(x, return_complex=True, **options)
        return spectrum if return_complex else torch.view_as_real(spectrum)

    return transform


def real_istft(istft: Any) -> Any:
    """Return an inverse STFT that also accepts real and imaginary parts."""

    def transform(x: Tensor, **options: Any) -> Tensor:
        spectrum = x if x.is_complex() else torch.view_as_complex(x.contiguous())
        return istft(spectrum, **options)  # type: ignore[no-any-return]

    return transform


def small(predict_blend: Any, leaderboard: str, stem: str) -> Any:
    """Build one small network with its weights."""
    kind = sys.modules[predict_blend.get_models.__module__].Conv_TDF_net_trim
    return built(kind, stem, **SMALL, dim_t=FRAMES[leaderboard][stem])


def built(kind: Any, stem: str, *, load: bool = True, **options: Any) -> Any:
    """Build a network of SUBMISSION with seeded weights.

    Args:
        kind: name of its class.
        stem: name of its stem.
        load: whether it has layers and weights, or only its sizes.
        options: options of the class.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        network = kind(
            device=torch.device("cpu"), load=load, model_name="()", target_name=stem,
            lr=0, epoch=0, **options,
        )  # fmt: skip
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(drawn(stem, name, tensor))
    return network.eval()


def drawn(stem: str, name: str, tensor: Tensor) -> Tensor:
    """Draw a tensor of the same shape, seeded by its name in TRAINING and by the stem."""
    parts = [NAMES.get(part, part) for part in name.split(".")]
    return seeded.drawn(f"{stem}.{'.'.join(parts)}", tuple(tensor.shape))


def export(network: Any, path: Path) -> None:
    """Write an ONNX file like the authors: the batch size is free, the frames are fixed."""
    frames = network.chunk_size // network.hop + 1
    torch.onnx.export(
        network,
        (torch.zeros(1, 4, network.dim_f, frames),),
        str(path),
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        opset_version=13,
        dynamo=False,
    )


def shapes(training: Path, blocks: int) -> dict[str, list[int]]:
    """Return names and shapes of the weights of a network of TRAINING, at full size."""
    lightning, omegaconf = types.ModuleType("pytorch_lightning"), types.ModuleType("omegaconf")
    types_ = types.ModuleType("pytorch_lightning.utilities.types")
    utils = types.ModuleType("src.utils.utils")
    module = type("LightningModule", (torch.nn.Module,), {"save_hyperparameters": lambda self: 0})
    vars(lightning)["LightningModule"] = module
    vars(types_)["STEP_OUTPUT"] = vars(omegaconf)["OmegaConf"] = vars(utils)["sdr"] = None
    fakes = {"pytorch_lightning": lightning, "omegaconf": omegaconf, "src.utils.utils": utils}
    fakes |= {"pytorch_lightning.utilities.types": types_}
    with (
        unittest.mock.patch.dict(sys.modules, fakes),
        unittest.mock.patch("torch.stft", real_stft(torch.stft)),
    ):
        sys.path.insert(0, str(training))
        from src.models.mdxnet import ConvTDFNet  # type: ignore[import-not-found]

        network = ConvTDFNet(
            "drums", 0, "rmsprop", dim_c=4, dim_f=2048, dim_t=256, n_fft=4096, hop_length=1024,
            num_blocks=blocks, l=3, g=32, k=3, bn=8, bias=False, overlap=2048, ckpt=None,
        )  # fmt: skip
    sys.path.remove(str(training))
    known = network.state_dict()
    return {name: list(known[name].shape) for name in known if name not in ("window", "freq_pad")}


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
