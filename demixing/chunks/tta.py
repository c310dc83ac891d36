"""Test-time augmentation: several passes over a song, each cut elsewhere; their mean is better.

What a network gets wrong depends on where a chunk begins, on the sign of the waveform and on which
channel is which; what it gets right does not. So the errors of the passes cancel in part.
"""

import torch
from torch import Tensor

from demixing.chunks.overlap_add import Done, OverlapAdd
from demixing.ensemble.setting import Setting
from demixing.separator import ANSWERED, Chunking, Separator


class Passes:
    """Streams one song through a separator as often as a setting says.

    Args:
        separator: what maps chunks to stems.
        setting: how often, and what differs.
        groups: stereo pairs of the song.
        batch: chunks at once.
        samples: length of the song at the separator's rate, if short songs may be cut into
            shorter chunks.
        done: is called with the number of chunks that have just been separated.

    Shape:
        as of :class:`demixing.chunks.overlap_add.OverlapAdd`.
    """

    def __init__(
        self,
        separator: Separator,
        setting: Setting,
        *,
        groups: int,
        batch: int,
        samples: int | None = None,
        done: Done = lambda chunks: None,
    ) -> None:
        cut = chunking(separator, setting, samples)
        self._passes = [
            _Pass(separator, setting, number, groups, batch, cut, done)
            for number in range(setting.passes)
        ]

    def push(self, heard: Tensor) -> Tensor:
        """Take the next samples and return the stems that are finished."""
        return self._mean([one.push(heard) for one in self._passes])

    def finish(self) -> Tensor:
        """Return the stems that are still owed."""
        return self._mean([one.finish() for one in self._passes])

    def _mean(self, passes: list[Tensor]) -> Tensor:
        """Average what all passes have finished; the rest of those that are ahead waits."""
        if len(passes) == 1:
            return passes[0]
        for one, stems in zip(self._passes, passes, strict=True):
            one.ahead = torch.cat([one.ahead, stems], dim=-1)
        samples = min(one.ahead.shape[-1] for one in self._passes)
        mean = torch.stack([one.ahead[..., :samples] for one in self._passes]).mean(dim=0)
        for one in self._passes:
            one.ahead = one.ahead[..., samples:]
        return mean


class _Pass:
    """One of several passes of a member over a song.

    Args:
        separator: asks the member.
        setting: how much care it takes.
        number: from 0 on; each pass cuts elsewhere, and hears the song in its own way.
        groups: stereo pairs of the song.
        batch: chunks at once.
        cut: how the song is cut.
        done: see :class:`Passes`.
    """

    def __init__(
        self,
        separator: Separator,
        setting: Setting,
        number: int,
        groups: int,
        batch: int,
        cut: Chunking,
        done: Done,
    ) -> None:
        self._sign = -1.0 if setting.polarity and number % 2 else 1.0
        turns = number // 2 if setting.polarity else number
        self._swap = setting.channel_swap and turns % 2 == 1
        self._careful = ANSWERED in separator.stems
        self._chunks = OverlapAdd(
            separator,
            groups=groups,
            batch=batch,
            chunking=cut,
            offset=offset(setting, number, cut.hop),
            skip_silence=not self._careful,
            done=done,
        )
        self.ahead = torch.zeros(groups, len(separator.stems), 2, 0)

    def push(self, heard: Tensor) -> Tensor:
        """Take the next samples and return the stems that are finished."""
        heard = heard.flip(-2) if self._swap else heard
        return self._undone(self._chunks.push(self._sign * heard if self._sign < 0 else heard))

    def finish(self) -> Tensor:
        """Return the stems that are still owed."""
        return self._undone(self._chunks.finish())

    def _undone(self, stems: Tensor) -> Tensor:
        """Undo what the pass did to the song; whether there is an answer has no sign."""
        stems = stems.flip(-2) if self._swap else stems
        if self._sign > 0:
            return stems
        signs = stems.new_full((stems.shape[1], 1, 1), self._sign)
        if self._careful:
            signs[-1] = 1.0
        return signs * stems


def chunking(separator: Separator, setting: Setting, samples: int | None = None) -> Chunking:
    """How a separator's song is cut with a setting.

    Args:
        separator: what maps chunks to stems.
        setting: may have an overlap of its own.
        samples: length of the song, if short songs may be cut into shorter chunks.
    """
    cut = separator.chunking if samples is None else separator.chunking.fitted(samples)
    return cut if setting.overlap is None else cut.overlapping(setting.overlap)


def offset(setting: Setting, number: int, hop: int) -> int:
    """By how much the chunks of a pass start earlier: passes are spread evenly over a hop.

    >>> [offset(Setting(passes=4), number, 100) for number in range(4)]
    [0, 25, 50, 75]
    """
    return number * hop // setting.passes


def count(cut: Chunking, setting: Setting, samples: int) -> int:
    """How many chunks of a song a separator is asked for with a setting.

    Args:
        cut: what :func:`chunking` returns for the setting.
        setting: tells how often.
        samples: length of the song at the separator's rate.
    """
    return sum(
        cut.count(samples, offset(setting, number, cut.hop)) for number in range(setting.passes)
    )
