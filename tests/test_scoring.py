"""Folders of files are scored as defined, or refused with one sentence."""

import dataclasses
import itertools
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation import audio
from demixing.evaluation.audio import Layout, blocks, probe
from demixing.evaluation.metrics.sdr import sdr
from demixing.evaluation.scoring import SongScore, score_folder, score_song
from demixing.evaluation.songs import STEMS, find_songs
from demixing.evaluation.summary import summarise

RATE_HZ = 44_100
MDX = STEMS["mdx"]


def noise(seed: int, samples: int = 600, channels: int = 2) -> NDArray[np.float64]:
    """Noise whose samples a 16-bit file stores exactly."""
    rng = np.random.default_rng(seed)
    return rng.integers(-8000, 8000, (samples, channels)) / 2**15


def write(path: Path, sound: NDArray[np.float64], subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, RATE_HZ, subtype=subtype)


def write_song(folder: Path, seed: int = 0, suffix: str = "wav") -> None:
    for position, stem in enumerate(MDX):
        write(folder / f"{stem}.{suffix}", noise(10 * seed + position))


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Two songs."""
    for seed, name in enumerate(["a", "b"]):
        write_song(tmp_path / "references" / name, seed)
    return tmp_path / "references"


@pytest.fixture
def estimates(tmp_path: Path, references: Path) -> Path:
    """Other noise for the same songs."""
    for seed, song in enumerate(find_songs(references, "mdx"), start=2):
        write_song(tmp_path / "estimates" / song.name, seed)
    return tmp_path / "estimates"


def cut_off(path: Path, lost_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:-lost_bytes])


def test_files_are_scored_like_arrays(references: Path, estimates: Path) -> None:
    scores = score_folder(references, estimates, "mdx")

    assert [score.name for score in scores] == ["a", "b"]
    for score in scores:
        sounds = [
            np.stack([soundfile.read(folder / score.name / f"{stem}.wav")[0] for stem in MDX])
            for folder in (references, estimates)
        ]
        np.testing.assert_allclose(list(score.stems_db.values()), sdr(*sounds), atol=1e-9)
        assert tuple(score.stems_db) == MDX
        assert score.silent == ()
        assert score.layout == Layout(RATE_HZ, 2, 600)
        assert score.mean_db == pytest.approx(np.mean(list(score.stems_db.values())))


def test_flac_is_scored_like_wav(tmp_path: Path, references: Path, estimates: Path) -> None:
    for seed, name in enumerate(["a", "b"], start=2):
        write_song(tmp_path / "flac" / name, seed, "flac")

    scores = score_folder(references, tmp_path / "flac", "mdx")

    assert scores == score_folder(references, estimates, "mdx")


def test_film_sound_is_scored_by_the_names_of_either_data_set(tmp_path: Path) -> None:
    names = {"dialog": "speech", "effect": "sfx", "music": "music"}
    for seed, (stem, dnr_name) in enumerate(names.items()):
        write(tmp_path / "dnr" / "tt" / "7" / f"{dnr_name}.wav", noise(seed, channels=1))
        write(tmp_path / "ours" / "7" / f"7_{stem}.wav", noise(seed, channels=1) / 2)

    (score,) = score_folder(tmp_path / "dnr", tmp_path / "ours", "cdx")

    assert score.stems_db == pytest.approx(dict.fromkeys(names, 20 * math.log10(2)), abs=1e-3)


def test_songs_longer_than_a_block_are_scored_whole(tmp_path: Path) -> None:
    samples = 2 * audio.BLOCK + 1
    true_stem, stem = noise(0, samples), noise(1, samples)
    write(tmp_path / "references" / "long" / "bass.wav", true_stem)
    write(tmp_path / "estimates" / "long" / "bass.wav", stem)
    (reference,), (estimate,) = (
        find_songs(tmp_path / side, "mdx") for side in ("references", "estimates")
    )

    score = score_song(reference, estimate, ["bass"])

    assert score.stems_db["bass"] == pytest.approx(sdr(true_stem[None], stem[None])[0], abs=1e-9)
    assert score.layout.samples == samples


def test_one_sample_is_a_song(tmp_path: Path) -> None:
    for stem in MDX:
        write(tmp_path / "short" / f"{stem}.wav", noise(1, samples=1))

    (score,) = score_folder(tmp_path, tmp_path, "mdx")

    assert score.layout.samples == 1
    assert score.mean_db > 30


def test_a_silent_reference_is_scored_with_the_formula_and_marked(
    references: Path, estimates: Path
) -> None:
    silence = np.zeros((600, 2))
    write(references / "a" / "bass.wav", silence)
    write(references / "a" / "drums.wav", silence)
    write(estimates / "a" / "bass.wav", silence)

    score, other = score_folder(references, estimates, "mdx")

    assert score.stems_db["bass"] == pytest.approx(0.0, abs=1e-12)
    assert score.stems_db["drums"] < -80
    assert score.silent == ("bass", "drums")
    assert score.nearly_silent == ()
    assert (score.levels_dbfs["bass"], score.levels_dbfs["drums"]) == (-math.inf, -math.inf)
    assert other.silent == ()


def test_one_nonzero_sample_is_not_silence(references: Path, estimates: Path) -> None:
    click = np.zeros((600, 2))
    click[-1, 1] = 2**-15
    write(references / "a" / "bass.wav", click)

    (score, _) = score_folder(references, estimates, "mdx")

    assert score.silent == ()
    assert score.nearly_silent == ("bass",)


@pytest.mark.parametrize(("level_dbfs", "nearly"), [(-60.1, ("bass",)), (-59.9, ())])
def test_a_reference_below_60_dbfs_is_nearly_silent(
    references: Path, estimates: Path, level_dbfs: float, nearly: tuple[str, ...]
) -> None:
    half = np.zeros((600, 2))
    half[300:] = 10 ** (level_dbfs / 20) * math.sqrt(2)  # over the whole song, not the active half
    write(references / "a" / "bass.wav", half, "FLOAT")

    (score, _) = score_folder(references, estimates, "mdx")

    assert score.levels_dbfs["bass"] == pytest.approx(level_dbfs, abs=1e-6)
    assert score.nearly_silent == nearly


def test_the_level_is_that_of_the_whole_song(tmp_path: Path) -> None:
    sound = noise(0, 2 * audio.BLOCK + 1)
    write(tmp_path / "long" / "bass.wav", sound)
    (song,) = find_songs(tmp_path, "mdx")

    score = score_song(song, song, ["bass"])

    assert score.levels_dbfs["bass"] == pytest.approx(10 * np.log10(np.square(sound).mean()))


def test_song_names_may_be_any_folder_name(tmp_path: Path) -> None:
    names = ["Ångström, 曲 🎵", "two\nlines", '100 %, "quoted"']
    for name in names:
        write_song(tmp_path / name)

    scores = score_folder(tmp_path, tmp_path, "mdx")

    assert [score.name for score in scores] == sorted(names)


@pytest.mark.parametrize("swapped", [False, True])
def test_both_forms_of_unicode_are_the_same_song(tmp_path: Path, swapped: bool) -> None:
    """A Mac decomposes accented letters; an archive or another system may not."""
    composed, decomposed = "Beyonc\u00e9", "Beyonce\u0301"
    names = (decomposed, composed) if swapped else (composed, decomposed)
    for seed, (side, name) in enumerate(zip(("references", "estimates"), names, strict=True)):
        write_song(tmp_path / side / name, seed)

    for songs in (None, [composed], [decomposed]):
        (score,) = score_folder(tmp_path / "references", tmp_path / "estimates", "mdx", songs)
        assert score.name == names[0]


def test_songs_can_be_chosen(references: Path, estimates: Path) -> None:
    (score,) = score_folder(references, estimates, "mdx", songs=["b", "b"])

    assert score == score_folder(references, estimates, "mdx")[1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["song b"], r"one of 2 reference songs, got 'song b'; the first is 'a'"),
        (["b "], r"got 'b '; did you mean 'b'\?"),
        ([], "at least one song, got none"),
    ],
)
def test_a_choice_of_songs_that_do_not_exist_is_refused(
    references: Path, estimates: Path, names: list[str], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        score_folder(references, estimates, "mdx", songs=names)


def test_songs_without_a_reference_are_ignored(
    references: Path, estimates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = score_folder(references, estimates, "mdx")
    write_song(estimates / "c")

    with caplog.at_level(logging.INFO, logger="demixing"):
        scores = score_folder(references, estimates, "mdx")

    assert scores == expected
    assert "estimates that are not scored: 1 in" in caplog.text


def test_a_missing_song_is_named_and_its_stems_are_counted(
    references: Path, estimates: Path
) -> None:
    (estimates / "b").rename(estimates.parent / "elsewhere")

    message = r"all 8 stems among the estimates, 4 missing, the first 'bass' of song 'b' in '.*/b'"
    with pytest.raises(EvaluationError, match=message):
        score_folder(references, estimates, "mdx")


@pytest.mark.parametrize("side", ["references", "estimates"])
def test_missing_stems_are_named_before_anything_is_read(
    references: Path, estimates: Path, side: str
) -> None:
    folder = {"references": references, "estimates": estimates}[side]
    (folder / "b" / "drums.wav").unlink()
    (folder / "b" / "other.wav").unlink()
    (references / "a" / "bass.wav").write_text("would be an error if it were read")

    message = f"all 8 stems among the {side}, 2 missing, the first 'drums' of song 'b'"
    with pytest.raises(EvaluationError, match=message):
        score_folder(references, estimates, "mdx")


def test_progress_is_reported_after_each_song(references: Path, estimates: Path) -> None:
    steps: list[tuple[int, int, str]] = []

    score_folder(references, estimates, "mdx", progress=lambda *step: steps.append(step))

    assert steps == [(1, 2, "a"), (2, 2, "b")]


# How a file can differ from its partner, and the expected message.
UNLIKE: dict[str, tuple[Callable[[Path], object], str]] = {
    "rate": (
        lambda path: soundfile.write(path, noise(1), 48_000),
        r"expected 44100 Hz, 2 channels, 600 samples .* found 48000 Hz, 2 channels, 600 samples",
    ),
    "mono": (lambda path: write(path, noise(1, channels=1)), r"found 44100 Hz, 1 channel, 600"),
    "short": (lambda path: write(path, noise(1, samples=599)), "2 channels, 599 samples"),
    "long": (lambda path: write(path, noise(1, samples=601)), "2 channels, 601 samples"),
    "empty": (lambda path: write(path, noise(1, samples=0)), "found no samples"),
    "no bytes": (lambda path: path.write_bytes(b""), "'Format not recognised'"),
    "text": (lambda path: path.write_text("vocals"), "'Format not recognised'"),
    "half a header": (lambda path: path.write_bytes(path.read_bytes()[:30]), "No 'data' chunk"),
    "cut off": (lambda path: cut_off(path, 1000), "2400 bytes .* found 1400; the file was cut"),
    "one byte short": (lambda path: cut_off(path, 1), "2400 bytes .* found 2399; the file was"),
    "all cut off": (lambda path: cut_off(path, 2400), "found no samples"),
}


@pytest.mark.parametrize("side", ["references", "estimates"])
@pytest.mark.parametrize(("damage", "message"), UNLIKE.values(), ids=UNLIKE)
def test_a_file_with_another_format_is_refused_by_name(
    references: Path,
    estimates: Path,
    side: str,
    damage: Callable[[Path], object],
    message: str,
) -> None:
    path = {"references": references, "estimates": estimates}[side] / "b" / "vocals.wav"
    damage(path)

    with pytest.raises(EvaluationError, match=message) as caught:
        score_folder(references, estimates, "mdx")

    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_cut_off_at_the_same_place_do_not_compare_well(tmp_path: Path) -> None:
    write_song(tmp_path / "a")
    cut_off(tmp_path / "a" / "vocals.wav", 1000)

    with pytest.raises(EvaluationError, match="the file was cut off"):
        score_folder(tmp_path, tmp_path, "mdx")


def test_a_padding_byte_that_was_never_written_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write(path, noise(1, samples=201, channels=1), "PCM_24")
    with_header = bytearray(path.read_bytes())
    with_header[40:44] = (3 * 201 + 1).to_bytes(4, "little")
    path.write_bytes(with_header[: 44 + 3 * 201])

    assert probe(path).samples == 201


def test_an_unknown_length_from_a_pipe_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write(path, noise(1))
    with_header = bytearray(path.read_bytes())
    with_header[40:44] = b"\xff" * 4
    path.write_bytes(with_header)

    assert probe(path).samples == 600


def test_truncated_flac_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "bass.flac", noise(1, samples=60_000))
    cut_off(tmp_path / "a" / "bass.flac", 50_000)
    (song,) = find_songs(tmp_path, "mdx")

    with pytest.raises(EvaluationError, match=r"bass\.flac', but '.*flac decoder.*'; write it"):
        score_song(song, song, ["bass"])


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bass.wav", noise(1, samples=500))

    with pytest.raises(EvaluationError, match=r"expected 600 samples .* found 500; the file was"):
        list(blocks(tmp_path / "bass.wav", samples=600, block=256))


@pytest.mark.parametrize("side", ["references", "estimates"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_a_sample_that_is_not_finite_is_found(
    references: Path, estimates: Path, side: str, bad: float
) -> None:
    path = {"references": references, "estimates": estimates}[side] / "a" / "other.wav"
    sound = noise(1)
    sound[321:, 1] = bad
    sound[400, 0] = bad
    write(path, sound, subtype="DOUBLE")

    message = rf"expected finite samples in '.*{side}/a/other\.wav', found {bad} at sample 321 of "
    with pytest.raises(EvaluationError, match=message.replace("+", r"\+") + "channel 1"):
        score_folder(references, estimates, "mdx")


def test_the_position_of_a_bad_sample_counts_from_the_start_of_the_song(tmp_path: Path) -> None:
    sound = noise(1)
    sound[500] = math.nan
    write(tmp_path / "bass.wav", sound, subtype="FLOAT")

    with pytest.raises(EvaluationError, match="found nan at sample 500 of channel 0"):
        list(blocks(tmp_path / "bass.wav", samples=600, block=256))


def test_samples_beyond_full_scale_are_scored(tmp_path: Path) -> None:
    write(tmp_path / "references" / "a" / "bass.wav", noise(1), "FLOAT")
    write(tmp_path / "estimates" / "a" / "bass.wav", 2**15 * noise(1), "FLOAT")
    (reference,), (estimate,) = (
        find_songs(tmp_path / side, "mdx") for side in ("references", "estimates")
    )

    score = score_song(reference, estimate, ["bass"])

    assert score.stems_db["bass"] == pytest.approx(-20 * math.log10(2**15 - 1), abs=1e-6)


def song_score(name: str, *stems_db: float) -> SongScore:
    scores_db = dict(zip(MDX, stems_db, strict=True))
    return SongScore(name, scores_db, (), Layout(RATE_HZ, 2, 600), dict.fromkeys(MDX, -20.0))


def test_every_mean_is_plain() -> None:
    scores = [song_score("b", 1, 2, 3, 6), song_score("a", 5, 0, -9, 0)]

    summary = summarise(scores, "mdx")

    assert [song.name for song in summary.songs] == ["a", "b"]
    assert [song.mean_db for song in summary.songs] == [-1, 3]
    assert summary.mean_db == 1
    assert list(summary.stems_db.items()) == [
        ("bass", 3),
        ("drums", 1),
        ("other", -3),
        ("vocals", 3),
    ]


def test_silent_references_count_for_the_leaderboard_and_not_for_active_means() -> None:
    scores = [
        song_score("a", 1, 2, 3, 6),
        song_score("b", 5, 0, -99, 1),
        song_score("c", 12, 1, 3, -7),
    ]
    scores[1] = dataclasses.replace(scores[1], silent=("other",))
    scores[2] = dataclasses.replace(
        scores[2], levels_dbfs={**scores[2].levels_dbfs, "vocals": -60.1}
    )

    summary = summarise(scores, "mdx")

    assert (summary.mean_db, summary.stems_db["other"]) == (-6, -31)
    assert summary.active_mean.stems_db == {"bass": 6, "drums": 1, "other": 3, "vocals": 3.5}
    assert summary.active_mean.song_db == pytest.approx((3 + 2 + 16 / 3) / 3)
    assert summary.active_median.stems_db == {"bass": 5, "drums": 1, "other": 3, "vocals": 3.5}
    assert summary.active_median.song_db == 3


def test_a_stem_that_is_silent_in_all_songs_has_no_active_mean() -> None:
    scores = [dataclasses.replace(song_score("a", 1, 2, 3, -99), silent=("vocals",))]

    summary = summarise(scores, "mdx")

    assert summary.active_mean.stems_db["vocals"] is None
    assert summary.active_mean.song_db == 2
    assert summary.stems_db["vocals"] == -99


def test_the_order_of_songs_and_stems_makes_no_difference() -> None:
    values_db = np.random.default_rng(0).uniform(-100, 20, (4, 4)).tolist()
    scores = [song_score(name, *row) for name, row in zip("abcd", values_db, strict=True)]
    backwards = [
        dataclasses.replace(score, stems_db=dict([*score.stems_db.items()][::-1]))
        for score in scores
    ]

    summaries = [summarise(order, "mdx") for order in itertools.permutations(scores)]

    assert all(summary == summaries[0] for summary in summaries)
    assert summarise(backwards, "mdx") == summaries[0]


def test_no_songs_have_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one song, got none"):
        summarise([], "mdx")


def test_a_song_counts_once() -> None:
    with pytest.raises(ValueError, match="one score per song, got 2 of 1 songs"):
        summarise([song_score("a", 1, 2, 3, 4)] * 2, "mdx")
