"""Simulated time: a clock, and calls that take as long as they declare."""

from dataclasses import dataclass

from torch import Tensor

from demixing.schedule.timeout import Call, LateError


@dataclass
class FakeTime:
    """A clock, and a stand-in for a timeout runner with calls of a declared cost.

    Attributes:
        now_s: time of the clock.
        cost_s: cost of the current call, increased by the call itself.
    """

    now_s: float = 0.0
    cost_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def run(self, call: Call, timeout_s: float) -> Tensor:
        """See :data:`demixing.schedule.timeout.Run`."""
        self.cost_s = 0.0
        answer, failed = None, None
        try:
            answer = call()
        except Exception as error:
            failed = error
        self.now_s += min(self.cost_s, max(timeout_s, 0))
        if self.cost_s > timeout_s:
            raise LateError("late")
        if failed:
            raise failed
        assert answer is not None
        return answer
