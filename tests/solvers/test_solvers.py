"""Every registered solver: its order by regression, its stability or invariants, its costs."""

from functools import cache

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from faflow.solvers import (
    FIXED_STEP_ONLY,
    MULTISTEP,
    SOLVERS,
    GaussLegendre,
    evaluations_per_step,
    make_solver,
)
from faflow.solvers.collocation import gauss_tableau
from faflow.solvers.registry import NOTES
from faflow.solvers.secants import no_secants, refined

IMPLICIT = {
    name for name in SOLVERS
    if isinstance(make_solver(name, 1e-6, 1e-8), diffrax.AbstractImplicitSolver)
}  # fmt: skip

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
    "rkc2": (2, (64, 512)),
    "implicit-midpoint": (2, (64, 512)),
    "gauss4": (4, (32, 256)),
    "gauss6": (6, (24, 96)),
    "gauss8": (8, (12, 30)),
}


def field(t, y, given):
    """All that is integrated here, by its numbers: one program of a solver serves all."""
    a, b, c, d, e, f = given
    return jnp.stack(
        [a * y[0] + b * y[1], c * y[0] + d * y[1] - e * jnp.sin(y[0]) + f * y[0] * y[1]]
    )


# Nonlinear and unsymmetric: on simpler equations error terms vanish and raise the order.
PENDULUM = np.array([0.0, 1.0, 0.0, -0.2, 1.0, 0.3])
# For the implicit methods: fixed steps leave their chord iteration no way to retry.
LINEAR = np.array([-0.3, 2.0, -1.5, -0.2, 0.0, 0.0])
ROTATION = np.array([0.0, 1.0, -1.0, 0.0, 0.0, 0.0])


@eqx.filter_jit
def solve(solver, given, start, t1, steps):
    """The end of so many equal steps (an array: one program for all); nan if one failed."""
    term, h = diffrax.ODETerm(field), t1 / steps.astype(float)

    def step(i, carry):
        y, state = carry
        t = i.astype(float) * h
        end, _, _, state, result = solver.step(term, t, t + h, y, given, state, False)
        return jnp.where(result == diffrax.RESULTS.successful, end, jnp.nan), state

    first = solver.init(term, 0.0 * h, h, start, given)
    return jax.lax.fori_loop(0, steps, step, (start, first))[0]


def ended(solver, given, start, t1, steps):
    # By numpy, which knows no weak types: what is given then never makes another program.
    numbers = (jnp.asarray(np.asarray(number)) for number in (given, start, t1, steps))
    return np.asarray(solve(solver, *numbers))


def test_every_solver_has_an_order_here():
    assert set(ORDERS) | MULTISTEP | {"auto"} == set(SOLVERS) == set(NOTES)
    assert {"euler"} == FIXED_STEP_ONLY and {"kvaerno3", "kvaerno5"} == IMPLICIT


START = np.array([1.2, 0.5])


def exactly(name):
    return make_solver(name, 1e-13, 1e-14)


@cache
def swung():
    """The pendulum at t = 4, by SciPy."""
    again = lambda t, y: [y[1], -np.sin(y[0]) - 0.2 * y[1] + 0.3 * y[0] * y[1]]  # noqa: E731
    return solve_ivp(again, (0, 4), START, "DOP853", rtol=2.3e-14, atol=1e-15).y[:, -1]


@pytest.mark.parametrize("name", ORDERS)
def test_order(name):
    expected, (low, high) = ORDERS[name]
    solver = exactly(name)
    steps = np.unique(np.geomspace(low, high, 4).round().astype(int))
    start = START
    if name in IMPLICIT:
        given, t1 = LINEAR, 2.0
        exact = expm(2.0 * np.array([[-0.3, 2.0], [-1.5, -0.2]])) @ start
    else:
        given, t1, exact = PENDULUM, 4.0, swung()
    errors = [np.linalg.norm(ended(solver, given, start, t1, n) - exact) for n in steps]
    fitted = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert fitted == pytest.approx(expected, abs=0.2), errors
    assert errors[-1] > 5e-14


@pytest.mark.parametrize("name", ["implicit-midpoint", "gauss4", "gauss6"])
def test_gauss_keeps_a_rotations_radius(name):
    """||y||^2 is a quadratic invariant; Heun at the same step is the control."""
    around = ROTATION, np.array([0.6, 0.8]), 20.0, 100
    assert isinstance(exactly(name), GaussLegendre)
    assert np.sum(ended(exactly(name), *around) ** 2) == pytest.approx(1.0, abs=1e-14)
    assert abs(np.sum(ended(exactly("heun"), *around) ** 2) - 1) > 1e-3


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


PADE = {  # numerator of the diagonal approximant of exp; the denominator is that of -z
    1: (1 / 2, 1.0),
    2: (1 / 12, 1 / 2, 1.0),
    3: (1 / 120, 1 / 10, 1 / 2, 1.0),
}


