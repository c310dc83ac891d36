"""Measure every separator on this machine: docs/separators/figures.json, which the site shows.

    python -m tools.separator_figures [--threads 1] [NAME...]

Each one is built at full size (tools/full_size.py) and separates one piece of noise and tones in a
process of its own. With names, only these are measured, and the figures of others stay. Processor
time is counted, so other work on the machine has little effect; with one thread it is the time that
an idle machine takes. It is divided by the seconds of the song that the piece adds: with overlaps
and context, a song costs more than its length. The piece is one chunk, or the shortest accepted one
of at least 8 s. Run it on an idle machine with several threads only.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import peak
from benchmarks.songs import song
from demixing import atomic, separators
from demixing.errors import DemixError
from demixing.machine.linux import cpu_model
from demixing.separator import Chunking, Separator
from demixing.weights import checkpoints
from tools import full_size

OUTPUT = Path(__file__).parents[1] / "docs" / "separators" / "figures.json"

LEAST_S = 8.0
"""Shorter pieces would have too much start-up in them."""

ENOUGH_S = 2.0
"""A piece that takes longer is not separated again: nothing of it is start-up."""

RATE_HZ = 44_100
"""Of separators that accept any rate."""

VERSIONS = ("torch", "numpy", "scipy", "onnxruntime-gpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure separators for the documentation.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="separators; default: all")
    parser.add_argument("--threads", type=int, default=1, help="of each process; default: 1")
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measured(options.measure, options.threads)))
        return 0
    found = json.loads(OUTPUT.read_text(encoding="utf-8")) if options.names else {}
    figures = found.get("separators", {})
    for name in options.names or separators.names():
        figures[name] = in_process(name, options.threads)
        print(name, json.dumps(figures[name]), flush=True)
        save(figures)
    return 0


def save(figures: dict[str, Any]) -> None:
    """Write what is measured so far."""
    table = {"machine": machine(), "separators": dict(sorted(figures.items()))}
    atomic.write_text(OUTPUT, json.dumps(table, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """The machine and the versions that the figures are of."""
    versions = {name: importlib.metadata.version(name) for name in VERSIONS}
    return {"processor": cpu_model(), "python": sys.version.split()[0], **versions}


def in_process(name: str, threads: int) -> dict[str, Any]:
    """Measure one separator in a process of its own, so that the peak of memory is its own."""
    words = [sys.executable, "-m", "tools.separator_figures", "--measure", name]
    done = subprocess.run(
        [*words, "--threads", str(threads)], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measured(name: str, threads: int) -> dict[str, Any]:
    """Build and measure one separator; what cannot be built says why."""
    torch.set_num_threads(threads)
    counted: list[int] = []
    count_weights(counted)
    try:
        separator, random = full_size.build(name)
    except DemixError:
        return {"why_not": "its network is in a file of weights that this machine does not have"}
    cut, rate_hz = separator.chunking, separator.sample_rate_hz or RATE_HZ
    samples = piece(cut, rate_hz)
    peak.reset()
    cpu_s = cost_s(separator, samples)
    return {
        "stems": list(separator.stems),
        "sample_rate_hz": separator.sample_rate_hz,
        "chunk": cut.chunk,
        "hop": cut.hop,
        "context": cut.context,
        "window": cut.window.value,
        "end": cut.end.value,
        "random_weights": random,
        "weights": sum(counted) or None,
        "threads": threads,
        "piece_s": round(samples / rate_hz, 2),
        "piece_processor_s": round(cpu_s, 3),
        "s_per_s": round(cpu_s / samples * cut.chunk / cut.hop * rate_hz, 4),
        "peak_mib": peak.read(),
    }


def count_weights(counted: list[int]) -> None:
    """Note the number of weights of each network that is filled from now on."""
    for module, name in ((checkpoints, "fill"), (full_size, "filled")):
        setattr(module, name, counting(getattr(module, name), counted))


def counting(fill: Any, counted: list[int]) -> Any:
    """A function that fills a network, and then counts its weights."""

    def filled(network: Any, *arguments: Any, **options: Any) -> Any:
        result = fill(network, *arguments, **options)
        counted.append(sum(weights.numel() for weights in network.parameters()))
        return result

    return filled


def piece(cut: Chunking, rate_hz: int) -> int:
    """Number of samples that are separated: of one chunk, if possible a shorter one."""
    least = round(LEAST_S * rate_hz)
    if cut.end.ragged and cut.chunk > least:
        return least
    lengths = sorted((cut.chunk, *cut.shorter))
    return next((length for length in lengths if length >= least), lengths[-1])


def cost_s(separator: Separator, samples: int) -> float:
    """Processor time to separate a piece, all threads together; of a second run if it is short."""
    chunks = song(samples / RATE_HZ + 1)[None, :, :samples]
    with torch.inference_mode():
        taken_s = processor_s(separator, chunks)
        return taken_s if taken_s > ENOUGH_S else processor_s(separator, chunks)


def processor_s(separator: Separator, chunks: torch.Tensor) -> float:
    """Processor time of one run."""
    start_s = time.process_time()
    separator.separate(chunks)
    return time.process_time() - start_s


if __name__ == "__main__":
    sys.exit(main())
