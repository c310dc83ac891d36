"""The one error this package raises on purpose.

Anything else that escapes is a bug of ours.
"""


class EvaluationError(Exception):
    """Songs cannot be scored, and the message says what a user can do about it."""