@pytest.mark.parametrize("stages", PADE)
def test_gauss_says_when_its_stages_do_not_converge(stages):
    """h lambda = -50: fixed-point iteration diverges, and the step must not pass for one. With
    secants it is solved, and is the method's: |R(-50)| < 1, R the Pade approximant of exp."""
    term = diffrax.ODETerm(lambda t, y, args: -50.0 * y)
    y0 = jnp.ones(1)

    @eqx.filter_jit
    def step(h, memory: int):
        solver, t0 = GaussLegendre(stages, memory=memory), jnp.zeros(())
        state = solver.init(term, t0, h, y0, None)
        y1, *_, result = solver.step(term, t0, h, y0, None, state, False)
        return y1[0], result == diffrax.RESULTS.successful

    assert not step(jnp.asarray(1.0), 0)[1]
    for h in (1.0, 1e-3):
        y1, solved = step(jnp.asarray(h), 3)
        exact = np.polyval(PADE[stages], -50 * h) / np.polyval(PADE[stages], 50 * h)
        assert solved and float(y1) == pytest.approx(exact, rel=1e-13)
    assert float(step(jnp.asarray(1e-3), 0)[0]) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - MULTISTEP))
def test_evaluations_per_step_counts_the_field(name):
    """Against the calls that a step really makes (explicit methods, after the first step)."""
    solver, calls = make_solver(name, 1e-6, 1e-8), []

    def field(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return -y

    claimed = evaluations_per_step(solver)
    if claimed is None:
        assert name in IMPLICIT | {"rkc2"} or isinstance(solver, GaussLegendre)  # test_rkc.py
        return
    term, y0 = diffrax.ODETerm(field), jnp.ones(2)
    step = jax.jit(lambda t, state: solver.step(term, t, t + 0.1, y0, None, state, False)[3])
    state = step(0.0, jax.jit(lambda: solver.init(term, 0.0, 0.1, y0, None))())
    jax.effects_barrier()
    before = len(calls)
    step(0.1, state)
    jax.effects_barrier()
    assert len(calls) - before == claimed


def test_secants_give_newton_its_jacobian():
    """Three secants of a linear field in R^3 determine it; with none, a Newton step is none."""
    rng = np.random.default_rng(0)
    jacobian, moves = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    tableau, residual = gauss_tableau(2)[0], jnp.asarray(rng.standard_normal((2, 3)))
    matrix = 0.3 * tableau
    empty, one, yes = no_secants(6, 3, residual.dtype), jnp.ones(()), jnp.asarray(True)

    @jax.jit
    def model(secants, moves, changes, fresh):
        given = moves, changes, changes, fresh, one
        known, q = refined(secants, *given, jnp.asarray(0.3), tableau, residual)
        return known, residual + matrix @ (q @ known.changes)

    def after(secants, moves, fresh=yes):
        return model(secants, jnp.asarray(moves), jnp.asarray(moves @ jacobian.T), fresh)

    unknown, step = after(empty, moves, ~yes)
    np.testing.assert_array_equal(step, residual)
    assert int(unknown.slot) == 0 and not np.any(unknown.moves)
    known, found = after(empty, moves)
    exact = np.linalg.solve(np.eye(6) - np.kron(matrix, jacobian), np.ravel(residual))
    np.testing.assert_allclose(np.ravel(found), exact, rtol=1e-7)
    # More go round the ring; the model stays the Jacobian. Moves of rounding displace nothing.
    for _ in range(3):
        known, again = after(known, rng.standard_normal((3, 3)))
        np.testing.assert_allclose(again, found, rtol=1e-6)
    told, again = after(known, 1e-15 * moves)
    np.testing.assert_array_equal(told.moves, known.moves)
    np.testing.assert_allclose(again, found, rtol=1e-6)


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_secants_and_history_save_evaluations(stages):
    """The same steps of a pendulum without memory take at least 1.5 times the sweeps."""

    @eqx.filter_jit
    def evaluations(memory: int):
        solver, term = GaussLegendre(stages, memory=memory), diffrax.ODETerm(field)
        given, t = jnp.asarray(PENDULUM), jnp.linspace(0.0, 3.5, 8)

        def step(now, t):
            y, state = now
            y, _, _, state, result = solver.step(term, t, t + 0.5, y, given, state, False)
            return (y, state), result == diffrax.RESULTS.successful

        y = jnp.asarray(START)
        first = y, solver.init(term, t[0], t[1], y, given)
        (_, state), fine = jax.lax.scan(step, first, t)
        return state.evaluations, jnp.all(fine)

    (plain, fine), (ours, too) = evaluations(0), evaluations(3)
    assert fine and too
    assert int(plain) > 1.5 * int(ours)
