"""The workload of a song: the number of chunks of each member, and their costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from demixing.audio import SongFormat
from demixing.chunks import tta
from demixing.engine.progress import Report, Work
from demixing.ensemble.setting import Setting
from demixing.schedule.budget import Deadline, TimeBudget
from demixing.schedule.costs import Cost
from demixing.schedule.planner import Plan
from demixing.separator import Separator


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The workload of one song.

    With a deadline, a song shorter than a chunk is cut into shorter chunks where members accept
    them, and each costs a fraction of a full chunk.

    Attributes:
        form: of the song.
        separators: of the recipe's members; None for those that cannot run.
        costs: of the members' full chunks on an idle machine.
        slowdown: factor by which everything is slower on this machine now.
    """

    form: SongFormat
    separators: Sequence[Separator | None]
    costs: Sequence[Cost]
    slowdown: float = 1.0

    def samples(self, separator: Separator) -> int:
        """Length of the song at a member's rate."""
        rate_hz = separator.sample_rate_hz or self.form.sample_rate_hz
        return math.ceil(self.form.frames * rate_hz / self.form.sample_rate_hz)

    def chunks(self, index: int, setting: Setting, *, short: bool = True) -> int:
        """Number of chunks that a member separates for the song.

        Args:
            index: of the member.
            setting: its test-time augmentation.
            short: whether a short song is cut into shorter chunks, as with a deadline.
        """
        separator = self.separators[index]
        if separator is None:
            return 0
        samples = self.samples(separator)
        cut = tta.chunking(separator, setting, samples if short else None)
        return self.form.groups * tta.count(cut, setting, samples)

    def part(self, index: int) -> float:
        """Cost of a chunk of a song with a deadline, as a fraction of a full chunk."""
        separator = self.separators[index]
        if separator is None:
            return 1.0
        cut = separator.chunking
        return cut.fitted(self.samples(separator)).chunk / cut.chunk

    def full_chunks(self, index: int, setting: Setting) -> float:
        """A member's work in full chunks."""
        return self.part(index) * self.chunks(index, setting)

    def budget(self, plan: Plan, deadline: Deadline) -> TimeBudget:
        """Create the time budget of the members until a deadline."""
        return TimeBudget(
            deadline,
            [self.chunks(index, plan.settings[index]) for index in plan.priority],
            [self._chunk_s(index, self.part(index)) for index in plan.priority],
        )

    def progress(self, plan: Plan, report: Report, *, short: bool) -> Work:
        """Create a counter that reports progress.

        Args:
            plan: for the song.
            report: called with each event.
            short: see :meth:`chunks`.
        """
        everyone = range(len(self.separators))
        return Work(
            [self.chunks(index, plan.settings[index], short=short) for index in everyone],
            [self._chunk_s(index, self.part(index) if short else 1.0) for index in everyone],
            self.form.seconds,
            report,
        )

    def _chunk_s(self, index: int, part: float) -> float:
        """Expected seconds for a fraction of a full chunk, on this machine now."""
        return part * self.costs[index].chunk_s * self.slowdown
