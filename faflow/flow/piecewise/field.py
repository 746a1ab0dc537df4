"""The field inside a mode: gates fixed, sliding pairs held on h = 0 by their averaged deltas.

With a_p = 0 on the sliding pairs A the deltas are affine in the averaged deltas lambda_A, hence so
is the field, and dh_A/dt = 0 is one |A| x |A| linear system (`gram.py`).
"""

from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Scalar
from ...networks import AbstractNetwork, Trace
from ...rules import AbstractLayerwiseRule, outer_products
from ..problem import FlowProblem
from .gates import backward
from .gram import couplings, forward_rates, solve_ties
from .mode import Mode
from .pairs import Layout, Slopes, gated_trace
from .runge_kutta import Tableau, inner_stages


class Motion(NamedTuple):
    """The field at one point.

    `velocity`, `correction` (weights,): dW/dt, and the step that brings sliding pairs back onto
    h = 0. `h`, `speed` (pairs,): pre-activations and their rates; `rounding` (pairs,): how well
    float64 knows h; `noise`: how well it knows the error signal, relative. On the slots `low` and
    `high`, in units of the usual size of g: how far the averaged delta is from that of a closed
    and of an open gate. Both are positive while the pair may slide, the gate is
    low / (low + high), and low + high = -sign(G_pp) g_p > 0 says that the surface attracts. (The
    gate itself is a quotient of small numbers where g is small.)
    """

    velocity: Array
    correction: Array
    h: Array
    speed: Array
    rounding: Array
    noise: Scalar
    low: Array
    high: Array


class _Rows(NamedTuple):
    """Samples and, below them, one row per slot; what holding the slots needs."""

    weights: AbstractNetwork
    trace: Trace
    inputs: tuple[Array, ...]
    deltas: tuple[Array, ...]
    average: Array
    lift: Array
    low: Array
    high: Array


