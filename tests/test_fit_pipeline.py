"""Results that the fit computes from a song's Gram matrix match those of the pipeline."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.ensemble.leak import Leak
from demixing.evaluation.songs import Song, find_songs
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.separator import Chunking
from demixing.training.fitting import consistency, measured
from demixing.training.fitting.blending import Method, sdr_db
from demixing.training.fitting.estimates import disputes_of, estimates, leak_filtered
from demixing.training.fitting.fits import Fits
from demixing.training.fitting.measured import edges_of, of_song, products_of
from demixing.training.fitting.report import disputes, leak_gains, total_db
from demixing.training.fitting.song_gram import MIXTURE, SongGram, signal_name

pytestmark = pytest.mark.engine

RATE_HZ = 44_100
STEMS = ("dialog", "effect", "music")


@dataclass
class Side:
    """Estimates most of one channel and little of the other for every stem."""

    channel: int
    chunking: Chunking = Chunking(chunk=20_000, hop=16_000)
    stems: tuple[str, ...] = ("part",)
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        part = 0.1 * chunks
        part[:, self.channel] = 0.8 * chunks[:, self.channel]
        return part[:, None]


@pytest.fixture(autouse=True)
def sides(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(name: str, options: dict[str, Any]) -> Side:
        return Side(options["channel"])

    monkeypatch.setattr(separators, "build", build)
    monkeypatch.setattr(separators, "required_weights", lambda name, options: ())


@pytest.fixture
def songs(tmp_path: Path) -> list[Song]:
    """Five clips of half a second: dialog is left, effects are right, music is soft."""
    for number in range(5):
        rng = np.random.default_rng(number)
        folder = tmp_path / "data" / f"clip_{number}"
        folder.mkdir(parents=True)
        for stem, sides in {"dialog": [1, 0.2], "effect": [0.2, 1], "music": [0.1, 0.3]}.items():
            gain = 0.1 * rng.uniform(0.5, 2.0)
            audio = gain * rng.standard_normal((RATE_HZ // 2, 2)) * sides
            soundfile.write(folder / f"{stem}.wav", audio, RATE_HZ, subtype="FLOAT")
    return find_songs(tmp_path / "data", "cdx")


def doubtful(*, least: float = 0.0, most: float = 2.0) -> Recipe:
    """Two members that hardly agree; the second has a doubt."""
    outputs = {stem: ["part"] for stem in STEMS}
    members = [
        {"name": name, "separator": "x", "outputs": outputs, "options": {"channel": channel}}
        for channel, name in enumerate(("first", "second"))
    ]
    members.insert(
        1,
        {
            "name": "third",
            "separator": "x",
            "outputs": {"effect": ["part"]},
            "options": {"channel": 1},
        },
    )
    members[-1]["doubt"] = {"stem": "dialog", "least": least, "most": most}
    table = {"track": "cdx", "summary": "For tests.", "members": members}
    return reading.parse("test", table)


def methods(*ridges: float) -> dict[str, Method]:
    return dict.fromkeys(STEMS, Method(ridges=ridges or Method().ridges))


def separated(chosen: Recipe, song: Song) -> dict[str, np.ndarray[Any, Any]]:
    true = [soundfile.read(song.stems[stem], dtype="float32")[0].T for stem in STEMS]
    blocks = [torch.from_numpy(np.sum(true, axis=0))]
    stems = torch.cat(list(Demixer(chosen).stream(blocks, RATE_HZ)), dim=-1)
    result = {f"ours {stem}": one.numpy() for stem, one in zip(STEMS, stems, strict=True)}
    return result | dict(zip(STEMS, true, strict=True)) | {MIXTURE: blocks[0].numpy()}


@pytest.mark.parametrize("most", [1e-6, 1.0, 2.0])
def test_the_pipeline_has_the_scores_of_the_fit(songs: list[Song], most: float) -> None:
    plain = doubtful(most=most)
    grams = [of_song(song, Demixer(plain), None) for song in songs]

    blends = Fits(plain, grams, methods(1e-3)).blends()
    fitted = dataclasses.replace(plain, blends=tuple(blends), consistency={"music": 0.5})

    doubt = fitted.members[-1].doubt
    assert doubt is not None
    believed = [doubt.trust(disputes_of(fitted, one)["second"]) for one in grams]
    assert all(one == 0 if most < 0.1 else 0 < one < 1 for one in believed)
    assert len(disputes(fitted, grams)) == len(songs)
    for song, one in zip(songs, grams, strict=True):
        signals = separated(fitted, song)
        ours = SongGram(tuple(signals), products_of(dict(signals), RATE_HZ), song="", folder="")
        for stem, estimate in estimates(fitted, one).items():
            measured_db = sdr_db(ours, stem, {f"ours {stem}": 1.0})
            assert sdr_db(one, stem, estimate) == pytest.approx(measured_db, abs=1e-3)


def test_a_doubted_member_is_added_to_the_weighted_others(songs: list[Song]) -> None:
    plain = doubtful(least=5.0, most=6.0)
    grams = [of_song(song, Demixer(plain), None) for song in songs]

    fits = Fits(plain, grams, methods(1e-3))
    fitted = dataclasses.replace(plain, blends=tuple(fits.blends()))

    others = fitted.blend("effect", ["first", "third"])
    whole = fitted.blend("effect", ["first", "third", "second"])
    ratio = whole.weights["first"] / others.weights["first"]
    assert whole.weights["third"] == pytest.approx(ratio * others.weights["third"])
    assert whole.mixture == pytest.approx(ratio * others.mixture)
    assert fits.sdr_db("effect", ["first", "third", "second"]) == whole.sdr_db
    # With nothing but its prior, it has the weight 1.
    alone = Fits(plain, grams, methods(1e6)).blend("dialog", ["first", "second"])
    assert alone.weights == {"first": pytest.approx(0, abs=1e-3), "second": pytest.approx(1)}


def test_songs_in_which_a_member_is_not_trusted_do_not_affect_its_weight(songs: list[Song]) -> None:
    plain = doubtful(least=0.1, most=0.1001)
    grams = [of_song(song, Demixer(plain), None) for song in songs]
    fits = Fits(plain, grams, methods(1e-3))
    fitted = dataclasses.replace(plain, blends=tuple(fits.blends()))

    assert all(", trusted to 0.000: " in line for line in disputes(fitted, grams))
    # It has no songs to learn from and no weight, so the score is that of the others.
    assert fits.blend("dialog", ["first", "second"]).weights == {"first": 0.0, "second": 1.0}
    assert fits.sdr_db("dialog", ["first", "second"]) == pytest.approx(
        fits.sdr_db("dialog", ["first"])
    )


def test_bands_add_up_to_the_whole_song() -> None:
    rng = np.random.default_rng(0)
    signals = {name: rng.standard_normal((2, 10_007)).astype(np.float32) for name in "ab"}
    flat = np.stack([signal.reshape(-1) for signal in signals.values()]).astype(np.float64)

    products = products_of(dict(signals), RATE_HZ)

    assert products.shape == (40, 2, 2)
    np.testing.assert_allclose(products.sum(axis=0), flat @ flat.T, rtol=1e-5, atol=0.1)


def test_a_tone_is_in_the_same_band_as_in_the_leakage_filter() -> None:
    seconds = np.arange(RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)[None]
    edges = edges_of(RATE_HZ // 2 + 1, RATE_HZ)

    energies = products_of({"tone": tone}, RATE_HZ)[:, 0, 0]

    band = int(energies.argmax())
    assert energies[band] > 0.99 * energies.sum()
    assert edges[band] <= 1000 < edges[band + 1]


def leaky(gain: float) -> SongGram:
    """Two bands; in the first one, the estimate of music is only a part of the loud dialog."""
    rng = np.random.default_rng(0)
    dialog, music, effect = (
        rng.standard_normal((3, 2, 4000)) * np.array([1.0, 0.5, 0.5])[:, None, None]
    )
    dialog[1], music[0] = 0.0, 0.0
    rows = {
        signal_name("a", "dialog"): dialog * (1 - gain),
        signal_name("a", "effect"): effect,
        signal_name("a", "music"): music + gain * dialog,
        MIXTURE: dialog + music + effect,
        **{"dialog": dialog, "effect": effect, "music": music},
    }
    signals = np.stack(list(rows.values()), axis=1)
    return SongGram(tuple(rows), signals @ signals.mT, song="song", folder="one")


def test_leaks_are_removed_band_by_band_and_returned() -> None:
    song = leaky(0.1)
    stems = {stem: {signal_name("a", stem): 1.0} for stem in STEMS}
    leak = Leak(of="dialog", into="music", power=0.01, returned=True)

    filtered = leak_filtered(stems, [leak], song)

    assert sdr_db(song, "music", filtered["music"]) > sdr_db(song, "music", stems["music"]) + 10
    assert sdr_db(song, "dialog", filtered["dialog"]) > sdr_db(song, "dialog", stems["dialog"]) + 10
    # Two leaks that claim everything share it; no more than everything is removed.
    greedy = [leak, dataclasses.replace(leak, power=0.5, returned=False)]
    assert song.energies(leak_filtered(stems, greedy, song)["music"])[0] == pytest.approx(
        0, abs=1e-9
    )
    assert filtered["effect"] == stems["effect"]


def test_a_leak_is_in_the_report_and_considered_by_the_consistency() -> None:
    songs = [dataclasses.replace(leaky(gain), song=str(gain)) for gain in (0.08, 0.1, 0.12)]
    member = {"name": "a", "separator": "x", "outputs": {stem: ["part"] for stem in STEMS}}
    member["options"] = {"channel": 0}
    leaks = [{"of": "dialog", "into": "music", "power": 0.01, "returned": True}]
    table = {"track": "cdx", "summary": "For tests.", "members": [member], "leaks": leaks}
    leaky_recipe = reading.parse("test", table)
    without = dataclasses.replace(leaky_recipe, leaks=())

    (line,) = leak_gains(leaky_recipe, songs)

    label, gain = line.rsplit(maxsplit=1)
    totals = [
        total_db({song.fold: one for song in songs}, songs) for one in (leaky_recipe, without)
    ]
    assert label == "gain of the leak dialog -> music"
    assert float(gain) == pytest.approx(totals[0] - totals[1], abs=1e-3)
    assert float(gain) > 1
    assert consistency.fit(leaky_recipe, songs) == {}


def test_a_cache_of_another_layout_is_not_read(
    songs: list[Song], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demixer = Demixer(doubtful())
    first = of_song(songs[0], demixer, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()

    again = of_song(songs[0], demixer, tmp_path / "cache")
    monkeypatch.setattr(measured, "LAYOUT", "another")
    of_song(songs[0], demixer, tmp_path / "cache")

    np.testing.assert_array_equal(first.products, again.products)
    assert first.signals == again.signals
    assert kept.is_file()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_measurements_of_other_weights_of_the_same_name_are_not_read(
    songs: list[Song], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = tmp_path / "weights", tmp_path / "cache"
    monkeypatch.setenv("DEMIX_WEIGHTS", str(folder))
    monkeypatch.setattr(separators, "required_weights", lambda name, options: ["mine"])
    folder.mkdir()
    demixer = Demixer(doubtful())

    def measured_with(contents: bytes) -> int:
        (folder / "mine.toml").write_text(ENTRY.format(sha256=hashlib.sha256(contents).hexdigest()))
        of_song(songs[0], demixer, cache)
        return len(list(cache.iterdir()))

    assert [measured_with(one) for one in (b"first", b"first", b"again")] == [1, 1, 2]


ENTRY = """
[mine]
network = "trainable.band_split"
file = "mine.safetensors"
format = "safetensors"
sha256 = "{sha256}"
licence = "MIT"
code_licence = "MIT"
trained_on = ["my songs"]
stems = ["part"]
sample_rate_hz = 44100
source = "trained here"
published = "not measured"
"""

LEAKING = {"leaks": (Leak(of="dialog", into="music", power=0.1, returned=True),)}
SHARING = {"consistency": {"music": 0.8}, "consistency_above_hz": 1500.0}


@pytest.mark.parametrize(
    "finish", [LEAKING, SHARING, LEAKING | SHARING], ids=["leaks", "shares", ""]
)
@pytest.mark.parametrize("most", [1e-6, 6.0], ids=["doubted", "believed"])
def test_the_pipeline_finishes_stems_like_the_fit(
    songs: list[Song], finish: dict[str, Any], most: float
) -> None:
    chosen = dataclasses.replace(doubtful(least=most / 2, most=most), **finish)
    one = of_song(songs[0], Demixer(chosen), None)
    signals = separated(chosen, songs[0])
    ours = SongGram(tuple(signals), products_of(dict(signals), RATE_HZ), song="", folder="")

    for stem, estimate in estimates(chosen, one).items():
        measured_db = sdr_db(ours, stem, {f"ours {stem}": 1.0})
        assert sdr_db(one, stem, estimate) == pytest.approx(measured_db, abs=0.05)


def test_only_the_first_of_two_stems_is_scored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for stem in ("vocals", "other"):
        soundfile.write(tmp_path / f"{stem}.wav", 0.1 * rng.standard_normal((9000, 1)), RATE_HZ)
    outputs = {stem: ["part"] for stem in ("bass", "drums", "other", "vocals")}
    member = {"name": "a", "separator": "x", "outputs": outputs, "options": {"channel": 0}}
    chosen = reading.parse("test", {"track": "mdx", "summary": "", "members": [member]})
    files = {stem: tmp_path / f"{stem}.wav" for stem in ("vocals", "other")}

    pair = of_song(Song("pair", tmp_path, files, ()), Demixer(chosen), None)
    alone = of_song(Song("alone", tmp_path, {"other": files["other"]}, ()), Demixer(chosen), None)

    assert [stem for stem in outputs if pair.knows(stem)] == ["vocals"]
    assert not pair.silent("vocals")
    assert [stem for stem in outputs if alone.silent(stem)] == ["bass", "drums", "vocals"]
    assert pair.energy({MIXTURE: 1.0}) > 1.5 * alone.energy({MIXTURE: 1.0})
