"""How far a flow is from the exact one, where that is known."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Matrix
from ..feedback import Feedback
from ..flow import FlowSolution
from ..networks import AbstractNetwork
from ..observables import AbstractObservable, linear_map
from ..tasks import Data
from .abstract import AbstractSolvedProblem


class ExactDistance(AbstractObservable):
    """||W_L ... W_1 - M(t)||_F / max_s ||M(s)||_F, M the exact flow's map, s the save times.

    The flow records W_L ... W_1, for observables see no time; `with_distances` compares it with M
    afterwards. The largest M is the measure, as for drifts of laws: from zero weights M(0) = 0.
    """

    exact: AbstractSolvedProblem
    label: ClassVar[str] = "relative distance to the exact solution"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Matrix:
        return linear_map(weights)


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
