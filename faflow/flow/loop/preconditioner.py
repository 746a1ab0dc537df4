"""The rule's kernel as a preconditioner of a stiff step's equation, (1 - c J) x = b.

The velocity is A e, linear in the error e = dLoss/df (m = samples * outputs numbers), so that
J = A H J_f + terms with the residual: J_f the outputs' Jacobian, H the loss's Hessian in the
outputs. With K = -J_f A, the rule's effective kernel (m, m), Woodbury's identity gives

    (1 - c A H J_f)^{-1} x = x + c A (1 + c H K)^{-1} H J_f x:

a forward product, one with a matrix of size m, a backward product. At a solution, where the
residual is 0, this is the inverse itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ..._types import Array, Integer, Scalar
from ...networks import widths
from ...rules import (
    LayerRows,
    driven_by,
    has_jacobian,
    kernel_of,
    layer_rows,
    outputs_move,
    pays,
)
from ...solvers import bdf
from ..problem import FlowProblem
from .carry import Carry
from .flat import FlatProblem

MOST = 1000  # samples * outputs: the matrices have to fit the cache
RENEWAL = 4.0  # with the Jacobian, that a renewed inverse may cost: it saves some 5 a step
DRIFT = 0.3  # share by which c may change before 1 + c H K is inverted anew
AGE = 20  # accepted steps that a kernel may serve


class KernelInverse(NamedTuple):
    """What a state's layers hear and send, K of it, (1 + c H K)^{-1}, the c that belongs to, and
    the accepted steps since. All are of one state: parts of another would not fit K, and the stiff
    directions would not be inverted."""

    rows: LayerRows
    kernel: Array
    inverse: Array
    c: Scalar
    age: Integer


def has_preconditioner(problem: FlowProblem) -> bool:
    """Whether K is known by products of matrices, and its inverse pays.

    Both are counted in multiplications: m^2 sum_l n_l for K (twice) and 8/3 m^3 / 2 for the
    inverse, against 4 samples * weights of a product with J.
    """
    if not serves(problem):
        return False
    weights, data = problem.weights, problem.data
    count, size = data.targets.size, sum(weight.size for weight in weights.weights)
    wide = sum(widths(weights))
    inverse = count**2 * (2 * wide + 4 * count / 3)
    return count <= MOST and inverse <= RENEWAL * 4 * len(data.targets) * size


def serves(problem: FlowProblem) -> bool:
    """Whether K is known by products of matrices, whatever it costs."""
    weights, data = problem.weights, problem.data
    if not has_jacobian(problem.rule, weights) or pays(weights, data):
        return False
    return data.block is None and data.present is None  # all samples in one place


class Preconditioner(eqx.Module):
    """Makes and applies `KernelInverse`s of one problem, whose states are flat."""

    flat: FlatProblem

    def nothing_yet(self, like: Scalar) -> KernelInverse:
        """No kernel, and too old."""
        problem = self.flat.problem
        shapes = jax.eval_shape(lambda: self._rows(self.flat.first()))
        rows = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        blank = jnp.zeros((problem.data.targets.size,) * 2, like.dtype)
        return KernelInverse(rows, blank, blank, jnp.zeros_like(like), jnp.asarray(AGE + 1))

    def prepared(self, now: Carry) -> Carry:
        """With an inverse for the step to come, where that is by GMRES."""
        ahead = now.solver_state
        kept: KernelInverse = ahead.kernel
        _, c = bdf.next_step(ahead.history)
        stale = (kept.age > AGE) | (jnp.abs(c - kept.c) > DRIFT * kept.c)
        y = ahead.history.differences[0]
        kept = jax.lax.cond(stale, lambda: self._renewed(kept, y, c), lambda: kept)
        assert now.counts.implicit is not None
        work = now.counts.implicit
        work = work._replace(factorisations=work.factorisations + stale.astype(int))
        return now._replace(
            solver_state=ahead._replace(kernel=kept), counts=now.counts._replace(implicit=work)
        )

    def _renewed(self, now: KernelInverse, y: Array, c: Scalar) -> KernelInverse:
        """For this c; with the kernel at the state y, if the old one has served for long."""
        again, biased = now.age > AGE, bool(self.flat.problem.weights.biases)

        def anew() -> tuple[LayerRows, Array]:
            rows = self._rows(y)
            return rows, kernel_of(rows, biased)

        rows, kernel = jax.lax.cond(again, anew, lambda: (now.rows, now.kernel))
        whole = jnp.eye(len(kernel), dtype=kernel.dtype) + c * self._curve(rows)(kernel)
        age = jnp.where(again, 0, now.age)
        return KernelInverse(rows, kernel, jnp.linalg.inv(whole), c, age)

    def of(self, made: KernelInverse) -> Callable[[Array], Array]:
        """x -> (1 - c A H J_f)^{-1} x."""
        curve = self._curve(made.rows)

        def apply(x: Array) -> Array:
            moved = outputs_move(made.rows, self.flat.weights_of(x))
            error = made.inverse @ curve(moved.reshape(-1, 1))
            driven = driven_by(made.rows, error.reshape(moved.shape), self.flat.problem.weights)
            return x + made.c * ravel_pytree(driven)[0]

        return apply

    def _rows(self, y: Array) -> LayerRows:
        problem = self.flat.problem
        assert has_jacobian(problem.rule, problem.weights)
        return layer_rows(problem.rule, *self.flat.read(y), problem.data)

    def _curve(self, rows: LayerRows) -> Callable[[Array], Array]:
        """H times the columns of (m, columns)."""
        _, push = jax.linearize(self.flat.problem.data.error, rows.outputs)

        def curve(columns: Array) -> Array:
            errors = columns.T.reshape(-1, *rows.outputs.shape)
            return jax.vmap(push)(errors).reshape(columns.shape[1], -1).T

        return curve
