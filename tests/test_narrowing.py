"""Some stems of a recipe: the same samples as in the full separation, from fewer members."""

import tomllib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import Separator, separators
from demixing.engine import asked
from demixing.engine.demixer import Demixer
from demixing.errors import ConfigError
from demixing.recipes import narrowing, reading
from demixing.recipes.recipe import Recipe
from demixing.separator import Chunking

pytestmark = pytest.mark.engine

RATE_HZ = 8_000
SECONDS = 23
"""Longer than a gain of the leakage filter, and than two decisions about doubted members."""


class Mixer:
    """A separator whose outputs depend on its name and options, and on their order."""

    sample_rate_hz = 6_000
    chunking = Chunking(chunk=60_000, hop=54_000)

    def __init__(self, seed: int, stems: tuple[str, ...]) -> None:
        self.stems = stems
        generator = torch.Generator().manual_seed(seed)
        self._gains = 2 * torch.rand(len(stems), 2, 2, generator=generator) - 0.7

    def separate(self, chunks: Tensor) -> Tensor:
        return torch.einsum("sdc,bcn->bsdn", self._gains, chunks.tanh())


@pytest.fixture
def mixers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All separators are mixers, and no weights are needed; the separators that were built."""
    built: list[str] = []

    def build(name: str, options: Mapping[str, Any] | None = None) -> Mixer:
        built.append(name)
        kept = {key: value for key, value in (options or {}).items() if key != "stems"}
        return Mixer(zlib.crc32(f"{name} {kept}".encode()), PARTS)

    monkeypatch.setattr(separators, "build", build)
    monkeypatch.setattr(separators, "required_weights", lambda name, options=None: ())
    monkeypatch.setattr(separators, "required_packages", lambda name: ())
    return built


LONG = ("mdx_default", "variant")
"""Recipes with leaks or doubts."""

PARTS = tuple(
    dict.fromkeys(
        part
        for name in reading.names()
        for member in reading.load(name).members
        for parts in member.outputs.values()
        for part in parts
    )
)


def song(seconds: int = SECONDS) -> Tensor:
    """Noise with a loud bass, so that leaks and doubts have an effect."""
    generator = torch.Generator().manual_seed(0)
    time_s = torch.arange(seconds * RATE_HZ) / RATE_HZ
    tone = torch.sin(6.28 * 50 * time_s) * (time_s > 12)
    return 0.1 * torch.randn(2, len(time_s), generator=generator) + 0.3 * tone


def length(recipe: Recipe) -> int:
    """Seconds; a stage without leaks or doubts has no more to show after two."""
    return SECONDS if recipe.name in LONG else 2


def separated(recipe: Recipe) -> dict[str, Tensor]:
    mixture = song(length(recipe))
    blocks = torch.split(mixture, 70_000, dim=-1)
    found = torch.cat(list(Demixer(recipe).stream(blocks, RATE_HZ)), dim=-1)
    return dict(zip(recipe.outputs, found, strict=True))


def expected(recipe: Recipe, full: Mapping[str, Tensor], name: str) -> Tensor:
    if name in full:
        return full[name]
    result = song(length(recipe))
    for stem in narrowing.sources(recipe.track.stems, name):
        result = result - full[stem]
    return result


@pytest.mark.usefixtures("mixers")
@pytest.mark.parametrize("name", reading.names())
def test_an_asked_stem_is_the_same_to_the_last_bit(name: str) -> None:
    recipe = reading.load(name)
    full = separated(recipe)
    wishes: list[tuple[str, ...]] = [(one,) for one in narrowing.names(recipe)]
    wishes.append((wishes[-1][0], recipe.track.stems[-1]))

    for wish in wishes:
        found = separated(asked.prepared(recipe, wish))

        assert tuple(found) == wish
        for one in wish:
            assert torch.equal(found[one], expected(recipe, full, one)), one


HEAD = 'track = "mdx"\nsummary = "For tests."\n'

LATE = """
[[members]]
name = "early"
separator = "spleeter"
outputs = { vocals = ["vocals"] }

[[members]]
name = "too"
separator = "gtcrn"
outputs = { vocals = ["vocals"] }

[[members]]
name = "reads"
separator = "hpss"
subtract = ["vocals"]
outputs = { drums = ["percussive"], bass = ["low"], other = ["high"] }

[[members]]
name = "late"
separator = "bytesep"
outputs = { vocals = ["vocals"], bass = ["vocals"] }

[[blends]]
stem = "vocals"
weights = { early = 0.9, too = 0.2, late = 0.3 }

[[blends]]
stem = "vocals"
weights = { early = 0.1, too = 0.7 }
"""
DOUBTED = """
[[members]]
name = "doubted"
separator = "demucs_v1"
outputs = { vocals = ["vocals"], bass = ["bass"], drums = ["drums"] }
doubt = { stem = "bass", least = 0.0, most = 3.0 }

