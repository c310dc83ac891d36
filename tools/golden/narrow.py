"""Every separator at a size for tests: narrow networks with seeded weights, or short chunks.

Separators whose weights may not be shipped are narrow networks, with weights seeded by the names of
their layers. Those whose weights come with a package are real, with shorter chunks.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from demixing import separators
from demixing.networks import bytesep_fast, open_unmix, trainable
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.networks.d3_unet import D3UNet
from demixing.networks.demucs_split import DemucsSplit
from demixing.networks.demucs_v2 import Demucs
from demixing.networks.mrx import FRAME_HOP, MRX
from demixing.networks.mrx import prepared as prepared_mrx
from demixing.networks.xumx import XUMX
from demixing.separator import Separator
from demixing.separators import (
    bytesep,
    conv_tasnet,
    danna_sep,
    deepfilternet,
    demucs_v1,
    demucs_v2,
    hpss,
    mdx_net,
    mrx,
    spleeter,
    trained,
)
from demixing.separators.demucs import bag_separator
from demixing.separators.msst import plugin
from demixing.separators.msst.config import Config
from demixing.separators.open_unmix import TARGETS, OpenUnmixes
from demixing.separators.open_unmix import chunking as open_unmix_chunking
from demixing.weights.onnx_session import open_session
from demixing.weights.readers import Contents
from tools.golden import bytesep as golden_bytesep
from tools.golden import danna_sep as golden_danna
from tools.golden import msst as golden_msst
from tools.golden import seeded

STEMS = ("drums", "bass", "other", "vocals")
GOLDEN = Path(__file__).parents[2] / "tests" / "golden"


def filled(network: Any, keep: Callable[[str], bool] = lambda name: False) -> Any:
    """Fill a network in place and return it."""
    seeded.fill(network, keep=keep)
    return network.eval()


def in_chunks(
    separator: Any, frame_hop: int, *, chunk: int, hop: int, context: int = 0, shorter: int = 0
) -> Separator:
    """Return a separator with short chunks; all lengths in frames.

    Args:
        separator: a dataclass with a field ``chunking``.
        frame_hop: samples between two frames of its STFT.
        chunk: length of a chunk.
        hop: distance between chunks.
        context: discarded length at both ends of a chunk.
        shorter: another length of a chunk; 0 for none.
    """
    chunking = dataclasses.replace(
        separator.chunking,
        chunk=chunk * frame_hop,
        hop=hop * frame_hop,
        context=context * frame_hop,
        shorter=(shorter * frame_hop,) if shorter else (),
    )
    return cast("Separator", dataclasses.replace(separator, chunking=chunking))


def narrow_demucs_v1() -> Separator:
    """Demucs v1."""
    return demucs_v1.adapt(filled(Demucs(4, resample=False, epsilon=0.0)), chunk_s=0.5)


def narrow_demucs_v2() -> Separator:
    """Demucs v2."""
    return demucs_v2.adapt(filled(Demucs(4)), chunk_s=0.5)


def narrow_demucs_v3() -> Separator:
    """Demucs v3, hybrid."""
    network = filled(HDemucs(list(STEMS), channels=4))
    return bag_separator.adapt(network, STEMS, segment_s=1.0, any_length=True)


def narrow_demucs_v4() -> Separator:
    """Demucs v4."""
    network = HTDemucs(
        list(STEMS), channels=8, bottom_channels=16, t_layers=3, t_heads=2, segment=Fraction(3, 4)
    )
    return bag_separator.adapt(filled(network), STEMS, segment_s=0.75)


def narrow_mdx_net() -> Separator:
    """MDX-Net."""
    with np.load(GOLDEN / "mdx_net.npz") as arrays, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocals.onnx")
        path.write_bytes(arrays["b_vocals"].tobytes())
        return mdx_net.adapt(open_session(path), "vocals", frame_hop=16)


def narrow_bytesep() -> Separator:
    """ByteSep, its small network."""
    network = filled(MobileNet(channels=(4,) * 6), golden_bytesep.constant)
    return bytesep.ByteSep((bytesep_fast.prepared(network),), ("vocals",), bytesep.chunking(1.0))


def narrow_danna_sep() -> Separator:
    """Danna-Sep, all three networks."""
    networks = {
        "unet": D3UNet(input_bins=128, growth=2),
        "demucs": DemucsSplit(channels=4),
        "xumx": XUMX(hidden=16),
    }
    for network in networks.values():
        filled(network, golden_danna.constant)
    whole = danna_sep.adapt(networks, chunk_s=2)
    return in_chunks(whole, danna_sep.FRAME_HOP, chunk=192, hop=64, context=32)


def narrow_open_unmix() -> Separator:
    """Open-Unmix, all targets."""
    networks = [filled(open_unmix.OpenUnmix(hidden=16)) for _ in TARGETS]
    fast = tuple(open_unmix.prepared(network) for network in networks)
    whole = OpenUnmixes(fast, TARGETS, open_unmix_chunking(17), wiener_frames=64)
    return in_chunks(whole, open_unmix.FRAME_HOP, chunk=212, hop=64, context=64, shorter=128)


def narrow_mrx() -> Separator:
    """MRX."""
    whole = mrx.CocktailFork(prepared_mrx(filled(MRX(hidden=16))), mrx.chunking(60))
    return in_chunks(whole, FRAME_HOP, chunk=200, hop=120, context=32, shorter=100)


def of_config(name: str) -> Separator:
    """A network with a config, by the config's name."""
    source = plugin.Source(
        system=golden_msst.PLUGINS.get(name, name),
        config=Config(golden_msst.CONFIGS[name], name),
        contents=lambda: Contents(state=golden_msst.state(name)),
    )
    return plugin.assemble(source)


