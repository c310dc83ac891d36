"""Costs of separators on this machine, measured once and cached in a file.

Without the file, or if it cannot be written, each separator is measured when it is built. The file
contains names of separators but no names of songs. Times refer to an idle machine, however busy it
was during the measurement; see :mod:`demixing.schedule.contention`.
"""

import dataclasses
import gc
import json
import logging
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from demixing import atomic
from demixing.machine.device import chosen_device
from demixing.machine.installation import cache_folder
from demixing.machine.linux import cpu_model
from demixing.schedule import contention
from demixing.schedule.fallback import infer, out_of_memory
from demixing.separator import Separator

logger = logging.getLogger(__name__)

FILE_VARIABLE = "DEMIX_COSTS"
"""Environment variable: path of the file; the default is in the user's cache folder."""

VERSION = 2
"""Version of the measurement; results of older versions are ignored."""

BATCHES = (1, 2, 4, 8, 16)
"""Batch sizes tried on a GPU, as long as a larger one is faster. On a CPU, one chunk keeps all
cores busy, and a batch size chosen by measurement could change the last bits."""

WORTHWHILE = 0.9
"""A larger batch must take at most this fraction of the smaller one's time per chunk."""

SLOW_S = 2.0
"""A batch that takes this long is measured once, and no larger one is tried: songs are waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Time and memory of one separator.

    Attributes:
        chunk_s: seconds per chunk with this batch size on an idle machine; NaN if unknown.
        memory_bytes: peak working memory, beyond its weights.
        batch: fastest batch size per chunk.
        first_s: additional seconds for the first chunk.
    """

    chunk_s: float = math.nan
    memory_bytes: int = 0
    batch: int = 1
    first_s: float = 0.0


class Costs:
    """The known costs on this machine.

    Args:
        path: of the file; None: keep the costs in memory only.
        timer: see :func:`measure`.
    """

    def __init__(self, path: Path | None = None, *, timer: "Timer | None" = None) -> None:
        self._path = path
        self._timer = timer or idle_s
        self._known = self._read()

    @classmethod
    def at_home(cls) -> "Costs":
        """The costs in the file named by the environment, or in the user's cache folder.

        Without either, they are kept in memory.
        """
        if given := os.environ.get(FILE_VARIABLE):
            return cls(Path(given))
        folder = cache_folder()
        if folder is None:
            logger.info("there is no home folder, so costs are not cached")
        return cls(folder / "costs.json" if folder else None)

    def of(self, name: str, options: Mapping[str, Any], separator: Separator) -> Cost:
        """Look up or measure a separator's cost.

        Args:
            name: its key.
            options: of its ``build``.
            separator: ready to work.

        Raises:
            Exception: any error of the separator.
        """
        key = json.dumps(
            [VERSION, machine(), name, options, separator.chunking.chunk], sort_keys=True
        )
        if key not in self._known:
            self._known[key] = measure(separator, timer=self._timer)
            logger.info("%s: %s", name, self._known[key])
            self._write()
        return self._known[key]

    def _read(self) -> dict[str, Cost]:
        """Read the file; if it cannot be read, costs are measured again."""
        try:
            text = self._path.read_text(encoding="utf-8") if self._path else "{}"
            return {key: Cost(**cost) for key, cost in json.loads(text).items()}
        except FileNotFoundError:
            return {}
        except (OSError, TypeError, ValueError, AttributeError, RecursionError) as error:
            logger.info("%s: cannot be read, so costs are measured again: %s", self._path, error)
            return {}

    def _write(self) -> None:
        """Replace the file atomically, if it can be written."""
        if self._path is None:
            return
        table = {key: dataclasses.asdict(cost) for key, cost in self._known.items()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._path, json.dumps(table, indent=1))
        except OSError as error:
            logger.info("%s: cannot be written, so costs are not cached: %s", self._path, error)


def machine() -> str:
    """Describe the machine, as far as costs depend on it."""
    cpu = cpu_model() or platform.processor() or platform.machine()
    device = torch.cuda.get_device_name(chosen_device()) if on_cuda() else cpu
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def on_cuda() -> bool:
    """Whether networks run on a GPU with CUDA, which a machine may have without using it."""
    return chosen_device().type == "cuda"


Timer = Callable[[Callable[[], object]], float]
"""Runs a call and returns the seconds that it took."""


def idle_s(call: Callable[[], object]) -> float:
    """Run ``call`` and return the seconds that it would take on an idle machine."""
    return contention.idle_s(call, time.perf_counter)


def measure(
    separator: Separator, *, timer: Timer = idle_s, batches: Sequence[int] | None = None
) -> Cost:
    """Measure a separator on noise.

    Args:
        separator: ready to work.
        timer: times a call; replaced in tests.
        batches: batch sizes to try; None: depends on the device.

    Raises:
        Exception: any error of the separator, except running out of memory with a larger batch.
    """
    noise = 0.1 * torch.randn(
        1, 2, separator.chunking.chunk, generator=torch.Generator().manual_seed(0)
    )
    peak = Peak()
    first_s = _seconds(separator, noise, 1, timer)
    if first_s >= SLOW_S:
        return Cost(chunk_s=first_s, memory_bytes=peak.bytes)
    chunk_s = min(_seconds(separator, noise, 1, timer) for _ in range(2))
    best = Cost(chunk_s=chunk_s, memory_bytes=peak.bytes, first_s=max(first_s - chunk_s, 0.0))
    if batches is None:
        batches = BATCHES if on_cuda() else BATCHES[:1]
    for batch in batches[1:]:
        if batch * best.chunk_s >= SLOW_S:
            break
        try:
            chunk_s = _seconds(separator, noise, batch, timer) / batch
        except Exception as error:
            if not out_of_memory(error):
                raise
            break
        if chunk_s > WORTHWHILE * best.chunk_s:
            break
        best = dataclasses.replace(best, chunk_s=chunk_s, memory_bytes=peak.bytes, batch=batch)
    return best


def _seconds(separator: Separator, noise: torch.Tensor, batch: int, timer: Timer) -> float:
    """Time one batch, until its output can be read."""
    chunks = noise.repeat(batch, 1, 1)
    return timer(lambda: infer(separator, chunks).cpu())


class Peak:
    """Measures peak memory from now on, beyond the current use.

    This is GPU memory if networks run there; otherwise resident memory, which only Linux reports.
    """

    def __init__(self) -> None:
        gc.collect()  # garbage freed later would hide the peak
        self._device = chosen_device()
        self._cuda = on_cuda()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            try:
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            except OSError:
                logger.debug("peak resident memory cannot be reset")
        self._before = self._now("VmRSS", torch.cuda.memory_allocated)

    @property
    def bytes(self) -> int:
        """The peak so far."""
        return max(self._now("VmHWM", torch.cuda.max_memory_allocated) - self._before, 0)

    def _now(self, key: str, allocated: Callable[[torch.device], int]) -> int:
        """Memory at this moment: a field of Linux, or what a function says of the GPU."""
        return allocated(self._device) if self._cuda else status_bytes(key)


def status_bytes(key: str, path: Path = Path("/proc/self/status")) -> int:
    """Read one memory size of this process, in bytes; 0 if the system does not report it."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) * 1024 if found else 0
