"""What both RoFormers read from a config and from the weights."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demixing.networks import roformer_state
from demixing.networks.roformer import Sizes
from demixing.separators.msst.config import Config

COMPARED = (
    *("dim", "depth", "num_stems", "heads", "dim_head", "use_pope", "stereo", "num_bands"),
    *("time_transformer_depth", "freq_transformer_depth", "linear_transformer_depth"),
)
"""Keys of a config that must agree with the weights; otherwise it belongs to another file.

The depth of the mask networks is not compared, since its meaning differs between programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of weights, and the STFT of its config.

    Attributes:
        config: of the file.
        state: the weights, without prefixes.
        sizes: of the network.
        widths: see :func:`demixing.networks.roformer_state.widths_of`.
        n_fft: length of the STFT and of its window in samples.
        hop: of the STFT in samples.
    """

    config: Config
    state: Mapping[str, Tensor]
    sizes: Sizes
    widths: list[int]
    n_fft: int
    hop: int

    def arguments(self, channels: int) -> dict[str, Any]:
        """Return the arguments that both networks have.

        Args:
            channels: of the network, from the widths of its bands.

        Raises:
            ConfigError: the config is out of range, or belongs to other weights.
        """
        stereo, sizes = channels == 2, dataclasses.asdict(self.sizes)
        found = sizes | {"stereo": stereo, "num_bands": len(self.widths)}
        for key in COMPARED:
            self.config.agrees(f"model.{key}", found[key], optional=True)
        self.config.check_outputs(self.sizes.num_stems)
        del sizes["hidden_layers"]
        return sizes | {
            "stereo": stereo,
            "zero_dc": self.config.flag("model.zero_dc", default=True),
            "stft_n_fft": self.n_fft,
            "stft_hop_length": self.hop,
        }


def read(config: Config, state: Mapping[str, Tensor]) -> File:
    """Read the sizes from the weights and the STFT from the config.

    Whether the spectrum is normalised makes no difference: the network normalises its input, and
    its masks are factors.

    Raises:
        CheckpointError: these are not the weights of a RoFormer.
        ConfigError: the section ``model`` is missing or out of range.
    """
    config.section("model")
    state = roformer_state.unprefixed(state)
    sizes = roformer_state.sizes_of(state, skip_connection=config.flag("model.skip_connection"))
    widths = roformer_state.widths_of(state)
    n_fft = config.integer("model.stft_n_fft", 2048, least=64, most=16_384, even=True)
    hop = config.integer("model.stft_hop_length", 512, least=n_fft // 16, most=n_fft // 2)
    config.integer("model.stft_win_length", 2048, least=n_fft, most=n_fft)  # supports no other
    return File(config=config, state=state, sizes=sizes, widths=widths, n_fft=n_fft, hop=hop)


def recognises(config: Config, bands: str, *, without: str) -> bool:
    """Whether a config describes transformers on a kind of bands.

    Args:
        config: of any system.
        bands: key of this kind of bands.
        without: key of the other kind.
    """
    keys = config.keys("model")
    if without in keys or any("conformer" in key for key in keys):
        return False
    return keys >= {"dim", "depth", bands}
