"""Every separator at its full size, with real weights if they are on this machine.

Weights of others may not be shipped. Without them a network gets random weights, seeded by the
names of its layers: time, memory and number of weights are the same, what it separates is noise.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import hybrid_demucs
from demixing import separators
from demixing.errors import CheckpointError
from demixing.networks import execution, open_unmix
from demixing.networks.bs_roformer import BSRoFormer
from demixing.networks.bytesep import ResUNet143
from demixing.networks.bytesep_fast import prepared as prepared_bytesep
from demixing.networks.demucs_v2 import Demucs
from demixing.networks.mel_band_roformer import MelBandRoFormer
from demixing.networks.mrx import MRX
from demixing.networks.mrx import prepared as prepared_mrx
from demixing.networks.scnet import SCNet
from demixing.networks.tfc_tdf_v3 import TFCTDFv3
from demixing.separator import Separator
from demixing.separators import bytesep, danna_sep, demucs_v1, demucs_v2, mrx
from demixing.separators.msst import chunking, plugin, separator
from demixing.separators.open_unmix import TARGETS, OpenUnmixes
from demixing.separators.open_unmix import chunking as open_unmix_chunking
from tools.golden import bandit, roformer, seeded, tfc_tdf_v3

OPTIONS: dict[str, dict[str, Any]] = {
    "demucs_v4": {"files": "any"},
    "trained": {"weights": "mdx_unet"},
}
"""Options of ``build`` where the defaults are not what is measured."""

MASKS: dict[str, Any] = {
    "stft_n_fft": 2048,
    "stft_hop_length": 441,
    "mask_estimator_depth": 2,
    "zero_dc": True,
}
ROFORMER: dict[str, Any] = {
    name: roformer.FULL["mel"][name] for name in ("dim", "dim_head", "heads")
}


def build(name: str) -> tuple[Separator, bool]:
    """Build a separator at full size.

    Returns:
        The separator, and whether its weights are random.

    Raises:
        CheckpointError: its weights are missing, and its network is in their file.
    """
    try:
        return separators.build(name, OPTIONS.get(name)), False
    except CheckpointError:
        if name not in RANDOM:
            raise
        return RANDOM[name](), True


def described(name: str, *, random: bool) -> str:
    """Say which network :func:`build` measures.

    >>> described("trained", random=False), described("mrx", random=True)
    ('with the options weights = mdx_unet', 'MRX')
    """
    if random:
        return (RANDOM[name].__doc__ or name).rstrip(".")
    given = ", ".join(f"{key} = {value}" for key, value in OPTIONS.get(name, {}).items())
    return f"with the options {given}" if given else "with the default options"


def filled(network: Any) -> Any:
    """Fill a network with seeded weights, make it ready for inference, and return it."""
    with torch.no_grad():
        for name, weights in network.named_parameters():
            weights.copy_(seeded.drawn(name, tuple(weights.shape)))
    return network.requires_grad_(requires_grad=False).eval()


def of_config(name: str, checkpoint: str, network: Callable[[], nn.Module]) -> Separator:
    """A network with a config, cut as a checkpoint of the catalogue is.

    Args:
        name: of the plug-in.
        checkpoint: name in the catalogue.
        network: of the size of that checkpoint.
    """
    config = plugin.find(checkpoint).config
    return separator.prepare(
        filled(network()),
        stems=config.stems(),
        chunking=chunking.of_config(config, None),
        sample_rate_hz=config.integer("audio.sample_rate", 44_100, least=8000, most=192_000),
        rewrite=getattr(separators.module(name), "rewrite", None),
    )


def random_bandit() -> Separator:
    """BandIt v2."""
    sizes = {"stems": tuple(bandit.V2["stems"]), "n_fft": 2048, "hop_length": 512}
    made = separators.module("bandit").Bandit
    return of_config(
        "bandit",
        "bandit_v2_multi",
        lambda: made(**sizes, **bandit.FULL, pad_mode=bandit.V2["pad_mode"], parts_first=False),
    )


def random_bs_roformer() -> Separator:
    """BS-RoFormer of four stems, with 8 blocks."""
    sizes: dict[str, Any] = {
        **ROFORMER,
        "depth": 8,
        "num_stems": 4,
        "mlp_expansion_factor": 2,
        **MASKS,
    }
    return of_config("bs_roformer", "bs_roformer_musdb", lambda: BSRoFormer(**sizes))


def random_mel_band_roformer() -> Separator:
    """Mel-Band RoFormer of one stem, with 6 blocks."""
    sizes: dict[str, Any] = {**ROFORMER, "depth": 6, "num_stems": 1, **MASKS}
    return of_config("mel_band_roformer", "mel_band_roformer_kim", lambda: MelBandRoFormer(**sizes))


def random_scnet() -> Separator:
    """SCNet Small."""
    return of_config("scnet", "scnet_small", SCNet)


def random_tfc_tdf_v3() -> Separator:
    """KUIELab's network for leaderboard A."""
    official = tfc_tdf_v3.OFFICIAL["mdx_ab"]
    stft = {key: official["audio"][key] for key in ("n_fft", "hop_length", "dim_f")}
    return of_config(
        "tfc_tdf_v3",
        "kuielab_mdx_a_seed0",
        lambda: TFCTDFv3(**stft, **official["model"], stems=4),
    )


