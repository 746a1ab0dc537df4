"""Blocks as kinds of networks: what true and replaced feedback does to their fields and laws.

Oracles: the fields in numpy, finite differences, and laws derived by hand: with M the pull on the
scores, g_Q = F_K M and g_K = F_Q M^T.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.discovery import BlockFields, count_block
from faflow.feedback import FEEDBACKS, model_feedback
from faflow.networks import Model
from faflow.networks.models import AttentionMean, ConvolutionBlock, MLPModule, ResidualBlocks
from faflow.rules import RULES, FeedbackAlignment, Gradient
from faflow.tasks import make_data

KEY = jax.random.key(0)
SAMPLE = (3, 2)


def lesson(sample, outputs, seed=0):
    rng = np.random.default_rng(seed)
    return make_data(rng.normal(size=(4, *sample)), rng.normal(size=(4, outputs)), "squared")


def field(module, rule, data, **how):
    net = Model(module, **how)
    draw = FEEDBACKS["gaussian"]()
    feedback = model_feedback(draw, jax.random.key(3), net, data.inputs, rule.form)
    return eqx.filter_jit(rule.vector_field)(net, feedback, data).module, feedback


def laws_of(module, rule=None, **how):
    net, rule = Model(module, **how), Gradient() if rule is None else rule
    inputs = jax.ShapeDtypeStruct((2, *SAMPLE), float)
    feedback = model_feedback(FEEDBACKS["gaussian"](), KEY, net, inputs, rule.form)
    return count_block(rule, net, feedback, SAMPLE).independent


@pytest.mark.parametrize("replaced", ["none", "key", "query", "both"])
def test_queries_and_keys_hear_fixed_matrices(replaced):
    """Q Q^T - K F_K^T - F_K K^T where K is replaced, Q F_Q^T - F_K K^T itself where both are; the
    gradient's law then fails. V V^T - O^T O stays."""
    module = AttentionMean(2, 2, key=KEY, replaced=replaced)
    moves, _ = field(module, Gradient(), lesson(SAMPLE, 2))
    layer, move = module.attention, moves.attention
    query, key = (np.asarray(one.weight) for one in (layer.query, layer.key))
    of_query, of_key = (np.asarray(one.weight) for one in (move.query, move.key))
    back = [None if fixed is None else np.asarray(fixed) for fixed in layer.backward]
    heard_query, heard_key = (
        true if fixed is None else fixed for fixed, true in zip(back, (query, key), strict=True)
    )
    off = of_query @ heard_query.T - heard_key @ of_key.T
    size = np.max(np.abs(of_query @ heard_query.T))
    assert np.max(np.abs(off)) < 1e-13 * size
    plain = of_query @ query.T - key @ of_key.T
    assert bool(np.max(np.abs(plain)) < 1e-13 * size) is (replaced == "none")
    value, output = np.asarray(layer.value.weight), np.asarray(layer.output.weight)
    apart = np.asarray(move.value.weight) @ value.T - output.T @ np.asarray(move.output.weight)
    assert np.max(np.abs(apart)) < 1e-13 * np.max(np.abs(output))


def test_how_many_laws_replaced_keys_and_queries_have():
    """d1 (d1 + 1) / 2 of values and outputs beside: as many if one of K and Q is true, and d1^2
    linear ones if none is."""
    counts = [laws_of(AttentionMean(2, 2, key=KEY, replaced=one)) for one in ("key", "both")]
    assert counts == [3 + 3, 3 + 4]
    assert laws_of(AttentionMean(2, 2, key=KEY, replaced="both"), FeedbackAlignment()) == 3 + 4


def test_leaves_whose_feedback_is_true():
    """They have no matrix, and with all of them true feedback alignment is the gradient."""
    data, module = lesson((2,), 2), ResidualBlocks(2, 2, key=KEY)
    true, some = ("blocks.*", "readout"), ("blocks.0.block.second",)
    same, none = field(module, FeedbackAlignment(), data, true_feedback=true)
    wanted, _ = field(module, Gradient(), data)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    _, without = field(module, FeedbackAlignment(), data, true_feedback=some)
    _, whole = field(module, FeedbackAlignment(), data)
    assert [len(one.matrices) for one in (none, without, whole)] == [0, 3, 4]
    with pytest.raises(ValueError, match="`true_feedback` has 'third', which names no leaf"):
        Model(module, true_feedback=("third",))


FIELDS = {
    "direct": ("direct-feedback-alignment", MLPModule(3, 2, key=KEY, hidden=(3, 3)), (3,)),
    "replaced": ("feedback-alignment", AttentionMean(2, 2, key=KEY, replaced="key"), SAMPLE),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_fields_derivative_is_that_of_its_values(case):
    """Where signals are cut or replaced on the way back, against central differences."""
    name, module, sample = FIELDS[case]
    rule, net = RULES[name](), Model(module)
    inputs = jax.ShapeDtypeStruct((2, *sample), float)
    feedback = model_feedback(FEEDBACKS["gaussian"](), KEY, net, inputs, rule.form)
    fields, rng = BlockFields(rule, net, feedback, sample), np.random.default_rng(1)
    state, way = map(jnp.asarray, fields.random_states(rng, 2))
    one = jax.tree.map(lambda leaf: leaf[0], fields.lessons(rng, (1,)))
    at = jax.jit(lambda x: fields(x, one))
    told = jax.jit(lambda x: jax.jvp(at, (x,), (way,))[1])(state)
    seen = (at(state + 1e-5 * way) - at(state - 1e-5 * way)) / 2e-5
    assert np.max(np.abs(seen)) > 1e-2
    np.testing.assert_allclose(told, seen, atol=1e-8)


def test_a_pair_of_convolutions_hears_one_error_at_every_place():
    module = ConvolutionBlock((1, 4, 4), 2, key=KEY, hidden=3, stride=1)
    data = lesson((1, 4, 4), 2)
    move, _ = field(module, Gradient(), data)
    one, two = module.pair.conv1.weight, module.pair.conv2.weight
    lower = np.sum(np.asarray(move.pair.conv1.weight) * np.asarray(one), axis=(1, 2, 3))
    upper = np.sum(np.asarray(move.pair.conv2.weight) * np.asarray(two), axis=(0, 2, 3))
    np.testing.assert_allclose(lower, upper, rtol=1e-11)
    assert jax.eval_shape(Model(module), data.inputs).shape == (4, 2)
