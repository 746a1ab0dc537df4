"""Effective tangent kernels against J J^T and against numpy's sum over layers."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import predict_exponent
from faflow.analysis.kernel import has_kernel, kernel_observable
from faflow.feedback import FEEDBACKS, Feedback, draw_feedback
from faflow.flow import FlowProblem
from faflow.networks import ACTIVATIONS, MLP, widths
from faflow.rules import (
    RULES,
    AlignAda,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    Gradient,
    KolenPollack,
    LearningRates,
    Momentum,
    TangentKernel,
    WeightDecay,
    as_matrix,
    effective_kernel,
)
from faflow.tasks import make_data

WIDTHS, SAMPLES = (4, 6, 5, 2), 5
RNG = np.random.default_rng(3)  # of every test anew
PHI = {
    "tanh": (np.tanh, lambda h: 1 / np.cosh(h) ** 2),
    "relu": (lambda h: h * (h > 0), lambda h: 1.0 * (h > 0)),
}

kernel_of = eqx.filter_jit(effective_kernel)
numbers_of = eqx.filter_jit(lambda see, *point: see(*point))


def draw(*shape):
    return RNG.standard_normal(shape)


@pytest.fixture(autouse=True)
def same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(3))


def setting(activation="tanh", sizes=WIDTHS, loss="squared", reduction="sum"):
    pairs = list(pairwise(sizes))
    weights = tuple(jnp.asarray(draw(out, into) / into**0.5) for into, out in pairs)
    biases = tuple(jnp.asarray(0.3 * draw(out)) for _, out in pairs)
    net = MLP(weights, biases, ACTIVATIONS[activation]())
    return net, make_data(draw(SAMPLES, sizes[0]), draw(SAMPLES, sizes[-1]), loss, reduction)


def fed(net, form):
    return draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), widths(net), form, net)


def sum_over_layers(net, data, backward, activation="tanh"):
    """K_{mu i, nu j} = sum_l (g_l^i(mu) . gt_l^j(nu)) (a_{l-1}(mu) . a_{l-1}(nu) + 1), where
    g_L^i = e_i, g_l = phi' . W_{l+1}^T g_{l+1}, and gt likewise with `backward` in W's place."""
    phi, slope = PHI[activation]
    weights = [np.asarray(w) for w in net.weights]
    h, a = [], [np.asarray(data.inputs)]
    for w, b in zip(weights, net.biases, strict=True):
        h.append(a[-1] @ w.T + np.asarray(b))
        a.append(phi(h[-1]))
    samples, outputs = h[-1].shape
    kernel = np.zeros((samples, outputs, samples, outputs))

    def unit_deltas(matrix_above):
        # (samples, outputs, n_l) per layer, last first: row j is the delta of a unit error e_j
        deltas = [np.tile(np.eye(outputs), (samples, 1, 1))]
        for l in range(len(weights) - 2, -1, -1):
            deltas.append(slope(h[l])[:, None, :] * matrix_above(deltas, l))
        return deltas

    true = unit_deltas(lambda deltas, l: deltas[-1] @ weights[l + 1])
    rule = unit_deltas(backward)
    for back, (g, gt) in enumerate(zip(true, rule, strict=True)):
        below = a[len(weights) - 1 - back]
        kernel += np.einsum("mip,njp,mn->minj", g, gt, below @ below.T + 1)
    return kernel


def test_gradient_has_the_jacobian_times_its_transpose():
    net, data = setting()

    def outputs(parameters):
        a = data.inputs
        for l, (w, b) in enumerate(parameters):
            a = (jnp.tanh(a) if l else a) @ w.T + b[None, :]
        return a

    jacobian = jax.jit(jax.jacobian(outputs))(list(zip(net.weights, net.biases, strict=True)))
    rows = [np.asarray(leaf).reshape(SAMPLES * 2, -1) for leaf in jax.tree.leaves(jacobian)]
    expected = sum(row @ row.T for row in rows)
    kernel = as_matrix(kernel_of(Gradient(), net, Feedback(), data))
    np.testing.assert_allclose(kernel, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", PHI)
def test_feedback_rules_are_the_sum_over_layers(activation):
    net, data = setting(activation)
    layerwise, direct = fed(net, "layerwise"), fed(net, "direct")
    f = [np.asarray(m) for m in layerwise.matrices]
    d = [np.asarray(m) for m in direct.matrices]
    fa = sum_over_layers(net, data, lambda deltas, l: deltas[-1] @ f[l], activation)
    dfa = sum_over_layers(net, data, lambda deltas, l: deltas[0] @ d[l], activation)
    got = kernel_of(FeedbackAlignment(), net, layerwise, data)
    np.testing.assert_allclose(got, fa, rtol=1e-12, atol=1e-12)
    got = kernel_of(DirectFeedbackAlignment(), net, direct, data)
    np.testing.assert_allclose(got, dfa, rtol=1e-12, atol=1e-12)
    # What moves without an error, Kolen-Pollack's decay, is no part of K.
    got = kernel_of(KolenPollack(0.7), net, layerwise, data)
    np.testing.assert_allclose(got, fa, rtol=1e-12, atol=1e-12)
    # Control: other feedback gives another kernel.
    wrong = Feedback(tuple(2.0 * m for m in layerwise.matrices), "layerwise")
    off = np.asarray(kernel_of(FeedbackAlignment(), net, wrong, data)) - fa
    assert np.abs(off).max() > 0.1 * np.abs(fa).max()


@pytest.mark.parametrize("loss", ["squared", "logcosh"])
def test_outputs_move_by_minus_k_e(loss):
    """f' by finite differences along the field; K has no weight, e = dLoss/df has."""
    net, data = setting(loss=loss, reduction="mean")
    feedback, rule = fed(net, "layerwise"), FeedbackAlignment()
    velocity = rule.vector_field(net, feedback, data)
    step = 1e-6
    ahead, behind = (
        jax.tree.map(lambda w, v, s=sign: w + s * step * v, net, velocity) for sign in (1, -1)
    )
    change = (ahead(data.inputs) - behind(data.inputs)) / (2 * step)
    kernel = as_matrix(kernel_of(rule, net, feedback, data))
    error = np.asarray(data.error(net(data.inputs))).ravel()
    np.testing.assert_allclose(-kernel @ error, np.ravel(change), rtol=1e-6, atol=1e-8)


