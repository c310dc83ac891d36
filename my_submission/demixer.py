"""A recipe at work: songs stream in, stems stream out, memory stays constant.

The song passes from member to member as *lanes*: the mixture and the stems found so far, aligned
to the sample. Each member adds its stems; because it answers later than it is asked, the lanes
wait for it in a queue no longer than its chunk.
"""

import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from my_submission import audio, separators
from my_submission.budget import Deadline, Guard
from my_submission.careful import Careful, Helper, Missing, Run
from my_submission.errors import CheckpointError, ConfigError, OutputError, SongError
from my_submission.overlap import OverlapAdd
from my_submission.recipe import Member, Recipe
from my_submission.separators import Separator

logger = logging.getLogger(__name__)


class Demixer:
    """Builds the members of a recipe once and separates any number of songs with them.

    Args:
        recipe: what to do.
        forgiving: a member whose weights are missing or damaged is logged and left out.

    Raises:
        ConfigError: a member's name or options are wrong.
        CheckpointError: a member's weights are missing or damaged.
    """

    def __init__(self, recipe: Recipe, *, forgiving: bool = False) -> None:
        self.recipe = recipe
        self._forgiving = forgiving
        self._run: Run = Helper()
        self._separators = [self._build(member) for member in recipe.members]

    def _build(self, member: Member) -> Separator:
        """Build one member and check that it has the stems that the recipe asks it for."""
        try:
            separator = separators.build(member.separator, member.options)
        except CheckpointError as error:
            if not self._forgiving:
                raise
            logger.error("%s is left out: %s", member.separator, error)
            return Missing(tuple(dict.fromkeys(itertools.chain(*member.gives.values()))))
        for part in itertools.chain(*member.gives.values()):
            if part not in separator.stems:
                raise ConfigError(
                    f"recipe {self.recipe.name!r}: separator {member.separator!r} has no stem "
                    f"{part!r}{separators.did_you_mean(part, list(separator.stems))}"
                )
        return separator

    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate_hz: int,
        *,
        samples: int | None = None,
        deadline: Deadline | None = None,
    ) -> Iterator[Tensor]:
        """Separate a song that comes in blocks.

        With a deadline there is always an answer in time: members that fail or are late are
        replaced, chunk by chunk, by shares of the mixture. Without one their errors are raised.

        Args:
            blocks: ``(channels, samples)`` of any lengths, together the song.
            sample_rate_hz: of the song.
            samples: length of the song, which is needed to plan for a deadline.
            deadline: when the answer must be there.

        Yields:
            ``(stems, channels, samples)``, the stems in the order of the recipe's track; together
            as long as the song.

        Raises:
            SongError: the song is empty, not finite, or of a format that cannot be separated.
            OutputError: a member answered with a NaN or an infinity.
            ValueError: there is a deadline but no length.
        """
        if deadline is not None and samples is None:
            raise ValueError("a deadline cannot be kept without the song's length in samples")
        lanes: _Lanes | None = None
        start = 0
        for block in blocks:
            if lanes is None:
                audio.check_format(sample_rate_hz, block.shape[0])
                built = self._separators
                if deadline is not None and samples is not None:
                    groups = len(audio.pairs_of(block.shape[0]))
                    built = self._careful(deadline, samples / sample_rate_hz, groups)
                lanes = _Lanes(self.recipe, built, sample_rate_hz, block.shape[0])
            audio.check_finite(block, start)
            start += block.shape[-1]
            yield lanes.push(block)
        if lanes is None or start == 0:
            raise SongError("expected a song of at least one sample, got an empty one")
        yield lanes.finish()

    def _careful(self, deadline: Deadline, song_s: float, groups: int) -> list[Separator]:
        """Wrap the members for one song, so that they cannot fail or be late."""
        chunks = []
        for separator in self._separators:
            samples = math.ceil(song_s * (separator.sample_rate_hz or audio.MAX_RATE_HZ))
            chunks.append(groups * separator.chunking.count(samples))
        guard = Guard(deadline, chunks)
        careful: list[Separator] = []
        for index, member in enumerate(self.recipe.members):
            separator = self._separators[index]
            # Of what it hears, each stem that is in there is expected to be an equal share.
            share = 1 / (len(self.recipe.track.stems) - len(member.minus))
            shares = torch.zeros(len(separator.stems))
            for parts in member.gives.values():
                for part in parts:
                    shares[separator.stems.index(part)] = share / len(parts)
            careful.append(
                Careful(
                    name=member.separator,
                    inner=separator,
                    shares=shares,
                    guard=guard,
                    member=index,
                    run=self._run,
                )
            )
        return careful


