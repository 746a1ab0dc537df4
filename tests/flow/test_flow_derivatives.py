"""Derivatives of flows: forward, backward, central differences at rtol 1e-12 and closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import Exact, FlowProblem, Numerics, Stops, integrate, solve
from faflow.flow.sensitivity import reverse
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss, linear_map
from faflow.rules import FeedbackAlignment
from faflow.solved import SOLVED, DecoupledModes
from faflow.tasks import make_data
from faflow.wide import WideFeedbackAlignment, deep_linear

RNG = np.random.default_rng(0)
TS = jnp.asarray([0.0, 1.0, 2.0, *np.linspace(2.9, 3.0, 22)])  # far from each other, and close
SEEN = jnp.asarray(RNG.normal(size=TS.size))


def drawn(*shape):
    return jnp.asarray(RNG.normal(size=shape))


PROBLEM = FlowProblem(
    FeedbackAlignment(),
    MLP((drawn(4, 3) / 2, drawn(2, 4) / 2), activation=ACTIVATIONS["tanh"]()),
    Feedback((drawn(2, 4),), "layerwise"),
    make_data(drawn(5, 3), drawn(5, 2)),
)
ARRAYS, REST = eqx.partition(PROBLEM, eqx.is_inexact_array)
WAY = jax.tree.map(lambda leaf: drawn(*leaf.shape), ARRAYS)  # everything moves
TIMES_WAY = 0.3 * drawn(TS.size)


def flowed(arrays, ts, door=solve, **numerics):
    return door(eqx.combine(arrays, REST), ts, {"loss": Loss()}, Numerics(**numerics))


def seen(arrays, ts, door=solve, **numerics):
    """A number that every save, the end and its time have a part in."""
    flow = flowed(arrays, ts, door, **numerics)
    return number(flow.records["loss"], flow.weights.weights[0], flow.t_final)


@jax.jit
def number(loss, first, t_final):
    return SEEN @ loss + jnp.sum(jnp.sin(first)) + 0.3 * t_final


def moved(s):
    add = lambda leaf, way: jnp.asarray(np.asarray(leaf) + s * np.asarray(way))  # noqa: E731
    at, ts = jax.tree.map(add, ARRAYS, WAY), add(TS, TIMES_WAY)
    return float(seen(at, ts, integrate, solver="dopri8", rtol=1e-12, atol=1e-14))


@pytest.fixture(scope="module")
def central():
    """By Richardson's extrapolation."""
    near, far = ((moved(h) - moved(-h)) / (2 * h) for h in (1e-4, 2e-4))
    return (4 * near - far) / 3


def forward(door=integrate, **numerics):
    call = lambda arrays, ts: seen(arrays, ts, door, **numerics)  # noqa: E731
    return float(jax.jvp(call, (ARRAYS, TS), (WAY, TIMES_WAY))[1])


@pytest.mark.parametrize(
    ("solver", "rtol", "within"),
    [
        ("auto", 1e-9, 1e-7),
        ("tsit5", 1e-9, 1e-7),
        ("heun", 1e-6, 1e-4),
        ("bdf", 1e-8, 1e-5),
        ("adams", 1e-9, 1e-6),
        ("gauss4", 1e-9, 1e-7),
        ("rkc2", 1e-6, 1e-2),
        ("kvaerno5", 1e-8, 1e-6),
    ],
)
def test_forward_by_every_kind_of_solver(central, solver, rtol, within):
    """With respect to weights, feedback, data and times at once."""
    assert abs(forward(solver=solver, rtol=rtol) / central - 1) < within


def test_steps_may_be_held_to_the_derivative(central):
    """At a loose tolerance they take more steps then, and the derivative is better."""
    loose = {"solver": "tsit5", "rtol": 1e-3, "atol": 1e-5}
    free, held = (forward(sensitivities=way, **loose) for way in ("free", "controlled"))
    assert abs(held - central) < abs(free - central)
    # Free: the steps, and with them the flow, are those of the flow without a derivative.
    call = lambda arrays, ts: flowed(arrays, ts, integrate, **loose)  # noqa: E731
    plain = call(ARRAYS, TS)
    beside = jax.jvp(call, (ARRAYS, TS), (WAY, TIMES_WAY))[0]
    assert int(plain.counts.accepted) == int(beside.counts.accepted)
    np.testing.assert_allclose(beside.records["loss"], plain.records["loss"], rtol=1e-13)


BACKWARDS = {"adjoint": "checkpointed", "solver": "tsit5"}


def backward(arrays, ts, **numerics):
    numerics = BACKWARDS | numerics
    return jax.grad(lambda a, ts: seen(a, ts, **numerics), argnums=(0, 1))(arrays, ts)


@pytest.fixture(scope="module")
def gradient():
    return backward(ARRAYS, TS)


def against(gradient, way):
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True)
    return float(sum(np.vdot(a, b) for a, b in pairs))


def test_backward_is_forward_transposed(gradient, central):
    """To rounding: both are derivatives of the same steps."""
    both = against(gradient, (WAY, TIMES_WAY))
    np.testing.assert_allclose(both, forward(solver="tsit5"), rtol=1e-12)
    np.testing.assert_allclose(both, central, rtol=1e-7)


