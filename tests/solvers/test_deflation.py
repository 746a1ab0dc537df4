"""Directions kept of a Jacobian: the preconditioner against numpy, what it saves, what a bad one
costs, and when it is renewed."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.solvers import deflation
from faflow.solvers.gmres import TRUSTED
from faflow.solvers.krylov.deflation import (
    Deflation,
    after_systems,
    deflating,
    is_worn,
    no_directions,
    renewed,
)
from faflow.solvers.linear import INEXACT, gmres_solve

SIZE, RANK, CYCLE = 60, 8, 20


@cache
def matrix(kind: str) -> np.ndarray:
    """Jacobians with 8 fast rates, on a random basis, and slow ones."""
    rng = np.random.default_rng(0)
    rates = -np.concatenate([np.geomspace(10.0, 1.0, RANK), 0.001 * rng.random(SIZE - RANK)])
    basis, _ = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))
    if kind == "symmetric":
        return basis @ np.diag(rates) @ basis.T
    if kind == "indefinite":
        rates[1::2] *= -1
        return basis @ np.diag(rates) @ basis.T
    if kind == "rotating":  # pairs of complex rates
        turn = np.diag(rates)
        for i in range(0, RANK, 2):
            turn[i, i + 1], turn[i + 1, i] = 3.0, -3.0
        return basis @ turn @ basis.T
    assert kind == "oblique"  # far from normal
    skew = np.eye(SIZE) + 0.5 * np.triu(rng.normal(size=(SIZE, SIZE)), 1) / SIZE**0.5
    return skew @ np.diag(rates) @ np.linalg.inv(skew)


KINDS = ("symmetric", "indefinite", "rotating", "oblique")


@jax.jit
def renew(kept: Deflation, jacobian: jax.Array) -> tuple[Deflation, jax.Array]:
    return renewed(kept, lambda x: jacobian @ x)


@cache
def nothing() -> Deflation:
    return jax.jit(lambda: no_directions(RANK, jnp.zeros(SIZE)))()


def kept_of(jacobian: np.ndarray, times: int = 2) -> Deflation:
    kept = nothing()
    for _ in range(times):
        kept, _ = renew(kept, jacobian)
    return kept


@jax.jit
def matrix_of(kept: Deflation, c: jax.Array) -> jax.Array:
    return jax.vmap(deflating(kept, c), out_axes=1)(jnp.eye(SIZE))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [0.03, 50.0])
def test_it_takes_images_back_and_leaves_their_complement_alone(kind: str, c: float) -> None:
    """A P^{-1} is 1 on the span of B = (1 - c J) U and A on its complement; for a c that it was
    not made for, and a U that is no eigenspace."""
    jacobian = matrix(kind)
    kept = kept_of(jacobian, times=1)
    basis = np.asarray(kept.basis)
    np.testing.assert_allclose(basis @ basis.T, np.eye(RANK), atol=1e-12)
    np.testing.assert_allclose(kept.images, basis @ jacobian.T, atol=1e-12)
    whole = np.eye(SIZE) - c * jacobian
    span, _ = np.linalg.qr(whole @ basis.T)
    inside = span @ span.T
    expected = inside + whole @ (np.eye(SIZE) - inside)
    # The floor under B B^T is 1e-4 of rows of length 1 or more.
    np.testing.assert_allclose(whole @ matrix_of(kept, np.asarray(c)), expected, atol=2e-4)
    eigenspace = np.linalg.norm(jacobian @ basis.T - basis.T @ (basis @ jacobian @ basis.T))
    assert eigenspace > 1e-6  # which the identity does not need


@pytest.mark.parametrize("kind", KINDS)
def test_renewals_turn_to_the_fast_directions(kind: str) -> None:
    """The invariant subspace of the 8 fast rates, by numpy's eigenvectors."""
    jacobian = matrix(kind)
    rates, vectors = np.linalg.eig(jacobian)
    fast = vectors[:, np.argsort(-np.abs(rates))[:RANK]]
    span = np.linalg.svd(np.concatenate([np.real(fast), np.imag(fast)], axis=1))[0][:, :RANK]
    off = []
    for times in (1, 2, 4):
        basis = np.asarray(kept_of(jacobian, times).basis)
        off.append(np.linalg.norm(basis.T - span @ (span.T @ basis.T), 2))
    assert off[2] < 1e-4 and off[0] > 10 * off[1] > 100 * off[2]


@jax.jit
def solution(jacobian, c, kept, b, scale, tight):
    before = None if kept is None else deflating(kept, c)
    return gmres_solve(lambda x: jacobian @ x, c, before)(b, scale, tight)


