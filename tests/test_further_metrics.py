"""Several metrics are computed together, averaged over what is defined, and reported by id."""

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli import evaluate_track
from demixing.cli.main import main, parser
from demixing.errors import EvaluationError
from demixing.evaluation import metrics, report, report_json, song_reader
from demixing.evaluation.audio import Layout
from demixing.evaluation.metrics import Format, Metric
from demixing.evaluation.run import Run
from demixing.evaluation.scoring import SongScore, score_folder, score_song
from demixing.evaluation.song_reader import Stems
from demixing.evaluation.songs import STEMS, find_songs
from demixing.evaluation.summary import Averages, Summary, summarise

MDX = STEMS["mdx"]
SI_SDR = metrics.load("si_sdr")


def noise(seed: int, samples: int = 3000) -> NDArray[np.float64]:
    return np.random.default_rng(seed).integers(-8000, 8000, (samples, 2)) / 2**15


def write_song(folder: Path, seed: int, samples: int = 3000) -> None:
    folder.mkdir(parents=True)
    for position, stem in enumerate(MDX):
        soundfile.write(folder / f"{stem}.wav", noise(10 * seed + position, samples), 44_100)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """References and estimates of two songs; in `b`, the vocals are silent."""
    for seed, side in enumerate(("references", "estimates")):
        for song in "ab":
            write_song(tmp_path / side / song, 2 * seed + (song == "b"))
    silence = np.zeros((3000, 2))
    soundfile.write(tmp_path / "references" / "b" / "vocals.wav", silence, 44_100)
    return tmp_path / "references", tmp_path / "estimates"


def test_metrics_of_files_are_those_of_arrays(folders: tuple[Path, Path]) -> None:
    wanted = metrics.expand(["sdr", "si_sdr", "log_wmse", "bleed_full"])

    score, _ = score_folder(*folders, "mdx", further=wanted)

    assert list(score.further) == ["si_sdr", "log_wmse", "bleedless", "fullness"]
    references, estimates = (
        np.stack([soundfile.read(side / "a" / f"{s}.wav", dtype="float32")[0] for s in MDX])
        for side in folders
    )
    for metric in wanted[1:]:
        meter = metric.meter(Format(4, 2, 3000, 44_100))
        for _ in range(meter.passes):
            meter.update(references, estimates)
            meter.end_pass()
        values = meter.values()[metric.name]
        assert score.further[metric.name] == dict(zip(MDX, values, strict=True))


def test_the_official_score_does_not_depend_on_other_metrics(folders: tuple[Path, Path]) -> None:
    with_others = score_folder(*folders, "mdx", further=metrics.expand(["l1_freq"]))

    for one, other in zip(with_others, score_folder(*folders, "mdx"), strict=True):
        assert one.stems_db == other.stems_db
        assert one.levels_dbfs == other.levels_dbfs
        assert other.further == {}


@dataclass
class Passes:
    """Counts what it gets.

    Attributes:
        passes: how many times the song is read.
        value: returned for each stem.
    """

    passes: int
    value: float | None = 1.0

    def __post_init__(self) -> None:
        self.blocks: list[list[int]] = [[]]

    def update(self, references: NDArray[np.float32], estimates: NDArray[np.float32]) -> None:
        assert references.shape == estimates.shape
        self.blocks[-1].append(references.shape[1])

    def end_pass(self) -> None:
        self.blocks.append([])

    def values(self) -> dict[str, Sequence[float | None]]:
        return {"counted": [self.value] * 4, "again": [self.value] * 4}


def counting(meter: Passes, name: str = "counted") -> Metric:
    return Metric(name, name, name, "", "", True, "", lambda_of(meter))


def lambda_of(meter: Passes) -> Callable[[Format], Passes]:
    """The same function for the same meter, as metrics of one module have it."""
    return MAKERS.setdefault(id(meter), lambda song: meter)


MAKERS: dict[int, Callable[[Format], Passes]] = {}


