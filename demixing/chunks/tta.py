"""Test-time augmentation (TTA): averages several slightly different passes over a song.

A network's errors depend on where chunks start, on the sign of the waveform, and on which channel
is left. The correct part of its output does not. So the errors partly cancel in the mean.

* Shift trick: each pass cuts the song in different places.
* Polarity: every other pass separates the song with its sign inverted.
* Channel swap: passes alternate between original and swapped left and right channels.
"""

from collections.abc import Iterator

from torch import Tensor

from demixing.chunks.answer import Answer, Source
from demixing.chunks.overlap_add import AnswerOverlapAdd
from demixing.ensemble.setting import Setting
from demixing.errors import ConfigError
from demixing.separator import Chunking, Separator


class AugmentedStream:
    """Streams one song through a source, once per pass of a setting.

    Args:
        source: separates chunks.
        setting: number of passes, and how they differ.
        cut: how the song is cut, see :func:`chunking`.
        groups: stereo pairs of the song.
        batch: chunks to collect before the source is called.

    Shape:
        in ``(groups, 2, samples)``, out answers with ``(groups, stems, 2, samples)``. Where only
        some passes are valid, the mean is taken over those.
    """

    def __init__(
        self, source: Source, setting: Setting, cut: Chunking, *, groups: int, batch: int
    ) -> None:
        self._passes = [
            _Pass(source, setting, number, cut, groups=groups, batch=batch)
            for number in range(setting.passes)
        ]
        self._nothing = source.nothing(groups)
        self._ahead = [self._nothing] * setting.passes

    def push(self, block: Tensor) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return Answer.joined([self._nothing, *self.answers(block)])

    def finish(self) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return Answer.joined([self._nothing, *self.last_answers()])

    def answers(self, block: Tensor) -> Iterator[Answer]:
        """Like :meth:`push`, one by one as they become final."""
        if len(self._passes) == 1:
            yield from self._passes[0].answers(block)
        else:
            yield self._mean([list(one.answers(block)) for one in self._passes])

    def last_answers(self) -> Iterator[Answer]:
        """Like :meth:`finish`, one by one."""
        if len(self._passes) == 1:
            yield from self._passes[0].last_answers()
        else:
            yield self._mean([list(one.last_answers()) for one in self._passes])

    def _mean(self, answers: list[list[Answer]]) -> Answer:
        """Average the samples that all passes have finished; keep the rest for later."""
        both = zip(self._ahead, answers, strict=True)
        known = [Answer.joined([ahead, *new]) for ahead, new in both]
        samples = min(one.samples for one in known)
        ready, self._ahead = map(list, zip(*(one.split(samples) for one in known), strict=True))
        return Answer.mean(ready)


class _Pass:
    """One of several passes of a member over a song.

    Args:
        source: see :class:`AugmentedStream`, also for the other arguments.
        setting: how passes differ.
        number: of the pass, from 0.
        cut: how the song is cut.
        groups: stereo pairs of the song.
        batch: chunks to collect before the source is called.
    """

    def __init__(
        self,
        source: Source,
        setting: Setting,
        number: int,
        cut: Chunking,
        *,
        groups: int,
        batch: int,
    ) -> None:
        self._inverted = setting.polarity and number % 2 == 1
        turn = number // 2 if setting.polarity else number
        self._swapped = setting.channel_swap and turn % 2 == 1
        shift = offset(setting, number, cut.hop)
        self._chunks = AnswerOverlapAdd(source, cut, groups=groups, batch=batch, offset=shift)

    def answers(self, block: Tensor) -> Iterator[Answer]:
        """See :meth:`AugmentedStream.answers`."""
        block = block.flip(-2) if self._swapped else block
        return map(self._restored, self._chunks.answers(-1.0 * block if self._inverted else block))

    def last_answers(self) -> Iterator[Answer]:
        """See :meth:`AugmentedStream.last_answers`."""
        return map(self._restored, self._chunks.last_answers())

    def _restored(self, answer: Answer) -> Answer:
        """Undo the augmentation in the stems."""
        stems = answer.stems.flip(-2) if self._swapped else answer.stems
        return Answer(-1.0 * stems if self._inverted else stems, answer.valid)


def chunking(separator: Separator, setting: Setting, samples: int | None = None) -> Chunking:
    """How a song is cut for a separator with a setting.

    Args:
        separator: maps chunks to stems.
        setting: its overlap, if any, replaces the separator's.
        samples: length of the song at the separator's rate; given if a short song may be cut into
            shorter chunks.

    Raises:
        ConfigError: the separator's window needs more overlap.
    """
    cut = separator.chunking if samples is None else separator.chunking.fitted(samples)
    if setting.overlap is None:
        return cut
    try:
        return cut.overlapping(setting.overlap)
    except ValueError as error:
        raise ConfigError(
            f"expected an overlap of 0.5 or more for a separator with {cut.window.value} windows, "
            f"got {setting.overlap}; raise it or leave it out"
        ) from error


def offset(setting: Setting, number: int, hop: int) -> int:
    """How many samples earlier the chunks of a pass start; passes are spread evenly over a hop.

    >>> [offset(Setting(passes=4), number, 100) for number in range(4)]
    [0, 25, 50, 75]
    """
    return number * hop // setting.passes


def count(cut: Chunking, setting: Setting, samples: int) -> int:
    """Number of chunks that a separator processes for a song with a setting.

    Args:
        cut: the result of :func:`chunking` for the setting.
        setting: has the number of passes.
        samples: length of the song at the separator's rate.
    """
    return sum(
        cut.count(samples, offset(setting, number, cut.hop)) for number in range(setting.passes)
    )
