"""A picture of how a song is cut: the weights of three neighbouring chunks over time, as SVG."""

from dataclasses import dataclass

from demixing.separator import Chunking, Window

WIDTH, HEIGHT, TOP, FLOOR = 640, 150, 16, 96
"""Of the picture, and where weights 1 and 0 are, in its own units."""

SHOWN = 3
"""Chunks."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Turns samples into units of the picture.

    Attributes:
        samples: that the picture shows.
    """

    samples: int

    def x(self, sample: float) -> float:
        """Horizontal position of a sample."""
        return round(8 + (WIDTH - 16) * sample / self.samples, 1)


def draw(cut: Chunking, sample_rate_hz: int) -> str:
    """Draw the chunks of a separator.

    Args:
        cut: its chunking.
        sample_rate_hz: its rate; times in the picture are seconds.

    Returns:
        An SVG element in one line, with a title for those who cannot see it.
    """
    count = 1 if cut.hop == cut.chunk else SHOWN
    scale = Scale(cut.chunk + (count - 1) * cut.hop)
    chunks = "".join(_chunk(cut, index * cut.hop, scale) for index in range(count))
    title = sentence(cut, sample_rate_hz)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    lengths = _lengths(cut, sample_rate_hz, scale)
    return f'<svg class="chunks" {size}><title>{title}</title>{chunks}{lengths}</svg>'


def sentence(cut: Chunking, sample_rate_hz: int) -> str:
    """Say in words what the picture shows.

    >>> sentence(Chunking(chunk=80, hop=60, context=10), 10)
    'Chunks of 8 s start every 6 s; 1 s at each end is context, whose output is thrown away.'
    """
    text = f"Chunks of {_s(cut.chunk, sample_rate_hz)} start every {_s(cut.hop, sample_rate_hz)}"
    if not cut.context:
        return f"{text}."
    context = _s(cut.context, sample_rate_hz)
    return f"{text}; {context} at each end is context, whose output is thrown away."


def weights(cut: Chunking) -> list[tuple[float, float]]:
    """Return corners of the curve of a chunk's weights: sample and weight.

    >>> weights(Chunking(chunk=10, hop=6, context=1))
    [(1, 0.0), (3, 1.0), (7, 1.0), (9, 0.0)]
    >>> weights(Chunking(chunk=10, hop=2, window=Window.FLAT))
    [(0, 0.0), (0, 1.0), (10, 1.0), (10, 0.0)]
    """
    start, end = cut.context, cut.chunk - cut.context
    if cut.window is Window.HANN:
        import math

        steps = range(33)
        return [
            (start + (end - start) * i / 32, 0.5 - 0.5 * math.cos(2 * math.pi * i / 32))
            for i in steps
        ]
    fade: float = {
        Window.CROSS_FADE: min(end - start - cut.hop, (end - start) / 2),
        Window.TENTHS: (end - start) / 10,
    }.get(cut.window, 0)
    return [(start, 0.0), (start + fade, 1.0), (end - fade, 1.0), (end, 0.0)]


def _chunk(cut: Chunking, offset: int, scale: Scale) -> str:
    """One chunk: its context as a box, its weights as an area."""
    points = " ".join(
        f"{scale.x(offset + sample)},{round(FLOOR - (FLOOR - TOP) * weight, 1)}"
        for sample, weight in weights(cut)
    )
    left, right = scale.x(offset), scale.x(offset + cut.chunk)
    box = f'<rect class="whole" x="{left}" y="{TOP}" width="{round(right - left, 1)}" height="80"/>'
    return f'{box}<polygon class="weights" points="{points}"/>'


def _lengths(cut: Chunking, sample_rate_hz: int, scale: Scale) -> str:
    """The lengths below the chunks: of the chunk and of the hop."""
    whole = _length(scale.x(0), scale.x(cut.chunk), 112, f"chunk {_s(cut.chunk, sample_rate_hz)}")
    if cut.hop == cut.chunk:
        return whole
    start = cut.context
    hop = _length(
        scale.x(start), scale.x(start + cut.hop), 138, f"hop {_s(cut.hop, sample_rate_hz)}"
    )
    return whole + hop


def _length(left: float, right: float, y: int, text: str) -> str:
    """A line with ends, and its name to the right."""
    line = f'<path class="length" d="M{left} {y - 4}v8M{left} {y}H{right}M{right} {y - 4}v8"/>'
    beside = right + 8 < WIDTH - 120
    place = f'x="{right + 8}" y="{y + 4}"' if beside else f'x="{right}" y="{y - 7}" class="end"'
    return f"{line}<text {place}>{text}</text>"


def _s(samples: int, sample_rate_hz: int) -> str:
    """A length in seconds with three digits."""
    return f"{samples / sample_rate_hz:.3g} s"
