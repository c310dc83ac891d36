"""What the engine costs over the bare network, for each separator that computes something.

The networks are at full size, with the weights that ship or with random ones. A network runs on one
chunk; the engine runs on a song with a stand-in, which returns the same output for each chunk and
takes no time. The ratio is the sum over the network alone. Processor seconds count, because other
processes affect them less than wall time.

Where a network normalises songs, the pipeline includes the pass that measures the song. With
`--quick`, the slowest networks are replaced by smaller ones with the same chunks, which take less
time, so the engine's share is at most what is printed; their rows say so.
"""

import dataclasses
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import hybrid_demucs
from benchmarks.roformer import NETWORKS, QUICK_DEPTH
from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line
from demixing import separators
from demixing.audio import BLOCK, AudioFormat
from demixing.audio.loudness import LoudnessMeter
from demixing.chunks import tta
from demixing.chunks.answer import Reliable
from demixing.chunks.overlap_add import AnswerOverlapAdd
from demixing.engine.members import ScheduledMember, Task
from demixing.engine.normalisation import SongStatistics
from demixing.engine.pipeline import SongPipeline
from demixing.ensemble.setting import Setting
from demixing.errors import CheckpointError, ConfigError
from demixing.networks import scnet_fast
from demixing.networks.bandit import Bandit
from demixing.networks.bs_roformer import BSRoFormer
from demixing.networks.bytesep import ResUNet143
from demixing.networks.bytesep_fast import prepared as prepared_bytesep
from demixing.networks.demucs_v2 import Demucs
from demixing.networks.mel_band_roformer import MelBandRoFormer
from demixing.networks.mrx import MRX
from demixing.networks.mrx import prepared as prepared_mrx
from demixing.networks.open_unmix import OpenUnmix
from demixing.networks.open_unmix import prepared as prepared_open_unmix
from demixing.networks.scnet import SCNet
from demixing.networks.tfc_tdf import CHANNELS, TFCTDFUNet
from demixing.networks.tfc_tdf_v3 import TFCTDFv3
from demixing.recipes import tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.separator import (
    Chunking,
    Loudness,
    Separator,
    SongEnd,
    Window,
    input_normalisation,
)
from demixing.separators import bytesep, danna_sep, demucs_v1, demucs_v2, mdx_net, mrx, open_unmix
from demixing.separators.msst import separator as msst
from tools.golden import bandit as golden_bandit
from tools.golden import open_unmix as golden_open_unmix
from tools.golden import scnet as golden_scnet
from tools.golden import seeded
from tools.golden import tfc_tdf_v3 as golden_tfc

STEMS = ("drums", "bass", "other", "vocals")
CHUNKS, SLOW_CHUNKS = 4, 2
"""Least number of chunks in the song of the engine; the second number for slow networks."""

SHORTEST_S = 30
"""Least duration of the song of the engine."""

SLOW_S = 2.0
"""A network that takes longer for a chunk runs once."""

MDX_NET_SHAPE = (2048, 128)
"""Bins and frames that the smallest of MDX-Net's networks reads."""

