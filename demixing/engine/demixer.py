"""A recipe at work: songs stream in, stems stream out, memory stays constant."""

import copy
import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from demixing import audio, separators
from demixing.audio import SongFormat
from demixing.chunks import tta
from demixing.engine.normalisation import Level
from demixing.engine.omissions import Omission
from demixing.engine.pipeline import Lanes, Tap, Turn
from demixing.engine.progress import Report, Work
from demixing.ensemble.setting import Setting
from demixing.errors import CheckpointError, ConfigError, SongError
from demixing.plugins import did_you_mean
from demixing.recipes import optional
from demixing.recipes.recipe import Member, Recipe
from demixing.schedule import planner
from demixing.schedule.budget import Deadline, Guard
from demixing.schedule.contention import Contention
from demixing.schedule.costs import Cost, Costs
from demixing.schedule.fallback import Careful, infer
from demixing.schedule.load import TRIAL_RATE_HZ, TRIAL_S, Copies, Load
from demixing.schedule.planner import Plan
from demixing.schedule.timeout import Helper, Run
from demixing.separator import Chunking, Separator, wanted_level

logger = logging.getLogger(__name__)


class Demixer:
    """Builds the members of a recipe once and separates any number of songs with them.

    Args:
        recipe: what to do. Optional members whose files are missing are left out of it at once.
        forgiving: a member that cannot be built, because its weights are missing or damaged, is
            logged and left out.
        costs: what the members cost on this machine, for planning; without it they are taken to
            cost nothing until they have worked.
        without: indices of members that are left out, in :attr:`recipe`.
        memory_bytes: what a member may need at work, beyond its weights.
        asked: is called with the index of a member before it is built, measured or called, and
            with -1 after.
        contention: of this process, for planning; None takes the machine to be idle.

    Attributes:
        recipe: as given, without the members that are :attr:`absent`; no other one is optional.
        absent: names of the optional members whose files are missing. That is no omission;
            :func:`demixing.recipes.optional.advice` makes a sentence of it.
        asked: as given; may be replaced.
        costs: of each member on an idle machine, corrected by each song.

    Raises:
        ConfigError: a member's name or options are wrong.
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
        asked: Callable[[int], None] = lambda index: None,
        contention: Contention | None = None,
    ) -> None:
        self._load = Load(contention)
        self._unusable: dict[str, str] = {}
        self._wrapped: list[Careful] = []
        self.absent = optional.absent(recipe)
        self.recipe = optional.settled(recipe, self.absent)
        self.asked = asked
        self._forgiving = forgiving
        self._memory_bytes = memory_bytes
        self._run: Run = Helper()
        self._separators: list[Separator | None] = []
        self.costs: list[Cost] = []
        for index, member in enumerate(self.recipe.members):
            self.asked(index)
            separator = None if index in without else self._build(member)
            self._separators.append(separator)
            self.costs.append(self._cost(costs, member, separator))
            self.asked(-1)

    def _build(self, member: Member) -> Separator | None:
        """Build one member and check that it has the stems that the recipe asks it for."""
        try:
            separator = separators.build(member.separator, member.options)
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

    def _cost(self, costs: Costs | None, member: Member, separator: Separator | None) -> Cost:
        """Look up what a member costs; what cannot be measured may still be asked."""
        if costs is None or separator is None:
            return Cost()
        try:
            return costs.of(member.separator, member.options, separator)
        except Exception as error:
            if not self._forgiving:
                raise
            logger.warning("%s: cannot be measured: %s", member.name, error)
            return Cost()

    @property
    def normalises(self) -> bool:
        """Whether a member needs the level of a song before it hears the song."""
        return any(separator and wanted_level(separator) for separator in self._separators)

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """What the present song, or the last one, had to do without so far."""
        unusable = [
            Omission(member=name, part=1.0, reason=reason)
            for name, reason in self._unusable.items()
        ]
        partial = [
            Omission(member=one.name, part=one.missing / one.asked, reason=one.reason)
            for one in self._wrapped
            if one.missing
        ]
        return (*unusable, *partial)

    def warm_up(self) -> None:
        """Use what the time for setting up is for, before the first song.

        Each member is asked once, because the first chunk is slow; and the work around the
        members is measured. Of what goes wrong only the log tells: songs find out what a member
        is worth.
        """
        self._load.restart()
        for index, separator in enumerate(self._separators):
            if separator is None:
                continue
            cut = separator.chunking
            chunk = torch.zeros(1, 2, min((cut.chunk, *cut.shorter)))
            self.asked(index)
            try:
                infer(separator, chunk)
            except Exception as error:
                logger.info("%s: fails at once: %s", self.recipe.members[index].name, error)
            self.asked(-1)
        try:
            self._load.measure(self._try_without_work)
        except Exception as error:  # then it is guessed
            logger.info("the work around the members cannot be measured: %s", error)

    def _try_without_work(self, asked_s: list[float]) -> None:
        """Separate a song of noise by members that only copy it, and note when they are asked."""
        twin = copy.copy(self)
        twin.asked, twin.costs, twin._load = lambda index: None, list(self.costs), Load(None)
        twin._separators = [one and Copies(one, asked_s) for one in self._separators]
        noise = torch.randn(2, round(TRIAL_S * TRIAL_RATE_HZ)) / 10
        blocks = torch.split(noise, audio.BLOCK, dim=-1)
        for _ in twin.stream(
            blocks,
            TRIAL_RATE_HZ,
            samples=noise.shape[-1],
            deadline=Deadline(math.inf),
            level=Level.of(blocks),
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
        level: Level | None = None,
        report: Report | None = None,
    ) -> Iterator[Tensor]:
        """Separate a song that comes in blocks.

        With a deadline there is always an answer in time: what the members have found by then,
        and shares of the mixture where no member has found anything; :attr:`omissions` tells.
        Without one all members work, and their errors are raised.

        Args:
            blocks: ``(channels, samples)`` of any lengths, together the song.
            sample_rate_hz: of the song.
            samples: length of the song, which is needed to plan for a deadline, and to report.
            deadline: when the answer must be there; it may be infinitely far away.
            best: without a deadline, take as much care as the recipe knows of.
            tap: see :class:`demixing.engine.pipeline.Lanes`.
            level: of the song, which is needed if :attr:`normalises`.
            report: is called with each event of the progress.

        Yields:
            ``(stems, channels, samples)``, the stems in the order of the recipe's track; together
            as long as the song.

        Raises:
            SongError: the song is empty, not finite, or of a format that cannot be separated.
            OutputError: a member answered with a NaN or an infinity.
            ValueError: there is a deadline but no length, or a level is needed and not given.
        """
        if samples is None and not (deadline is None and report is None):
            raise ValueError("a deadline and progress need the song's length in samples")
        self._wrapped = []
        song: Lanes | None = None
        guard: Guard | None = None
        plan = planner.without_limits(self.recipe, best=best)
        start = 0
        for block in blocks:
            if song is None:
                channels = block.shape[0]
                audio.check_format(sample_rate_hz, channels)
                form = None
                if samples is not None:
                    form = SongFormat(
                        sample_rate_hz=sample_rate_hz, channels=channels, frames=samples
                    )
                if deadline is not None and form is not None:
                    self._load.begin_song()
                    plan = self.plan(form, budget_s=deadline.remaining_s)
                    tail_s = min(self._load.tail_s(form.seconds), deadline.remaining_s / 2)
                    guard = self._guard(plan, deadline.earlier(tail_s), form)
                song = Lanes(
                    self.recipe,
                    self._turns(plan, guard, form, report),
                    [self.recipe.members[index].name for index in plan.planned],
                    sample_rate_hz,
                    channels,
                    tap,
                    level,
                )
            audio.check_finite(block, start)
            start += block.shape[-1]
            yield song.push(block)
        if song is None or start == 0:
            raise SongError("expected a song of at least one sample, got an empty one")
        yield song.finish()
        if guard is not None and form is not None:
            self._learn(plan, guard, form)

    def plan(self, form: SongFormat, *, budget_s: float) -> Plan:
        """Choose what to do with a song.

        Args:
            form: of the song.
            budget_s: seconds that it may take, on this machine as busy as it was of late.
        """
        budget_s -= self._load.around_s(form.seconds)
        able = zip(self.costs, self._separators, strict=True)
        return planner.plan(
            self.recipe,
            [cost if separator else None for cost, separator in able],
            lambda index, setting: self._work(index, setting, form),
            budget_s=budget_s / self._load.slowdown,
            memory_bytes=self._memory_bytes,
        )

    def chunks(self, index: int, setting: Setting, form: SongFormat, *, short: bool = True) -> int:
        """How many chunks of a song a member is asked for.

        Args:
            index: of the member.
            setting: how much care it takes.
            form: of the song.
            short: whether a short song is cut into shorter chunks, as with a deadline.
        """
        separator = self._separators[index]
        if separator is None:
            return 0
        samples = self._samples(separator, form)
        cut = tta.chunking(separator, setting, samples if short else None)
        return form.groups * tta.count(cut, setting, samples)

    def _samples(self, separator: Separator, form: SongFormat) -> int:
        """Length of a song at a member's rate."""
        rate_hz = separator.sample_rate_hz or form.sample_rate_hz
        return math.ceil(form.frames * rate_hz / form.sample_rate_hz)

    def _part(self, index: int, form: SongFormat) -> float:
        """What a chunk of a song with a deadline costs of a full one."""
        separator = self._separators[index]
        if separator is None:
            return 1.0
        cut: Chunking = separator.chunking
        return cut.fitted(self._samples(separator, form)).chunk / cut.chunk

    def _work(self, index: int, setting: Setting, form: SongFormat) -> float:
        """How many full chunks a member's work on a song amounts to."""
        return self._part(index, form) * self.chunks(index, setting, form)

    def _guard(self, plan: Plan, deadline: Deadline, form: SongFormat) -> Guard:
        """Make the guard that keeps the time of one song."""
        return Guard(
            deadline,
            [self.chunks(index, plan.settings[index], form) for index in plan.priority],
            [
                self.costs[index].chunk_s * self._part(index, form) * self._load.slowdown
                for index in plan.priority
            ],
        )

    def _turns(
        self,
        plan: Plan,
        guard: Guard | None,
        form: SongFormat | None = None,
        report: Report | None = None,
    ) -> list[Turn]:
        """Make the members ready for one song, wrapped if there is a deadline."""
        work = self._progress(plan, form, report, short=guard is not None)
        turns = []
        for index, member in enumerate(self.recipe.members):
            separator = self._separators[index]
            samples = None
            if separator is not None and guard is not None:
                samples = self._samples(separator, form) if form else None
                separator = self._careful(index, separator, guard, plan.priority.index(index))
            turns.append(
                Turn(
                    member=member,
                    separator=separator,
                    setting=plan.settings[index],
                    batch=self.costs[index].batch,
                    samples=samples,
                    done=functools.partial(work.done, index) if work else lambda chunks: None,
                )
            )
        return turns

    def _careful(self, index: int, separator: Separator, guard: Guard, turn: int) -> Careful:
        """Wrap a member for one song with a deadline."""
        careful = Careful(
            name=self.recipe.members[index].name,
            inner=separator,
            guard=guard,
            turn=turn,
            run=self._run,
            watch=lambda busy: self.asked(index if busy else -1),
        )
        self._wrapped.append(careful)
        return careful

    def _progress(
        self, plan: Plan, form: SongFormat | None, report: Report | None, *, short: bool
    ) -> Work | None:
        """Count the work on one song, if it is to be reported."""
        if form is None or report is None:
            return None
        everyone = range(len(self.recipe.members))
        parts = [self._part(index, form) if short else 1.0 for index in everyone]
        return Work(
            [self.chunks(index, plan.settings[index], form, short=short) for index in everyone],
            [parts[index] * self.costs[index].chunk_s * self._load.slowdown for index in everyone],
            form.seconds,
            report,
        )

    def _learn(self, plan: Plan, guard: Guard, form: SongFormat) -> None:
        """Keep what the song has taught about the members' costs, for the next one.

        A cost in the guard is part measured in this song, with its load, and part expected,
        with the load of before: each is turned into that of an idle machine by its own load.
        """
        slowdown = self._load.now()
        learnt = zip(plan.priority, guard.costs_s, guard.kept, strict=True)
        for index, chunk_s, kept in learnt:
            known_s = self.costs[index].chunk_s
            part = self._part(index, form)
            expected_s = kept * known_s if kept else 0.0
            measured_s = chunk_s - expected_s * part * self._load.slowdown
            idle_s = expected_s + measured_s / slowdown / part
            self.costs[index] = dataclasses.replace(self.costs[index], chunk_s=idle_s)
