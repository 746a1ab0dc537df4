"""Feedback as the derivative of a potential: mixtures, sums, and psi of one's own (theory 2.5)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from test_more_rules import BROKEN, DEEP, KEPT, Net, assert_moves, chained, mixed, rates_of_each

from faflow.observables import (
    AbstractQuadraticPotential,
    FeedbackPotential,
    FixedMagnitudeSignPotential,
    FunctionPotential,
    UniformSignPotential,
    WeightPotential,
    balance_laws,
    feedback_of,
    weighted_sum,
)
from faflow.rules import (
    FeedbackAlignment,
    FixedMagnitudeSignSymmetry,
    Gradient,
    MixedFeedbackAlignment,
    PotentialFeedback,
    UniformSignSymmetry,
)


class Power(eqx.Module):
    """psi(w) = |w|^p / p, psi' = sign(w) |w|^(p - 1): the gradient at p = 2."""

    power: jnp.ndarray = eqx.field(converter=lambda p: jnp.asarray(p, float))

    def __call__(self, weight):
        return jnp.abs(weight) ** self.power / self.power


def by_hand(net, matrices, psi, degree):
    """Largest relative rate of 1/2 ||W_l[j]||^2 + 1/2 beta_lj^2 - k psi_j(W_{l+1}[:,j]), with
    psi' = the matrices that the deltas go back through: numpy."""
    deltas, post = chained(net, lambda l, above: matrices[l - 1].T @ above)
    rates = []
    for l in range(len(net.w) - 1):
        move, above = -deltas[l] @ post[l].T, -deltas[l + 1] @ post[l + 1].T
        slope = (psi(net.w[l + 1] + 1e-6) - psi(net.w[l + 1] - 1e-6)) / 2e-6
        terms = (
            (net.w[l] * move).sum(axis=1),
            -net.b[l] * deltas[l].sum(axis=1),
            -degree * (slope * above).sum(axis=0),
        )
        rates.append(np.abs(sum(terms)).max() / sum(map(np.abs, terms)).max())
    return max(rates)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_a_mixture_keeps_the_sum_of_the_laws(activation, share):
    """psi = a/2 ||W||^2 + (1 - a) <W, F>; each part alone is broken, unless it is all there is."""
    rule, net = MixedFeedbackAlignment(share), Net(DEEP, activation, True, "layerwise")
    moved, _ = net.velocity(rule)
    assert_moves(moved, *mixed(net, share))
    laws = rule.laws(net.network())
    assert ("matrix-balance" in laws) is (activation == "linear")
    assert all(law.quadratic for law in laws.values())
    parts = ((WeightPotential(), 1.0), (FeedbackPotential(), 0.0))
    found = rates_of_each(
        rule, net, laws, *(balance_laws(net.network(), part) for part, _ in parts)
    )
    assert all(rates.max() < KEPT for rates in found[0]) and found[0]
    for each, (_, alone) in zip(found[1:], parts, strict=True):
        for rates in each:
            assert rates.max() < KEPT if share == alone else rates.min() > BROKEN
    values = laws["neuron-balance"](net.network(), net.feedback(), net.data())
    for l, got in enumerate(values):
        psi = share / 2 * net.w[l + 1] ** 2 + (1 - share) * net.w[l + 1] * net.feed[l]
        want = 0.5 * (net.w[l] ** 2).sum(axis=1) + 0.5 * net.b[l] ** 2 - psi.sum(axis=0)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


def test_the_matrix_law_of_a_mixture_by_hand():
    """W_l W_l^T + beta beta^T - a W^T W - (1 - a) (F^T W + W^T F): numpy."""
    net, share = Net(DEEP, "linear", True, "layerwise"), 0.3
    deltas, post = mixed(net, share)
    moves = [-d @ a.T for d, a in zip(deltas, post[:-1], strict=True)]
    for l in range(2):
        own = net.w[l] @ moves[l].T - np.outer(net.b[l], deltas[l].sum(axis=1))
        upper = (share * net.w[l + 1] + (1 - share) * net.feed[l]).T @ moves[l + 1]
        assert np.abs(own + own.T - upper - upper.T).max() < 1e-12 * np.abs(own).max()
    law = MixedFeedbackAlignment(share).laws(net.network())["matrix-balance"]
    for l, got in enumerate(law(net.network(), net.feedback(), net.data())):
        cross = net.feed[l].T @ net.w[l + 1]
        want = net.w[l] @ net.w[l].T + np.outer(net.b[l], net.b[l])
        want = want - share * net.w[l + 1].T @ net.w[l + 1] - (1 - share) * (cross + cross.T)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


