"""A gaussian matrix between two layers of infinite width, known by what it was multiplied with.

Of W = W^l(0) the theory needs only W phi_i / sqrt N and W^T b_i / sqrt N at the times t_0, t_1, ...
With S particles on either side let p_0, p_1, ... be the vectors of phi's history made orthonormal
in the order of times, <p_i p_j> = delta_ij, q_0, q_1, ... those of b's, and x_i, y_i fresh normals
on the other side. Then

    W phi_i   = sum_j <phi_i p_j> x_j + sum_j <phi_i y_j> q_j        (u^{l+1}; its response A, C)
    W^T b_i   = sum_j <b_i q_j> y_j + sum_j <b_i x_j> p_j            (r^l, v^l; their response B)

The first sums have the covariances Phi^l and G^{l+1}: <phi p> is Cholesky's factor. The second ones
are the responses by Stein's lemma, <b_i x_j> = sum_k <d b_i / d u_k> <phi_k p_j>, without phi'' and
without the inverse of a covariance, which paths that are smooth make nearly singular.
"""

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from .._types import Array, Integer

JITTER = 1e-12  # of a field's variance: what is less of it is not told from nothing


class Bond(eqx.Module):
    """`x` (T, P, S), `y` (T, C, S): normals; `p`, `q`, of the same shapes, fill up in time. C is P,
    or 2 P where two backward signals are sent; `fresh` (T, C, S): normals of another matrix, the
    feedback's own, if there is one."""

    x: Array
    y: Array
    p: Array
    q: Array
    fresh: Array | None

    def up(self, phi: Array, i: Integer) -> tuple[Array, "Bond"]:
        """W phi_i (P, S) of phi_i (P, S), and the bond with p_i."""
        factor, p = _orthogonal(phi, self.p, i)
        return _mixed(factor, self.x) + response_of(phi, self.y, self.q), _with(self, "p", p)

    def down(self, back: Array, i: Integer) -> tuple[Array, Array | None, "Bond"]:
        """W^T b_i (C, S) of b_i (C, S), V^T b_i of the feedback's own V, the bond with q_i."""
        factor, q = _orthogonal(back, self.q, i)
        field = _mixed(factor, self.y) + response_of(back, self.x, self.p)
        own = None if self.fresh is None else _mixed(factor, self.fresh)
        return field, own, _with(self, "q", q)


def bond(x: Array, y: Array, fresh: Array | None) -> Bond:
    """One that nothing was multiplied with."""
    return Bond(x, y, jnp.zeros_like(x), jnp.zeros_like(y), fresh)


def response_of(values: Array, noise: Array, others: Array) -> Array:
    """sum_j <values noise_j> others_j: how the fields answer to what the other side was told."""
    return _mixed(moments(values, noise), others)


def moments(values: Array, history: Array) -> Array:
    """<values history_j> (K, T, C) over particles, of (K, S) and (T, C, S)."""
    return jnp.einsum("ks,tcs->ktc", values, history) / values.shape[1]


def _mixed(factor: Array, history: Array) -> Array:
    return jnp.einsum("ktc,tcs->ks", factor, history)


def _orthogonal(values: Array, history: Array, i: Integer) -> tuple[Array, Array]:
    """<values p_j> (K, T, K), and the history with p_i (K, S): what is new in them."""
    past = history.at[i].set(0.0)
    factor = moments(values, past)
    rest = values - _mixed(factor, past)
    count = values.shape[1]
    left = rest @ rest.T / count
    size = jnp.sum(values * values) / values.size
    root = jnp.linalg.cholesky(left + (JITTER * size + 1e-300) * jnp.eye(len(values)))
    new = solve_triangular(root, rest, lower=True)
    return factor.at[:, i].set(values @ new.T / count), past.at[i].set(new)


def _with(given: Bond, name: str, value: Array) -> Bond:
    return eqx.tree_at(lambda b: getattr(b, name), given, value)
