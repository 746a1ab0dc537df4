"""The field inside a mode: gates fixed, sliding pairs held on h = 0 by their averaged deltas.

With a_p = 0 on the sliding pairs A the deltas are affine in the averaged deltas lambda_A, hence so
is the field: V = V_0 + sum_q lambda_q V_q, and dh_p/dt = b_p + sum_q G_pq lambda_q. Let r_k^p be
the derivative of h_p by the pre-activations h_k of its own sample (a backward sweep with the
forward weights) and delta_k^q the rule's deltas for a unit lambda_q (a backward sweep of the rule
from pair q). Then, with <a, a> over the inputs of layer k and 1 for a bias,

    G_pq = - sum_k <r_k^p, delta_k^q> (<a_{k-1}^p, a_{k-1}^q> + 1),

two sweeps over |A| rows and a few |A| x |A| products: no linearisation, at any depth.
"""

from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer
from ...networks import AbstractNetwork, Trace
from ...rules import AbstractLayerwiseRule, outer_products
from ..problem import FlowProblem
from .gates import backward
from .pairs import Layout, Slopes, gated_trace

RIDGE = 1e-11  # relative to the largest diagonal entry


class Mode(NamedTuple):
    """`above` (pairs,): the side of 0 a pair is on; `sliding` (pairs,): it is held on 0 instead.

    `slots`: the sliding pairs, padded with `pairs`; `held` of them.
    """

    above: Array
    sliding: Array
    slots: Array
    held: Integer


class Motion(NamedTuple):
    """The field at one point.

    `velocity`, `correction` (weights,): dW/dt, and the step that brings sliding pairs back onto
    h = 0. `h`, `speed` (pairs,): pre-activations and their rates; `rounding` (pairs,): how well
    float64 knows h. On the slots: `average` the averaged deltas, `gate` in [0, 1] while the pair
    may slide, `pull` > 0 where the surface attracts: -sign(G_pp) g_p over the usual size of g.
    """

    velocity: Array
    correction: Array
    h: Array
    speed: Array
    rounding: Array
    average: Array
    gate: Array
    pull: Array


