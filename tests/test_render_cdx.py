"""Clips are drawn from recordings of one split, at levels of films, and reproducibly."""

import functools
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.errors import ConfigError, OutputError
from demixing.rendering import cdx, corpus
from demixing.rendering.film import clips as film_clips
from demixing.rendering.film.audio import RATE_HZ, STEMS, Audio, active_level_db, write_stems
from demixing.rendering.film.clips import Drawn, Stock, draw_clip, fill_stock
from demixing.rendering.film.files import Recording, find
from demixing.rendering.film.sources import SPLITS, Source

CLIP_S = 3.0
SAMPLES = round(CLIP_S * RATE_HZ)
SOURCES = {
    "dialog": (Source("talk", "**/*.wav"),),
    "effect": (Source("noise", "*.pk3", "voice"), Source("noise", "*.wav")),
    "music": (Source("tune", "*.wav"),),
}


Draw = Callable[[Stock, float, int, int], Drawn]


@pytest.fixture(scope="module")
def drawn() -> Draw:
    """As draw_clip, but cached, so the result must not be changed."""
    return functools.cache(draw_clip)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three packages: tones with pauses, noises in a folder and in an archive, a stereo tone."""
    folder, rng = tmp_path_factory.mktemp("packages"), np.random.default_rng(2023)

    def write(name: str, audio: Audio, rate_hz: int = RATE_HZ) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.2 * audio + 0.05, rate_hz)  # the offset must be removed
        return path

    for voice in ("anna/1", "anna/2", "berta/1"):
        tone = np.sin(np.arange(11_025) / 3)
        write(f"talk/{voice}.wav", np.concatenate([0 * tone, tone, 0 * tone]), 22_050)
    write("noise/wind.wav", rng.standard_normal(5 * RATE_HZ))
    hit = write("hit.wav", rng.standard_normal(RATE_HZ // 4))
    with zipfile.ZipFile(folder / "noise" / "all.pk3", "w") as archive:
        archive.write(hit, "sound/hit.wav")
        archive.write(hit, "sound/voice.wav")
    write("tune/song.wav", np.sin(np.outer(np.arange(8 * RATE_HZ), [0.05, 0.07])))
    return folder


@pytest.fixture(scope="module")
def stock(unpacked: Path) -> Stock:
    return fill_stock(unpacked, SOURCES)


def test_recordings_are_sorted_by_their_use(stock: Stock) -> None:
    assert [len(folder) for folder in stock.voices[0]] == [2, 1]
    assert [bed.path.name for shelf in stock.beds for bed in shelf] == ["wind.wav"]
    assert [event.member for shelf in stock.events for event in shelf] == ["sound/hit.wav"]
    assert [tune.path.name for shelf in stock.music for tune in shelf] == ["song.wav"]


@pytest.mark.parametrize("index", range(3))
def test_a_clip_has_three_wide_stems_without_offset_or_clipping(
    drawn: Draw, stock: Stock, index: int
) -> None:
    stems = drawn(stock, CLIP_S, 1, index).audio

    assert stems.shape == (3, 2, SAMPLES)
    assert np.abs(stems).max() <= film_clips.PEAK_LIMIT
    assert np.abs(stems.sum(axis=0)).max() <= film_clips.PEAK_LIMIT
    assert np.abs(stems.mean(axis=2)).max() < 1e-3
    assert not np.array_equal(stems[1, 0], stems[1, 1])
    levels_db = [active_level_db(stem) for stem in stems]
    assert levels_db == pytest.approx([-20, -24, -27], abs=film_clips.SPREAD_DB + 1.5)


def test_the_seed_decides_the_clip(drawn: Draw, stock: Stock) -> None:
    first = drawn(stock, CLIP_S, 1, 0).audio

    assert np.array_equal(draw_clip(stock, CLIP_S, 1, 0).audio, first)
    assert not np.array_equal(drawn(stock, CLIP_S, 2, 0).audio, first)
    assert not np.array_equal(drawn(stock, CLIP_S, 1, 1).audio, first)


def test_each_stem_is_silent_in_turn(drawn: Draw, stock: Stock) -> None:
    silent = {
        index: [not stem.any() for stem in drawn(stock, CLIP_S, 1, index).audio]
        for index in (6, 7, 15, 23)
    }

    assert silent == {
        6: [False, False, False],
        7: [True, False, False],
        15: [False, True, False],
        23: [False, False, True],
    }


def test_files_contain_the_drawn_clip(drawn: Draw, stock: Stock, tmp_path: Path) -> None:
    stems = drawn(stock, CLIP_S, 1, 0).audio

    write_stems(tmp_path, stems)

    for name, stem in zip(("dialog", "effect", "music"), stems, strict=True):
        audio, rate_hz = soundfile.read(tmp_path / f"{name}.flac")
        assert rate_hz == RATE_HZ
        np.testing.assert_allclose(audio.T, stem, rtol=0, atol=2**-15)


@pytest.fixture
def maker(stock: Stock, unpacked: Path) -> cdx.Clips:
    """Renders clips for validation."""
    return cdx.Clips(split="valid", duration_s=CLIP_S, seed=1, packages=unpacked, stock=stock)


def test_clips_are_not_added_to_songs_whose_licences_their_manifest_would_leave_out(
    maker: cdx.Clips, tmp_path: Path
) -> None:
    (tmp_path / "song_000").mkdir()
    (tmp_path / "song_000" / corpus.SOURCES).write_text("{}")

    with pytest.raises(ConfigError, match=r"one of clips, but .* has songs; choose another --out"):
        list(corpus.render(maker, tmp_path, 1))


def test_damaged_sources_are_named(
    drawn: Draw, maker: cdx.Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdx, "draw_clip", drawn)
    (tmp_path / "clip_007").mkdir()
    (tmp_path / "clip_007" / corpus.SOURCES).write_text("{")

    with pytest.raises(ConfigError, match=r"clip_007/sources.json', but it is damaged; remove"):
        list(corpus.render(maker, tmp_path, 1))


def test_a_worker_that_died_is_one_sentence(
    maker: cdx.Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def died(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(corpus, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    monkeypatch.setattr(corpus, "_render_one", died)

    with pytest.raises(OutputError, match="a worker died, probably because it ran out of memory"):
        list(corpus.render(maker, tmp_path, 2, jobs=2))


def test_sources_of_a_clip_are_listed_without_those_of_a_silent_stem(
    drawn: Draw, maker: cdx.Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdx, "draw_clip", drawn)

    full, without_dialog = maker.make(0), maker.make(7)

    assert tuple(full.stems) == STEMS
    assert full.sources["packages"] == ["noise", "talk", "tune"]
    assert {"wind.wav", "song.wav"} <= set(full.sources["files"])
    assert without_dialog.sources["packages"] == ["noise", "tune"]
    assert (full.sources["silent"], without_dialog.sources["silent"]) == (None, "dialog")


def test_silence_at_the_ends_of_a_line_is_cut_off(unpacked: Path) -> None:
    audio, rate_hz = Recording(unpacked / "talk" / "anna" / "1.wav").read()

    kept = film_clips.trimmed(audio[:, 0] - 0.05)

    assert rate_hz == 22_050
    assert 11_025 <= len(kept) < 16_000 < len(audio)


def test_an_empty_effect_is_skipped(unpacked: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros((0, 1)), RATE_HZ)
    bed = Recording(unpacked / "noise" / "wind.wav")
    events = ((Recording(empty), bed),)
    rng = np.random.default_rng(3)

    effect = film_clips.draw_effect(((bed,),), events, 30 * RATE_HZ, rng)

    assert empty not in {recording.path for recording in effect.recordings}
    assert np.isfinite(effect.audio).all()


def test_silence_in_a_tune_is_skipped(tmp_path: Path) -> None:
    wave = 0.1 * np.sin(np.arange(8 * RATE_HZ) / 20)
    wave[: 5 * RATE_HZ] = 0
    soundfile.write(tmp_path / "song.wav", np.stack([wave, wave], axis=1), RATE_HZ)
    shelf = ((Recording(tmp_path / "song.wav"),),)

    levels_db = [
        active_level_db(film_clips.draw_music(shelf, SAMPLES, np.random.default_rng(seed)).audio)
        for seed in range(6)
    ]

    assert min(levels_db) > -60
    assert active_level_db(np.zeros((2, 99))) == -np.inf


def test_a_part_of_a_recording_is_read(unpacked: Path) -> None:
    (recording,) = find(unpacked / "tune", "*.wav")

    part, rate_hz = recording.read(1.0, 1.5)

    assert recording.duration_s() == 8.0
    assert part.shape == (rate_hz // 2, 2)


def test_a_package_that_is_missing_is_named(unpacked: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"Debian package absent in .*; unpack it with `dpkg-deb -x FILE"
    ):
        Source("absent", "*.ogg").recordings(unpacked)


def test_no_recording_is_in_two_splits() -> None:
    def of(split: str) -> set[tuple[str, str]]:
        return {
            (source.package, source.files)
            for sources in SPLITS[split].values()
            for source in sources
        }

    assert set(SPLITS) == {"train", "valid", "test"}
    assert not of("train") & of("valid")
    assert not of("train") & of("test")
    assert not of("valid") & of("test")


def test_every_stem_has_sources_in_every_split() -> None:
    for split in SPLITS.values():
        assert {stem: bool(sources) for stem, sources in split.items()} == {
            "dialog": True,
            "effect": True,
            "music": True,
        }