class Field(eqx.Module):
    """Evaluates the field of a problem in a mode; weights are flat vectors.

    `tiers`: numbers of slots that have a program of their own, the last one all there are.
    """

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

    def slope(self, mode: Mode) -> tuple[Array, ...]:
        """phi'(h) of every pair by layer, 0 on the sliding ones."""
        side = jnp.where(mode.above, self.slopes.above, self.slopes.below)
        return self.layout.split(jnp.where(mode.sliding, 0.0, side))

    def idle(self, flat: Array, above: Array, sliding: Array) -> tuple[Array, Array]:
        """Pairs of samples whose signal has died in a lower layer, and `above` with them settled.

        Without biases h is 0 there for good, until a sliding pair below leaves upwards: a dead
        pair's gate is the one it would have then, which is what that pair's delta is made of.
        """
        layout, weights = self.layout, self.network(flat).weights
        none = jnp.zeros_like(above)
        if self.problem.weights.biases or len(layout.hidden) < 2:
            return none, above
        side = jnp.where(above, self.slopes.above, self.slopes.below)
        gates = layout.split(jnp.where(sliding, 0.0, side))
        quiet = [jnp.all(gate == 0, axis=1) for gate in gates]
        sample_dead = [jnp.zeros(layout.samples, bool)]
        for here in quiet[:-1]:
            sample_dead.append(sample_dead[-1] | here)
        shapes = zip(sample_dead, layout.hidden, strict=True)
        dead = layout.join([jnp.broadcast_to(d[:, None], (d.size, n)) for d, n in shapes])

        def revive(_) -> Array:
            rising, found = None, []
            parts = zip(layout.split(sliding), layout.split(above), sample_dead, strict=True)
            for layer, (slides, high, gone) in enumerate(parts):
                start = slides.astype(flat.dtype)
                if rising is not None:
                    h = rising @ weights[layer].T
                    high = jnp.where(gone[:, None] & (h != 0), h > 0, high)
                    slope = jnp.where(high, self.slopes.above, self.slopes.below)
                    start = jnp.where(gone[:, None], slope * h, start)
                found.append(high)
                rising = start
            return layout.join(found)

        return dead, jax.lax.cond(jnp.any(dead), revive, lambda _: above, None)

    def stages(
        self, table: Tableau, flat: Array, first: Array, mode: Mode, dt: Scalar
    ) -> tuple[Array, Array]:
        """A Runge-Kutta step of dW/dt without its last stage: the end, and its part of the error."""

        def step(slots: int):
            end, ks = inner_stages(
                table, lambda point: self._velocity(point, mode, slots), flat, first, dt
            )
            return end, dt * (jnp.asarray(table.error[:-1]) @ ks)

        return self._by_tier(mode, step)

    def motion(self, flat: Array, mode: Mode) -> Motion:
        """Everything about one point."""
        return self._by_tier(mode, lambda slots: self._motion(flat, mode, slots))

    def motion_at_rest(self, flat: Array, mode: Mode) -> Motion:
        """`motion` for a mode known to have no sliding pair."""
        return self._motion(flat, mode, 0)

    def _by_tier(self, mode: Mode, branch):
        # The cost follows the number of sliding pairs, not the largest number allowed.
        tier = jnp.sum(mode.held > jnp.asarray(self.tiers[:-1], mode.held.dtype))
        return jax.lax.switch(tier, [lambda k=k: branch(k) for k in self.tiers])

    def _velocity(self, flat: Array, mode: Mode, slots: int) -> Array:
        rows = self._rows(flat, mode, slots, full=False)
        return self.flat(self._push(rows, rows.average, samples=True))

    def _motion(self, flat: Array, mode: Mode, slots: int) -> Motion:
        rows = self._rows(flat, mode, slots, full=True)
        velocity = self._push(rows, rows.average, samples=True)
        correction: Array = jnp.zeros_like(flat)
        if slots:
            correction = self.flat(self._push(rows, rows.lift, samples=False))
        gates = self.slope(mode)
        speed = self._speed(rows.weights, velocity, rows.trace, gates)
        rounding = self._rounding(rows.weights, rows.trace, gates)
        spare = self.tiers[-1] - slots
        low, high = (jnp.concatenate([m, jnp.full(spare, 0.5)]) for m in (rows.low, rows.high))
        h = self.layout.join(rows.trace.pre[:-1])
        noise = self._noise(rows)
        return Motion(
            self.flat(velocity), correction, h, speed, rounding, noise, low, high
        )  # fmt: skip

    def _rows(self, flat: Array, mode: Mode, slots: int, full: bool) -> _Rows:
        problem, layout = self.problem, self.layout
        weights, gates = self.network(flat), self.slope(mode)
        trace = gated_trace(weights, problem.data.inputs, gates)
        error = problem.data.error(trace.outputs)
        rule = cast(AbstractLayerwiseRule, problem.rule)  # `check_exact` sees to it
        if slots == 0:
            back = backward(rule, weights, problem.feedback, trace, error, gates)
            empty = (jnp.zeros(0, flat.dtype),) * 4
            return _Rows(weights, trace, trace.post[:-1], back.deltas, *empty)
        samples = layout.samples
        index = mode.slots[:slots]
        used = index < layout.pairs
        rows = jnp.asarray(layout.sample)[index]
        marks = tuple(mark.astype(flat.dtype) for mark in layout.one_hot(index))

        def extended(part: Array) -> Array:
            return jnp.concatenate([part, part[rows]])

        def below(part: Array, more: Array) -> Array:
            return jnp.concatenate([jnp.zeros((samples, part.shape[1])), more])

        longer = Trace(tuple(map(extended, trace.pre)), tuple(map(extended, trace.post)))
        back = backward(
            rule, weights, problem.feedback, longer,
            jnp.concatenate([error, jnp.zeros((slots, error.shape[1]))]),
            tuple(map(extended, gates)),
            tuple(below(gate, mark) for gate, mark in zip(gates, marks, strict=True)),
        )  # fmt: skip
        rates = forward_rates(weights, tuple(gate[rows] for gate in gates), marks)
        given = couplings(weights, rates, longer.post[:-1], rows, back.deltas[:-1])
        matrix = given[:, samples:]
        here: Any = sum(
            jnp.sum(s[rows] * m, axis=1) for s, m in zip(back.signals, marks, strict=True)
        )
        wanted = -jnp.sum(given[:, :samples], axis=1)[:, None]
        if full:
            held = layout.join(trace.pre[:-1])[jnp.minimum(index, layout.pairs - 1)]
            wanted = jnp.concatenate([wanted, -held[:, None]], axis=1)
        answer = solve_ties(matrix, jnp.where(used[:, None], wanted, 0.0), here, used)
        average = answer[:, 0]
        low, high = here, here
        if full:
            low, high = self._margins(back.signals, here, marks, rows, index, matrix, average)
        lift = answer[:, -1]
        return _Rows(weights, trace, longer.post[:-1], back.deltas, average, lift, low, high)

    def _margins(self, signals, here, marks, rows, index, matrix, average) -> tuple[Array, Array]:
        """`low` and `high` of the slots; the signal g_p of a slot depends on the other slots."""
        samples, used = self.layout.samples, index < self.layout.pairs
        same = rows[:, None] == rows[None, :]
        across: Any = sum(s[samples:] @ m.T for s, m in zip(signals, marks, strict=True))  # [q, p]
        signal = here + jnp.where(same, across, 0.0).T @ average
        usual = jnp.stack([jnp.sqrt(jnp.mean(s[:samples] ** 2)) for s in signals])
        usual = usual[jnp.asarray(self.layout.layer)[index]]
        rise = self.slopes.above - self.slopes.below
        unit = -jnp.sign(jnp.diagonal(matrix)) / (jnp.where(usual > 0, usual, 1.0) * rise)
        low = (average - self.slopes.below * signal) * unit
        high = (self.slopes.above * signal - average) * unit
        return jnp.where(used, low, 0.5), jnp.where(used, high, 0.5)

    def _push(self, rows: _Rows, average: Array, samples: bool) -> AbstractNetwork:
        """dW of the slots' averaged deltas and, if wanted, of the samples."""
        count = self.layout.samples
        share = jnp.concatenate([jnp.full(count, 1.0 if samples else 0.0), average])
        deltas = [
            delta if average.size == 0 else delta * share[:, None] for delta in rows.deltas[:-1]
        ]
        last = rows.deltas[-1] if samples else jnp.zeros_like(rows.deltas[-1])
        return outer_products(
            rows.weights, Trace((), (*rows.inputs, last)), (*deltas, last)
        )  # fmt: skip

    def _speed(self, weights, move, trace: Trace, gates) -> Array:
        """dh/dt of every pair: the forward pass differentiated along the velocity."""
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

    def _rounding(self, weights, trace: Trace, gates) -> Array:
        """A few units in the last place of the sums that make up h, and what lower layers add.

        A bias counts with the size of its row: near 0 it is the end of a sum of larger numbers.
        """
        few = 32 * jnp.finfo(trace.pre[0].dtype).eps
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

    def _noise(self, rows: _Rows) -> Scalar:
        """The error signal is a difference of numbers of the outputs' size."""
        error = jnp.max(jnp.abs(rows.deltas[-1]))
        size = jnp.max(jnp.abs(rows.trace.outputs)) + jnp.max(jnp.abs(self.problem.data.targets))
        scale, eps = error / self.problem.data.weight, jnp.finfo(error.dtype).eps
        return jnp.where(error > 0, eps * (1 + size / jnp.where(error > 0, scale, 1.0)), eps)
