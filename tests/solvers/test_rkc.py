"""RKC2: its polynomials against numpy's, stability at the stages it chooses, complex spectra,
counts of field evaluations, failures. `test_solvers.py` has its order."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy.integrate import solve_ivp

from faflow.solvers import RKC2
from faflow.solvers.chebyshev import Spectrum, StepPlan, plan
from faflow.solvers.rkc import MOST_STAGES, REFRESH
from faflow.solvers.spectrum import estimate_spectrum

STRETCH = np.array([-1.0, -30.0, -1000.0])


def polynomial(stages, damping, z):
    """P_s(z) = 1 - b T_s(w0) + b T_s(w0 + w1 z), by numpy's Chebyshev series."""
    series = chebyshev.Chebyshev.basis(stages)
    w0 = np.cosh(damping / stages)
    t, d, dd = series(w0), series.deriv(1)(w0), series.deriv(2)(w0)
    b, w1 = dd / d**2, d / dd
    w = w0 + w1 * np.asarray(z, complex)
    last, now = np.ones_like(w), w
    for _ in range(stages - 1):
        last, now = now, 2 * w * now - last
    return 1 - b * t + b * now


def spectrum_of(matrix):
    """What `plan` is told of a spectrum: its radius and its bends."""
    values = np.linalg.eigvals(matrix)
    bends = values.imag**2 / (2 * np.abs(values.real))
    top = np.argmax(np.abs(values))
    return Spectrum(*map(jnp.asarray, (np.abs(values).max(), bends.max(), bends[top])))


def one_step(rates, h, solver=None, spectrum=None, dtype=float):
    """(y1, state) after one step of y' = rates y from 1; with `spectrum` given, nothing is
    estimated."""
    solver = RKC2(jnp.asarray(1e-6)) if solver is None else solver
    rates, h = (jnp.asarray(np.asarray(given, dtype)) for given in (rates, h))
    y1, state, fine = _one_step(rates, h, solver, spectrum)
    assert fine
    return np.asarray(y1), state


@eqx.filter_jit
def _one_step(rates, h, solver, spectrum):
    term, y = diffrax.ODETerm(lambda t, y, args: rates * y), jnp.ones_like(rates)
    state = solver.init(term, jnp.zeros_like(h), h, y, None)
    if spectrum is not None:
        state = state._replace(spectrum=spectrum, age=jnp.zeros((), jnp.int32))
    y1, _, _, state, result = solver.step(term, jnp.zeros_like(h), h, y, None, state, False)
    return y1, state, result == diffrax.RESULTS.successful


def blocks(values, seed=0):
    """A real matrix with these eigenvalues (one of each conjugate pair), in a random basis."""
    parts = [
        np.array([[v.real]]) if v.imag == 0 else np.array([[v.real, v.imag], [-v.imag, v.real]])
        for v in map(complex, values)
    ]
    size = sum(map(len, parts))
    matrix, at = np.zeros((size, size)), 0
    for part in parts:
        matrix[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]
    return basis @ matrix @ basis.T


