"""Every registered rule: its velocity against autodiff or numpy, and the laws it claims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import FEEDBACKS, Feedback, counterparts, draw_feedback
from faflow.networks import ACTIVATIONS, MLP, Linear
from faflow.rules import (
    RULES,
    DirectFeedbackAlignment,
    FAStar,
    FeedbackAlignment,
    Gradient,
    KolenPollack,
    weight_velocity,
)
from faflow.tasks import LOSSES, make_data

WIDTHS = (6, 7, 5, 3)
EXACT = [name for name, make in ACTIVATIONS.items() if make().exact]
# No law in any net, and in linear nets alone.
LAWLESS = {
    "last-layer-only", "hebbian", "weight-mirror", "align-ada", "align-zero",
    "monotone-direct-feedback",
}  # fmt: skip
ONE_OUTPUT = {"hebbian", "monotone-direct-feedback"}
LINEAR_LAWS = {"sign-error-direct-feedback", "direct-random-target-projection"}
HOMOGENEOUS = [name for name, make in ACTIVATIONS.items() if make().degree is not None]


def network(activation="linear", bias=False, widths=WIDTHS, seed=0):
    rng = np.random.default_rng(seed)
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    weights = tuple(jnp.asarray(rng.standard_normal(pair) / pair[1] ** 0.5) for pair in pairs)
    biases = tuple(jnp.asarray(0.3 * rng.standard_normal(pair[0])) for pair in pairs)
    return MLP(weights, biases if bias else (), ACTIVATIONS[activation]())


def data(loss="squared", outputs=WIDTHS[-1], samples=8, reduction="sum"):
    rng = np.random.default_rng(1)
    y = rng.standard_normal((samples, outputs))
    if loss == "cross-entropy":
        y = np.eye(outputs)[rng.integers(outputs, size=samples)]
    return make_data(rng.standard_normal((samples, WIDTHS[0])), y, loss, reduction)


def feedback(rule, net, widths=WIDTHS):
    return draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(3), widths, rule.form, net)


def widths_of(name):
    return (*WIDTHS[:-1], 1) if name in ONE_OUTPUT else WIDTHS


def assert_same(first, second, **tolerance):
    tolerance = {"rtol": 1e-12, "atol": 1e-12, **tolerance}
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def distance(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("bias", [False, True])
def test_velocity_fits_the_state_and_read_undoes_init(name, bias):
    rule, widths = RULES[name](), widths_of(name)
    net = network("relu", bias and name != "fa-star", widths)
    fed, samples = feedback(rule, net, widths), data(outputs=widths[-1])
    state = rule.init(net, fed, samples)
    velocity = rule.velocity(jnp.zeros(()), state, fed, samples)
    assert jax.tree.structure(state) == jax.tree.structure(velocity)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(velocity), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    weights, back = rule.read(state, fed, samples)
    if name == "monotone-direct-feedback":  # starts from |W_l|, l > 1, and feeds back through |D|
        above = map(jnp.abs, net.weights[1:])
        fed = Feedback(tuple(map(jnp.abs, fed.matrices)), "direct")
        net = MLP((net.weights[0], *above), net.biases, net.activation)
    assert_same(back.matrices, fed.matrices, atol=0, rtol=0)
    kept = slice(None, -1) if name == "fa-star" else slice(None)  # FA* slaves its read-out
    assert_same(weights.weights[kept], net.weights[kept], atol=0, rtol=0)
    assert_same(weights.biases, net.biases, atol=0, rtol=0)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("activation", HOMOGENEOUS)
def test_claimed_laws_hold_along_the_field(name, activation):
    """dQ/dt + decay Q = 0 in units of the law's scale per weight turnover; who claims none."""
    rule = KolenPollack(0.3) if name == "kolen-pollack" else RULES[name]()
    net = network(activation, name != "fa-star")
    if name == "fa-star":  # laws speak of the state's weights: put the read-out at its optimum
        fed, samples = feedback(rule, net), data()
        net = rule.read(rule.init(net, fed, samples), fed, samples)[0]
    laws = rule.laws(net)
    assert bool(laws) is (name not in LAWLESS | (LINEAR_LAWS if activation != "linear" else set()))
    if not laws:
        return
    fed, samples = feedback(rule, net), data()
    velocity = weight_velocity(rule, net, fed, samples)
    leaves = lambda tree: sum(np.sum(np.square(x)) for x in jax.tree.leaves(tree))  # noqa: E731
    pace = (leaves(velocity) / leaves((net, fed))) ** 0.5
    for law in laws.values():
        value, rate = jax.jvp(lambda w, f: law(w, f, samples), (net, fed), velocity)  # noqa: B023
        found = jax.device_get((value, rate, law.scale(net, fed, samples)))
        decay = np.asarray(law.decay)
        for q, change, size in zip(*map(jax.tree.leaves, found), strict=True):
            assert np.abs(change + decay * q).max() / (pace * size.max()) < 1e-12


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("activation", [n for n in ACTIVATIONS if n not in HOMOGENEOUS])
def test_no_law_is_claimed_without_homogeneity(name, activation):
    assert RULES[name]().laws(network(activation)) == {}


@pytest.mark.parametrize("name", RULES)
def test_equation_and_source_are_given(name):
    assert RULES[name].equation and RULES[name].source


@pytest.mark.parametrize("activation", EXACT)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", [False, True])
def test_gradient_is_minus_the_gradient(activation, loss, bias):
    net, samples = network(activation, bias), data(loss, reduction="mean")
    expected = jax.grad(lambda w: -samples.value(w(samples.inputs)))(net)
    assert_same(Gradient().vector_field(net, Feedback(), samples), expected)