def test_gradients_under_vmap_are_those_one_by_one():
    """Members whose steps are others (Kidger 2021, section 5.1.2, has what can go wrong)."""
    sizes, back = np.array([0.5, 1.0, 2.0]), np.asarray(ARRAYS.feedback.matrices[0])

    def slope(matrix):
        scaled = eqx.tree_at(lambda a: a.feedback.matrices[0], ARRAYS, matrix)
        return backward(scaled, TS)[0].feedback.matrices[0]

    scaled = sizes[:, None, None] * back
    together, alone = jax.jit(jax.vmap(slope))(scaled), np.stack([slope(one) for one in scaled])
    together, alone = ((np.asarray(found) * back).sum(axis=(1, 2)) for found in (together, alone))
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    assert np.ptp(alone) > 0.1


def test_backward_against_time(gradient):
    """The adjoint equation finds the same between close saves, and loses digits between far ones,
    as a flow that forgets its past must."""
    errors, close = [], jnp.asarray(np.linspace(0.0, 3.0, TS.size))
    for ts, found in ((close, backward(ARRAYS, close)), (TS, gradient)):
        other = backward(ARRAYS, ts, adjoint="backsolve")
        other, exact = (np.asarray(one[0].feedback.matrices[0]) for one in (other, found))
        errors.append(np.linalg.norm(other - exact) / np.linalg.norm(exact))
    assert errors[0] < 1e-6 and errors[1] > 100 * errors[0], errors


def test_more_steps_than_there_is_room_for(monkeypatch, gradient):
    """They are taken again in parts, more than 7 of them from each of 2 marks between saves."""
    monkeypatch.setattr("faflow.flow.sensitivity.checkpointed.MOST", 7)
    monkeypatch.setattr("faflow.flow.sensitivity.checkpointed.MARKS", 2)
    rooms, room_for = [], reverse.room_for
    watched = lambda *given: rooms.append(room_for(*given)) or rooms[-1]  # noqa: E731
    monkeypatch.setattr(reverse, "room_for", watched)
    plain = flowed(ARRAYS, TS, integrate, solver="tsit5")
    assert np.max(np.diff(plain.counts_at.accepted)) > 14
    # An option that this flow has no use for, static: what was traced before does not serve it.
    found = jax.grad(lambda a: seen(a, TS, **BACKWARDS, exact=Exact(slots=7)))(ARRAYS)
    assert rooms and {(len(room.states), len(room.marks)) for room in rooms} == {(8, 3)}
    np.testing.assert_allclose(
        found.feedback.matrices[0], gradient[0].feedback.matrices[0], rtol=1e-12
    )


def test_all_directions_are_one_flow(central):
    """`jacfwd`, and a second derivative as forward over forward."""
    back = ARRAYS.feedback.matrices[0]

    def loss(back):
        arrays = eqx.tree_at(lambda a: a.feedback.matrices[0], ARRAYS, back)
        return flowed(arrays, TS, integrate).records["loss"][-1]

    jacobian = jax.jacfwd(loss)(back)
    way = WAY.feedback.matrices[0]
    along = lambda back: jax.jvp(loss, (back,), (way,))[1]  # noqa: E731
    np.testing.assert_allclose(np.vdot(jacobian, way), along(back), rtol=1e-10)
    twice = jax.jit(lambda back: jax.jvp(along, (back,), (way,))[1])(back)
    right, left = (np.asarray(along(back + s * np.asarray(way))) for s in (1e-4, -1e-4))
    np.testing.assert_allclose(twice, (right - left) / 2e-4, rtol=1e-5)


mapped = jax.jit(linear_map)


def solved_moves(name):
    """The problem and its answer at t = 1.5 as functions of a number that moves both."""
    solved = SOLVED[name].draw(jax.random.key(0))
    if isinstance(solved, DecoupledModes):  # its modes move, so that they stay decoupled
        x, way = solved.problem.data.inputs, drawn(*solved.strengths.shape)
        to = x @ (solved.right * way[None, :]) @ solved.left.T
        answer = lambda s: answered(  # noqa: E731
            eqx.tree_at(lambda f: f.strengths, solved, solved.strengths + s * way)
        )
    else:
        to, answer = drawn(*solved.problem.data.targets.shape), None
    backs = solved.problem.feedback.matrices
    ways = jax.tree.map(lambda f: drawn(*f.shape), backs)

    def moved(s):
        there = eqx.tree_at(
            lambda p: p.data.targets, solved.problem, solved.problem.data.targets + s * to
        )
        if not backs:
            return there
        return eqx.tree_at(
            lambda p: p.feedback.matrices, there,
            jax.tree.map(lambda f, way: f + s * way, backs, ways),
        )  # fmt: skip

    moved = jax.jit(moved)
    return moved, answer or (lambda s: answered(SOLVED[name].of(moved(s))))


@eqx.filter_jit
def answered(solved):
    return solved.answer(1.5)


