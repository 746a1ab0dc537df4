"""Prediction 36 (Song, Xu & Lafferty 2021; theory 6.3): wide two-layer ReLU nets under feedback
alignment. The read-out does not turn towards the feedback unless it decays.

f = p^{-1/2} psi(X W) beta, W' = -p^{-1/2} X^T (psi' . (e b^T)), beta' = -p^{-1/2} psi(X W)^T e -
lam beta, all entries N(0, 1). psi has degree 1, so that W_1 = p^{-1/4} W^T, W_2 = p^{-1/4} beta^T
and F_2 = p^{-1/4} b^T make the same f, and move by plain feedback alignment with the loss weighted
by p^{-1/2}: in Song's time, with the same angles.

Law (lam = 0): b.beta - 1/2 ||W||^2 stays, so cos(b, beta) = (b.beta(0) + 1/2 ||W||^2 - 1/2
||W(0)||^2) / (||b|| ||beta||). Below the line is ~ p; above it b.beta(0) ~ sqrt(p), and W is lazy.
"""

from functools import cache
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow._results import Outcome
from faflow._types import Scalar
from faflow.feedback import Feedback, Form
from faflow.flow import Discrete, FlowProblem, Numerics, run_twin, solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Alignment, Norms
from faflow.rules import AbstractWeightRule, FeedbackAlignment
from faflow.tasks import Data, Squared

SAMPLES, INPUTS, SEEDS, T = 10, 5, 4, 20.0
OBSERVABLES = {"alignment": Alignment(), "norms": Norms()}
DISCRETE = Discrete(0.04, jax.random.key(0))


class DecayingReadout(AbstractWeightRule):
    """Feedback alignment with W_2' lowered by decay W_2: a user's rule."""

    decay: Scalar
    equation: ClassVar[str] = "feedback alignment, W_L' = g_L - decay W_L"
    source: ClassVar[str] = "Song, Xu & Lafferty 2021"
    form: ClassVar[Form] = "layerwise"

    def vector_field(self, weights, feedback, data):
        move = FeedbackAlignment().vector_field(weights, feedback, data)
        slower = move.weights[-1] - self.decay * weights.weights[-1]
        return eqx.tree_at(lambda net: net.weights[-1], move, slower)

    def laws(self, weights):
        return FeedbackAlignment().laws(weights)


def song(seed, width):
    """(X, y, W, beta, b) of one draw."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((SAMPLES, INPUTS)) / INPUTS**0.5
    shapes = ((SAMPLES, 1), (width, INPUTS), (1, width), (1, width))
    return x, *(rng.standard_normal(shape) for shape in shapes)


def problem(seed, width, decay):
    x, y, w, beta, b = map(jnp.asarray, song(seed, width))
    share = width**-0.25
    net = MLP((share * w, share * beta), (), ACTIVATIONS["relu"]())
    data = Data(x, y, Squared(), jnp.asarray(width**-0.5))
    back = Feedback((share * b,), "layerwise")
    return FlowProblem(DecayingReadout(jnp.asarray(decay)), net, back, data)


@eqx.filter_jit
def steps(problems):
    laws = problems.rule.laws(problems.weights)
    ts = jnp.linspace(0.0, T, 6)
    run = lambda one: run_twin(one, ts, OBSERVABLES, laws, DISCRETE)  # noqa: E731
    return eqx.filter_vmap(run)(problems)


@eqx.filter_jit
def step_parts(one):
    """The field at the start, and the residual there."""
    move = one.rule.vector_field(one.weights, one.feedback, one.data)
    return move.weights, one.data.residual(one.weights(one.data.inputs))


@eqx.filter_jit
def flow(one):
    """The solution, one program where `integrate` has three; and the size of the law's terms."""
    law = one.rule.laws(one.weights)["layer-balance"]
    numerics = Numerics(solver="heun", rtol=1e-5, atol=1e-7, max_steps=20_000)
    found = solve(one, jnp.linspace(0.0, T, 6), {**OBSERVABLES, "law": law}, numerics)
    return found, law.scale(one.weights, one.feedback, one.data)


@cache
def twins(width, decay):
    """Euler steps of 0.04 from every seed, one program per width."""
    problems = [problem(seed, width, decay) for seed in range(SEEDS)]
    return steps(jax.tree.map(lambda *leaves: np.stack(leaves), *problems))


def cosines(solution):
    """(seeds, saves)."""
    return np.asarray(solution.records["alignment"]["cosine"])[:, :, 0]


