"""Adams' algebra: orders by regression on uneven steps, stability, what lies within a step."""

import itertools
import math
from fractions import Fraction
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from faflow.solvers import adams, bdf

SPIRAL = np.array([[-0.3, 2.0], [-1.5, -0.2]])
START = np.array([1.2, 0.5])
UNEVEN = np.array([1.0, 1.25, 0.8, 1.25, 0.8, 1.0])  # factors of one step after another; product 1


def exact(t: float) -> np.ndarray:
    return expm(t * SPIRAL) @ START


def exact_past(order: int, h: float) -> adams.Past:
    """Of y' = A y at t = 0, its slopes on the grid that UNEVEN steps would have left: F_j is the
    j-th divided difference times the product of its first j distances."""
    sizes = h * np.concatenate([[1.0], np.cumprod(UNEVEN[::-1] ** -1.0)])
    grid = np.concatenate([[0.0], np.cumsum(np.resize(sizes[:-1], adams.MOST))])
    table = np.stack([SPIRAL @ exact(-back) for back in grid])
    past = adams.first_past(
        jnp.zeros(()), jnp.asarray(START), jnp.asarray(table[0]), jnp.asarray(h)
    )
    rows = [START, table[0]]
    for j in range(1, order + 2):
        if j > adams.MOST:
            break
        table = (table[:-1] - table[1:]) / (grid[j:] - grid[:-j])[:, None]
        rows.append(table[0] * np.prod(grid[1 : j + 1]))
    rows += [np.zeros(2)] * (adams.ROWS - len(rows))
    known = jnp.asarray(order, jnp.int32)
    return past._replace(
        order=known, next_order=known, differences=jnp.asarray(rows), grid=jnp.asarray(grid)
    )


@jax.jit
def march(past, rounds):
    """Rounds of six UNEVEN steps, none of them refused."""

    def step(i, past):
        past = past._replace(factor=jnp.asarray(UNEVEN)[i % 6])
        now = adams.weights(past)
        place, slope, corrected = adams.paired(past, now)
        y = corrected(SPIRAL @ place - slope)
        return adams.taken_over(past, now, y, SPIRAL @ y - slope)

    return jax.lax.fori_loop(0, 6 * rounds, step, past)


@pytest.mark.parametrize("order", range(1, 13))
@pytest.mark.parametrize("rate", [0.0, np.inf], ids=["plain", "long"])
def test_order(order, rate):
    """Slope of the error at t = 2 over two or three step sizes, from an exact past: k + 1; with the
    terms of long steps too."""
    rounds, errors = {1: [40, 80, 160], 2: [20, 40, 80]}.get(order, [8, 11, 16]), []
    if order > 7:
        rounds = {11: [5, 6], 12: [4, 5]}.get(order, [5, 6, 7])  # or it is rounding
    length = np.cumprod(UNEVEN).sum()
    for count in rounds:
        past = exact_past(order, 2.0 / length / count)._replace(rate=jnp.asarray(rate))
        end = march(past, count)
        assert float(end.t) == pytest.approx(2.0)
        errors.append(np.linalg.norm(end.differences[0] - exact(2.0)))
    fitted = -np.polyfit(np.log(rounds), np.log(errors), 1)[0]
    assert fitted == pytest.approx(order + 1, abs=0.2 if order < 8 else 0.6), errors
    assert errors[-1] > 3e-14


def integrals(points: list[int]) -> np.ndarray:
    """Over [0, 1] of the polynomials that are 1 at one of the points and 0 at the others."""
    found = []
    for one in points:
        coefficients, below = [Fraction(1)], Fraction(1)
        for other in points:
            if other != one:
                shifted = [Fraction(0), *coefficients]
                coefficients = [
                    a - other * b
                    for a, b in zip(shifted, [*coefficients, Fraction(0)], strict=True)
                ]
                below *= one - other
        whole = sum((c / (n + 1) for n, c in enumerate(coefficients)), Fraction(0))
        found.append(float(whole / below))
    return np.array(found)


