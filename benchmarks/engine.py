"""What the engine costs over the bare network, for each separator that has one.

The networks are at full size, with the weights that ship or with random ones. A network runs on one
chunk; the engine runs on a song with a stand-in, which returns the same output for each chunk and
takes no time. The ratio is the sum over the network alone. Processor seconds count, because other
processes affect them less than wall time.
"""

import dataclasses
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks import hybrid_demucs
from benchmarks.roformer import NETWORKS
from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line
from demixing import separators
from demixing.audio import BLOCK, AudioFormat
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
from demixing.networks.tfc_tdf_v3 import TFCTDFv3
from demixing.recipes import tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.separator import Chunking, Separator, SongEnd, Window, input_normalisation
from demixing.separators import bytesep, danna_sep, demucs_v1, demucs_v2, mrx, open_unmix
from demixing.separators.msst import separator as msst
from tools.golden import bandit as golden_bandit
from tools.golden import open_unmix as golden_open_unmix
from tools.golden import scnet as golden_scnet
from tools.golden import seeded
from tools.golden import tfc_tdf_v3 as golden_tfc

STEMS = ("drums", "bass", "other", "vocals")
CHUNKS = 4
"""Least number of chunks in the song of the engine."""

SLOW_S = 5.0
"""A network that takes longer for a chunk runs once."""


@dataclasses.dataclass(slots=True)
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
    sample_rate_hz: int | None
    chunking: Chunking
    output: Tensor
    normalises: Any = ""

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return self.output.expand(len(chunks), -1, -1, -1)[..., : chunks.shape[-1]]


def run(*, quick: bool) -> Iterator[Line]:
    """Measure each separator; one whose files or packages are missing says so."""
    for name, make in SEPARATORS.items():
        try:
            separator = make()
        except (CheckpointError, ConfigError) as error:
            yield Line(what=f"engine: {name}", ratio=1, low=1, high=1, note=f"left out: {error}")
            continue
        yield overhead(name, separator, repeats=3 if quick else 9)


def overhead(name: str, separator: Separator, *, repeats: int) -> Line:
    """Measure the engine around one separator.

    Args:
        name: of the separator.
        separator: runs on one chunk.
        repeats: number of rounds.
    """
    cut, rate_hz = separator.chunking, separator.sample_rate_hz or SAMPLE_RATE_HZ
    chunk = song(cut.chunk / SAMPLE_RATE_HZ + 1)[None, :, : cut.chunk]
    with torch.inference_mode():
        output, first_s = _timed(lambda: separator.separate(chunk))
        rounds = 0 if first_s > SLOW_S else repeats
        bare_s = min(
            [first_s, *(_timed(lambda: separator.separate(chunk))[1] for _ in range(rounds))]
        )
    normalises = input_normalisation(separator)
    stand_in = StandIn(separator.stems, rate_hz, cut, output.clone(), normalises)
    audio = song(max(CHUNKS * cut.hop / SAMPLE_RATE_HZ, 30))
    blocks = torch.split(audio, BLOCK, dim=-1)
    count = cut.count(audio.shape[-1])
    statistics_of = SongStatistics.of(blocks)
    driver, pipeline, faults = [], [], []
    for _ in range(repeats):
        driver.append(_timed(lambda: _drive(stand_in, blocks))[1] / count / bare_s)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        pipeline.append(_timed(lambda: _pipe(stand_in, blocks, statistics_of))[1] / count / bare_s)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return Line(
        what=f"engine: {name}",
        ratio=1 + statistics.median(pipeline),
        low=1 + min(pipeline),
        high=1 + max(pipeline),
        note=(
            f"{100 * statistics.median(driver):.2f} % for the chunks, "
            f"{100 * statistics.median(pipeline):.2f} % for the pipeline; "
            f"{bare_s:.3f} s per chunk of {cut.chunk / rate_hz:.1f} s, "
            f"{statistics.median(faults) * SAMPLE_RATE_HZ / audio.shape[-1]:.0f} page faults per s"
        ),
    )


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


def _pipe(separator: Separator, blocks: tuple[Tensor, ...], measured: SongStatistics) -> None:
    """Run a song through the pipeline of a recipe of this separator, and drop the stems."""
    stems = separator.stems
    member = Member(name="one", separator="one", outputs={stem: (stem,) for stem in stems})
    recipe = Recipe(
        name="one", track=tracks.of_stems(stems), summary="One member.", members=(member,)
    )
    setting = Setting()
    cut = tta.chunking(separator, setting)
    source = Reliable(separator=separator)
    task = Task(separator=separator, source=source, setting=setting, cut=cut)
    form = AudioFormat(sample_rate_hz=separator.sample_rate_hz or SAMPLE_RATE_HZ, channels=2)
    scheduled = [ScheduledMember(member=member, task=task)]
    pipeline = SongPipeline(recipe, scheduled, ["one"], form, statistics=measured)
    for block in blocks:
        for _ in pipeline.pieces(block):
            pass
    for _ in pipeline.last_pieces():
        pass


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


def _danna_sep() -> Separator:
    networks = {name: danna_sep.NETWORKS[name][0]().eval() for name in danna_sep.blend()}
    return danna_sep.adapt(networks)


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


SEPARATORS: dict[str, Callable[[], Separator]] = {
    "spleeter": lambda: separators.build("spleeter"),
    "spleeter in bf16": lambda: separators.build("spleeter", {"precision": "bf16"}),
    "trained": lambda: separators.build("trained", {"weights": "mdx_unet"}),
    "gtcrn": lambda: separators.build("gtcrn"),
    "deepfilternet": lambda: separators.build("deepfilternet"),
    "conv_tasnet": lambda: separators.build("conv_tasnet"),
    "demucs_v1": _demucs_v1,
    "demucs_v2": _demucs_v2,
    "demucs_v3": lambda: _hybrid("hdemucs"),
    "demucs_v3 without a spectrogram": lambda: _hybrid("demucs_time"),
    "demucs_v4": lambda: _hybrid("htdemucs"),
    "danna_sep": _danna_sep,
    "bytesep": _bytesep,
    "open_unmix": _open_unmix,
    "mrx": _mrx,
    "scnet": _scnet,
    "tfc_tdf_v3": _tfc_tdf,
    "bs_roformer": lambda: _msst(BSRoFormer(**NETWORKS["bs"]), 1, 352_800),
    "mel_band_roformer": lambda: _msst(MelBandRoFormer(**NETWORKS["mel"]), 1, 352_800),
    "bandit": _bandit,
}
