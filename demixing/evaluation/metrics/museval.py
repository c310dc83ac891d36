"""BSSEval version 4, as museval computes it: SDR, ISR, SIR and SAR.

Conventions
-----------
Higher is better, in dB. The metrics of the SiSEC 2018 campaign and of most papers on MUSDB18. They
allow each reference a filter of 512 taps per pair of channels, which is fitted to the song, except
for SDR and ISR, which compare with the reference itself.

Metric
------
Each estimate is split into its reference, a filtered reference (spatial distortion), filtered other
references (interference), and the rest (artefacts):

    SDR  reference over everything else
    ISR  reference over spatial distortion
    SIR  reference and spatial distortion over interference
    SAR  all but artefacts over artefacts

for frames of one second, without overlap. The value of a stem is the median over the frames of the
song that have one; means over songs and stems are plain, while papers often report medians of
medians.

Silence
-------
A frame in which any reference or estimate is silent has no value, for no stem. (A stereo stem with
two opposite channels counts as silent.) museval refuses a song in which a whole reference or
estimate is silent. Here, such a stem is undefined, and the others are computed without its silence:
a silent reference adds nothing to the others, and a silent estimate is not part of theirs. So a
song without vocals has the values of its other stems.

Memory
------
The whole song, several times: 6.6 GiB for four stereo stems of four minutes, which take two and a
half minutes.

Source
------
F.-R. Stöter, A. Liutkus and N. Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018;
E. Vincent, R. Gribonval and C. Févotte, "Performance measurement in blind audio source separation",
IEEE TASLP 14(4), 2006. Computed by museval 0.4.1 (``pip install museval==0.4.1``).
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation.metrics import Format, Metric

NAMES = ("museval_sdr", "museval_isr", "museval_sir", "museval_sar")


class SongMeter:
    """All four values of all stems of a song, which it keeps in memory."""

    passes = 1

    def __init__(self, song: Format) -> None:
        self._library = library()
        self._rate_hz = song.rate_hz
        self._position = 0
        self._audio = np.zeros((2, song.stems, song.samples, song.channels))
        self._values: dict[str, list[float | None]] = {}

    def update(self, references: NDArray[np.float32], estimates: NDArray[np.float32]) -> None:
        """Add the next block, ``(stems, samples, channels)``."""
        part = slice(self._position, self._position + references.shape[1])
        self._audio[:, :, part] = references, estimates
        self._position = part.stop

    def end_pass(self) -> None:
        """Compute everything."""
        references, estimates = self._audio
        unknown = [_silent(reference) for reference in references]
        undefined = [
            no_reference or _silent(estimate)
            for no_reference, estimate in zip(unknown, estimates, strict=True)
        ]
        kept = [stem for stem, absent in enumerate(unknown) if not absent]
        for stem in kept:
            if undefined[stem]:  # its own values do not count, and the others' do not depend on it
                estimates[stem] = references[stem]
        found = np.full((4, len(references)), np.nan)
        if kept:
            found[:, kept] = self._medians(references[kept], estimates[kept])
        found[:, undefined] = np.nan
        rows = zip(NAMES, found.tolist(), strict=True)
        self._values = {
            name: [None if np.isnan(value) else value for value in row] for name, row in rows
        }

    def _medians(
        self, references: NDArray[np.float64], estimates: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Median over frames, ``(4, stems)``; NaN where no frame has a value."""
        frames = self._library.bss_eval(
            references,
            estimates,
            compute_permutation=False,
            window=self._rate_hz,
            hop=self._rate_hz,
            framewise_filters=False,
            bsseval_sources_version=False,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
            return np.asarray(np.nanmedian(np.stack(frames[:4]), axis=2))

    def values(self) -> Mapping[str, Sequence[float | None]]:
        """The values of each stem."""
        return self._values


def library() -> Any:
    """Import museval's metrics.

    Raises:
        EvaluationError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import museval.metrics
    except ImportError as error:
        raise EvaluationError(
            f"expected museval for its metrics, but it cannot be imported ({error}); "
            "run: pip install museval==0.4.1"
        ) from error
    return museval.metrics


def _silent(audio: NDArray[np.float64]) -> bool:
    """Whether museval takes a stem, ``(samples, channels)``, for silent."""
    return not audio.sum(axis=1).any()


def _metric(name: str, what: str) -> Metric:
    """One of the four."""
    short = name.partition("_")[2]
    return Metric(
        name=name,
        id=f"museval-0.4-v4-{short}",
        title=f"museval {short.upper()}",
        definition=f"BSSEval v4, {what}, median over frames of 1 s, museval 0.4.1",
        unit="dB",
        higher_is_better=True,
        silence="Undefined if the reference or the estimate is silent; the other stems are scored "
        "without it. Seconds in which any stem is silent do not count.",
        meter=SongMeter,
        library=library,
    )


METRICS = tuple(
    _metric(name, what)
    for name, what in zip(
        NAMES, ("distortion", "spatial distortion", "interference", "artefacts"), strict=True
    )
)
