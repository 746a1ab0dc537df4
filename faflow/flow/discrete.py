"""The discrete twin of a flow: the same rule in steps of eta, on all samples or in mini-batches.

Euler's method on the rule's field, W_{n+1} = W_n + eta g(W_n), is gradient descent (or feedback
alignment, ...) as it is run in practice. A law Q that is a quadratic polynomial and that the field
keeps changes in a step by its second-order term alone, exactly and for any eta:

    Q(W + eta g) - Q(W) = 1/2 eta^2 d^2/ds^2 Q(W + s g)

because the first-order term is the law's rate, 0 (under decay: -decay Q). For feedback alignment
that is 1/2 eta^2 ||g_l||^2 >= 0: discrete learning raises every balance. ReLU or not, mini-batches
or not: the law does not care what is learned.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Flag, Integer, Scalar, Times
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw, AbstractObservable
from ..tasks import Data
from .problem import FlowProblem, Numerics, blow_up_size

Laws = dict[str, AbstractConservationLaw]


class Discrete(eqx.Module):
    """`eta`: the step. `batch`: samples per step (None: all), drawn without replacement and
    reshuffled every epoch (samples // batch steps) from `key`. The loss of a mini-batch is scaled
    by samples / batch, so that one step moves the weights as far, on average, as one of all."""

    eta: Scalar = eqx.field(converter=lambda value: jnp.asarray(value, float))
    key: Array
    batch: int | None = eqx.field(static=True, default=None)


class TwinSolution(NamedTuple):
    """At every save time t: `records` of the observables on the polygon through the steps;
    `steps` taken up to t; and, at the last of these, `laws` (their values) and `predicted` (what
    the identity of the module docstring makes of their values at t = 0). `reached` (saves,): where
    the weights had not blown up (as a flow does, by `blow_up_size`)."""

    records: dict[str, Any]
    steps: Array
    laws: dict[str, Any]
    predicted: dict[str, Any]
    reached: Array
    weights: AbstractNetwork


class _Carry(NamedTuple):
    state: Any
    step: Integer
    order: Array
    predicted: dict[str, Any]


def check_batch(problem: FlowProblem, batch: int | None) -> None:
    """Raise ValueError unless a mini-batch of this size can be drawn."""
    samples = problem.data.inputs.shape[0]
    if batch is not None and not 1 <= batch <= samples:
        raise ValueError(
            f"Argument `batch` must be between 1 and the number of samples, {samples}, "
            f"but is {batch}."
        )


def run_twin(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    laws: Laws,
    discrete: Discrete,
) -> TwinSolution:
    """The discrete rule from ts[0] to ts[-1], pure: jit it. See `TwinSolution`."""
    rule, feedback, data = problem.rule, problem.feedback, problem.data
    samples = data.inputs.shape[0]
    values = _values(problem, laws)
    limit = blow_up_size(problem, Numerics())

    def elapsed(carry: _Carry) -> Scalar:
        return carry.step.astype(discrete.eta.dtype) * discrete.eta

    def velocity(carry: _Carry):
        t = ts[0] + elapsed(carry)
        some = _batch(data, carry.order, carry.step, discrete.batch)
        return rule.velocity(t, carry.state, feedback, some)

    def step(carry: _Carry) -> _Carry:
        carry = carry._replace(order=_shuffled(carry, discrete, samples))
        move = velocity(carry)
        state = jax.tree.map(lambda s, v: s + discrete.eta * v, carry.state, move)
        predicted = {
            name: _predict(
                values[name], law.decay, carry.predicted[name], carry, move, discrete.eta
            )
            for name, law in laws.items()
        }
        return _Carry(state, carry.step + 1, carry.order, predicted)

    def segment(carry: _Carry, t: Scalar):
        # A save within rounding of a step is that step.
        wanted = jnp.floor((t - ts[0]) / discrete.eta + 1e-6).astype(carry.step.dtype)
        carry = jax.lax.while_loop(
            lambda now: (now.step < wanted) & _sane(now.state, limit), step, carry
        )
        ahead = carry._replace(order=_shuffled(carry, discrete, samples))
        rest = jnp.maximum(t - ts[0] - elapsed(carry), 0.0)
        state = jax.tree.map(lambda s, v: s + rest * v, carry.state, velocity(ahead))
        weights, back = rule.read(state, feedback, data)
        records = {name: see(weights, back, data) for name, see in observables.items()}
        now = {name: value(carry.state) for name, value in values.items()}
        return carry, (records, carry.step, now, carry.predicted, _sane(carry.state, limit))

    start = rule.init(problem.weights, feedback, data)
    zero, order = jnp.zeros((), jnp.int32), jnp.arange(samples, dtype=jnp.int32)
    first = _Carry(start, zero, order, {name: value(start) for name, value in values.items()})
    end, (records, steps, now, predicted, reached) = jax.lax.scan(segment, first, ts)
    return TwinSolution(
        records, steps, now, predicted, reached, rule.read(end.state, feedback, data)[0]
    )


def _values(problem: FlowProblem, laws: Laws) -> dict[str, Any]:
    """Every law as a function of the rule's state."""

    def of(law: AbstractConservationLaw):
        def value(state):
            weights, back = problem.rule.read(state, problem.feedback, problem.data)
            return law(weights, back, problem.data)

        return value

    return {name: of(law) for name, law in laws.items()}


def _predict(value, decay, before, carry: _Carry, move, eta: Scalar):
    """The law after a step along `move`, by the identity, from what it was `before`."""

    def along(s: Scalar):
        return value(jax.tree.map(lambda x, v: x + s * v, carry.state, move))

    def slope(s: Scalar):
        return jax.jvp(along, (s,), (jnp.ones_like(s),))[1]

    zero = jnp.zeros_like(eta)
    _, bend = jax.jvp(slope, (zero,), (jnp.ones_like(eta),))
    keep = 1 - eta * decay
    return jax.tree.map(lambda q, b: keep * q + 0.5 * eta**2 * b, before, bend)


def _shuffled(carry: _Carry, discrete: Discrete, samples: int) -> Array:
    """The order of samples of this epoch."""
    if discrete.batch is None:
        return carry.order
    epoch, first = jnp.divmod(carry.step, samples // discrete.batch)
    key = jax.random.fold_in(discrete.key, epoch)
    fresh = lambda _: jax.random.permutation(key, samples).astype(carry.order.dtype)  # noqa: E731
    return jax.lax.cond(first == 0, fresh, lambda _: carry.order, None)


def _batch(data: Data, order: Array, step: Integer, batch: int | None) -> Data:
    if batch is None:
        return data
    samples = data.inputs.shape[0]
    start = jnp.remainder(step, samples // batch) * batch
    rows = jax.lax.dynamic_slice(order, (start,), (batch,))
    weight = data.weight * (samples / batch)
    return Data(data.inputs[rows], data.targets[rows], data.loss, weight)


def _sane(state, limit: Scalar) -> Flag:
    """Whether a state is of a size to go on from; nan is not."""
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(state))) <= limit
