"""Laws found by the machine, against counts worked out by hand and laws checked without it.

Oracles: theory.md 2.13 (orbit dimensions of linear nets under FA, from the brackets on paper),
Marcotte, Gribonval & Peyre 2023 (the gradient), and finite differences of the found polynomials
along the discrete rule on data and a loss that the search never saw.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.discovery import Fields, discover, find_orbit
from faflow.discovery.lie import rank_of
from faflow.discovery.names import coefficient, variable_names
from faflow.discovery.polynomials import gradients, monomial_count
from faflow.feedback import Feedback, feedback_shapes
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import (
    RULES,
    AbstractLayerwiseRule,
    Gradient,
    KolenPollack,
    LearningRates,
    Momentum,
    WeightNormalisation,
    backward_sweep,
)
from faflow.tasks import make_data


def network(widths, activation="linear", bias=False):
    rng = np.random.default_rng(0)
    weights = tuple(jnp.asarray(rng.normal(size=(b, a))) for a, b in itertools.pairwise(widths))
    biases = tuple(jnp.asarray(rng.normal(size=n)) for n in widths[1:]) if bias else ()
    return MLP(weights, biases, ACTIVATIONS[activation]())


def feedback(widths, form):
    rng = np.random.default_rng(1)
    shapes = feedback_shapes(widths, form)
    return Feedback(tuple(jnp.asarray(rng.normal(size=shape)) for shape in shapes), form)


def laws_of(rule, widths, activation="linear", bias=False, degree=None):
    return discover(
        rule, network(widths, activation, bias), feedback(widths, rule.form), degree=degree
    )


def fa_laws(n_in, n_h, n_out):
    """Two linear layers under FA: a two-step nilpotent algebra (theory.md 2.13)."""
    if n_h <= n_out:
        return n_h * (n_h + 1) // 2
    return n_h * (n_in + n_out) - n_out * n_in - n_out * (n_out - 1) // 2


def gradient_laws(n_in, n_h, n_out):
    """Two linear layers under the gradient (Marcotte, Gribonval & Peyre 2023)."""
    both = n_in + n_out
    return n_h * (n_h + 1) // 2 if n_h <= both else both * n_h - both * (both - 1) // 2


@pytest.mark.parametrize(
    "widths",
    [
        (3, 4, 1),
        (3, 4, 2),
        pytest.param((2, 5, 3), marks=pytest.mark.slow),
        pytest.param((3, 2, 3), marks=pytest.mark.slow),
        (4, 1, 2),
    ],
)
def test_two_linear_layers_have_the_laws_counted_by_hand(widths, measured):
    name = "-".join(map(str, widths))
    for kind, count in (("feedback-alignment", fa_laws), ("gradient", gradient_laws)):
        found = laws_of(RULES[kind](), widths).independent
        assert found is not None
        off = abs(found - count(*widths))
        measured(15, f"linear {name}, {kind}: {found} laws, off by", off, below=0.5)


@pytest.mark.parametrize(
    ("widths", "count"), [((2, 3, 3, 1), 16), ((2, 3, 2, 3, 1), 19), ((2, 3, 2, 3, 2), 17)]
)
def test_deep_linear_feedback_alignment(widths, count, measured):
    found = laws_of(RULES["feedback-alignment"](), widths)
    assert found.independent is not None
    name = "-".join(map(str, widths))
    off = abs(found.independent - count)
    measured(15, f"linear {name}, FA: {found.independent} laws, off by", off, below=0.5)
    if widths[-1] == 1:  # all its fields commute: flows add nothing
        assert [rank.rank for rank in found.orbits[0].ranks] == [widths[0]] * 2


@pytest.mark.slow
def test_deep_linear_gradient(measured):
    found = laws_of(Gradient(), (2, 3, 3, 1)).independent
    assert found is not None
    measured(15, f"linear 2-3-3-1, gradient: {found} laws, off by", abs(found - 12), below=0.5)


@pytest.mark.parametrize("rule", ["feedback-alignment", "gradient"])
def test_relu_has_one_law_per_hidden_neuron(rule, measured):
    found = laws_of(RULES[rule](), (3, 4, 1), "relu", degree=2)
    assert (found.independent, found.explained, found.found) == (4, 4, 4)
    measured(15, f"ReLU 3-4-1, {rule}: {found.independent} laws, off by", 0, below=0.5)
    assert all(law.found for law in found.known)


def test_what_is_known_and_what_is_not():
    """13 of 16 directions; the rule's laws explain 10; polynomials of degree 2 explain them all."""
    found = laws_of(RULES["feedback-alignment"](), (3, 4, 1), degree=2)
    assert (found.state, found.independent, found.explained, found.unexplained) == (16, 13, 10, 3)
    assert found.found == 13
    assert {law.name for law in found.known if law.kept and law.found} == {
        "layer-balance", "neuron-balance", "matrix-balance",
    }  # fmt: skip