Make = Callable[[], Separator]


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Attributes:
        make: builds the separator.
        remark: what differs from the published network, if anything does.
        quick: builds a faster separator with the same chunks, for `--quick`.
        quick_remark: the remark on that.
    """

    make: Make
    remark: str = ""
    quick: Make | None = None
    quick_remark: str = ""


@dataclass(slots=True)
class StandIn:
    """Returns an output that exists already.

    Attributes:
        stems: as in the separator, like the next three.
        sample_rate_hz: see there.
        chunking: see there.
        output: for one chunk of the full length, ``(1, stems, 2, chunk)``.
        normalises: see :mod:`demixing.engine.normalisation`.
    """

    stems: tuple[str, ...]
    sample_rate_hz: int
    chunking: Chunking
    output: Tensor
    normalises: Any = ""

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return self.output.expand(len(chunks), -1, -1, -1)[..., : chunks.shape[-1]]


def run(*, quick: bool, cases: Mapping[str, Case] | None = None) -> Iterator[Line]:
    """Measure each separator; one whose files or packages are missing says so.

    Args:
        quick: see the module.
        cases: by separator; by default :data:`SEPARATORS`.
    """
    for name, case in (cases or SEPARATORS).items():
        lighter = case.quick if quick else None
        try:
            separator = (lighter or case.make)()
        except (CheckpointError, ConfigError) as error:
            yield Line(what=f"engine: {name}", ratio=1, low=1, high=1, note=f"left out: {error}")
            continue
        remark = case.quick_remark if lighter else case.remark
        yield overhead(name, separator, repeats=3 if quick else 9, remark=remark)


def overhead(name: str, separator: Separator, *, repeats: int, remark: str = "") -> Line:
    """Measure the engine around one separator.

    Args:
        name: of the separator.
        separator: runs on one chunk.
        repeats: number of rounds.
        remark: for the note.
    """
    cut, rate_hz = separator.chunking, separator.sample_rate_hz or SAMPLE_RATE_HZ
    output, bare_s, runs = _alone(separator, repeats)
    normalises = input_normalisation(separator)
    stand_in = StandIn(separator.stems, rate_hz, cut, output.clone(), normalises)
    chunks = CHUNKS if bare_s < SLOW_S else SLOW_CHUNKS
    audio = song(max(chunks * cut.hop / SAMPLE_RATE_HZ, SHORTEST_S))
    duration_s = audio.shape[-1] / rate_hz
    blocks = torch.split(audio, BLOCK, dim=-1)
    network_s = cut.count(audio.shape[-1]) * bare_s

    def shares(run: Callable[[], None]) -> list[float]:
        return [_timed(run)[1] / network_s for _ in range(repeats)]

    driver = statistics.median(shares(lambda: _drive(stand_in, blocks)))
    before = _page_faults()
    pipeline = shares(lambda: _pipe(stand_in, blocks, rate_hz))
    faults = (_page_faults() - before) / repeats
    notes = [
        f"{_percent(driver)} for the chunks",
        f"{_percent(statistics.median(pipeline))} for the pipeline",
    ]
    if rate_hz != SAMPLE_RATE_HZ:
        other = torch.split(song(duration_s), BLOCK, dim=-1)
        share = statistics.median(shares(lambda: _pipe(stand_in, other, SAMPLE_RATE_HZ)))
        notes.append(f"{_percent(share)} with a song of {SAMPLE_RATE_HZ} Hz, which is resampled")
    notes.append(f"{bare_s:.3f} s per chunk of {cut.chunk / rate_hz:.1f} s, best of {runs}")
    notes.append(f"{faults / duration_s:.0f} page faults per s")
    return Line(
        what=f"engine: {name}",
        ratio=1 + statistics.median(pipeline),
        low=1 + min(pipeline),
        high=1 + max(pipeline),
        note="; ".join([*notes, remark] if remark else notes),
    )


def _percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.2f} %"


def _page_faults() -> int:
    """Page faults of this process so far, without those that read a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _alone(separator: Separator, repeats: int) -> tuple[Tensor, float, int]:
    """Separate one chunk; return the output, the least processor seconds, and the runs."""
    cut = separator.chunking
    chunk = song(cut.chunk / SAMPLE_RATE_HZ + 1)[None, :, : cut.chunk]
    with torch.inference_mode():
        output, first_s = _timed(lambda: separator.separate(chunk))
        rounds = 0 if first_s > SLOW_S else repeats
        more = [_timed(lambda: separator.separate(chunk))[1] for _ in range(rounds)]
    return output, min([first_s, *more]), 1 + rounds


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result, and the processor seconds that it took."""
    start_s = time.process_time()
    return run(), time.process_time() - start_s


def _drive(separator: Separator, blocks: tuple[Tensor, ...]) -> None:
    """Run a song through the chunk driver, and drop the stems."""
    overlap = AnswerOverlapAdd(Reliable(separator=separator), separator.chunking)
    for block in blocks:
        for _ in overlap.answers(block[None]):
            pass
    for _ in overlap.last_answers():
        pass


def _pipe(separator: Separator, blocks: tuple[Tensor, ...], rate_hz: int) -> None:
    """Run a song of a rate through the pipeline of a recipe of this separator; drop the stems."""
    stems = separator.stems
    member = Member(name="one", separator="one", outputs={stem: (stem,) for stem in stems})
    recipe = Recipe(
        name="one", track=tracks.of_stems(stems), summary="One member.", members=(member,)
    )
    setting = Setting()
    cut = tta.chunking(separator, setting)
    source = Reliable(separator=separator)
    task = Task(separator=separator, source=source, setting=setting, cut=cut)
    form = AudioFormat(sample_rate_hz=rate_hz, channels=2)
    scheduled = [ScheduledMember(member=member, task=task)]
    measured = _measured(separator, blocks, rate_hz)
    pipeline = SongPipeline(recipe, scheduled, ["one"], form, statistics=measured)
    for block in blocks:
        for _ in pipeline.pieces(block):
            pass
    for _ in pipeline.last_pieces():
        pass


def _measured(
    separator: Separator, blocks: tuple[Tensor, ...], rate_hz: int
) -> SongStatistics | None:
    """The statistics of a song, if the separator needs them."""
    kind = input_normalisation(separator)
    if not kind:
        return None
    found = SongStatistics.of(blocks)
    if not isinstance(kind, Loudness):
        return found
    meter = LoudnessMeter(rate_hz, channels=2)
    for block in blocks:
        meter.push(block)
    return dataclasses.replace(found, lufs=meter.lufs())


def _hybrid(name: str) -> Separator:
    case = hybrid_demucs.CASES[name]
    return hybrid_demucs.ours(case, hybrid_demucs.build(case), in_place=True)


def _demucs_v1() -> Separator:
    network = Demucs(64, resample=False, epsilon=0.0).eval()
    seeded.fill(network)
    return demucs_v1.adapt(network)


def _demucs_v2() -> Separator:
    network = Demucs(64).eval()
    seeded.fill(network)
    return demucs_v2.adapt(network)


def _danna_sep(only: str = "") -> Separator:
    names = danna_sep.blend(only=only)
    networks = {name: danna_sep.NETWORKS[name][0]().eval() for name in names}
    return danna_sep.adapt(networks, only=only)


def _bytesep() -> Separator:
    with torch.device("meta"):
        shapes = {
            key: tuple(value.shape)
            for key, value in ResUNet143(variant="subband").state_dict().items()
            if value.dim()
        }
    network = bytesep.network("subband", seeded.state(shapes), "subband")
    return bytesep.ByteSep((prepared_bytesep(network),), ("vocals",), bytesep.chunking(30.0))


def _open_unmix() -> Separator:
    targets = golden_open_unmix.TARGETS
    networks = tuple(prepared_open_unmix(OpenUnmix(hidden=1024).eval()) for _ in targets)
    return open_unmix.OpenUnmixes(networks, targets, open_unmix.chunking(70))


def _mrx() -> Separator:
    return mrx.CocktailFork(prepared_mrx(MRX().eval()), mrx.chunking(60))


def _msst(network: Any, stems: int, chunk: int, **options: Any) -> Separator:
    """Wrap a network, in chunks that are mirrored at the ends of a song and overlap by half."""
    seeded.fill(network.eval(), keep=golden_bandit.constant)
    return msst.prepare(
        network,
        stems=tuple(f"stem{n}" for n in range(stems)),
        sample_rate_hz=SAMPLE_RATE_HZ,
        chunking=Chunking(
            chunk=chunk, hop=chunk // 2, end=SongEnd.MIRRORED_IF_LONG, window=Window.TENTHS
        ),
        **options,
    )


@dataclass(frozen=True, slots=True)
class TorchSession:
    """MDX-Net's network in torch, with the part of ONNX Runtime's interface that is used.

    Attributes:
        network: maps ``(batch, 4, bins, frames)`` to the same shape.
    """

    network: nn.Module

    def get_inputs(self) -> list[SimpleNamespace]:
        """The name and the shape of the only input."""
        return [SimpleNamespace(name="input", shape=["batch", CHANNELS, *MDX_NET_SHAPE])]

    def run(self, outputs: None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the network."""
        return [self.network(torch.from_numpy(inputs["input"])).numpy()]