def observed(rule, net, data):
    feedback = fed(net, rule.form)
    first = as_matrix(kernel_of(rule, net, feedback, data))
    return numbers_of(TangentKernel(rule, first), net, feedback, data)


def test_numbers_of_the_kernel():
    net, data = setting()
    tied = observed(Gradient(), net, data)
    assert float(tied["asymmetry"]) < 1e-14 and float(tied["change"]) == 0
    assert float(tied["cosine"]) == pytest.approx(1.0, abs=1e-14)
    loose = observed(FeedbackAlignment(), net, data)
    assert float(loose["asymmetry"]) > 0.1 and float(loose["cosine"]) < 0.99
    feedback = fed(net, "layerwise")
    own = np.asarray(as_matrix(kernel_of(FeedbackAlignment(), net, feedback, data)))
    backprop = np.asarray(as_matrix(kernel_of(Gradient(), net, Feedback(), data)))
    common = np.sum(own * backprop)
    cosine = common / np.linalg.norm(own) / np.linalg.norm(backprop)
    assert float(loose["cosine"]) == pytest.approx(cosine)
    assert float(loose["share"]) == pytest.approx(common / np.sum(backprop**2))
    assert float(loose["trace"]) == pytest.approx(np.trace(own))
    assert float(loose["smallest"]) == pytest.approx(np.linalg.eigvals(own).real.min())
    moved = jax.tree.map(lambda w: 1.1 * w, net)
    then = np.asarray(as_matrix(kernel_of(FeedbackAlignment(), moved, feedback, data)))
    change = numbers_of(
        TangentKernel(FeedbackAlignment(), jnp.asarray(own)), moved, feedback, data
    )["change"]
    assert float(change) == pytest.approx(np.linalg.norm(then - own) / np.linalg.norm(own))


