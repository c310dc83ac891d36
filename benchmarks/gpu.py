"""All figures of a GPU in one run of under ten minutes.

    python -m benchmarks gpu [--out FILE] [--seconds N] [--minutes N] [--device cuda:1] [NAME...]

For every separator with a network, and both precisions: agreement with float32 on the CPU, seconds
per second of audio, peak memory, and what overlapped copies and CUDA graphs gain. For every run
file: training steps per second. Each row is printed and written to FILE as soon as it is measured,
so an interrupted run keeps its rows. Weights that are not on this machine are random.

With ``--device cpu`` the same rows are measured with tiny networks, as a test of this program.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from demixing import atomic, separators
from demixing.errors import CheckpointError, ConfigError, DemixError
from demixing.machine import cuda, threads
from demixing.machine.cuda import Gpu
from demixing.machine.device import headline, on_device, usable
from demixing.machine.installation import ROOT
from demixing.networks import execution, movable, trainable
from demixing.networks.execution import PreparedNetwork
from demixing.schedule.fallback import infer
from demixing.separator import Separator
from demixing.training import config
from demixing.training.distributed import Processes
from demixing.training.loop import _Step
from demixing.training.optimiser import optimiser_of
from tools import full_size
from tools.golden import narrow
from tools.golden.agreement import agreement_db

FIRST = ("demucs_v4", "spleeter", "mdx_unet", "demucs_v3", "bs_roformer")
"""What is measured first, in case the rest is cut off."""

BATCH = 8
"""Chunks at once, for the figures of a busy GPU."""

SHORT_S = 6.0
"""Length of the chunk for the agreement, where chunks may have any length: the CPU is slow."""

MOST_RUNS = 20
PRECISIONS = ("fp32", "bf16")
TINY_SAMPLES = 12_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured of a separator or a run; None: not measured.

    Attributes:
        name: of the separator, or of the run's file.
        kind: "separate" or "train".
        precision: of the products.
        agreement_db: with float32 on the CPU; of training, that of the first loss.
        one: seconds per second of audio, one chunk at a time.
        many: the same with :data:`BATCH` chunks at a time; of training, with the run's batch.
        steps: training steps per second.
        peak_bytes: most memory of the GPU, of weights and of all else.
        overlap: time with plain copies over time with overlapped ones, with many chunks.
        graphs: time without CUDA graphs over time with them, one chunk at a time.
        note: which network, or why there is no figure.
    """

    name: str
    kind: str
    precision: str = ""
    agreement_db: float | None = None
    one: float | None = None
    many: float | None = None
    steps: float | None = None
    peak_bytes: int | None = None
    overlap: float | None = None
    graphs: float | None = None
    note: str = ""


HEAD = (
    "| what | precision | agreement dB | s/s, 1 chunk | s/s, many | steps/s | peak MiB | overlap "
    "| graphs | note |\n|---|---|---|---|---|---|---|---|---|---|"
)


