"""All that fitting needs of a song: the products of all its signals, summed over its samples.

Every blend of answers is linear, so its error follows from these sums alone: a song is separated
once, and thousands of blends are then compared in no time.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluator.audio import blocks, probe
from evaluator.errors import EvaluationError
from evaluator.songs import Song
from my_submission import audio
from my_submission.demixer import Demixer
from my_submission.level import Level
from my_submission.recipe import Recipe

MIXTURE = "mixture"

SILENT_DB = -60.0
"""A true stem whose energy is so far below that of the mixture is silent."""


def answer(member: str, stem: str) -> str:
    """Name the signal that is a member's answer for a stem."""
    return f"{member}/{stem}"


@dataclass(frozen=True)
class Moments:
    """Sums of products of the signals of one song.

    Attributes:
        song: its name.
        folder: that it comes from; see :func:`shares_of`.
        signals: names: answers as :func:`answer` has them, :data:`MIXTURE`, and the true stems
            by their own names.
        products: ``(signals, signals)``, summed over the samples and channels of the song.
    """

    song: str
    folder: str
    signals: tuple[str, ...]
    products: NDArray[np.float64]

    def among(self, rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
        """Products of some signals with others, ``(rows, columns)``."""
        index = {name: number for number, name in enumerate(self.signals)}
        found = self.products[np.ix_([index[n] for n in rows], [index[n] for n in columns])]
        return np.asarray(found, dtype=np.float64)

    def energy(self, combination: Mapping[str, float]) -> float:
        """Energy of a weighted sum of signals."""
        names = list(combination)
        weights = np.array([combination[name] for name in names])
        return max(float(weights @ self.among(names, names) @ weights), 0.0)

    def silent(self, stem: str) -> bool:
        """Whether the true stem is silent."""
        limit = 10 ** (SILENT_DB / 10) * self.energy({MIXTURE: 1.0})
        return self.energy({stem: 1.0}) <= limit


def shares_of(songs: Sequence[Moments]) -> NDArray[np.float64]:
    """How much each song counts: all folders count alike, and all songs of a folder.

    A few real songs would else be lost among many that were rendered.

    Returns:
        ``(songs,)``, with a sum of 1.
    """
    folders = [song.folder for song in songs]
    return np.array([1 / folders.count(one) / len(set(folders)) for one in folders])


def of_song(song: Song, demixer: Demixer, cache: Path | None) -> Moments:
    """Separate a song and sum the products, or find them in a cache.

    Args:
        song: with all stems of the recipe's track; its mixture is their sum.
        demixer: of the recipe.
        cache: folder in which sums are kept.

    Raises:
        EvaluationError: a stem is missing, damaged or unlike the others.
    """
    recipe = demixer.recipe
    for stem in recipe.track.stems:
        if stem not in song.stems:
            raise EvaluationError(
                f"expected the stem {stem!r} in {str(song.folder)!r}; add it or remove the song"
            )
    folder = str(song.folder.parent)
    kept = cache / f"{song.name}-{_key(song, recipe)}.npz" if cache else None
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            return Moments(song.name, folder, tuple(map(str, file["signals"])), file["products"])
    moments = dataclasses.replace(_measured(song, demixer), folder=folder)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, signals=np.array(moments.signals), products=moments.products)
        part.replace(kept)
    return moments


def _key(song: Song, recipe: Recipe) -> str:
    """Hash what the answers depend on: the audio's place, size and time, and who hears what."""
    subtracted = {stem for member in recipe.members for stem in member.minus}
    heard = [repr(blend) for blend in recipe.blends if blend.stem in subtracted]
    files = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime) for p in song.stems.values()]
    text = json.dumps([[repr(member) for member in recipe.members], heard, files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _measured(song: Song, demixer: Demixer) -> Moments:
    """Stream a song through the recipe and sum products as the answers come."""
    recipe = demixer.recipe
    layout = probe(next(iter(song.stems.values())))
    if any(probe(path) != layout for path in song.stems.values()):
        raise EvaluationError(f"expected stems of one length and rate in {str(song.folder)!r}")
    true = np.stack(
        [
            np.concatenate(list(blocks(song.stems[stem], layout.samples))).astype(np.float32)
            for stem in recipe.track.stems
        ]
    )  # (stems, samples, channels)
    if true.shape[2] == 1:
        true = np.repeat(true, 2, axis=2)
    mixture = torch.from_numpy(np.ascontiguousarray(true.sum(axis=0).T))
    answers: dict[str, list[torch.Tensor]] = {}

    def tap(member: str, stem: str, pairs: torch.Tensor) -> None:
        if pairs.shape[-1]:
            answers.setdefault(answer(member, stem), []).append(pairs[0].clone())

    cut = torch.split(mixture, audio.BLOCK, dim=-1)
    for _ in demixer.stream(cut, layout.sample_rate_hz, tap=tap, level=Level.of(cut)):
        pass
    signals = {name: torch.cat(parts, dim=-1).numpy() for name, parts in answers.items()}
    signals[MIXTURE] = mixture.numpy()
    signals |= {
        stem: np.ascontiguousarray(one.T)
        for stem, one in zip(recipe.track.stems, true, strict=True)
    }
    flat = np.stack([signal.reshape(-1) for signal in signals.values()])
    products = np.zeros((len(flat), len(flat)))
    for start in range(0, flat.shape[1], audio.BLOCK):  # float64 for a block at a time
        block = flat[:, start : start + audio.BLOCK].astype(np.float64)
        products += block @ block.T
    return Moments(song.name, "", tuple(signals), products)
