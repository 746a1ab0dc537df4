"""Gauss-Legendre collocation: implicit Runge-Kutta methods that keep quadratic laws to rounding.

s stages, order 2s (s = 1: implicit midpoint). b_i b_j = b_i a_ij + b_j a_ji (Hairer, Lubich &
Wanner 2006, IV.2.1), so every quadratic invariant of the flow is one of the step, at any step size,
if k_i = f(Y_i). With k_i = f(Y_i + d_i) a law y^T C y changes by -2 h sum_i b_i k_i^T C d_i, which
is rounding if |d_i| is, and |d_i| may be larger where a step is short. That costs sweeps over the
stages, which are kept few by

- starting from the slopes of the last two steps, extrapolated as one polynomial,
- a Newton step with a low-rank Jacobian learnt from earlier sweeps and steps (`secants.py`),
- steps no longer than the sweeps pay for (`GaussState.longest`),

and what is lost in rounding y + increment is carried to the next step (compensated summation).
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Array, Flag, Integer, PyTree, Scalar
from .abstract import ODE, AbstractCountingSolver, Jump, Step, Time
from .collocation import error_constant, gauss_tableau, lagrange_basis, top_difference
from .secants import Secants, no_secants, refined, sketched
from .vectors import norm

SWEEPS = 40  # a step whose stages need more has failed
PAYING = 20  # the sweeps that a step should take: steps are kept short enough for it
GROWTH = 3.0  # of the step, at most: the extrapolated slopes are worth nothing much further out
SOLVED = 4  # units in the last place by which stages may still move when they are solved
LEEWAY = 16  # the same where the tolerance does not mind, in steps of more than 1 / PARTS of y
PARTS, LOOSE = 100, 1e-3  # LOOSE: of rtol and of the step, that these do not mind
NEAR = -0.1  # where, in steps, a step before must begin to be of use
ROUNDING = 100  # the same where they no longer come closer
UNSETTLED = 100  # sweeps for a kinked field (`strict = False`), whose stages may not exist


class GaussState(NamedTuple):
    """`evaluations`: of the field so far. `longest`: the next step that pays. `times` (2s + 1,),
    from where the next step begins, `slopes` (2s + 1, n): at the stages of the last two steps,
    older first, and at y0; `known`: how many of the two there have been. `lost` (n,): what y lacks
    for its rounding."""

    evaluations: Integer
    longest: Scalar
    times: Array
    slopes: Array
    known: Integer
    lost: Array
    secants: Secants


class Sweep(NamedTuple):
    """Stages y0 + `shifts` to be swept next; of the sweep that led there its `slopes` and `change`,
    by how much a plain one moved the stages: it need not fall at every sweep, but not pass twice
    what it was at the `first`. `short`: sketches of the shifts, of the move to them, of the slopes.
    """

    shifts: Array
    slopes: Array
    short: tuple[Array, Array, Array]
    change: Scalar
    first: Scalar
    sweeps: Integer
    going: Flag
    solved: Flag
    secants: Secants


class GaussLegendre(AbstractCountingSolver):
    """Gauss-Legendre with `stages` stages, adaptive or with fixed steps; order 2 * stages.

    The error estimate has the size of h^{2s} y^{(2s)}, by divided differences of slopes: one order
    below the method's own error, like that of an explicit pair. `memory`: sweeps whose secants are
    kept, memory * stages vectors of the state's size. `rtol`: of the flow, by which stages may be
    loose where laws do not tell. `strict`: a step whose stages do not settle has failed. A kinked
    field may have no stages (they jump between two modes for ever): `strict = False` sweeps without
    secants and takes the last ones.
    """

    stages: int = eqx.field(static=True, default=1)
    strict: bool = eqx.field(static=True, default=True)
    memory: int = eqx.field(static=True, default=2)
    rtol: Scalar | float = 0.0
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def order(self, terms: ODE) -> int:
        del terms
        return 2 * self.stages

    def init(self, terms: ODE, t0: Time, t1: Time, y0: PyTree, args: Any) -> GaussState:
        flat, _ = ravel_pytree(y0)
        slope, _ = ravel_pytree(terms.vf(t0, y0, args))
        rows = 2 * self.stages + 1
        return GaussState(
            jnp.ones((), jnp.int32),
            jnp.asarray(t1 - t0),
            jnp.zeros((rows,), jnp.asarray(t1 - t0).dtype),
            jnp.broadcast_to(slope, (rows, flat.size)),
            jnp.zeros((), jnp.int32),
            jnp.zeros_like(flat),
            no_secants(self.memory * self.stages, flat.size, flat.dtype),
        )

    def evaluations(self, solver_state: GaussState) -> Integer:
        return solver_state.evaluations

    def longest_step(self, solver_state: GaussState) -> Scalar:
        return solver_state.longest

    def after_rejection(self, before: GaussState, error: PyTree | None) -> GaussState:
        del error
        return before

    def func(self, terms: ODE, t0: Time, y0: PyTree, args: Any) -> PyTree:
        return terms.vf(t0, y0, args)

    def step(
        self,
        terms: ODE,
        t0: Time,
        t1: Time,
        y0: PyTree,
        args: Any,
        solver_state: GaussState,
        made_jump: Jump,
    ) -> Step[GaussState]:
        state = solver_state._replace(
            known=jnp.where(made_jump, 0, solver_state.known),
            lost=jnp.where(made_jump, 0, solver_state.lost),
        )
        a, b, c = gauss_tableau(self.stages)
        flat, unravel = ravel_pytree(y0)
        dt = t1 - t0
        h, inside = jnp.asarray(dt, flat.dtype), jnp.asarray(c, jnp.result_type(dt)) * dt
        nodes = jnp.asarray(state.times / dt, flat.dtype)

        def field(time: Time, shift: Array) -> Array:
            return ravel_pytree(terms.vf(time, unravel(flat + shift), args))[0]

        slopes = lambda shifts: jax.vmap(field)(t0 + inside, shifts)  # noqa: E731
        start = h * jnp.asarray(a, flat.dtype) @ _extrapolated(state, nodes, c)
        end = self._solve(slopes, h, start, flat, state.secants)
        shift = h * jnp.asarray(b, flat.dtype) @ end.slopes + state.lost
        y1 = flat + shift
        last = field(t1, shift)
        pace = jnp.clip(jnp.sqrt(PAYING / end.sweeps), 0.3, GROWTH)
        later = GaussState(
            state.evaluations + self.stages * end.sweeps + 1,
            pace.astype(jnp.result_type(dt)) * dt,
            jnp.concatenate([state.times[self.stages : -1], inside, jnp.asarray(dt)[None]]) - dt,
            jnp.concatenate([state.slopes[self.stages : -1], end.slopes, last[None]]),
            jnp.minimum(state.known + 1, 2),
            (flat - y1) + shift,
            end.secants,
        )
        result = diffrax.RESULTS.where(
            end.solved if self.strict else jnp.isfinite(end.change),
            diffrax.RESULTS.successful,
            diffrax.RESULTS.internal_error,
        )
        error = unravel(h * _error(state, nodes, c, end.slopes, last))
        y1: Any = unravel(y1)
        return y1, error, {"y0": y0, "y1": y1}, later, result

    def _solve(
        self,
        slopes: Callable[[Array], Array],
        h: Scalar,
        start: Array,
        flat: Array,
        secants: Secants,
    ) -> Sweep:
        """Sweep over the stages until they move by rounding, or stop coming closer."""
        size, tableau = norm(flat), gauss_tableau(self.stages)[0]
        matrix = h * jnp.asarray(tableau, flat.dtype)
        unit = _unit(flat, start)
        path = norm(start) / len(start) ** 0.5 + jnp.finfo(flat.dtype).tiny
        most = LEEWAY * unit * jnp.maximum(size / (PARTS * path), 1)
        enough = jnp.clip(LOOSE * jnp.minimum(self.rtol * size, path), SOLVED * unit, most)

        def body(now: Sweep) -> Sweep:
            k = slopes(now.shifts)
            move = _mixed(matrix, k) - now.shifts
            change, known, short = norm(move), now.secants, now.short
            if self.strict and self.memory:
                # What is linear holds of sketches too. The first sweep has nothing to differ from.
                at, last, before = short
                seen = sketched(k)
                left = _mixed(matrix, seen) - at
                known, weights = refined(
                    known, last, seen - before, k - now.slopes, now.sweeps > 0, size, h, tableau,
                    left,
                )  # fmt: skip
                weights = matrix @ weights
                move, left = move + weights @ known.changes, left + weights @ known.seen
                short = (at + left, left, seen)
            closer, begun = change < now.change, jnp.where(now.sweeps == 0, change, now.first)
            count = now.sweeps + 1
            settled = change <= ROUNDING * unit
            done = (change <= enough) | (~closer & (count > 2) & settled)
            lost = ~jnp.isfinite(change)
            if self.strict:
                lost |= (count > 4) & (change > 2 * now.first)
            else:
                done |= (change == 0) | (~closer & (count > 2))
            going = ~done & ~lost & (count < (SWEEPS if self.strict else UNSETTLED))
            solved = settled | (change <= enough)
            return Sweep(now.shifts + move, k, short, change, begun, count, going, solved, known)

        huge, blank = jnp.asarray(jnp.inf, flat.dtype), jnp.zeros_like(start)
        zero, no, short = jnp.zeros((), jnp.int32), jnp.asarray(False), sketched(start)
        shorts = (short, jnp.zeros_like(short), jnp.zeros_like(short))
        first = Sweep(start, blank, shorts, huge, huge, zero, ~no, no, secants)
        return jax.lax.while_loop(lambda now: now.going, body, first)


def _mixed(matrix: Array, rows: Array) -> Array:
    """matrix @ rows of a few long rows: one pass, together with what is done to it next."""
    parts = [matrix[:, j, None] * rows[None, j] for j in range(len(rows))]
    return sum(parts[1:], start=parts[0])


def _unit(flat: Array, shifts: Array) -> Scalar:
    """The unit in the last place of the stages, as the norm of an error in all of them."""
    return jnp.finfo(flat.dtype).eps * (norm(flat) * len(shifts) ** 0.5 + norm(shifts))


def _extrapolated(state: GaussState, nodes: Array, c: np.ndarray) -> Array:
    """Slopes at c (s, n): the polynomial through f(y0) and those of the last steps.

    A step that is long against those before it would extrapolate their rounding: it does without.
    """
    stages = len(c)
    block = np.arange(2 * stages + 1, dtype=np.int32) // np.int32(stages)
    begin = nodes[np.minimum(block, 1) * stages]  # of the block that a node belongs to
    known = (block == 2) | ((state.known > 1 - block) & (begin < NEAR))
    return lagrange_basis(jnp.asarray(c, nodes.dtype), nodes, known) @ state.slopes


def _error(state: GaussState, nodes: Array, c: np.ndarray, slopes: Array, last: Array) -> Array:
    """The error estimate over h: s^2 C |D|, C the error constant, D = h^{2s-1} (d/dt)^{2s-1} of the
    slopes by divided differences over 2s of them, the larger of two: over y0, the stages, y1 and
    the last s - 2 stages of the step before, which sees every kink; and over the stages of both
    steps, which sees fast modes that flip from step to step.

    s^2: between what smooth slopes ask for, 1 / h lambda, and kinked ones, about 6 s^2. At the
    first step the s - 2 orders that lack are made up by ||D|| / ||D of one order less|| each.
    """
    stages = len(c)
    used = c if stages > 1 else c[:0]
    here = jnp.asarray([0.0, *used, 1.0], nodes.dtype)
    values = jnp.concatenate([state.slopes[-1:], slopes[: len(used)], last[None]])

    def first(_):
        top = top_difference(here, values)
        if stages < 3:
            return jnp.abs(top)
        below = norm(top_difference(here[1:], values[1:]))
        rate = norm(top) / jnp.where(below > 0, below, 1)
        return jnp.abs(top) * rate ** (stages - 2)

    def later(_):
        few, both = slice(min(stages + 2, 2 * stages), 2 * stages), slice(stages, 2 * stages)
        one = top_difference(
            jnp.concatenate([nodes[few], here]), jnp.concatenate([state.slopes[few], values])
        )
        two = top_difference(
            jnp.concatenate([nodes[both], jnp.asarray(c, nodes.dtype)]),
            jnp.concatenate([state.slopes[both], slopes]),
        )
        return jnp.maximum(jnp.abs(one), jnp.abs(two))

    scale = stages**2 * error_constant(stages)
    return scale * jax.lax.cond(state.known > 0, later, first, None)
