"""Looks for faults in data sets before training on them.

Several folders, or a folder with splits, are also searched for audio that is in more than one
split. The analysis of each song is stored next to the data, or in a cache, so the next check is
fast.
"""

import dataclasses
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing.errors import ConfigError
from demixing.evaluation import stem_file
from demixing.training.data import layouts, metadata
from demixing.training.data.checks import analysis, duplicates, labels
from demixing.training.data.checks.analysis import SongAnalysis
from demixing.training.data.checks.findings import Finding, of_song
from demixing.training.data.checks.kinds import KINDS
from demixing.training.data.layouts import CDX_STEMS, MDX_STEMS, Found

NAME = ".songs-check.json"
GROUP = 32
"""Number of songs after which the analyses are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A data set whose songs are analysed.

    Attributes:
        root: its folder.
        layout: layout of its files.
        stems: stems that its songs should have.
        songs: songs with their analyses.
    """

    root: Path
    layout: str
    stems: tuple[str, ...]
    songs: list[tuple[Found, SongAnalysis]]


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a check.

    Attributes:
        folders: data sets with their analysed songs.
        findings: findings in the order of :func:`judge`.
    """

    folders: list[Checked]
    findings: list[Finding]

    @property
    def faults(self) -> list[Finding]:
        """The findings that are not notes."""
        return [finding for finding in self.findings if finding.fault]

    def songs(self) -> Iterator[tuple[str, Found, SongAnalysis]]:
        """All songs with their analyses, each after its name in the findings."""
        for folder in self.folders:
            for song, analysed in folder.songs:
                yield _name(song, folder, self.folders), song, analysed

    def lines(self, *, notes: bool) -> Iterator[str]:
        """The table, tab-separated, and the summary; notes are listed only on request."""
        yield "kind\tsong\tstem\tvalue\ttext"
        for finding in self.findings if notes else self.faults:
            kind = finding.kind if finding.fault else f"({finding.kind})"
            row = (kind, finding.song, finding.stem, f"{finding.value:g}", finding.text)
            yield "\t".join(map(printable, row))
        yield from summary(self.folders, self.findings)

    def json_text(self) -> str:
        """All results as JSON."""
        return _json_text(self.folders, self.findings)


def check(
    folders: Sequence[Path],
    *,
    layout: str | None = None,
    stems: Sequence[str] = (),
    rate_hz: int | None = None,
    cache: Path | None = None,
    jobs: int | None = None,
) -> Report:
    """Check data sets.

    Args:
        folders: folders of the data sets.
        layout: layout of all of them; by default it is detected.
        stems: stems that each song should have; if empty, those of the track that fits best.
        rate_hz: rate that all files should have; by default the most common one.
        cache: folder for the analysis; by default it is next to the data.
        jobs: songs at a time; by default the number of processors.

    Raises:
        ConfigError: a folder holds no songs, or ``jobs`` is below 1.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"expected --jobs of at least 1, got {jobs}")
    checked = [analyse(folder.absolute(), layout, stems, cache, jobs) for folder in folders]
    return Report(checked, judge(checked, rate_hz))


def printable(text: str) -> str:
    r"""A cell of the table; names of files may contain any character.

    >>> print(printable("a\tb\udcff"))
    a b\udcff
    """
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def analyse(
    root: Path, layout: str | None, stems: Sequence[str], cache: Path | None, jobs: int | None
) -> Checked:
    """Analyse all songs of a folder that are not in the cache.

    Raises:
        ConfigError: the folder contains no songs.
    """
    layout, found = layouts.find(root, layout, stems)
    place = metadata.place_of(root, cache, NAME)
    known = metadata.load_entries(place, analysis.VERSION)
    entries: dict[str, Any] = {}
    analysed: dict[str, SongAnalysis] = {}
    for song in found:
        entry = known.get(song.name)
        try:
            if entry and entry["files"] == _identity(song):
                analysed[song.name] = SongAnalysis.of_json(entry["analysis"])
                entries[song.name] = entry
        except (KeyError, TypeError, AttributeError):
            continue
    unknown = [song for song in found if song.name not in analysed]
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        for start in range(0, len(unknown), GROUP):
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{start} of {len(unknown)} songs analysed")
            group = unknown[start : start + GROUP]
            for song, result in zip(group, pool.map(analysis.analyse, group), strict=True):
                analysed[song.name] = result
                entry = {"files": _identity(song), "analysis": dataclasses.asdict(result)}
                entries[song.name] = entry
            metadata.save_entries(place, analysis.VERSION, entries)
    if unknown and sys.stderr.isatty():
        sys.stderr.write("\n")
    return Checked(
        root=root,
        layout=layout,
        stems=tuple(stems) or expected(found),
        songs=[(song, analysed[song.name]) for song in found],
    )


