"""The BDF's algebra: orders by regression, stability, changes of grid; linear systems."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from faflow.solvers import bdf, factor, factored_solve, gmres_solve
from faflow.solvers.bdf import History
from faflow.solvers.gmres import gmres

SPIRAL = np.array([[-0.3, 2.0], [-1.5, -0.2]])


def exact_history(order, h, values):
    """The history of a solution given at t = 0, -h, -2h, ... (rows of `values`)."""
    rows = np.zeros((bdf.MOST + 3, values.shape[1]))
    table = np.asarray(values)
    for k in range(order + 2):
        rows[k] = table[0]
        table = table[:-1] - table[1:]
    order = jnp.asarray(order, jnp.int32)
    return History(
        jnp.zeros(()), jnp.asarray(h), order, jnp.asarray(rows), order, jnp.ones(()), order
    )  # fmt: skip


@jax.jit
def march(history, matrix, steps):
    """So many steps of size h of y' = A y, the equation of each solved exactly."""

    def step(_, history):
        now, change = bdf.on_grid(history)
        predicted, psi = bdf.predict(now, change)
        _, c = bdf.next_step(history)
        d = jnp.linalg.solve(jnp.eye(2) - c * matrix, c * matrix @ predicted - psi)
        return bdf.stepped(now, change, d, jnp.asarray(True))

    return jax.lax.fori_loop(0, steps, step, history)


def started(order, h, matrix, start):
    values = np.stack([expm(-j * h * matrix) @ start for j in range(order + 2)])
    return exact_history(order, h, values)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_order(order):
    """Slope of the error at t = 2 over 4 step sizes, from exact starting values."""
    start, errors = np.array([1.2, 0.5]), []
    counts = np.array([320, 640, 1280]) if order < 3 else np.array([40, 80, 160])
    for count in counts:
        end = march(started(order, 2.0 / count, SPIRAL, start), jnp.asarray(SPIRAL), count)
        errors.append(np.linalg.norm(end.differences[0] - expm(2 * SPIRAL) @ start))
        assert float(end.t) == pytest.approx(2.0)
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2)


ANGLES = {1: 90, 2: 90, 3: 80, 4: 66, 5: 51}  # Shampine & Reichelt 1997, table 1


@jax.jit
@partial(jax.vmap, in_axes=(None, 0))
def differences_of_halves(history, matrix):
    """After 2000 steps and after 4000, (2, rows, n)."""

    def half(history, _):
        history = march(history, matrix, 2000)
        return history, history.differences

    return jax.lax.scan(half, history, length=2)[1]


def grows(order, angle, sizes):
    """Whether |y| grows over the second half of 4000 steps with h lambda = size e^{i angle}, for
    each of the sizes."""
    turn = np.deg2rad(180 - angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    history = exact_history(order, 1.0, np.random.default_rng(0).standard_normal((order + 2, 2)))
    ends = np.asarray(differences_of_halves(history, sizes[:, None, None] * matrix))
    before, after = np.abs(ends[:, :, : order + 1]).max(axis=(2, 3)).T
    return ~(after <= np.maximum(before, 1e-300) * (1 + 1e-9))


@pytest.mark.parametrize("order", ANGLES)
def test_stable_in_its_wedge_and_not_beyond(order):
    sizes = np.geomspace(0.02, 1e5, 40)
    inside = max(ANGLES[order] - 1.5, 0.0)
    assert not any(grows(order, inside, sizes)), sizes[grows(order, inside, sizes)]
    if order > 2:
        assert any(grows(order, ANGLES[order] + 4, sizes))


@pytest.mark.parametrize("factor_", [0.3, 1.0, 1.7])
def test_change_of_grid_keeps_the_polynomial(factor_):
    """A polynomial of degree 4, its values at s = 0, factor, 2 factor, ... by numpy."""
    weights = np.array([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.2], [0.5, 0.1], [0.2, -0.3]])
    value = lambda t: np.stack([np.polynomial.polynomial.polyval(t, w) for w in weights.T], -1)  # noqa: E731
    old, h = 0.4, 0.4 * factor_
    history = exact_history(4, old, value(-old * np.arange(6)))
    history = history._replace(factor=jnp.asarray(factor_))
    now, change = jax.jit(bdf.on_grid)(history)
    again = exact_history(4, h, value(-h * np.arange(6)))
    np.testing.assert_allclose(
        (np.asarray(change) @ history.differences)[:5], again.differences[:5], atol=1e-12
    )
    assert float(now.h) == pytest.approx(h) and (int(now.equal) == 0 or factor_ == 1)
    for t in (-1.1 * old, -0.3 * old, 0.0):
        np.testing.assert_allclose(
            jax.jit(bdf.interpolate)(history, t), value(np.array(t)), atol=1e-12
        )
    # Prediction is exact for it, and a step onto the exact value leaves the exact differences.
    predicted, _ = jax.jit(bdf.predict)(now, change)
    np.testing.assert_allclose(predicted, value(np.array(h)), atol=1e-12)
    stepped = jax.jit(bdf.stepped)(now, change, np.zeros(2), np.asarray(True))
    after = exact_history(4, h, value(h - h * np.arange(6)))
    np.testing.assert_allclose(stepped.differences[:6], after.differences[:6], atol=1e-12)
    # A step that is not kept leaves the differences as they were, bit by bit.
    back = jax.jit(bdf.stepped)(now, change, np.full(2, np.nan), np.asarray(False))
    np.testing.assert_array_equal(back.differences, history.differences)


