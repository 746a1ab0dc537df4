"""A residual that tends to a constant is told from one that dies out, by fit and prediction.

Flows are SciPy's (DOP853, rtol 1e-10) of the rules' own fields; their residuals at the end, and at
twice that time, are the answer.
"""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from faflow.analysis import fit_exponent, predict_exponent, prediction
from faflow.feedback import FEEDBACKS, Feedback, draw_feedback
from faflow.networks import MLP, Linear
from faflow.rules import (
    RULES,
    FeedbackAlignment,
    Gradient,
    KolenPollack,
    LearningRates,
    Momentum,
    WeightDecay,
    WeightMirror,
    weight_velocity,
)
from faflow.tasks import make_data

WIDTHS, DECAY = (6, 5, 1), 3e-6


def setting(rule, samples=4, seed=0):
    rng = np.random.default_rng(seed)
    weights = tuple(
        jnp.asarray(rng.normal(size=(out, into)) / into**0.5) for into, out in pairwise(WIDTHS)
    )
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(seed), WIDTHS, rule.form)
    inputs = rng.normal(size=(samples, WIDTHS[0]))
    return MLP(weights, (), Linear()), feedback, inputs, rng


def flowed(rule, net, feedback, t1, *tasks):
    """Weights and feedback, residuals and pulls at 401 times, for each of the data."""
    unravel = ravel_pytree(rule.init(net, feedback, tasks[0]))[1]
    ts = np.linspace(0.0, t1, 401)

    @jax.jit
    def velocity(t, x, data):
        return ravel_pytree(rule.velocity(t, unravel(x), feedback, data))[0]

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def seen(x, data):
        state = unravel(x)
        weights, back = rule.read(state, feedback, data)
        moves = weight_velocity(rule, weights, back, data, state)[0]
        residual = lambda n: data.residual(data.outputs(n))  # noqa: E731
        e, change = jax.jvp(residual, (weights,), (moves,))
        return jnp.linalg.norm(e), -jnp.sum(e * change) / jnp.sum(e**2)

    def flow(data):
        start = np.asarray(ravel_pytree(rule.init(net, feedback, data))[0])
        path = solve_ivp(
            lambda t, x: np.asarray(velocity(np.asarray(t), x, data)), (0.0, t1), start,
            "DOP853", ts, rtol=1e-10, atol=1e-13,
        )  # fmt: skip
        norms, pulls = map(np.asarray, seen(path.y.T, data))
        return rule.read(unravel(jnp.asarray(path.y[:, -1])), feedback, data), ts, norms, pulls

    return [flow(data) for data in tasks]


def flowed_on_noise(rule, t1):
    """Where it began, targets of noise, and the flow."""
    net, feedback, inputs, rng = setting(rule)
    data = make_data(inputs, rng.normal(size=(len(inputs), 1)))
    return (net, feedback), data, *flowed(rule, net, feedback, t1, data)[0]


FORCED = {
    "decay": WeightDecay(FeedbackAlignment(), rates=DECAY),
    "decay of the gradient": WeightDecay(Gradient(), rates=DECAY),
    "decay, then momentum": Momentum(WeightDecay(Gradient(), rates=DECAY), mass=0.1),
    "kolen-pollack": KolenPollack(DECAY),
}
FREE = {
    "rates": LearningRates(FeedbackAlignment(), rates=[1.0, 2.0]),
    "momentum": Momentum(Gradient(), mass=0.1),
    "kolen-pollack": KolenPollack(0.0),
    "weight mirror": WeightMirror(),
}


@pytest.mark.parametrize("name", FORCED)
def test_under_decay_the_residual_stays(name: str) -> None:
    rule = FORCED[name]
    start, data, end, ts, norms, pulls = flowed_on_noise(rule, 60.0)
    assert norms[-1] > 1e-9 * norms[0] and abs(norms[-1] / norms[-100] - 1) < 1e-2  # it stays
    assert norms[-1] < 1e-3 * norms[0]  # where the first criterion would see nothing
    found = predict_exponent(rule, *end, data, start)
    assert found.status == "residual-stays" and np.isnan(found.rate)
    assert fit_exponent(ts, norms, pull=pulls).status == "residual-stays"
    assert fit_exponent(ts, norms).status != "residual-stays"  # the pull is what tells


