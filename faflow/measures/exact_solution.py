"""`exact-solution`: how far a flow is from the exact one, where that is known."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Matrix
from ..flow import FlowProblem, FlowSolution
from ..observables import AbstractObservable, linear_map
from ..solved import SOLVED, AbstractSolvedProblem, UnsolvedError, exact_solution
from .measure import Entry, Measure, Section, line
from .tables import number


class ExactDistance(AbstractObservable):
    """||W_L ... W_1 - M(t)||_F / max_s ||M(s)||_F, M the exact flow's map, s the save times.

    The flow records W_L ... W_1, for observables see no time; `with_distances` compares it with M
    afterwards. The largest M is the measure, as for drifts of laws: from zero weights M(0) = 0.
    """

    exact: AbstractSolvedProblem
    label: ClassVar[str] = "relative distance to the exact solution"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights, feedback, data) -> Matrix:
        return linear_map(weights)


def exact_distance(name: str, problem: FlowProblem) -> dict[str, AbstractObservable]:
    """The observable. ValueError, as the end of a sentence, if no exact solution is known."""
    try:
        return {name: ExactDistance(exact_solution(problem))}
    except UnsolvedError as error:
        raise ValueError(error.need) from error


def with_distances(
    observables: Mapping[str, AbstractObservable], solution: FlowSolution
) -> FlowSolution:
    """The solution with distances (saves,) in place of the maps that `ExactDistance` recorded."""
    records = dict(solution.records)
    for name, see in observables.items():
        if isinstance(see, ExactDistance):
            records[name] = _distances(see.exact, np.asarray(solution.ts), records[name])
    return solution._replace(records=records)


def _distances(exact: AbstractSolvedProblem, ts: np.ndarray, maps: Any) -> np.ndarray:
    answers = eqx.filter_jit(lambda solved, times: jax.vmap(solved.answer)(times))
    known = np.asarray(answers(exact, jnp.asarray(ts - ts[0])))
    apart, sizes = (np.linalg.norm(part, axis=(1, 2)) for part in (np.asarray(maps) - known, known))
    largest = np.nanmax(sizes)
    return apart / largest if largest > 0 else np.where(apart > 0, np.inf, apart)


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
