"""Every registered solver: its order by regression, its stability or invariants, its costs."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from faflow.solvers import (
    FIXED_STEP_ONLY,
    SOLVERS,
    GaussLegendre,
    evaluations_per_step,
    make_solver,
)
from faflow.solvers.gauss import gauss_tableau
from faflow.solvers.registry import NOTES

IMPLICIT = {
    name for name in SOLVERS
    if isinstance(make_solver(name, 1e-6, 1e-8), diffrax.AbstractImplicitSolver)
}  # fmt: skip

MULTISTEP = {"bdf", "bdf-dense", "bdf-krylov"}  # in test_bdf.py

# name -> order; steps of the window on a damped pendulum (implicit: a linear spiral): the first is
# where the method is in its asymptotic range, the last where the error is far above rounding.
ORDERS = {
    "euler": (1, (512, 4096)),
    "heun": (2, (64, 512)),
    "bosh3": (3, (64, 512)),
    "tsit5": (5, (110, 220)),  # its h^5 term is small: the slope comes down to 5 late
    "dopri5": (5, (64, 256)),
    "dopri8": (8, (12, 27)),
    "kvaerno3": (3, (16, 128)),
    "kvaerno5": (5, (16, 64)),
    "implicit-midpoint": (2, (64, 512)),
    "gauss4": (4, (32, 256)),
    "gauss6": (6, (24, 96)),
}


def pendulum(t, y, args=None):
    """Nonlinear and unsymmetric: on simpler equations error terms vanish and raise the order."""
    return jnp.stack([y[1], -jnp.sin(y[0]) - 0.2 * y[1] + 0.3 * y[0] * y[1]])


def linear(t, y, args=None):
    """For the implicit methods: fixed steps leave their chord iteration no way to retry."""
    return jnp.stack([2 * y[1] - 0.3 * y[0], -1.5 * y[0] - 0.2 * y[1]])


def rotation(t, y, args):
    return jnp.stack([y[1], -y[0]])


def solve(solver, field, start, t1, steps):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(field), solver, 0.0, t1, None, jnp.asarray(start),
        stepsize_controller=diffrax.StepTo(jnp.linspace(0.0, t1, steps + 1)),
    ).ys[-1]  # fmt: skip


def test_every_solver_has_an_order_here():
    assert set(ORDERS) | MULTISTEP | {"auto"} == set(SOLVERS) == set(NOTES)
    assert set(SOLVERS) >= FIXED_STEP_ONLY and {"kvaerno3", "kvaerno5"} == IMPLICIT


@pytest.mark.parametrize("name", ORDERS)
def test_order(name):
    expected, (low, high) = ORDERS[name]
    solver = make_solver(name, 1e-13, 1e-14)
    steps = np.unique(np.geomspace(low, high, 4).round().astype(int))
    start = np.array([1.2, 0.5])
    if name in IMPLICIT:
        field, t1 = linear, 2.0
        exact = expm(2.0 * np.array([[-0.3, 2.0], [-1.5, -0.2]])) @ start
    else:
        field, t1 = pendulum, 4.0
        again = lambda t, y: [y[1], -np.sin(y[0]) - 0.2 * y[1] + 0.3 * y[0] * y[1]]  # noqa: E731
        exact = solve_ivp(again, (0, t1), start, "DOP853", rtol=2.3e-14, atol=1e-15).y[:, -1]
    errors = [np.linalg.norm(solve(solver, field, start, t1, int(n)) - exact) for n in steps]
    fitted = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert fitted == pytest.approx(expected, abs=0.2), errors
    assert errors[-1] > 5e-14


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_gauss_keeps_a_rotations_radius(stages):
    """||y||^2 is a quadratic invariant; Heun at the same step is the control."""
    start = np.array([0.6, 0.8])
    end = solve(GaussLegendre(stages), rotation, start, 20.0, 100)
    assert float(jnp.sum(end**2)) == pytest.approx(1.0, abs=1e-14)
    control = solve(diffrax.Heun(), rotation, start, 20.0, 100)
    assert abs(float(jnp.sum(control**2)) - 1) > 1e-3


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_gauss_tableau(stages):
    """b_i b_j = b_i a_ij + b_j a_ji; the quadrature is exact up to degree 2 s - 1."""
    a, b, c = gauss_tableau(stages)
    product = b[:, None] * a
    np.testing.assert_allclose(np.outer(b, b), product + product.T, atol=1e-15)
    np.testing.assert_allclose(a.sum(axis=1), c, atol=1e-15)
    for power in range(2 * stages):
        assert b @ c**power == pytest.approx(1 / (power + 1), abs=1e-15)
    assert abs(b @ c ** (2 * stages) - 1 / (2 * stages + 1)) > 1e-6
    if stages == 2:  # Hammer & Hollingsworth 1955
        off = 3**0.5 / 6
        np.testing.assert_allclose(a, [[0.25, 0.25 - off], [0.25 + off, 0.25]], atol=1e-15)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_gauss_says_when_its_stages_do_not_converge(stages):
    """h |lambda| = 50: the fixed-point iteration diverges, and the step must not pass for one."""
    term = diffrax.ODETerm(lambda t, y, args: -50.0 * y)
    solver, y0 = GaussLegendre(stages), jnp.ones(1)
    state = solver.init(term, 0.0, 1.0, y0, None)
    *_, result = solver.step(term, 0.0, 1.0, y0, None, state, False)
    assert result != diffrax.RESULTS.successful
    *_, result = solver.step(term, 0.0, 1e-3, y0, None, state, False)
    assert result == diffrax.RESULTS.successful


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - MULTISTEP))
def test_evaluations_per_step_counts_the_field(name):
    """Against the calls that a step really makes (explicit methods, after the first step)."""
    solver, calls = make_solver(name, 1e-6, 1e-8), []

    def field(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return -y

    claimed = evaluations_per_step(solver)
    if claimed is None:
        assert name in IMPLICIT | FIXED_STEP_ONLY
        return
    term, y0 = diffrax.ODETerm(field), jnp.ones(2)
    state = solver.init(term, 0.0, 0.1, y0, None)
    _, _, _, state, _ = solver.step(term, 0.0, 0.1, y0, None, state, False)
    jax.effects_barrier()
    before = len(calls)
    solver.step(term, 0.1, 0.2, y0, None, state, False)
    jax.effects_barrier()
    assert len(calls) - before == claimed
