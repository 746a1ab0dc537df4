"""What is no number where a flow came to a field that is not finite."""

import jax
import numpy as np

from .._results import Outcome
from .._types import PyTree
from ..config.resolve import Resolved
from ..flow import FlowProblem, FlowSolution
from ..networks import AbstractNetwork

BEYOND = np.geomspace(1e-14, 1e-2, 13)  # of the weights: how far ahead is looked


def about_not_finite(
    resolved: Resolved, problem: FlowProblem, solution: FlowSolution, outcome: Outcome
) -> str:
    """Whose velocity is not finite just ahead of the flow's end, to follow the outcome's message.

    The end itself is finite; so is looked along the velocity there, a little further each time.
    """
    if outcome is not Outcome.NOT_FINITE:
        return ""
    rule, given = problem.rule, (problem.feedback, problem.data)
    state = rule.init(solution.weights, solution.feedback, problem.data)
    velocity = rule.velocity(solution.t_final, state, *given)
    size, speed = (_norm(tree) for tree in (state, velocity))
    kind = resolved.rule.kind
    named = f"the user's rule {kind}" if resolved.rule.foreign else f"rule {kind}"
    for share in (0.0, *BEYOND):
        ahead = share * size / speed if speed > 0 else 0.0
        there = jax.tree.map(lambda w, v, h=ahead: w + h * v, state, velocity)
        net, _ = rule.read(there, *given)
        moves, _ = rule.read(rule.velocity(solution.t_final, there, *given), *given)
        lost = [name for name, leaf in _named(moves) if not np.all(np.isfinite(leaf))]
        if lost:
            loss = problem.data.value(problem.data.outputs(net))
            more = "" if np.isfinite(loss) else ", and the loss is not finite either"
            return f": the velocity of {', '.join(lost)} by {named}{more}"
    return f" ({named})"


def _named(network: AbstractNetwork) -> list[tuple[str, np.ndarray]]:
    layers = [(f"W{i + 1}", np.asarray(leaf)) for i, leaf in enumerate(network.weights)]
    biases = [(f"b{i + 1}", np.asarray(leaf)) for i, leaf in enumerate(network.biases)]
    return layers + biases


def _norm(tree: PyTree) -> float:
    return float(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree))))
