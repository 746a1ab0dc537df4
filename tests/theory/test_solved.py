"""The shipped exact solutions against SciPy, the equations' right-hand sides and quadrature.

Predictions 22, 29-31 (theory 3, 4.5, 6.12, 6.13).
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Flow, linear_map, to_problem, trajectory, velocity
from scipy.integrate import quad, solve_ivp
from test_linear_exact import fukumizu, saxe, setting

from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.networks import MLP
from faflow.rules import DirectFeedbackAlignment, FAStar, FeedbackAlignment, Gradient, KolenPollack
from faflow.solved import (
    SOLVED,
    AbstractSolvedWeights,
    DecoupledModes,
    FAStarOneRow,
    LambdaBalanced,
    UnsolvedError,
    WhitenedRows,
    exact_solution,
)
from faflow.solved.functions import cubic_rise, decay_integral
from faflow.tasks import make_data

TIMES = np.array([0.0, 0.03, 0.4, 1.1, 3.0])
NAMES = {"Gradient": "gradient", "FeedbackAlignment": "feedback-alignment"}


@eqx.filter_jit
def answers(solved, ts):
    return jax.vmap(solved.answer)(ts)


@eqx.filter_jit
def networks(solved, ts):
    return jax.vmap(solved.network)(ts)


def at(solved, ts):
    return np.asarray(answers(solved, jnp.asarray(ts, float)))


def as_flow(solved):
    """A shipped problem as the oracles state it."""
    problem = solved.problem
    arrays = lambda parts: tuple(np.array(part) for part in parts)  # noqa: E731
    return Flow(
        "shipped",
        arrays(problem.weights.weights),
        np.array(problem.data.inputs),
        np.array(problem.data.targets),
        arrays(problem.feedback.matrices),
        rule=NAMES[type(problem.rule).__name__],
        activation="linear",
    )


def readout(flow, w):
    """argmin_Z ||Y - X w^T Z^T||."""
    return np.linalg.lstsq(flow.inputs @ w.T, flow.targets, rcond=None)[0].T


def fa_star_maps(solved, ts):
    flow = as_flow(eqx.tree_at(lambda s: s.problem.rule, solved, FeedbackAlignment()))
    shape = flow.weights[0].shape

    def turn(t, flat):
        w = flat.reshape(shape)
        return velocity(replace(flow, weights=(w, readout(flow, w))))[0][0].ravel()

    path = solve_ivp(
        turn, (0, ts[-1]), flow.weights[0].ravel(), "DOP853", ts, rtol=1e-12, atol=1e-14
    )
    return np.stack([readout(flow, w.reshape(shape)) @ w.reshape(shape) for w in path.y.T])


def scipy_maps(solved, ts):
    if isinstance(solved, FAStarOneRow):
        return fa_star_maps(solved, ts)
    flow = as_flow(solved)
    return np.stack([linear_map(flow.at(state)) for state in trajectory(flow, ts)])


@pytest.mark.parametrize("name", SOLVED)
def test_shipped_answers_are_scipys(name):
    """SciPy at rtol 1e-12; controls: another draw's answer, and the answer at other times."""
    solved = SOLVED[name].draw(jax.random.key(3))
    ours, theirs = at(solved, TIMES), scipy_maps(solved, TIMES)
    size = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-11 * size)
    assert np.abs(at(solved, TIMES**1.1) - theirs).max() > 1e-3 * size
    assert np.abs(at(SOLVED[name].draw(jax.random.key(4)), TIMES) - theirs).max() > 0.1 * size


@pytest.mark.parametrize("name", [n for n, s in SOLVED.items() if issubclass(s, DecoupledModes)]
                         + ["whitened-rows"])  # fmt: skip
