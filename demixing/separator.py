"""The contract of separators: the chunks they take, and the stems they return for a batch.

A separator knows nothing about songs. It declares its chunking and maps a batch of chunks to stems.
:mod:`demixing.chunks.overlap_add` cuts songs, cross-fades and joins. This keeps separators short,
and memory use independent of the song's length.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # listing names must not cost the seconds that torch takes to import
    from torch import Tensor


class SongEnd(Enum):
    """Which chunk is the last one, and what it contains beyond the end of the song.

    Either the last chunk is the first one that reaches the end:

    * ``ZERO_FILLED``: it is zero-padded.
    * ``RAGGED``: it ends with the song, so it is shorter; for networks whose output depends on the
      chunk length.
    * ``PADDED``: it is zero-padded, and the song has a context of silence at both ends, which is
      discarded like any other context. KUIELab's networks need this: they have always been run
      with context.

    Or, as in Demucs, a chunk starts at every hop of the song, and the song has a context of silence
    at both ends:

    * ``EVERY_HOP``: chunks are zero-padded.
    * ``EVERY_HOP_RAGGED``: chunks end with the song.
    * ``EVERY_HOP_CENTRED``: chunks that reach past the end are moved back by half of the excess,
      which puts audio on both sides of the part that is kept. Requires a context of 0.

    Or a chunk starts at every hop, and the first one starts ``chunk - hop`` samples before the
    song. So all samples are in equally many chunks. These ends require a context of 0:

    * ``COVERED``: there is silence before and after the song. KUIELab's networks of 2023.
    * ``MIRRORED``: the song is mirrored at both ends. BandIt.
    * ``MIRRORED_IF_LONG``: the same, but a song of at most ``2 * (chunk - hop)`` samples starts
      with the first chunk. Its chunks are continued by their mirror image if it fills more than
      half of them, else by silence. The Music-Source-Separation-Training project.
    """

    ZERO_FILLED = "zero-filled"
    RAGGED = "ragged"
    PADDED = "padded"
    EVERY_HOP = "every hop"
    EVERY_HOP_RAGGED = "every hop, ragged"
    EVERY_HOP_CENTRED = "every hop, centred"
    COVERED = "covered"
    MIRRORED = "mirrored"
    MIRRORED_IF_LONG = "mirrored if long"

    @property
    def every_hop(self) -> bool:
        """Whether a chunk starts at every hop of the song."""
        return self not in (SongEnd.ZERO_FILLED, SongEnd.RAGGED, SongEnd.PADDED)

    @property
    def ragged(self) -> bool:
        """Whether chunks end with the song."""
        return self in (SongEnd.RAGGED, SongEnd.EVERY_HOP_RAGGED)

    @property
    def centred(self) -> bool:
        """Whether chunks that reach past the end are moved back."""
        return self is SongEnd.EVERY_HOP_CENTRED

    @property
    def covered(self) -> bool:
        """Whether the first chunk starts before the song, so that all chunks overlap alike."""
        return self is SongEnd.COVERED or self.mirrored

    @property
    def mirrored(self) -> bool:
        """Whether the song continues as its mirror image."""
        return self in (SongEnd.MIRRORED, SongEnd.MIRRORED_IF_LONG)

    @property
    def padded(self) -> bool:
        """Whether the song has a context of silence at both ends."""
        return self not in (SongEnd.ZERO_FILLED, SongEnd.RAGGED)


class Window(Enum):
    """The weight of each sample of a chunk in the average of overlapping chunks.

    * ``CROSS_FADE``: rises and falls linearly over the overlap; a triangle if chunks overlap by
      half or more.
    * ``FLAT``: the same for all samples, so the output is the mean of all chunks.
    * ``TENTHS``: rises from 0 and falls to 0 linearly over a tenth of the chunk.
    * ``HANN``: the periodic Hann window.
    """

    CROSS_FADE = "cross-fade"
    FLAT = "flat"
    TENTHS = "tenths"
    HANN = "Hann"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How a separator's songs are cut; all lengths in samples at its own rate.

        |context|  fade  |      flat      |  fade  |context|     one chunk
                         |<------------- hop ------------->|

    The picture is that of the default window.

    Attributes:
        chunk: length of the pieces that :meth:`Separator.separate` accepts.
        hop: distance between the starts of consecutive chunks. The rest of a chunk without its
            context is averaged with the next chunks.
        window: weights of that average.
        context: samples at both ends whose output is discarded, because networks have edge effects
            and filters have not settled there. The ends of a song are kept, unless it is padded.
        step: with hops that are multiples of it, all chunks share one grid of frames.
        shorter: shorter chunk lengths that are accepted when memory runs out, longest first.
        end: how the song ends.
        lead: samples of silence before the song, for networks whose first frames start there.
        frame_hop: hop of an STFT with frames of four hops, if chunks consist of whole frames and
            neighbours overlap by three hops. Chunks are then joined by squared windows, as the
            inverse STFT joins frames, so the joint is the same as in one long sequence of frames.
        fewest: the last chunk is the first one that reaches the end of the song, although the end
            has a chunk at every hop. Without it, Demucs' last chunk often only repeats samples that
            the one before it contains.

    Raises:
        ValueError: the lengths leave samples uncovered, or contradict each other.
    """

    chunk: int
    hop: int
    context: int = 0
    step: int = 1
    shorter: tuple[int, ...] = ()
    end: SongEnd = SongEnd.ZERO_FILLED
    lead: int = 0
    frame_hop: int = 0
    window: Window = Window.CROSS_FADE
    fewest: bool = False

    def __post_init__(self) -> None:
        if self.context < 0 or not 0 < self.hop <= self.chunk - 2 * self.context:
            raise ValueError(f"need context >= 0 and 0 < hop <= chunk - 2 * context, got {self}")
        if self.frame_hop and self.context:
            raise ValueError(f"chunks of whole frames have no context, got {self}")
        if (self.end.centred or self.end.covered) and self.context:
            raise ValueError(f"centred or covered chunks have no context, got {self}")
        if self.end.covered and self.fewest:
            raise ValueError(f"covered songs need a chunk at every hop, got {self}")
        if self.end.covered and self.lead:
            raise ValueError(f"covered songs have no other silence before them, got {self}")
        if self.window is Window.HANN and 2 * self.hop > self.chunk - 2 * self.context:
            raise ValueError(f"Hann windows must overlap by half or more, got {self}")

    @property
    def every_hop(self) -> bool:
        """Whether a chunk starts at every hop of the song."""
        return self.end.every_hop and not self.fewest

    @property
    def silence(self) -> int:
        """Samples of silence added at each end of a song."""
        return self.context if self.end.padded else 0

    def before(self, samples: int) -> int:
        """Number of samples that the first chunk of a song of ``samples`` has before the song.

        The context is not counted.
        """
        overlap = self.chunk - self.hop
        if self.end is SongEnd.MIRRORED_IF_LONG and samples <= 2 * overlap:
            return 0
        return overlap if self.end.covered else self.lead

    def count(self, samples: int, offset: int = 0) -> int:
        """Number of chunks that a song of ``samples`` is cut into.

        Args:
            samples: length of the song.
            offset: all chunks except the first start this many samples earlier.

        >>> [Chunking(chunk=10, hop=6, context=2).count(samples) for samples in (1, 10, 11, 17)]
        [1, 1, 2, 3]
        """
        samples += self.before(samples)
        if self.every_hop:
            return max(-(-(samples + offset) // self.hop), 1)
        samples += 2 * self.silence
        if samples <= self.chunk:
            return 1
        return 1 + -(-(samples - self.chunk + offset) // self.hop)

    def overlapping(self, overlap: float) -> Chunking:
        """The same chunks with another overlap, a fraction of the chunk without its context.

        With another hop the output changes anyway, so chunks that add nothing are left out.

        Raises:
            ValueError: the window needs more overlap.

        >>> Chunking(chunk=100, hop=80, context=10, step=8).overlapping(0.5).hop
        40
        """
        wanted = (self.chunk - 2 * self.context) * (1 - overlap) // self.step * self.step
        hop = max(int(wanted), self.step)
        fewest = self.fewest or (hop != self.hop and self.every_hop and not self.end.covered)
        return dataclasses.replace(self, hop=hop, fewest=fewest)

    def shortened(self, chunk: int) -> Chunking:
        """Chunks of another length, with proportional context and an eighth of the rest as fade.

        >>> cut = Chunking(chunk=100, hop=80, context=10).shortened(40)
        >>> cut.chunk, cut.hop, cut.context
        (40, 28, 4)
        """
        context = self.context * chunk // self.chunk // self.step * self.step
        hop = (chunk - 2 * context) * 7 // 8 // self.step * self.step
        if self.frame_hop:
            hop = chunk - 3 * self.frame_hop
        return dataclasses.replace(self, chunk=chunk, hop=max(hop, 1), context=context, shorter=())

    def fitted(self, samples: int) -> Chunking:
        """The same chunks, or for a short song the shortest accepted ones that contain it.

        A chunk of mostly silence costs as much as a chunk of music.

        Args:
            samples: length of the song.

        >>> cut = Chunking(chunk=100, hop=80, context=10, shorter=(60, 30))
        >>> [cut.fitted(samples).chunk for samples in (20, 30, 31, 61)]
        [30, 30, 60, 100]
        """
        around = self.lead + 2 * self.silence + 3 * self.frame_hop
        enough = [length for length in self.shorter if length >= samples + around]
        if not enough:
            return self
        cut = self.shortened(min(enough))
        if not cut.end.every_hop or cut.end.covered:
            return cut
        # Otherwise a second chunk would only repeat the end of a song that the first contains.
        return dataclasses.replace(cut, hop=max(cut.hop, samples + cut.lead))


class Separator(Protocol):
    """Separates chunks of a mixture into stems."""

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order of the second axis of :meth:`separate`."""

    @property
    def sample_rate_hz(self) -> int | None:
        """The sample rate that :meth:`separate` requires; None if any will do."""

    @property
    def chunking(self) -> Chunking:
        """The chunks that :meth:`separate` takes."""

    def separate(self, chunks: Tensor) -> Tensor:
        """Separate a batch of chunks, which may belong to different songs.

        Args:
            chunks: float32 stereo mixtures, ``(batch, 2, chunk)``; shorter at the end of a song
                if the separator's chunks are ragged. Not modified.

        Returns:
            ``(batch, stems, 2, chunk)``, float32, of the same length as ``chunks``.
        """


@dataclass(frozen=True, slots=True)
class Loudness:
    """A separator's input has this loudness, whatever the song's is.

    Attributes:
        lufs: integrated loudness, see :mod:`demixing.audio.loudness`.
    """

    lufs: float


def input_normalisation(separator: Separator) -> str | Loudness:
    """How a separator's input is normalised.

    It is the separator's optional attribute ``normalises``; see
    :mod:`demixing.engine.normalisation`.

    Returns:
        The deviation that the input is divided by, ``mono``, ``stereo`` or ``population``; its
        loudness; or ``""``: it is not normalised.
    """
    found: str | Loudness = getattr(separator, "normalises", "")
    return found


def answers_silence(separator: Separator) -> bool:
    """Whether a separator's output for silence is something else, such as its network's biases.

    It is the separator's optional attribute of this name.
    """
    return bool(getattr(separator, "answers_silence", False))


def distinct(stems: object) -> tuple[str, ...]:
    """Return the stem names in a recipe's options as a tuple.

    Raises:
        ValueError: they are not a list of distinct names.
    """
    if not isinstance(stems, list | tuple) or not all(isinstance(stem, str) for stem in stems):
        raise ValueError(f"stems must be a list of names, got {stems!r}")
    if not stems or len(set(stems)) < len(stems):
        raise ValueError(f"stems must be at least one and all different, got {stems!r}")
    return tuple(stems)