def test_the_steps_are_song_s():
    """One step of 0.04 in the paper's own variables, by numpy."""
    x, y, w, beta, b = song(0, 200)
    moves, residual = jax.device_get(step_parts(problem(0, 200, 0.3)))
    h = x @ w.T
    error = np.maximum(h, 0) @ beta.T / 200**0.5 - y
    dw = -((h > 0) * (error @ b)).T @ x / 200**0.5
    dbeta = -(np.maximum(h, 0).T @ error).T / 200**0.5 - 0.3 * beta
    np.testing.assert_allclose(200**0.25 * moves[0], dw, atol=1e-13)
    np.testing.assert_allclose(200**0.25 * moves[1], dbeta, atol=1e-13)
    np.testing.assert_allclose(residual, error, atol=1e-13)


def test_without_decay_alignment_vanishes_with_the_width(measured):
    found = {p: cosines(twins(p, 0.0)) for p in (200, 800, 3200)}
    growth = {p: np.mean(cosine[:, -1] - cosine[:, 0]) for p, cosine in found.items()}
    for p, gained in growth.items():
        measured(36, f"no decay, p = {p}: sqrt(p) (cos(T) - cos(0))", p**0.5 * gained, below=4)
        assert gained > 0
    exponent = -np.polyfit(np.log(list(growth)), np.log(list(growth.values())), 1)[0]
    measured(36, "no decay: the gain falls as p to the minus", exponent, above=0.5)


def test_with_decay_the_read_out_turns_to_the_feedback(measured):
    gained = {}
    for p in (200, 800, 3200):
        cosine = cosines(twins(p, 0.3)).mean(axis=0)
        assert np.all(np.diff(cosine) > 0)
        gained[p] = cosine[-1] - cosine[0]
        bare = np.mean(cosines(twins(p, 0.0))[:, -1])
        measured(36, f"decay 0.3, p = {p}: mean cos(T)", cosine[-1], above=0.15)
        measured(
            36, f"decay 0.3, p = {p}: mean cos(T) over that without", cosine[-1] / bare, above=2
        )
    # Not ~ p^{-1/2}: at a fixed time a part is lost with the width, for W moves less.
    exponent = -np.polyfit(np.log(list(gained)), np.log(list(gained.values())), 1)[0]
    measured(36, "decay 0.3: the gain falls as p to the minus", exponent, below=0.4)


def test_law_of_the_steps(measured):
    """ReLU, Euler: Q_n - Q_0 = 1/2 eta^2 sum ||g_1||^2, to rounding; with decay not (control)."""
    for decay, bound in ((0.0, {"below": 1e-13}), (0.3, {"above": 1e-2})):
        twin = twins(200, decay)
        values, told = (np.asarray(part["layer-balance"]) for part in (twin.laws, twin.predicted))
        apart = np.abs(values - told).max() / np.abs(values).max()
        measured(36, f"Euler identity of b.beta - 1/2 ||W||^2, decay {decay:g}", apart, **bound)


def test_law_of_the_flow(measured):
    """p = 200, integrated over the kinks of ReLU: the law, and the cosine that it implies."""
    ours = problem(0, 200, 0.0)
    solution, scale = jax.device_get(flow(ours))
    decaying, _ = jax.device_get(flow(problem(0, 200, 0.3)))
    for found in (solution, decaying):
        assert Outcome(int(found.outcome)) is Outcome.COMPLETED
    law, size = solution.records["law"][:, 0], np.max(scale)
    measured(36, "flow, no decay: drift of b.beta - 1/2 ||W||^2", np.ptp(law) / size, below=1e-5)
    first, last = np.asarray(solution.records["norms"])[[0, -1]]
    inner = np.asarray(solution.records["alignment"]["inner"])[0, 0]
    b = np.linalg.norm(ours.feedback.matrices[0])
    implied = (inner + (last[0] ** 2 - first[0] ** 2) / 2) / (b * last[1])
    cosine = np.asarray(solution.records["alignment"]["cosine"])[-1, 0]
    assert cosine == pytest.approx(implied, abs=1e-5)
    twin = cosines(twins(200, 0.0))[0, -1]
    assert cosine == pytest.approx(twin, abs=0.01)
    moved = np.ptp(np.asarray(decaying.records["law"])[:, 0]) / size
    measured(36, "control: drift of the same with decay 0.3", moved, above=0.02)