def test_known_weights_move_as_the_equations_say(name):
    """d/dt of the exact weights against the rule's field, in numpy: no integrator between."""
    solved = SOLVED[name].draw(jax.random.key(1))
    assert isinstance(solved, AbstractSolvedWeights)
    t = jnp.asarray(0.6)
    net, move = jax.jvp(solved.network, (t,), (jnp.ones_like(t),))
    flow = replace(as_flow(solved), weights=tuple(map(np.asarray, net.weights)))
    for ours, theirs in zip(move.weights, velocity(flow)[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())
    wrong = replace(flow, weights=(2 * flow.weights[0], flow.weights[1]))
    assert np.abs(np.asarray(move.weights[1]) - velocity(wrong)[0][1]).max() > 1e-3


@pytest.mark.parametrize("imbalance", [0.0, 0.8, -0.5])
def test_balanced_flow_is_the_integral_form(measured, imbalance):
    """Prediction 30: 5-3-4, against the formula by SciPy's expm (Van Loan's block)."""
    flow, ts = setting(imbalance), np.linspace(0.0, 2.0, 9)
    exact = np.stack([fukumizu(flow, imbalance, t) for t in ts])
    solved = exact_solution(to_problem(flow))
    assert isinstance(solved, LambdaBalanced)
    apart = np.abs(at(solved, ts) - exact).max()
    measured(30, f"shipped solution against expm, lam = {imbalance:g}", apart, below=1e-12)
    path = trajectory(flow, ts)
    maps = np.stack([linear_map(flow.at(state)) for state in path])
    apart = np.abs(at(solved, ts) - maps).max()
    measured(30, f"shipped solution against SciPy, lam = {imbalance:g}", apart, below=5e-11)
    gram = np.asarray(eqx.filter_jit(solved.gram)(ts[-1]))
    w1, w2 = flow.at(path[-1]).weights
    q = np.vstack([w1.T, w2])
    np.testing.assert_allclose(gram, q @ q.T, atol=1e-10)


@pytest.mark.parametrize(("widths", "imbalance"), [((3, 7, 2), 0.0), ((4, 2, 5), 0.3)])
def test_gram_blocks_move_as_the_equations_say(widths, imbalance):
    """(W_2 W_1)' = (S - W_2 W_1) W_1^T W_1 + W_2 W_2^T (S - W_2 W_1), at any width, at any time."""
    solved = LambdaBalanced.draw(jax.random.key(5), widths, 0.7, imbalance)
    n = widths[0]
    s = np.asarray(solved.problem.data.targets.T @ solved.problem.data.inputs)

    @jax.jit
    def rate(t):
        return jax.jvp(solved.gram, (t,), (jnp.ones_like(t),))

    for t in (0.1, 0.5, 4.0):
        gram, move = map(np.asarray, rate(jnp.asarray(t)))
        rest = s - gram[n:, :n]
        expected = rest @ gram[:n, :n] + gram[n:, n:] @ rest
        np.testing.assert_allclose(move[n:, :n], expected, atol=1e-11)
        np.testing.assert_allclose(np.trace(gram[n:, n:]) - np.trace(gram[:n, :n]),
                                   imbalance * widths[1], atol=1e-11)  # fmt: skip
    assert np.abs(move - rate(jnp.asarray(0.5))[1]).max() > 1e-3  # control: not one number for all


@pytest.mark.parametrize("imbalance", [0.0, 0.4, -0.4])
@pytest.mark.parametrize("t", [50.0, 1e4, 1e8])
def test_long_times_end_at_the_best_rank(imbalance, t):
    """e^{Mt} overflows from t = 200 on; the map is S cut at rank n_1 (Eckart & Young) all the same.

    Also where S, and so M, is singular: rank 2 of widths 5-3-4.
    """
    for rank in (4, 2):
        rng = np.random.default_rng(rank)
        flow = setting(imbalance)
        s = 3 * rng.standard_normal((4, rank)) @ rng.standard_normal((rank, 5))
        flow = replace(flow, targets=flow.inputs @ s.T)
        u, singular, vt = np.linalg.svd(s)
        kept = min(rank, 3)
        best = (u[:, :kept] * singular[:kept]) @ vt[:kept]
        found = at(exact_solution(to_problem(flow)), [t])[0]
        # Of rank 2 the weights' third mode has no target: its map dies as 1/t or e^{-|lam| t}.
        slow = (np.exp(-abs(imbalance) * t) if imbalance else 1 / t) if rank == 2 else 0.0
        assert np.abs(found - best).max() < slow + 1e-11
        assert np.all(np.isfinite(found))


def test_a_mode_that_the_weights_lack_is_never_learned():
    """Weights orthogonal to the strongest mode stay so: no rounding error may grow into it."""
    rng = np.random.default_rng(8)
    left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in (4, 5))
    s = (left[:, :3] * np.array([5.0, 2.0, 1.0])) @ right[:, :3].T
    flow = setting(0.0)
    middle = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    root = np.sqrt([0.2, 0.3, 0.0])
    # Modes 2 and 3, mixed, so that the weights see both from every hidden direction.
    mix = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    frames = [side[:, 1:3] @ mix for side in (left, right)]
    high, low = ((frame * root[:2]) @ middle[:, :2].T for frame in frames)
    flow = replace(flow, weights=(low.T, high), targets=flow.inputs @ s.T)
    solved = exact_solution(to_problem(flow))
    reduced = (left[:, 1:3] * np.array([2.0, 1.0])) @ right[:, 1:3].T
    np.testing.assert_allclose(at(solved, [30.0, 3e3]), np.stack([reduced] * 2), atol=1e-12)
    ts = np.array([0.0, 0.5, 1.5])
    states = trajectory(flow, ts)
    maps = np.stack([linear_map(flow.at(state)) for state in states])
    np.testing.assert_allclose(at(solved, ts), maps, atol=1e-11)