class Field(eqx.Module):
    """Evaluates the field of a problem in a mode; weights are flat vectors."""

    problem: FlowProblem
    layout: Layout = eqx.field(static=True)
    slopes: Slopes = eqx.field(static=True)
    tiers: tuple[int, ...] = eqx.field(static=True)

    def flat(self, network: AbstractNetwork) -> Array:
        return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(network)])

    def network(self, flat: Array) -> AbstractNetwork:
        leaves, shape = jax.tree.flatten(self.problem.weights)
        ends, parts = 0, []
        for leaf in leaves:
            parts.append(flat[ends : ends + leaf.size].reshape(leaf.shape))
            ends += leaf.size
        return jax.tree.unflatten(shape, parts)

    @property
    def _rule(self) -> AbstractLayerwiseRule:
        return cast(AbstractLayerwiseRule, self.problem.rule)  # `integrate_exact` checks it

    def slope(self, mode: Mode) -> Array:
        """phi'(h) of every pair, 0 on the sliding ones."""
        side = jnp.where(mode.above, self.slopes.above, self.slopes.below)
        return jnp.where(mode.sliding, 0.0, side)

    def velocity(self, flat: Array, mode: Mode) -> Array:
        """dW/dt alone: what the stages of a Runge-Kutta step need."""
        return self._by_tier(mode, lambda slots: self._solve(flat, mode, slots)[0])

    def velocity_at_start(self) -> Array:
        """dW/dt with nobody sliding: a cheap look at whether the rule is served."""
        flat = self.flat(self.problem.weights)
        none = jnp.zeros(self.layout.pairs, bool)
        slots = jnp.full(self.tiers[-1], self.layout.pairs)
        return self._solve(flat, Mode(none, none, slots, jnp.zeros((), int)), 0)[0]

    def motion(self, flat: Array, mode: Mode) -> Motion:
        """Everything about one point."""

        return self._by_tier(mode, lambda slots: self._motion(flat, mode, slots))

    def motion_at_rest(self, flat: Array, mode: Mode) -> Motion:
        """`motion` for a mode known to have no sliding pair."""
        return self._motion(flat, mode, 0)

    def _motion(self, flat: Array, mode: Mode, slots: int) -> Motion:
        velocity, correction, trace, parts = self._solve(flat, mode, slots, full=True)
        speed = self._speed(self.network(flat), self.network(velocity), trace, mode)
        spare = self.tiers[-1] - slots
        average, gate, pull = (
            jnp.concatenate([part, jnp.full(spare, fill)])
            for part, fill in zip(parts, (0.0, 0.5, 1.0), strict=True)
        )
        rounding = self._rounding(self.network(flat), trace, mode)
        h = self.layout.join(trace.pre[:-1])
        return Motion(velocity, correction, h, speed, rounding, average, gate, pull)

    def _by_tier(self, mode: Mode, branch):
        # The cost follows the number of sliding pairs, not the largest number allowed.
        tier = jnp.sum(mode.held > jnp.asarray(self.tiers[:-1], mode.held.dtype))
        return jax.lax.switch(tier, [lambda k=k: branch(k) for k in self.tiers])

    def _solve(self, flat: Array, mode: Mode, slots: int, full: bool = False):
        problem, layout = self.problem, self.layout
        weights = self.network(flat)
        gates = layout.split(self.slope(mode))
        trace = gated_trace(weights, problem.data.inputs, gates)
        error = problem.data.error(trace.outputs)
        back = backward(self._rule, weights, problem.feedback, trace, error, gates)
        free = outer_products(weights, trace, back.deltas)
        empty = (jnp.zeros(0, flat.dtype),) * 3
        if slots == 0:
            velocity = self.flat(free)
            return velocity, jnp.zeros_like(velocity), trace, empty
        index = mode.slots[:slots]
        used = index < layout.pairs
        rows = jnp.asarray(layout.sample)[index]
        marks = tuple(mark.astype(flat.dtype) for mark in layout.one_hot(index))
        local = Trace(tuple(h[rows] for h in trace.pre), tuple(a[rows] for a in trace.post))
        rate = _forward_sweep(weights, tuple(gate[rows] for gate in gates), marks)
        unit = backward(
            self._rule, weights, problem.feedback, local, jnp.zeros_like(local.outputs),
            tuple(gate[rows] for gate in gates), marks,
        )  # fmt: skip
        matrix, drive = _gram(weights, local, rate, unit.deltas, free)
        padded = jnp.where(used[:, None] & used[None, :], matrix, jnp.eye(slots))
        held = layout.join(trace.pre[:-1])[jnp.minimum(index, layout.pairs - 1)]
        wanted = jnp.stack([-drive, -held], axis=1) if full else -drive[:, None]
        here: Any = sum(
            jnp.sum(s[rows] * m, axis=1) for s, m in zip(back.signals, marks, strict=True)
        )
        answer = _solve_ties(padded, jnp.where(used[:, None], wanted, 0.0), here, used)
        average = answer[:, 0]
        velocity = self.flat(free) + self._push(weights, local, unit.deltas, average)
        if not full:
            return velocity, jnp.zeros_like(velocity), trace, empty
        correction = self._push(weights, local, unit.deltas, answer[:, 1])
        same = rows[:, None] == rows[None, :]
        across: Any = sum(s @ m.T for s, m in zip(unit.signals, marks, strict=True))  # [q, p]
        signal = here + jnp.where(same, across, 0.0).T @ average
        gate = (average / signal - self.slopes.below) / (self.slopes.above - self.slopes.below)
        gate = jnp.where(used, jnp.where(jnp.isnan(gate), 0.5, gate), 0.5)
        usual = jnp.stack([jnp.sqrt(jnp.mean(s**2)) for s in back.signals])
        usual = usual[jnp.asarray(layout.layer)[index]]
        pull = jnp.where(used, -jnp.sign(jnp.diagonal(matrix)) * signal / usual, 1.0)
        # The gate opens by (above - below): the sign that attracts turns with it.
        pull = pull * (1.0 if self.slopes.above > self.slopes.below else -1.0)
        return velocity, correction, trace, (average, gate, pull)

    def _push(self, weights, local: Trace, deltas, average: Array) -> Array:
        scaled = tuple(average[:, None] * delta for delta in deltas)
        return self.flat(outer_products(weights, local, scaled))

    def _speed(self, weights, move, trace: Trace, mode: Mode) -> Array:
        """dh/dt of every pair: the forward pass differentiated along the velocity."""
        gates = self.layout.split(self.slope(mode))
        speeds, da = [], None
        for layer, gate in enumerate(gates):
            dh = trace.post[layer] @ move.weights[layer].T
            if weights.biases:
                dh = dh + move.biases[layer][None, :]
            if da is not None:
                dh = dh + da @ weights.weights[layer].T
            speeds.append(dh)
            da = gate * dh
        return self.layout.join(speeds)

    def _rounding(self, weights, trace: Trace, mode: Mode) -> Array:
        """A few units in the last place of the sums that make up h, and what lower layers add.

        A bias counts with the size of its row: near 0 it is the end of a sum of larger numbers.
        """
        few = 32 * jnp.finfo(trace.pre[0].dtype).eps
        gates = self.layout.split(self.slope(mode))
        parts, below = [], None
        for layer, gate in enumerate(gates):
            norm = few * jnp.sqrt(jnp.sum(trace.post[layer] ** 2, axis=1))
            if below is not None:
                norm = norm + jnp.sqrt(jnp.sum(below**2, axis=1))
            row = jnp.sqrt(jnp.sum(weights.weights[layer] ** 2, axis=1))
            part = norm[:, None] * row[None, :]
            if weights.biases:
                part = part + few * (row + jnp.abs(weights.biases[layer]))[None, :]
            parts.append(part)
            below = gate * part
        return self.layout.join(parts)


