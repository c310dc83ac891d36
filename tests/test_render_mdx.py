"""Rendering songs for MDX, with stand-ins for external programs."""

import json
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli.main import main
from demixing.errors import ConfigError
from demixing.rendering import (
    arrangement,
    corpus,
    fluidsynth,
    mdx,
    midi,
    packages,
    producer,
    scores,
    singing,
    sound,
)

pytestmark = pytest.mark.engine

FRAMES = 400
"""Length of the output of the stand-in for the vocoder: 2 s."""

MMA = """#!{python} -IS
import sys
def event(tick, *data): return bytes([tick >> 7 | 128, tick & 127, *data])
def track(*events):
    body = b"".join(events) + event(0, 255, 47, 0)
    return b"MTrk" + len(body).to_bytes(4, "big") + body
lines = open(sys.argv[3]).read().split("\\n")
bars = sum(line[:1].isdigit() for line in lines)
head = b"".join(event(768, 255, 1, 0) for _ in range(bars)) + event(0, 255, 6, 3) + b"end"
tracks = [track(head)]
for channel, program in ((9, 0), (1, 33), (2, 25)):
    notes = [event(0, 0xC0 | channel, program)]
    notes += [event(96, 0x90 | channel, 38 if channel == 9 else 60, 64) for _ in range(bars)]
    tracks.append(track(*notes))
data = b"MThd" + bytes([0, 0, 0, 6, 0, 1, 0, len(tracks), 0, 192]) + b"".join(tracks)
open(sys.argv[2], "wb").write(data)
"""
"""Four beats per bar; drums, a bass and a guitar."""

FLUIDSYNTH = """#!{python} -IS
import hashlib, sys, wave
score = open(sys.argv[-1], "rb").read()
second = hashlib.shake_128(score).digest(176400)
with wave.open(sys.argv[sys.argv.index("-F") + 1], "wb") as file:
    file.setnchannels(2); file.setsampwidth(2); file.setframerate(44100)
    file.writeframes(second * 4)
"""
"""Noise that depends on the score; shorter than the songs."""


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("{python}", sys.executable), encoding="ascii")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def write_library(unpacked: Path) -> None:
    for number in range(30):
        path = unpacked / f"mma/usr/share/mma/lib/stdlib/style{number}.mma"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ("", "Sus", "Intro", "End4")
        lines = [f"  DefGroove Style{number}{name}  Some words" for name in names]
        path.write_text("\n".join(["// DefGroove Not", *lines]), encoding="ascii")


