"""Compares the metrics with other people's implementations, on songs with known stems.

    git clone https://github.com/ZFTurbo/Music-Source-Separation-Training MSST
    pip install museval==0.4.1 auraloss==0.4.0 log-wmse-audio-quality==0.2.0 \
        torch-log-wmse==1.1.0 fast-bss-eval==0.1.4 librosa torchaudio
    python -m tools.check_metrics MSST SONG... [--seconds 30]

Each SONG is a folder with a file per stem. Its estimates are made here: each stem filtered, with
leakage from the others and noise. Both are written as 16-bit files, scored as `demixing score`
does, and read again by the other implementations. Prints the table of docs/metrics.md.
"""

import argparse
import importlib.util
import sys
import tempfile
import unittest.mock
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

from demixing.evaluation import metrics
from demixing.evaluation.scoring import score_song
from demixing.evaluation.songs import Song

Audio = NDArray[np.float64]
Oracle = Callable[[Audio, Audio, int], list[float]]
"""From references and estimates, ``(stems, samples, channels)``, and the sample rate to values."""


def each(of_stem: Callable[[Audio, Audio], float]) -> Oracle:
    """Apply a function of ``(channels, samples)`` to each stem."""
    return lambda references, estimates, _: [
        float(of_stem(np.ascontiguousarray(reference.T), np.ascontiguousarray(estimate.T)))
        for reference, estimate in zip(references, estimates, strict=True)
    ]


def official_sdr(references: Audio, estimates: Audio, _: int) -> list[float]:
    """The contest's formula, in float32 as there."""
    true_stems, stems = references.astype(np.float32), estimates.astype(np.float32)
    signal = np.sum(np.square(true_stems), axis=(1, 2)) + 1e-7
    distortion = np.sum(np.square(true_stems - stems), axis=(1, 2)) + 1e-7
    values: list[float] = (10 * np.log10(signal / distortion)).tolist()
    return values


def plain_si_sdr(reference: Audio, estimate: Audio) -> float:
    """The paper's formula."""
    target = reference * np.vdot(estimate, reference) / np.vdot(reference, reference)
    return float(10 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2)))


def fast_si_sdr(reference: Audio, estimate: Audio) -> float:
    """fast-bss-eval's, with the channels one after the other."""
    import fast_bss_eval

    loss = fast_bss_eval.si_sdr(reference.reshape(1, -1), estimate.reshape(1, -1), zero_mean=False)
    return float(loss[0])


def museval_of(row: int) -> Oracle:
    """One of museval's four, by its own top-level function, median over frames."""

    def values(references: Audio, estimates: Audio, rate_hz: int) -> list[float]:
        import museval

        key = (references.tobytes()[:4096], estimates.tobytes()[:4096])
        if key not in MUSEVAL:
            MUSEVAL[key] = museval.evaluate(references, estimates, win=rate_hz, hop=rate_hz)
        found: list[float] = np.nanmedian(MUSEVAL[key][row], axis=1).tolist()
        return found

    return values


MUSEVAL: dict[Any, Any] = {}
"""Results by song: they take long."""


def nomono(references: Audio, estimates: Audio, rate_hz: int) -> list[float]:
    """Log-WMSE of its authors."""
    import log_wmse_audio_quality

    mixture = references.sum(axis=0).T
    return [
        float(log_wmse_audio_quality.calculate_log_wmse(mixture, estimate.T, reference.T, rate_hz))
        for reference, estimate in zip(references, estimates, strict=True)
    ]


def torch_log_wmse(references: Audio, estimates: Audio, rate_hz: int) -> list[float]:
    """Log-WMSE of torch-log-wmse 1.1, with the mean of logarithms."""
    import torch
    from torch_log_wmse import LogWMSE

    meter = LogWMSE(sample_rate=rate_hz, p=0.0)
    true_stems, stems = (
        torch.from_numpy(np.ascontiguousarray(side.transpose(2, 0, 1)))[None].float()
        for side in (references, estimates)
    )
    return [
        float(meter(true_stems.sum(dim=2), stems[:, :, [one]], true_stems[:, :, [one]]))
        for one in range(len(references))
    ]


def auraloss_distance(dtype: str) -> Oracle:
    """Distance of auraloss in its default setting, computed in float32 or float64."""

    def distance(reference: Audio, estimate: Audio) -> float:
        import torch
        from auraloss.freq import MultiResolutionSTFTLoss

        wanted = getattr(torch, dtype)
        loss = MultiResolutionSTFTLoss()
        for one in loss.stft_losses:
            one.window = one.window.to(wanted)
        true_stem, stem = (torch.from_numpy(one)[None].to(wanted) for one in (reference, estimate))
        return float(loss(stem, true_stem))

    return each(distance)


def bleed_full(msst: Any, result: int, *, wide: bool) -> Oracle:
    """One of MSST's two values.

    Args:
        msst: its module.
        result: 0 for bleedless, 1 for fullness.
        wide: take the means in float64, since torch sums millions of values in float32.
    """

    def value(reference: Audio, estimate: Audio) -> float:
        import torch

        def mean(values: torch.Tensor) -> torch.Tensor:
            return values.double().mean()

        with unittest.mock.patch.object(torch, "mean", mean if wide else torch.mean):
            return float(msst.bleed_full(reference, estimate)[result])

    return each(value)