def test_tanh_has_no_law(measured):
    found = laws_of(RULES["feedback-alignment"](), (3, 4, 1), "tanh", degree=2)
    assert (found.independent, found.known, found.found) == (0, [], 0)
    measured(15, "control, tanh 3-4-1: laws missing of ReLU's 4", 4 - found.independent, above=3.5)


LAWLESS = {  # claim none
    "last-layer-only", "hebbian", "weight-mirror", "align-ada", "align-zero",
    "monotone-direct-feedback",
}  # fmt: skip
# One-norms and the like, column spaces, and no law at all.
NO_POLYNOMIALS = {
    "uniform-sign-symmetry", "fixed-magnitude-sign-symmetry", "hebbian", "weight-mirror",
    "potential-feedback", "monotone-direct-feedback",
}  # fmt: skip
# In linear nets these keep the laws of hidden layers below the last one: it takes two.
LOWER = {"sign-error-direct-feedback", "direct-random-target-projection"}


def test_a_floor_leaves_the_count_undecided():
    """Weights below their floor don't move anything: orbits of several dimensions, no one count."""
    found = laws_of(RULES["monotone-direct-feedback"](), (2, 3, 1), degree=None)
    assert len({orbit.rank.rank for orbit in found.orbits}) > 1
    assert found.independent is None


QUICK = {
    "gradient", "feedback-alignment", "direct-feedback-alignment", "last-layer-only", "hebbian",
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        k if k in QUICK else pytest.param(k, marks=pytest.mark.slow)
        for k in sorted(RULES)
        if k != "monotone-direct-feedback"  # the test below
    ],
)
def test_claimed_laws_are_laws_and_found_ones_too(kind):
    """Every rule: what it claims lies across its orbit; polynomials found do not change under the
    discrete rule, to second order in its step, on logistic data that the search has not seen."""
    rule = RULES[kind]()
    special = {"fa-star": (4, 2, 2), "hebbian": (2, 3, 1)}
    widths = special.get(kind, (2, 2, 2, 1) if kind in LOWER else (2, 3, 2))
    found = laws_of(rule, widths, degree=2)
    assert found.independent is not None
    assert all(law.kept for law in found.known)
    assert (found.explained > 0) is (kind not in LAWLESS)
    assert found.independent >= max(found.found, found.explained)
    if not len(found.polynomials.coefficients):
        assert kind in NO_POLYNOMIALS
        assert all(law.found is None for law in found.known)
        return
    assert found.found >= found.explained
    weights, back = network(widths), feedback(widths, rule.form)
    rng = np.random.default_rng(5)
    targets = rng.normal(size=(8, widths[-1]))
    loss = "squared" if kind == "fa-star" else "logcosh"
    data = make_data(rng.normal(size=(8, widths[0])), targets, loss)
    state = rule.init(weights, back, data)
    # What is not counted (a copy of the first weights) is as the search had it.
    counted = list(Fields(rule, weights, back).counted)
    flat = np.asarray(jax.flatten_util.ravel_pytree(state)[0])[counted]
    move = rule.velocity(jnp.zeros(()), state, back, data)
    velocity = np.asarray(jax.flatten_util.ravel_pytree(move)[0])[counted]
    assert np.linalg.norm(velocity) > 1e-3
    rates = _central_rates(found.polynomials, flat, velocity)
    assert np.max(np.abs(rates)) < 1e-6 * np.linalg.norm(velocity) * np.max(np.abs(flat))
    # The control: a law with one coefficient changed (of those of more than one term: what does
    # not move keeps any multiple of itself).
    if not np.any(np.sum(found.polynomials.coefficients != 0, axis=1) > 1):
        assert kind == "last-layer-only"
        return
    wrong = found.polynomials.coefficients.copy()
    wrong[:, np.argmax(np.abs(wrong), axis=1)] *= 1.1
    rates = _central_rates(found.polynomials._replace(coefficients=wrong), flat, velocity)
    assert np.max(np.abs(rates)) > 1e-3


