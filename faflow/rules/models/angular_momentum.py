"""What momentum keeps on a model: e^{gamma t/m} times angular momenta.

Where the rule g below keeps the matrix A A^T - c M(B), g_A A^T - c G^T g_B is symmetric, G the
feedback of B (B itself under the gradient). Along m W'' + gamma W' = g the antisymmetric part of
A' A^T - c G^T B' therefore decays as e^{-gamma t/m}: it is 0 for ever from rest.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._compiling import ONCE, compiled
from ..._generator import seeded
from ..._types import Array
from ...feedback import Feedback
from ...networks import Model
from ...observables import LeafBalance, Share, balance_feedback
from ...tasks import CrossEntropy, Data
from ..modifiers.momentum import Momentum
from .found_laws import KEPT, model_laws
from .leaf_rates import leaves_of, random_lesson, random_model

STATES = 3  # fresh ones, that nothing else has looked at
SEED = 20_251_131


class AngularMomenta(NamedTuple):
    """Those that e^{`rate` t} keeps: `places` by paths, `sizes` how many numbers each is."""

    rate: float
    places: tuple[str, ...]
    sizes: tuple[int, ...]


def angular_momenta(
    rule: Momentum, model: Model, feedback: Feedback, data: Data
) -> AngularMomenta | None:
    """The angular momenta that decay at gamma / m; None if there are none."""
    balance = model_laws(rule.rule, model, feedback, data).get("matrix-balance")
    if not isinstance(balance, LeafBalance):
        return None
    zero_sum = isinstance(data.loss, CrossEntropy)
    found = _rates(rule, model, feedback, data, balance, zero_sum)
    bound = KEPT[leaves_of(model)[0].dtype.itemsize]
    keep = [
        i
        for i, (rate, size) in enumerate(found)
        if np.max(np.abs(np.asarray(rate))) <= bound * np.max(np.asarray(size))
    ]
    if not keep:
        return None
    masks = [np.triu(np.asarray(balance.kept[i]) != 0, 1) for i in keep]
    places = tuple(balance.places[i] for i in keep)
    sizes = tuple(int(np.sum(mask)) for mask in masks)
    return AngularMomenta(float(rule.friction / rule.mass), places, sizes)


@compiled(ONCE)
def _rates(
    rule: Momentum,
    model: Model,
    feedback: Feedback,
    data: Data,
    balance: LeafBalance,
    zero_sum: bool,
) -> list[tuple[Array, Array]]:
    """Of every balance d/dt + gamma / m of its angular momentum, and the size of both terms."""

    def at(keys: Array) -> list[tuple[Array, Array]]:
        state = random_model(keys[0], model), random_model(keys[1], model)
        lesson = random_lesson(keys[2], data, zero_sum)
        push = rule.velocity(jnp.zeros(()), state, feedback, lesson)

        def momenta(weights: Model, speeds: Model) -> list[Array]:
            return _momenta(balance, weights, speeds, feedback)

        values, rates = jax.jvp(momenta, state, push)
        slow = [rule.friction / rule.mass * value for value in values]
        both = zip(rates, slow, strict=True)
        return [(rate + value, jnp.abs(rate) + jnp.abs(value)) for rate, value in both]

    return jax.lax.map(at, jax.random.split(seeded(SEED), (STATES, 3)))


def _momenta(
    balance: LeafBalance, weights: Model, speeds: Model, feedback: Feedback
) -> list[Array]:
    """The antisymmetric part of A' A^T - c G^T B' of every balance, where its matrix is kept."""
    leaves, moves = leaves_of(weights), leaves_of(speeds)

    def term(share: Share) -> Array:
        move = share.view.rows(moves[share.view.leaf])
        if share.feedback is not None:
            return balance_feedback(balance.potential, leaves, feedback, share) @ move.T
        rows = share.view.rows(leaves[share.view.leaf])
        return move @ rows.T if share.factor > 0 else rows @ move.T

    found = []
    for shares, kept in zip(balance.shares, balance.kept, strict=True):
        whole = kept * sum(share.factor * term(share) for share in shares)
        found.append(whole - whole.T)
    return found
