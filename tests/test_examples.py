"""Examples only depend on (seed, epoch, index)."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from demixing.errors import ConfigError
from demixing.training.augmentations import Only, build
from demixing.training.augmentations.gain import Gain
from demixing.training.augmentations.remix import Remix
from demixing.training.data.song_table import Spans
from demixing.training.data.songs import Song
from demixing.training.examples import Examples, weighted
from demixing.training.sampler import Sampler

RATE_HZ = 1000
STEMS = ("drums", "bass", "vocals")


def fake_song(name: str, active: Mapping[str, Spans], seconds: int = 30) -> Song:
    """A song without files; ``active`` says where a stem is active."""
    return Song(
        name=name,
        stems={stem: (Path(f"{stem}.wav"),) for stem in active},
        samples=seconds * RATE_HZ,
        rate_hz=RATE_HZ,
        active=active,
    )


SONGS = (
    fake_song("a", {"drums": ((0, 30),), "bass": ((3, 5), (9, 10)), "vocals": ((20, 21),)}),
    fake_song("b", {"drums": ((1, 3),), "bass": ((10, 20),), "vocals": ()}),
    fake_song("c", {"vocals": ((7, 9),)}),
)


def fake_read(song: Song, stem: str, start: int, samples: int) -> Tensor:
    """Samples with their own positions as values, and 0 where the stem is silent."""
    places = torch.arange(start, start + samples)
    seconds = [second for span in song.active[stem] for second in range(*span)]
    audible = torch.isin(places // song.rate_hz, torch.tensor(seconds, dtype=torch.int64))
    audible &= places < song.samples
    where = 1 + SONGS.index(song) + places / song.samples
    return (audible * where).float().repeat(2, 1) * torch.tensor([[1.0], [0.5]])


def examples(**options: object) -> Examples:
    chain = tuple(build(name) for name in ("remix", "gain", "swap_channels", "flip_polarity"))
    given = {
        "songs": SONGS,
        "read": fake_read,
        "stems": STEMS,
        "samples": 2500,
        "rate_hz": RATE_HZ,
        "examples_per_epoch": 5,
        "augmentations": chain,
        **options,
    }
    return Examples(**given)  # type: ignore[arg-type]


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_makes_the_same_examples(workers: int) -> None:
    made = examples(seed=3)
    alone = [made.example(position // 5, position % 5) for position in range(12)]

    loader = DataLoader(made, batch_size=3, sampler=range(12), num_workers=workers)
    together = torch.cat(list(loader))

    assert torch.equal(together, torch.stack(alone))
    assert together.shape == (12, 3, 2, 2500)
    assert together.dtype == torch.float32


def test_a_resumed_run_continues_where_it_stopped() -> None:
    whole = list(DataLoader(examples(), batch_size=2, sampler=range(8)))
    rest = list(DataLoader(examples(), batch_size=2, sampler=range(4, 8)))

    assert all(torch.equal(a, b) for a, b in zip(whole[2:], rest, strict=True))


def test_several_processes_share_the_batches_of_one() -> None:
    alone = list(DataLoader(examples(), batch_size=4, sampler=range(3, 11)))
    ranks = [
        list(DataLoader(examples(), batch_size=2, sampler=range(3 + rank, 11, 2)))
        for rank in range(2)
    ]

    for batch, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(batch, torch.stack(parts, dim=1).flatten(0, 1))


def test_seeds_epochs_and_indices_differ() -> None:
    made = [examples(seed=seed).example(e, i) for seed in (0, 1) for e in (0, 1) for i in (0, 1)]

    assert not any(torch.equal(a, b) for n, a in enumerate(made) for b in made[:n])


def test_every_example_is_active() -> None:
    plain = examples(augmentations=())
    remixed = examples(augmentations=(Remix(probability=1.0),))

    assert all(plain[position].any() for position in range(40))
    assert all(remixed[position].any(dim=2).any(dim=1).all() for position in range(40))


def test_excerpts_can_be_silent_on_request() -> None:
    anywhere = examples(augmentations=(Remix(probability=1.0),), active_only=False)

    assert not all(anywhere[position].any(dim=2).any(dim=1).all() for position in range(40))


def test_without_augmentations_the_stems_of_a_song_stay_together() -> None:
    plain = examples(augmentations=())

    for position in range(20):
        left = plain[position][:, 0]
        for values in left.T:
            audible = values[values != 0]
            assert torch.equal(audible, audible[:1].expand_as(audible)), "stems come from one place"


def test_remixed_stems_come_from_several_songs() -> None:
    remixed = examples(augmentations=(Remix(probability=1.0),))
    songs = [remixed[position][:, 0].amax(dim=1).int().tolist() for position in range(30)]

    assert any(len(set(found)) > 1 for found in songs)
    assert {found[2] for found in songs} == {1, 3}, "a song without vocals gives none"


def test_a_song_shorter_than_an_example_is_followed_by_silence() -> None:
    long = examples(samples=40 * RATE_HZ)

    assert long[0].shape == (3, 2, 40 * RATE_HZ)
    assert not long[0][..., 30 * RATE_HZ :].any()


def test_weights_decide_how_often_a_song_is_drawn(rng: np.random.Generator) -> None:
    sampler = Sampler(SONGS, ("vocals",), (1, 5, 3))

    drawn = [sampler.excerpt(rng, "vocals", 100).song for _ in range(400)]

    assert drawn.count(1) == 0
    assert drawn.count(2) == pytest.approx(300, abs=30)


def test_groups_of_songs_get_their_shares() -> None:
    short = fake_song("d", {"drums": ((1, 2),)}, seconds=10)

    songs, weights = weighted([(1, SONGS[:1]), (3, (SONGS[1], short))])

    assert songs == (SONGS[0], SONGS[1], short)
    assert weights == pytest.approx((1, 2.25, 0.75))


class Doubled:
    """Plays twice as fast, so it needs twice as many samples."""

    def needs(self, samples: int) -> int:
        return 2 * samples

    def draw(self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int) -> None:
        return None

    def apply(self, stems: Tensor, drawn: None) -> Tensor:
        result = torch.zeros_like(stems)
        result[..., : stems.shape[-1] // 2] = stems[..., ::2]
        return result


def test_an_augmentation_that_needs_more_samples_gets_them() -> None:
    fast = examples(augmentations=(Remix(probability=1.0), Doubled()), samples=20)

    assert fast[0].shape == (3, 2, 20)
    assert fast[0][..., -1].all()


def test_an_augmentation_can_act_on_some_stems_only() -> None:
    louder = Gain(low_db=20, high_db=20)
    plain = examples(augmentations=())[0]

    changed = examples(augmentations=(Only(("vocals", "drums"), louder),))[0]

    torch.testing.assert_close(changed, plain * torch.tensor([10.0, 1.0, 10.0])[:, None, None])


def test_a_choice_can_act_on_some_stems_only(rng: np.random.Generator) -> None:
    plain = examples(augmentations=()).excerpts(np.random.default_rng(1))

    changed = examples(augmentations=(Only(("bass",), Remix(probability=1.0)),)).excerpts(
        np.random.default_rng(1)
    )

    assert changed["drums"] == plain["drums"]
    assert changed["bass"] != plain["bass"]


def test_examples_can_be_sent_to_another_process() -> None:
    made = examples()

    assert torch.equal(pickle.loads(pickle.dumps(made))[4], made[4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be 1 or above, got 0"),
        ({"seed": -1}, "seed must be 0 or above"),
        ({"rate_hz": 44_100}, "expected songs of 44100 Hz, got 'a' of 1000"),
        ({"songs": ()}, "expected songs to train on, got none"),
        ({"stems": ("drums", "flute")}, "at least one song in which 'flute' is active"),
        ({"weights": (1, 2)}, "a finite weight of 0 or above for each of 3 songs"),
        ({"weights": (0, 0, 1)}, "at least one song in which 'drums' is active"),
        ({"augmentations": (Only(("vocal",), Gain()),)}, "no stem 'vocal' in this run; did you"),
    ],
)
def test_unusable_songs_are_reported_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        examples(**options)