@pytest.mark.parametrize("name", SOLVED)
def test_solved_flows(name):
    """The map at a time, by targets and feedback, as its closed form. Half of them backward, which
    is the same to rounding."""
    moved, answer = solved_moves(name)

    def product(s, **numerics):
        how = Numerics(solver="tsit5", rtol=1e-10, atol=1e-12, **numerics)
        return mapped(integrate(moved(s), np.array([0.0, 1.5]), {}, how).weights)

    at = {s: np.asarray(answer(s)) for s in (1e-3, -1e-3, 2e-3, -2e-3)}
    near, far = ((at[h] - at[-h]) / (2 * h) for h in (1e-3, 2e-3))
    exact = (4 * near - far) / 3
    assert np.linalg.norm(exact) > 0.1
    if name in ("decoupled-modes", "whitened-rows"):
        back = jax.vjp(lambda s: product(s, adjoint="checkpointed"), 0.0)[1]
        seen = drawn(*exact.shape)
        np.testing.assert_allclose(back(seen)[0], np.vdot(seen, exact), rtol=1e-7)
    else:
        found = jax.jvp(product, (0.0,), (1.0,))[1]
        np.testing.assert_allclose(found, exact, rtol=1e-7, atol=1e-8)


def test_wide_nets_by_the_alignment_of_their_feedback():
    """d loss / d rho of infinitely wide deep linear nets, a number of the rule. Lazy ones have
    e' = -(1 + rho) K e, K = X X^T / features; rich ones no closed form, so central differences."""
    data = make_data(RNG.normal(size=(3, 4)), RNG.normal(size=(3, 1)))

    @eqx.filter_jit
    def problem(rho, richness):
        limit = deep_linear(1, rho, richness)
        return FlowProblem(WideFeedbackAlignment(limit), limit.start(4), Feedback(), data)

    def loss(rho, richness=1.0, **numerics):
        how, seen = Numerics(**numerics), {"loss": Loss()}
        return integrate(problem(rho, richness), np.array([0.0, 1.5]), seen, how).records["loss"][1]

    exact = {"solver": "tsit5", "rtol": 1e-12, "atol": 1e-14}
    near, far = ((loss(0.3 + h, **exact) - loss(0.3 - h, **exact)) / (2 * h) for h in (1e-3, 2e-3))
    found = jax.jvp(loss, (0.3,), (1.0,))[1]
    np.testing.assert_allclose(found, (4 * near - far) / 3, rtol=1e-8)
    assert float(found) < 0  # aligned feedback learns faster
    back = jax.jit(jax.grad(lambda *at: loss(*at, adjoint="checkpointed", **exact)))
    np.testing.assert_allclose(back(0.3, 1.0), (4 * near - far) / 3, rtol=1e-8)
    inputs, targets = np.asarray(data.inputs), np.asarray(data.targets)[:, 0]
    rates, frame = np.linalg.eigh(inputs @ inputs.T / 4)
    lazy = -np.sum(1.5 * rates * np.exp(-2 * 1.3 * rates * 1.5) * (frame.T @ targets) ** 2)
    np.testing.assert_allclose(back(0.3, 1e-4), lazy, rtol=1e-6)


def reached(save):
    return float(np.asarray(flowed(ARRAYS, TS, integrate, solver="tsit5").records["loss"])[save])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: jax.grad(lambda a: seen(a, TS))(ARRAYS), "must name an `adjoint`"),
        (
            lambda: jax.jvp(lambda r: seen(ARRAYS, TS, rtol=r), (1e-8,), (1.0,)),
            "must stand still under a derivative",
        ),
        (lambda: forward(max_steps=5), "ended at t = "),
        (lambda: forward(stops=Stops(loss=reached(1))), "reached the loss"),
        (
            lambda: jax.grad(lambda a: seen(a, TS, adjoint="checkpointed", solver="bdf"))(ARRAYS),
            "the solver is bdf",
        ),
        (
            lambda: jax.grad(lambda a: seen(a, TS, **BACKWARDS, project=True))(ARRAYS),
            "must not project",
        ),
    ],
)
def test_what_has_no_derivative_is_said_in_one_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_within_a_program_an_early_end_has_no_number():
    gone = jax.jit(
        lambda a: jax.jvp(
            lambda a: flowed(a, TS, max_steps=5, solver="heun").weights.weights[0], (a,), (WAY,)
        )[1]
    )(ARRAYS)
    assert np.all(np.isnan(gone))
    back = jax.jit(jax.grad(lambda a: seen(a, TS, max_steps=5, **BACKWARDS)))(ARRAYS)
    assert all(np.all(np.isnan(slope)) for slope in jax.tree.leaves(back))


def test_a_kink_is_refused():
    kinked = MLP(PROBLEM.weights.weights, activation=ACTIVATIONS["relu"]())
    with pytest.raises(ValueError, match="across_kinks"):
        jax.jvp(
            lambda back: solve(
                FlowProblem(
                    FeedbackAlignment(), kinked, Feedback((back,), "layerwise"), PROBLEM.data
                ),
                TS, {}, Numerics(solver="heun"),
            ).t_final,
            PROBLEM.feedback.matrices, WAY.feedback.matrices,
        )  # fmt: skip