def _mdx_net() -> Separator:
    network = TFCTDFUNet(9, bins=MDX_NET_SHAPE[0]).eval()
    seeded.fill(network)
    session: Any = TorchSession(network)
    return mdx_net.adapt(session, "drums")


def _bs_roformer(depth: int = NETWORKS["bs"]["depth"]) -> Separator:
    return _msst(BSRoFormer(**{**NETWORKS["bs"], "depth": depth}), 1, 352_800)


def _mel_band_roformer(depth: int = NETWORKS["mel"]["depth"]) -> Separator:
    return _msst(MelBandRoFormer(**{**NETWORKS["mel"], "depth": depth}), 1, 352_800)


def _bandit() -> Separator:
    return _msst(Bandit(), 3, 352_800)


def _scnet() -> Separator:
    network = SCNet(**golden_scnet.SIZES["small"])
    return _msst(network, 4, 485_100, rewrite=scnet_fast.rewrite)


def _tfc_tdf() -> Separator:
    choice = golden_tfc.OFFICIAL["mdx_ab"]
    sizes = {key: choice["audio"][key] for key in ("n_fft", "hop_length", "dim_f")}
    network = TFCTDFv3(**sizes, **choice["model"], stems=4)
    return _msst(network, 4, 255 * int(sizes["hop_length"]))