def write_kit(path: Path, clip: bytes) -> None:
    """A drum kit of Hydrogen: two layers of a kick, an older snare, a hat, and a missing file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "hit.ogg").write_bytes(clip)
    layer = "<layer><filename>hit.ogg</filename><min>{}</min><max>{}</max><gain>1</gain></layer>"
    instruments = {
        "Kick": layer.format(0, 0.5) + layer.format(0.5, 1),
        "Snare": "<filename>hit.ogg</filename>",
        "Closed HH": layer.format(0, 1),
        "Tom Hi": "<filename>gone.ogg</filename>",
    }
    listed = "".join(
        f"<instrument><name>{name}</name><volume>0.5</volume>{what}</instrument>"
        for name, what in instruments.items()
    )
    text = f'<drumkit_info xmlns="urn:x"><instrumentList>{listed}</instrumentList></drumkit_info>'
    path.write_text(text, encoding="utf-8")


def score() -> midi.Midi:
    """Twenty bars of drums, a bass and a piano, in C major, at 120 beats per minute."""
    beats = [beat * 192 for beat in range(80)]

    def track(channel: int, program: int, *keys: int) -> midi.Track:
        def note(tick: int, kind: str, key: int, velocity: int) -> midi.Event:
            message = mido.Message(kind, channel=channel, note=key, velocity=velocity)
            return midi.Event(tick, message)

        events = [midi.program(channel, program)]
        for tick in beats:
            events += [note(tick, "note_on", key, 90) for key in keys]
            events += [note(tick + 90, "note_off", key, 0) for key in keys]
        return midi.Track(tuple(events))

    end = midi.Event(80 * 192, mido.MetaMessage("end_of_track"))
    head = midi.Track((midi.tempo(0, 500_000), end))
    return midi.Midi(192, (head, track(9, 0, 36, 42), track(1, 33, 36), track(2, 0, 60, 64, 67)))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages with all files of the splits, almost without content."""
    scratch = tmp_path_factory.mktemp("unpacked")
    folder = scratch / "packages"
    write_library(folder)
    rng = np.random.default_rng(2023)
    soundfile.write(scratch / "clip.ogg", 0.1 * rng.standard_normal(22_050), 22_050)
    clip = (scratch / "clip.ogg").read_bytes()
    for split in packages.SPLITS.values():
        for source in (font.source for font in split.fonts):
            path = folder / source.package / source.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for source in (*split.singers, *split.more_singers):
            for number in range(4):
                name = source.path.replace("**", "x").replace("*.*", f"{number}.ogg")
                path = folder / source.package / name.replace("*", f"w{number}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(clip)
        for source in split.kits:
            write_kit(folder / source.package / source.path.replace("*", "SomeKit"), clip)
        for source in split.strums:
            for chord in ("Cmajor_00", "Cmajor_UP_00", "Aminor_00", "Aminor_UP_00"):
                path = folder / source.package / source.path.replace("/*.", f"/{chord}.")
                path = Path(str(path).replace("*Strums", "SomeStrums"))
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, np.sin(np.arange(20_000) / 20), 96_000)
        for source in split.scores:
            path = folder / source.package / source.path.replace("*", "tune")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(midi.encode(score()))
    return folder


def vocoder() -> ModuleType:
    """A stand-in for pyworld."""
    world = ModuleType("pyworld")

    def synthesize(pitch_hz: NDArray[np.float64], *_: object) -> NDArray[np.float64]:
        return 0.1 * np.sin(np.cumsum(np.repeat(pitch_hz, 220)) / 7000)

    stand_ins = {
        "dio": lambda *_, **__: (np.full(FRAMES, 150.0), np.arange(FRAMES) / 200),
        "stonemask": lambda _, pitch_hz, *__: pitch_hz,
        "cheaptrick": lambda *_: np.ones((FRAMES, 1025)),
        "d4c": lambda *_: np.zeros((FRAMES, 1025)),
        "synthesize": synthesize,
    }
    for name, function in stand_ins.items():
        setattr(world, name, function)
    return world


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of stand-ins for mma and fluidsynth; pyworld is replaced as well."""
    scratch = tmp_path_factory.mktemp("programs")
    write_program(scratch / "bin/mma", MMA)
    write_program(scratch / "bin/fluidsynth", FLUIDSYNTH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(scratch / "bin"))
        patch.setitem(sys.modules, "pyworld", vocoder())
        patch.setattr(tempfile, "tempdir", str(scratch))
        yield scratch / "bin"


def render(
    unpacked: Path,
    output: Path,
    songs: int,
    *,
    split: str = "valid",
    seed: int = 3,
    generation: int | None = None,
) -> list[Path]:
    return [*corpus.render(mdx.songs(split, 5, seed, unpacked, generation), output, songs)]


@pytest.fixture(scope="module")
def whole(programs: Path, unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs, rendered together; they must not be changed."""
    folder = tmp_path_factory.mktemp("whole")
    render(unpacked, folder, 2)
    return folder


