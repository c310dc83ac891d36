"""What is done with every song of a batch, and what distinguishes the results of two tasks.

The fingerprint of a task follows from everything that decides its results: the recipe with its
options, the contents of its weights, and the format of the files. It does not depend on the
machine, the device or the version of this package; the record of each song names the version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demixing.cluster import addresses, names, publishing, records
from demixing.engine.member_weights import weights
from demixing.errors import ConfigError
from demixing.process.worker import table
from demixing.recipes.recipe import Recipe

SEPARATE, TEACH, SCORE = "separate", "teach", "score"
CURRENT = "task.json"
MOST_SHOWN = 80
"""Length of a setting that is shown in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is done with every song.

    Attributes:
        kind: :data:`SEPARATE`, :data:`TEACH` or :data:`SCORE`.
        recipe: all members are required; None when scoring.
        format: suffix of the stems.
        bits: of samples.
        bitrate: of lossy formats, in kbit/s; None: the format's.
        best: use all test-time augmentation.
        rescale: divide stems that exceed full scale.
        track: of scores.
        estimates: address of the stems that are scored.
        metrics: names of metrics besides the official one.
    """

    kind: str
    recipe: Recipe | None = None
    format: str = "wav"
    bits: str = "32f"
    bitrate: int | None = None
    best: bool = False
    rescale: bool = False
    track: str = ""
    estimates: str = ""
    metrics: tuple[str, ...] = ()


def described(task: Task) -> dict[str, Any]:
    """Everything that decides the results of a task, as JSON.

    Raises:
        CheckpointError: a file of weights is missing.
        ConfigError: a member's options are invalid.
    """
    if task.recipe is None:
        made_by = addresses.read(f"{task.estimates}/{records.FOLDER}/{CURRENT}", records.MOST_BYTES)
        return {
            "kind": task.kind,
            "track": task.track,
            "estimates": task.estimates,
            "estimates_task": hashlib.sha256(made_by).hexdigest() if made_by else None,
            "metrics": list(task.metrics),
        }
    return {
        "kind": task.kind,
        "recipe": task.recipe.name,
        "members": table(task.recipe),
        "weights": {name: digest for one in task.recipe.members for name, digest in weights(one)},
        "format": task.format,
        "bits": task.bits,
        "bitrate": task.bitrate,
        "best": task.best,
        "rescale": task.rescale,
    }


def fingerprint(description: Mapping[str, Any]) -> str:
    """Sha256 of a description, which is equal for equal tasks."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def current(destination: str) -> str | None:
    """Fingerprint of the task of a destination; None if it has none, or its file is damaged.

    Raises:
        StoreError: it cannot be read.
    """
    there = addresses.read(f"{destination}/{records.FOLDER}/{CURRENT}", records.MOST_BYTES)
    try:
        return None if there is None else fingerprint(json.loads(there))
    except (ValueError, RecursionError):
        return None


def claim(destination: str, description: Mapping[str, Any], *, replace: bool) -> str:
    """Make a task that of a destination.

    Args:
        destination: address of the results.
        description: of the task.
        replace: whether results of another task may be replaced.

    Returns:
        The task's fingerprint.

    Raises:
        ConfigError: the destination has results of another task.
        StoreError: it cannot be read or written.
    """
    chosen = fingerprint(description)
    text = json.dumps(description, sort_keys=True, indent=1) + "\n"
    current = f"{destination}/{records.FOLDER}/{CURRENT}"
    there = addresses.read(current, records.MOST_BYTES)
    if there not in (None, text.encode()) and not replace:
        raise ConfigError(
            f"{destination!r} has results of another task ({difference(there, description)}); "
            "choose another --output, or --replace them"
        )
    # Also if it is there: a destination that cannot be written is noticed before songs are done.
    publishing.write(f"{destination}/{records.FOLDER}/tasks/{chosen}.json", text)
    if there == text.encode():
        return chosen
    addresses.remove(f"{destination}/{names.MANIFEST}")  # it lists what is going to be replaced
    publishing.write(current, text)
    return chosen


def difference(there: bytes, description: Mapping[str, Any]) -> str:
    """The first setting that differs, in a few words."""
    try:
        other = _settings(dict(json.loads(there)))
    except (TypeError, ValueError, RecursionError):
        return "its task.json is damaged"
    for name, value in _settings(description).items():
        if other.get(name) != value:
            return _changed(name, other.get(name), value)
    return "other settings"


def _settings(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description with the parts of the recipe as settings of their own, the last ones."""
    recipe = description.get("members") or {}
    return {**{name: one for name, one in description.items() if name != "members"}, **recipe}


def _changed(name: str, old: Any, new: Any) -> str:
    """How a setting differs."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        texts = json.dumps(old), json.dumps(new)
        if max(map(len, texts)) > MOST_SHOWN:
            return f"another {name!r} in the recipe"
        return f"another {name}: {texts[0]} instead of {texts[1]}"
    words = {
        "without": new.keys() - old.keys(),
        "with": old.keys() - new.keys(),
        "with another": {one for one in old.keys() & new.keys() if old[one] != new[one]},
    }
    parts = [f"{word} {', '.join(sorted(keys))}" for word, keys in words.items() if keys]
    return f"other {name}: {'; '.join(parts)}"
