"""The field inside a mode: gates fixed, sliding pairs held on h = 0 by their averaged deltas.

With a_p = 0 on the sliding pairs A the deltas are affine in the averaged deltas lambda_A, hence so
is the field, and dh_A/dt = 0 is one |A| x |A| linear system (`hold.py`, `gram.py`).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Scalar
from ...networks import AbstractNetwork, Trace, gated_trace
from ...rules import AbstractLayerwiseRule, outer_products
from ..problem import FlowProblem
from .decisions.dead import Sides, settle_dead
from .decisions.hold import Grip, Hold, grip_of, hold, margins, meet, moved_by
from .decisions.ties import Surfaces, alone
from .gates import backward
from .mode import Mode, first_of
from .pairs import Layout, Slopes
from .runge_kutta import Tableau, looks


class Motion(NamedTuple):
    """The field at one point.

    `velocity`, `correction` (weights,): dW/dt, and the step that brings sliding pairs back onto
    h = 0. `h`, `speed` (pairs,): pre-activations and their rates; `rounding` (pairs,): how well
    float64 knows h; `noise`: how well it knows the error signal, relative. On the slots `low` and
    `high`, in units of the usual size of g: how far the averaged delta is from that of a closed
    and of an open gate. Both are positive while the pair may slide, the gate is
    low / (low + high), and low + high > 0 says that the surface attracts. (The
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


class _Seen(NamedTuple):
    """What a look at a point leaves besides dW/dt: `pre` (h_1, ..., h_L) of the samples, their
    `signals` and the `error` signal, and how the sliding pairs are held (None: there are none)."""

    pre: tuple[Array, ...]
    signals: tuple[Array, ...]
    error: Array
    held: Hold | None


class _Ends(NamedTuple):
    """Of the last look, what takes the sliding pairs to tell; `partial` as in `Field.look`."""

    point: Array
    partial: Array
    pre: tuple[Array, ...]
    error: Array
    velocity: Array
    correction: Array
    low: Array
    high: Array


class Field(eqx.Module):
    """Evaluates the field of a problem in a mode; weights are flat vectors.

    `slots`: the most pairs that may slide. `tiers`: numbers of slots that there is code for; modes
    with more than the last one are somebody else's.
    """

    problem: FlowProblem
    layout: Layout = eqx.field(static=True)
    slopes: Slopes = eqx.field(static=True)
    slots: int = eqx.field(static=True)
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

    def settled(self, flat: Array, near: Array, above: Array, sliding: Array) -> Sides:
        """The sides with the pairs of dead samples settled."""
        layout, slopes, network = self.layout, self.slopes, self.network(flat)
        inputs = self.problem.data.inputs
        return settle_dead(layout, slopes, network, inputs, near, above, sliding)

    def surfaces(self, flat: Array, mode: Mode, on: Array) -> Surfaces:
        """Which of the pairs that are `on` h = 0 have the same surface."""
        layout, weights = self.layout, self.network(flat)
        several = [jnp.any(jnp.sum(part, axis=0) > 1) for part in layout.split(on)]

        def passing(share: Scalar) -> Surfaces:
            side = jnp.where(mode.above, self.slopes.above, self.slopes.below)
            side = jnp.where(mode.sliding, 0.0, side)
            gates = layout.split(jnp.where(on, share * self.slopes.above, side))
            trace = gated_trace(weights, self.problem.data.inputs, gates)
            return meet(layout, weights, trace, grip_of(layout, first_of(on, self.slots), gates))

        def found(_) -> Surfaces:
            # Those `on` h = 0 may pass something on or nothing: the same surface either way.
            return jax.vmap(passing)(jnp.arange(2.0)).throughout()

        nobody = alone(layout.pairs)
        return jax.lax.cond(jnp.any(jnp.stack(several)), found, lambda _: nobody, None)

    def beside(self, sliding: Array) -> Array:
        """Pairs of neurons that slide on some sample."""
        parts = self.layout.split(sliding)
        return self.layout.join([jnp.broadcast_to(jnp.any(s, axis=0), s.shape) for s in parts])

    def look(
        self,
        table: Tableau,
        start: Array,
        first: Array,
        mode: Mode,
        dt: Scalar,
        place: Array,
        stepping: Flag,
    ) -> tuple[Array, Array, Motion]:
        """A Runge-Kutta step from `start`, or, unless `stepping`, a look at `place`: the point
        looked at last, the part of the step's error that the stages before the last one make, and
        everything about the point. One call site of the field: a short program."""
        gates = self.slope(mode)

        def ends(slots: int) -> _Ends:
            grip = grip_of(self.layout, mode.slots[:slots], gates) if slots else None
            point, slopes, seen = looks(
                table, lambda at: self._see(at, gates, grip), start, first, dt, place, stepping
            )
            partial = dt * (jnp.asarray(table.error[:-1]) @ slopes[:-1])
            low = high = jnp.full(self.slots, 0.5, point.dtype)
            correction, held = jnp.zeros_like(point), seen.held
            if grip is not None and held is not None:
                correction = self.flat(moved_by(self.network(point), held, held.lift))
                below, above = margins(self.slopes, seen.signals, grip, held)
                low, high = low.at[:slots].set(below), high.at[:slots].set(above)
            return _Ends(point, partial, seen.pre, seen.error, slopes[-1], correction, low, high)

        # The cost follows the number of sliding pairs, not the largest number allowed.
        tier = jnp.sum(mode.held > jnp.asarray(self.tiers[:-1], mode.held.dtype))
        end = jax.lax.switch(tier, [lambda k=k: ends(k) for k in self.tiers])
        return end.point, end.partial, self._motion(end, gates)

    def motion_at_rest(self, flat: Array, mode: Mode) -> Motion:
        """Everything about one point in a mode known to have no sliding pair."""
        gates, nothing = self.slope(mode), jnp.zeros_like(flat)
        velocity, seen = self._see(flat, gates, None)
        half = jnp.full(self.slots, 0.5, flat.dtype)
        ends = _Ends(flat, nothing, seen.pre, seen.error, velocity, nothing, half, half)
        return self._motion(ends, gates)

    def _see(self, flat: Array, gates: tuple[Array, ...], grip: Grip | None) -> tuple[Array, _Seen]:
        """dW/dt at a point, and what else is seen there."""
        problem, weights = self.problem, self.network(flat)
        rule, feedback = problem.rule, problem.feedback
        assert isinstance(rule, AbstractLayerwiseRule)  # `check_exact` sees to it
        trace = gated_trace(weights, problem.data.inputs, gates)
        error = problem.data.error(trace.outputs)
        back = backward(rule, weights, feedback, trace, error, gates)
        move = outer_products(weights, trace, back.deltas)
        velocity, held = self.flat(move), None
        if grip is not None:
            h = self.layout.join(trace.pre[:-1])[jnp.minimum(grip.pairs, self.layout.pairs - 1)]
            held = hold(rule, weights, feedback, self.slopes, grip, trace, back, move, h)
            velocity = velocity + self.flat(moved_by(weights, held, held.average))
        return velocity, _Seen(trace.pre, back.signals, back.deltas[-1], held)

    def _motion(self, ends: _Ends, gates: tuple[Array, ...]) -> Motion:
        weights, pre = self.network(ends.point), ends.pre
        passed = [gate * h for gate, h in zip(gates, pre[:-1], strict=True)]
        trace = Trace(pre, (self.problem.data.inputs, *passed, pre[-1]))
        return Motion(
            ends.velocity,
            ends.correction,
            self.layout.join(pre[:-1]),
            self._speed(weights, self.network(ends.velocity), trace, gates),
            self._rounding(weights, trace, gates),
            self._noise(trace.outputs, ends.error),
            ends.low,
            ends.high,
        )

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
            # A row that shrinks to nothing keeps the rounding of the size it had.
            row = jnp.sum(weights.weights[layer] ** 2, axis=1)
            row = jnp.sqrt(row + jnp.mean(row))
            part = norm[:, None] * row[None, :]
            if weights.biases:
                part = part + few * (row + jnp.abs(weights.biases[layer]))[None, :]
            parts.append(part)
            below = gate * part
        return self.layout.join(parts)

    def _noise(self, outputs: Array, error_signal: Array) -> Scalar:
        """The error signal is a difference of numbers of the outputs' size."""
        data = self.problem.data
        error = jnp.max(jnp.abs(error_signal))
        size = jnp.max(jnp.abs(outputs)) + jnp.max(jnp.abs(data.targets))
        unit = data.weight
        if data.sample_weights is not None:
            unit = unit * jnp.max(data.sample_weights)
        scale, eps = error / unit, jnp.finfo(error.dtype).eps
        return jnp.where(error > 0, eps * (1 + size / jnp.where(error > 0, scale, 1.0)), eps)