def test_decoupled_modes_follow_saxe(measured):
    """Prediction 31: several modes at once, through rotations; 2.9944987480 among them."""
    solved = DecoupledModes.draw(jax.random.key(0))
    ts = np.linspace(0.0, 2.0, 9)
    modes = np.asarray(jax.vmap(solved.modes)(jnp.asarray(ts)))
    curves = saxe(np.array([3.0, 2.0, 0.5]), np.array([0.01, 0.02, 0.9]), ts[:, None])
    measured(31, "shipped modes against the formula", np.abs(modes - curves).max(), below=1e-14)
    assert modes[-1, 0] == pytest.approx(2.9944987480, abs=1e-10)
    apart = np.abs(at(solved, ts) - scipy_maps(solved, ts)).max()
    measured(31, "map of three modes against SciPy", apart, below=1e-11)
    # The general solution knows this flow too.
    np.testing.assert_allclose(
        at(LambdaBalanced.of(solved.problem), ts), at(solved, ts), atol=1e-12
    )
    half = np.asarray(jax.vmap(solved.modes)(jnp.asarray(ts / 2)))
    measured(31, "control: without the factor 2", np.abs(half - curves).max(), above=0.5)


def test_modes_without_a_target_or_at_rest():
    """s = 0: a_0 / (1 + 2 a_0 t); a_0 = 0: stays; a_0 = s: stays; and no overflow at t = 1e6."""
    solved = DecoupledModes.draw(jax.random.key(0), (4, 3, 3), (0.0, 2.0, 1.5), (0.4, 0.0, 1.5))
    for t in (0.0, 0.7, 1e6):
        np.testing.assert_allclose(solved.modes(t), [0.4 / (1 + 0.8 * t), 0.0, 1.5], rtol=1e-14)


def test_whitened_rows_by_quadrature(measured):
    """t = int_0^sigma ds / (u - 1/2 ||b||^2 s^3) (theory 3); limit and rate of prediction 22."""
    solved = WhitenedRows.draw(jax.random.key(2))
    x, y = (np.asarray(part) for part in (solved.problem.data.inputs, solved.problem.data.targets))
    b2 = float(np.sum(np.asarray(solved.problem.feedback.matrices[0]) ** 2))
    u = float(np.linalg.norm(x.T @ y))
    top = (2 * u / b2) ** (1 / 3)
    for share in (1e-6, 0.02, 0.5, 0.95, 0.999999):
        t = quad(lambda s: 1 / (u - b2 * s**3 / 2), 0, share * top, epsabs=0, epsrel=1e-13)[0]
        assert float(solved.sigma(t)) == pytest.approx(share * top, rel=1e-12)
    assert float(solved.limit) == pytest.approx(top, rel=1e-14)
    assert float(solved.rate) == pytest.approx(1.5 * 2 ** (2 / 3) * (b2**0.5 * u) ** (2 / 3))
    late = np.array([8.0, 9.0]) / float(solved.rate)
    path = trajectory(as_flow(solved), np.array([0.0, *late]))
    gaps = [
        1 - np.linalg.norm(as_flow(solved).at(s).weights[0]) / (top * b2**0.5) for s in path[1:]
    ]
    slope = -np.log(gaps[1] / gaps[0]) * float(solved.rate)
    measured(22, "whitened rows: late slope over its rate - 1",
             abs(slope / float(solved.rate) - 1), below=2e-3)  # fmt: skip
    measured(22, "control: a third of the rate", abs(3 * slope / float(solved.rate) - 1), above=0.5)


def test_scaled_data_only_rescale():
    """c and the data's weight, for every recognised kind: X -> 2 X, mean instead of sum."""
    for name in ("lambda-balanced", "whitened-rows", "fa-star-one-row"):
        solved = SOLVED[name].draw(jax.random.key(6))
        old = solved.problem
        data = make_data(2 * np.asarray(old.data.inputs), old.data.targets, "squared", "mean")
        scaled = exact_solution(FlowProblem(old.rule, old.weights, old.feedback, data))
        samples = len(data.inputs)
        plain = FlowProblem(old.rule, old.weights, old.feedback,
                            make_data(data.inputs, data.targets))  # fmt: skip
        summed = exact_solution(plain)
        ours = at(scaled, TIMES)
        np.testing.assert_allclose(ours, at(summed, TIMES / samples), atol=1e-13)
        np.testing.assert_allclose(
            ours, scipy_maps(summed, TIMES / samples), atol=2e-11 * np.abs(ours).max()
        )
        assert np.abs(ours - at(solved, TIMES)).max() > 1e-2


