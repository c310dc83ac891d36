"""The contract of everything that a song streams through."""

from typing import Protocol, TypeVar

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Stream(Protocol[In, Out]):
    """Maps one song, which comes in blocks, to results, which leave in blocks.

    A stream promises that

    * the results, joined, do not depend on how the song was cut into blocks;
    * the results together are as long as the song, sample aligned to sample, although each result
      may be shorter or longer than the block that was pushed, or empty;
    * it holds a bounded part of the song, so memory does not grow with the song's length.

    A stream serves one song. The caller pushes all blocks in their order and then calls
    :meth:`finish` once; nothing can be pushed after that.
    """

    def push(self, block: In, /) -> Out:
        """Take the next samples and return the results that are final, perhaps none."""

    def finish(self) -> Out:
        """Return all results that are still owed."""