def _central_rates(laws, flat, velocity, step=1e-5):
    """(P(state + step v) - P(state - step v)) / (2 step), by evaluating P."""

    def values(state):
        return laws.coefficients @ np.prod(np.append(state, 1.0)[laws.monomials], axis=1)

    return (values(flat + step * velocity) - values(flat - step * velocity)) / (2 * step)


class SignSymmetry(AbstractLayerwiseRule):
    """A user's rule: its law 1/2 ||W1[j]||^2 - ||W2[:,j]||_1 is no polynomial, and not claimed."""

    equation = "delta_l = phi'(h_l) . (delta_{l+1} sign(W_{l+1}))"
    source = "Liao, Leibo & Poggio 2016"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, map(jnp.sign, weights.weights[1:]), trace, error)

    def laws(self, weights):
        return {}


class Wrong(AbstractLayerwiseRule):
    """FA's laws claimed for a rule that has none of them."""

    equation = "delta_1 = phi'(h_1) . (1 + h_1^2)"
    source = "nowhere"
    form = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        below, above = backward_sweep(weights, feedback.matrices, trace, error)
        return below * (1 + trace.pre[0] ** 2), above

    def laws(self, weights):
        return RULES["feedback-alignment"]().laws(weights)


def test_a_rule_of_the_users():
    found = laws_of(SignSymmetry(), (3, 4, 1), "relu", degree=2)
    assert (found.independent, found.explained, found.unexplained) == (4, 0, 4)
    # Where no weight changes sign the law is a polynomial, other signs elsewhere: none for all.
    assert found.found == 0


def test_a_claim_that_is_wrong():
    found = laws_of(Wrong(), (3, 4, 1), degree=2)
    assert all(not law.kept and law.share > 1e-3 and not law.found for law in found.known)
    assert found.explained == 0


def test_biases_count():
    """Theory.md 2.2: one law per hidden neuron, with the bias's square; none without it."""
    found = laws_of(RULES["feedback-alignment"](), (2, 3, 1), "relu", bias=True, degree=2)
    assert (found.independent, found.explained, found.found) == (3, 3, 3)
    assert all("b1[" in text for text in found.texts)


def test_decay_leaves_no_law_and_no_claim():
    found = laws_of(KolenPollack(decay=0.3), (2, 3, 1))
    assert found.known == []


def test_what_the_weights_are_called():
    texts = laws_of(Gradient(), (2, 2, 1), "relu", degree=2).texts
    assert sorted(texts) == [
        "W1[0,0]^2 + W1[0,1]^2 - W2[0,0]^2", "W1[1,0]^2 + W1[1,1]^2 - W2[0,1]^2",
    ]  # fmt: skip
    entries = {"F2[0,0]": 0.7316, "F2[0,1]": -1.2093}
    assert coefficient(-2 * 0.7316, entries) == ("-", "2 F2[0,0]")
    assert coefficient(1.2093, entries) == ("-", "F2[0,1]")
    assert coefficient(-1.2093 / 0.7316, entries) == ("+", "F2[0,1]/F2[0,0]")
    assert coefficient(0.33719, entries) == ("+", "0.33719")
    assert coefficient(1.0, entries) == ("+", "")