def matrices():
    rng = np.random.default_rng(1)
    n = 30
    general = np.eye(n) + 0.3 * rng.standard_normal((n, n)) / n**0.5
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return {
        "general": general,
        "skew": np.eye(n) + general - general.T,
        "stiff": np.eye(n) + basis @ np.diag(np.geomspace(1e-3, 1e4, n)) @ basis.T,
        "few eigenvalues": np.eye(n) + 5 * basis[:, :3] @ basis[:, :3].T,
    }


@partial(jax.jit, static_argnums=(3, 4))
def solved(a, b, tolerance, size, cycles=4):
    return gmres(lambda x: a @ x, b, tolerance, size, cycles)


@pytest.mark.parametrize("name", matrices())
def test_gmres_against_numpy(name):
    a = matrices()[name]
    b = np.random.default_rng(2).standard_normal(len(a))
    for tolerance in (1e-1, 1e-6):
        found = solved(a, b, jnp.asarray(tolerance), 30)
        assert bool(found.converged)
        assert np.linalg.norm(b - a @ found.x) <= 1.01 * tolerance
    np.testing.assert_allclose(found.x, np.linalg.solve(a, b), atol=1e-5)
    if name == "few eigenvalues":
        assert int(found.products) <= 4
    short = solved(a, b, jnp.asarray(1e-6), 2, 1)
    assert bool(short.converged) == (name == "few eigenvalues")  # control: two products are few


def test_gmres_says_when_there_is_no_solution():
    """A = diag(1, 0), b = (1, 1): the second equation cannot be met; b = 0 needs no product."""
    flat = np.diag([1.0, 0.0])
    found = solved(flat, np.ones(2), 1e-8, 2)
    assert not bool(found.converged) and np.all(np.isfinite(found.x))
    assert int(solved(flat, np.zeros(2), 1e-8, 2).products) == 0


def test_factored_and_krylov_systems_agree():
    rng = np.random.default_rng(3)
    jacobian, b = rng.standard_normal((12, 12)), jnp.asarray(rng.standard_normal(12))
    scale, c = jnp.asarray(rng.uniform(0.1, 10, 12)), jnp.asarray(0.3)
    exact = np.linalg.solve(np.eye(12) - 0.3 * jacobian, b)

    @jax.jit
    def both(jacobian, tolerance):
        factored = factored_solve(factor(jacobian, c), jnp.ones(()))(b, scale, c)[0]
        x, solved, _ = gmres_solve(lambda v: jacobian @ v, c)(b, scale, tolerance)
        return factored, solved, bdf.scaled_rms(b - (x - 0.3 * jacobian @ x), scale)

    factored, solved, residual = both(jacobian, 1e-9)
    np.testing.assert_allclose(factored, exact, rtol=1e-10)
    assert bool(solved)
    assert float(residual) <= 0.05 * 1e-9 * 1.01
