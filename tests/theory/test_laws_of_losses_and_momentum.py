"""Laws that docs/laws.md states beside the balances: under momentum, and of softmax cross-entropy.

Derivatives along the field at random states, in units of the sizes of their terms; no integrator.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES, Momentum
from faflow.tasks import make_data

WIDTHS, MASS, FRICTION = (3, 4, 5, 3), 0.3, 0.7
ANY = ["gradient", "feedback-alignment", "direct-feedback-alignment", "uniform-sign-symmetry",
       "direct-random-target-projection", "last-layer-only"]  # fmt: skip


def drawn(seed, widths=WIDTHS, activation="linear", bias=False):
    rng = np.random.default_rng(seed)
    weights = tuple(jnp.asarray(rng.normal(size=(b, a))) for a, b in itertools.pairwise(widths))
    biases = tuple(jnp.asarray(rng.normal(size=b)) for b in widths[1:]) if bias else ()
    return MLP(weights, biases, ACTIVATIONS[activation]())


def lesson(loss, widths=WIDTHS):
    rng = np.random.default_rng(9)
    targets = rng.normal(size=(7, widths[-1]))
    if loss == "cross-entropy":
        targets = np.eye(widths[-1])[rng.integers(0, widths[-1], 7)]
    return make_data(rng.normal(size=(7, widths[0])), targets, loss)


@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("rule", ANY)
def test_the_read_out_under_cross_entropy(rule: str, activation: str, loss: str) -> None:
    """sum_i (W_L)_ij per column j and the sum of its biases, for any rule with delta_L = p - y and
    any phi. Control: the squared loss."""
    net = drawn(0, activation=activation, bias=True)
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), WIDTHS, RULES[rule].form)
    move = RULES[rule]().vector_field(net, feedback, lesson(loss))
    columns, shift = np.asarray(move.weights[-1]), np.asarray(move.biases[-1])
    rates = np.append(np.abs(columns.sum(axis=0)), abs(shift.sum()))
    sizes = np.append(np.abs(columns).sum(axis=0), np.abs(shift).sum())
    alive = sizes > 0
    relative = np.max(rates[alive] / sizes[alive])
    assert relative < 1e-14 if loss == "cross-entropy" else relative > 1e-2
    # The hidden layer below has no such law, whatever the loss.
    below = np.asarray(move.weights[0])
    if rule not in ("last-layer-only", "uniform-sign-symmetry"):  # 0, or of signs that cancel
        assert np.max(np.abs(below.sum(axis=0))) > 1e-3 * np.max(np.abs(below).sum(axis=0))


def momentum_rate(rule, quantity):
    """d/dt of a function of (W, W') along momentum's flow, at a random state, and its value."""
    inner = RULES[rule]()
    modified = Momentum(inner, mass=MASS, friction=FRICTION)
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), WIDTHS, inner.form)
    state, data = (drawn(1), drawn(2)), lesson("squared")
    move = modified.velocity(jnp.zeros(()), state, feedback, data)
    of = lambda s: quantity(*s, feedback)  # noqa: E731
    value, rate = jax.jvp(of, (state,), (move,))
    return np.asarray(value), np.asarray(rate)


def layer(rule, l):
    """W_l' W_l^T - G^T W_{l+1}', G = W_{l+1} (transposed: -W_{l+1}^T W_{l+1}') or F_{l+1}."""

    def quantity(net, speed, feedback):
        upper = net.weights[l] if rule == "gradient" else feedback.matrices[l - 1]
        return speed.weights[l - 1] @ net.weights[l - 1].T - upper.T @ speed.weights[l]

    return quantity


@pytest.mark.parametrize("l", [1, 2])
@pytest.mark.parametrize("rule", ["gradient", "feedback-alignment"])
def test_momentum_keeps_the_antisymmetric_part(rule: str, l: int) -> None:
    """e^{gamma t / m} (B - B^T) is constant in linear nets, B = W_l' W_l^T - G^T W_{l+1}', and 0
    from rest. Control: the symmetric part, which momentum drives."""
    value, rate = momentum_rate(rule, layer(rule, l))
    off = rate + FRICTION / MASS * value
    size = np.max(np.abs(rate)) + FRICTION / MASS * np.max(np.abs(value))
    assert np.max(np.abs(off - off.T)) < 1e-13 * size
    assert np.max(np.abs(value - value.T)) > 1e-2 * np.max(np.abs(value))  # it is not 0 in itself
    assert np.max(np.abs(off + off.T)) > 1e-2 * size


def test_momentum_keeps_linear_laws() -> None:
    """<c, W> + (m / gamma) <c, W'> for every linear law <c, W> of the rule.

    Feedback alignment, one output, one hidden layer: W_1[i] / F[i] - W_1[j] / F[j]."""
    widths, inner = (3, 4, 1), RULES["feedback-alignment"]()
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), widths, inner.form)
    modified, f = Momentum(inner, mass=MASS, friction=FRICTION), feedback.matrices[0][0]
    state = (drawn(1, widths), drawn(2, widths))
    move = modified.velocity(jnp.zeros(()), state, feedback, lesson("squared", widths))

    def law(net, upper=1):
        return np.asarray(net.weights[0][0] / f[0] - net.weights[0][upper] / f[upper])

    rate = law(move[0]) + MASS / FRICTION * law(move[1])
    size = np.max(np.abs(law(move[0])))
    assert size > 1e-2 and np.max(np.abs(rate)) < 1e-13 * size
    wrong = np.asarray(move[1].weights[0][0] - move[1].weights[0][1])  # no law of the rule
    plain = np.asarray(move[0].weights[0][0] - move[0].weights[0][1])
    assert np.max(np.abs(plain + MASS / FRICTION * wrong)) > 1e-2