def test_direct_feedback_of_one_hidden_layer_is_the_same():
    solved = WhitenedRows.draw(jax.random.key(2))
    old = solved.problem
    direct = Feedback(old.feedback.matrices, "direct")
    other = exact_solution(FlowProblem(DirectFeedbackAlignment(), old.weights, direct, old.data))
    np.testing.assert_array_equal(at(other, TIMES), at(solved, TIMES))


def test_functions_of_the_closed_forms():
    np.testing.assert_allclose(decay_integral(jnp.array([0.0, 1e-12, 2.0, 1e4]), 3.0),
                               [3.0, 3.0, (1 - np.exp(-6)) / 2, 1e-4], rtol=1e-11)  # fmt: skip
    for x in (0.0, 1e-9, 0.3, 1 - 1e-6):
        tau = quad(lambda s: 1 / (1 - s**3), 0, x, epsabs=0, epsrel=1e-12)[0] if x else 0.0
        assert float(cubic_rise(jnp.asarray(tau))) == pytest.approx(x, rel=1e-12)
    assert float(cubic_rise(jnp.asarray(1e5))) == 1.0


# ---- what is not solved --------------------------------------------------------------------------


def unsolved(rule=None, weights=None, biases=(), activation="linear", loss="squared", x=None):
    """The gold problem with one thing changed."""
    flow = setting(0.0)
    flow = replace(flow, biases=biases, activation=activation, loss=loss,
                   weights=flow.weights if weights is None else weights,
                   inputs=flow.inputs if x is None else x)  # fmt: skip
    problem = to_problem(flow)
    back = Feedback((jnp.ones((4, 3)),), "layerwise")
    return problem if rule is None else FlowProblem(rule, problem.weights, back, problem.data)


LOW, HIGH = setting(0.0).weights
CASES = {
    "three layers": (unsolved(weights=(LOW, np.eye(3), HIGH)), "two linear layers"),
    "biases": (unsolved(biases=(np.zeros(3), np.zeros(4))), "without biases"),
    "relu": (unsolved(activation="relu"), "linear"),
    "logcosh": (unsolved(loss="logcosh"), "squared loss"),
    "not whitened": (unsolved(x=np.random.default_rng(0).standard_normal((8, 5))), "features"),
    "not balanced": (unsolved(weights=(LOW, 1.5 * HIGH)), "lambda-balanced"),
    "another rule": (unsolved(rule=KolenPollack()), "KolenPollack"),
    "outputs": (unsolved(rule=FeedbackAlignment()), "one output"),
    "hidden units": (unsolved(rule=FAStar()), "one hidden unit"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_said(case):
    problem, word = CASES[case]
    with pytest.raises(UnsolvedError, match=word) as caught:
        exact_solution(problem)
    assert isinstance(caught.value, ValueError) and "\n" not in str(caught.value)
    assert caught.value.need in str(caught.value)


ROWS = WhitenedRows.draw(jax.random.key(0)).problem
CASES_OF_ROWS = {
    "zero weights": (lambda p: p.weights.weights[1], jnp.ones((1, 6))),
    r"X X\^T": (lambda p: p.data.inputs, ROWS.data.inputs.at[0, 0].set(3.0)),
    "not zero": (lambda p: p.feedback.matrices[0], jnp.zeros((1, 6))),
}


@pytest.mark.parametrize("word", CASES_OF_ROWS)
def test_whitened_rows_say_what_is_missing(word):
    with pytest.raises(UnsolvedError, match=word):
        exact_solution(eqx.tree_at(CASES_OF_ROWS[word][0], ROWS, CASES_OF_ROWS[word][1]))


def test_another_solution_is_not_taken_by_mistake():
    for name, other in (("whitened-rows", LambdaBalanced), ("lambda-balanced", WhitenedRows),
                        ("lambda-balanced", FAStarOneRow)):  # fmt: skip
        with pytest.raises(UnsolvedError, match="needs the rule"):
            other.of(SOLVED[name].draw(jax.random.key(0)).problem)
    with pytest.raises(ValueError, match="strengths"):
        DecoupledModes.draw(jax.random.key(0), strengths=(1.0,))
    zero = FAStarOneRow.draw(jax.random.key(0)).problem
    zero = eqx.tree_at(lambda p: p.weights, zero, MLP((jnp.zeros((1, 6)), jnp.zeros((7, 1)))))
    with pytest.raises(UnsolvedError, match="not zero"):
        exact_solution(zero)
    assert isinstance(zero.rule, FAStar) and not isinstance(zero.rule, Gradient)