@pytest.mark.parametrize("h", [0.01, 0.5, 20.0])
def test_a_step_is_its_polynomial(h):
    """On y' = lambda y, every stage of the recurrence included; it is exp to order 2 and stable."""
    spectrum = spectrum_of(np.diag(STRETCH))
    y1, state = one_step(STRETCH, h, spectrum=spectrum)
    stages = int(state.stages)
    x = float(jax.jit(plan)(h, spectrum, np.int32(500)).damping)
    np.testing.assert_allclose(y1, polynomial(stages, x, h * STRETCH).real, atol=1e-11)
    assert np.abs(y1).max() < 1
    z = 1e-3
    assert polynomial(stages, x, z).real - np.exp(z) == pytest.approx(0, abs=2e-10)
    # Control: the same step with half the stages is outside its region.
    if stages > 3:
        assert np.abs(polynomial(stages // 2, x, h * STRETCH)).max() > 1.5


@jax.jit
@jax.vmap
def planned(radius, bend):
    """For steps of size 1."""
    return plan(jnp.ones(()), Spectrum(radius, bend, bend), jnp.asarray(500, jnp.int32))


def plans(radii, bends):
    return [StepPlan(*row) for row in zip(*map(np.asarray, planned(radii, bends)), strict=True)]


@pytest.mark.parametrize("angle", [0, 15, 45, 60, 70])
def test_planned_stages_are_stable_for_complex_pairs(angle):
    """|P(h lambda / pieces)| <= 1 for radii from 0.1 to 1e4, with the safety factor of 1.2 on top
    of |lambda|; the least damping alone fails for wide pairs (the control)."""
    turn = np.exp(1j * np.pi * (1 - angle / 180))
    worst, control = 0.0, 0.0
    radii = np.geomspace(0.1, 1e4, 25)
    bends = radii * np.sin(np.deg2rad(angle)) ** 2 / (2 * np.cos(np.deg2rad(angle)))
    for radius, found, narrow in zip(
        radii, plans(1.2 * radii, 1.2 * bends), plans(1.2 * radii, 0 * bends), strict=True
    ):
        z = radius * turn / int(found.pieces)
        worst = max(worst, abs(polynomial(int(found.stages), float(found.damping), z)))
        if int(narrow.pieces) == 1 and radius < 1e3:
            grown = polynomial(int(narrow.stages), float(narrow.damping), radius * turn)
            control = max(control, abs(grown))
    assert worst <= 1
    assert control <= 1 if angle == 0 else control > 1.05


@jax.jit
def estimated(matrix):
    field, start = lambda y: matrix @ y, jnp.ones(4)
    return estimate_spectrum(field, start, field(start), start, jnp.asarray(False))


@pytest.mark.parametrize(
    ("values", "radius", "bend"),
    [
        ([-100, -7, -3, -1], 100, 0),
        ([-60 + 80j, -7, -1], 100, 80**2 / 120),
        ([-70 + 10j, -30, 5], np.hypot(70, 10), 100 / 140),
    ],
)
def test_power_method(values, radius, bend):
    """Radius and bend of the dominant pair, with the safety factor of 1.2."""
    found, _, count = estimated(blocks(values))
    assert float(found.radius) == pytest.approx(1.2 * radius, rel=0.05)
    assert float(found.own_bend) == pytest.approx(1.2 * bend, rel=0.1, abs=1e-6)
    assert 2 <= int(count) <= 50


def march(matrix, rtol, t1):
    """y' = A (y - b cos t) - b sin t, y = b cos t exactly, from a start off it; (error, state,
    rejected) by the bare interface, as the step loop uses it."""
    b = np.random.default_rng(1).standard_normal(len(matrix))
    t, y, state, rejected = _march(*map(jnp.asarray, (matrix, b, rtol, t1)))
    return np.max(np.abs(np.asarray(y) - np.cos(float(t)) * b)), state, int(rejected)


@jax.jit
def _march(a, b, rtol, t1):
    term = diffrax.ODETerm(lambda t, y, args: a @ (y - jnp.cos(t) * b) - jnp.sin(t) * b)
    solver, control = RKC2(rtol), diffrax.PIDController(rtol=rtol, atol=rtol)

    def body(carry):
        t, end, y, state, memory, rejected = carry
        end = jnp.minimum(end, t1)
        y1, error, _, after, _ = solver.step(term, t, end, y, None, state, False)
        keep, _, later, _, memory, _ = control.adapt_step_size(
            t, end, y, y1, None, error, solver.error_order(term), memory
        )
        before = solver.after_rejection(state, error)
        before = before._replace(spent=after.spent)  # the step loop counts them, too
        pick = lambda yes, no: jax.tree.map(lambda p, q: jnp.where(keep, p, q), yes, no)  # noqa: E731
        state = pick(after, before)
        return (
            jnp.where(keep, end, t),
            later,
            pick(y1, y),
            state,
            memory,
            rejected + (~keep).astype(int),
        )

    start = b * 1.01
    first, memory = control.init(term, 0.0, t1, start, None, None, solver.func, 3)
    state = solver.init(term, 0.0, first, start, None)
    begin = (jnp.zeros(()), first, start, state, memory, jnp.zeros((), int))
    end = jax.lax.while_loop(lambda c: (c[0] < t1) & (c[-1] < 5000), body, begin)
    t, _, y, state, _, rejected = end
    return t, y, state, rejected


@pytest.mark.parametrize(
    "values",
    [
        [-1000, -100, -10, -1],
        [-700 + 700j, -10, -1],
        [-1000, -10 + 30j, -3 + 6j, -1],
        [-1e4, -100 + 200j, -1 + 10j, -1],
    ],
    ids=["real", "dominant pair", "pairs inside", "wide pairs inside"],
)
def test_forced_linear_systems_with_complex_spectra(values):
    """The bounds on evaluations: Tsit5 needs about 1.8 h |lambda| per unit time, 36,000 to 360,000
    here; a dominant pair costs as much, which the docstring says."""
    error, state, rejected = march(blocks(values), 1e-5, 20.0)
    assert error < 1e-4
    radius = np.abs(values).max()
    assert int(state.spent) < (1.5 if values[0].imag else 0.4) * 1.8 * 20 * radius
    assert rejected < 150


def test_a_spoilt_step_shows_the_mode_that_spoilt_it():
    """A pair far below the radius is met from the error of a rejected step; control: not else."""
    matrix = blocks([-1e4, -100 + 200j, -1])
    a, y = jnp.asarray(matrix), jnp.ones(4)
    term, solver = diffrax.ODETerm(lambda t, y, args: a @ y), RKC2(1e-5)
    step = jax.jit(lambda state: solver.step(term, 0.0, 0.01, y, None, state, False)[3])
    values, vectors = np.linalg.eig(matrix)
    error = jnp.asarray(vectors[:, np.argmax(values.imag)].real)
    start = jax.jit(lambda: solver.init(term, 0.0, 0.01, y, None))()
    spoilt = step(solver.after_rejection(start, error))
    aged = step(start)
    assert float(spoilt.spectrum.bend) == pytest.approx(1.2 * 200**2 / 200, rel=0.05)
    assert float(aged.spectrum.bend) < 1
    assert float(spoilt.spectrum.radius) == pytest.approx(1.2e4, rel=0.05)
    lost = solver.after_rejection(start, jnp.full(4, jnp.inf))  # left the finite numbers
    assert np.all(np.isfinite(lost.suspect)) and not bool(lost.suspected)


def test_counts_are_the_calls_of_the_field():
    """Stages, power iterations and the first slope, over steps with and without an estimate."""
    calls = []

    def field(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.asarray(STRETCH) * y

    term, solver, y = diffrax.ODETerm(field), RKC2(1e-6), jnp.ones(3)
    state = jax.jit(lambda: solver.init(term, 0.0, 0.1, y, None))()
    step = jax.jit(lambda t, y, state: solver.step(term, t, t + 0.1, y, None, state, False))
    estimates = 0
    for n in range(REFRESH + 2):
        before = int(state.spent)
        y, _, _, state, _ = step(0.1 * n, y, state)
        estimates += int(state.spent) - before > int(state.stages)
        jax.effects_barrier()
        assert len(calls) == int(solver.evaluations(state))
    assert estimates == 2


def test_long_steps_are_made_of_pieces():
    """h rho = 2e6, beyond 0.65 s_max^2 with s_max = 500: stable still, at more evaluations."""
    values = np.array([-1e5, -1.0])
    solver = lambda most: RKC2(jnp.asarray(1e-2), jnp.asarray(most))  # noqa: E731
    y1, state = one_step(values, 20.0, solver(MOST_STAGES))
    assert int(state.stages) > 500 and np.abs(y1).max() < 1
    few, state = one_step(values, 20.0, solver(50))
    assert int(state.stages) > 20_000 and np.abs(few).max() < 1


def test_float32_keeps_its_rounding_below_the_tolerance():
    """Stages are limited by sqrt(rtol / (10 u)) = 41 at 1e-3: the step is made of pieces, and is
    the same in float64 with as many stages; 500 stages are the control."""
    values = np.array([-3e4, -1.0])
    solver = lambda rtol, most: RKC2(jnp.asarray(rtol), jnp.asarray(most))  # noqa: E731
    single, state = one_step(values, 1.0, solver(1e-3, MOST_STAGES), dtype=np.float32)
    double, _ = one_step(values, 1.0, solver(1e-3, 40))
    assert single.dtype == np.float32 and int(state.stages) > 41
    assert np.abs(single - double).max() < 5e-5
    careless, _ = one_step(values, 1.0, solver(1e3, MOST_STAGES), dtype=np.float32)
    double, _ = one_step(values, 1.0, solver(1e3, MOST_STAGES))
    assert np.abs(careless - double).max() > 2e-4


def test_a_nonlinear_stiff_flow_by_plain_diffrax():
    """Van der Pol's equation, mu = 5, through diffeqsolve, against SciPy's Radau."""
    rtol = 1e-5
    field = lambda t, y, args: jnp.stack([y[1], 25 * ((1 - y[0] ** 2) * y[1] - y[0])])  # noqa: E731
    ys = jax.jit(lambda: diffrax.diffeqsolve(
        diffrax.ODETerm(field), RKC2(rtol), 0.0, 0.5, None, jnp.array([2.0, 0.0]),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
        saveat=diffrax.SaveAt(ts=jnp.array([0.2, 0.5])),
    ).ys)()  # fmt: skip
    again = lambda t, y: [y[1], 25 * ((1 - y[0] ** 2) * y[1] - y[0])]  # noqa: E731
    exact = solve_ivp(again, (0, 0.5), [2.0, 0.0], "Radau", [0.2, 0.5], rtol=1e-11, atol=1e-12).y.T
    np.testing.assert_allclose(ys, exact, rtol=100 * rtol, atol=100 * rtol)


@jax.jit
def first_step(logs, start):
    """Of one of two fields; whether the step passes for one, and whether its numbers are finite."""
    solver = RKC2(1e-6)
    term = diffrax.ODETerm(
        lambda t, y, logs: jnp.where(logs, jnp.log(y - 2), -30 * jnp.sqrt(y) - 1)
    )
    state = solver.init(term, 0.0, 1.0, start, logs)
    y1, error, *_, result = solver.step(term, 0.0, 1.0, start, logs, state, False)
    finite = jnp.all(jnp.isfinite(y1)) & jnp.all(jnp.isfinite(error))
    return result == diffrax.RESULTS.successful, finite


def test_a_field_that_is_not_finite_is_a_failed_step():
    """log of a negative number at once, or further along the step: never a finite wrong number."""
    for logs in (True, False):
        passes, finite = first_step(np.asarray(logs), np.ones(2))
        assert not bool(passes) or not bool(finite), logs


def test_batches():
    """vmap over systems of different stiffness gives what each gives alone, counts included."""
    rates = np.array([[-1.0, -2.0], [-500.0, -1.0], [-3e4, -5.0]])

    def alone(rate):
        term, solver = diffrax.ODETerm(lambda t, y, args: rate * y), RKC2(1e-6)
        state = solver.init(term, 0.0, 0.3, jnp.ones(2), None)
        y1, _, _, state, _ = solver.step(term, 0.0, 0.3, jnp.ones(2), None, state, False)
        return y1, state.spent

    together, counts = jax.jit(jax.vmap(alone))(rates)
    single = jax.jit(alone)
    for row, rate in enumerate(rates):
        y1, count = single(rate)
        np.testing.assert_allclose(together[row], y1, rtol=1e-9, atol=1e-12)
        assert int(counts[row]) == int(count)
