"""Which way the BDF solves its equations, by counted cost: the same flow goes the same way
everywhere.

Counted are multiplications at the speed of matrix products; what runs slower counts for more. With
N samples, o outputs, n weights, u units and a field of f = 3 N n + 250 N u (its products, its
activations), a step costs

    2.8 f                               by products with the Jacobian: its linearisation, and two
    20 n^2 + 0.13 n^3 + N o n^2 / 16    by a factored Jacobian: solves, factors, the matrix itself

The matrix is made by `rule_jacobian`, at some 2.5 N o n^2, every forty steps, a factor every
five.
"""

from typing import NamedTuple

import jax

from ...networks import units_of
from ...rules import has_jacobian
from ...solvers import BDF
from ...solvers.multistep import LARGE
from ..problem import FlowProblem
from .deflating import directions_of
from .preconditioner import MOST, has_preconditioner, serves

PRODUCTS = 2.8  # evaluations of the field that products cost a step, at least
ACTIVATION = 250  # multiplications that one of an activation costs
SOLVES, FACTORS, MATRIX = 20.0, 0.13, 1 / 16


class Way(NamedTuple):
    """`factored`: from the first step; else by products, `preconditioned` or not, or with so many
    directions of the Jacobian kept (`rank`). `told`: in words, for who reads the result."""

    factored: bool
    preconditioned: bool
    told: str
    rank: int = 0


def way_of(problem: FlowProblem, method: BDF, size: int) -> Way:
    """How `method` solves its equations on this problem, whose state has `size` numbers."""
    if method.starts_dense(size):
        return Way(True, False, f"a factored Jacobian, {size} x {size}")
    if method.linear == "auto" and size <= LARGE and has_jacobian(problem.rule, problem.weights):
        share = factored_share(problem)
        if share < 1:
            told = f"a factored Jacobian, {size} x {size}: {share:.2g} of what products would cost"
            return Way(True, False, told)
    if has_preconditioner(problem):
        count = problem.data.targets.size
        return Way(False, True, f"products, with the rule's kernel, {count} x {count}, before them")
    rank = 0 if method.may_be_dense(size) else directions_of(problem, size)
    kept = f", with up to {rank} directions of the Jacobian kept" if rank else ""
    return Way(False, False, f"products{kept}{_why_bare(problem)}", rank)


def factored_share(problem: FlowProblem) -> float:
    """What a step by a factored Jacobian costs, in steps by products."""
    data = problem.data
    samples, size = len(data.inputs), sum(leaf.size for leaf in jax.tree.leaves(problem.weights))
    field = samples * (3.0 * size + ACTIVATION * units_of(problem.weights, data.inputs))
    matrix = MATRIX * data.targets.size * size**2
    return (SOLVES * size**2 + FACTORS * size**3 + matrix) / (PRODUCTS * field)


def _why_bare(problem: FlowProblem) -> str:
    """Why they have no preconditioner, where the rule's kernel would serve."""
    if not serves(problem):
        return ""
    count = problem.data.targets.size
    if count > MOST:
        size = 2 * count**2 * problem.data.targets.dtype.itemsize / 1e6
        return f"; the rule's kernel is too large to be inverted, {count} x {count} ({size:.3g} MB)"
    return f"; the inverse of the rule's kernel, {count} x {count}, would cost more than it saves"
