"""The files of a song -> the values of metrics, in as few passes as they need."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from demixing.evaluation import song_reader
from demixing.evaluation.audio import LARGEST, Layout, check_finite
from demixing.evaluation.metrics import Format, Metric, sdr
from demixing.evaluation.song_reader import Stems


@dataclass(frozen=True, slots=True)
class SongFiles:
    """The files of a song.

    Attributes:
        references: a file per stem.
        estimates: likewise, in the same order.
        layout: of all files.
    """

    references: Sequence[Path]
    estimates: Sequence[Path]
    layout: Layout

    def measure(
        self, further: Sequence[Metric]
    ) -> tuple[sdr.SongMeter, dict[str, list[float | None]]]:
        """Compute the official score and further metrics.

        Returns:
            The official meter; values per stem, by name of metric.

        Raises:
            EvaluationError: a file is damaged, or a sample is not finite.
        """
        song = self._format()
        official = sdr.SongMeter(song)
        meters = {one.meter: one.meter(song) for one in further}
        for number in range(1, 1 + max((one.passes for one in meters.values()), default=1)):
            busy = [one for one in meters.values() if one.passes >= number]
            for references, estimates in self._checked(official if number == 1 else None):
                for meter in busy:
                    meter.update(references, estimates)
            for meter in busy:
                meter.end_pass()
        return official, {
            one.name: [finite(value) for value in meters[one.meter].values()[one.name]]
            for one in further
        }

    def _format(self) -> Format:
        """What a meter knows before the first block."""
        layout = self.layout
        return Format(len(self.references), layout.channels, layout.samples, layout.sample_rate_hz)

    def _checked(self, official: sdr.SongMeter | None) -> Iterator[tuple[Stems, Stems]]:
        """Read the files; the official meter, if any, gets each block first and checks it."""
        for start, references, estimates in song_reader.blocks(
            self.references, self.estimates, self.layout
        ):
            if official is not None:
                official.update(references, estimates)
                self._check_finite(official, start, references.shape[1])
            yield references, estimates

    def _check_finite(self, official: sdr.SongMeter, start: int, samples: int) -> None:
        """Raise if a sample of a block is not finite.

        One that is not finite or too large shows in the sums, which are there already. So only a
        block of suspicious stems is read again.
        """
        files = zip(official.stems, self.references, self.estimates, strict=True)
        for meter, reference, estimate in files:
            if not meter.signal + meter.distortion < LARGEST**2:  # also if it is NaN
                check_finite(reference, start, samples)
                check_finite(estimate, start, samples)


def finite(value: float | None) -> float | None:
    """None for a value that is undefined or infinite."""
    return value if value is not None and math.isfinite(value) else None
