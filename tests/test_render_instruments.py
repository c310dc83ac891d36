"""The instruments of rendered songs that are not soundfonts."""

from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from demixing.errors import ConfigError
from demixing.rendering import (
    drums,
    effects,
    electronic,
    kits,
    midi,
    oscillator,
    scores,
    sound,
    strums,
    tracker,
)
from demixing.rendering.arrangement import Arrangement, Chord, stem_of
from demixing.rendering.drums import Kit, Layer
from demixing.rendering.notes import Clock, Note, notes
from demixing.rendering.sound import RATE_HZ, Audio

SAMPLES = 2 * RATE_HZ


def pitch_hz(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio.mean(axis=0) * np.hanning(audio.shape[1])))
    return float(np.argmax(spectrum) * RATE_HZ / audio.shape[1])


def tone(hz: float = 441.0, samples: int = SAMPLES) -> Audio:
    wave = 0.1 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE_HZ)
    return np.stack([wave, wave])


@pytest.fixture
def score() -> midi.Midi:
    """A beat per second, and four times as fast from the fourth beat on."""
    head = (midi.tempo(0, 1_000_000), midi.tempo(400, 250_000))
    played = [(0, 0x92, 60, 127), (100, 0x82, 60, 0), (200, 0x92, 64, 64), (600, 0x92, 64, 0)]
    track = midi.Track(
        tuple(midi.Event(tick, mido.Message.from_bytes(data)) for tick, *data in played)
    )
    return midi.Midi(100, (midi.Track(head), track))


class TestNotes:
    def test_changes_of_tempo_count(self, score: midi.Midi) -> None:
        found = notes(score, [score.tracks[1]])

        assert [(note.start_s, note.key, note.length_s) for note in found] == [
            (0, 60, 1.0),
            (2, 64, pytest.approx(2 + 2 * 0.25)),
        ]
        assert found[0].loudness == 1.0
        assert Clock(score).beat_s(500) == 0.25

    def test_a_score_without_tempo_has_120_beats_a_minute(self) -> None:
        silent = midi.Midi(96, (midi.Track(()),))

        assert Clock(silent).seconds(96) == 0.5


