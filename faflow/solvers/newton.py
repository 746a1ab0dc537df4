"""One step of the BDF: the corrector's equation d = c f(p + d) - psi, by simplified Newton steps.

Each iteration solves (1 - c J) delta = c f(p + d) - psi - d with a J that may be old. The rate at
which corrections shrink is remembered from step to step, so that one iteration is enough where the
last ones converged fast (Hindmarsh et al. 2005, section 2.1, on CVODE).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, Flag, Integer, Scalar
from . import bdf
from .bdf import History

ITERATIONS = 4
ACCURACY = 0.2  # of the corrector, against the local error allowed
FORGET = 0.3  # share of the remembered rate that survives a step
DIVERGED = 2.0

Field = Callable[[Scalar, Array], Array]
# b, scale, tolerance of rms(b - A x) -> solution, success, products with the Jacobian
LinearSolve = Callable[[Array, Array, Scalar], tuple[Array, Flag, Integer]]


class NewtonTrial(NamedTuple):
    """What came of a step: `kept`, or not, because Newton failed (`solved` is False) or the error
    was too large. `finite`: it was a number. `history` is ready for what comes next. Every
    iteration but the first evaluated the field once; `products` are those with the Jacobian."""

    history: History
    kept: Flag
    solved: Flag
    finite: Flag
    rate: Scalar
    iterations: Integer
    products: Integer


class _Corrector(NamedTuple):
    d: Array
    slope: Array  # f(p + d)
    last: Scalar
    rate: Scalar
    solved: Flag
    failed: Flag
    tries: Integer
    products: Integer


def try_step(
    field: Field,
    history: History,
    grid: tuple[History, Array],
    start: tuple[Array, LinearSolve],
    tolerances: tuple[Scalar, Scalar],
    rate: Scalar,
) -> NewtonTrial:
    """Try the step that `history` is set for; `grid` is `bdf.on_grid` of it.

    `start`: f(p) and the solver of (1 - c J) x = b. `tolerances` (rtol, atol) weigh an error by
    atol + rtol |y|, root mean square over all components.
    """
    slope, solve = start
    rtol, atol = tolerances
    now, change = grid
    predicted, psi = bdf.predict(now, change)
    before = jnp.abs(history.differences[0])
    scale = atol + rtol * before
    end = _correct(field, now, predicted, psi, slope, solve, scale, rate)
    scale = atol + rtol * jnp.maximum(before, jnp.abs(predicted + end.d))
    size = bdf.scaled_rms(bdf.local_error(now, end.d), scale)
    kept = end.solved & (size <= 1)
    passed = bdf.planned(bdf.stepped(now, change, end.d, kept), scale, size)
    shrink = jnp.where(end.solved, bdf.shrink_for(now, size), 1.0)
    # The differences of `passed` are the old ones if it is not kept.
    failed = history._replace(
        factor=history.factor * shrink, differences=passed.differences
    )  # fmt: skip
    return NewtonTrial(
        history=jax.tree.map(lambda yes, no: jnp.where(kept, yes, no), passed, failed),
        kept=kept,
        solved=end.solved,
        finite=jnp.isfinite(end.last),
        rate=end.rate,
        iterations=end.tries,
        products=end.products,
    )


def _correct(
    field: Field,
    history: History,
    predicted: Array,
    psi: Array,
    slope: Array,
    solve: LinearSolve,
    scale: Array,
    rate: Scalar,
) -> _Corrector:
    t = history.t + history.h
    _, c = bdf.next_step(history)
    limit = jnp.asarray(ACCURACY, scale.dtype)
    zero = jnp.zeros((), int)

    def unfinished(now: _Corrector) -> Flag:
        return ~(now.solved | now.failed)

    def iterate(now: _Corrector) -> _Corrector:
        delta, ok, products = solve(c * now.slope - psi - now.d, scale, limit)
        size = bdf.scaled_rms(delta, scale)
        first = now.tries == 0
        ratio = jnp.where(first, 0.0, size / jnp.where(now.last > 0, now.last, 1))
        rate = jnp.where(first, now.rate, jnp.maximum(FORGET * now.rate, ratio))
        d = now.d + delta
        solved = ok & (size * jnp.minimum(1, rate) <= limit)
        bad = ~ok | ~jnp.isfinite(size) | (ratio > DIVERGED) | (now.tries + 1 >= ITERATIONS)
        failed = ~solved & bad
        go_on = ~(solved | failed)
        slope = jax.lax.cond(go_on, lambda: field(t, predicted + d), lambda: now.slope)
        return _Corrector(
            d, slope, size, rate, solved, failed, now.tries + 1, now.products + products.astype(int)
        )

    no = jnp.asarray(False)
    start = _Corrector(jnp.zeros_like(psi), slope, jnp.ones_like(rate), rate, no, no, zero, zero)
    return jax.lax.while_loop(unfinished, iterate, start)
