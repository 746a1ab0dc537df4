"""How a flow can end. Outcomes are data: a flow that ends early keeps its trajectory so far."""

import enum
from typing import Literal

# What an exact flow does where it is not unique: see NOT_UNIQUE.
Branch = Literal["stop", "nearest", "other"]


class Outcome(enum.IntEnum):
    """The ways a flow ends; `str(outcome)` is the `status` of `summary.json`."""

    COMPLETED = 0
    TARGET_REACHED = 1
    STEADY_STATE = 2
    BLOW_UP = 3
    MAX_STEPS = 4
    STEP_UNDERFLOW = 5
    SOLVER_FAILED = 6
    SLIDING_OVERFLOW = 7
    NO_CONTINUATION = 8
    NOT_UNIQUE = 9
    EVENT_CASCADE = 10
    NOT_FINITE = 11

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def early(self) -> bool:
        """Whether the flow ended before what was asked of it (exit code 3)."""
        return self >= Outcome.BLOW_UP

    @property
    def message(self) -> str:
        """One sentence for people: what happened and what to do."""
        return _MESSAGES[self]


ORDERLY = {str(outcome) for outcome in Outcome if not outcome.early}

_MESSAGES = {
    Outcome.COMPLETED: "reached t1",
    Outcome.TARGET_REACHED: "reached the loss or residual it was asked to stop at",
    Outcome.STEADY_STATE: "came to rest: its speed fell below flow.stop.steady of its peak",
    Outcome.BLOW_UP: "blew up: the weights grow without bound; lower the scale or stop earlier",
    Outcome.MAX_STEPS: "used up flow.max_steps; raise it, loosen rtol or shorten t1",
    Outcome.STEP_UNDERFLOW: (
        "the step size fell below the resolution of t; loosen rtol, or use a smooth activation"
    ),
    Outcome.SOLVER_FAILED: "could not solve the stages of a fixed step; lower flow.step",
    Outcome.SLIDING_OVERFLOW: "more pairs slide at once than there are slots; allow more of them",
    Outcome.NO_CONTINUATION: "found no consistent way on at an event of the exact flow",
    Outcome.NOT_UNIQUE: "slides on a surface that repels: the flow is not unique from here on",
    Outcome.EVENT_CASCADE: "events follow each other without progress in time",
    Outcome.NOT_FINITE: "came to where its field is not finite, while its weights are",
}