def random_bytesep() -> Separator:
    """ByteSep, the network with subbands."""
    network = filled(ResUNet143(variant="subband"))
    ready = execution.choose().prepare(network, prepared_bytesep)
    return bytesep.ByteSep((ready,), ("vocals",), bytesep.chunking(30.0))


def random_danna_sep() -> Separator:
    """Danna-Sep, all three networks."""
    networks = {name: filled(made()) for name, (made, *_) in danna_sep.NETWORKS.items()}
    return danna_sep.adapt(networks)


def random_demucs_v1() -> Separator:
    """Demucs v1 of 100 channels."""
    return demucs_v1.adapt(filled(Demucs(100, resample=False, epsilon=0.0)))


def random_demucs_v2() -> Separator:
    """Demucs v2 of 64 channels."""
    return demucs_v2.adapt(filled(Demucs(64)))


def random_demucs_v3() -> Separator:
    """One hybrid network of Demucs v3; the default bag has four networks."""
    case = hybrid_demucs.CASES["hdemucs"]
    return hybrid_demucs.ours(case, filled(hybrid_demucs.build(case)), in_place=True)


def random_demucs_v4() -> Separator:
    """HTDemucs."""
    case = hybrid_demucs.CASES["htdemucs"]
    return hybrid_demucs.ours(case, filled(hybrid_demucs.build(case)), in_place=True)


def random_mrx() -> Separator:
    """MRX."""
    return mrx.CocktailFork(
        execution.choose().prepare(filled(MRX()), prepared_mrx), mrx.chunking(60)
    )


def random_open_unmix() -> Separator:
    """Open-Unmix UMXL."""
    how = execution.choose()
    networks = tuple(
        how.prepare(filled(open_unmix.OpenUnmix(hidden=1024)), open_unmix.prepared) for _ in TARGETS
    )
    return OpenUnmixes(networks, TARGETS, open_unmix_chunking(70.0), 1)


RANDOM: dict[str, Callable[[], Separator]] = {
    "bandit": random_bandit,
    "bs_roformer": random_bs_roformer,
    "bytesep": random_bytesep,
    "danna_sep": random_danna_sep,
    "demucs_v1": random_demucs_v1,
    "demucs_v2": random_demucs_v2,
    "demucs_v3": random_demucs_v3,
    "demucs_v4": random_demucs_v4,
    "mel_band_roformer": random_mel_band_roformer,
    "mrx": random_mrx,
    "open_unmix": random_open_unmix,
    "scnet": random_scnet,
    "tfc_tdf_v3": random_tfc_tdf_v3,
}
"""How to build what has no weights here; KUIELab's MDX-Net is an ONNX file, so it is missing."""