def _identity(song: Found) -> list[list[Any]]:
    """Names, sizes and times of a song's files, in types that JSON preserves."""
    result: list[list[Any]] = []
    for path in song.files:
        try:
            status = stem_file.file_of(path).stat()
            size_time = [status.st_size, status.st_mtime_ns]
        except OSError:
            size_time = [-1, -1]
        result.append([ascii(path.relative_to(song.folder).as_posix()), *size_time])
    return result


def expected(found: Sequence[Found]) -> tuple[str, ...]:
    """The stems of the track to which most stems of the songs belong."""
    counts = Counter(stem for song in found for stem in song.stems)
    return max((MDX_STEMS, CDX_STEMS), key=lambda stems: sum(counts[stem] for stem in stems))


def judge(folders: Sequence[Checked], rate_hz: int | None) -> list[Finding]:
    """All findings, sorted by kind, in the order of :data:`KINDS`, then by song.

    Args:
        folders: the analysed data sets.
        rate_hz: rate that all files should have; the most common one if None.
    """
    rates = Counter(
        file.rate_hz
        for folder in folders
        for _, analysed in folder.songs
        for file in analysed.files.values()
        if file.samples
    )
    rate_hz = rate_hz or (rates.most_common(1)[0][0] if rates else 0)
    findings: list[Finding] = []
    places: list[duplicates.Place] = []
    prints: dict[tuple[int, str], Sequence[Sequence[int]]] = {}
    for folder in folders:
        names = {song.name: _name(song, folder, folders) for song, _ in folder.songs}
        rows: dict[labels.Stem, Sequence[Sequence[float]]] = {}
        for song, analysed in folder.songs:
            findings += of_song(song, analysed, folder.stems, rate_hz, names[song.name])
            for stem, fingerprint in analysed.prints.items():
                prints[len(places), stem] = fingerprint
            places.append(_place(song, folder, names[song.name]))
            rows |= {(names[song.name], stem): found for stem, found in analysed.features.items()}
        findings += [_mislabelled(suspicion) for suspicion in labels.suspicions(rows)]
    findings += duplicates.find(places, prints)
    order = list(KINDS)
    return sorted(findings, key=lambda one: (order.index(one.kind), one.song, one.stem))


def _name(song: Found, folder: Checked, folders: Sequence[Checked]) -> str:
    """Name of a song in the findings, with its folder if there are several."""
    if len(folders) == 1:
        return song.name
    twice = sum(other.root.name == folder.root.name for other in folders) > 1
    return f"{folder.root if twice else folder.root.name}/{song.name}"


def _place(song: Found, folder: Checked, name: str) -> duplicates.Place:
    """What the search for duplicates and leaks needs to know about a song."""
    split, files = duplicates.sources_of(song.folder) or ("", None)
    own = song.name.rpartition("/")[2]
    return duplicates.Place(
        name=name, own=own, split=song.split or split or str(folder.root), sources=files
    )


def _mislabelled(suspicion: labels.Suspicion) -> Finding:
    return Finding(
        kind="label",
        song=suspicion.song,
        stem=suspicion.stem,
        value=suspicion.margin,
        text=f"sounds like {suspicion.like}; {suspicion.because}",
    )


def summary(folders: Sequence[Checked], findings: Sequence[Finding]) -> Iterator[str]:
    """The last lines: what was checked, and the number of findings of each kind."""
    for folder in folders:
        stems = sum(len(song.stems) for song, _ in folder.songs)
        yield f"# {folder.root}: layout {folder.layout}, {len(folder.songs)} songs, {stems} stems"
    for fault, what in ((True, "faults"), (False, "notes")):
        counts = Counter(finding.kind for finding in findings if finding.fault == fault)
        listed = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS if counts[kind])
        yield f"# {what}: {listed or 'none'}"


def _json_text(folders: Sequence[Checked], findings: Sequence[Finding]) -> str:
    """All results as JSON, without fingerprints and features."""
    contents = {
        "folders": [
            {
                "folder": str(folder.root),
                "layout": folder.layout,
                "stems": folder.stems,
                "songs": {
                    song.name: {
                        "split": song.split,
                        "kind": song.kind,
                        "mixture_power": analysed.mixture_power,
                        "error_power": analysed.error_power,
                        "files": {k: dataclasses.asdict(v) for k, v in analysed.files.items()},
                        "leaks": {
                            stem: [dataclasses.asdict(leak) for leak in leaks]
                            for stem, leaks in analysed.leaks.items()
                        },
                    }
                    for song, analysed in folder.songs
                },
            }
            for folder in folders
        ],
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    return json.dumps(contents, indent=1, allow_nan=False) + "\n"
