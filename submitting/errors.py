"""Errors of a submission that a user can act on."""


class SubmissionError(Exception):
    """Nothing was pushed, and the message says what was expected, what came, and what to do."""