def test_a_rank_without_a_gap_is_no_rank():
    assert rank_of(np.array([1.0, 0.5, 1e-15])).clear
    assert rank_of(np.array([1.0, 0.5])).clear
    assert not rank_of(10.0 ** -np.arange(14.0)).clear
    assert rank_of(np.zeros(3)).rank == 0


def test_regions_without_a_waking_neuron_do_not_count():
    """A second-layer ReLU whose incoming weights are all negative never moves: some states have
    more laws than the rule."""
    rule, widths = RULES["direct-feedback-alignment"](), (2, 3, 2, 1)
    fields = Fields(rule, network(widths, "relu"), feedback(widths, rule.form))
    ranks = [find_orbit(fields, np.random.default_rng(n)).rank.rank for n in range(6)]
    found = laws_of(rule, widths, "relu")
    assert min(ranks) < 14 - found.independent == 12 == found.orbits[1].rank.rank
    assert found.explained == found.independent == 2


def test_too_large():
    with pytest.raises(ValueError, match="400"):
        laws_of(Gradient(), (20, 20, 1))
    with pytest.raises(ValueError, match="monomials"):
        laws_of(Gradient(), (4, 6, 2), degree=4)
    assert monomial_count(16, 2) == 152


def test_gradients_of_polynomials_by_finite_differences():
    found = laws_of(Gradient(), (2, 2, 1), degree=2)
    point = found.orbits[0].point
    slopes = gradients(found.polynomials.monomials, found.polynomials.coefficients, point)
    for axis in np.eye(point.size):
        rates = _central_rates(found.polynomials, point, axis)
        np.testing.assert_allclose(slopes @ axis, rates, atol=1e-9)


def test_rates_that_change_with_time_free_the_layers():
    """Between two times any combination of the layers' fields is a field: what is left are the
    entries of W_1 across F_2, (n_h - 1) n_in of them. Rates of one decay keep them tied."""
    rule = LearningRates(RULES["feedback-alignment"](), decays=[0.0, 1.0])
    assert laws_of(rule, (2, 3, 1)).independent == 4
    tied = LearningRates(RULES["feedback-alignment"](), rates=[1.0, 2.0], decays=1.0)
    assert laws_of(tied, (2, 3, 1)).independent == fa_laws(2, 3, 1) == 7


def test_momentum_is_part_of_the_state():
    """1-1-1: drift f = (v, -gamma v / m) and push b = (0, 0, F, w_1) / m, whose brackets b, [b, f],
    [b, [b, f]] ~ (0, 0, 0, 1) and [f, (0, 0, 0, 1)] span all four directions: nothing is kept."""
    found = laws_of(Momentum(RULES["feedback-alignment"]()), (1, 1, 1), degree=2)
    assert (found.state, found.independent, found.texts) == (4, 0, [])
    assert laws_of(RULES["feedback-alignment"](), (1, 1, 1)).independent == 1


def test_names_of_a_state_tell_speeds_from_weights():
    def names(rule):
        return variable_names(Fields(rule, network((1, 1, 1)), feedback((1, 1, 1), rule.form)))

    below = RULES["feedback-alignment"]()
    assert names(Momentum(below)) == ["W1[0,0]", "W2[0,0]", "W1'[0,0]", "W2'[0,0]"]
    assert "F3[0]" not in names(WeightNormalisation(below))  # a length is no feedback
    assert names(KolenPollack()) == ["W1[0,0]", "W2[0,0]", "F2[0,0]"]
