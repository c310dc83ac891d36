"""How a config cuts a song.

``inference.method`` is our own key, and says whose program cuts the song:

* ``msst`` (default): chunks of ``chunk_size`` samples start ``chunk_size // num_overlap`` apart,
  and fade in and out over a tenth of their length. Long songs are mirrored at their ends.
* ``kuielab``: the mean of chunks, ``num_overlap`` for each sample; silence around the song.
* ``bandit``: Hann windows; the song is mirrored at its ends.
* ``demucs``: cross-fades; the last chunk ends with the song. SCNet's authors do this.

Source: ``demix`` in MSST's ``utils/model_utils.py``; KUIELab's ``modelA.py`` at sdx23; BandIt v2's
``inference_handler.py``; ``apply.py`` of starrytong/SCNet.
"""

from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.separator import Chunking, SongEnd, Window
from demixing.separators.msst.config import LONGEST_CHUNK, Config

METHODS = {
    "msst": (SongEnd.MIRRORED_IF_LONG, Window.TENTHS),
    "kuielab": (SongEnd.COVERED, Window.FLAT),
    "bandit": (SongEnd.MIRRORED, Window.HANN),
    "demucs": (SongEnd.EVERY_HOP_RAGGED, Window.CROSS_FADE),
}

MOST_OVERLAP = 64
"""Chunks per sample."""


def of_config(config: Config, overlap: int | None = None) -> Chunking:
    """Read the chunking from a config.

    Args:
        config: of the network.
        overlap: number of chunks for each sample; None: as in the config.

    Raises:
        ConfigError: the config does not say it, or it or the overlap is impossible.
    """
    method = config.get("inference.method", "msst")
    if not isinstance(method, str) or method not in METHODS:
        raise ConfigError(
            f"the config of {config.name} has an unknown inference.method {method!r:.60}"
            f"{did_you_mean(str(method), list(METHODS))}"
        )
    # Options of recipes have any type, and True is an int.
    if overlap is not None and (type(overlap) is not int or not 1 <= overlap <= MOST_OVERLAP):
        raise ConfigError(
            f"expected an overlap from 1 to {MOST_OVERLAP} chunks, a whole number, "
            f"got {overlap!r:.60}"
        )
    count = overlap or config.integer("inference.num_overlap", 2, most=MOST_OVERLAP)
    if method == "bandit" and count < 2:
        raise ConfigError(f"the Hann windows of {config.name} need an overlap of at least 2")
    chunk = _chunk(config, method)
    end, window = METHODS[method]
    return Chunking(chunk=chunk, hop=chunk // count, end=end, window=window)


def _chunk(config: Config, method: str) -> int:
    """Length of a chunk in samples."""
    if method == "kuielab":
        frames = config.integer("inference.dim_t", least=2, most=1 << 14)
        return config.integer("audio.hop_length", most=1 << 14) * (frames - 1)
    return config.integer(_chunk_key(config), least=1024, most=LONGEST_CHUNK)


def _chunk_key(config: Config) -> str:
    """The key of the length of a chunk in samples."""
    stated = config.get("inference.chunk_size")
    return "audio.chunk_size" if stated is None else "inference.chunk_size"


def check(config: Config, chunk: int, nearest: int) -> None:
    """Check that a network accepts the chunks of its config.

    Args:
        config: of the network.
        chunk: length of a chunk in samples.
        nearest: the nearest length that the network accepts.

    Raises:
        ConfigError: it is another one.
    """
    if chunk == nearest:
        return
    key, needs = _chunk_key(config), "a length that its network accepts"
    if config.get("inference.method") == "kuielab":
        key, needs = "inference.dim_t", "a number of frames that its network accepts"
        nearest = -(-nearest // config.integer("audio.hop_length", most=1 << 14)) + 1
    raise config.refused(key, needs, f"; the nearest is {nearest}")
