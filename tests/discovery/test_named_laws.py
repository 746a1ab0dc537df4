"""Laws that nobody has named: pairs, sizes, logarithms and sums of entries, found and checked anew.

Oracles: laws derived by hand, and central differences of what is found along the rule's velocity at
three states, on data and a loss that the search never saw.
"""

import jax
import jax.numpy as jnp
import numpy as np

from faflow.discovery import BlockFields, count_block, count_named, name_laws
from faflow.discovery.families import find_families, lifted
from faflow.feedback import Feedback
from faflow.networks import Model
from faflow.networks.models import AttentionMean, TwoLayers
from faflow.rules import AbstractChainRule, AbstractWeightRule, Gradient, model_laws
from faflow.tasks import make_data

KEY = jax.random.key(0)


class Signs(AbstractChainRule):
    """A user's: keeps 1/2 |A_i|^2 - |C_i|_1, and says nothing of it."""

    equation = "M = sign(W)"
    source = "Liao, Leibo & Poggio 2016"
    form = "none"

    def backward(self, weights, feedback):
        return jax.tree.map(jnp.sign, weights)

    def laws(self, weights):
        return {}


class Growth(AbstractWeightRule):
    """W' = s W, s what the errors add up to: log |w_i| - log |w_j| is kept."""

    equation = "dW = s W"
    source = "nowhere"
    form = "none"

    def vector_field(self, weights, feedback, data):
        pull = jnp.sum(data.error(data.outputs(weights)))
        return jax.tree.map(lambda leaf: pull * leaf, weights)

    def laws(self, weights):
        return {}


def fields_of(rule, module, sample, losses="all"):
    return BlockFields(rule, Model(module), Feedback(), sample, losses=losses)


def changes(fields, laws, loss="logcosh"):
    """d/dt of every law in units of the velocity, at three fresh states."""
    rng, found = np.random.default_rng(21), []
    net = fields.model
    outputs = fields.outputs
    data = make_data(rng.normal(size=(5, *fields.sample)), rng.normal(size=(5, outputs)), loss)
    leaves, shape = jax.tree.flatten(net)
    for flat in fields.random_states(rng, 3):
        parts = np.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        there = jax.tree.unflatten(shape, list(map(jnp.asarray, shaped)))
        move = fields.rule.vector_field(there, fields.feedback, data)
        move = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(move)])

        def values(weights):
            z = np.append(lifted(weights), 1.0)
            return laws.coefficients @ np.prod(z[laws.monomials], axis=1)

        step = 1e-6 * np.min(np.abs(flat)) / np.max(np.abs(move))
        rate = (values(flat + step * move) - values(flat - step * move)) / (2 * step)
        found.append(rate / np.linalg.norm(move))
    return np.array(found)


def test_one_norms_of_a_rule_that_names_nothing():
    fields = fields_of(Signs(), TwoLayers(2, 2, 2, key=KEY), (2,))
    count = count_block(fields.rule, fields.model, fields.feedback, fields.sample)
    names = name_laws(fields, (), count.independent)
    assert count.independent == 2 and names.known == 2 and names.named == 0
    assert all("|second[0," in text for text in names.texts)
    found, slopes, degree = find_families(
        fields, fields.random_states(np.random.default_rng(0), 1)[0]
    )
    assert (len(slopes), degree) == (2, 2)
    assert np.max(np.abs(changes(fields, found))) < 1e-6
    wrong = found._replace(coefficients=np.where(found.coefficients == 1, 1.1, found.coefficients))
    assert np.max(np.abs(changes(fields, wrong))) > 1e-3


def test_logarithms():
    fields = fields_of(Growth(), TwoLayers(1, 2, 1, key=KEY), (1,))
    names = name_laws(fields, (), 3)
    assert names.known == 3
    assert all(text.startswith("log|") for text in names.texts)


def test_sums_of_a_read_out_under_cross_entropy():
    """p - y sums to 0 over outputs: a linear law for every column."""
    module = TwoLayers(2, 2, 3, key=KEY)
    about = (Gradient(), Model(module), Feedback(), (2,), ("second",))
    fields = BlockFields(*about, "cross-entropy")
    assert count_block(*about, losses="cross-entropy").independent == 2
    names = name_laws(fields, (), 2)
    assert names.texts == tuple(f"second[0,{j}] + second[1,{j}] + second[2,{j}]" for j in range(2))


def test_balances_of_a_head_are_all_that_it_has():
    fields = fields_of(Gradient(), AttentionMean(2, 2, key=KEY), (3, 2))
    rng = np.random.default_rng(0)
    data = make_data(rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 2)), "squared")
    laws = model_laws(Gradient(), fields.model, Feedback(), data)
    assert count_named(fields, laws.values()) == 6
    assert count_named(fields, [laws["layer-balance"]]) == 2
    assert name_laws(fields, laws.values(), 6).texts == ()
