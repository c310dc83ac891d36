"""Make the golden outputs of Spleeter's models of four and five stems from Deezer's own code.

    TF_USE_LEGACY_KERAS=1 python -m tools.golden.spleeter CHECKOUT

CHECKOUT is a clone of https://github.com/deezer/spleeter at 64daa5a. Needs tensorflow-cpu 2.21 and
tf_keras 2.21 besides this project's packages, in an environment of their own. The networks are made
narrow; frames, bins and all other settings are as released. One block of frames is separated.
"""

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.golden import seeded

FILE = Path(__file__).parents[2] / "tests" / "golden" / "spleeter.npz"
WIDTHS = (2, 3, 4, 5, 6, 7)
SAMPLES = 511 * 1024 - 2048
"""Samples of the song: one block of 512 frames, beginning with a silent one."""

START, STOP = 200_000, 201_500
"""First stored sample, and one past the last."""

LAST = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
LAST |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
"""Last part of the names of tensors in TensorFlow, and in torch."""


def main(checkout: Path) -> None:
    """Write tests/golden/spleeter.npz."""
    sys.path.insert(0, str(checkout))
    song = seeded.song(SAMPLES, seed=8).numpy()
    arrays = {}
    for stems in (4, 5):
        config = checkout / "configs" / f"{stems}stems" / "base_config.json"
        answer = separated(json.loads(config.read_text(encoding="utf-8")), song)
        arrays[str(stems)] = np.stack([answer[stem][START:STOP].T for stem in answer])
    np.savez_compressed(FILE, **arrays)  # type: ignore[arg-type]


def separated(config: dict[str, Any], song: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Separate ``(2, samples)`` with a released model into ``(samples, 2)`` by stem."""
    tf: Any = importlib.import_module("tensorflow")
    sys.modules.setdefault("pandas", types.ModuleType("pandas"))  # only for training
    builder: Any = importlib.import_module("spleeter.model").EstimatorSpecBuilder
    config["model"]["params"]["conv_n_filters"] = list(WIDTHS)
    config |= {"mask_extension": "average", "stft_backend": "tensorflow"}
    with tf.Graph().as_default():
        waveform = tf.constant(song.T)
        tf.compat.v1.keras.backend.set_learning_phase(0)
        outputs = builder({"waveform": waveform, "audio_id": tf.constant("")}, config).outputs
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for variable in tf.compat.v1.global_variables():
                value = drawn(variable.name, tuple(variable.shape), config["instrument_list"])
                variable.load(value, session)
            found: dict[str, NDArray[np.float32]] = session.run(
                {stem: outputs[stem] for stem in config["instrument_list"]}
            )
    return found


def drawn(name: str, shape: tuple[int, ...], stems: list[str]) -> NDArray[np.float32]:
    """Draw a variable of TensorFlow, seeded by our name for it, and transpose it.

    TensorFlow numbers the layers of all stems consecutively.

    Args:
        name: name of the variable.
        shape: shape of the variable; kernels are ``(height, width, inputs, outputs)``.
        stems: names of the stems, in the order of the model.

    Returns:
        The values, of the given shape.
    """
    layer, _, kind = name.removesuffix(":0").partition("/")
    base, _, number = layer.rpartition("_")
    index = int(number) if number.isdigit() else 0
    base = base if number.isdigit() else layer
    per_stem = {"conv2d": 7, "conv2d_transpose": 6, "batch_normalization": 12}[base]
    stem, step = stems[index // per_stem], index % per_stem
    if base == "batch_normalization":
        part = f"down.{step}.norm" if step < 6 else f"up.{step - 6}.norm"
    elif base == "conv2d_transpose":
        part = f"up.{step}.convolution"
    else:
        part = f"down.{step}.convolution" if step < 6 else "last"
    ours = f"{stem}.{part}.{LAST[kind]}"
    if kind != "kernel":
        return seeded.drawn(ours, shape).numpy()
    height, width, *channels = shape
    return seeded.drawn(ours, (*channels[::-1], height, width)).numpy().transpose(2, 3, 1, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
