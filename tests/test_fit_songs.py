"""Songs in a fit: artists, instrumentals, pairs of stems, training songs of members."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from demixing.errors import ConfigError, EvaluationError
from demixing.evaluation.songs import Song
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.training.fitting.blending import Method, mean_of, sdr_db
from demixing.training.fitting.fit import placed
from demixing.training.fitting.fits import Fits, tidy
from demixing.training.fitting.groups import artist_of, shares_of
from demixing.training.fitting.song_gram import MIXTURE, SongGram, audible, unseen
from demixing.training.fitting.truth import known
from tests.left_out import left_out_db

SIGNALS = ("a/dialog", "b/dialog", MIXTURE, "dialog")


def made(
    seed: int, *, noise: tuple[float, float] = (0.5, 1.0), artist: str | None = None
) -> SongGram:
    """A song whose estimates are the stem with independent noise."""
    rng = np.random.default_rng(seed)
    stem = rng.standard_normal(5000)
    rows = [stem + level * rng.standard_normal(5000) for level in (*noise, 2.0)]
    signals = np.stack([*rows, stem])
    return SongGram(
        SIGNALS, (signals @ signals.T)[None], song=f"song{seed}", folder="one", artist=artist
    )


def two_members() -> Recipe:
    outputs = [("a", ["dialog"]), ("b", ["dialog"]), ("c", ["effect", "music"])]
    members = [
        {"name": name, "separator": "silence", "outputs": {stem: ["x"] for stem in stems}}
        for name, stems in outputs
    ]
    table = {"track": "cdx", "summary": "For tests.", "members": members}
    return reading.parse("test", table)


def fits(songs: list[SongGram], *, ridge: float = 1e-3) -> Fits:
    method = Method(ridges=(ridge,), mixture=False)
    return Fits(two_members(), songs, dict.fromkeys(("dialog", "effect", "music"), method))


@pytest.mark.parametrize(
    ("song", "artist"),
    [
        ("JohnMcKay_DaisyDaisy", "JohnMcKay"),
        ("A Band - A_Song", "A Band"),
        ("5.Rubidium", "some/data"),
        ("_nameless", "some/data"),
    ],
)
def test_the_artist_is_in_the_name_or_is_the_folder(song: str, artist: str) -> None:
    assert artist_of(song, "some/data") == artist


def test_artists_have_equal_weight_and_are_left_out_together() -> None:
    # The estimate that is worse elsewhere is good for the songs of the first artist.
    odd = [made(seed, noise=(2.0, 0.1), artist="odd") for seed in range(3)]
    usual = [made(seed, noise=(0.1, 2.0), artist="usual") for seed in (3, 4)]
    answers, method = ["a/dialog", "b/dialog"], Method(ridges=(1e-6,), mixture=False)

    together = left_out_db([*odd, *usual], "dialog", answers, method)
    alone = left_out_db(
        [placed(song, "song", []) for song in [*odd, *usual]], "dialog", answers, method
    )

    np.testing.assert_allclose(shares_of([*odd, *usual]), [1 / 6] * 3 + [1 / 4] * 2)
    assert max(together) < -4
    assert min(alone[:3]) > 0


def test_stems_without_a_file_are_silent_or_unknown(tmp_path: Path) -> None:
    stems = ("bass", "drums", "other", "vocals")

    def song(*names: str) -> Song:
        return Song("song", tmp_path, {name: tmp_path / f"{name}.wav" for name in names}, ())

    assert known(song("bass", "drums", "other"), stems) == stems
    assert known(song("bass", "vocals"), stems) == stems
    assert known(song("other", "vocals"), stems) == ("vocals",)
    with pytest.raises(EvaluationError, match="a file for one of bass, drums"):
        known(song(), stems)


def test_an_unknown_stem_does_not_count() -> None:
    song = made(0)
    names = ("a/dialog", MIXTURE)
    pair = SongGram(names, song.products[:, [[0], [2]], [0, 2]], song="pair", folder="one")

    assert audible([song, pair], "dialog") == [song]
    assert not pair.knows("dialog")


def test_a_member_does_not_count_where_it_was_trained() -> None:
    songs = [made(seed) for seed in range(6)]
    easy = [made(seed, noise=(0.5, 0.01)) for seed in (6, 7)]
    trained = [("b", "song6"), ("b", "song[78]")]
    everyone = [placed(song, "song", trained) for song in [*songs, *easy]]

    with_b, without = fits(everyone), fits(songs)

    assert [song.song for song in unseen(everyone, ["b"])] == [song.song for song in songs]
    for names in (["b"], ["a", "b"]):
        assert with_b.blend("dialog", names) == without.blend("dialog", names)
        assert with_b.scores_db("dialog", names) == without.scores_db("dialog", names)


def test_scores_of_different_songs_can_be_compared() -> None:
    """All sets are scored as if on all songs, so hard songs are no disadvantage."""
    usual = [made(seed, noise=(0.5, 0.5)) for seed in range(5)]
    hard = [made(seed, noise=(3.0, 3.0)) for seed in (5, 6, 7)]
    everyone = [
        placed(song, "song", [("b", f"song{n}") for n in (5, 6, 7)]) for song in usual + hard
    ]

    scored = fits(everyone, ridge=1e6)

    a = mean_of(everyone, [sdr_db(song, "dialog", {"a/dialog": 1.0}) for song in everyone])
    assert scored.sdr_db("dialog", ["a"]) == pytest.approx(a, abs=1e-3)
    both = scored.scores_db("dialog", ["a", "b"])
    single = scored.scores_db("dialog", ["a"])
    gain = np.mean([both[song.path] - single[song.path] for song in usual])
    assert gain > 2
    assert scored.sdr_db("dialog", ["a", "b"]) == pytest.approx(
        scored.sdr_db("dialog", ["a"]) + gain
    )
    # Alone it is as good as the other, so it must not score as if all songs were easy.
    assert scored.sdr_db("dialog", ["b"]) == pytest.approx(scored.sdr_db("dialog", ["a"]), abs=0.3)


def test_small_weights_vanish_where_the_sum_allows_it() -> None:
    assert tidy({"a": 0.7, "b": 0.004, "c": 0.3}) == {"a": 0.7, "b": 0.0, "c": 0.3}
    several = {"a": 0.7, "b": 0.004, "c": 0.004}
    assert tidy(several) == several


def test_a_member_is_not_judged_on_its_training_songs() -> None:
    """Not even if its estimate there is NaN."""
    songs = [made(seed) for seed in range(4)]
    products = songs[0].products.copy()
    products[:, 1], products[:, :, 1] = np.nan, np.nan
    seen = SongGram(SIGNALS, products, song="seen", folder="one", seen_by=frozenset("b"))

    scored = fits([*songs, seen])

    for names in (["a"], ["b"], ["a", "b"]):
        assert np.isfinite(scored.sdr_db("dialog", names))


def test_a_single_remaining_song_of_an_artist_does_not_count_in_full() -> None:
    many = [made(seed, artist="many") for seed in range(8)]
    odd = made(8, noise=(3.0, 0.01), artist="many")  # b gains the most here
    few = [made(seed, noise=(0.5, 0.5), artist="few") for seed in (9, 10)]
    seen = [dataclasses.replace(song, seen_by=frozenset("b")) for song in many]

    scored = fits([*seen, odd, *few], ridge=1e6)

    gain = scored.sdr_db("dialog", ["a", "b"]) - scored.sdr_db("dialog", ["a"])
    both = scored.scores_db("dialog", ["a", "b"])
    a = scored.scores_db("dialog", ["a"])
    usual = np.mean([both[song.path] - a[song.path] for song in few])
    most = both[odd.path] - a[odd.path]
    assert gain == pytest.approx((9 * usual + most) / 10)


def test_a_doubted_member_does_not_count_towards_the_most_members() -> None:
    def of(count: int, *, doubt: bool) -> Recipe:
        outputs = {stem: ["x"] for stem in ("dialog", "effect", "music")}
        members = [
            {"name": f"m{number}", "separator": "silence", "outputs": outputs}
            for number in range(count)
        ]
        if doubt:
            members[-1]["doubt"] = {"stem": "dialog", "least": 0.4, "most": 0.6}
        return reading.parse("test", {"track": "cdx", "summary": "", "members": members})

    with pytest.raises(ConfigError, match="at most 6 members to give 'dialog' without a doubt t"):
        Fits(of(7, doubt=False), [], {}).check()
    with pytest.raises(ConfigError, match="at least 3 songs in which 'dialog' is not silent, got"):
        Fits(of(7, doubt=True), [], {}).check()