def shown(row: Row) -> str:
    """A row of the table."""
    peak = None if row.peak_bytes is None else row.peak_bytes / 2**20
    numbers = (
        *((row.agreement_db, ".1f"), (row.one, ".5f"), (row.many, ".5f"), (row.steps, ".2f")),
        *((peak, ".0f"), (row.overlap, ".2f"), (row.graphs, ".2f")),
    )
    cells = ["" if value is None else format(value, form) for value, form in numbers]
    return "| " + " | ".join([f"{row.kind} {row.name}", row.precision, *cells, row.note]) + " |"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A device, and how long it may be measured.

    Attributes:
        device: of torch.
        gpu: its streams; None: it has none.
        seconds: for each figure.
        end_s: no row is begun after this time of the clock.
        build: makes a separator, and says whether its weights are random.
        tiny: use short examples for training.
    """

    device: torch.device
    gpu: Gpu | None
    seconds: float
    end_s: float
    build: Callable[[str], tuple[Separator, bool]]
    tiny: bool = False

    def seconds_of(self, call: Callable[[], object]) -> float:
        """Median time of a call, in as many runs as there is time for, after two others."""
        for _ in range(2):
            call()
        times_s: list[float] = []
        began = time.perf_counter()
        while not times_s or (
            len(times_s) < MOST_RUNS and time.perf_counter() - began < self.seconds
        ):
            start = time.perf_counter()
            call()
            times_s.append(time.perf_counter() - start)
        return statistics.median(times_s)

    def forget_peak(self) -> None:
        """Measure the peak from here on."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int | None:
        """Most memory so far, in bytes; None without a GPU."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device)


def separating(bench: Bench, name: str) -> Iterator[Row]:
    """Measure a separator in all precisions; the CPU's output is that of the first one, moved."""
    expected: Tensor | None = None
    for precision in PRECISIONS:
        bench.forget_peak()
        try:
            separator, random = built(bench, name, precision)
        except CheckpointError as error:
            yield Row(name=name, kind="separate", note=f"left out: {error}")
            return
        networks = list(prepared(separator))
        if precision != PRECISIONS[0] and (not networks or name in ONLY_FP32):
            return
        brief = noise(1, shortest(separator))
        output = infer(separator, brief)
        figures = timed(bench, separator, networks)
        if expected is None:
            expected = on_cpu(bench, name, separator, brief)
        yield Row(
            name=name,
            kind="separate",
            precision=precision if networks else "",
            agreement_db=agreement_db(expected, output),
            note="random weights" if random else "",
            **figures,
        )


def built(bench: Bench, name: str, precision: str) -> tuple[Separator, bool]:
    """Build a separator on the device, in a precision."""
    choose = execution.choose

    def chosen(asked: str = "fp32", *, change_db: float | None = None) -> execution.Execution:
        return choose(precision, change_db=change_db)

    with on_device(str(bench.device)), mock.patch.object(execution, "choose", chosen):
        return bench.build(name)


def on_cpu(bench: Bench, name: str, separator: Separator, x: Tensor) -> Tensor:
    """The output of a separator after it has left the device; one of ONNX is built there."""
    if hasattr(separator, "to_cpu"):
        separator.to_cpu()
    else:
        with on_device("cpu"):
            separator, _ = bench.build(name)
    return infer(separator, x)


def timed(
    bench: Bench, separator: Separator, networks: Sequence[PreparedNetwork]
) -> dict[str, Any]:
    """Times and peak of a separator on the device, by name of :class:`Row`'s field."""
    cut, rate_hz = separator.chunking, separator.sample_rate_hz or 44_100
    one, many = noise(1, cut.chunk), noise(BATCH, cut.chunk)
    duration_s = cut.chunk / rate_hz

    def seconds(x: Tensor, gpu: Gpu | None, *, record: bool = False) -> float:
        for network in networks:
            network.use(gpu, record=record)
        return bench.seconds_of(lambda: infer(separator, x))

    plain_s, single_s = seconds(many, None), seconds(one, bench.gpu)
    many_s = seconds(many, bench.gpu)
    found: dict[str, Any] = {"one": single_s / duration_s, "many": many_s / duration_s / BATCH}
    found["peak_bytes"] = bench.peak()
    if bench.gpu is not None and networks:
        found["overlap"] = plain_s / many_s
        found["graphs"] = single_s / seconds(one, bench.gpu, record=True)
        for network in networks:
            network.use(bench.gpu, record=False)
    return found


def prepared(separator: Any) -> Iterator[PreparedNetwork]:
    """All networks of a separator that are on a device."""
    for field in dataclasses.fields(separator):
        for part in movable.parts(getattr(separator, field.name)):
            if isinstance(part, PreparedNetwork):
                yield part
            else:
                yield from prepared(part)


def shortest(separator: Separator) -> int:
    """Samples of the shortest chunk, of some seconds if any length will do."""
    cut, rate_hz = separator.chunking, separator.sample_rate_hz or 44_100
    return min(cut.chunk, *cut.shorter, int(SHORT_S * rate_hz) if cut.end.ragged else cut.chunk)


def noise(batch: int, samples: int) -> Tensor:
    """The same audio in every run, ``(batch, 2, samples)``."""
    return 0.1 * torch.randn(batch, 2, samples, generator=torch.Generator().manual_seed(0))


