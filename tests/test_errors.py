"""The tree of errors: one guard catches all of them, and the docstring draws all of them."""

import re

from demixing import errors
from demixing.errors import DemixError
from submitting.errors import SubmissionError


def test_one_guard_catches_every_error_that_a_user_can_act_on() -> None:
    ours = [kind for kind in vars(errors).values() if isinstance(kind, type)]

    assert len(ours) >= 6
    assert all(issubclass(kind, DemixError) for kind in [*ours, SubmissionError])


def test_the_tree_in_the_docstring_is_complete() -> None:
    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")

    assert set(drawn) == {kind.__name__ for kind in DemixError.__subclasses__()}