CASES = {
    "gradient": (WeightPotential(), Gradient()),
    "feedback alignment": (FeedbackPotential(), FeedbackAlignment()),
    "gradient, its psi as a function": (FunctionPotential(lambda w: 0.5 * w**2), Gradient()),
    "uniform signs": (FunctionPotential(jnp.abs), UniformSignSymmetry()),
    "fixed magnitudes": (FixedMagnitudeSignPotential(), FixedMagnitudeSignSymmetry()),
    "a mixture": (
        weighted_sum((WeightPotential(), FeedbackPotential()), (0.3, 0.7)),
        MixedFeedbackAlignment(0.3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_general_rule_has_the_others_as_cases(case):
    """The same field and the same laws; the control is another rule's field."""
    potential, known = CASES[case]
    rule, net = PotentialFeedback(potential), Net(DEEP, "relu", True, "layerwise")
    got, want = net.velocity(rule)[0], net.velocity(known)[0]
    for a, b in zip((*got.weights, *got.biases), (*want.weights, *want.biases), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    other = net.velocity(PotentialFeedback("log-cosh"))[0]
    assert np.abs(got.weights[0] - other.weights[0]).max() > 0.05
    point = (net.network(), net.feedback(), net.data())
    for name, law in known.laws(net.network()).items():
        ours = rule.laws(net.network())[name]
        for a, b in zip(ours(*point), law(*point), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("activation", "degree"), [("relu", 1), ("relu-squared", 2)])
@pytest.mark.parametrize("power", [1.5, 3.0])
def test_a_psi_of_ones_own(power, activation, degree):
    """Theory 2.5: F = grad psi(W) keeps 1/2 ||W_l||^2 - k psi(W_{l+1}), by numpy and by faflow; the
    controls are the gradient's law, and psi of another power."""
    rule = PotentialFeedback(FunctionPotential(Power(power)))
    net = Net(DEEP, activation, True, "layerwise")
    matrices = [np.sign(w) * np.abs(w) ** (power - 1) for w in net.w[1:]]
    psi = lambda w, p=power: np.abs(w) ** p / p  # noqa: E731
    assert by_hand(net, matrices, psi, degree) < 1e-6  # finite differences of psi
    assert by_hand(net, matrices, lambda w: psi(w, power + 0.5), degree) > BROKEN
    laws = rule.laws(net.network())
    assert set(laws) == {"layer-balance", "neuron-balance"}
    assert not any(law.quadratic for law in laws.values())
    others = (WeightPotential(), FunctionPotential(Power(power + 0.5)))
    wrong = [balance_laws(net.network(), other) for other in others]
    kept, *broken = rates_of_each(rule, net, laws, *wrong)
    assert all(rates.max() < KEPT for rates in kept) and len(kept) == 2
    assert all(rates.min() > BROKEN for each in broken for rates in each) and all(broken)


def test_its_numbers_may_be_swept():
    """An array inside psi is traced: one program, a derivative by it, and a batch of powers."""
    net = Net((3, 4, 2), "relu", False, "layerwise")
    weights, feedback = net.network(), net.feedback()

    @eqx.filter_vmap(in_axes=(eqx.if_array(0),))
    def batched(potential):
        return feedback_of(potential, weights, feedback, 2)

    powers = jnp.array([1.5, 2.0, 3.0])
    got = batched(FunctionPotential(Power(powers)))
    for power, matrix in zip(powers, got, strict=True):
        want = np.sign(net.w[1]) * np.abs(net.w[1]) ** (float(power) - 1)
        np.testing.assert_allclose(matrix, want, rtol=1e-12)


def test_sums_of_potentials():
    """Entries always; the matrix if every part has one; counts that don't fit are refused."""
    net = Net(DEEP, "linear", True, "layerwise")
    point = (net.network(), net.feedback(), 2)
    both = weighted_sum((WeightPotential(), FeedbackPotential()), (2, 3))
    assert isinstance(both, AbstractQuadraticPotential)
    want = 2 * 0.5 * net.w[1] ** 2 + 3 * net.w[1] * net.feed[0]
    np.testing.assert_allclose(both.entries(*point), want, rtol=1e-14)
    cross = net.feed[0].T @ net.w[1]
    want = 2 * net.w[1].T @ net.w[1] + 3 * (cross + cross.T)
    np.testing.assert_allclose(both.matrix(*point), want, rtol=1e-13)
    signs = weighted_sum((WeightPotential(), UniformSignPotential(jnp.ones(()))), (0.5, 0.2))
    assert not isinstance(signs, AbstractQuadraticPotential)
    rule = PotentialFeedback(signs)
    laws = rule.laws(net.network())
    assert set(laws) == {"layer-balance", "neuron-balance"}
    (kept,) = rates_of_each(rule, net, laws)
    assert all(rates.max() < KEPT for rates in kept) and len(kept) == 2
    for parts, shares in (((WeightPotential(),), (1, 2)), ((), ())):
        with pytest.raises(ValueError, match="one number per potential"):
            weighted_sum(parts, shares)


def test_names_of_potentials():
    with pytest.raises(ValueError, match=r"^[^\n]*log-cosh[^\n]*'cosh'[^\n]*$"):
        PotentialFeedback("cosh")
    net = Net(DEEP, "relu", True, "layerwise")
    for name, known in (("weights", Gradient()), ("one-norm", UniformSignSymmetry())):
        got, want = net.velocity(PotentialFeedback(name))[0], net.velocity(known)[0]
        np.testing.assert_allclose(got.weights[0], want.weights[0], rtol=1e-12, atol=1e-13)
