"""Prediction 14 for every rule: a floor that is reported holds along the flow, or none is reported
and the reason is said.

The flow is SciPy's (DOP853, rtol 1e-10) of the rule's field; the inner products are numpy's.
"""

import itertools
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from faflow.analysis import alignment_certificate, certificate_law
from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.networks import ACTIVATIONS, MLP, GatedMLP
from faflow.rules import (
    RULES,
    AbstractLearningRule,
    FeedbackAlignment,
    LearningRates,
    PotentialFeedback,
    WeightDecay,
    WeightNormalisation,
)
from faflow.tasks import make_data

DEPTHS = {2: (3, 4, 2), 3: (3, 4, 4, 2), 4: (3, 4, 4, 4, 2)}
CASES: dict[str, AbstractLearningRule] = {
    **{name: RULES[name]() for name in RULES if name != "hebbian"},  # which needs one output
    "potential <W, F>": PotentialFeedback("feedback"),
    "rates": LearningRates(FeedbackAlignment(), rates=[1.0, 2.0]),
    "decay": WeightDecay(FeedbackAlignment(), rates=0.3),
    "normalisation": WeightNormalisation(FeedbackAlignment(), layers=(1,)),
}
# Where floors are: the rules whose psi is <W_{l+1}, F_{l+1}>, F_{l+1} the feedback itself.
EVERY = {"feedback-alignment", "potential <W, F>"}


def setting(rule, widths, activation):
    rng = np.random.default_rng(3)
    shapes = [(out, into) for into, out in itertools.pairwise(widths)]
    weights = tuple(jnp.asarray(0.5 * rng.standard_normal(shape)) for shape in shapes)
    net = MLP(weights, (), ACTIVATIONS[activation]())
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(2), widths, rule.form)
    data = make_data(rng.standard_normal((6, widths[0])), 2 * rng.standard_normal((6, widths[-1])))
    return net, feedback, data


def inner_products(net, feedback):
    """<W_{l+1}, F_{l+1}>, or <W_L ... W_{l+1}, D_l>."""
    weights = [np.asarray(weight) for weight in net.weights]
    if feedback.form == "layerwise":
        against = weights[1:]
    else:
        uppers = (weights[l:][::-1] for l in range(1, len(weights)))
        against = [reduce(np.matmul, upper) for upper in uppers]
    return [np.sum(a * np.asarray(m)) for a, m in zip(against, feedback.matrices, strict=True)]


def along_the_flow(rule, net, feedback, data, t1=1.0):
    start, unravel = ravel_pytree(rule.init(net, feedback, data))

    @jax.jit
    def velocity(t, flat):
        return ravel_pytree(rule.velocity(t, unravel(flat), feedback, data))[0]

    flow = solve_ivp(
        lambda t, flat: np.asarray(velocity(np.asarray(t), flat)),
        (0.0, t1), np.asarray(start), "DOP853", np.linspace(0, t1, 21), rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    states = (rule.read(unravel(jnp.asarray(flat)), feedback, data) for flat in flow.y.T)
    return np.array([inner_products(*state) for state in states])


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", CASES)
def test_a_floor_that_is_reported_holds(name: str, depth: int) -> None:
    rule, widths = CASES[name], DEPTHS[depth]
    if name == "monotone-direct-feedback":
        widths = (*widths[:-1], 1)
    if name == "rates":
        rule = LearningRates(FeedbackAlignment(), rates=[1.0, 2.0, 0.5, 1.5][:depth])
    net, feedback, data = setting(rule, widths, "linear")
    law, why = certificate_law(rule, net, rule.form)
    assert (law is None) == bool(why)
    if law is None:
        assert name not in EVERY
        return
    inner = along_the_flow(rule, net, feedback, data)
    found = alignment_certificate(rule, net, feedback, inner, np.ones(len(inner), bool), data)
    assert found is not None and found.held
    known = np.isfinite(found.floor)
    assert known.any() and (name not in EVERY or known.all())
    assert np.all(inner[:, known] >= found.floor[known] - 1e-8)


@pytest.mark.parametrize("name", ["direct-random-target-projection", "sign-error-direct-feedback"])
def test_the_balance_of_another_inner_product_gives_no_floor(name: str) -> None:
    """Linear 3-4-4-2: the kept balance is of <W_2, D_2^+ D_1>, not of <W_3 W_2, D_1>."""
    rule = RULES[name]()
    net, _, _ = setting(rule, DEPTHS[3], "linear")
    assert rule.laws(net)["layer-balance"].layers == (1,)
    found, why = certificate_law(rule, net, rule.form)
    assert found is None and "<W_{l+1}, D_{l+1}^+ D_l>" in why


def test_control_the_product_falls_below_what_would_be_its_floor() -> None:
    """Target projection from zero weights: the law is 0 and stays so, <W_3 W_2, D_1> turns
    negative (a short flow: its hidden layers grow without end, and it becomes stiff)."""
    rule = RULES["direct-random-target-projection"]()
    net, feedback, data = setting(rule, DEPTHS[3], "linear")
    zero = jax.tree.map(jnp.zeros_like, net)
    assert along_the_flow(rule, zero, feedback, data, 0.2)[:, 0].min() < -1e-3


def test_direct_feedback_has_one_floor_in_a_gated_network_too() -> None:
    rule = RULES["direct-feedback-alignment"]()
    net, feedback, data = setting(rule, DEPTHS[3], "linear")
    gated = GatedMLP(net.weights, (), gate=ACTIVATIONS["relu"](), seed=1)
    inner = along_the_flow(rule, gated, feedback, data)
    found = alignment_certificate(rule, gated, feedback, inner, np.ones(len(inner), bool), data)
    assert found is not None and found.held
    assert np.isfinite(found.floor).tolist() == [False, True]


def test_inner_products_that_are_no_numbers_hold_no_floor() -> None:
    net, feedback, data = setting(FeedbackAlignment(), DEPTHS[2], "linear")
    inner = np.array([[10.0], [np.nan]])
    found = alignment_certificate(FeedbackAlignment(), net, feedback, inner, np.ones(2, bool), data)
    assert found is not None and not found.held