@pytest.mark.parametrize("passes", [1, 2])
def test_a_meter_gets_every_block_once_a_pass(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    reads = []
    blocks = song_reader.blocks

    def small(
        references: Sequence[Path], estimates: Sequence[Path], layout: Layout
    ) -> Iterator[tuple[int, Stems, Stems]]:
        reads.append(1)
        return blocks(references, estimates, layout, block=1024)

    monkeypatch.setattr(song_reader, "blocks", small)
    meter = Passes(passes)
    (song, _), (estimate, _) = (find_songs(side, "mdx") for side in folders)

    score = score_song(song, estimate, MDX, [counting(meter), counting(meter, "again")])

    assert meter.blocks == [[1024, 1024, 952]] * passes + [[]]
    assert len(reads) == passes
    assert set(score.further) == {"counted", "again"}


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_undefined(
    folders: tuple[Path, Path], value: float | None
) -> None:
    (song, _), (estimate, _) = (find_songs(side, "mdx") for side in folders)

    score = score_song(song, estimate, MDX, [counting(Passes(1, value))])

    assert score.further["counted"] == dict.fromkeys(MDX)


@pytest.mark.parametrize("block", [1, 700, 1000, 3000, 5000])
def test_blocks_of_all_stems_are_the_files(folders: tuple[Path, Path], block: int) -> None:
    first, second = ([side / "a" / f"{stem}.wav" for stem in MDX[:2]] for side in folders)
    samples = 20 if block == 1 else 3000

    found = [
        (start, references.copy(), estimates.copy())
        for start, references, estimates in song_reader.blocks(
            first, second, Layout(44_100, 2, samples), block
        )
    ]

    assert [start for start, _, _ in found] == list(range(0, samples, block))
    for side, files in enumerate((first, second), start=1):
        joined = np.concatenate([one[side] for one in found], axis=1)
        expected = [soundfile.read(path, samples, dtype="float32")[0] for path in files]
        np.testing.assert_array_equal(joined, expected)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (suffix, subtype)
        for suffix in ("wav", "aiff", "flac")
        for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
        if soundfile.check_format(suffix.upper(), subtype)
    ],
)
def test_samples_are_those_of_libsndfile(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.vstack([noise(1), [[-1, 1]]]), 44_100, subtype=subtype)

    ((_, found, _),) = song_reader.blocks([path], [], Layout(44_100, 2, 3001))

    np.testing.assert_array_equal(found[0], soundfile.read(path, dtype="float32")[0])


