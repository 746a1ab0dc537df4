"""`exact-solution`: how far a flow is from the exact one, where that is known."""

from collections.abc import Mapping

import numpy as np

from ..flow import FlowProblem, FlowSolution
from ..observables import AbstractObservable
from ..solved import SOLVED, ExactDistance, UnsolvedError, exact_solution
from .measure import Entry, Measure, Section, line
from .tables import number


def exact_distance(name: str, problem: FlowProblem) -> dict[str, AbstractObservable]:
    """The observable. ValueError, as the end of a sentence, if no exact solution is known."""
    try:
        return {name: ExactDistance(exact_solution(problem))}
    except UnsolvedError as error:
        raise ValueError(error.need) from error


def exact_section(
    observables: Mapping[str, AbstractObservable], solution: FlowSolution
) -> Section | None:
    """The worst relative distance over the saves, when, and the last."""
    reached = np.asarray(solution.reached)
    for name, see in observables.items():
        if isinstance(see, ExactDistance):
            distances = np.asarray(solution.records[name])[reached]
            worst = int(np.argmax(distances))
            return {
                "kind": next(kind for kind, solved in SOLVED.items() if type(see.exact) is solved),
                "relative_distance": distances[worst],
                "worst_time": np.asarray(solution.ts)[reached][worst],
                "final_distance": distances[-1],
            }
    return None


EXACT_SOLUTION = Measure(
    "exact_solution",
    lambda flown, summary: exact_section(flown.experiment.observables, flown.solution),
    line("exact solution", number),
    observables={
        "exact-solution": Entry("distance of W_L ... W_1 to the exact flow's", exact_distance)
    },
)
