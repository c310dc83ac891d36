"""Test-time augmentation (TTA): several passes over a song, each a little different, are averaged.

The errors of a network depend on where a chunk begins, on the sign of the waveform, and on which
channel is left; what it gets right does not. So part of the errors of the passes cancel.

* Shift trick: each pass cuts the song in other places.
* Polarity: every other pass separates the song with its sign inverted.
* Channel swap: passes alternate between left and right as they are, and exchanged.
"""

from torch import Tensor

from demixing.chunks.answer import Answer, Source
from demixing.chunks.overlap_add import AnswerOverlapAdd
from demixing.chunks.stream import Stream
from demixing.ensemble.setting import Setting
from demixing.separator import Chunking, Separator


class AugmentedStream:
    """Streams one song through a source of answers as many times as a setting says.

    Args:
        source: answers for chunks.
        setting: how many passes, and how they differ.
        cut: how the song is cut, see :func:`chunking`.
        groups: stereo pairs of the song.
        batch: chunks to collect before the source is asked.

    Shape:
        in ``(groups, 2, samples)``, out answers with ``(groups, stems, 2, samples)``. Where only
        some passes have an answer, the mean is taken over those that do.
    """

    def __init__(
        self, source: Source, setting: Setting, cut: Chunking, *, groups: int, batch: int
    ) -> None:
        self._passes: list[Stream[Tensor, Answer]] = [
            _Pass(source, setting, number, cut, groups=groups, batch=batch)
            for number in range(setting.passes)
        ]
        self._ahead = [source.nothing(groups)] * setting.passes

    def push(self, block: Tensor) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._mean([one.push(block) for one in self._passes])

    def finish(self) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._mean([one.finish() for one in self._passes])

    def _mean(self, answers: list[Answer]) -> Answer:
        """Average what all passes have finished; what some are ahead of the others waits."""
        if len(answers) == 1:
            return answers[0]
        known = [Answer.joined(pair) for pair in zip(self._ahead, answers, strict=True)]
        samples = min(one.samples for one in known)
        ready, self._ahead = map(list, zip(*(one.split(samples) for one in known), strict=True))
        return Answer.mean(ready)


class _Pass:
    """One of several passes of a member over a song.

    Args:
        source: see :class:`AugmentedStream`, as for the other arguments.
        setting: how passes differ.
        number: of the pass, from 0 on.
        cut: how the song is cut.
        groups: stereo pairs of the song.
        batch: chunks to collect before the source is asked.
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

    def push(self, block: Tensor) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        block = block.flip(-2) if self._swapped else block
        return self._restored(self._chunks.push(-1.0 * block if self._inverted else block))

    def finish(self) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._restored(self._chunks.finish())

    def _restored(self, answer: Answer) -> Answer:
        """Undo in the stems what the pass did to the song."""
        stems = answer.stems.flip(-2) if self._swapped else answer.stems
        return Answer(-1.0 * stems if self._inverted else stems, answer.valid)


def chunking(separator: Separator, setting: Setting, samples: int | None = None) -> Chunking:
    """How a separator's song is cut with a setting.

    Args:
        separator: what maps chunks to stems.
        setting: its overlap replaces that of the separator, if it has one.
        samples: length of the song at the separator's rate, if a short song may be cut into shorter
            chunks.
    """
    cut = separator.chunking if samples is None else separator.chunking.fitted(samples)
    return cut if setting.overlap is None else cut.overlapping(setting.overlap)


def offset(setting: Setting, number: int, hop: int) -> int:
    """How many samples earlier the chunks of a pass start: passes spread evenly over a hop.

    >>> [offset(Setting(passes=4), number, 100) for number in range(4)]
    [0, 25, 50, 75]
    """
    return number * hop // setting.passes


def count(cut: Chunking, setting: Setting, samples: int) -> int:
    """How many chunks of a song a separator is asked for with a setting.

    Args:
        cut: what :func:`chunking` returns for the setting.
        setting: has the number of passes.
        samples: length of the song at the separator's rate.
    """
    return sum(
        cut.count(samples, offset(setting, number, cut.hop)) for number in range(setting.passes)
    )