ONE_OF_12 = f"{QUICK_DEPTH} of 12 blocks, so the share is at most this"

SEPARATORS: dict[str, Case] = {
    "spleeter": Case(lambda: separators.build("spleeter")),
    "spleeter in bf16": Case(lambda: separators.build("spleeter", {"precision": "bf16"})),
    "trained": Case(lambda: separators.build("trained", {"weights": "mdx_unet"})),
    "gtcrn": Case(lambda: separators.build("gtcrn")),
    "deepfilternet": Case(lambda: separators.build("deepfilternet")),
    "conv_tasnet": Case(lambda: separators.build("conv_tasnet")),
    "demucs_v1": Case(_demucs_v1),
    "demucs_v2": Case(_demucs_v2),
    "demucs_v3": Case(lambda: _hybrid("hdemucs")),
    "demucs_v3 without a spectrogram": Case(lambda: _hybrid("demucs_time")),
    "demucs_v4": Case(lambda: _hybrid("htdemucs")),
    "danna_sep": Case(
        _danna_sep,
        quick=lambda: _danna_sep("xumx"),
        quick_remark="X-UMX alone of three networks, so the share is at most this",
    ),
    "bytesep": Case(_bytesep),
    "open_unmix": Case(_open_unmix),
    "mrx": Case(_mrx),
    "mdx_net": Case(_mdx_net, "in torch, not in ONNX Runtime"),
    "scnet": Case(_scnet),
    "tfc_tdf_v3": Case(_tfc_tdf),
    "bs_roformer": Case(
        _bs_roformer, quick=lambda: _bs_roformer(QUICK_DEPTH), quick_remark=ONE_OF_12
    ),
    "mel_band_roformer": Case(
        _mel_band_roformer, quick=lambda: _mel_band_roformer(QUICK_DEPTH), quick_remark=ONE_OF_12
    ),
    "bandit": Case(_bandit),
    "hpss": Case(lambda: separators.build("hpss"), "no network"),
    "centre": Case(lambda: separators.build("centre"), "no network"),
}
"""By separator. Missing are those that compute nothing: equal_shares and silence."""
