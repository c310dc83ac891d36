"""The training loop: examples, steps, the average of the weights, validations and checkpoints.

All randomness follows from the seed and the number of the step, so a run that was killed resumes
as if it had never stopped. Several processes (``torchrun``) share each batch. They compute what one
process would compute with the whole batch, unless a layer of the network depends on the batch, as
batch normalisation does.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from demixing import atomic
from demixing.errors import ConfigError, OutputError
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.training import checkpoint, domain, losses, setup, validation
from demixing.training.config import Run
from demixing.training.distributed import Processes, anywhere
from demixing.training.ema import Average
from demixing.training.log import RunLog
from demixing.training.optimiser import learning_rate, optimiser_of
from demixing.training.waiting import Waiting

logger = logging.getLogger(__name__)

BEST = "best.pt"
"""File of the averaged weights with the best score so far."""

BAD_BATCH = "bad_batch_{step}.pt"

MOST_BAD_STEPS = 3
"""A run ends after this many steps in a row without a finite loss."""


def train(run: Run, folder: Path, processes: Processes) -> Iterator[str]:
    """Train until the last step, and yield lines that report progress.

    Args:
        run: the options of the run.
        folder: the run's folder; if it contains a checkpoint of this run, training resumes there.
        processes: processes that train together.

    Raises:
        ConfigError: an option of the run is invalid, or the folder belongs to another run.
        OutputError: the folder cannot be written, another process trains in it, or the losses are
            no longer finite.
    """
    if run.batch % processes.size:
        raise ConfigError(
            f"batch must be a multiple of the {processes.size} processes, got {run.batch}; change "
            "it, or the number of processes"
        )
    training = _Training(run, folder, processes)
    try:
        yield from training.resume()
        yield from training.steps()
    finally:
        training.close()


class _Training:
    """A run in progress; see :func:`train` for the arguments and errors."""

    def __init__(self, run: Run, folder: Path, processes: Processes) -> None:
        self._run, self._folder, self._processes = run, folder, processes
        self._examples = setup.examples(run)
        self._valid = setup.valid_songs(run)
        checkpoint.seed_all(run.seed)
        self._network = setup.built(run).to(processes.device)
        self._average = Average(self._network, run.ema_decay)
        self._optimiser = optimiser_of(self._network, run.optimiser)
        self._progress = checkpoint.RunState()
        self._log: RunLog | None = None
        self._lock: int | None = None

    def resume(self) -> Iterator[str]:
        """Load the checkpoint, if there is one, and open the log."""
        run, path = self._run, self._folder / checkpoint.STATE
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {str(self._folder)!r}: {error}") from error
        self._lock_folder()
        if path.exists():
            self._progress = checkpoint.resume(
                path, run, self._network, self._average, self._optimiser
            )
            yield f"resuming after step {self._progress.step} of {run.steps}"
        self._log = RunLog(self._folder, self._progress.step) if self._processes.first else None
        if not self._valid:
            yield (
                f"data.valid names no songs, so no {BEST} is written: demixing export will use the "
                "average of the last checkpoint"
            )

    def _lock_folder(self) -> None:
        """Keep other runs out of the folder until this one ends; all processes must call it.

        Raises:
            OutputError: another run is in it.
        """
        taken = False
        if self._processes.first:
            try:
                self._lock = atomic.locked(self._folder)
            except BlockingIOError:
                taken = True
        if anywhere(taken, self._processes):
            raise OutputError(
                f"expected no other training in {str(self._folder)!r}, but one is at work; wait "
                "until it ends, or choose another --out"
            )

    def steps(self) -> Iterator[str]:
        """Train until the last step, or until the scores stop improving."""
        run, progress = self._run, self._progress
        if self._valid and self._impatient():  # it has ended before
            yield self._ended()
            return
        step = _Step(run, self._network, self._optimiser, self._processes)
        batches = iter(setup.loader(self._examples, run, progress.step, self._processes))
        waiting = Waiting()
        while progress.step < run.steps:
            asked_s = time.perf_counter()
            stems = next(batches)
            got_s = time.perf_counter()
            values = step(stems, progress.step)
            wait_s = waiting.step(asked_s, got_s)
            progress.step += 1
            if not _skipped(values, stems, progress, self._folder, self._processes):
                self._average.update(self._network, progress.step)
            self._write("step", **values, wait=wait_s, busy=waiting.busy())
            ended = False
            if self._valid and self._due(run.validation.every_steps):
                if self._processes.first:
                    yield self._validate()
                ended = anywhere(self._impatient(), self._processes)
                waiting.restart()
            if self._processes.first and (ended or self._due(run.save_every_steps)):
                self._save()
                yield f"step {progress.step}: loss {values['loss']:.5f}{self._spent(waiting)}"
            if ended:
                yield self._ended()
                break

    def _impatient(self) -> bool:
        """Whether the scores have not improved for longer than the run waits."""
        return 0 < self._run.validation.patience <= self._progress.worse

    def _ended(self) -> str:
        """Why the run ends before its last step."""
        return f"no better score since step {self._progress.best_step}: ended"

    def _due(self, every_steps: int) -> bool:
        """Whether a regular action is due: every few steps, and at the last one."""
        step = self._progress.step
        return step == self._run.steps or step % every_steps == 0

    def _spent(self, waiting: Waiting) -> str:
        """Log and describe what the time since the last line was spent on."""
        shares = waiting.shares()
        if shares is None:
            return ""
        self._write("time", waiting=round(shares.waiting, 4), computing=round(shares.computing, 4))
        return f", {shares.described(self._run.workers)}"

    def _save(self) -> None:
        """Write a checkpoint."""
        checkpoint.save(
            self._folder / checkpoint.STATE,
            self._run,
            self._progress,
            self._network,
            self._average,
            self._optimiser,
        )

    def _validate(self) -> str:
        """Score the average, and keep it if it is the best so far."""
        began, progress = time.perf_counter(), self._progress
        scores = validation.score(self._average.network, self._valid, self._run.stems)
        mean_db = scores.mean()
        if mean_db > _best_so_far_db(progress.best_db):
            progress.best_db, progress.best_step, progress.worse = mean_db, progress.step, 0
            best = {
                "step": progress.step,
                "network": self._average.network.state_dict(),
                "scores": scores.songs,
                "stems": scores.stems(),
            }
            checkpoint.write(self._folder / BEST, best)
        else:
            progress.worse += 1
        stems = {name: round(value, 3) for name, value in scores.stems().items()}
        seconds = round(time.perf_counter() - began, 1)
        self._write("validation", mean=mean_db, stems=stems, songs=scores.songs, seconds=seconds)
        listed = ", ".join(f"{name} {value:.2f}" for name, value in stems.items())
        return f"step {progress.step}: validation {mean_db:.3f} dB ({listed})"

    def _write(self, kind: str, **values: Any) -> None:
        """Write an event to the log, in the first process."""
        if self._log is not None:
            self._log.write(kind, self._progress.step, **values)

    def close(self) -> None:
        """Close the log, and release the folder."""
        if self._log is not None:
            self._log.close()
        atomic.unlock(self._lock)


def _best_so_far_db(best_db: float | None) -> float:
    """A best score; -inf without one. Earlier versions kept one that was NaN for ever."""
    return -math.inf if best_db is None or math.isnan(best_db) else best_db


class _Step:
    """One step of the optimiser.

    Args:
        run: the options of the run.
        network: network to train.
        optimiser: optimiser of these weights.
        processes: processes that train together.
    """

    def __init__(
        self,
        run: Run,
        network: ChunkGeometry,
        optimiser: torch.optim.Optimizer,
        processes: Processes,
    ) -> None:
        self._run, self._optimiser, self._processes = run, optimiser, processes
        self._network = network
        self._domain = domain.of(network, run.domain)
        self._shared: nn.Module = self._domain
        if processes.size > 1:
            # Some networks have layers without effect, such as Spleeter's last normalisation.
            self._shared = DistributedDataParallel(self._domain, find_unused_parameters=True)
        self._loss = losses.from_table(run.loss)

    def __call__(self, stems: Tensor, done: int) -> dict[str, float]:
        """Train on one batch.

        Args:
            stems: ``(batch, stems, 2, samples)``.
            done: number of steps before this one.

        Returns:
            Values for the log: loss, norm of the gradient, learning rate and seconds. If the loss
            or the gradient is not finite, the network is unchanged.
        """
        began = time.perf_counter()
        optimiser, device = self._optimiser, self._processes.device
        rate = learning_rate(self._run.optimiser, done, self._run.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        self._network.train()
        before = [buffer.clone() for buffer in self._network.buffers()]
        stems = stems.to(device, non_blocking=True)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._run.precision == "bf16"):
            estimate = self._shared(stems.sum(dim=1))
        truth = self._domain.truth(stems)
        loss = losses.at(self._loss, done)(estimate.float(), truth).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self._run.optimiser.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self._network.parameters(), limit))
        value = self._mean(float(loss.detach()))
        if math.isfinite(norm) and math.isfinite(value):
            optimiser.step()
        else:
            self._restore(before)
        return {
            "loss": value,
            "gradient": norm,
            "rate": rate,
            "seconds": round(time.perf_counter() - began, 4),
        }

    @torch.no_grad()
    def _restore(self, before: Sequence[Tensor]) -> None:
        """Undo what the forward pass has done to running statistics."""
        for buffer, old in zip(self._network.buffers(), before, strict=True):
            buffer.copy_(old)

    def _mean(self, value: float) -> float:
        """Mean over the processes."""
        if self._processes.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self._processes.device)
        distributed.all_reduce(total)
        return float(total) / self._processes.size


def _skipped(
    values: dict[str, float],
    stems: Tensor,
    progress: checkpoint.RunState,
    folder: Path,
    processes: Processes,
) -> bool:
    """Whether a step was skipped because its loss or gradient was not finite.

    The batch of such a step, ``(batch, stems, 2, samples)``, is written to the folder, so that the
    cause can be found.

    Raises:
        OutputError: too many steps in a row were skipped.
    """
    if math.isfinite(values["loss"]) and math.isfinite(values["gradient"]):
        progress.skipped = 0
        return False
    progress.skipped += 1
    path = folder / BAD_BATCH.format(step=progress.step)
    if processes.first:
        checkpoint.write(path, {"stems": stems, "values": values})
        logger.warning("step %d was skipped, its batch is in %s", progress.step, path)
    if progress.skipped >= MOST_BAD_STEPS:
        raise OutputError(
            f"the loss was not finite {progress.skipped} steps in a row; the batches are in "
            f"{str(folder)!r}; lower optimiser.learning_rate, or look for NaN in the songs"
        )
    return True
