"""Finished runs of `demixing evaluate`, made without separating: short noise with known errors."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.evaluation import metrics, report_json
from demixing.evaluation.scoring import score_folder
from demixing.evaluation.songs import STEMS, wav_file
from demixing.evaluation.summary import summarise

RATE_HZ = 44_100


def noise(seconds: float, seed: int, channels: int = 2) -> NDArray[np.float64]:
    """Quiet noise with less treble, which Opus keeps as it is; louder in some seconds."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE_HZ)
    loudness = 0.02 + 0.08 * rng.random(samples // RATE_HZ + 1)
    white = rng.standard_normal((samples + 19, channels))
    smooth = sum(white[shift : shift + samples] for shift in range(20)) / math.sqrt(20)
    return np.asarray(smooth * np.repeat(loudness, RATE_HZ)[:samples, None], np.float64)


def write_run(
    folder: Path,
    *,
    track: str = "mdx",
    songs: Mapping[str, float],
    recipe: str = "a",
    error: float = 0.3,
    silent: Sequence[str] = (),
    omissions: Mapping[str, Sequence[report_json.Omission]] | None = None,
) -> Path:
    """Write a run whose estimates are the references, plus other noise.

    Args:
        folder: of the run.
        track: of the run.
        songs: length in seconds by name.
        recipe: name in the manifest.
        error: part of the other noise.
        silent: stems whose reference is silent.
        omissions: of songs.

    Returns:
        The folder.
    """
    for number, (name, seconds) in enumerate(songs.items()):
        stems = {}
        for place, stem in enumerate(STEMS[track]):
            true = noise(seconds, 10 * number + place) * (stem not in silent)
            if seconds > 2:
                true[RATE_HZ : 2 * RATE_HZ] = 0  # the second second is silent
            stems[stem] = true
            _write(folder / "dataset" / name / wav_file(track, name, stem), true)
            other = error * noise(seconds, 10 * number + place + 5)
            _write(folder / "predictions" / name / wav_file(track, name, stem), true + other)
        mixture = np.sum(list(stems.values()), axis=0)
        if track == "mdx":
            _write(folder / "dataset" / name / "mixture.wav", mixture)
        else:
            for side, role in enumerate(("mixture_Lt", "mixture_Rt")):
                path = folder / "dataset" / name / wav_file(track, name, role)
                _write(path, mixture[:, side : side + 1])
    scores = score_folder(folder / "dataset", folder / "predictions", track)
    text = report_json.json_report(summarise(scores, track), metrics.load("sdr"), omissions or {})
    (folder / "scores.json").write_text(text, encoding="utf-8")
    manifest = {"recipe": recipe, "songs": list(songs)}
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _write(path: Path, audio: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE_HZ, subtype="FLOAT")
