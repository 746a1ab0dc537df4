"""Every rule under every solver of ours, with all that a config can record: the flow is SciPy's, to
the tolerance. A wrong tolerance is the control."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.measures.registry import OBSERVABLES
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES, LastLayerOnly
from faflow.tasks import make_data

SOLVERS = ("gauss4", "gauss6", "gauss8", "rkc2", "adams", "bdf-dense", "bdf-krylov")
T = 0.5


def problem_of(kind: str) -> FlowProblem:
    """tanh 4-3-1, 8 samples; FA* solves for its read-out and is linear."""
    rng, widths = np.random.default_rng(1), (4, 3, 1)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape) / shape[-1] ** 0.5)  # noqa: E731
    phi = ACTIVATIONS["linear" if kind == "fa-star" else "tanh"]()
    rule, net = RULES[kind](), MLP((draw(3, 4), draw(1, 3)), (), phi)
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), widths, rule.form, net)
    data = make_data(rng.standard_normal((8, 4)), rng.standard_normal((8, 1)), "squared", "mean")
    return FlowProblem(rule, net, feedback, data)


def observables_of(problem: FlowProblem) -> dict:
    found = {}
    for name, entry in OBSERVABLES.items():
        try:
            found |= entry.build(name, problem)
        except ValueError:  # not known for this rule or network, and says so
            continue
    return found


def end(problem, observables, solver, rtol):
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100)
    solution = integrate(problem, jnp.linspace(0.0, T, 3), observables, numerics)
    for name, record in solution.records.items():
        if name == "delta-alignment" and isinstance(problem.rule, LastLayerOnly):
            continue  # deltas of zero have no angle
        for leaf in jax.tree.leaves(record):
            assert np.all(np.isfinite(leaf)), name
    return flat((solution.weights, solution.feedback))


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def exact(problem: FlowProblem) -> np.ndarray:
    """Weights and feedback at T by SciPy."""
    rule, given = problem.rule, (problem.feedback, problem.data)
    start, unravel = ravel_pytree(rule.init(problem.weights, *given))
    slope = jax.jit(lambda t, y: ravel_pytree(rule.velocity(t, unravel(y), *given))[0])
    end = solve_ivp(
        lambda t, y: np.asarray(slope(jnp.asarray(t), jnp.asarray(y))), (0.0, T), np.asarray(start),
        "DOP853", rtol=1e-12, atol=1e-14,
    )  # fmt: skip
    return flat(rule.read(unravel(jnp.asarray(end.y[:, -1])), *given))


def cases():
    """Every pair with all records; without --slow one rule per solver, with the loss alone."""
    step = len(RULES) // len(SOLVERS)
    for kind, solver in zip(list(RULES)[::step], SOLVERS, strict=False):
        yield pytest.param(kind, solver, False)
    for kind, solver in itertools.product(RULES, SOLVERS):
        yield pytest.param(kind, solver, True, marks=pytest.mark.slow)


@pytest.mark.parametrize(("kind", "solver", "recorded"), list(cases()))
def test_the_flow_is_scipys(kind: str, solver: str, recorded: bool) -> None:
    problem = problem_of(kind)
    observables = observables_of(problem)
    assert {"loss", "norms"} <= set(observables)
    if not recorded:
        observables = {"loss": observables["loss"]}
    reference = exact(problem)
    size = np.linalg.norm(reference)
    errors = [
        np.linalg.norm(end(problem, observables, solver, rtol) - reference) / size
        for rtol in (1e-7, 1e-3)
    ]
    assert errors[0] < 2e-5
    # Sweeps make Gauss exact at any tolerance; Adams begins with short steps whatever it is.
    if not solver.startswith(("gauss", "adams")):
        assert errors[1] > 3 * errors[0]
