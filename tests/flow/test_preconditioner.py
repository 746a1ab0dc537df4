"""The rule's kernel as a preconditioner: its parts by autodiff, the inverse at a solution, fewer
products on a flow, and states that could spoil it."""

import dataclasses
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate, solve
from faflow.flow.loop import ways
from faflow.flow.loop.flat import FlatProblem
from faflow.flow.loop.multistep import flat_field
from faflow.flow.loop.preconditioner import KernelInverse, Preconditioner, has_preconditioner
from faflow.flow.loop.ways import factored_share, way_of
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import (
    RULES,
    DirectFeedbackAlignment,
    Momentum,
    as_matrix,
    driven_by,
    effective_kernel,
    kernel_of,
    layer_rows,
    outputs_move,
    weight_velocity,
    with_error,
)
from faflow.solvers import BDF
from faflow.tasks import make_data

WIDTHS = (8, 30, 30, 1)
KINDS = ("gradient", "feedback-alignment", "direct-feedback-alignment", "uniform-sign-symmetry")


def problem(
    kind: str = "feedback-alignment",
    widths: tuple[int, ...] = (6, 30, 1),
    samples: int = 8,
    *,
    biases: bool = False,
    loss: str = "squared",
    activation: str = "tanh",
    copies: int = 0,
) -> FlowProblem:
    rng = np.random.default_rng(1)
    pairs = list(itertools.pairwise(widths))
    weights = tuple(jnp.asarray(rng.normal(size=(o, i)) / i**0.5) for i, o in pairs)
    shifts = tuple(jnp.asarray(0.3 * rng.normal(size=o)) for _, o in pairs) if biases else ()
    net = MLP(weights, shifts, ACTIVATIONS[activation]())
    form = "direct" if kind == "direct-feedback-alignment" else "layerwise"
    shapes = [(widths[-1], o) for _, o in pairs[:-1]] if form == "direct" else [
        (o, i) for i, o in pairs[1:]]  # fmt: skip
    back = tuple(jnp.asarray(rng.normal(size=shape) / shape[1] ** 0.5) for shape in shapes)
    x = rng.normal(size=(samples, widths[0]))
    y = np.sin(x @ rng.normal(size=(widths[0], widths[-1])))
    y = np.eye(widths[-1])[np.argmax(y, axis=1)] if loss == "cross-entropy" else y
    x, y = np.concatenate([x, x[:copies]]), np.concatenate([y, y[:copies]])
    feedback = Feedback(() if kind in ("gradient", "uniform-sign-symmetry") else back, form)
    return FlowProblem(RULES[kind](), net, feedback, make_data(x, y, loss, "mean"))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_those_of_the_field(kind: str, biases: bool) -> None:
    """J_f dW against jvp, A e against the field under a given error, K against its columns."""
    one = problem(kind, (4, 5, 3, 2), 6, biases=biases)
    rule, net, feedback, data = one.rule, one.weights, one.feedback, one.data
    rng = np.random.default_rng(2)
    moves = jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape)), net)
    error = jnp.asarray(rng.normal(size=data.targets.shape))

    @jax.jit
    def both():
        rows = layer_rows(rule, net, feedback, data)
        _, truly = jax.jvp(data.outputs, (net,), (moves,))
        field = weight_velocity(rule, net, feedback, with_error(data, error))[0]
        ours = outputs_move(rows, moves), driven_by(rows, error, net), kernel_of(rows, biases)
        whole = as_matrix(effective_kernel(rule, net, feedback, data))
        return ours, (truly, field, whole)

    ours, theirs = both()
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-13)


