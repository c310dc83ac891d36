"""Write a small checkpoint with Spleeter's names with TensorFlow, for the tests of our reader.

    python tools/golden/tensorflow_checkpoint.py tests/golden/tensorflow_checkpoint.tar.gz

Needs tensorflow-cpu 2.21 in an environment of its own, and nothing of this project. The graph is
that of two stems at a width of 2; its values are drawn from generators that are seeded by names.
"""

import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

WIDTH = 2
STEMS = 2


def shapes() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all variables, numbered consecutively as by TensorFlow."""
    result: dict[str, tuple[int, ...]] = {}
    for stem in range(STEMS):
        for step in range(6):
            outputs, inputs = (WIDTH, 2 * WIDTH if step else WIDTH) if step < 5 else (1, 2 * WIDTH)
            layers = {
                numbered("conv2d", 7 * stem + step): (5, 5, WIDTH if step else 2, WIDTH),
                numbered("conv2d_transpose", 6 * stem + step): (5, 5, outputs, inputs),
            }
            for layer, shape in layers.items():
                result[f"{layer}/kernel"] = shape
                result[f"{layer}/bias"] = (shape[2 if "transpose" in layer else 3],)
            for number, width in ((step, WIDTH), (6 + step, outputs)):
                layer = numbered("batch_normalization", 12 * stem + number)
                for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                    result[f"{layer}/{name}"] = (width,)
        layer = numbered("conv2d", 7 * stem + 6)
        result |= {f"{layer}/kernel": (4, 4, 1, 2), f"{layer}/bias": (2,)}
    return result


def numbered(layer: str, number: int) -> str:
    """Return TensorFlow's name of the n-th layer of a kind."""
    return f"{layer}_{number}" if number else layer


def drawn(name: str, shape: tuple[int, ...]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Draw the values of one variable, float32 of the given shape."""
    return np.random.default_rng(zlib.crc32(name.encode())).random(shape, dtype=np.float32)


def main(target: str) -> None:
    """Write the archive."""
    import tensorflow

    v1 = tensorflow.compat.v1
    v1.disable_eager_execution()
    with tempfile.TemporaryDirectory() as folder, v1.Session() as session:
        variables = {
            name: v1.get_variable(name.replace("/", "-"), initializer=drawn(name, shape))
            for name, shape in shapes().items()
        }
        variables["global_step"] = v1.get_variable("step", initializer=np.int64(7))
        session.run(v1.global_variables_initializer())
        v1.train.Saver(variables).save(session, f"{folder}/model", write_meta_graph=False)
        with tarfile.open(target, "w:gz") as archive:
            for path in sorted(Path(folder).glob("model.*")):
                archive.add(path, path.name, filter=anonymous)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Remove the owner and time of a member of the archive."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main(sys.argv[1])