def narrow_trained() -> Separator:
    """A trainable network."""
    network = trainable.build("shared_unet", STEMS, {"widths": [2, 4, 4, 4, 4, 4]})
    whole = trained.of_network(filled(network), STEMS)
    return in_chunks(whole, network.step, chunk=127, hop=96, context=8, shorter=63)


def brief_conv_tasnet() -> Separator:
    """Conv-TasNet."""
    real = separators.build("conv_tasnet")
    return in_chunks(real, conv_tasnet.FRAME_HOP, chunk=64, hop=48, context=4, shorter=32)


def brief_deepfilternet() -> Separator:
    """DeepFilterNet."""
    real = separators.build("deepfilternet")
    return in_chunks(real, deepfilternet.FRAME_HOP, chunk=120, hop=90, context=10, shorter=60)


def brief_hpss() -> Separator:
    """Median filters, at a rate that makes 20 s short."""
    return cast("Separator", dataclasses.replace(hpss.build(), sample_rate_hz=8_000))


def brief_spleeter() -> Separator:
    """Spleeter, with 128 frames or 64, the minimum of its network."""
    real = separators.build("spleeter")
    return in_chunks(real, spleeter.FRAME_HOP, chunk=131, hop=128, shorter=67)


NARROW: dict[str, Callable[[], Separator]] = {
    "bandit": lambda: of_config("bandit_v2"),
    "bs_roformer": lambda: of_config("bs_roformer"),
    "bytesep": narrow_bytesep,
    "conv_tasnet": brief_conv_tasnet,
    "danna_sep": narrow_danna_sep,
    "deepfilternet": brief_deepfilternet,
    "demucs_v1": narrow_demucs_v1,
    "demucs_v2": narrow_demucs_v2,
    "demucs_v3": narrow_demucs_v3,
    "demucs_v4": narrow_demucs_v4,
    "hpss": brief_hpss,
    "mdx_net": narrow_mdx_net,
    "mel_band_roformer": lambda: of_config("mel_band_roformer"),
    "mrx": narrow_mrx,
    "open_unmix": narrow_open_unmix,
    "scnet": lambda: of_config("scnet"),
    "spleeter": brief_spleeter,
    "tfc_tdf_v3": lambda: of_config("mdx23c"),
    "trained": narrow_trained,
}


def build(name: str) -> Separator:
    """Build a separator at a size for tests."""
    return NARROW[name]() if name in NARROW else separators.build(name)
