"""Hybrid Demucs, v3 and v4: ours against demucs' own driver, on the same random weights."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.songs import song
from benchmarks.spleeter import engine, streamed
from benchmarks.timing import Line, agreement, compare
from my_submission.errors import ConfigError
from my_submission.hybrid import adapt

STEMS = ("drums", "bass", "other", "vocals")


def run_v4(*, quick: bool) -> Iterator[Line]:
    """Measure HTDemucs of 48 channels, 7.8 s segments."""
    network = build("HTDemucs", {"channels": 48, "bottom_channels": 512, "dconv_mode": 3})
    network.segment = 7.8
    duration_s = 12.0 if quick else 30.0
    yield from _run("htdemucs", network, 7.8, duration_s, any_length=False, quick=quick)


def run_v3(*, quick: bool) -> Iterator[Line]:
    """Measure HDemucs of 48 channels, 44 s segments."""
    network = build("HDemucs", {"channels": 48})
    network.segment = 44.0
    yield from _run("hdemucs", network, 44.0, 10.0 if quick else 90.0, any_length=True, quick=quick)


def build(name: str, options: dict[str, Any]) -> Any:
    """Build a network with random weights, always the same.

    Raises:
        ConfigError: demucs is not installed.
    """
    try:
        import demucs.hdemucs
        import demucs.htdemucs
    except ImportError as error:
        raise ConfigError(
            "this benchmark needs demucs; run: "
            "pip install --requirement benchmarks/requirements.txt"
        ) from error
    kind = {"HTDemucs": demucs.htdemucs.HTDemucs, "HDemucs": demucs.hdemucs.HDemucs}[name]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2023)
        return kind(list(STEMS), **options).eval()


def theirs(network: Any, audio: Tensor) -> Tensor:
    """Stems ``(stems, 2, samples)`` by demucs' own driver, without shifts."""
    from demucs.apply import apply_model

    answer: Tensor = apply_model(network, audio[None], shifts=0, overlap=0.25)[0]
    return answer


def _run(
    name: str,
    network: Any,
    segment_s: float,
    duration_s: float,
    *,
    any_length: bool,
    quick: bool,
) -> Iterator[Line]:
    """Measure both precisions, and the engine over the bare network."""
    audio = song(duration_s)
    reference = theirs(network, audio)
    for precision in ("fp32", "bf16"):
        separator = adapt(
            network, STEMS, segment_s=segment_s, any_length=any_length, precision=precision
        )
        answer = streamed(separator, audio)
        said = f"{agreement(reference, answer)}, {duration_s:.1f} s"
        yield (
            compare(
                f"{name} {precision}: apply_model over ours",
                lambda: theirs(network, audio),
                lambda separator=separator: streamed(separator, audio),  # type: ignore[misc]
                repeats=1 if quick else 5,
                note=lambda theirs_s, ours_s, said=said: (  # type: ignore[misc]
                    f"{said}: {theirs_s:.1f} s and {ours_s:.1f} s"
                ),
            )
        )
        if precision == "fp32" or not quick:
            yield from engine(f"{name} {precision}", separator, audio, repeats=1 if quick else 5)
