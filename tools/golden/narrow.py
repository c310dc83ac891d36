"""Separators whose files nobody may ship, as narrow networks with weights that names seed."""

import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from demixing import separators
from demixing.networks import bytesep_fast, open_unmix, trainable
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.networks.d3_unet import D3UNet
from demixing.networks.demucs_split import DemucsSplit
from demixing.networks.demucs_v2 import Demucs
from demixing.networks.xumx import XUMX
from demixing.separator import Separator
from demixing.separators import bytesep, danna_sep, demucs_v1, demucs_v2, mdx_net, trained
from demixing.separators.demucs import hybrid
from demixing.separators.open_unmix import TARGETS, OpenUnmixes
from demixing.separators.open_unmix import chunking as open_unmix_chunking
from demixing.weights.onnx_session import open_session
from tools.golden import bytesep as golden_bytesep
from tools.golden import danna_sep as golden_danna
from tools.golden import seeded

STEMS = ("drums", "bass", "other", "vocals")
GOLDEN = Path(__file__).parents[2] / "tests" / "golden"


def filled(network: Any, keep: Callable[[str], bool] = lambda name: False) -> Any:
    """Fill a network in place and return it."""
    seeded.fill(network, keep=keep)
    return network.eval()


def narrow_demucs_v1() -> Separator:
    """Demucs v1."""
    return demucs_v1.adapt(filled(Demucs(4, resample=False, epsilon=0.0)), chunk_s=0.5)


def narrow_demucs_v2() -> Separator:
    """Demucs v2."""
    return demucs_v2.adapt(filled(Demucs(4)), chunk_s=0.5)


def narrow_demucs_v3() -> Separator:
    """Demucs v3, hybrid."""
    network = filled(HDemucs(list(STEMS), channels=4))
    return hybrid.adapt(network, STEMS, segment_s=1.0, any_length=True)


def narrow_demucs_v4() -> Separator:
    """Demucs v4."""
    network = HTDemucs(
        list(STEMS), channels=8, bottom_channels=16, t_layers=3, t_heads=2, segment=Fraction(3, 4)
    )
    return hybrid.adapt(filled(network), STEMS, segment_s=0.75)


def narrow_mdx_net() -> Separator:
    """MDX-Net."""
    with np.load(GOLDEN / "mdx_net.npz") as arrays, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocals.onnx")
        path.write_bytes(arrays["b_vocals"].tobytes())
        return mdx_net.adapt(open_session(path), "vocals", frame_hop=16)


def narrow_bytesep() -> Separator:
    """ByteSep, its small network."""
    network = filled(MobileNet(), golden_bytesep.constant)
    return bytesep.ByteSep((bytesep_fast.prepared(network),), ("vocals",), bytesep.chunking(1.0))


def narrow_danna_sep() -> Separator:
    """Danna-Sep, all three networks."""
    networks = {
        "unet": D3UNet(growth=2),
        "demucs": DemucsSplit(channels=4),
        "xumx": XUMX(hidden=16),
    }
    for network in networks.values():
        filled(network, golden_danna.constant)
    return danna_sep.adapt(networks, chunk_s=2)


def narrow_open_unmix() -> Separator:
    """Open-Unmix, all targets."""
    networks = [filled(open_unmix.OpenUnmix(hidden=16)) for _ in TARGETS]
    fast = tuple(open_unmix.prepared(network) for network in networks)
    return OpenUnmixes(fast, TARGETS, open_unmix_chunking(17))


def narrow_trained() -> Separator:
    """A network that can be trained here."""
    network = trainable.build("shared_unet", STEMS, {"widths": [2, 4, 4, 4, 4, 4]})
    return trained.of_network(filled(network), STEMS)


NARROW: dict[str, Callable[[], Separator]] = {
    "bytesep": narrow_bytesep,
    "danna_sep": narrow_danna_sep,
    "demucs_v1": narrow_demucs_v1,
    "demucs_v2": narrow_demucs_v2,
    "demucs_v3": narrow_demucs_v3,
    "demucs_v4": narrow_demucs_v4,
    "mdx_net": narrow_mdx_net,
    "open_unmix": narrow_open_unmix,
    "trained": narrow_trained,
}


def build(name: str) -> Separator:
    """Build a separator with its real weights if a package carries them."""
    return NARROW[name]() if name in NARROW else separators.build(name)