class TestDrums:
    def test_a_loud_note_uses_the_loud_layer(self, rng: np.random.Generator) -> None:
        soft, loud = Layer(tone(200, 4410), 0, 0.5), Layer(tone(2000, 4410), 0.5, 1)
        kit = Kit({"kick": (soft, loud)})

        audio = [
            drums.play(rng, kit, [Note(0.5, 36, 0.1, loudness)], SAMPLES) for loudness in (0.3, 0.9)
        ]

        assert [pitch_hz(hit) for hit in audio] == pytest.approx([200, 2000], rel=0.05)
        assert not audio[0][:, : RATE_HZ // 2].any()

    def test_a_missing_part_is_replaced_or_left_out(self) -> None:
        kit = Kit({"kick": (Layer(tone()),), "closed_hat": (Layer(tone()),)})

        assert [kit.part(key) for key in (35, 46, 38, 81)] == ["kick", "closed_hat", None, None]

    def test_closing_a_hat_ends_the_open_one(self, rng: np.random.Generator) -> None:
        kit = Kit({"open_hat": (Layer(tone()),), "closed_hat": (Layer(tone(441, 100)),)})
        played = [Note(0, 46, 1, 1.0), Note(0.5, 42, 1, 1.0)]

        ended = drums.play(rng, kit, played, SAMPLES)
        rung = drums.play(rng, kit, played[:1], SAMPLES)

        assert rung[:, RATE_HZ:].any()
        assert not ended[:, RATE_HZ:].any()

    def test_computed_kits_are_complete_and_different(self) -> None:
        first, second = (electronic.draw(np.random.default_rng(seed)) for seed in (1, 2))

        assert set(drums.NEEDED) <= set(first.parts)
        for part, (layer,) in first.parts.items():
            assert np.isfinite(layer.audio).all()
            assert 0.1 < np.abs(layer.audio).max() <= 1.0
            assert not np.array_equal(layer.audio, second.parts[part][0].audio)

    def test_a_kick_is_low_and_a_hat_is_high(self, rng: np.random.Generator) -> None:
        kit = electronic.draw(rng)

        centres = []
        for part in ("kick", "closed_hat"):
            power = np.abs(np.fft.rfft(kit.parts[part][0].audio[0], SAMPLES)) ** 2
            centres.append((power * np.arange(len(power)) / 2).sum() / power.sum())
        assert centres[0] < 800 < 4000 < centres[1]

    def test_few_kicks_ring(self) -> None:
        lengths = [electronic.kick(np.random.default_rng(seed)).shape[-1] for seed in range(200)]

        ringing = np.mean(np.array(lengths) > 0.5 * RATE_HZ)
        assert 0.01 < ringing < 0.2


class TestKits:
    @pytest.mark.parametrize(
        ("name", "part"),
        [
            ("BassDrum", "kick"),
            ("c3 - bass drum 1", "kick"),
            ("Kick (Tama Superstar 22in)", "kick"),
            ("Snare Rimshot (Pearl)", "rim"),
            ("Snare Roll", None),
            ("Hi Hat Opened", "open_hat"),
            ("Closed HH 3", "closed_hat"),
            ("Pedal HH", "pedal_hat"),
            ("Floor Tom", "low_tom"),
            ("Pearl Tom 1", "high_tom"),
            ("Tom Mid", "mid_tom"),
            ("Cowbell", "cowbell"),
            ("Ride Bell", "bell"),
            ("Zap 1", None),
        ],
    )
    def test_parts_are_recognised_by_their_names(self, name: str, part: str | None) -> None:
        assert kits.part_of(name) == part


class TestOscillator:
    @pytest.mark.parametrize("wave", oscillator.WAVES)
    def test_a_note_has_its_pitch(self, rng: np.random.Generator, wave: str) -> None:
        patch = oscillator.Patch(wave=wave)

        audio = oscillator.play(rng, patch, [Note(0, 57, 2, 1.0)], SAMPLES)

        assert pitch_hz(audio) == pytest.approx(220, abs=1)
        assert 0.1 < np.abs(audio).max() < 2

    def test_a_filter_removes_high_frequencies(self, rng: np.random.Generator) -> None:
        bright = oscillator.Patch(wave="saw", cutoff_hz=9000, closed_hz=9000)
        dark = oscillator.Patch(wave="saw", cutoff_hz=300, closed_hz=300)

        high = [
            np.abs(np.fft.rfft(oscillator.play(rng, patch, [Note(0, 45, 2, 1)], SAMPLES)[0]))
            for patch in (bright, dark)
        ]

        assert high[0][4000:].max() > 30 * high[1][4000:].max()

    def test_a_bass_is_never_below_the_range_of_loudspeakers(
        self, rng: np.random.Generator
    ) -> None:
        patch = oscillator.Patch(wave="sine", octave=-1)

        audio = oscillator.play(rng, patch, [Note(0, 28, 2, 1.0)], SAMPLES, lowest=26)

        assert pitch_hz(audio) == pytest.approx(41.2, abs=1)

    def test_drawn_patches_can_be_played(self) -> None:
        for seed in range(12):
            rng = np.random.default_rng(seed)
            for patch in (oscillator.bass(rng), oscillator.lead(rng)):
                audio = oscillator.play(rng, patch, [Note(0.1, 50, 0.2, 0.5)], RATE_HZ)
                assert np.isfinite(audio).all()
                assert audio.any()


class TestEffects:
    def test_distortion_adds_harmonics_and_keeps_the_level(self, rng: np.random.Generator) -> None:
        clean = tone(441)

        driven = effects.distorted(clean, rng, 20.0)

        spectrum = np.abs(np.fft.rfft(driven[0]))
        assert spectrum[3 * 882] > 0.05 * spectrum[882]
        assert np.std(driven) == pytest.approx(np.std(clean), rel=0.1)
        assert not effects.distorted(np.zeros((2, 99)), rng, 20.0).any()

    def test_takes_differ_between_left_and_right(self, rng: np.random.Generator) -> None:
        noise = rng.standard_normal(SAMPLES)

        left, right = effects.doubled(np.stack([noise, noise]), rng)

        assert abs(np.corrcoef(left, right)[0, 1]) < 0.5
        assert np.std(left) == pytest.approx(1, rel=0.3)

    def test_each_kick_ducks_and_releases(self) -> None:
        ducked = effects.ducked(np.ones((2, SAMPLES)), [0.5, 1.0], 12.0, 0.2)[0]

        assert np.allclose(ducked[: int(0.49 * RATE_HZ)], 1)
        assert ducked[int(0.51 * RATE_HZ)] < 0.4
        assert ducked[int(0.9 * RATE_HZ)] == pytest.approx(1)
        assert ducked[int(1.01 * RATE_HZ)] < 0.4

    def test_glue_keeps_the_mixture_equal_to_the_sum(self, rng: np.random.Generator) -> None:
        stems = {name: rng.standard_normal((2, SAMPLES)) for name in "ab"}
        stems["a"][:, :RATE_HZ] *= 0.1

        glued = effects.glued(stems, 0.0, 3.0)

        gains = {name: glued[name] / stems[name] for name in stems}
        np.testing.assert_allclose(gains["a"], gains["b"], rtol=1e-6)
        assert gains["a"].min() < 0.99

    def test_inaudible_low_frequencies_are_removed(self) -> None:
        low = tone(60.0)

        clean = sound.high_pass(low + 0.1, sound.HIGH_PASS_HZ)

        assert abs(clean.mean()) < 1e-3
        late = slice(SAMPLES // 2, None)
        assert np.std(clean[:, late]) == pytest.approx(np.std(low[:, late]), rel=0.02)


class TestStrums:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Path]:
        for name in ("Amajor_00", "Amajor_UP_01", "Csharp minor_DOWN_00", "Csharp minor_UP_00"):
            wave = np.sin(2 * np.pi * 440 * np.arange(48_000) / 96_000)
            soundfile.write(tmp_path / f"{name}.flac", np.stack([wave, wave], axis=1), 96_000)
        return sorted([*tmp_path.iterdir(), tmp_path / "Asharp minro7b5_00.flac"])

    def test_chords_are_recognised_by_their_names(self, files: list[Path]) -> None:
        found = {(s.root, s.minor, s.upward) for s in strums.read_names(files)}

        assert found == {(9, False, False), (9, False, True), (1, True, False), (1, True, True)}

    def test_an_unrecorded_chord_is_the_nearest_one_transposed(
        self, files: list[Path], rng: np.random.Generator
    ) -> None:
        song = Arrangement(midi.Midi(1, ()), (Chord(10, False),), 2.0)

        audio, used = strums.play(rng, strums.read_names(files), song, SAMPLES)

        assert {path.name[:6] for path in used} == {"Amajor"}
        assert pitch_hz(audio) == pytest.approx(466.2, rel=0.02)


class TestScores:
    def test_an_excerpt_starts_with_its_instruments(self, score: midi.Midi) -> None:
        track = midi.Track((midi.program(2, 33), *score.tracks[1].events))
        changed = midi.Midi(100, (score.tracks[0], track))

        piece = scores.excerpt(changed, 200, shift=3, faster=2.0)

        found = notes(piece, [piece.tracks[1]])
        assert piece.tracks[1].program == 33
        assert [(note.start_s, note.key) for note in found] == [(0.0, 67)]
        assert found[0].length_s == pytest.approx((2 + 0.5) / 2)

    def test_a_tune_on_a_bass_is_not_a_bass(self, score: midi.Midi) -> None:
        tune = midi.Track((midi.program(2, 33), *score.tracks[1].events))

        changed = scores._with_low_basses(score.only([tune]))

        assert stem_of(tune) == "bass"
        assert stem_of(changed.tracks[1]) == "other"

    def test_the_chord_matches_the_notes(self) -> None:
        played = [Note(0, key, 2.0, 1.0) for key in (45, 60, 64, 69)] + [Note(3, 62, 1.0, 1.0)]

        assert scores.chord_of(played, 0.0, 2.0) == Chord(9, minor=True)


def tracker_module() -> bytes:
    """Four channels, one pattern: a square wave in three pitches, and a click in one."""
    square = bytes([40] * 16 + [216] * 16)
    samples = {0: (square, 16), 1: (bytes([100, 156] * 8), 0)}
    head = b"tune".ljust(20, b"\0")
    for number in range(31):
        wave, loop = samples.get(number, (b"", 0))
        words = (len(wave) // 2).to_bytes(2, "big"), (loop or 1).to_bytes(2, "big")
        head += bytes(22) + words[0] + bytes([0, 64]) + bytes(2) + words[1]
    head += bytes([1, 127]) + bytes(128) + b"M.K."
    rows = bytearray(1024)
    for row in range(0, 64, 4):
        period = (428, 339, 285)[row // 4 % 3]
        rows[16 * row : 16 * row + 4] = bytes([period >> 8, period & 255, 0x10, 0])
        rows[16 * row + 4 : 16 * row + 8] = bytes([428 >> 8, 428 & 255, 0x20, 0])
    return head + bytes(rows) + b"".join(wave for wave, _ in samples.values())


class TestTrackerSongs:
    @pytest.fixture
    def song(self) -> Iterator[tracker.TrackerSong]:
        try:
            song = tracker.TrackerSong(tracker_module())
        except ConfigError:
            pytest.skip("libopenmpt is not installed")
        yield song
        song.close()

    def test_instruments_sum_to_the_song(self, song: tracker.TrackerSong) -> None:
        alone = [song.play(0.5, SAMPLES, only=number) for number in (0, 1)]

        assert song.instruments == 31
        assert song.pitches()[:3] == [3, 1, 0]
        assert all(audio.any() for audio in alone)
        np.testing.assert_allclose(sum(alone), song.play(0.5, SAMPLES), atol=1e-4)

    def test_a_missing_library_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tracker, "LIBRARY", "libabsent.so.0")

        with pytest.raises(ConfigError, match="apt-get install libopenmpt0"):
            tracker.library()

    def test_noise_is_a_drum_and_a_low_tone_a_bass(self, rng: np.random.Generator) -> None:
        clicks = np.zeros((2, SAMPLES))
        clicks[:, :: RATE_HZ // 2] = 0.5
        timbres = {
            "noise": tracker.timbre_of(rng.standard_normal((2, SAMPLES))),
            "low": tracker.timbre_of(tone(80)),
            "high": tracker.timbre_of(tone(800)),
            "clicks": tracker.timbre_of(clicks),
        }

        assert {name: timbre.stem(pitches=4) for name, timbre in timbres.items()} == {
            "noise": "drums",
            "low": "bass",
            "high": "other",
            "clicks": "drums",
        }

    def test_a_short_sound_of_one_pitch_is_a_drum(self) -> None:
        kick = tracker.Timbre(low=0.95, flatness=0.001, held=0.1)

        assert [kick.stem(pitches) for pitches in (1, 8)] == ["drums", "bass"]

    def test_chords_are_found_for_the_singer(self) -> None:
        minor = sum(tone(hz) for hz in (220.0, 261.6, 329.6))

        assert tracker.chords_of(np.asarray(minor)) == (Chord(9, minor=True),)
