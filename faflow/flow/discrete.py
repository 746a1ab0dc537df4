"""The discrete twin of a flow: the same rule in steps of eta, on all samples or in mini-batches.

Euler's method on the rule's field, W_{n+1} = W_n + eta g(W_n), is gradient descent (or feedback
alignment, ...) as it is run in practice; any explicit Runge-Kutta method (a, b) may take its place,
its stages k_i on one mini-batch. A law Q that is a quadratic polynomial and that the field keeps
changes in a step by what its second derivative makes of the stages, exactly and for any eta:

    Q_{n+1} - Q_n = 1/2 eta^2 sum_ij (b_i b_j - b_i a_ij - b_j a_ji) D^2 Q[k_i, k_j]

because its rate at every stage is 0 (under decay: -decay Q). For feedback alignment D^2 Q[k, k'] is
<k, k'> of the lower layer alone. Euler: 1/2 eta^2 ||g_l||^2 >= 0, discrete learning raises every
balance. ReLU or not, mini-batches or not: the law does not care what is learned. (The identity is
that of symplectic Runge-Kutta methods, for which the bracket vanishes: Cooper 1987.)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from .._generator import drawing
from .._types import Array, Flag, Integer, Record, Scalar, Times
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw, AbstractObservable
from ..rules import State
from ..solvers import ExplicitTableau, as_tableau, norm
from ..tasks import Data
from .problem import FlowProblem, Numerics, blow_up_size

Laws = dict[str, AbstractConservationLaw]


def _arrays(method: str | ExplicitTableau | diffrax.ButcherTableau) -> ExplicitTableau:
    a, b = as_tableau(method)
    return ExplicitTableau(jnp.asarray(a, float), jnp.asarray(b, float))


class Discrete(eqx.Module):
    """`eta`: the step. `batch`: samples per step (None: all), drawn without replacement and
    reshuffled every epoch (samples // batch steps) from `key`. The loss of a mini-batch is scaled
    by samples / batch, so that one step moves the weights as far, on average, as one of all.
    `method`: a name of `faflow.solvers.TABLEAUX`, an `ExplicitTableau` or a diffrax tableau;
    ValueError if it is none."""

    eta: Scalar = eqx.field(converter=lambda value: jnp.asarray(value, float))
    key: Array
    batch: int | None = eqx.field(static=True, default=None)
    method: ExplicitTableau = eqx.field(converter=_arrays, default="euler")


class TwinSolution(NamedTuple):
    """At every save time t: `records` of the observables on the polygon through the steps;
    `steps` taken up to t; and, at the last of these, `laws` (their values) and `predicted` (what
    the identity of the module docstring makes of their values at t = 0; only of laws that are
    `quadratic`, for it speaks of no others). `reached` (saves,): where
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


def _check_batch(problem: FlowProblem, batch: int | None) -> None:
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
    """The discrete rule from ts[0] to ts[-1], pure: jit it. See `TwinSolution`. ValueError if a
    mini-batch of `discrete.batch` can't be drawn."""
    _check_batch(problem, discrete.batch)
    rule, feedback, data = problem.rule, problem.feedback, problem.data
    samples, (a, b) = data.inputs.shape[0], discrete.method
    values = _values(problem, laws)
    told = {name: law for name, law in laws.items() if law.quadratic}
    limit = blow_up_size(problem, Numerics())

    def elapsed(carry: _Carry) -> Scalar:
        return carry.step.astype(discrete.eta.dtype) * discrete.eta

    def stages(carry: _Carry) -> State:
        """k_1, k_2, ... stacked along a first axis."""
        some = _batch(data, carry.order, carry.step, discrete.batch)
        first = jax.tree.map(lambda s: jnp.zeros((len(b), *s.shape), s.dtype), carry.state)

        def stage(known: State, i: Integer) -> tuple[State, None]:
            t = ts[0] + elapsed(carry) + discrete.eta * jnp.sum(a[i])
            move = rule.velocity(t, _along(carry.state, known, discrete.eta * a[i]), feedback, some)
            return jax.tree.map(lambda ks, k: ks.at[i].set(k), known, move), None

        return jax.lax.scan(stage, first, jnp.arange(len(b)))[0]

    def step(carry: _Carry) -> _Carry:
        carry = carry._replace(order=_shuffled(carry, discrete, samples))
        moves = stages(carry)
        state = _along(carry.state, moves, discrete.eta * b)
        predicted = {
            name: _predict(law, values[name], carry.predicted[name], carry.state, moves, discrete)
            for name, law in told.items()
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
        weights, back = rule.read(_along(carry.state, stages(ahead), rest * b), feedback, data)
        records = {name: see(weights, back, data) for name, see in observables.items()}
        now = {name: value(carry.state) for name, value in values.items()}
        return carry, (records, carry.step, now, carry.predicted, _sane(carry.state, limit))

    start = rule.init(problem.weights, feedback, data)
    zero, order = jnp.zeros((), jnp.int32), jnp.arange(samples, dtype=jnp.int32)
    first = _Carry(start, zero, order, {name: values[name](start) for name in told})
    end, (records, steps, now, predicted, reached) = jax.lax.scan(segment, first, ts)
    return TwinSolution(
        records, steps, now, predicted, reached, rule.read(end.state, feedback, data)[0]
    )


def _values(problem: FlowProblem, laws: Laws) -> dict[str, Callable[[State], Record]]:
    """Every law as a function of the rule's state."""

    def of(law: AbstractConservationLaw) -> Callable[[State], Record]:
        def value(state: State) -> Record:
            weights, back = problem.rule.read(state, problem.feedback, problem.data)
            return law(weights, back, problem.data)

        return value

    return {name: of(law) for name, law in laws.items()}


def _along(state: State, moves: State, shares: Array) -> State:
    """state + sum_i shares_i k_i."""
    return jax.tree.map(lambda s, ks: s + jnp.tensordot(shares, ks, 1), state, moves)


def _predict(
    law: AbstractConservationLaw,
    value: Callable[[State], Record],
    before: Record,
    state: State,
    moves: State,
    discrete: Discrete,
) -> Record:
    """The law after a step along the stages `moves`, by the identity, from what it was `before`.

    Its first derivatives along the stages follow from the law itself: at stage i it is
    q_i = q + h sum_j a_ij r_j + 1/2 h^2 sum_jm a_ij a_im H_jm, of rate -decay q_i, which is also
    r_i + h sum_m a_im H_mi; hence r_i = DQ[k_i], given H_ij = D^2 Q[k_i, k_j].
    """
    h, (a, b) = discrete.eta, discrete.method
    bends = jax.jacfwd(jax.jacfwd(lambda s: value(_along(state, moves, s))))(jnp.zeros_like(b))

    def after(q: Array, bend: Array, decay: Array) -> Array:
        rates: list[Array] = []
        for i, row in enumerate(a):
            here = q + 0.5 * h**2 * (bend @ row @ row)
            here = here + h * sum((row[j] * rate for j, rate in enumerate(rates)), 0 * q)
            rates.append(-decay * here - h * bend[..., i] @ row)
        first = sum((b[i] * rate for i, rate in enumerate(rates)), 0 * q)
        return q + h * first + 0.5 * h**2 * (bend @ b @ b)

    # One decay for all, or one per layer, which is a leaf or an entry of the record.
    decays = jnp.asarray(law.decay, float)
    if isinstance(before, tuple):
        return tuple(map(after, before, bends, jnp.broadcast_to(decays, (len(before),))))
    return jax.tree.map(lambda q, bend: after(q, bend, decays), before, bends)


def _shuffled(carry: _Carry, discrete: Discrete, samples: int) -> Array:
    """The order of samples of this epoch."""
    if discrete.batch is None:
        return carry.order
    epoch, first = jnp.divmod(carry.step, samples // discrete.batch)
    key = jax.random.fold_in(discrete.key, epoch)
    fresh = lambda _: jax.random.permutation(key, samples).astype(carry.order.dtype)  # noqa: E731
    with drawing():
        return jax.lax.cond(first == 0, fresh, lambda _: carry.order, None)


def _batch(data: Data, order: Array, step: Integer, batch: int | None) -> Data:
    if batch is None:
        return data
    samples = data.inputs.shape[0]
    start = jnp.remainder(step, samples // batch) * batch
    rows = jax.lax.dynamic_slice(order, (start,), (batch,))
    weight = data.weight * (samples / batch)
    own = None if data.sample_weights is None else data.sample_weights[rows]
    return Data(data.inputs[rows], data.targets[rows], data.loss, weight, sample_weights=own)


def _sane(state: State, limit: Scalar) -> Flag:
    """Whether a state is of a size to go on from; nan is not."""
    return norm(state) <= limit