def test_control_gated_relu_is_not_its_gradient():
    net, samples = network("gated-relu"), data()
    net = MLP(tuple(1e-2 * weight for weight in net.weights), (), net.activation)
    gradient = jax.grad(lambda w: -samples.value(w(samples.inputs)))(net)
    size = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    assert distance(Gradient().vector_field(net, Feedback(), samples), gradient) > 0.02 * size


@pytest.mark.parametrize("activation", EXACT)
def test_feedback_equal_to_the_weights_is_the_gradient(activation):
    net, samples = network(activation, True), data()
    gradient = Gradient().vector_field(net, Feedback(), samples)
    tied = Feedback(net.weights[1:], "layerwise")
    assert_same(FeedbackAlignment().vector_field(net, tied, samples), gradient)
    loose = FeedbackAlignment().vector_field(net, feedback(FeedbackAlignment(), net), samples)
    assert distance(loose, gradient) > 0.1


def test_direct_feedback_of_products_is_the_gradient_in_linear_nets_only():
    samples = data()
    for activation, same in (("linear", True), ("tanh", False)):
        net = network(activation, True)
        tied = Feedback(counterparts(net, "direct"), "direct")
        w = [np.asarray(weight) for weight in net.weights]
        assert_same(tied.matrices, (w[2] @ w[1], w[2]))
        gradient = Gradient().vector_field(net, Feedback(), samples)
        gap = distance(DirectFeedbackAlignment().vector_field(net, tied, samples), gradient)
        assert gap < 1e-12 if same else gap > 0.05


def test_one_hidden_layer_direct_is_layerwise():
    widths = (6, 7, 3)
    net, samples = network("tanh", True, widths), data()
    (matrix,) = feedback(FeedbackAlignment(), net, widths).matrices
    layerwise = FeedbackAlignment().vector_field(net, Feedback((matrix,), "layerwise"), samples)
    direct = DirectFeedbackAlignment().vector_field(net, Feedback((matrix,), "direct"), samples)
    assert_same(layerwise, direct, rtol=0, atol=0)


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_kolen_pollack_moves_feedback_like_weights(decay):
    """dW = g - lambda W, dF = g - lambda F; so (W - F)' = -lambda (W - F)."""
    rule, net, samples = KolenPollack(decay), network("relu", True), data()
    fed = feedback(rule, net)
    update = FeedbackAlignment().vector_field(net, fed, samples)
    weights, moved = weight_velocity(rule, net, fed, samples)
    assert_same(weights, jax.tree.map(lambda g, w: g - decay * w, update, net))
    pairs = zip(update.weights[1:], fed.matrices, strict=True)
    assert_same(moved.matrices, tuple(g - decay * f for g, f in pairs))


def test_fa_star_slaves_the_read_out():
    """||Y - Z W||: W' = B (Y - Z W), Z by numpy's least squares; FA from another Z differs."""
    rng = np.random.default_rng(0)
    y, w, b = rng.standard_normal((7, 6)), rng.standard_normal((3, 6)), rng.standard_normal((3, 7))
    samples, rule = make_data(np.eye(6), y.T), FAStar()
    net = MLP((jnp.asarray(w), jnp.zeros((7, 3))), (), Linear())
    fed = Feedback((jnp.asarray(b.T),), "layerwise")
    z = np.linalg.lstsq(w.T, y.T, rcond=None)[0].T
    weights, _ = rule.read(rule.init(net, fed, samples), fed, samples)
    np.testing.assert_allclose(weights.weights[1], z, rtol=1e-12, atol=1e-13)
    velocity, _ = weight_velocity(rule, net, fed, samples)
    np.testing.assert_allclose(velocity.weights[0], b @ (y - z @ w), rtol=1e-12, atol=1e-12)
    # The read-out follows: (Z(W + h W') - Z(W - h W')) / 2h.
    h, move = 1e-6, np.asarray(velocity.weights[0])
    z_at = lambda now: np.linalg.lstsq(now.T, y.T, rcond=None)[0].T  # noqa: E731
    slope = (z_at(w + h * move) - z_at(w - h * move)) / (2 * h)
    np.testing.assert_allclose(velocity.weights[1], slope, atol=1e-6)
    plain = FeedbackAlignment().vector_field(net, fed, samples)
    assert distance(plain.weights[0], velocity.weights[0]) > 0.1


def test_fa_star_refuses_what_it_cannot_do():
    samples = data(samples=3)
    for bias, match in ((True, "bias"), (False, "width")):
        net = network("linear", bias)
        with pytest.raises(ValueError, match=match):
            FAStar().init(net, feedback(FAStar(), net), samples)


def test_fa_star_refuses_features_of_too_low_rank():
    """Linear, 7 hidden units on 6 inputs: a_1 has rank 6, and Z = argmin is not unique."""
    net = network("linear", widths=(6, 7, 3))
    with pytest.raises(ValueError):
        FAStar().init(net, feedback(FAStar(), net, (6, 7, 3)), data())


@pytest.mark.parametrize("loss", ["cross-entropy", "logcosh"])
def test_fa_star_needs_the_squared_loss(loss):
    """Its docstring says so; least squares is not the optimum of another loss."""
    net = network("linear")
    with pytest.raises(ValueError):
        FAStar().init(net, feedback(FAStar(), net), data(loss))