class _Lanes:
    """One song on its way through the members of a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        built: Sequence[Separator],
        sample_rate_hz: int,
        channels: int,
    ) -> None:
        self._recipe = recipe
        self._channels = channels
        groups = len(audio.pairs_of(channels))
        self._names: list[str] = []
        self._stages = []
        for member, separator in zip(recipe.members, built, strict=True):
            stage = _Stage(member, separator, list(self._names), sample_rate_hz, groups)
            self._stages.append(stage)
            self._names.extend(member.gives)

    def push(self, block: Tensor) -> Tensor:
        """Map the next ``(channels, samples)`` to the stems that are finished."""
        lanes = audio.to_pairs(block)[:, None]
        for stage in self._stages:
            lanes = stage.push(lanes)
        return self._stems(lanes)

    def finish(self) -> Tensor:
        """Return all stems that are still owed."""
        lanes: Tensor | None = None
        for stage in self._stages:
            late = [stage.push(lanes)] if lanes is not None else []
            lanes = torch.cat([*late, stage.finish()], dim=-1)
        assert lanes is not None  # a recipe has a member, or its stems would not be complete
        return self._stems(lanes)

    def _stems(self, lanes: Tensor) -> Tensor:
        """Pick the track's stems from the lanes, ``(groups, 1 + stems, 2, samples)``."""
        found = dict(zip(self._names, lanes[:, 1:].unbind(1), strict=True))
        if self._recipe.residual:
            found[self._recipe.residual] = lanes[:, 0] - lanes[:, 1:].sum(dim=1)
        for stem, pairs in found.items():
            if not torch.isfinite(pairs).all():
                raise OutputError(
                    f"recipe {self._recipe.name!r} answered with a NaN or an infinity in the stem "
                    f"{stem!r}; choose another recipe and report this one"
                )
        ordered = torch.stack([found[stem] for stem in self._recipe.track.stems], dim=1)
        return audio.from_pairs(ordered, self._channels)


class _Stage:
    """One member at work on one song: resampled to its rate, chunked, and resampled back."""

    def __init__(
        self,
        member: Member,
        separator: Separator,
        lanes: list[str],
        sample_rate_hz: int,
        groups: int,
    ) -> None:
        rate_hz = separator.sample_rate_hz or sample_rate_hz
        self._minus = [1 + lanes.index(stem) for stem in member.minus]
        self._parts = [
            [separator.stems.index(part) for part in parts] for parts in member.gives.values()
        ]
        self._groups = groups
        self._queue: list[Tensor] = []
        self._waiting = torch.zeros(groups, 1 + len(lanes), 2, 0)
        self._into = audio.Resampler(sample_rate_hz, rate_hz, groups * 2)
        self._chunks = OverlapAdd(separator, groups=groups)
        self._back = audio.Resampler(rate_hz, sample_rate_hz, groups * len(member.gives) * 2)

    def push(self, lanes: Tensor) -> Tensor:
        """Take lanes ``(groups, lanes, 2, samples)`` and return those that have my stems too."""
        self._queue.append(lanes)
        heard = lanes[:, 0] - lanes[:, self._minus].sum(dim=1)
        done = self._chunks.push(self._into.push(heard))
        return self._join(self._back.push(self._gives(done)))

    def finish(self) -> Tensor:
        """Return all lanes that still wait for my stems."""
        silence = self._waiting.new_zeros(self._groups, 2, 0)
        rest = self._chunks.push(self._into.push(silence, last=True))
        rest = torch.cat([rest, self._chunks.finish()], dim=-1)
        stems = self._back.push(self._gives(rest), last=True)
        # Two conversions of the rate may gain or lose a sample at the end.
        owed = self._waiting.shape[-1] + sum(lanes.shape[-1] for lanes in self._queue)
        return self._join(F.pad(stems, (0, owed - stems.shape[-1])))

    def _gives(self, stems: Tensor) -> Tensor:
        """Sum the separator's stems to those of the track."""
        return torch.stack([stems[:, parts].sum(dim=1) for parts in self._parts], dim=1)

    def _join(self, stems: Tensor) -> Tensor:
        """Append stems to the lanes that waited for them."""
        samples = stems.shape[-1]
        if samples:
            self._waiting = torch.cat([self._waiting, *self._queue], dim=-1)
            self._queue.clear()
        ready, self._waiting = self._waiting[..., :samples], self._waiting[..., samples:]
        return torch.cat([ready, stems], dim=1)
