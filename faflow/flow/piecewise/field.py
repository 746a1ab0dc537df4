"""The field inside a mode: gates fixed, sliding pairs held on h = 0 by their averaged deltas.

With a_p = 0 on the sliding pairs A the deltas are affine in the averaged deltas lambda_A, hence so
is the field, and dh_A/dt = 0 is one |A| x |A| linear system (`gram.py`).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Scalar
from ...networks import AbstractNetwork, Trace
from ...rules import AbstractLayerwiseRule, outer_products
from ..problem import FlowProblem
from .gates import backward
from .gram import couplings, find_ties, forward_rates, solve_held
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


class Sides(NamedTuple):
    """`above`, `sliding` as in `Mode`. `dead`: pairs of samples whose signal has died below;
    `torn`: dead pairs that sliding pairs below pull to both sides, so that their gate is open."""

    above: Array
    sliding: Array
    dead: Array
    torn: Array


class _Grip(NamedTuple):
    """What a mode says of the slots, the same at every point: their pairs (`pairs`), samples
    (`rows`) and neurons; `marks` (slots, n_l) one at each slot's neuron; `gates` of the samples
    and, below them, the slots' (`own`); `injected`: the marks below zeros."""

    pairs: Array
    used: Array
    rows: Array
    neuron: Array
    marks: tuple[Array, ...]
    gates: tuple[Array, ...]
    own: tuple[Array, ...]
    injected: tuple[Array, ...]


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

    def settled(self, flat: Array, above: Array, sliding: Array) -> Sides:
        """The sides with the pairs of dead samples settled: without biases h is 0 there for good,
        until a sliding pair below leaves upwards. A dead pair does not slide, and its gate is the
        one it would have then, which is what the delta of that pair below is made of.
        """
        layout, weights = self.layout, self.network(flat).weights
        none = jnp.zeros_like(above)
        if self.problem.weights.biases or len(layout.hidden) < 2:
            return Sides(above, sliding, none, none)
        slope = jnp.where(above, self.slopes.above, self.slopes.below)
        gates = layout.split(jnp.where(sliding, 0.0, slope))
        gone = [jnp.zeros(layout.samples, bool)]
        for gate in gates[:-1]:
            gone.append(gone[-1] | jnp.all(gate == 0, axis=1))
        shapes = zip(gone, layout.hidden, strict=True)
        dead = layout.join([jnp.broadcast_to(d[:, None], (d.size, n)) for d, n in shapes])

        def revive(_) -> tuple[Array, Array]:
            rising, found, torn = None, [], []
            parts = zip(layout.split(sliding), layout.split(above), gone, strict=True)
            for layer, (slides, high, is_gone) in enumerate(parts):
                start, mixed = slides.astype(flat.dtype), jnp.zeros_like(high)
                if rising is not None:
                    h = rising @ weights[layer].T
                    is_here = is_gone[:, None] & (h != 0)
                    mixed = is_here & (rising @ jnp.abs(weights[layer]).T > 1.000001 * jnp.abs(h))
                    high = jnp.where(is_here, h > 0, high)
                    side = jnp.where(high, self.slopes.above, self.slopes.below)
                    start = jnp.where(is_gone[:, None], side * h, start)
                found.append(high)
                torn.append(mixed)
                rising = start
            return layout.join(found), layout.join(torn)

        some = jnp.any(dead)
        high, torn = jax.lax.cond(some, revive, lambda _: (above, none), None)
        return Sides(high, sliding & ~dead, dead, torn)

    def beside(self, sliding: Array) -> Array:
        """Pairs of neurons that slide on some sample."""
        parts = self.layout.split(sliding)
        return self.layout.join([jnp.broadcast_to(jnp.any(s, axis=0), s.shape) for s in parts])

    def stages(
        self, table: Tableau, flat: Array, first: Array, mode: Mode, dt: Scalar
    ) -> tuple[Array, Array]:
        """A Runge-Kutta step without its last stage: the end, and its part of the error."""

        def step(slots: int):
            grip = self._grip(mode, slots)
            end, ks = inner_stages(
                table, lambda point: self._velocity(point, grip), flat, first, dt
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

    def _velocity(self, flat: Array, grip: _Grip) -> Array:
        rows = self._rows(flat, grip, full=False)
        return self.flat(self._push(rows, rows.average, samples=True))

    def _motion(self, flat: Array, mode: Mode, slots: int) -> Motion:
        rows = self._rows(flat, self._grip(mode, slots), full=True)
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

    def _grip(self, mode: Mode, slots: int) -> _Grip:
        layout, gates = self.layout, self.slope(mode)
        if slots == 0:
            none = jnp.zeros(0, jnp.int32)
            return _Grip(none, none > 0, none, none, (), gates, (), ())
        index = mode.slots[:slots]
        rows = jnp.asarray(layout.sample)[index]
        marks = tuple(mark.astype(gates[0].dtype) for mark in layout.one_hot(index))
        own = tuple(gate[rows] for gate in gates)
        return _Grip(
            pairs=index,
            used=index < layout.pairs,
            rows=rows,
            neuron=jnp.asarray(layout.neuron)[index],
            marks=marks,
            gates=tuple(jnp.concatenate(pair) for pair in zip(gates, own, strict=True)),
            own=own,
            injected=tuple(
                jnp.concatenate([jnp.zeros_like(gate), mark])
                for gate, mark in zip(gates, marks, strict=True)
            ),
        )

    def _rows(self, flat: Array, grip: _Grip, full: bool) -> _Rows:
        problem, layout, rule = self.problem, self.layout, self.problem.rule
        assert isinstance(rule, AbstractLayerwiseRule)  # `check_exact` sees to it
        weights, samples, rows, slots = (
            self.network(flat), self.layout.samples, grip.rows, grip.rows.size
        )  # fmt: skip
        trace = gated_trace(weights, problem.data.inputs, tuple(g[:samples] for g in grip.gates))
        error = problem.data.error(trace.outputs)
        if slots == 0:
            back = backward(rule, weights, problem.feedback, trace, error, grip.gates)
            empty = (jnp.zeros(0, flat.dtype),) * 4
            return _Rows(weights, trace, trace.post[:-1], back.deltas, *empty)

        def extended(part: Array) -> Array:
            return jnp.concatenate([part, part[rows]])

        longer = Trace(tuple(map(extended, trace.pre)), tuple(map(extended, trace.post)))
        errors = jnp.concatenate([error, jnp.zeros((slots, error.shape[1]))])
        back = backward(
            rule, weights, problem.feedback, longer, errors, grip.gates, grip.injected
        )  # fmt: skip
        rates = forward_rates(weights, grip.own, grip.marks)
        given = couplings(weights, rates, longer.post[:-1], rows, back.deltas[:-1])
        matrix = given[:, samples:]
        here: Any = sum(
            jnp.sum(s[rows] * m, axis=1) for s, m in zip(back.signals, grip.marks, strict=True)
        )
        wanted = -jnp.sum(given[:, :samples], axis=1)[:, None]
        if full:
            held = layout.join(trace.pre[:-1])[jnp.minimum(grip.pairs, layout.pairs - 1)]
            wanted = jnp.concatenate([wanted, -held[:, None]], axis=1)
        ties = find_ties(matrix, here, grip.neuron, grip.used)
        answer = solve_held(matrix, wanted, ties, grip.used)
        average, lift = (ties.share * answer[ties.leader, column] for column in (0, -1))
        low, high = here, here
        if full:
            signal = self._signal(back.signals, here, grip, average)
            low, high = self._margins(back.signals, signal, grip, matrix, answer[:, 0])
        return _Rows(weights, trace, longer.post[:-1], back.deltas, average, lift, low, high)

    def _signal(self, signals, here, grip: _Grip, average) -> Array:
        """The signals of the slots; those of one sample depend on each other."""
        samples, rows, marks = self.layout.samples, grip.rows, grip.marks
        same = rows[:, None] == rows[None, :]
        across: Any = sum(s[samples:] @ m.T for s, m in zip(signals, marks, strict=True))  # [q, p]
        return here + jnp.where(same, across, 0.0).T @ average

    def _margins(self, signals, signal, grip: _Grip, matrix, unknown) -> tuple[Array, Array]:
        """`low` and `high` of the slots, the same for all that are tied."""
        index, used = grip.pairs, grip.used
        ties = find_ties(matrix, signal, grip.neuron, used)
        usual = jnp.stack([jnp.sqrt(jnp.mean(s[: self.layout.samples] ** 2)) for s in signals])
        usual = usual[jnp.asarray(self.layout.layer)[index]]
        below, above = self.slopes
        unit = ties.weight / (jnp.where(usual > 0, usual, 1.0) * (above - below))
        low = (unknown - below * ties.total) * unit
        high = (above * ties.total - unknown) * unit
        low, high = low[ties.leader], high[ties.leader]
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
            # A row that shrinks to nothing keeps the rounding of the size it had.
            row = jnp.sum(weights.weights[layer] ** 2, axis=1)
            row = jnp.sqrt(row + jnp.mean(row))
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
