"""Demucs v3 and v4: ours and demucs' own driver, with the same random weights."""

import importlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.spleeter import engine_overhead, streamed
from benchmarks.timing import Line, agreement, compare, row
from demixing.errors import ConfigError
from demixing.machine import threads
from demixing.separators.demucs import package_networks
from demixing.separators.demucs.bag_separator import BagSeparator, adapt

MODULE = "benchmarks.hybrid_demucs"
STEMS = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True, slots=True)
class Case:
    """One network at its full size.

    Attributes:
        module: name of the module in the package demucs.
        kind: name of its class.
        options: options of the class.
        segment_s: length of a segment in seconds.
        duration_s: length of the song in seconds, in full and quick runs.
    """

    module: str
    kind: str
    options: dict[str, Any]
    segment_s: float
    duration_s: tuple[float, float]


V4 = {"channels": 48, "bottom_channels": 512, "dconv_mode": 3}
CASES = {
    "htdemucs": Case("demucs.htdemucs", "HTDemucs", V4, 7.8, (30.0, 8.0)),
    "hdemucs": Case("demucs.hdemucs", "HDemucs", {"channels": 48}, 44.0, (90.0, 10.0)),
    "demucs_time": Case("demucs.demucs", "Demucs", {"channels": 64}, 44.0, (60.0, 10.0)),
}


def run_v4(*, quick: bool) -> Iterator[Line]:
    """Measure HTDemucs of 48 channels, 7.8 s segments."""
    yield from _run("htdemucs", quick=quick)


def run_v3(*, quick: bool) -> Iterator[Line]:
    """Measure HDemucs of 48 channels, 44 s segments."""
    yield from _run("hdemucs", quick=quick)


def run_time(*, quick: bool) -> Iterator[Line]:
    """Measure the networks of v3 without a spectrogram, of 64 channels."""
    yield from _run("demucs_time", quick=quick)


def build(case: Case) -> Any:
    """Build a network with random weights, always the same.

    Raises:
        ConfigError: demucs is not installed.
    """
    try:
        kind = getattr(importlib.import_module(case.module), case.kind)
    except ImportError as error:
        raise ConfigError(
            "this benchmark needs demucs; run: "
            "pip install --no-deps --requirement requirements-demucs.txt"
        ) from error
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2023)
        network = kind(list(STEMS), **case.options).eval()
    network.segment = case.segment_s
    return network


def ours(
    case: Case, network: Any, precision: str = "fp32", *, in_place: bool = False
) -> BagSeparator:
    """Make a separator of a network, or of a copy of it."""
    return adapt(
        network,
        STEMS,
        segment_s=case.segment_s,
        any_length=case.kind != "HTDemucs",
        lengths=package_networks.lengths(network),
        in_place=in_place,
        precision=precision,
    )


def theirs(network: Any, audio: Tensor) -> Tensor:
    """Stems ``(stems, 2, samples)`` by demucs' own driver, without shifts."""
    from demucs.apply import apply_model

    stems: Tensor = apply_model(network, audio[None], shifts=0, overlap=0.25)[0]
    return stems


def _run(name: str, *, quick: bool) -> Iterator[Line]:
    """Measure both precisions; unless quick, also the peaks and the engine over the network."""
    case = CASES[name]
    duration_s = case.duration_s[quick]
    network, audio = build(case), song(duration_s)
    reference = theirs(network, audio)
    for precision in ("fp32", "bf16"):
        separator = ours(case, network, precision)
        estimate = streamed(separator, audio)
        outputs = f"{agreement(reference, estimate)}, {duration_s:.1f} s"
        if precision == "fp32":
            outputs = f"{outputs}, {_tensors(network, separator, audio)}"
        if precision == "fp32" and not quick:
            outputs = f"{outputs}, {peak.of_both(MODULE, name, duration_s)}"
        yield (
            compare(
                f"{name} {precision}: apply_model over ours",
                lambda: theirs(network, audio),
                lambda separator=separator: streamed(separator, audio),  # type: ignore[misc]
                repeats=1 if quick else 5,
                note=lambda theirs_s, ours_s, outputs=outputs: (  # type: ignore[misc]
                    f"{outputs}: {theirs_s:.1f} s and {ours_s:.1f} s"
                ),
            )
        )
        if not quick:
            yield from engine_overhead(f"{name} {precision}", separator, audio, repeats=5)


def _tensors(network: Any, separator: BagSeparator, audio: Tensor) -> str:
    """Peak memory of tensors for one segment of a song."""
    segment = audio[None, :, : separator.chunking.chunk]
    with torch.inference_mode():
        peaks = (
            peak.tensors_mb(lambda: network(segment)),
            peak.tensors_mb(lambda: separator.separate(segment)),
        )
    return "tensors {:.0f} and {:.0f} MB".format(*peaks)


def main(side: str, name: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in MiB; or compare on a busy machine.

    Args:
        side: theirs, ours, or both. "both" compares processor seconds of one thread, which other
            processes affect less.
        name: key of :data:`CASES`.
        duration_s: seconds of the song, as text.
    """
    torch.set_num_threads(1 if side == "both" else threads.chosen())
    case, audio = CASES[name], song(float(duration_s))
    network = build(case)
    if side == "theirs":
        theirs(network, audio)
    else:
        separator = ours(case, network, in_place=side == "ours")
    if side == "ours":
        del network
        streamed(separator, audio)
    if side != "both":
        peak.report()
        return
    outputs = agreement(theirs(network, audio), streamed(separator, audio))
    line = compare(
        f"{name}, {duration_s} s, processor seconds: apply_model over ours",
        lambda: theirs(network, audio),
        lambda: streamed(separator, audio),
        repeats=3,
        note=lambda theirs_s, ours_s: f"{outputs}: {theirs_s:.1f} s and {ours_s:.1f} s",
        clock=time.process_time,
    )
    print(row(line))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
