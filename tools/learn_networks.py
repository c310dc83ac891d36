"""Train variants of a network's temporal module on the same synthetic examples.

See docs/decisions/010-networks.md.

    OMP_NUM_THREADS=1 python -m tools.learn_networks [--steps 60]

The two stems are tones with harmonics, panned and faded, and hits of noise. All variants get the
same examples. Prints the SDR of each stem, as the mean of the last 20 batches (before each step),
and the processor time in seconds. It shows whether a network learns, not how well it separates.
"""

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray

from demixing.networks import trainable
from demixing.networks.temporal import LAYERS
from demixing.training import losses

SAMPLES = 88_200
RATE_HZ = 44_100
HIT = 8_000
LAST = 20


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compare how fast networks learn.")
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    print("| time | tones | hits | processor |\n|---|---|---|---|")
    for way in LAYERS:
        start_s = time.process_time()
        tones_db, hits_db = learnt(way, steps)
        spent_s = time.process_time() - start_s
        print(f"| {way} | {tones_db:.2f} dB | {hits_db:.2f} dB | {spent_s:.0f} s |")


def learnt(way: str, steps: int) -> tuple[float, float]:
    """Train a small network; return the mean SDR of its stems in the last batches."""
    rng = np.random.default_rng(0)
    options = {"features": 32, "layers": 4, "time": way}
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        network = trainable.build("band_split", ("tones", "hits"), options)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    loss, sdr = losses.build("wave_l1"), losses.build("sdr")
    scores = []
    for _ in range(steps):
        stems = torch.stack([example(rng) for _ in range(2)])
        with torch.autocast("cpu", torch.bfloat16):
            estimate = network(stems.sum(dim=1))
        optimiser.zero_grad()
        loss(estimate, stems).mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        scores.append(-sdr(estimate.detach(), stems).mean(dim=0))
    tones_db, hits_db = torch.stack(scores[-LAST:]).mean(dim=0).tolist()
    return tones_db, hits_db


def example(rng: np.random.Generator) -> torch.Tensor:
    """Tones and hits, ``(2, 2, SAMPLES)``."""
    tones, hits = np.zeros((2, 2, SAMPLES))
    for _ in range(6):
        angle = rng.uniform(0, np.pi / 2)
        tones += np.outer([np.cos(angle), np.sin(angle)], tone(rng))
    for _ in range(8):
        start = rng.integers(0, SAMPLES - HIT)
        fading = np.exp(-np.arange(HIT) / rng.uniform(300, 3000))
        hit = rng.standard_normal(HIT) * fading * rng.uniform(0.05, 0.3)
        hits[:, start : start + HIT] += np.outer(rng.uniform(0.3, 1, 2), hit)
    return torch.from_numpy(np.stack([tones, hits])).float()


def tone(rng: np.random.Generator) -> NDArray[np.float64]:
    """Five harmonics that fade in and out, ``(SAMPLES,)``."""
    hz, level = rng.uniform(80, 3000), rng.uniform(0.02, 0.1)
    length = rng.integers(SAMPLES // 4, SAMPLES // 2)
    start = rng.integers(0, SAMPLES // 2)
    turns = 2 * np.pi * hz * np.arange(length) / RATE_HZ
    harmonics = sum(level / order * np.sin(order * turns) for order in range(1, 6))
    note = np.zeros(SAMPLES)
    note[start : start + length] = harmonics * np.hanning(length)
    return note


if __name__ == "__main__":
    main()