@cache
def coefficients(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Of Adams and Bashforth, and of Adams and Moulton."""
    known = [-j for j in range(order)]
    return integrals(known), integrals([1, *known])


def growth(order: int, z: complex, theta: float = 0.0, eta: float = 0.0) -> float:
    """By step of y' = lambda y, z = h lambda, in y and the last slopes: spectral radius. `theta`
    times the difference of that order is added to the predictor, `eta` times the next one to the
    corrector."""

    def difference(of: int) -> np.ndarray:
        signs = [(-1) ** i * math.comb(of, i) for i in range(of + 1)]
        return np.append(signs, np.zeros(order + 1 - of))

    bashforth, moulton = coefficients(order)
    predicted = np.concatenate([[1.0], bashforth, [0.0]])
    predicted[1:] += theta * difference(order)[:-1]
    moulton = np.append(moulton, 0.0) + eta * difference(order + 1)
    matrix = np.zeros((order + 2, order + 2), complex)  # y, h f_0, h f_-1, ...
    matrix[0] = np.append(1.0, moulton[1:]) + moulton[0] * z * predicted
    matrix[1] = z * matrix[0]
    matrix[2:, 1:-1] = np.eye(order)
    return np.abs(np.linalg.eigvals(matrix)).max()


@pytest.mark.parametrize("order", range(1, 13))
@pytest.mark.parametrize("long", [False, True], ids=["plain", "long"])
def test_stable_up_to_its_boundary_and_not_beyond(order, long):
    """On the axis; steps with terms for stability damp what is faster than half of that, and are
    stable 15 degrees off the axis."""
    edge = (adams.REAL if long else adams.PLAIN)[order - 1]
    terms = (adams.THETA[order - 1], adams.ETA[order - 1]) if long else ()
    shares = np.linspace(0.02, 0.99, 40)
    assert all(growth(order, -share * edge, *terms) <= 1 + 1e-9 for share in shares)
    assert growth(order, -1.03 * edge, *terms) > 1 + 1e-6
    if long and order < adams.MOST:
        assert edge > 1.3 * adams.PLAIN[order - 1]
        far = shares[(shares > 0.5) & (shares < 0.85)]
        assert max(growth(order, -share * edge, *terms) for share in far) < 0.95
        off = np.exp(1j * np.deg2rad(15))
        assert max(growth(order, -share * edge * off, *terms) for share in far) <= 1 + 1e-9


def test_long_steps_are_those_whose_stability_was_reckoned():
    """w' = -w by steps of one size: what steps far into order 3 multiply w by is the fastest root
    of the pair with its terms, and not that of the plain one."""
    h, k = 2.5, 3
    table = [-np.exp(h * j) for j in range(k + 2)]
    past = adams.first_past(*(jnp.asarray(v) for v in (0.0, [1.0], [-1.0], h)))
    rows = [[1.0]]
    for _ in range(k + 2):
        rows.append([table[0]])
        table = [a - b for a, b in itertools.pairwise(table)]
    rows += [[0.0]] * (adams.ROWS - len(rows))
    order = jnp.asarray(k, jnp.int32)
    past = past._replace(
        order=order, next_order=order, differences=jnp.asarray(rows), rate=jnp.asarray(1.0)
    )

    def step(past, _):
        now = adams.weights(past)
        place, slope, corrected = adams.paired(past, now)
        y = corrected(-place - slope)
        past = adams.taken_over(past, now, y, -y - slope)
        return past, y[0]

    ends = np.abs(np.asarray(jax.jit(lambda p: jax.lax.scan(step, p, length=120))(past)[1]))
    # Two roots may be a pair: the mean over many steps.
    told = (ends[-1] / ends[-61]) ** (1 / 60)
    assert told == pytest.approx(growth(k, -h, adams.THETA[k - 1], adams.ETA[k - 1]), rel=0.02)
    assert told < 1 < growth(k, -h)


def pendulum(t, y):
    return jnp.stack([y[1], -jnp.sin(y[0]) - 0.2 * y[1] + 0.3 * y[0] * y[1]])


def test_steps_orders_and_what_lies_between():
    """Errors at the ends of steps and within them follow the tolerance; the order rises; a step
    that is refused leaves everything but the plan as it was, bit by bit."""
    dense = solve_ivp(
        lambda t, y: np.asarray(pendulum(t, y)), (0, 21.0), START, "DOP853",
        rtol=1e-13, atol=1e-14, dense_output=True,
    ).sol  # fmt: skip

    @jax.jit
    def steps(rtol):
        def one(past, _):
            trial = adams.pece_step(pendulum, past, (rtol, rtol / 100))
            middle = trial.past.t - 0.4 * trial.past.h
            return trial.past, (trial, middle, adams.read_off(trial.past, middle))

        y = jnp.asarray(START)
        past = adams.first_past(jnp.zeros(()), y, pendulum(0.0, y), jnp.asarray(0.3))
        return jax.lax.scan(one, past, length=300)[1]

    for rtol, highest in ((1e-4, 4), (1e-9, 8)):
        trials, middles, between = jax.tree.map(np.asarray, steps(jnp.asarray(rtol)))
        past, kept = trials.past, trials.kept & (trials.past.t < 21)
        assert past.order[kept].max() >= highest
        for t, y in ((past.t, past.differences[:, 0]), (middles, between)):
            off = np.linalg.norm(y[kept] - dense(t[kept]).T, axis=1)
            assert 0.01 * rtol < off.max() < 100 * rtol
        assert not trials.kept[0]  # 0.3 is too long for order 1
        np.testing.assert_array_equal(past.differences[0, 0], START)
        assert past.t[0] == 0 and trials.evaluations[0] == 1
        assert set(trials.evaluations[trials.kept]) == {2}


def test_steps_come_near_the_boundary_of_stability_and_are_not_refused_there():
    """w' = -rates w to t = 60: what order 2 allows is |lambda| h < 3.82, two evaluations each; the
    plain pair would take more than 2 * 600 / 2.395."""
    rates = jnp.geomspace(1e-2, 10.0, 8)

    @jax.jit
    def run():
        field = lambda t, y: -rates * y  # noqa: E731
        y = jnp.ones(8)
        past = adams.first_past(jnp.zeros(()), y, field(0.0, y), jnp.asarray(1e-3))

        def one(now):
            past, evaluations, refused = now
            trial = adams.pece_step(field, past, (jnp.asarray(1e-4), jnp.asarray(1e-6)))
            return trial.past, evaluations + trial.evaluations, refused + 1 - trial.kept.astype(int)

        zero = jnp.zeros((), int)
        return jax.lax.while_loop(lambda now: now[0].t < 60, one, (past, zero, zero))

    past, evaluations, refused = run()
    np.testing.assert_allclose(past.differences[0], jnp.exp(-rates * past.t), atol=1e-3)
    assert 2 * 600 / adams.REAL[0] < int(evaluations) < 2 * 600 / adams.PLAIN[1]
    assert int(refused) < 0.03 * int(evaluations)


def test_a_step_whose_end_has_no_slope_is_not_kept():
    """The field is known where the step is predicted, and not where it is corrected to."""
    past = adams.first_past(
        jnp.zeros(()), jnp.asarray(START), jnp.asarray(SPIRAL @ START), jnp.asarray(1e-3)
    )

    @jax.jit
    def step(past, beyond):
        """With a field that is `beyond` times its own but at the prediction."""
        guess = adams.paired(past, adams.weights(past))[0]
        torn = lambda t, y: jnp.where(jnp.all(y == guess), 1, beyond) * (SPIRAL @ y)  # noqa: E731
        return adams.pece_step(torn, past, (jnp.asarray(1e-3), jnp.asarray(1e-3)))

    trial = step(past, np.nan)
    assert not bool(trial.kept) and not bool(trial.finite) and int(trial.evaluations) == 2
    known = slice(adams.MOST + 2)
    assert np.array_equal(trial.past.differences[known], past.differences[known])
    assert bool(jnp.all(jnp.isfinite(trial.past.differences)))
    assert float(trial.past.factor) < 1
    smooth = step(past, 1.0)
    assert bool(smooth.kept) and bool(smooth.finite)
    assert not np.array_equal(smooth.past.differences[known], past.differences[known])


def test_the_bdf_goes_on_with_the_same_polynomial():
    """After steps of one size: order 5, values at earlier steps and one step ahead those of the
    solution. Where steps were doubled what is known does not reach back so far."""
    h = 0.05
    past = exact_past(8, h)
    grid, table = h * np.arange(adams.MOST + 1), [SPIRAL @ exact(-k * h) for k in range(10)]
    rows = [START]
    for _ in range(10):
        rows.append(table[0])
        table = [a - b for a, b in itertools.pairwise(table)]
    rows += [np.zeros(2)] * (adams.ROWS - len(rows))
    past = past._replace(differences=jnp.asarray(rows), grid=jnp.asarray(grid))
    history = jax.jit(adams.as_bdf)(past)
    assert int(history.order) == 5 and float(history.h) == h
    for t in (-5 * h, -2.5 * h, 0.0):
        off = np.abs(np.asarray(jax.jit(bdf.interpolate)(history, t)) - exact(t)).max()
        assert off < 1e-8
    predicted, _ = jax.jit(lambda history: bdf.predict(*bdf.on_grid(history)))(history)
    ahead = np.abs(np.asarray(predicted) - exact(h)).max()
    assert 1e-9 < ahead < 1e-5 < np.abs(exact(h) - START).max()
    doubled = past._replace(grid=jnp.asarray(h * (1 - 0.5 ** np.arange(adams.MOST + 1)) * 2))
    assert int(jax.jit(adams.as_bdf)(doubled).order) == 1
