"""Predictions 34-35: order parameters against gradients, quadrature and simulations.

Simulations start from given order parameters and differ by their samples, so the mean of S runs has
a standard error known from their spread; the flow, their limit N -> inf, may be O(1/N) beside it,
which shows only where S is no longer small beside N. Eight saves, 24 seeds: |t| < 4 at all of them
with probability 0.995 at least (Student's t, Bonferroni).
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quadrature import FUNCTIONS, root

from faflow._compiling import LONG, LOOP, compiled
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.population import (
    Overlaps,
    PopulationDirectFeedbackAlignment,
    PopulationGradient,
    PopulationLoss,
    order_of,
    population_loss,
    simulate,
)
from faflow.tasks import Teacher, make_data

INPUTS = 40
NOTHING = make_data(np.zeros((1, INPUTS)), np.zeros(1))  # the rules do not look at it
FIXED = Feedback((jnp.asarray([[1.0, -0.6]]),), "direct")
GRADIENT, DFA = PopulationGradient, PopulationDirectFeedbackAlignment


def network(activation, scale, readout, seed):
    hidden = scale * np.random.default_rng(seed).standard_normal((len(readout), INPUTS))
    weights = (jnp.asarray(hidden / INPUTS**0.5), jnp.asarray([readout], float))
    return MLP(weights, (), ACTIVATIONS[activation]())


def pair(activation):
    """A student of K = 2 and a teacher of M = 2."""
    return network(activation, 0.6, [0.3, -0.2], 1), network(activation, 1.3, [1.0, 0.7], 2)


def taught(rule, activation, noise=0.0):
    student, teacher = pair(activation)
    return rule.taught(Teacher(teacher, noise), student), student


def feedback_of(rule):
    return FIXED if isinstance(rule, DFA) else Feedback()


# ---- the field ----------------------------------------------------------------------------------


@eqx.filter_jit
def slope_and_field(rule, student, fed):
    known, start = rule.known(), rule.init(student, fed, NOTHING)
    slope = jax.grad(lambda net: population_loss(order_of(net, known), known))(student)
    return slope, rule.velocity(jnp.zeros(()), start, fed, NOTHING)


@pytest.mark.parametrize("activation", ["erf", "linear", "relu"])
@pytest.mark.parametrize("kind", [GRADIENT, DFA])
def test_flow_is_the_gradient_of_the_population_loss(kind, activation, measured):
    """eta = 0: with dW_k = -(F_k / v_k) de_g/dW_k and dv = -de_g/dv by autodiff of e_g (I2 alone),
    Q' = dW W^T + W dW^T and R' = dW W~^T."""
    rule, student = taught(kind(), activation)
    known, fed = rule.known(), feedback_of(rule)
    slope, field = slope_and_field(rule, student, fed)
    weights, readout = (np.asarray(matrix) for matrix in student.weights)
    back = np.asarray(fed.matrices[0]) if fed.matrices else readout
    moved = -(back / readout).T * np.asarray(slope.weights[0])
    expected = (
        moved @ weights.T + weights @ moved.T,
        moved @ np.asarray(known.weights).T,
        -np.asarray(slope.weights[1])[0],
    )
    found = (field.q, field.r, field.v)
    worst = max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))
    measured(34, f"{kind.__name__}, {activation}: field against autodiff", worst, below=1e-13)
    assert min(np.abs(part).max() for part in expected) > 1e-3


@pytest.mark.parametrize("activation", ["erf", "linear"])
def test_steps_add_the_variance_of_the_update(activation, measured):
    """What eta adds to Q': F_i F_k E (delta + noise xi)^2 g'(h_i) g'(h_k), by quadrature over the
    four fields, noise by hand."""
    eta, noise = 0.7, 0.4
    rule, student = taught(DFA(eta), activation, noise)
    known = rule.known()
    start = rule.init(student, FIXED, NOTHING)
    with_steps, without = (
        np.asarray(slope_and_field(r, student, FIXED)[1].q)
        for r in (rule, taught(DFA(), activation)[0])
    )
    more = with_steps - without
    fields = np.asarray(Overlaps(known)(student, FIXED, NOTHING))
    g, slope = FUNCTIONS[activation]
    nodes = np.linspace(-8, 8, 36)
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    grid = np.stack(np.meshgrid(*[nodes] * 4, indexing="ij")).reshape(4, -1)
    weight = np.prod(np.meshgrid(*[density] * 4, indexing="ij"), axis=0).ravel()
    h = root(fields) @ grid
    delta = np.asarray(known.readout) @ g(h[2:]) - np.asarray(start.v) @ g(h[:2])
    gates = slope(h[:2]) * np.asarray(FIXED.matrices[0]).T
    expected = eta * (gates * (weight * (delta**2 + noise**2))) @ gates.T
    measured(34, f"{activation}: eta's term", np.abs(more - expected).max(), below=1e-10)
    quiet = eta * (gates * (weight * delta**2)) @ gates.T
    measured(34, f"control: {activation}, no noise", np.abs(more - quiet).max(), above=1e-3)


# ---- simulations --------------------------------------------------------------------------------

TIMES = jnp.linspace(0.0, 8.0, 9)
SEEDS, MANY, ETA, NOISE = 24, 1000, 0.5, 0.2


@eqx.filter_jit
def flow_loss(rule, student, fed):
    problem = FlowProblem(rule, student, fed, NOTHING)
    see = {"loss": PopulationLoss(rule.known())}
    return solve(problem, TIMES, see, Numerics()).records["loss"]


def simulated(rule, student, fed, seeds, inputs):
    """Losses (seeds, times); what few numbers are drawn for is not worth a program that is fast."""
    run = long_simulated if seeds * inputs**2 > 200_000 else short_simulated
    return run(rule, student, fed, seeds, inputs)


def losses_of(rule, student, fed, seeds, inputs):
    start = rule.init(student, fed, NOTHING)
    keys = jax.random.split(jax.random.key(7), seeds)
    return simulate(rule, start, fed, TIMES, keys, inputs)


long_simulated, short_simulated = (compiled(use)(losses_of) for use in (LONG, LOOP))


def deviation(losses, flow):
    """The largest |mean - flow| in standard errors."""
    losses, flow = np.asarray(losses), np.asarray(flow)
    error = losses.std(axis=0, ddof=1) / len(losses) ** 0.5
    return float(np.max(np.abs(losses.mean(axis=0) - flow)[1:] / error[1:]))


@pytest.mark.parametrize("kind", [GRADIENT, DFA])
def test_simulations_agree_with_the_flow(kind, measured):
    """erf, K = M = 2, N = 200; what is compared with the wrong flow is tens of errors away."""
    rule, student = taught(kind(ETA), "erf", NOISE)
    fed, name = feedback_of(rule), kind.__name__
    losses = simulated(rule, student, fed, SEEDS, 200)
    assert np.ptp(np.asarray(losses)[:, 0]) == 0  # every seed starts from the same loss
    against = lambda r, f: deviation(losses, flow_loss(r, student, f))  # noqa: E731
    what = f"{name}: simulations from the flow, standard errors"
    measured(34, what, against(rule, fed), below=4)
    if kind is GRADIENT:
        other, _ = taught(DFA(ETA), "erf", NOISE)
        measured(34, "control: gradient against DFA's flow", against(other, FIXED), above=15)
        return
    for words, wrong in {
        "without eta's term": taught(DFA(0.0), "erf", NOISE)[0],
        "eta and noise swapped": taught(DFA(NOISE), "erf", ETA)[0],
    }.items():
        measured(34, f"control: DFA, {words}", against(wrong, fed), above=8)
    other, _ = taught(GRADIENT(ETA), "erf", NOISE)
    measured(34, "control: DFA against gradient's flow", against(other, Feedback()), above=15)


def test_what_is_left_is_of_order_one_over_n(measured):
    """Many seeds see the bias of a small N: N (mean - flow) is the same for two N, and the
    criterion above would fail it."""
    rule, student = taught(DFA(ETA), "erf", NOISE)
    flow = np.asarray(flow_loss(rule, student, FIXED))
    found = {}
    for inputs in (10, 20):
        losses = np.asarray(simulated(rule, student, FIXED, MANY, inputs))
        if inputs == 10:
            away = deviation(losses, flow)
            measured(34, "control: 1000 seeds see the bias of N = 10", away, above=5)
        scaled = inputs * losses.mean(axis=0)[-1]
        found[inputs] = (scaled - inputs * flow[-1], inputs * losses.std(axis=0)[-1] / MANY**0.5)
    (first, one), (second, two) = found.values()
    apart = abs(first - second) / np.hypot(one, two)
    measured(34, "N x bias at N = 10 and 20, standard errors apart", apart, below=4)


# ---- the law ------------------------------------------------------------------------------------


def test_drift_of_the_law_is_proportional_to_eta(measured):
    """Linear g: (1/2 Q_kk - F_k v_k)(t) - (.)(0) -> eta F_k^2 int e_g dt, the integral by numpy's
    gradient flow of W (N = 40) itself; at eta = 0 nothing."""
    rule, student = taught(DFA(), "linear")

    def law(net):
        return 0.5 * jnp.sum(net.weights[0] ** 2, axis=1) - FIXED.matrices[0][0] * net.weights[1][0]

    @jax.jit
    def drift(eta):
        one = eqx.tree_at(lambda r: r.eta, rule, eta)
        problem = FlowProblem(one, student, FIXED, NOTHING)
        end = solve(problem, TIMES, {}, Numerics()).weights
        return law(end) - law(student)

    still, *moved = (np.asarray(drift(jnp.asarray(eta))) for eta in (0.0, 0.1, 0.05, 0.025))
    measured(34, "linear: drift of the law at eta = 0", np.abs(still).max(), below=1e-9)
    for first, second, eta in ((moved[0], moved[1], "0.1"), (moved[1], moved[2], "0.05")):
        ratio = np.abs(first / second - 2).max()
        measured(34, f"linear: drift at eta = {eta} over half of it, minus 2", ratio, below=0.1)
    limit = (2 * moved[2] / 0.025 - moved[1] / 0.05) / np.asarray(FIXED.matrices[0][0]) ** 2
    expected = _integrated_loss(*pair("linear"))
    error = np.abs(limit / expected - 1).max()
    measured(34, "linear: drift / eta as eta -> 0, relative to F^2 int e_g", error, below=5e-3)


def _integrated_loss(student, teacher):
    """int e_g dt of the linear flow by RK4: W' = F u^T, v' = W u, u = W~^T A - W^T v."""
    w, v = (np.asarray(matrix) for matrix in student.weights)
    a = (np.asarray(teacher.weights[1]) @ np.asarray(teacher.weights[0]))[0]
    f, v, total = np.asarray(FIXED.matrices[0][0]), v[0], 0.0

    def field(w, v):
        rest = a - w.T @ v
        return np.outer(f, rest), w @ rest, 0.5 * rest @ rest

    h = 0.01
    for _ in range(round(float(TIMES[-1]) / h)):
        state, slopes = (w, v, total), [field(w, v)]
        for share in (0.5, 0.5, 1.0):
            pushed = [x + share * h * s for x, s in zip(state, slopes[-1], strict=True)]
            slopes.append(field(pushed[0], pushed[1]))
        steps = [a + 2 * b + 2 * c + d for a, b, c, d in zip(*slopes, strict=True)]
        w, v, total = (x + h / 6 * s for x, s in zip(state, steps, strict=True))
    return total


def test_signs_that_relu_recovers(measured):
    """Prediction 35: a student neuron keeps the sign of its F (the law with v(0) = 0 and small
    W(0)), and two positive ReLUs need two: of all 2^K signs of F a share 1/4, 1/2, 11/16 succeeds.

    Neurons beyond K have F = 0 and W = 0, where they stay.
    """
    signs = np.array(
        [s + (0,) * (4 - k) for k in (2, 3, 4) for s in itertools.product((1, -1), repeat=k)], float
    )
    weights = 0.1 * np.random.default_rng(0).standard_normal((len(signs), 4, INPUTS)) / INPUTS**0.5
    weights *= (signs != 0)[:, :, None]
    relu = ACTIVATIONS["relu"]()
    teacher = MLP((jnp.eye(2, INPUTS), jnp.ones((1, 2))), (), relu)

    @eqx.filter_jit
    @jax.vmap
    def run(sign, hidden):
        student = MLP((hidden, jnp.zeros((1, 4))), (), relu)
        rule = DFA().taught(Teacher(teacher, 0.0), student)
        problem = FlowProblem(rule, student, Feedback((sign[None, :],), "direct"), NOTHING)
        numerics = Numerics(rtol=1e-6, atol=1e-8)
        ts, see = jnp.array([0.0, 100.0]), {"loss": PopulationLoss(rule.known())}
        end = solve(problem, ts, see, numerics)
        return end.records["loss"][-1], end.weights.weights[1][0]

    loss, readout = map(np.asarray, run(jnp.asarray(signs), jnp.asarray(weights)))
    assert np.min((readout * signs)[signs != 0]) > -0.01  # no sign is flipped
    for width, expected in ((2, 1 / 4), (3, 1 / 2), (4, 11 / 16)):
        own = np.sum(signs != 0, axis=1) == width
        share = np.mean(loss[own] < 1e-3)
        measured(35, f"K = {width}: share minus {expected}", abs(share - expected), below=1e-12)
    failed = np.sum(signs > 0, axis=1) < 2
    measured(35, "smallest loss with fewer than two positive F", loss[failed].min(), above=0.08)
    # None of them: f <= 0 at best 0, e_g = 1/2 E (relu + relu)^2 = 1/2 + 1/2 pi.
    none = loss[np.sum(signs > 0, axis=1) == 0]
    np.testing.assert_allclose(none, 0.5 + 0.5 / np.pi, atol=1e-6)
