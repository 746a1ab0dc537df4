"""What an evaluation of a field costs, by its sizes alone: no clock is asked, so that the same flow
takes the same steps everywhere."""

import jax

from ..networks import units_of
from .problem import FlowProblem, Numerics

LARGEST = 2_000_000  # weights of which the first keeps a hundred copies
LEAST, ALGEBRA = 100, 100  # tiny fields that a dear one costs, and one more per so many weights
UNITS = 400  # units times samples, and
PRODUCTS = 40_000  # weights times samples, that cost as much as everything else in a tiny field


def is_dear(problem: FlowProblem, numerics: Numerics) -> bool:
    """Whether a field evaluation costs so much that Adams' methods, two of them a step, are worth
    their algebra: some sixty passes over the weights, as tsit5 has, but more steps."""
    if numerics.project or numerics.adjoint is not None:
        return False  # these are for steps of Runge-Kutta methods
    if size_of(problem) > LARGEST:
        return False  # their past would be no small part of a machine's memory
    return field_effort(problem) > LEAST + size_of(problem) / ALGEBRA


def field_effort(problem: FlowProblem) -> float:
    """What a field evaluation costs, in evaluations of a tiny one: by its size alone."""
    samples = problem.data.inputs.shape[0]
    units = units_of(problem.weights, problem.data.inputs)
    return 1 + units * samples / UNITS + size_of(problem) * samples / PRODUCTS


def size_of(problem: FlowProblem) -> int:
    """Numbers in the weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(problem.weights))