def _forward_sweep(weights: AbstractNetwork, gates, marks) -> list[Array]:
    """r_k (slots, n_k), k = 1..L-1: the derivative of each slot's h by h_k of its sample."""
    rate = [marks[-1]]
    for layer in range(len(marks) - 2, -1, -1):
        rate.append(marks[layer] + gates[layer] * (rate[-1] @ weights.weights[layer + 1]))
    return rate[::-1]


def _gram(weights: AbstractNetwork, local: Trace, rate, deltas, free: AbstractNetwork):
    """G (slots, slots) and b (slots,) of dh/dt = b + G lambda."""
    matrix: Any = 0.0
    drive: Any = 0.0
    for layer, row in enumerate(rate):
        inputs = local.post[layer]
        inner = inputs @ inputs.T + (1.0 if weights.biases else 0.0)
        matrix = matrix - (row @ deltas[layer].T) * inner
        drive = drive + jnp.sum(row * (inputs @ free.weights[layer].T), axis=1)
        if weights.biases:
            drive = drive + row @ free.biases[layer]
    return matrix, drive


def _solve_ties(matrix: Array, wanted: Array, signal: Array, used: Array) -> Array:
    """matrix^-1 wanted; if rows agree (samples that are alike to a layer), the share of each row
    goes by its signal, so that all have the same gate.

    A small ridge makes the matrix regular; two refinements take its effect away where it was.
    """
    share = jnp.where(used, jnp.abs(signal), 0.0)
    share = jnp.where(used, share / jnp.maximum(jnp.max(share), 1e-300), 1.0)
    size = jnp.max(jnp.where(used, jnp.abs(jnp.diagonal(matrix)), 0.0))
    size = jnp.where(size > 0, size, 1.0)
    ridge = jnp.where(used, RIDGE * size / jnp.maximum(share, 1e-6), 0.0)
    factors = jax.scipy.linalg.lu_factor(matrix - jnp.diag(ridge))
    answer = jax.scipy.linalg.lu_solve(factors, wanted)
    for _ in range(2):
        answer = answer + jax.scipy.linalg.lu_solve(factors, wanted - matrix @ answer)
    return answer


def finite(motion: Motion) -> Flag:
    return jnp.all(jnp.isfinite(motion.velocity))
