"""What is integrated, and when, how and under whose eyes, as one object."""

from typing import NamedTuple

from .._types import Times
from ..observables import AbstractObservable
from ..solvers import Demand
from .loop.carry import Standing
from .problem import FlowProblem, Numerics


class Flow(NamedTuple):
    """What `integrate` takes; where two solvers share it, what one of them does.

    `since`: from where another solver left it; `demand`: up to where another one should go on; both
    as in `Stepper`.
    """

    problem: FlowProblem
    ts: Times
    observables: dict[str, AbstractObservable]
    numerics: Numerics
    since: Standing | None = None
    demand: Demand | None = None