def test_smallest_rate_is_the_predicted_exponent_at_a_solution():
    """From a start that enters every direction, in time of the mean loss: K over samples."""
    net, data = setting(sizes=(4, 7, 5, 1))
    solved = make_data(np.asarray(data.inputs), np.asarray(net(data.inputs)), reduction="mean")
    feedback = Feedback(tuple(w + 0.2 * draw(*w.shape) for w in net.weights[1:]), "layerwise")
    start = (jax.tree.map(lambda w: w + 0.1 * draw(*w.shape), net), feedback)
    rule = FeedbackAlignment()
    predicted = predict_exponent(rule, net, feedback, solved, start)
    numbers = numbers_of(TangentKernel(rule, jnp.eye(SAMPLES)), net, feedback, solved)
    assert predicted.dimension == SAMPLES
    assert float(numbers["smallest"]) / SAMPLES == pytest.approx(predicted.rate, rel=1e-8)


def test_which_rules_have_a_kernel():
    """Nonlinear in the error (a floor is), deaf to it, or remembering the first weights: none."""
    without = {"fa-star", "hebbian", "sign-error-direct-feedback", "align-ada", "align-zero"}
    without |= {"direct-random-target-projection", "monotone-direct-feedback"}
    net, data = setting(sizes=(4, 3, 1))
    net = MLP(net.weights, (), net.activation)
    for name, make in RULES.items():
        problem = FlowProblem(make(), net, fed(net, make.form), data)
        assert has_kernel(problem) is (name not in without), name
        if name in ("hebbian", "kolen-pollack"):
            assert (kernel_observable(problem) is None) is (name in without)


def test_modified_rules():
    """Rates multiply K's layers and a decay is no part of it; what depends on time has no K."""
    net, data = setting(sizes=(4, 3, 1))
    feedback = fed(net, "layerwise")
    for rule, known in (
        (LearningRates(FeedbackAlignment(), [0.5, 2.0]), True),
        (LearningRates(FeedbackAlignment(), 1.0, 0.3), False),
        (Momentum(FeedbackAlignment()), False),
    ):
        assert has_kernel(FlowProblem(rule, net, feedback, data)) is known
    plain, last = (
        kernel_of(LearningRates(FeedbackAlignment(), rates), net, feedback, data)
        for rates in ([1.0, 1.0], [1e-300, 1.0])
    )
    scaled = kernel_of(LearningRates(FeedbackAlignment(), [0.5, 2.0]), net, feedback, data)
    np.testing.assert_allclose(scaled, 0.5 * plain + 1.5 * last, rtol=1e-12, atol=1e-14)
    decaying = WeightDecay(FeedbackAlignment(), 0.4)
    np.testing.assert_allclose(
        kernel_of(decaying, net, feedback, data), plain, rtol=1e-12, atol=1e-14
    )


def test_frozen_rules_take_their_state():
    """Align-ada after a while: backprop through the first weights, the present activity."""
    net, data = setting()
    first = jax.tree.map(lambda w: w + 0.3 * draw(*w.shape), net)
    kernel = kernel_of(AlignAda(), net, Feedback(), data, state=(net, first))
    step, error = 1e-6, jnp.asarray(draw(SAMPLES, 2))
    trace = first.trace(data.inputs)
    deltas = Gradient().deltas(first, Feedback(), trace, error)
    below = net.trace(data.inputs).post[:-1]
    moved = MLP(
        tuple(w - step * d.T @ a for w, d, a in zip(net.weights, deltas, below, strict=True)),
        tuple(b - step * d.sum(axis=0) for b, d in zip(net.biases, deltas, strict=True)),
        net.activation,
    )
    change = (moved(data.inputs) - net(data.inputs)) / step
    expected = -np.asarray(as_matrix(kernel)) @ np.ravel(error)
    np.testing.assert_allclose(expected, np.ravel(change), atol=1e-4)


def test_too_large_kernels_are_refused():
    net, _ = setting(sizes=(4, 5, 2))
    data = make_data(draw(301, 4), draw(301, 2))
    with pytest.raises(ValueError, match=r"task\.samples"):
        kernel_observable(FlowProblem(Gradient(), net, Feedback(), data))
