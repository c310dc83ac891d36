"""Measure how much bfloat16 changes Spleeter's score on real songs: the catalogue's bf16_change_db.

    python -m tools.measure_bf16 SONG_FOLDER...

A folder contains vocals, drums, bass and other as audio files; the mixture is their sum. Do not use
test data. Prints both scores of each song and their difference, and the largest difference.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.machine import threads


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the effect of bfloat16.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="SONG_FOLDER")
    threads.use()
    largest_db = 0.0
    for folder in parser.parse_args().folders:
        stems = {stem: read(folder, stem) for stem in ("vocals", "drums", "bass", "other")}
        mixture = torch.stack(list(stems.values())).sum(dim=0)
        truths = {"vocals": stems["vocals"], "accompaniment": mixture - stems["vocals"]}
        full, low = (separated(mixture, precision) for precision in ("fp32", "bf16"))
        for index, (stem, truth) in enumerate(truths.items()):
            if not truth.any():
                print(f"{folder.name}\t{stem}\tsilent, not counted")
                continue
            before_db, after_db = sdr_db(truth, full[index]), sdr_db(truth, low[index])
            change_db = after_db - before_db
            largest_db = max(largest_db, change_db, key=abs)
            print(f"{folder.name}\t{stem}\t{before_db:.4f}\t{after_db:.4f}\t{change_db:+.4f}")
    print(f"largest change: {largest_db:+.4f} dB")


def read(folder: Path, stem: str) -> Tensor:
    """Read a stem, ``(2, samples)``."""
    (path,) = folder.glob(f"{stem}.*")
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(np.ascontiguousarray(audio.T))


def separated(mixture: Tensor, precision: str) -> Tensor:
    """Stems ``(stems, 2, samples)`` of Spleeter."""
    overlap = OverlapAdd(separators.build("spleeter", {"precision": precision}))
    return torch.cat([overlap.push(mixture[None]), overlap.finish()], dim=-1)[0]


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    """Global SDR in dB, as on the leaderboards."""
    error = (reference - estimate).double().square().sum() + 1e-7
    return float(10 * torch.log10((reference.double().square().sum() + 1e-7) / error))


if __name__ == "__main__":
    main()
