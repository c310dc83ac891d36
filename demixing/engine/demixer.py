"""Runs a recipe: builds its members, plans which of them fit the deadline, and streams songs.

A song passes through the members in blocks. Memory does not grow with the song's length.
"""

import copy
import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from demixing import audio, separators
from demixing.audio import AudioFormat, SongFormat
from demixing.chunks import tta
from demixing.chunks.answer import Done, Reliable, Source
from demixing.engine import optional
from demixing.engine.blending import Tap
from demixing.engine.members import ScheduledMember, Task
from demixing.engine.normalisation import SongStatistics, measured
from demixing.engine.omissions import Omission
from demixing.engine.pipeline import SongPipeline
from demixing.engine.progress import Report, Work
from demixing.engine.tidying import Tidying
from demixing.engine.workload import Workload
from demixing.errors import CheckpointError, ConfigError, SongError
from demixing.machine import heap
from demixing.plugins import did_you_mean
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.schedule import planner
from demixing.schedule.budget import Deadline, TimeBudget
from demixing.schedule.contention import Contention
from demixing.schedule.costs import Cost, Costs
from demixing.schedule.fallback import Fallback, infer
from demixing.schedule.load import TRIAL_RATE_HZ, TRIAL_S, Copies, Load
from demixing.schedule.planner import Candidate, Plan
from demixing.schedule.timeout import Run, TimeoutRunner
from demixing.separator import Separator, input_normalisation

logger = logging.getLogger(__name__)