def solved(
    jacobian: np.ndarray, c: float, kept: Deflation | None, tight: float
) -> tuple[float, bool, int]:
    """(residual, converged, products) of (1 - c J) x = b."""
    rng = np.random.default_rng(3)
    b, scale = rng.normal(size=SIZE), 10.0 ** rng.uniform(-1, 1, SIZE)
    x, converged, products = solution(jacobian, np.asarray(c), kept, b, scale, np.asarray(tight))
    whole = np.eye(SIZE) - c * jacobian
    rest = np.linalg.norm((b - whole @ np.asarray(x)) / scale) / SIZE**0.5
    return rest, bool(converged), int(products)


@pytest.mark.parametrize("kind", KINDS)
def test_systems_take_less_than_two_thirds_of_the_products(kind: str) -> None:
    jacobian, c, tight = matrix(kind), 100.0, 1e-3
    kept = kept_of(jacobian)
    rest, converged, products = solved(jacobian, c, kept, tight)
    bare, there, more = solved(jacobian, c, None, tight)
    for size, fine in ((rest, converged), (bare, there)):
        assert fine and size <= 1.001 * INEXACT * tight
    assert 3 * products < 2 * more
    moved = jacobian + 0.001 * np.random.default_rng(5).normal(size=jacobian.shape) / SIZE**0.5
    assert 3 * solved(moved, c, kept, tight)[2] < 2 * solved(moved, c, None, tight)[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_one_costs_bounded_products_and_no_accuracy(kind: str) -> None:
    """Images that belong to no Jacobian, to the wrong one and to 1/c, where B is singular: the
    residual is small all the same, and at most TRUSTED cycles are spent beside those of plain
    GMRES."""
    jacobian, c, tight = matrix(kind), 30.0, 1e-3
    rng = np.random.default_rng(4)
    good = kept_of(jacobian)
    bad = {
        "random": good._replace(images=100 * rng.normal(size=(RANK, SIZE))),
        "reversed": good._replace(images=-np.asarray(good.images)),
        "singular": good._replace(images=np.asarray(good.basis) / c),
        "nothing": good._replace(images=0 * np.asarray(good.images)),
        "not a number": good._replace(images=np.nan * np.asarray(good.images)),
    }
    _, there, plain = solved(jacobian, c, None, tight)
    assert there
    took = {}
    for name, kept in bad.items():
        rest, converged, took[name] = solved(jacobian, c, kept, tight)
        assert converged and rest <= 1.001 * INEXACT * tight, name
        assert took[name] <= plain + TRUSTED * (CYCLE + 1), name
    assert took["nothing"] == took["not a number"] == plain
    assert max(took.values()) > plain  # they are bad indeed


def test_it_is_renewed_when_a_renewal_has_been_spent_and_waits_where_it_does_not_help() -> None:
    """8 directions: excess over AIM = 3 products a system has to be above 8."""
    worn, systems, minus = jax.jit(is_worn), jax.jit(after_systems), -np.eye(SIZE)
    after = lambda kept, effort: systems(kept, np.asarray(effort))  # noqa: E731
    kept, steps = nothing(), 0
    while not bool(worn(kept)):
        kept, steps = after(kept, 7.0), steps + 1
    assert steps == 3  # 4 each
    kept, products = renew(kept, minus)
    assert int(products) == 2 * RANK and bool(kept.known) and not bool(worn(kept))
    kept = after(kept, 6.5)  # of 7: it has not helped
    assert float(kept.level) == 6.5 and float(kept.patience) == 2.0 and bool(kept.used)
    kept = after(kept, 20.0)
    assert float(kept.excess) == 13.5 and not bool(worn(kept))  # below 16
    kept, products = renew(after(kept, 20.0), minus)
    assert int(products) == RANK
    helped = after(kept, 6.0)  # a third of 20: it has
    assert float(helped.patience) == 1.0 and bool(helped.used)
    aside = after(kept, 7.5)  # more than the 7 that there were without any
    assert not bool(aside.used) and float(after(aside, 9.0).bare) == 9.0
    assert bool(renew(aside, minus)[0].used)
    for _ in range(100):
        kept = after(kept, 2.0)
    assert not bool(worn(kept))  # below the aim nothing is renewed


def test_a_jacobian_that_is_no_number_leaves_what_was_known() -> None:
    good = kept_of(matrix("symmetric"))
    lost = np.full((SIZE, SIZE), np.nan)
    after, _ = renew(good, lost)
    np.testing.assert_array_equal(after.basis, good.basis)
    np.testing.assert_array_equal(after.images, good.images)
    fresh, _ = renew(nothing(), lost)
    assert not bool(fresh.known) and not bool(fresh.used) and not bool(after.used)
    np.testing.assert_array_equal(matrix_of(fresh, np.asarray(1.0)), np.eye(SIZE))


def test_the_first_block_has_no_order() -> None:
    """Independent rows of mean 0 and variance 1/12, as uniform numbers have."""
    block = np.asarray(jax.jit(lambda: deflation._hashed(16, 5000, jnp.float64))())
    assert abs(block.mean()) < 4 / (12 * block.size) ** 0.5
    np.testing.assert_allclose(np.cov(block), np.eye(16) / 12, atol=5 / 12 / 5000**0.5)
