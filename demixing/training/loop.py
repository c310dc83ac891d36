"""The loop: examples, a step, the average; now and then scores and a save.

All that is random follows from the seed and the number of the step, so a run that was killed goes
on as if nothing had been. Several processes (``torchrun``) share each batch, and give what one
process would with all of it, as long as no layer of the network hears the batch as a whole.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from demixing.errors import ConfigError, OutputError
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.training import checkpoint, domain, losses, setup, validation
from demixing.training.config import Run
from demixing.training.data import songs
from demixing.training.distributed import World, anywhere
from demixing.training.ema import Average
from demixing.training.log import Journal
from demixing.training.optimiser import learning_rate, optimiser_of

logger = logging.getLogger(__name__)

BEST = "best.pt"
"""Weights of the average with the best score so far."""

BAD_BATCH = "bad_batch_{step}.pt"

MOST_BAD_STEPS = 3
"""Steps in a row without a finite loss after which a run ends."""


def train(run: Run, folder: Path, world: World) -> Iterator[str]:
    """Train until the last step, and yield lines that say how it goes.

    Args:
        run: what to do.
        folder: of the run; if it holds the state of this run, that is gone on with.
        world: the processes.

    Raises:
        ConfigError: something in the run is not as it should be, or the folder is of another run.
        OutputError: the folder cannot be written, or losses are not finite any more.
    """
    if run.batch % world.size:
        raise ConfigError(
            f"batch must be a multiple of the {world.size} processes, got {run.batch}"
        )
    examples = setup.examples(run)
    valid = setup.valid_songs(run)
    checkpoint.seed_all(run.seed)
    network = setup.built(run).to(world.device)
    average = Average(network, run.ema_decay)
    optimiser = optimiser_of(network, run.optimiser)
    progress = checkpoint.Progress()
    state = folder / checkpoint.STATE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {str(folder)!r}: {error}") from error
    if state.exists():
        progress = checkpoint.resume(state, run, network, average, optimiser)
        yield f"going on after step {progress.step} of {run.steps}"
    step = _Step(run, network, optimiser, world)
    journal = Journal(folder, progress.step) if world.first else None
    batches = iter(setup.loader(examples, run, progress.step, world))
    try:
        waited = _Waited()
        while progress.step < run.steps:
            with waited:
                stems = next(batches)
            values = step(stems, progress.step)
            progress.step += 1
            if not _sentinel(values, stems, progress, folder, world):
                average.update(network, progress.step)
            if journal is not None:
                journal.write("step", progress.step, **values, busy=waited.busy())
            done = progress.step == run.steps
            ended = False
            if valid and (done or progress.step % run.validation.every_steps == 0):
                if world.first:
                    yield _validate(run, average, valid, progress, folder, journal)
                ended = anywhere(0 < run.validation.patience <= progress.worse, world)
                waited = _Waited()
            if world.first and (done or ended or progress.step % run.save_every_steps == 0):
                checkpoint.save(state, run, progress, network, average, optimiser)
                yield f"step {progress.step}: loss {values['loss']:.5f}"
            if ended:
                yield f"no better score since step {progress.best_step}: ended"
                break
    finally:
        if journal is not None:
            journal.close()


class _Waited:
    """Measures which part of the time is spent waiting for examples."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited_s = 0.0

    def __enter__(self) -> None:
        self._asked = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self._waited_s += time.perf_counter() - self._asked

    def busy(self) -> float:
        """The part of the time in which the device had something to do."""
        return round(1 - self._waited_s / (time.perf_counter() - self._began), 4)


class _Step:
    """One step of the optimiser.

    Args:
        run: says how.
        network: whose weights change.
        optimiser: that changes them.
        world: the processes.
    """

    def __init__(
        self, run: Run, network: ChunkGeometry, optimiser: torch.optim.Optimizer, world: World
    ) -> None:
        self._run, self._optimiser, self._world = run, optimiser, world
        self._network = network
        self._domain = domain.of(network, run.domain)
        self._shared: nn.Module = self._domain
        if world.size > 1:
            # Some networks have layers that nothing hears, as Spleeter's last normalisation.
            self._shared = DistributedDataParallel(self._domain, find_unused_parameters=True)
        self._loss = losses.from_table(run.loss)

    def __call__(self, stems: Tensor, done: int) -> dict[str, float]:
        """Change the weights by one batch.

        Args:
            stems: ``(batch, stems, 2, samples)``.
            done: steps that were done before.

        Returns:
            Numbers for the journal. If one of loss and gradient is not finite, nothing changed.
        """
        began = time.perf_counter()
        optimiser, device = self._optimiser, self._world.device
        rate = learning_rate(self._run.optimiser, done, self._run.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        self._network.train()
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
        return {
            "loss": value,
            "gradient": norm,
            "rate": rate,
            "seconds": round(time.perf_counter() - began, 4),
        }

    def _mean(self, value: float) -> float:
        """Mean over the processes."""
        if self._world.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self._world.device)
        distributed.all_reduce(total)
        return float(total) / self._world.size


def _sentinel(
    values: dict[str, float],
    stems: Tensor,
    progress: checkpoint.Progress,
    folder: Path,
    world: World,
) -> bool:
    """Whether a step was skipped; its batch is kept, so that the cause can be found.

    Raises:
        OutputError: that happened too often in a row.
    """
    if math.isfinite(values["loss"]) and math.isfinite(values["gradient"]):
        progress.skipped = 0
        return False
    progress.skipped += 1
    path = folder / BAD_BATCH.format(step=progress.step)
    if world.first:
        checkpoint.write(path, {"stems": stems, "values": values})
        logger.warning("step %d was skipped, its batch is in %s", progress.step, path)
    if progress.skipped >= MOST_BAD_STEPS:
        raise OutputError(
            f"the loss was not finite {progress.skipped} steps in a row; the batches are in "
            f"{str(folder)!r}; lower optimiser.learning_rate, or look for NaN in the songs"
        )
    return True


def _validate(
    run: Run,
    average: Average[ChunkGeometry],
    valid: Sequence[songs.Song],
    progress: checkpoint.Progress,
    folder: Path,
    journal: Journal | None,
) -> str:
    """Score the average, and keep it if it is the best so far."""
    began = time.perf_counter()
    scores = validation.score(average.network, valid, run.stems)
    mean_db = scores.mean()
    if progress.best_db is None or mean_db > progress.best_db:
        progress.best_db, progress.best_step, progress.worse = mean_db, progress.step, 0
        checkpoint.write(
            folder / BEST,
            {
                "step": progress.step,
                "network": average.network.state_dict(),
                "scores": scores.songs,
                "stems": scores.stems(),
            },
        )
    else:
        progress.worse += 1
    stems = {name: round(value, 3) for name, value in scores.stems().items()}
    if journal is not None:
        seconds = round(time.perf_counter() - began, 1)
        journal.write(
            "validation",
            progress.step,
            mean=mean_db,
            stems=stems,
            songs=scores.songs,
            seconds=seconds,
        )
    said = ", ".join(f"{name} {value:.2f}" for name, value in stems.items())
    return f"step {progress.step}: validation {mean_db:.3f} dB ({said})"
