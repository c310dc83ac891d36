"""Golden values of the metrics, by other people's implementations.

    python -m tools.golden.metrics MSST

Needs the packages of tools/check_metrics.py. The songs are noise, the same at any time, on the grid
of 16-bit files, so the golden file has only values.
"""

import argparse
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

RATE_HZ = 44_100
OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "metrics.json"
TAPS = slice(1959, 2040)
"""Which taps of the filter of log-WMSE are stored."""

Audio = NDArray[np.float32]


def song(stems: int, samples: int, channels: int, seed: int) -> tuple[Audio, Audio]:
    """References and estimates, ``(stems, samples, channels)``: coloured noise with leakage."""
    rng = np.random.default_rng(seed)
    poles = rng.uniform(-0.9, 0.95, stems)
    references = np.stack(
        [
            scipy.signal.lfilter([0.1], [1, -pole], rng.uniform(-1, 1, (samples, channels)), axis=0)
            for pole in poles
        ]
    )
    leaks = np.eye(stems) * rng.uniform(0.7, 1.0, stems) + rng.uniform(0, 0.2, (stems, stems))
    noise = 0.003 * rng.uniform(-1, 1, references.shape)
    estimates = np.tensordot(leaks, references, axes=1) + noise
    return on_grid(references), on_grid(estimates)


def quiet(audio: tuple[Audio, Audio]) -> tuple[Audio, Audio]:
    """Make both 40 dB quieter."""
    references, estimates = (on_grid(0.01 * side.astype(np.float64)) for side in audio)
    return references, estimates


def on_grid(audio: NDArray[np.float64]) -> Audio:
    """Round to 16 bits."""
    return (np.round(audio * 2**15) / 2**15).clip(-1, 1 - 2**-15).astype(np.float32)


CASES: dict[str, Callable[[], tuple[Audio, Audio]]] = {
    "stereo": lambda: song(3, 100_000, 2, 1),
    "mono": lambda: song(2, 50_001, 1, 2),
    "short": lambda: song(1, 3000, 2, 3),
    "quiet": lambda: quiet(song(2, 50_000, 2, 4)),
}
"""Songs of which all metrics are defined."""

SILENT_REFERENCE = {
    "silent": lambda: (np.zeros((1, 30_000, 2), np.float32), song(1, 30_000, 2, 5)[1])
}
"""And one for those that have a value for a silent reference."""


def main() -> None:
    """Run the command line."""
    from tools.check_metrics import Oracle, oracles

    parser = argparse.ArgumentParser(description="Make golden values of the metrics.")
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    warnings.filterwarnings("ignore")
    golden: dict[str, dict[str, list[float]]] = {}

    def add(case: str, name: str, oracle: Oracle) -> None:
        references, estimates = (CASES | SILENT_REFERENCE)[case]()
        wide = references.astype(np.float64), estimates.astype(np.float64)
        golden.setdefault(case, {})[name] = oracle(*wide, RATE_HZ)

    first = {name: others[0][1] for name, others in oracles(checkout).items()}
    for case in CASES:
        for name, oracle in first.items():
            add(case, name, oracle)
    for name in ("sdr", "l1_freq", "bleedless", "fullness", "mr_stft"):
        add("silent", name, first[name])
    values = {"cases": golden, "taps": published_taps()}
    OUTPUT.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


def published_taps() -> list[float]:
    """Taps of the filter of log-WMSE, out of its authors' package."""
    import log_wmse_audio_quality

    (folder,) = log_wmse_audio_quality.__path__
    stored = (Path(folder) / "filter_ir.pkl").read_bytes()
    taps: list[float] = pickle.loads(stored)[TAPS].tolist()
    return taps


if __name__ == "__main__":
    main()