def training(bench: Bench, path: Path) -> Iterator[Row]:
    """Measure the steps of a run, with random weights and noise."""
    run = config.load(path, ['data.train=["noise"]'])  # which is never read
    if bench.tiny:
        run = dataclasses.replace(run, samples=TINY_SAMPLES, batch=2)
    bench.forget_peak()
    stems = torch.stack([noise(run.batch, run.samples) for _ in run.stems], dim=1)
    first = [step_of(run, device)(stems[:1], 0)["loss"] for device in (CPU, bench.device)]
    step = step_of(run, bench.device)
    step_s = bench.seconds_of(lambda: step(stems, 0))
    yield Row(
        name=path.stem,
        kind="train",
        precision=run.precision,
        agreement_db=agreement_db(*map(torch.tensor, first)),
        many=step_s / (run.batch * run.samples / run.sample_rate_hz),
        steps=1 / step_s,
        peak_bytes=bench.peak(),
        note=f"{run.network.name}, batch {run.batch}",
    )


CPU = torch.device("cpu")


def step_of(run: config.Run, device: torch.device) -> Callable[[Tensor, int], Mapping[str, float]]:
    """A function that trains the network of a run by one step, from the same random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed)
        network = trainable.build(run.network.name, run.stems, run.network.options).to(device)
    return _Step(run, network, optimiser_of(network, run.optimiser), Processes(0, 1, device))


def cases(bench: Bench, names: Sequence[str]) -> dict[str, Iterator[Row]]:
    """What is measured by name, the most important first.

    Raises:
        ConfigError: there is no such separator or run.
    """
    runs = {path.stem: path for path in sorted((ROOT / "runs").glob("*.toml"))}
    known = {name: separating(bench, name) for name in separators.names() if name not in WITHOUT}
    known |= {name: training(bench, path) for name, path in runs.items()}
    if unknown := set(names) - set(known):
        raise ConfigError(f"cannot measure {', '.join(sorted(unknown))}; have: {', '.join(known)}")
    order = names or [*FIRST, *(name for name in known if name not in FIRST)]
    return {name: known[name] for name in order if name in known}


ONLY_FP32 = ("gtcrn",)
"""Separators without a choice of precision."""

WITHOUT = ("centre", "equal_shares", "hpss", "silence")
"""Separators without a network."""


def rows(bench: Bench, names: Sequence[str]) -> Iterator[Row]:
    """Measure everything; what fails is a row that says why."""
    for name, case in cases(bench, names).items():
        if time.perf_counter() > bench.end_s:
            yield Row(name=name, kind="", note="left out: no time is left")
            continue
        try:
            yield from case
        except Exception as error:  # the other rows are worth having
            message = str(error).partition("\n")[0]
            yield Row(name=name, kind="", note=f"failed: {type(error).__name__}: {message}")
        bench.forget_peak()


def main(arguments: Sequence[str], gpu_of: Callable[[torch.device], Gpu | None] = cuda.of) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: of the command line.
        gpu_of: the streams of a device; replaced in tests.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks gpu", description="Measure everything on a GPU."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="separators and runs; all")
    parser.add_argument("--device", default="cuda", help="such as cuda:1 or mps; cpu: a self-test")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--minutes", type=float, default=8.0, help="no row begins later")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    threads.use()
    try:
        device = usable(options.device)
        tiny = device.type == "cpu"
        bench = Bench(
            device=device,
            gpu=gpu_of(device),
            seconds=options.seconds,
            end_s=time.perf_counter() + 60 * options.minutes,
            build=(lambda name: (narrow.build(name), True)) if tiny else full_size.build,
            tiny=tiny,
        )
        return report(bench, options.names, options.out)
    except DemixError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 2


def report(bench: Bench, names: Sequence[str], path: Path) -> int:
    """Print rows, and write those so far to a file; the status is 1 if something failed."""
    title = f"{headline(bench.device, 'fp32 and bf16')}; torch {torch.__version__}"
    print(title, HEAD, sep="\n", flush=True)
    found: list[Row] = []
    for row in rows(bench, names):
        found.append(row)
        print(shown(row), flush=True)
        text = {"machine": title, "rows": [dataclasses.asdict(one) for one in found]}
        atomic.write_text(path, json.dumps(text, indent=1))
    return int(any(row.note.startswith("failed") for row in found))
