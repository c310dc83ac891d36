"""Corpora do not depend on the number of processes, and have a manifest of their sources."""

import gzip
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demixing.cli.main import main
from demixing.errors import ConfigError, OutputError
from demixing.rendering import corpus
from demixing.rendering.corpus import Piece
from tests.waiting import begun, until


@dataclass(frozen=True)
class Noise:
    """Makes half a second of noise; at module level, so that other processes can import it."""

    packages: Path
    seed: int = 1
    kind: str = "song"

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"seed": self.seed, "duration_s": 0.5}

    def make(self, number: int) -> Piece:
        rng = np.random.default_rng([self.seed, number])
        stems = {stem: 0.1 * rng.standard_normal((2, 22_050)) for stem in ("drums", "bass")}
        used = ["mma", "klettres-data"] if number % 2 else ["mma", "unknown"]
        return Piece(stems, {**self.identity, "packages": used})


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    folder = tmp_path / "packages" / "klettres-data" / "usr/share/doc/klettres-data"
    folder.mkdir(parents=True)
    (folder / "copyright").write_text("all the words")
    with gzip.open(folder / "changelog.Debian.gz", "wt") as file:
        file.write("klettres (4:1.2-3) unstable; urgency=medium\n")
    return tmp_path / "packages"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.process
def test_several_processes_render_the_same_as_one_in_order(unpacked: Path, tmp_path: Path) -> None:
    maker = Noise(unpacked)
    list(corpus.render(maker, tmp_path / "one", 3))
    (tmp_path / "two").mkdir()

    folders = list(corpus.render(maker, tmp_path / "two", 3, jobs=2))

    assert [folder.name for folder in folders] == ["song_000", "song_001", "song_002"]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


@dataclass(frozen=True)
class Endless(Noise):
    """Works until it is ended, and leaves its process id."""

    def make(self, number: int) -> Piece:
        (self.packages / f"pid.{number}").symlink_to(str(os.getpid()))
        time.sleep(600)
        return super().make(number)


RENDER = """
import sys
from pathlib import Path
from demixing.rendering import corpus
from tests.test_render_corpus import Endless
if __name__ == "__main__":
    list(corpus.render(Endless(Path(sys.argv[1])), Path(sys.argv[1], "out"), 2, jobs=2))
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_the_workers_of_a_killed_command_end(tmp_path: Path) -> None:
    pids = [tmp_path / f"pid.{number}" for number in range(2)]
    with begun([sys.executable, "-c", RENDER, str(tmp_path)]) as parent:
        until(lambda: parent.poll() is not None or all(map(os.path.lexists, pids)))
        workers = [Path("/proc", pid.readlink()) for pid in pids]
        assert all(worker.exists() for worker in workers)
        parent.kill()
        parent.wait()

        until(lambda: not any(worker.exists() for worker in workers))


def test_the_format_only_changes_the_files(unpacked: Path, tmp_path: Path) -> None:
    for form in ("wav", "flac"):
        list(corpus.render(Noise(unpacked), tmp_path / form, 1, form=form))

    wav, flac = (
        soundfile.read(tmp_path / form / "song_000" / f"drums.{form}", dtype="int16")[0]
        for form in ("wav", "flac")
    )
    assert np.array_equal(wav, flac)


def test_the_manifest_lists_licences_and_uses(unpacked: Path, tmp_path: Path) -> None:
    list(corpus.render(Noise(unpacked), tmp_path / "out", 2))
    list(corpus.render(Noise(unpacked), tmp_path / "out", 4))

    manifest_ = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest_["pieces"], manifest_["duration_s"]) == (4, 2.0)
    assert manifest_["packages"]["klettres-data"] == {
        "version": "4:1.2-3",
        "licence": "GPL-2+",
        "copyrights": "licences/klettres-data.txt",
        "songs": ["song_001", "song_003"],
    }
    assert manifest_["packages"]["unknown"]["licence"] == "see its copyright file"
    assert len(manifest_["packages"]["mma"]["songs"]) == 4
    assert (tmp_path / "out/licences/klettres-data.txt").read_text() == "all the words"
    readable = (tmp_path / "out/LICENCES.md").read_text()
    assert "| klettres-data | 4:1.2-3 | GPL-2+ | 2 |" in readable


def test_a_corpus_of_another_seed_is_not_mixed_in(unpacked: Path, tmp_path: Path) -> None:
    list(corpus.render(Noise(unpacked), tmp_path / "out", 1))

    with pytest.raises(ConfigError, match="choose another --out"):
        list(corpus.render(Noise(unpacked, seed=2), tmp_path / "out", 2, jobs=2))


def test_a_piece_that_cannot_be_written_leaves_nothing(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        path.touch()
        if path.name == "bass.flac":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", fail)

    with pytest.raises(OutputError, match="No space left"):
        list(corpus.render(Noise(unpacked), tmp_path / "out", 1))

    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("spoilt", [["--hours", "0"], ["--clips", "-1"], ["--hours", "nan"]])
def test_hours_and_clips_out_of_range_are_reported_in_one_sentence(
    spoilt: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["render", "cdx", "--split", "test", "--out", str(tmp_path / "out"), *spoilt])

    assert status == 2
    assert capsys.readouterr().err.startswith(f"error: expected {spoilt[0]} and --jobs of more ")