[[blends]]
stem = "drums"
weights = { reads = 0.7, doubted = 0.4 }
mixture = 0.1
"""
LEAK = '\n[[leaks]]\nof = "bass"\ninto = "vocals"\npower = 0.3\nreturned = true\n'
SHARES = "\n[consistency]\nother = 0.5\n"
VARIANTS = {
    "late": LATE,
    "doubted": LATE + DOUBTED,
    "leak": LATE + LEAK,
    "leak and shares": LATE + LEAK + SHARES,
    "all": LATE + DOUBTED + LEAK + SHARES,
    "high": "consistency_above_hz = 1500\n" + LATE + LEAK + SHARES,
}


@pytest.mark.usefixtures("mixers")
@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_stage_keeps_its_place(text: str) -> None:
    recipe = reading.parse("variant", tomllib.loads(HEAD + text))
    full = separated(recipe)

    for stem in recipe.track.stems:
        found = separated(asked.prepared(recipe, [stem]))
        assert torch.equal(found[stem], full[stem]), stem


def kept(name: str, *stems: str) -> list[str]:
    return [member.name for member in narrowing.narrowed(reading.load(name), stems).members]


def test_only_members_that_matter_are_kept() -> None:
    assert kept("mdx_filters", "vocals") == ["spleeter"]
    assert kept("mdx_filters", "instrumental") == ["spleeter"]
    assert kept("mdx_filters", "drums") == ["spleeter", "short", "long"]
    assert kept("mdx_filters", "residual") == ["spleeter", "short", "long", "centre"]
    assert kept("mdx_net_b", "bass", "drums") == ["bass", "drums", "demucs"]
    assert kept("mdx_contest", "vocals") == ["vocals_demucs", "vocals_mdx_net"]
    # What all stems leave above 4 kHz goes to the vocals.
    assert kept("mdx_default", "vocals") == [
        member.name for member in reading.load("mdx_default").members
    ]


def test_a_member_that_comes_too_late_to_matter_does_not_run(mixers: list[str]) -> None:
    recipe = reading.parse("variant", tomllib.loads(HEAD + LATE))

    narrow = asked.prepared(recipe, ["drums"])
    Demixer(narrow)

    assert mixers == ["spleeter", "gtcrn", "hpss"]
    assert [(one.name, one.outputs) for one in narrow.left_out] == [
        ("late", {"vocals": ("vocals",)})
    ]


def test_networks_that_are_not_needed_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separators, "required_packages", lambda name: ())
    recipe = reading.load("mdx_demucs")

    (member,) = asked.prepared(recipe, ["drums"]).members
    (free,) = asked.prepared(reading.load("mdx_equal_shares"), ["drums"]).members

    assert member.options == {"files": "any", "stems": ["drums"]}
    assert free.options["stems"] == ["bass", "drums", "other", "vocals"]  # the number of shares
    (chosen,) = asked.prepared(reading.load("cdx_music_vocals"), ["dialog"]).members
    assert chosen.options["stems"] == ["vocals"]


@pytest.mark.parametrize(
    ("stems", "message"),
    [
        (["vocal"], "no stem 'vocal'; did you mean 'vocals'?"),
        (["guitar"], "(available: bass, drums, other, vocals, instrumental, residual)"),
        (["bass", "bass"], "expected each stem once, got bass, bass"),
        ([], "expected each stem once, got none"),
    ],
)
def test_a_wrong_stem_is_one_sentence(stems: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        narrowing.narrowed(reading.load("mdx_default"), stems)

    assert message in str(caught.value)


def test_film_has_an_instrumental_without_dialog() -> None:
    recipe = reading.load("cdx_default")

    assert narrowing.names(recipe)[-2:] == ("instrumental", "residual")
    assert narrowing.narrowed(recipe, ["instrumental"]).track.stems == ("dialog",)


def test_the_library_separates_some_stems() -> None:
    audio = song().numpy().T.astype(np.float32)

    separator = Separator("mdx_equal_shares", stems=["residual", "vocals", "instrumental"])
    found = separator(audio, RATE_HZ)

    assert separator.stems == tuple(found) == ("residual", "vocals", "instrumental")
    np.testing.assert_array_equal(found["vocals"], audio / 4)
    np.testing.assert_array_equal(found["instrumental"], audio - audio / 4)
    np.testing.assert_allclose(found["residual"], 0, atol=1e-7)


def test_the_library_says_which_missing_members_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Demixer, "__init__", without_members)
    path = tmp_path / "late.toml"
    optional = 'separator = "demucs_v4"\noptional = true'
    path.write_text(HEAD + LATE.replace('separator = "bytesep"', optional))

    assert Separator(path, stems=["vocals"]).missing == ("late",)
    assert Separator(path, stems=["drums"]).missing == ()


def without_members(self: Demixer, recipe: Recipe) -> None:
    self.recipe = recipe


# Recipes of other stems


def test_a_recipe_may_list_its_stems() -> None:
    recipe = reading.parse("two", tomllib.loads(TWO))

    assert recipe.track.stems == ("vocals", "instrumental")
    assert narrowing.names(recipe) == ("vocals", "instrumental", "residual")


TWO = """
stems = ["vocals", "instrumental"]
summary = "For tests."
residual = "instrumental"

[[members]]
separator = "spleeter"
outputs = { vocals = ["vocals"] }
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('stems = ["vocals", "instrumental"]', "", "the key 'track' is missing"),
        ("summary", 'track = "mdx"\nsummary', "leave out 'stems' or 'track'"),
        ('stems = ["vocals", "instrumental"]', "stems = []", "must name at least one"),
        ('["vocals", "instrumental"]', '["vocals", "vocals"]', "none twice"),
        ("summary", 'boards = ["A"]\nsummary', "has no leaderboards, got 'A'"),
        ("summary", 'asked = ["vocals"]\nsummary', "no key 'asked'"),
    ],
)
def test_mistakes_in_such_recipes_are_one_sentence(before: str, after: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reading.parse("two", tomllib.loads(TWO.replace(before, after, 1)))

    assert message in str(caught.value)


def test_what_the_contest_does_not_know_is_not_scored(tmp_path: Path) -> None:
    from demixing.cli.main import main

    path = tmp_path / "two.toml"
    path.write_text(TWO)
    with pytest.raises(ConfigError, match="outputs vocals, instrumental, which is no track"):
        reading.check_contest(reading.load(str(path)))
    for words in (
        ["evaluate", "--recipe", str(path), "--data", str(tmp_path)],
        ["compare", str(path), "mdx_silence", "--data", str(tmp_path)],
        ["fit", str(path), "--data", str(tmp_path)],
    ):
        assert main(words) == 2
