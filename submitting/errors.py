"""The error of a submission; its place in the tree is in :mod:`demixing.errors`."""

from demixing.errors import DemixError


class SubmissionError(DemixError):
    """Nothing was pushed; the message says what was expected, what was found, and what to do."""
