"""The contract of the stages that a song streams through."""

from typing import Protocol, TypeVar

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Stream(Protocol[In, Out]):
    """Maps one song to results, both in blocks.

    A stream guarantees that

    * the joined results do not depend on how the song was cut into blocks;
    * the joined results are as long as the song and aligned to the sample, although each result may
      be empty, or shorter or longer than the block that was pushed;
    * it buffers a bounded part of the song, so memory does not grow with the song's length.

    A stream is for one song. The caller pushes all blocks in order and then calls :meth:`finish`
    once; nothing can be pushed after that.
    """

    def push(self, block: In, /) -> Out:
        """Add the next samples and return the results that are final, possibly none."""

    def finish(self) -> Out:
        """Return all remaining results."""
