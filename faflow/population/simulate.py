"""Online learning at finite N, sample by sample: the order parameters' flow is its limit."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._generator import drawing
from .._types import Array, Integer, Matrix, Scalar, Times
from ..feedback import Feedback
from .order_parameters import KnownTeacher, OrderParameters, population_loss
from .place import embed
from .rules import AbstractPopulationRule


class _Student(NamedTuple):
    hidden: Matrix
    readout: Array
    step: Integer


def simulate(
    rule: AbstractPopulationRule,
    start: OrderParameters,
    feedback: Feedback,
    ts: Times,
    keys: Array,
    inputs: int,
) -> Array:
    """e_g (seeds, saves) of online learning on N = `inputs`, pure: jit it with `inputs` static.

    Every seed starts from weights with the order parameters `start` and draws its own samples,
    x ~ N(0, I_N). At save time t it has taken N t / eta steps, rounded to a whole number. The
    expected e_g differs from the flow's by O(1/N), single seeds by O(1/sqrt N). Needs eta > 0.
    """
    teacher = rule.known()
    hidden, other = embed(start, teacher, inputs)
    counts = jnp.round(inputs * (ts - ts[0]) / rule.eta).astype(jnp.int32)

    def run(key: Array) -> Array:
        def segment(student: _Student, count: Integer):
            step = partial(_step, rule=rule, feedback=feedback, other=other, key=key)
            student = jax.lax.while_loop(lambda now: now.step < count, step, student)
            return student, _loss(student, other, teacher)

        first = _Student(hidden, start.v, jnp.zeros((), jnp.int32))
        return jax.lax.scan(segment, first, counts)[1]

    return jax.vmap(run)(keys)


def _step(
    now: _Student, *, rule: AbstractPopulationRule, feedback: Feedback, other: Matrix, key: Array
) -> _Student:
    teacher, inputs = rule.known(), other.shape[1]
    phi = teacher.activation
    with drawing():
        drawn = jax.random.normal(jax.random.fold_in(key, now.step), (inputs + 1,), other.dtype)
    x, noise = drawn[:-1], teacher.noise * drawn[-1]
    h = now.hidden @ x
    delta = teacher.readout @ phi(other @ x) + noise - now.readout @ phi(h)
    rate = rule.eta / inputs
    back = rule.backward(now.readout, feedback) * phi.derivative(h)
    hidden = now.hidden + rate * delta * back[:, None] * x[None, :]
    return _Student(hidden, now.readout + rate * delta * phi(h), now.step + 1)


def _loss(now: _Student, other: Matrix, teacher: KnownTeacher) -> Scalar:
    order = OrderParameters(now.hidden @ now.hidden.T, now.hidden @ other.T, now.readout)
    return population_loss(order, teacher)
