"""Shared by all tests; the only place where global state is set."""

import contextlib
import os
import signal

# Threads that wait for each other spin: next to other work, they take ten times the processor time
# of one thread, here and in child processes.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import settings
from numpy.typing import NDArray
from torch import Tensor

from demixing.machine import installation
from tests.onnx_graphs import field
from tests.waiting import until

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")

# A shell starts background jobs with Ctrl-C ignored, which processes of the tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read when onnxruntime is imported, which otherwise leaves files in the user's cache.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@pytest.fixture(scope="session")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Costs of separators: measured once for all tests, not stored for the user."""
    return tmp_path_factory.mktemp("costs") / "costs.json"


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests get an empty home folder, and must end all processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("XDG_CACHE_HOME", raising=False)
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        yield
    until(lambda: not running_children())


def running_children() -> list[str]:
    """Command lines of child processes, except Python's own helper."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return [words for words in found if words and "resource_tracker" not in words]


@pytest.fixture(scope="session")
def no_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder: `make evaluate` may have fetched weights, which would change recipes."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, costs: Path, no_weights: Path) -> None:
    """A developer's environment variables and fetched files must not affect the tests.

    Tests separate in their own process, where functions can be replaced.
    """
    for name in list(os.environ):
        if name.startswith(("DEMIX_", "AICROWD_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DEMIX_ISOLATE", "0")
    monkeypatch.setenv("DEMIX_COSTS", str(costs))
    monkeypatch.setenv("DEMIX_WEIGHTS", str(no_weights))


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has no home, like an arbitrary user of a container, who has no entry in passwd."""

    def refuse() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def unfilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are built without random weights, which take longer than everything else."""
    for name in ("uniform_", "kaiming_uniform_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda weights, *_, **__: weights)


@pytest.fixture(scope="module", autouse=True)
def forgotten(request: pytest.FixtureRequest) -> Iterator[None]:
    """Objects shared by the tests of a file are freed after the last one: networks are large."""
    yield
    for name in dir(request.module):
        cached = getattr(request.module, name)
        if hasattr(cached, "cache_clear") and cached.__module__ == request.module.__name__:
            cached.cache_clear()


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run and for every test."""
    return np.random.default_rng(2023)


@pytest.fixture(scope="session")
def briefing() -> dict[str, Tensor]:
    """Five seconds of the stems of a film-like clip, each ``(2, samples)`` at 48 kHz."""
    folder = Path(__file__).parents[1] / "samples" / "cdx" / "clip_1_briefing"
    stems = {}
    for stem in ("dialog", "effect", "music"):
        audio, rate_hz = soundfile.read(folder / f"{stem}.flac", stop=5 * 44_100)
        stems[stem] = torch.from_numpy(soxr.resample(audio, rate_hz, 48_000).T.astype(np.float32))
    return stems


@pytest.fixture
def write_song(tmp_path: Path, rng: np.random.Generator) -> Callable[..., Path]:
    """Write a file of quiet noise, or of the samples given, and return its path."""

    def write(
        name: str = "song.wav",
        *,
        samples: int = 1000,
        channels: int = 2,
        sample_rate_hz: int = 44_100,
        subtype: str | None = None,
        audio: NDArray[np.floating] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if audio is None:
            audio = 0.1 * rng.standard_normal((samples, channels))
        soundfile.write(path, audio, sample_rate_hz, subtype=subtype)
        return path

    return write


@pytest.fixture
def data(write_song: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with two songs, a and b, each with all stems of music."""
    for song in "ab":
        for stem in ("bass", "drums", "other", "vocals"):
            write_song(f"data/{song}/{stem}.wav")
    return tmp_path / "data"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder that an evaluation writes to."""
    return tmp_path / "out"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were an installed package, without the contest's folders: it separates here."""
    monkeypatch.setattr(installation, "INSTALLED", True)


@pytest.fixture
def copying_model() -> bytes:
    """An ONNX model that copies a vector of two floats, written by hand to avoid the package."""
    dimension = field(1, field(1, 2))
    tensor = field(1, field(1, 1) + field(2, dimension))
    node = field(1, b"x") + field(2, b"y") + field(4, b"Identity")
    graph = field(1, node) + field(2, b"copy")
    graph += field(11, field(1, b"x") + field(2, tensor))
    graph += field(12, field(1, b"y") + field(2, tensor))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))