@pytest.mark.parametrize("name", FREE)
def test_without_it_the_residual_dies_out(name: str) -> None:
    """The control: the same rules have an exponent, and the fit finds it."""
    rule = FREE[name]
    start, data, end, ts, norms, pulls = flowed_on_noise(rule, 30.0)
    found = predict_exponent(rule, *end, data, start)
    fit = fit_exponent(ts, norms, pull=pulls)
    assert found.status == "ok" and fit.status in ("ok", "not-exponential", "floor-reached")
    if fit.status == "ok" and found.frequency == 0:
        assert fit.rate == pytest.approx(found.rate, rel=0.1)


@pytest.mark.parametrize("rule", [Gradient(), LearningRates(Gradient(), rates=[1.0, 2.0])])
def test_targets_out_of_reach(rule) -> None:
    """Label noise of 1e-5 on more samples than inputs: what no weights fit stays."""
    net, feedback, inputs, rng = setting(rule, samples=9)
    teacher = inputs @ rng.normal(size=(WIDTHS[0], 1))
    noisy = make_data(inputs, teacher + 1e-5 * rng.normal(size=teacher.shape))
    clean = make_data(inputs, teacher)  # the control
    (end, ts, norms, pulls), control = flowed(rule, net, feedback, 30.0, noisy, clean)
    assert 1e-7 < norms[-1] / norms[0] < 1e-3
    assert predict_exponent(rule, *end, noisy, (net, feedback)).status == "residual-stays"
    fit = fit_exponent(ts, norms, pull=pulls)
    assert fit.status == "residual-stays" and fit.floor == pytest.approx(norms[-1], rel=1e-3)
    end, ts, norms, pulls = control
    assert norms[-1] < 1e-9 and fit_exponent(ts, norms, pull=pulls).status != "residual-stays"


def test_a_constant_that_comes_early_is_no_noise() -> None:
    ts = np.linspace(0.0, 10.0, 201)
    residual = np.sqrt(np.exp(-6 * ts) + 0.02**2)
    pull = 3 * np.exp(-6 * ts) / residual**2
    assert fit_exponent(ts, residual, pull=pull).status == "residual-stays"
    assert fit_exponent(ts, residual, pull=3 + 0 * ts).status == "floor-reached"  # noise is pulled
    slow = np.exp(-20.0 * ts) + 0.05 * np.exp(-0.5 * ts)
    slope = (20 * np.exp(-20.0 * ts) + 0.025 * np.exp(-0.5 * ts)) / slow
    assert fit_exponent(ts, slow, pull=slope).status == "ok"
    nothing = fit_exponent(ts, residual, pull=np.full(201, np.nan))
    assert nothing.status == "floor-reached"


@pytest.mark.parametrize("name", ["direct-random-target-projection", "sign-error-direct-feedback"])
def test_rules_that_hear_more_than_the_error_have_no_prediction(name: str) -> None:
    """Their field is not -G e: a spectrum of K would be some other rule's."""
    rule = RULES[name]()
    net, feedback, inputs, _ = setting(rule)
    data = make_data(inputs, net(jnp.asarray(inputs)) + 1e-5)
    start = (jax.tree.map(lambda w: 2 * w, net), feedback)
    assert predict_exponent(rule, net, feedback, data, start).status == "unavailable"


@pytest.mark.parametrize("size", [0.0, 1e-15, 1e-4])
def test_rounding_is_no_residual_that_stays(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the space that a residual can enter is too large to be searched in full, what is left
    is asked; what rounding has of parts that the rule does not move says nothing."""
    monkeypatch.setattr(prediction, "LARGEST", 0)
    monkeypatch.setattr(prediction, "CUT", 10)
    rng = np.random.default_rng(5)
    weights, first = (
        tuple(jnp.asarray(rng.normal(size=shape)) for shape in ((2, 4), (3, 2))) for _ in range(2)
    )
    outputs = (weights[1] @ weights[0]).T
    kernel = np.linalg.svd(weights[1])[0][:, -1:] @ np.linalg.svd(weights[0])[2][-1:]  # unmoved
    data = make_data(np.eye(4), outputs + size * jnp.asarray(kernel.T))
    nets = [MLP(matrices, (), Linear()) for matrices in (weights, first)]
    back = Feedback()
    found = predict_exponent(Gradient(), nets[0], back, data, (nets[1], back))
    assert found.status == ("residual-stays" if size > 1e-12 else "unavailable")
    assert (found.method.find("rounding" if size else "zero") >= 0) is (size < 1e-12)
