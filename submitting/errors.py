"""The error of a submission; its place in the tree is in :mod:`demixing.errors`."""

from demixing.errors import DemixError


class SubmissionError(DemixError):
    """Nothing was pushed, and the message says what was expected, what came, and what to do."""