@pytest.fixture(scope="module")
def produced(programs: Path, unpacked: Path) -> list[corpus.Piece]:
    """Four songs of the second generation."""
    maker = mdx.songs("train", 5, 3, unpacked)
    return [maker.make(number) for number in range(4)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.process
@pytest.mark.usefixtures("programs")
class TestSongs:
    def test_stems_are_cd_audio_whose_sum_does_not_clip(self, whole: Path) -> None:
        stems = {path.stem: path for path in (whole / "song_000").glob("*.flac")}

        audio = np.array([soundfile.read(path)[0] for path in stems.values()])
        assert set(stems) == {"bass", "drums", "other", "vocals"}
        assert audio.shape == (4, 5 * 44_100, 2)
        assert {(i.samplerate, i.subtype) for i in map(soundfile.info, stems.values())} == {
            (44_100, "PCM_16")
        }
        assert np.square(audio).mean(axis=(1, 2)).min() > 1e-4
        assert 0.1 < np.abs(audio.sum(axis=0)).max() < 0.96

    def test_another_seed_gives_other_songs(
        self, unpacked: Path, whole: Path, tmp_path: Path
    ) -> None:
        render(unpacked, tmp_path, 1, seed=4)

        for stem in mdx.STEMS:
            path = f"song_000/{stem}.flac"
            assert contents(whole)[path] != contents(tmp_path)[path]

    def test_a_longer_run_continues_a_shorter_one_with_the_same_bytes(
        self, unpacked: Path, whole: Path, tmp_path: Path
    ) -> None:
        render(unpacked, tmp_path / "steps", 1)
        first = contents(tmp_path / "steps")
        times = [path.stat().st_mtime_ns for path in (tmp_path / "steps/song_000").iterdir()]
        render(unpacked, tmp_path / "steps", 2)

        kept = {name: first[name] for name in first if name.startswith("song_")}
        assert kept.items() < contents(tmp_path / "steps").items()
        assert contents(tmp_path / "steps") == contents(whole)
        assert times == [p.stat().st_mtime_ns for p in (tmp_path / "steps/song_000").iterdir()]

    @pytest.mark.parametrize("split", packages.SPLITS)
    def test_sources_are_listed_and_belong_to_the_split(
        self, unpacked: Path, tmp_path: Path, split: str
    ) -> None:
        (folder,) = render(unpacked, tmp_path, 1, split=split, generation=1)

        described = json.loads((folder / corpus.SOURCES).read_text())
        library, groove = described["groove"].split(":")
        style = f"{library}/{groove.removesuffix('Sus').lower()}"
        allowed = packages.SPLITS[split]
        known = {font.source.package for font in allowed.fonts}
        known |= {singer.package for singer in allowed.singers}
        assert described["split"] == split
        assert packages.is_held_out(style) == (split == "valid")
        assert {"mma"} < set(described["packages"]) <= {"mma", *known}
        assert len(described["files"]) >= 2

    def test_a_stem_that_is_left_out_is_digital_silence(
        self, unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mdx, "SILENT_ONE_IN", 1)

        (folder,) = render(unpacked, tmp_path / "out", 1)

        silent = json.loads((folder / corpus.SOURCES).read_text())["silent"]
        loud = {s: soundfile.read(folder / f"{s}.flac")[0].any() for s in mdx.STEMS}
        assert silent in {"vocals", "drums", "bass"}
        assert loud == {stem: stem != silent for stem in mdx.STEMS}

    def test_songs_of_another_job_are_not_mixed_in(self, unpacked: Path, whole: Path) -> None:
        before = contents(whole)

        with pytest.raises(ConfigError, match=r"'seed': 4.* found song_000 .*'seed': 3"):
            render(unpacked, whole, 1, seed=4)

        assert contents(whole) == before

    def test_the_command_prints_the_folders(
        self, unpacked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        words = f"render mdx --split train --songs 1 --seconds 5 --packages {unpacked} --out {out}"

        status = main(words.split())

        assert status == 0
        assert capsys.readouterr().out == f"{out / 'song_000'}\n"


@pytest.mark.usefixtures("programs")
class TestSecondGeneration:
    def test_it_is_the_default_for_training_only(self, unpacked: Path) -> None:
        usual = {split: mdx.songs(split, 5, 3, unpacked).generation for split in packages.SPLITS}

        assert usual == {"train": 2, "valid": 1}

    @pytest.mark.process
    def test_songs_of_all_kinds_have_all_stems_and_list_their_sources(
        self, produced: list[corpus.Piece]
    ) -> None:
        split = packages.SPLITS["train"]
        allowed = {font.source.package for font in split.fonts} | {"mma"}
        for sources in (split.singers, split.more_singers, split.kits, split.strums, split.scores):
            allowed |= {source.package for source in sources}

        for song in produced:
            assert sorted(song.stems) == sorted(mdx.STEMS)
            loud = [stem for stem in mdx.STEMS if song.stems[stem].any()]
            assert set(mdx.STEMS) - set(loud) == {song.sources["silent"]} - {None}
            assert np.abs(np.sum([*song.stems.values()], axis=0)).max() <= 0.951
            assert set(song.sources["packages"]) <= allowed
            assert song.sources["generation"] == 2
        described = {m.split()[0] for song in produced for m in song.sources["methods"]["drums"]}
        assert len(described & {"font", "kit", "electronic"}) > 1

    @pytest.mark.process
    def test_validation_has_only_its_own_sources(self, unpacked: Path) -> None:
        maker = mdx.songs("valid", 5, 3, unpacked, generation=2)

        used = {
            package for number in range(2) for package in maker.make(number).sources["packages"]
        }

        split = packages.SPLITS["valid"]
        fonts = {font.source.package for font in split.fonts}
        assert used <= {"mma", *fonts, *(singer.package for singer in split.singers)}

    @pytest.mark.process
    def test_a_song_is_the_same_each_time_it_is_made(
        self, unpacked: Path, produced: list[corpus.Piece]
    ) -> None:
        again = mdx.songs("train", 5, 3, unpacked).make(3)

        assert again.sources == produced[3].sources
        for stem in mdx.STEMS:
            assert np.array_equal(again.stems[stem], produced[3].stems[stem])

    def test_only_the_requested_songs_are_tracker_songs(
        self, unpacked: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(producer, "make", lambda *_: ({}, {"score": "a band's"}))
        monkeypatch.setattr(
            producer, "make_of_tracker_song", lambda *_: ({}, {"score": "a module's"})
        )
        maker = mdx.songs("train", 5, 3, unpacked, tracker_share=0.25)

        scores = [maker.make(number).sources["score"] for number in range(100)]

        assert 10 < scores.count("a module's") < 40
        with pytest.raises(ConfigError, match="only for training songs"):
            mdx.songs("valid", 5, 3, unpacked, tracker_share=0.25)

    def test_a_song_by_people_has_all_stems(self, unpacked: Path, rng: np.random.Generator) -> None:
        files = packages.find(unpacked, packages.SPLITS["train"].scores[0])

        path, song = scores.draw(rng, files, 5.0)

        assert path.name == "tune.mid"
        assert {stem: len(song.group(stem)) for stem in ("drums", "bass", "other")} == {
            "drums": 1,
            "bass": 1,
            "other": 1,
        }
        assert {(chord.root - song.chords[0].root) % 12 for chord in song.chords} == {0}
        assert not song.chords[0].minor
        assert 1.7 < song.bar_s < 2.3


class TestSplits:
    def test_no_soundfont_or_voice_is_in_two(self) -> None:
        train, valid = (
            {font.source for font in split.fonts} | set(split.singers)
            for split in (packages.SPLITS["train"], packages.SPLITS["valid"])
        )

        assert train
        assert valid
        assert not {source.package for source in train} & {source.package for source in valid}

    def test_every_groove_file_is_in_one_split(self, tmp_path: Path) -> None:
        write_library(tmp_path)

        train, valid = (
            packages.grooves(tmp_path, packages.SPLITS[name]) for name in ("train", "valid")
        )

        assert sorted([*train, *valid]) == sorted(
            (f"stdlib:Style{number}", f"stdlib:Style{number}Sus") for number in range(30)
        )
        assert 2 <= len(valid) <= 10

    def test_the_held_out_grooves_do_not_depend_on_the_machine(self) -> None:
        names = ["stdlib/folk", "casio/poprock2", "casio/soulpop", "stdlib/desert"]

        assert [packages.is_held_out(name) for name in names] == [True, True, False, False]


class TestWhatIsMissing:
    def test_a_missing_package_is_named(self, tmp_path: Path) -> None:
        source = packages.Source("some-soundfont", "usr/share/no/such.sf2")

        with pytest.raises(ConfigError, match=r"package some-soundfont .* no usr/share/no/such"):
            packages.find(tmp_path, source)

    @pytest.mark.parametrize("name", ["mma", "fluidsynth"])
    @pytest.mark.process
    def test_a_missing_program_is_named(
        self,
        programs: Path,
        unpacked: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        for program in programs.iterdir():
            if program.name != name:
                (tmp_path / program.name).symlink_to(program)

        with pytest.raises(ConfigError, match=f"apt-get install {name}"):
            render(unpacked, tmp_path / "out", 1)

        assert not (tmp_path / "out").exists()

    def test_a_missing_vocoder_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyworld", None)

        with pytest.raises(ConfigError, match=r"-r demixing/training/requirements\.txt"):
            singing.vocoder()

    @pytest.mark.process
    def test_a_program_that_fails_is_quoted(self, tmp_path: Path) -> None:
        write_program(tmp_path / "fluidsynth", "#!/bin/sh\necho no such font >&2\nexit 1\n")
        song = midi.Midi(192, (midi.Track(()),))

        with pytest.raises(ConfigError, match="no such font"):
            fluidsynth.play(str(tmp_path / "fluidsynth"), tmp_path / "a.sf2", song, 9, tmp_path)

    @pytest.mark.process
    def test_the_message_of_mma_is_quoted_if_it_always_fails(
        self, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_program(tmp_path / "bin/mma", "#!/bin/sh\necho ERROR: bad groove\n")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(arrangement, "TRIES", 2)

        with pytest.raises(ConfigError, match=r"'a:B', but it printed: ERROR: bad groove"):
            arrangement.draw(rng, [["a:B"]], 5.0, tmp_path)


@pytest.mark.parametrize(
    "spoilt",
    [["--songs", "0"], ["--seconds", "4"], ["--seconds", "nan"], ["--seed", "-1"], ["--jobs", "0"]],
)
def test_numbers_out_of_range_are_reported_in_one_sentence(
    spoilt: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["render", "mdx", "--split", "valid", "--songs", "1", "--out", str(tmp_path / "out")]

    status = main([*words, *spoilt])

    assert status == 2
    assert capsys.readouterr().err.startswith("error: expected --songs and --jobs of more than 0, ")


@pytest.fixture
def drummer() -> midi.Track:
    name = midi.Event(0, mido.MetaMessage("track_name", name="Drum"))
    bank = midi.control(9, midi.BANK_FINE, 0)
    hit = midi.Event(70_000, mido.Message("note_on", channel=9, note=38, velocity=100))
    end = midi.Event(70_000, mido.MetaMessage("end_of_track"))
    return midi.Track((name, bank, midi.program(9, 8), hit, end))


class TestMidi:
    def test_a_written_score_is_read_back(self, drummer: midi.Track) -> None:
        end = midi.Event(0, mido.MetaMessage("end_of_track"))
        song = midi.Midi(192, (drummer, midi.Track((end,))))

        assert midi.decode(midi.encode(song)) == song

    def test_a_running_status_is_read(self) -> None:
        body = bytes([0, 0x91, 60, 64, 5, 60, 0, 0, 0xFF, 0x2F, 0])
        data = b"MThd" + bytes([0, 0, 0, 6, 0, 1, 0, 1, 0, 96, *b"MTrk", 0, 0, 0, len(body)])

        (track,) = midi.decode(data + body).tracks

        assert [(event.tick, event.kind, event.channel) for event in track.events] == [
            (0, "note_on", 1),
            (5, "note_on", 1),
            (5, "end_of_track", None),
        ]

    def test_a_kit_outside_the_drum_bank_gets_another_channel(self, drummer: midi.Track) -> None:
        moved = fluidsynth.drum_track(drummer, 0, 3)

        assert (moved.name, moved.channel, moved.program) == ("Drum", 0, 3)
        assert moved.events[-2].tick == 70_000
        assert moved.events[-2].message.bytes() == [0x90, 38, 100]
        assert sum(event.kind == "program_change" for event in moved.events) == 1

    def test_a_kit_of_the_drum_bank_stays(self, drummer: midi.Track) -> None:
        moved = fluidsynth.drum_track(drummer, 128, 25)

        assert (moved.channel, moved.program) == (midi.DRUM_CHANNEL, 25)

    def test_other_files_than_midi_are_refused(self) -> None:
        with pytest.raises(ValueError, match="expected a MIDI file"):
            midi.decode(b"RIFF")

    def test_a_file_that_ends_early_is_refused(self, drummer: midi.Track) -> None:
        with pytest.raises(ValueError, match="got a damaged one"):
            midi.decode(midi.encode(midi.Midi(192, (drummer,)))[:-5])

    def test_data_bytes_out_of_range_are_read_as_the_largest(self) -> None:
        body = bytes([0, 0x91, 60, 200, 0, 0xFF, 0x2F, 0])
        data = b"MThd" + bytes([0, 0, 0, 6, 0, 1, 0, 1, 0, 96, *b"MTrk", 0, 0, 0, len(body)])

        (track,) = midi.decode(data + body).tracks

        assert track.events[0].message.velocity == 127


class TestSound:
    def test_silence_stays_silence(self, rng: np.random.Generator) -> None:
        stems = {stem: np.zeros((2, 44_100)) for stem in mdx.STEMS}
        stems["other"] = rng.standard_normal((2, 44_100))

        mixed = mdx._mixed(rng, stems)

        assert {stem: bool(audio.any()) for stem, audio in mixed.items()} == {
            stem: stem == "other" for stem in mdx.STEMS
        }

    def test_the_compressor_only_attenuates_the_loud_part(self) -> None:
        audio = np.ones((2, 2 * 44_100))
        audio[:, :44_100] *= 0.2

        result = sound.compressed(audio, above_db=0.0, ratio=2.0)

        assert np.allclose(result[:, 5000:40_000], 0.2)
        assert 0.7 < result[0, -5000] < 0.95

    def test_the_compressor_handles_silence_after_a_very_loud_part(
        self, rng: np.random.Generator
    ) -> None:
        audio = 100 * rng.standard_normal((2, 44_100))
        audio[:, 22_050:] = 0

        assert np.isfinite(sound.compressed(audio, above_db=0.0, ratio=2.0)).all()

    def test_panning_keeps_the_power(self, rng: np.random.Generator) -> None:
        voice = rng.standard_normal(1000)

        left, right = sound.placed(voice, -0.5)

        assert np.allclose(left**2 + right**2, voice**2)
        assert np.square(left).sum() > np.square(right).sum()

    def test_reverberation_follows_the_sound_and_decays(self, rng: np.random.Generator) -> None:
        click = np.zeros((2, 44_100))
        click[:, 100] = 1

        room = sound.reverberated(click, rng, decay_s=0.5, wet=0.3) - click

        energy = np.square(room).sum(axis=0)
        assert np.allclose(room[:, :320], 0)
        assert energy.sum() == pytest.approx(2 * 0.09, rel=0.2)
        assert energy[:11_000].sum() > 100 * energy[11_000:].sum()
        assert not np.allclose(room[0], room[1])


def test_chords_are_of_one_key_or_borrowed_from_its_minor(rng: np.random.Generator) -> None:
    for _ in range(20):
        chords = arrangement.draw_chords(rng, 16)

        roots = {(chord.root - chords[0].root) % 12 for chord in chords}
        assert len(chords) == 16
        assert any(
            {(root + shift) % 12 for root in roots} <= {0, 2, 3, 4, 5, 7, 8, 9, 10}
            for shift in range(12)
        )


@pytest.mark.process
def test_without_mido_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['mido'] = None\n"
        "from demixing.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["render", "mdx", "--split", "valid", "--songs", "1", "--out", str(tmp_path / "out")]

    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "expected the package mido" in done.stderr
    assert "pip install -r demixing/training/requirements.txt" in done.stderr
