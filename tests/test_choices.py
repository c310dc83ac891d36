"""Choices act on excerpts, before audio is read."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from demixing.errors import ConfigError
from demixing.training import augmentations, chain
from demixing.training.augmentations import Augmentation, Choice, Only, build
from demixing.training.augmentations.mixup import Mixup
from demixing.training.augmentations.remix import Remix
from demixing.training.augmentations.silence import Silence
from demixing.training.data import songs
from demixing.training.data.songs import Song
from demixing.training.examples import Examples
from demixing.training.sampler import Excerpt, Excerpts, Sampler

RATE_HZ = 1000
STEMS = ("dialog", "effect", "music")
SAMPLER = Sampler(
    [
        Song(
            name=str(number),
            stems={stem: (Path(f"{stem}.wav"),) for stem in STEMS},
            samples=20 * RATE_HZ,
            rate_hz=RATE_HZ,
            active=dict.fromkeys(STEMS, ((2, 9), (12, 20))),
        )
        for number in range(6)
    ],
    STEMS,
)
CHOICES = [
    name for name in augmentations.names() if isinstance(build(name, {"probability": 1.0}), Choice)
]
every_choice = pytest.mark.parametrize("name", CHOICES)


def together() -> Excerpts:
    return SAMPLER.together(np.random.default_rng(3), 4000)


def choice(name: str, probability: float = 1.0) -> Choice:
    built = build(name, {"probability": probability})
    assert isinstance(built, Choice)
    return built


def test_all_choices_are_tested() -> None:
    assert CHOICES == ["mixup", "remix", "silence"]


@every_choice
def test_excerpts_are_of_the_same_stems_and_within_their_songs(name: str) -> None:
    for seed in range(20):
        excerpts = choice(name).choose(np.random.default_rng(seed), together(), SAMPLER, 4000)

        assert list(excerpts) == list(STEMS)
        for excerpt in (excerpt for some in excerpts.values() for excerpt in some):
            assert 0 <= excerpt.song < len(SAMPLER)
            assert 0 <= excerpt.start <= 16 * RATE_HZ


@every_choice
def test_only_the_generator_decides_and_the_input_is_not_modified(name: str) -> None:
    excerpts = together()

    first, second = (
        choice(name).choose(np.random.default_rng(1), excerpts, SAMPLER, 4000) for _ in range(2)
    )

    assert first == second == pickle.loads(pickle.dumps(first))
    assert first != excerpts
    assert excerpts == together()


@every_choice
def test_with_probability_0_nothing_changes(name: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert choice(name, 0.0).choose(rng, together(), SAMPLER, 4000) == together()


def test_a_remix_takes_each_stem_from_another_place(rng: np.random.Generator) -> None:
    remixed = Remix(probability=1.0).choose(rng, together(), SAMPLER, 4000)

    assert all(len(excerpts) == 1 for excerpts in remixed.values())
    assert len({(excerpt.song, excerpt.start) for (excerpt,) in remixed.values()}) == 3


def test_a_mixup_adds_an_excerpt_of_the_same_stem_with_its_gain(rng: np.random.Generator) -> None:
    excerpts = {**together(), "music": ()}

    mixed = Mixup(low_db=-20, high_db=-20, probability=1.0).choose(rng, excerpts, SAMPLER, 4000)

    assert mixed["dialog"][:1] == excerpts["dialog"]
    assert [excerpt.gain for excerpt in mixed["dialog"]] == pytest.approx([1, 0.1])
    assert mixed["music"] == (), "what is silent stays silent"


@given(st.integers(0, 10_000), st.floats(0.5, 1))
def test_silence_never_removes_all_stems(seed: int, probability: float) -> None:
    silence = Silence(probability=probability)

    left = silence.choose(np.random.default_rng(seed), together(), SAMPLER, 4000)

    assert any(left.values())
    assert all(excerpts in ((), together()[stem]) for stem, excerpts in left.items())


@given(st.integers(1, 25_000), st.integers(0, 10_000))
def test_a_drawn_excerpt_is_active(samples: int, seed: int) -> None:
    excerpt = SAMPLER.excerpt(np.random.default_rng(seed), "music", samples)

    assert 0 <= excerpt.start <= max(20 * RATE_HZ - samples, 0)
    first, end = excerpt.start // RATE_HZ, -(-(excerpt.start + samples) // RATE_HZ)  # seconds
    active = SAMPLER[excerpt.song].active["music"]
    assert any(begin < end and first < stop for begin, stop in active)


def test_the_standard_chain_is_built_and_has_all_but_the_slow_augmentations() -> None:
    built = chain.build(chain.STANDARD)

    assert all(isinstance(one, Augmentation | Choice) for one in built)
    named = {str(table["name"]) for table in chain.STANDARD}
    assert set(augmentations.names()) - named == {"codec", "stretch"}


def test_a_chain_is_built_from_tables() -> None:
    assert chain.build([{"name": "remix", "only": ["music"], "probability": 1}]) == (
        Only(("music",), Remix(probability=1.0)),
    )
    with pytest.raises(ConfigError, match="augmentation 2: expected a name, got None"):
        chain.build([{"name": "gain"}, {"low_db": 1}])
    with pytest.raises(ConfigError, match="no augmentation named 'ramix'; did you mean 'remix'"):
        chain.build([{"name": "ramix"}])


@pytest.fixture
def folder(tmp_path: Path, write_song: Callable[..., Path]) -> Path:
    for song in ("a", "b", "c"):
        for stem in STEMS:
            write_song(f"data/{song}/{stem}.wav", samples=90_000, channels=2)
    return tmp_path / "data"


def test_examples_match_the_files(folder: Path, tmp_path: Path) -> None:
    found = songs.index([folder], STEMS, cache=tmp_path / "cache")
    plain = Examples(songs=found, stems=STEMS, samples=40_000, rate_hz=44_100)

    example = plain.example(2, 7)

    excerpts = plain.excerpts(np.random.default_rng([0, 2, 7]))
    for number, stem in enumerate(STEMS):
        (excerpt,) = excerpts[stem]
        path = found[excerpt.song].stems[stem][0]
        expected, _ = soundfile.read(
            path, start=excerpt.start, frames=40_000, dtype="float32", fill_value=0
        )
        assert torch.equal(example[number], torch.from_numpy(expected.T))


@pytest.fixture
def in_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.process
def test_all_augmentations_make_the_same_examples_in_any_threads_and_workers(
    folder: Path, tmp_path: Path, in_threads: Callable[[int], None]
) -> None:
    often = [{"name": name, "probability": 0.5} for name in augmentations.names()]
    made = Examples(
        songs=songs.index([folder], STEMS, cache=tmp_path / "cache"),
        stems=STEMS,
        samples=40_000,
        rate_hz=44_100,
        augmentations=chain.build(often),
    )

    in_threads(1)
    examples = torch.stack([made[position] for position in range(4)])
    in_threads(3)
    again = torch.stack([made[position] for position in range(4)])
    worked = torch.cat(list(DataLoader(made, batch_size=2, sampler=range(4), num_workers=2)))

    assert examples.shape == (4, 3, 2, 40_000)
    assert torch.isfinite(examples).all()
    assert torch.equal(again, examples)
    assert torch.equal(worked, examples)
    assert torch.get_num_threads() == 3, "what was set is set again"


def test_excerpts_can_be_compared() -> None:
    assert Excerpt(3, 100) == Excerpt(song=3, start=100, gain=1.0)
