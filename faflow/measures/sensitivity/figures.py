"""What `sensitivity.of` names: figures of a flow's end as functions that JAX differentiates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array
from ...analysis import is_factorisation, minimum_norm_report
from ...analysis.prediction import predict_exponent
from ...analysis.slowest_mode import mode_rate, slowest_mode
from ...config.errors import ConfigError, nearest
from ...config.resolve import Resolved
from ...feedback import Feedback
from ...flow import FlowProblem
from ...networks import AbstractNetwork, is_linear
from ...networks.draws import frobenius
from ...observables import MapDistance, linear_map
from ...rules import bare
from ...tasks.losses import Squared
from ..alignment import ALIGNMENT
from ..measure import Entry
from ..recorded.series import SERIES
from ..simulation import ORDER_PARAMETERS

See = Callable[[FlowProblem, AbstractNetwork, Feedback], Array]
AT_ZERO = 1e-7  # a distance below this is 0 to what flows are known to


class AskedFigure(NamedTuple):
    """`see` (problem, weights, feedback) at the end, `again` the same of another flow for
    comparison, without JAX's derivatives. `of_limit`: it says something of where the flow goes;
    `distance`: it has no derivative where it is 0."""

    name: str
    see: See
    of_limit: bool = False
    distance: bool = False
    again: See | None = None


RECORDED: dict[str, Entry] = {
    **SERIES.observables, **ALIGNMENT.observables, **ORDER_PARAMETERS.observables
}  # fmt: skip
LIMITS = ("map", "minimum-norm", "low-rank-limit", "exponent")
NAMES = (*RECORDED, *LIMITS)


def check_figures(resolved: Resolved, problem: FlowProblem) -> None:
    """ConfigError for a name that is none, and for what this problem does not have."""
    section = resolved.config.sensitivity
    assert section is not None
    for index, name in enumerate(section.of):
        where, whole = f"sensitivity.of.{index}", name.split(".")[0]
        if whole not in NAMES:
            raise ConfigError(where, f"is '{name}'; {nearest(whole, NAMES)}")
        lacks = _lacks(whole, problem)
        if lacks:
            raise ConfigError(where, f"is '{name}', which {lacks}; remove it")
        leaves = _leaves(whole, problem)
        if name not in (whole, *leaves):
            raise ConfigError(where, f"is '{name}'; {nearest(name, leaves or [whole])}")


def asked_figures(
    resolved: Resolved, problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback
) -> list[AskedFigure | tuple[str, str]]:
    """The figures that are asked for at the end of a flow; the name of one that there is none of,
    and why."""
    section, found = resolved.config.sensitivity, []
    assert section is not None
    for name in section.of:
        whole = name.split(".")[0]
        if whole == "exponent":
            found.append(_exponent(problem, weights, feedback))
            continue
        for leaf in _leaves(whole, problem) or [whole]:
            if name in (whole, leaf):
                found.append(_figure(leaf))
    return found


def _figure(name: str) -> AskedFigure:
    whole, _, leaf = name.partition(".")
    if whole == "minimum-norm":
        return AskedFigure(name, _minimum_norm[leaf], True, leaf == "relative_distance")
    if whole == "low-rank-limit":
        return AskedFigure(name, _low_rank_limit, True, True)
    if whole == "map":
        return AskedFigure(name, lambda problem, weights, feedback: linear_map(weights), True)

    def see(problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback) -> Array:
        found: Any = RECORDED[whole].build(whole, problem)[whole](weights, feedback, problem.data)
        return jnp.asarray(found[leaf] if leaf else found)

    return AskedFigure(name, see)


def _leaves(whole: str, problem: FlowProblem) -> list[str]:
    """The names of a figure's parts, if it has several."""
    if whole == "minimum-norm":
        return [f"{whole}.{leaf}" for leaf in _minimum_norm]
    if whole in LIMITS:
        return []
    see = RECORDED[whole].build(whole, problem)[whole]
    told = jax.eval_shape(see, problem.weights, problem.feedback, problem.data)
    return [f"{whole}.{leaf}" for leaf in told] if isinstance(told, dict) else []


def _lacks(whole: str, problem: FlowProblem) -> str:
    """What this problem lacks for a figure, in words; "" if nothing."""
    given = problem.weights, problem.data
    if whole == "minimum-norm":
        there = minimum_norm_report(problem.weights, *given) is not None
        needs = "a linear network, the squared loss and fewer samples than inputs"
        return "" if there else f"needs {needs}"
    if whole == "low-rank-limit":
        there = bool(problem.feedback.matrices) and is_factorisation(*given)
        return "" if there else "needs task.kind = 'matrix-factorisation' and feedback"
    if whole == "exponent":
        return "" if isinstance(problem.data.loss, Squared) else "needs the squared loss"
    if whole == "map":
        there = is_linear(problem.weights) and not problem.weights.biases
        return "" if there else "needs a linear network without biases"
    there = RECORDED[whole].build(whole, problem)
    return "" if there else "is not known for this rule or network"


def _map_distance(
    answer: Array, problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback
) -> Array:
    return MapDistance(answer=answer)(weights, feedback, problem.data)


def _answer(problem: FlowProblem) -> Array:
    data = problem.data
    inputs, targets = data.rooted(data.inputs), data.rooted(data.targets)
    return (jnp.linalg.pinv(inputs) @ targets).T


_minimum_norm: dict[str, See] = {
    "relative_distance": lambda problem, w, f: _map_distance(_answer(problem), problem, w, f),
    "norm_ratio": lambda problem, w, f: frobenius(linear_map(w)) / frobenius(_answer(problem)),
}


def _low_rank_limit(problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback) -> Array:
    target = problem.data.targets.T
    rows = feedback.matrices[0].T @ target
    return _map_distance(target @ jnp.linalg.pinv(rows) @ rows, problem, weights, feedback)


def _exponent(
    problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback
) -> AskedFigure | tuple[str, str]:
    rule, start = bare(problem.rule), (problem.weights, problem.feedback)
    try:
        mode = slowest_mode(rule, weights, feedback, problem.data, start)
    except ValueError as error:
        return "exponent", str(error)

    def see(problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback) -> Array:
        return mode_rate(mode, bare(problem.rule), weights, feedback, problem.data)

    def again(problem: FlowProblem, weights: AbstractNetwork, feedback: Feedback) -> Array:
        start = problem.weights, problem.feedback
        rate = predict_exponent(bare(problem.rule), weights, feedback, problem.data, start).rate
        return jnp.asarray(rate)

    return AskedFigure("exponent", see, True, again=again)