class Demixer:
    """Builds the members of a recipe once and separates any number of songs with them.

    Args:
        recipe: the recipe. Optional members whose files are missing are left out at once.
        forgiving: whether a member with missing or damaged weights is logged and left out; if
            not, it is an error.
        costs: of members on this machine, for planning. Without them members are assumed to cost
            nothing until they have worked.
        without: indices in :attr:`recipe` of members that are left out.
        memory_bytes: most memory a member may use while running, in addition to its weights.
        at_work: is called with the index of a member before it is built, measured or called, and
            with -1 afterwards.
        contention: of this process, for planning; None for an idle machine.

    Attributes:
        recipe: as given, without the members that are :attr:`absent`; all others are required.
        absent: names of the optional members whose files are missing. That is not an omission;
            :func:`demixing.engine.optional.advice` phrases this for users.
        at_work: as given; may be replaced.
        costs: cost of each member on an idle machine, updated after each song.

    Raises:
        ConfigError: a member's name or options are invalid.
        CheckpointError: a member's weights are missing or damaged.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        forgiving: bool = False,
        costs: Costs | None = None,
        without: frozenset[int] = frozenset(),
        memory_bytes: float = math.inf,
        at_work: Callable[[int], None] = lambda index: None,
        contention: Contention | None = None,
    ) -> None:
        self._load = Load(contention)
        self._unusable: dict[str, str] = {}
        self._fallbacks: list[Fallback] = []
        self.absent = optional.absent(recipe)
        self.recipe = optional.resolved(recipe, self.absent)
        self.at_work = at_work
        self._forgiving = forgiving
        self._memory_bytes = memory_bytes
        self._run: Run = TimeoutRunner()
        self._separators: list[Separator | None] = []
        self.costs: list[Cost] = []
        for index, member in enumerate(self.recipe.members):
            self.at_work(index)
            separator = None if index in without else self._build(member)
            self._separators.append(separator)
            heap.tidy()  # what reading its weights has left
            self.costs.append(self._cost(costs, member, separator))
            self.at_work(-1)

    def _build(self, member: Member) -> Separator | None:
        """Build one member and check that it has the stems that the recipe uses."""
        try:
            separator = self._built(member)
        except CheckpointError as error:
            if not self._forgiving:
                raise
            logger.error("%s is left out: %s", member.name, error)
            self._unusable[member.name] = str(error).partition("\n")[0]
            return None
        for part in itertools.chain(*member.outputs.values()):
            if part not in separator.stems:
                raise ConfigError(
                    f"recipe {self.recipe.name!r}: separator {member.separator!r} has no stem "
                    f"{part!r}{did_you_mean(part, list(separator.stems))}"
                )
        return separator

    def _built(self, member: Member) -> Separator:
        """The separator of a member; members with the same network share it, and its weights."""
        for other, separator in zip(self.recipe.members, self._separators, strict=False):
            same = (other.separator, other.options) == (member.separator, member.options)
            if same and separator is not None and _has_weights(member):
                return separator
        return separators.build(member.separator, member.options)

    def _cost(self, costs: Costs | None, member: Member, separator: Separator | None) -> Cost:
        """Look up a member's cost; a member that cannot be measured may still work."""
        if costs is None or separator is None:
            return Cost()
        try:
            return costs.of(member.separator, member.options, separator)
        except Exception as error:
            if not self._forgiving:
                raise
            logger.warning("%s: could not measure its cost: %s", member.name, error)
            return Cost()

    @property
    def normalises(self) -> bool:
        """Whether a member needs statistics of the whole song before the first block."""
        return any(separator and input_normalisation(separator) for separator in self._separators)

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """Omissions of the current or last song so far."""
        unusable = [
            Omission(member=name, part=1.0, reason=reason)
            for name, reason in self._unusable.items()
        ]
        partial = [
            Omission(member=one.name, part=one.missing / one.asked, reason=one.reason)
            for one in self._fallbacks
            if one.missing
        ]
        return (*unusable, *partial)

    def warm_up(self) -> None:
        """Warm up for the first song, during set-up.

        Each member separates one chunk, because the first one is slow. The overhead besides the
        members is measured. Errors are only logged here: songs have a fallback for them.
        """
        self._load.restart()
        for index, separator in enumerate(self._separators):
            if separator is None:
                continue
            cut = separator.chunking
            chunk = torch.zeros(1, 2, min((cut.chunk, *cut.shorter)))
            self.at_work(index)
            try:
                infer(separator, chunk)
            except Exception as error:
                logger.info("%s: failed during warm-up: %s", self.recipe.members[index].name, error)
            self.at_work(-1)
        try:
            self._load.measure(self._try_without_work)
        except Exception as error:  # then the defaults hold
            logger.info("could not measure the overhead outside the members: %s", error)

    def _try_without_work(self, asked_s: list[float]) -> None:
        """Separate noise with members that only copy, and record when they are called."""
        trial = copy.copy(self)
        trial.at_work, trial.costs, trial._load = lambda index: None, list(self.costs), Load(None)
        trial._separators = [one and Copies(one, asked_s) for one in self._separators]
        noise = torch.randn(2, round(TRIAL_S * TRIAL_RATE_HZ)) / 10
        blocks = torch.split(noise, audio.BLOCK, dim=-1)
        for _ in trial.stream(
            blocks,
            TRIAL_RATE_HZ,
            samples=noise.shape[-1],
            deadline=Deadline(math.inf),
            statistics=measured(self.recipe, blocks, TRIAL_RATE_HZ),
        ):
            pass

    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate_hz: int,
        *,
        samples: int | None = None,
        deadline: Deadline | None = None,
        best: bool = False,
        tap: Tap | None = None,
        statistics: SongStatistics | None = None,
        report: Report | None = None,
    ) -> Iterator[Tensor]:
        """Separate a song in blocks.

        With a deadline, stems are always ready in time: they contain what the members produced,
        and equal shares of the mixture elsewhere; see :attr:`omissions`.
        Without a deadline all members work, and their errors are raised.

        Args:
            blocks: the song in consecutive blocks, ``(channels, samples)``, of any length.
            sample_rate_hz: of the song.
            samples: length of the song; required with a deadline or ``report``.
            deadline: when the stems must be finished; may be infinitely far away.
            best: without a deadline, use each member's setting with the highest gain.
            tap: see :data:`demixing.engine.blending.Tap`.
            statistics: of the song; required if :attr:`normalises`.
            report: called with each progress event.

        Yields:
            Consecutive blocks, ``(outputs, channels, samples)``, in the order of the recipe's
            outputs; in total as long as the song.

        Raises:
            SongError: the song is empty, not finite, or in an unsupported format.
            OutputError: a member returned a NaN or an infinity.
            ValueError: a deadline has no length, or the required statistics are missing.
        """
        if samples is None and not (deadline is None and report is None):
            raise ValueError("a deadline and progress need the song's length in samples")
        self._fallbacks = []
        song: _Song | None = None
        start = 0
        for block in blocks:
            if song is None:
                audio.check_format(sample_rate_hz, block.shape[0])
                form = AudioFormat(sample_rate_hz=sample_rate_hz, channels=block.shape[0])
                song = self._begin(form, samples, deadline, report, best=best)
                names = [self.recipe.members[index].name for index in song.plan.planned]
                pipeline = SongPipeline(self.recipe, song.scheduled, names, form, tap, statistics)
            audio.check_finite(block, start)
            start += block.shape[-1]
            yield from pipeline.pieces(block)
        if song is None or start == 0:
            raise SongError("expected a song of at least one sample, got an empty one")
        yield from pipeline.last_pieces()
        if song.budget is not None and song.workload is not None:
            self._learn(song.plan, song.budget, song.workload.form)

    def _begin(
        self,
        form: AudioFormat,
        samples: int | None,
        deadline: Deadline | None,
        report: Report | None,
        *,
        best: bool,
    ) -> "_Song":
        """Plan one song and prepare the members; see :meth:`stream` for the arguments."""
        plan = planner.without_limits(self.recipe, best=best)
        if samples is None:
            return _Song(plan, self._scheduled(plan))
        song = SongFormat(
            sample_rate_hz=form.sample_rate_hz, channels=form.channels, frames=samples
        )
        budget: TimeBudget | None = None
        if deadline is not None:
            self._load.begin_song()
            plan = self.plan(song, budget_s=deadline.remaining_s)
            tail_s = min(self._load.tail_s(song.seconds), deadline.remaining_s / 2)
            budget = self.workload(song).budget(plan, deadline.earlier(tail_s))
        workload = self.workload(song)
        return _Song(plan, self._scheduled(plan, workload, budget, report), workload, budget)

    def plan(self, form: SongFormat, *, budget_s: float) -> Plan:
        """Plan a song.

        Args:
            form: of the song.
            budget_s: seconds that it may take, under the machine's recent load.
        """
        budget_s -= self._load.around_s(form.seconds)
        able = zip(self.costs, self._separators, strict=True)
        return planner.plan(
            self.recipe,
            [cost if separator else None for cost, separator in able],
            self.workload(form).full_chunks,
            budget_s=budget_s / self._load.slowdown,
            memory_bytes=self._memory_bytes,
        )

    def compared(self, form: SongFormat) -> list[Candidate]:
        """All choices that :meth:`plan` compares for a song of this form."""
        able = zip(self.costs, self._separators, strict=True)
        return planner.compared(
            self.recipe,
            [cost if separator else None for cost, separator in able],
            self.workload(form).full_chunks,
            memory_bytes=self._memory_bytes,
        )

    def workload(self, form: SongFormat) -> Workload:
        """The workload of a song, under the machine's recent load."""
        return Workload(
            form=form,
            separators=self._separators,
            costs=self.costs,
            slowdown=self._load.slowdown,
        )

    def _scheduled(
        self,
        plan: Plan,
        workload: Workload | None = None,
        budget: TimeBudget | None = None,
        report: Report | None = None,
    ) -> list[ScheduledMember]:
        """Prepare the members for one song, with a fallback if there is a time budget."""
        work: Work | None = None
        if workload and report:
            work = workload.progress(plan, report, short=budget is not None)
        scheduled = []
        for index, member in enumerate(self.recipe.members):
            done = functools.partial(work.done, index) if work else lambda chunks: None
            task = self._task(index, plan, workload, budget, done)
            scheduled.append(ScheduledMember(member=member, task=task))
        return scheduled

    def _task(
        self,
        index: int,
        plan: Plan,
        workload: Workload | None,
        budget: TimeBudget | None,
        done: Done,
    ) -> Task | None:
        """One member's task for a song; None if it cannot run."""
        separator, setting = self._separators[index], plan.settings[index]
        if separator is None:
            return None
        batch, samples = self.costs[index].batch, None
        source: Source = Reliable(separator=separator, batch=batch, done=done)
        if budget and workload:
            source = self._fallback(index, separator, plan, budget, done)
            samples = workload.samples(separator)
        if len({id(one) for one in self._separators if one}) > 1:
            source = Tidying(source)
        cut = tta.chunking(separator, setting, samples)
        return Task(separator=separator, source=source, setting=setting, cut=cut, batch=batch)

    def _fallback(
        self, index: int, separator: Separator, plan: Plan, budget: TimeBudget, done: Done
    ) -> Fallback:
        """Wrap a member for one song with a deadline."""
        fallback = Fallback(
            name=self.recipe.members[index].name,
            inner=separator,
            budget=budget,
            turn=plan.priority.index(index),
            run=self._run,
            batch=self.costs[index].batch,
            done=done,
            watch=lambda busy: self.at_work(index if busy else -1),
        )
        self._fallbacks.append(fallback)
        return fallback

    def _learn(self, plan: Plan, budget: TimeBudget, form: SongFormat) -> None:
        """Update the members' cost estimates from this song.

        A cost in the budget is partly measured during this song, under its load, and partly
        expected, under the load before it. Each part is converted to an idle machine by its own
        load.
        """
        slowdown, workload = self._load.now(), self.workload(form)
        for index, chunk_s, kept in zip(plan.priority, budget.costs_s, budget.kept, strict=True):
            known_s, part = self.costs[index].chunk_s, workload.part(index)
            expected_s = kept * known_s if kept else 0.0
            measured_s = chunk_s - expected_s * part * self._load.slowdown
            idle_s = expected_s + measured_s / slowdown / part
            self.costs[index] = dataclasses.replace(self.costs[index], chunk_s=idle_s)


def _has_weights(member: Member) -> bool:
    """Whether a member's separator opens files of weights."""
    known = member.separator in separators.names()
    return known and bool(separators.required_weights(member.separator, member.options))


class _Song(NamedTuple):
    """The decisions for one song.

    Attributes:
        plan: which members run.
        scheduled: the members, prepared for the song.
        workload: None if the song's length is unknown.
        budget: None if there is no deadline.
    """

    plan: Plan
    scheduled: list[ScheduledMember]
    workload: Workload | None = None
    budget: TimeBudget | None = None
