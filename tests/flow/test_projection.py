"""`project`: on the laws to rounding whatever the tolerance, the flow as exact as without; flows
that are not projected are the controls."""

from functools import cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Flow, to_problem
from scipy.integrate import solve_ivp

from faflow.flow import FlowProblem, Numerics, integrate
from faflow.rules import FeedbackAlignment, Gradient, LearningRates, Momentum

T = 2.0


def deep(activation: str):
    """FA on 5-6-4-2, 8 samples."""
    rng = np.random.default_rng(3)
    draw = lambda *shape: rng.standard_normal(shape) / shape[-1] ** 0.5  # noqa: E731
    x, y = rng.standard_normal((8, 5)) / 8**0.5, rng.standard_normal((8, 2)) / 8**0.5
    weights = (draw(6, 5), draw(4, 6), draw(2, 4))
    return x, y, weights, (draw(4, 6), draw(2, 4)), activation


def problem_of(given, rule=None):
    x, y, weights, feedback, activation = given
    problem = to_problem(Flow("deep", weights, x, y, feedback, activation=activation))
    return problem if rule is None else FlowProblem(rule, *list(vars(problem).values())[1:])


@cache
def exact(activation: str) -> np.ndarray:
    """The weights of `deep` at T by SciPy, the equations written out in numpy."""
    x, y, weights, feedback, _ = deep(activation)
    value, slope = {
        "linear": (lambda h: h, np.ones_like),
        "relu-squared": (lambda h: np.maximum(h, 0) ** 2, lambda h: 2 * np.maximum(h, 0)),
    }[activation]

    def field(t, flat):
        w1, w2, w3 = flat[:30].reshape(6, 5), flat[30:54].reshape(4, 6), flat[54:].reshape(2, 4)
        h1 = x @ w1.T
        a1 = value(h1)
        h2 = a1 @ w2.T
        a2 = value(h2)
        error = a2 @ w3.T - y
        d2 = (error @ feedback[1]) * slope(h2)
        d1 = (d2 @ feedback[0]) * slope(h1)
        moves = (-d1.T @ x, -d2.T @ a1, -error.T @ a2)
        return np.concatenate([move.ravel() for move in moves])

    start = np.concatenate([w.ravel() for w in weights])
    return solve_ivp(field, (0, T), start, "DOP853", rtol=1e-12, atol=1e-14).y[:, -1]


def finest(problem):
    return list(problem.rule.laws(problem.weights).values())[-1]


@eqx.filter_jit
def scale_of(problem, end):
    scales = finest(problem).scale(end.weights, end.feedback, problem.data)
    return jnp.max(jnp.concatenate([jnp.ravel(scale) for scale in scales]))


def flow(problem, **numerics):
    observables = {"law": finest(problem)}
    end = integrate(problem, np.linspace(0, T, 9), observables, Numerics(**numerics))
    drift = max(float(np.max(np.abs(q - q[0]))) for q in map(np.asarray, end.records["law"]))
    flat = np.concatenate([np.asarray(w).ravel() for w in end.weights.weights])
    return end, drift / float(scale_of(problem, end)), flat


@pytest.mark.parametrize("activation", ["linear", "relu-squared"])
@pytest.mark.parametrize("solver", ["tsit5", "bosh3", "heun"])
def test_on_the_laws_and_as_exact_as_without(activation: str, solver: str) -> None:
    given = deep(activation)
    problem, reference = problem_of(given), exact(given[-1])
    plain, drift, away = flow(problem, solver=solver, rtol=1e-4, atol=1e-6)
    end, projected, flat = flow(problem, solver=solver, rtol=1e-4, atol=1e-6, project=True)
    assert projected < 2e-14 and plain.corrected is None
    assert drift > 1e-8  # the control
    size = np.linalg.norm(reference)
    errors = [np.linalg.norm(w - reference) / size for w in (flat, away)]
    assert 0 < errors[0] < 3 * errors[1]
    assert drift / 10 < float(end.corrected) < 100 * drift
    assert int(end.counts.evaluations) >= int(plain.counts.evaluations)


@pytest.mark.parametrize("rates", [2.0, [1.0, 3.0, 0.5]])
def test_on_the_weighted_laws_of_learning_rates(rates) -> None:
    """The rule's numbers are traced where a step is projected."""
    rule = LearningRates(rule=FeedbackAlignment(), rates=rates, decays=0.2)
    problem = problem_of(deep("linear"), rule)
    drift = flow(problem, solver="tsit5", rtol=1e-4, atol=1e-6)[1]
    assert (
        flow(problem, solver="tsit5", rtol=1e-4, atol=1e-6, project=True)[1] < 2e-14 < drift / 100
    )


def test_the_error_follows_the_tolerance() -> None:
    given = deep("relu-squared")
    problem, reference = problem_of(given), exact(given[-1])
    errors, corrected = [], []
    for rtol in (1e-4, 1e-7, 1e-10):
        end, _, flat = flow(problem, solver="tsit5", rtol=rtol, atol=rtol / 100, project=True)
        errors.append(np.linalg.norm(flat - reference) / np.linalg.norm(reference))
        corrected.append(float(end.corrected))
    assert errors[0] > 30 * errors[1] > 900 * errors[2]
    assert corrected[0] > 30 * corrected[1] > 900 * corrected[2]


@pytest.mark.parametrize(
    ("rule", "activation", "numerics", "said"),
    [
        (Momentum(Gradient(), 1.0), "linear", {}, "state of Momentum is more than its weights"),
        (FeedbackAlignment(), "tanh", {}, "names none for this network"),
        (LearningRates(FeedbackAlignment(), decays=[0.2] * 3), "linear", {}, "names none"),
        (None, "linear", {"solver": "gauss6"}, "keeps the laws by itself"),
        (None, "linear", {"solver": "bdf"}, "not BDF"),
        (None, "linear", {"solver": "auto"}, "does not serve solver = 'auto'"),
    ],
)
def test_what_can_not_be_projected(rule, activation, numerics, said) -> None:
    problem = problem_of((*deep("linear")[:-1], activation), rule)
    with pytest.raises(ValueError, match=said):
        integrate(problem, jnp.array([0.0, 1.0]), {}, Numerics(project=True, **numerics))
