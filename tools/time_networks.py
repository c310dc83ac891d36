"""Measure the processor time of trainable networks: docs/decisions/010-networks.md.

    python -m tools.time_networks [--threads 1] [--examples 2] [--seconds 3] [NAME...]

Processor time is summed over threads, so other work on the machine has little effect, and the
minimum of three rounds counts. "train" is a step (forward, waveform L1, backward, in training mode)
divided by the seconds of audio in its batch. "separate" is the time per second of audio as well, 10
s at a time in float32.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from demixing.networks import trainable
from demixing.networks.temporal import LAYERS

STEMS = ("bass", "drums", "other", "vocals")
SEPARATED_S = 10
ROUNDS = 3

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *(("band_split", {"time": way}) for way in LAYERS),
    ("band_split", {"layers": 1}),
    ("band_split", {"features": 96}),
    ("bytesep_mobilenet", {}),
    ("bytesep_subband", {"channels": [16, 32, 64, 128, 128, 128], "blocks": 2}),
    ("bytesep_subband", {}),
    ("bytesep_resunet", {"channels": [16, 32, 64, 128, 128, 128], "blocks": 2}),
]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Measure the processor time of trainable networks."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks; default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--examples", type=int, default=2, help="examples in a batch")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each example")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print("| network | weights | separate | train, fp32 | train, bf16 |\n|---|---|---|---|---|")
    for name, options in SETTINGS:
        if chosen.names and name not in chosen.names:
            continue
        network = trainable.build(name, STEMS, options)
        weights = sum(weight.numel() for weight in network.parameters()) / 1e6
        costs = (
            separating(network),
            training(network, chosen.examples, chosen.seconds, bf16=False),
            training(network, chosen.examples, chosen.seconds, bf16=True),
        )
        what = " ".join([name, *(f"{key}={value}" for key, value in options.items())])
        print(f"| {what} | {weights:.2f} M | " + " | ".join(f"{cost:.3f}" for cost in costs) + " |")


def separating(network: nn.Module) -> float:
    """Processor time in seconds to separate a second of audio."""
    network.eval()
    song = noise(1, 2, SEPARATED_S * 44_100)
    with torch.inference_mode():
        return least(lambda: network(song)) / SEPARATED_S


def training(network: nn.Module, examples: int, seconds: float, *, bf16: bool) -> float:
    """Processor time in seconds to train on a second of audio."""
    network.train()
    stems = noise(examples, len(STEMS), 2, int(seconds * 44_100))
    mixtures = stems.sum(dim=1)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            estimate = network(mixtures)
        (estimate - stems).abs().mean().backward()

    return least(step) / (examples * seconds)


def noise(*shape: int) -> torch.Tensor:
    """The same audio in every run."""
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def least(run: Callable[[], object]) -> float:
    """Smallest processor time of several calls, in seconds."""
    times_s = []
    for _ in range(ROUNDS):
        start_s = time.process_time()
        run()
        times_s.append(time.process_time() - start_s)
    return min(times_s)


if __name__ == "__main__":
    main()