@eqx.filter_jit
def at_start(one: FlowProblem, c: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """P^{-1} and J as matrices, and how old the inverse of the kernel is."""
    _, jacobian, y = flat_field(one)
    maker = Preconditioner(FlatProblem(one))
    inverse: KernelInverse = maker._renewed(maker.nothing_yet(c), y, c)
    ours = jax.vmap(maker.of(inverse), out_axes=1)(jnp.eye(y.size))
    return ours, jacobian(jnp.zeros(()), y), inverse.age


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("copies", [0, 4])
def test_it_is_the_inverse_where_the_error_moves_nothing_else(loss: str, copies: int) -> None:
    """With targets that are met J is A H J_f; P^{-1} against the inverse of 1 - c J by numpy, also
    where samples stand twice, so that K is singular. Away from there it is not the inverse."""
    widths = (4, 6, 2) if loss == "cross-entropy" else (4, 6, 1)
    far = problem("feedback-alignment", widths, 7, loss=loss, copies=copies)
    meets = jax.nn.softmax if loss == "cross-entropy" else lambda outputs: outputs
    met = jax.jit(lambda: meets(far.data.outputs(far.weights)))()
    near = dataclasses.replace(far, data=make_data(far.data.inputs, met, loss, "mean"))
    for one, exact in ((near, True), (far, False)):
        c = 1e3
        ours, bend, age = map(np.asarray, at_start(one, np.asarray(c)))
        eye = np.eye(len(bend))
        off = np.max(np.abs(ours @ (eye - c * bend) - eye))
        assert (off < 1e-7) == exact
        assert int(age) == 0


def ends(one: FlowProblem, numerics: Numerics) -> Any:
    return solve(one, jnp.asarray([0.0, 300.0]), {}, numerics)


shared = eqx.filter_jit(ends)  # one program for all flows of the same shapes
bare = eqx.filter_jit(lambda *given: ends(*given))


def flown(one: FlowProblem, rtol: float = 1e-6, solver: str = "bdf-krylov", by=shared) -> Any:
    return by(one, Numerics(solver=solver, rtol=rtol, atol=rtol / 100))


def test_a_flow_takes_half_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    one = problem(widths=WIDTHS, samples=24)
    assert has_preconditioner(one)
    with_it = flown(one)
    monkeypatch.setattr(ways, "has_preconditioner", lambda one: False)
    monkeypatch.setattr(ways, "directions_of", lambda problem, size: 0)
    without = flown(one, by=bare)
    work, more = with_it.counts.implicit, without.counts.implicit
    assert int(work.products) <= 4 * int(work.iterations)
    assert 2 * int(work.products) <= int(more.products)
    assert int(work.factorisations) > 0 == int(more.factorisations)
    explicit = flown(one, 1e-9, "tsit5")
    for each in (with_it, without):
        for mine, other in zip(
            jax.tree.leaves(each.weights), jax.tree.leaves(explicit.weights), strict=True
        ):
            np.testing.assert_allclose(mine, other, atol=2e-5)


def test_feedback_that_points_away_and_copies_spoil_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """K is indefinite where the feedback is far from the weights, and singular with samples that
    stand twice: as exact, and at most a product a system more than without it."""
    one = problem(widths=WIDTHS, samples=20, copies=4)
    assert has_preconditioner(one)
    back = tuple(-matrix for matrix in one.weights.weights[1:])
    one = dataclasses.replace(one, feedback=Feedback(back, "layerwise"))
    ours, explicit = flown(one), flown(one, 1e-9, "tsit5")
    for mine, other in zip(
        jax.tree.leaves(ours.weights), jax.tree.leaves(explicit.weights), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=2e-4)
    monkeypatch.setattr(ways, "has_preconditioner", lambda one: False)
    monkeypatch.setattr(ways, "directions_of", lambda problem, size: 0)
    work, more = ours.counts.implicit, flown(one, by=bare).counts.implicit
    assert int(work.factorisations) > 0 == int(more.factorisations)
    assert int(work.products) <= int(more.products) + int(work.iterations)


def test_one_that_would_not_fit_is_left_out_and_its_size_told() -> None:
    """Both sides of the limit of 1,000; two matrices of 8 bytes an entry."""
    size = lambda one: sum(w.size for w in jax.tree.leaves(one.weights))  # noqa: E731
    wide = {n: problem(widths=(3, 2, 1000), samples=n) for n in (1, 2)}
    told = {n: way_of(one, BDF("krylov"), size(one)) for n, one in wide.items()}
    assert not told[2].preconditioned and not has_preconditioner(wide[2])
    assert "too large to be inverted, 2000 x 2000 (64 MB)" in told[2].told
    assert "too large" not in told[1].told and "more than it saves" in told[1].told
    served = problem(widths=WIDTHS, samples=24)
    way = way_of(served, BDF("krylov"), size(served))
    assert way.preconditioned and "kernel, 24 x 24" in way.told


def test_a_jacobian_is_factored_where_that_is_counted_cheaper() -> None:
    """By the formula of `ways`, worked out by hand: 4-40-1 with biases has 241 weights. With N
    samples products cost 2.8 N (3 n + 250 u), u = 41, a factor 20 n^2 + 0.13 n^3 + N n^2 / 16."""
    weights = 241
    for samples, cheaper in ((20, False), (2000, True)):
        one = problem("gradient", (4, 40, 1), samples, biases=True, activation="softplus")
        theirs = 2.8 * samples * (3 * weights + 250 * 41)
        ours = 20 * weights**2 + 0.13 * weights**3 + samples * weights**2 / 16
        np.testing.assert_allclose(factored_share(one), ours / theirs, rtol=1e-12)
        assert way_of(one, BDF(), weights).factored == cheaper
        assert not way_of(one, BDF("krylov"), weights).factored
        assert way_of(one, BDF("dense"), weights).factored
    momentum = dataclasses.replace(one, rule=Momentum(RULES["gradient"](), 1.0))
    assert not way_of(momentum, BDF(), 2 * weights).factored  # its Jacobian comes by columns


def test_a_flow_that_is_factored_at_once_takes_no_product_and_says_so() -> None:
    one = problem("gradient", (3, 33, 1), 600, biases=True)
    assert sum(w.size for w in jax.tree.leaves(one.weights)) > 128
    ts, numerics = jnp.asarray([0.0, 3.0]), Numerics(solver="bdf", rtol=1e-5, atol=1e-7)
    ours = integrate(one, ts, {}, numerics)
    assert int(ours.counts.implicit.products) == 0 < int(ours.counts.implicit.jacobians)
    (leg,) = ours.legs
    assert leg.solver == "bdf" and "a factored Jacobian, 166 x 166" in leg.reason
    exact = integrate(one, ts, {}, Numerics(solver="dopri8", rtol=1e-10, atol=1e-12))
    assert exact.legs == ()
    for mine, other in zip(
        jax.tree.leaves(ours.weights), jax.tree.leaves(exact.weights), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-4)


def test_where_it_does_not_pay_there_is_none() -> None:
    assert not has_preconditioner(problem(samples=200))  # the inverse is dearer than products
    assert not has_preconditioner(problem(activation="linear"))  # whose field is cheaper yet
    momentum = dataclasses.replace(problem(), rule=Momentum(RULES["feedback-alignment"](), 1.0))
    assert not has_preconditioner(momentum)
    blocks = problem()
    assert not has_preconditioner(dataclasses.replace(blocks, data=blocks.data.in_blocks(3)))
    assert isinstance(problem(KINDS[2]).rule, DirectFeedbackAlignment)
    assert has_preconditioner(problem(KINDS[2]))