def oracles(checkout: Path) -> dict[str, list[tuple[str, Oracle]]]:
    """Other implementations of each metric, by name."""
    spec = importlib.util.spec_from_file_location("msst", checkout / "utils" / "metrics.py")
    assert spec is not None, checkout
    assert spec.loader is not None, checkout
    msst: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(msst)
    return {
        "sdr": [
            ("the contest's formula", official_sdr),
            ("MSST (delta 1e-8)", each(lambda r, e: msst.sdr(r[None], e[None])[0])),
        ],
        "si_sdr": [
            ("the paper's formula", each(plain_si_sdr)),
            ("fast-bss-eval 0.1.4", each(fast_si_sdr)),
            ("MSST", each(msst.si_sdr)),
        ],
        **{
            f"museval_{name}": [("museval 0.4.1", museval_of(row))]
            for row, name in enumerate(("sdr", "isr", "sir", "sar"))
        },
        "log_wmse": [
            ("log-wmse-audio-quality 0.2.0", nomono),
            ("torch-log-wmse 1.1.0, p = 0", torch_log_wmse),
        ],
        "l1_freq": [("MSST", each(msst.L1Freq_metric))],
        **{
            name: [
                ("MSST, means in float64", bleed_full(msst, result, wide=True)),
                ("MSST", bleed_full(msst, result, wide=False)),
            ]
            for result, name in enumerate(("bleedless", "fullness"))
        },
        "mr_stft": [
            ("auraloss 0.4.0 in float64", auraloss_distance("float64")),
            ("auraloss 0.4.0 in float32, its default", auraloss_distance("float32")),
        ],
    }


def estimates_of(references: Audio, rng: np.random.Generator) -> Audio:
    """Plausible estimates: filtered, with leakage and noise; each stem differently good.

    Args:
        references: ``(stems, samples, channels)``.
        rng: draws the strengths.
    """
    result = []
    for one, reference in enumerate(references):
        filters = np.zeros((32, 2))
        filters[0] = 1
        filters[1:] = 0.03 * rng.standard_normal((31, 2)) * np.exp(-np.arange(31) / 8)[:, None]
        filtered = scipy.signal.oaconvolve(reference, filters, axes=0)[: len(reference)]
        leaks = 10 ** (rng.uniform(-40, -12, len(references)) / 20)
        leaks[one] = 0
        leakage = np.tensordot(leaks, references, axes=1)
        noise = 1e-3 * rng.standard_normal(reference.shape)
        result.append(rng.uniform(0.85, 1.05) * filtered + leakage + noise)
    return np.stack(result)


def compared(
    folder: Path, others: dict[str, list[tuple[str, Oracle]]], seconds: float, seed: int
) -> Iterator[tuple[str, str, list[float], list[float]]]:
    """Score one song by all implementations.

    Yields:
        Metric, other implementation, our values and the other ones, by stem.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".flac"))
    files = [path for path in files if path.stem not in ("mixture", "mix")]
    rate_hz = soundfile.info(files[0]).samplerate
    sounds = [soundfile.read(path, round(seconds * rate_hz), always_2d=True)[0] for path in files]
    references = np.stack([sound for sound in sounds if sound.any()])
    stems = [path.stem for path, sound in zip(files, sounds, strict=True) if sound.any()]
    estimates = estimates_of(references, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as place:
        true_song = written(Path(place) / "references", stems, references, rate_hz)
        song = written(Path(place) / "estimates", stems, estimates, rate_hz)
        score = score_song(true_song, song, stems, metrics.expand(others))
        references, estimates = read_again(true_song), read_again(song)
    values = {"sdr": score.stems_db, **score.further}
    for name, implementations in others.items():
        ours = [values[name][stem] or 0.0 for stem in stems]
        for what, oracle in implementations:
            yield name, what, ours, oracle(references, estimates, rate_hz)


def written(folder: Path, stems: Sequence[str], audio: Audio, rate_hz: int) -> Song:
    """Write the stems of a song as 16-bit files."""
    folder.mkdir()
    paths = {stem: folder / f"{stem}.wav" for stem in stems}
    for path, sound in zip(paths.values(), audio, strict=True):
        soundfile.write(path, sound, rate_hz, subtype="PCM_16")
    return Song(folder.name, folder, paths, ())


def read_again(song: Song) -> Audio:
    """Read the stems, ``(stems, samples, channels)``."""
    return np.stack([soundfile.read(path, always_2d=True)[0] for path in song.stems.values()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compare metrics with other implementations.")
    parser.add_argument("checkout", type=Path, help="code of MSST")
    parser.add_argument("songs", type=Path, nargs="+", help="folders of stems")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--metric", nargs="+", help="only these")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    others = oracles(options.checkout)
    others = {name: others[name] for name in options.metric or others}
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed, folder in enumerate(options.songs):
        print(f"{folder.name} ...", file=sys.stderr, flush=True)
        for name, what, ours, theirs in compared(folder, others, options.seconds, seed):
            rows.setdefault((name, what), []).extend(zip(ours, theirs, strict=True))
    print("| metric | compared with | stems | our values | largest difference |")
    print("|---|---|---|---|---|")
    for (name, what), values in rows.items():
        ours, theirs = np.array(values).T
        largest = np.abs(ours - theirs).max()
        span = f"{ours.min():.2f} to {ours.max():.2f}"
        print(f"| `{name}` | {what} | {len(ours)} | {span} | {largest:.1e} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
