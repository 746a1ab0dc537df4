"""The conservation laws of a rule on a model, found by their rates: no one has to state them.

Balances add up 1/2 |A_i|^2 and psi(B_i) over rows i that are counted along axes of equal length, of
any leaves A and B. Their rates at random weights, inputs and errors make a matrix with a row for
every i and state and a column for every such quantity: its null space is what the rule keeps, if
it is kept at fresh states too.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from ...feedback import Feedback
from ...networks import MLP, Model
from ...observables import (
    AbstractPotential,
    AbstractQuadraticPotential,
    Balance,
    FeedbackPotential,
    LeafBalance,
    LeafSum,
    Shares,
    WeightPotential,
    balance_place,
)
from ...tasks import CrossEntropy, Data
from ..abstract import AbstractLearningRule, Laws
from ..modifiers.modified import unmodified
from .leaf_rates import (
    FRESH,
    SPARE,
    At,
    Group,
    Learner,
    leaves_of,
    matrix_rates,
    random_states,
    row_count,
    share_groups,
    share_rates,
)
from .null_space import sparse_null_space

KEPT = {8: 1e-10, 4: 1e-4}  # relative rate below which something is kept, by bytes of a number
MOST_ROWS = 256  # of a matrix balance


def model_laws(
    rule: AbstractLearningRule, model: Model, feedback: Feedback, data: Data, decay: float = 0.0
) -> Laws:
    """The laws that the rule's field keeps on this model for all data under this loss, by name;
    of another `decay` than 0 balances that decay as e^{-decay t}, and sums at half that rate.

    "layer-balance", "neuron-balance" (the same, row by row), "matrix-balance" (in linear blocks and
    heads), "leaf-norm" (1/2 ||A||^2 of one leaf, before a norm), "leaf-sum" and, if the loss is
    softmax cross-entropy, "readout-sum"; those that there are.
    """
    potential, zero_sum = potential_of(rule), isinstance(data.loss, CrossEntropy)
    groups = share_groups(model, feedback, potential, data)
    sums = tuple((i, a) for i, leaf in enumerate(leaves_of(model)) for a in range(leaf.ndim))
    states = max(SPARE + max(map(len, groups)), 1)
    slow = jnp.asarray(decay, leaves_of(model)[0].dtype)
    learner = Learner(rule, model, feedback, data, zero_sum, slow)
    at = random_states(learner, potential, groups)
    balances, by_sum = share_rates(at, groups, sums, decay, states + FRESH)
    kept = KEPT[leaves_of(model)[0].dtype.itemsize]
    found = [_balances(group, each, kept) for group, each in zip(groups, balances, strict=True)]
    *by_row, whole = found
    rows = _kept_by_row([one for each in by_row for one in each])
    # In the order of what lies lowest in each.
    pairs = sorted([*rows, *_beyond(whole, rows)], key=lambda one: min(s.view.leaf for s in one))
    laws = _laws_of([one for one in pairs if len(one) > 1], model, potential)
    if norms := [one for one in pairs if len(one) == 1]:
        places = tuple(balance_place(model, one) for one in norms)
        laws["leaf-norm"] = LeafBalance(potential, "layer-balance", tuple(norms), places)
    if isinstance(by_rows := laws.get("neuron-balance"), LeafBalance):
        laws |= _matrix_law(by_rows, learner, at, states + FRESH, kept)
    moved = zip(sums, by_sum, strict=True)
    still = [at for at, rates in moved if _is_kept(np.asarray(rates), kept)]
    if still:
        name = "readout-sum" if zero_sum else "leaf-sum"
        laws[name] = LeafSum(tuple(still), tuple(model.paths[leaf] for leaf, _ in still), decay / 2)
    balances = {name: law for name, law in laws.items() if isinstance(law, LeafBalance)}
    return laws | {name: dataclasses.replace(law, decay=decay) for name, law in balances.items()}


def potential_of(rule: AbstractLearningRule) -> AbstractPotential:
    """psi of the rule's balances as it states them for layers, or what its feedback's form says."""
    one, inner = jnp.ones((1, 1)), unmodified(rule)
    stated = inner.laws(MLP((one, one))).get("layer-balance")
    if isinstance(stated, Balance):
        return stated.potential
    return WeightPotential() if inner.form == "none" else FeedbackPotential()


def _balances(group: Group, rates: np.ndarray, kept: float) -> list[Shares]:
    """The combinations of a group's quantities that no state changes: found at all but the last
    FRESH of the states, and kept at these."""
    rate, size = np.moveaxis(np.asarray(rates), 1, 0)
    looked, fresh = slice(len(rate) - FRESH), slice(len(rate) - FRESH, None)
    moving = [i for i in range(len(group)) if np.any(size[looked][..., i] > 0)]
    rate, size = rate[..., moving], size[..., moving]
    if not moving:
        return []
    rows, scale = rate[looked].reshape(-1, len(moving)), size[looked].max(axis=(0, 1))
    balances = []
    for row in sparse_null_space(rows, scale, kept):
        # A row may stand still where its unit is dead: the scale is that of all states.
        if np.any(np.abs(rate[fresh] @ row) > 10 * kept * (scale @ np.abs(row))):
            continue
        shares = [group[moving[i]]._replace(factor=float(row[i])) for i in np.flatnonzero(row)]
        lead = next((one for one in shares if one.feedback is None), shares[0])
        rounded = (s._replace(factor=round(s.factor / lead.factor, 9)) for s in shares)
        balances.append(tuple(sorted(rounded, key=lambda s: (s.factor < 0, s.view.leaf))))
    return balances


def _kept_by_row(balances: Sequence[Shares]) -> list[Shares]:
    """Without those that follow from others: of parts of axes alone."""
    return [one for one in balances if any(share.view.inner == 1 for share in one)]


def _beyond(wholes: Sequence[Shares], rows: Sequence[Shares]) -> list[Shares]:
    """The balances of whole leaves that are no sums of those by rows."""
    names = sorted({(s.view.leaf, s.feedback) for one in (*wholes, *rows) for s in one}, key=str)

    def vector(shares: Shares) -> np.ndarray:
        found = np.zeros(len(names))
        for share in shares:
            found[names.index((share.view.leaf, share.feedback))] += share.factor
        return found

    known, more = [vector(one) for one in rows], []
    for one in sorted(wholes, key=len):
        if np.linalg.matrix_rank(np.array([*known, vector(one)]), tol=1e-6) > len(known):
            known, more = [*known, vector(one)], [*more, one]
    return more


def _laws_of(pairs: Sequence[Shares], model: Model, potential: AbstractPotential) -> Laws:
    found: Laws = {}
    if pairs:
        places = tuple(balance_place(model, one) for one in pairs)
        found["layer-balance"] = LeafBalance(potential, "layer-balance", tuple(pairs), places)
    if rows := [one for one in pairs if one[0].view.axis is not None]:
        places = tuple(balance_place(model, one) for one in rows)
        found["neuron-balance"] = LeafBalance(potential, "neuron-balance", tuple(rows), places)
    return found


def _matrix_law(law: LeafBalance, learner: Learner, at: At, first: int, kept: float) -> Laws:
    """The entries off the diagonal of A A^T - c M(B) that are kept too, by blocks of the rows."""
    model, potential = learner.model, law.potential
    few = [i for i, one in enumerate(law.shares) if row_count(model, one[0]) <= MOST_ROWS]
    if not few or not isinstance(potential, AbstractQuadraticPotential):
        return {}
    shares = tuple(law.shares[i] for i in few)
    ones = tuple(jnp.ones((row_count(model, one[0]),) * 2) for one in shares)
    places = tuple(law.places[i] for i in few)
    whole = LeafBalance(potential, "matrix-balance", shares, places, ones)
    rates = matrix_rates(whole, learner, at, first)
    parts = [np.moveaxis(np.asarray(both), 1, 0) for both in rates]
    masks = [np.all(np.abs(rate) <= kept * np.max(size), axis=0) for rate, size in parts]
    more = [i for i, mask in enumerate(masks) if np.any(mask & ~np.eye(len(mask), dtype=bool))]
    if not more:
        return {}
    return {
        "matrix-balance": LeafBalance(
            potential,
            "matrix-balance",
            tuple(shares[i] for i in more),
            tuple(whole.places[i] for i in more),
            tuple(jnp.asarray(masks[i], float) for i in more),
        )
    }


def _is_kept(rates: np.ndarray, kept: float) -> bool:
    """Whether something moves, and its sum does not."""
    largest = float(np.max(rates[:, 1]))
    return largest > 0 and float(np.max(np.abs(rates[:, 0]))) <= kept * largest