def test_a_sample_that_is_not_finite_is_found_in_the_last_block(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(song_reader.blocks, "__defaults__", (512,))
    sound = noise(1)
    sound[2999, 1] = math.nan
    soundfile.write(folders[1] / "a" / "other.wav", sound, 44_100, subtype="FLOAT")

    with pytest.raises(EvaluationError, match="found nan at sample 2999 of channel 1"):
        score_folder(*folders, "mdx")


def test_loud_files_that_only_look_suspicious_are_scored(folders: tuple[Path, Path]) -> None:
    """Their sums are as large as those of one sample that cannot be squared."""
    for side in folders:
        soundfile.write(side / "a" / "bass.wav", 7e17 * (noise(1) + 1), 44_100, subtype="FLOAT")

    score, _ = score_folder(*folders, "mdx")

    assert score.stems_db["bass"] > 300


def summary_of(*songs: tuple[str, dict[str, float | None]], silent: str = "") -> Summary:
    """Songs with one further metric; one may have a stem that is silent."""
    scores = [
        SongScore(
            name,
            dict.fromkeys(MDX, 1.0),
            (silent,) if silent and name == songs[-1][0] else (),
            Layout(44_100, 2, 600),
            dict.fromkeys(MDX, -20.0),
            {"si_sdr": {stem: values.get(stem) for stem in MDX}},
        )
        for name, values in songs
    ]
    return summarise(scores, "mdx")


def test_undefined_values_are_left_out_of_all_means() -> None:
    summary = summary_of(("a", {"bass": 2.0, "drums": 4.0}), ("b", {"bass": 6.0}), ("c", {}))

    found = summary.further["si_sdr"]

    assert [found.songs[name].mean for name in "abc"] == [3.0, 6.0, None]
    assert found.all == Averages(4.5, {"bass": 4.0, "drums": 4.0, "other": None, "vocals": None})


def test_active_means_leave_out_silent_references() -> None:
    full: dict[str, float | None] = dict.fromkeys(MDX, 8.0)
    summary = summary_of(("a", full), ("b", {**full, "bass": -99.0}), silent="bass")

    found = summary.further["si_sdr"]

    assert found.all.stems["bass"] == -45.5
    assert found.active_mean == Averages(8.0, full)
    assert found.active_median == Averages(8.0, full)


def test_the_table_of_another_metric_has_its_id_and_explains_what_is_missing() -> None:
    summary = summary_of(("a", {"bass": 2.0, "drums": -4.0}), silent="vocals")

    heading, *lines = report.text_table(summary, SI_SDR).splitlines()

    assert heading == f"SI-SDR (si-sdr-pooled: {SI_SDR.definition}), dB"
    assert lines == [
        "song              mean    bass    drums   other   vocals",
        "a               -1.000   2.000   -4.000       -        -*",
        "MEAN            -1.000   2.000   -4.000       -        -",
        "MEAN, active    -1.000   2.000   -4.000       -        -",
        "MEDIAN, active  -1.000   2.000   -4.000       -        -",
        "* silent reference",
        "active: without the scores marked * or ~",
        "-: undefined or infinite, and left out of the means",
    ]


def test_a_distance_says_that_lower_is_better() -> None:
    assert report.heading(metrics.load("mr_stft")).endswith(", lower is better")


def test_the_json_of_other_metrics() -> None:
    summary = summary_of(("a\n", {"bass": 2.0, "drums": -4.0}))

    written = json.loads(
        report_json.json_report(
            summary, metrics.load("sdr"), further=metrics.expand(["sdr", "si_sdr"])
        )
    )

    values = {"mean": -1.0, "stems": {"bass": 2.0, "drums": -4.0, "other": None, "vocals": None}}
    assert written["mean_db"] == 1.0
    assert written["metric"]["id"] == "sdr-mdx23"
    assert written["metrics"] == {
        "si_sdr": {
            "id": "si-sdr-pooled",
            "title": "SI-SDR",
            "definition": SI_SDR.definition,
            "unit": "dB",
            "higher_is_better": True,
            **values,
            "active_mean": values,
            "active_median": values,
            "songs": {"a\n": values},
        }
    }


def test_the_csv_has_a_row_per_metric_and_song() -> None:
    summary = summary_of(("a", {"bass": 2.0}), ("b", {}))

    rows = list(
        csv.DictReader(
            io.StringIO(report.csv_report(summary, metrics.expand(["sdr", "si_sdr"]), {"a": ["x"]}))
        )
    )

    assert [(row["metric"], row["song"], row["bass"]) for row in rows] == [
        ("sdr-mdx23", "a", "1.000000"),
        ("sdr-mdx23", "b", "1.000000"),
        ("sdr-mdx23", "MEAN", "1.000000"),
        ("sdr-mdx23", "MEAN, active", "1.000000"),
        ("sdr-mdx23", "MEDIAN, active", "1.000000"),
        ("si-sdr-pooled", "a", "2.000000"),
        ("si-sdr-pooled", "b", ""),
        ("si-sdr-pooled", "MEAN", "2.000000"),
        ("si-sdr-pooled", "MEAN, active", "2.000000"),
        ("si-sdr-pooled", "MEDIAN, active", "2.000000"),
    ]
    assert [row["omissions"] for row in rows[:6]] == ["x", "", "", "", "", "x"]
    assert list(rows[0])[-2:] == ["omissions", "metric"]


def test_the_command_prints_a_table_for_each_metric(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", *map(str, folders), "--json", str(tmp_path / "s.json")]

    assert main([*words, "--metric", "bleed_full", "si_sdr"]) == 0

    tables = capsys.readouterr().out.split("\n\n")
    ids = ["bleedless-msst", "fullness-msst", "si-sdr-pooled"]
    assert [table.partition("(")[2].partition(":")[0] for table in tables] == ids
    written = json.loads((tmp_path / "s.json").read_text())
    assert list(written["metrics"]) == ["bleedless", "fullness", "si_sdr"]
    assert written["metrics"]["si_sdr"]["songs"]["b"]["stems"]["vocals"] is None
    assert written["mean_db"] is not None


def test_an_unknown_metric_is_one_sentence(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *map(str, folders), "--metric", "sdr", "si_sdrr"]) == 2

    assert "no metric named 'si_sdrr'; did you mean 'si_sdr'?" in capsys.readouterr().err


def test_an_evaluation_writes_the_official_score_first(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run = Run(
        folder=tmp_path / "run",
        track="mdx",
        recipe="a recipe",
        recipe_sha256="",
        data="samples",
        limit="inf",
    )
    run.begin(["a", "b"], set(), resume=False)
    for place, side in ((run.dataset, folders[0]), (run.predictions, folders[1])):
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        side.rename(place)
    for name in "ab":
        run.finish(name, [])

    table, written = evaluate_track.write_scores(run, ["a", "b"], ["si_sdr", "sdr"], "C")

    first, second, predicted = table.split("\n\n")
    assert first.startswith("SDR (sdr-mdx23")
    assert second.startswith("SI-SDR (si-sdr-pooled")
    assert "MDX'23 C" in predicted
    assert list(written["metrics"]) == ["si_sdr"]
    assert written["board"]["name"] == "mdx23-c"
    assert json.loads((run.folder / "scores.json").read_text()) == written
    assert "si-sdr-pooled" in (run.folder / "scores.csv").read_text()


def test_evaluate_takes_metrics() -> None:
    words = ["evaluate", "--metric", "si_sdr", "museval"]

    assert parser(["evaluate"]).parse_args(words).metric == ["si_sdr", "museval"]
    assert parser(["evaluate"]).parse_args(["evaluate"]).metric == []


def test_a_missing_library_is_known_before_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("museval", "museval.metrics"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(EvaluationError, match=r"pip install museval==0\.4\.1"):
        metrics.ready(["sdr", "museval"])
