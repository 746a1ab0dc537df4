"""Order parameters of student and teacher, two layers, scalar output, and how they move.

Fields h = W x (K of the student) and h~ = W~ x (M of the teacher) of inputs x ~ N(0, I_N) are
gaussian with covariance [[Q, R], [R^T, T]], Q = W W^T, R = W W~^T, T = W~ W~^T, so Q, R and v tell
all that matters: the loss e_g = 1/2 E (y* - f)^2 with f = sum_k v_k g(h_k), y* = sum_m A_m g(h~_m).

A step of online learning on a fresh sample, with delta = y* + noise xi - f and F the feedback (v
itself for the gradient), is

    W_k += (eta / N) F_k delta g'(h_k) x        v_k += (eta / N) delta g(h_k)

Time here is t = eta * steps / N, the sum of the steps' rates, as everywhere in faflow; the time of
Saad & Solla 1995 and of Refinetti et al. 2021 is steps / N = t / eta (and their w is sqrt N W). As
N -> inf at fixed eta,

    R_kn' = F_k E delta g'(h_k) h~_n             v_k' = E delta g(h_k)
    Q_ik' = F_i E delta g'(h_i) h_k + (i <-> k) + eta F_i F_k E delta^2 g'(h_i) g'(h_k)

where delta^2 includes noise^2, and eta -> 0 is the flow of the population loss, for every N.
"""

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Matrix, Scalar
from ..networks import AbstractActivation
from .integrals import AbstractIntegrals, AbstractStepIntegrals, choices, integrals_of


class OrderParameters(eqx.Module):
    """Q (K, K) = W W^T, R (K, M) = W W~^T and the read-out v (K,)."""

    q: Matrix
    r: Matrix
    v: Array


class KnownTeacher(eqx.Module):
    """W~ (M, N), its read-out A (M,), the noise of its labels, and what places a student by it.

    `frame` (K, N): orthonormal rows, orthogonal to W~ (`place.frame_of`); `activation`: of student
    and teacher both.
    """

    weights: Matrix
    readout: Array
    noise: Scalar
    frame: Matrix
    activation: AbstractActivation = eqx.field(static=True)

    @property
    def t(self) -> Matrix:
        """T = W~ W~^T (M, M)."""
        return self.weights @ self.weights.T

    @property
    def integrals(self) -> AbstractIntegrals:
        found = integrals_of(self.activation)
        assert found is not None  # rules refuse other activations
        return found


def covariance(order: OrderParameters, t: Matrix) -> Matrix:
    """[[Q, R], [R^T, T]] (K + M, K + M) of the fields, students first."""
    return jnp.block([[order.q, order.r], [order.r.T, t]])


def population_loss(order: OrderParameters, teacher: KnownTeacher) -> Scalar:
    """e_g = 1/2 E (y* - f)^2, y* without noise, from I2. A sum of terms of both signs: below 1e-15
    of them it is rounding, and may be negative."""
    fields = covariance(order, teacher.t)
    every = jnp.arange(fields.shape[0])
    signs = _signs(order, teacher)
    return 0.5 * signs @ teacher.integrals.i2(choices(fields, every, every)) @ signs


def drift(
    order: OrderParameters, back: Array, teacher: KnownTeacher, eta: Scalar
) -> OrderParameters:
    """(Q', R', v') of the module docstring; `back` = F (K,)."""
    integrals, fields, width = teacher.integrals, covariance(order, teacher.t), len(order.v)
    every, students = jnp.arange(fields.shape[0]), jnp.arange(width)
    signs = _signs(order, teacher)
    # E delta g'(h_k) h_b for all fields b, (K, K + M).
    pulls = back[:, None] * (integrals.i3(choices(fields, students, every, every)) @ signs)
    q, r = pulls[:, :width], pulls[:, width:]
    v = integrals.i2(choices(fields, students, every)) @ signs
    spread = _spread(integrals, fields, signs, teacher.noise, width, eta)
    return OrderParameters(q + q.T + eta * back[:, None] * back[None, :] * spread, r, v)


def _spread(
    integrals: AbstractIntegrals,
    fields: Matrix,
    signs: Array,
    noise: Scalar,
    width: int,
    eta: Scalar,
) -> Array:
    """E delta^2 g'(h_i) g'(h_k) (K, K); nan where it is asked for and not known."""
    every, students = jnp.arange(fields.shape[0]), jnp.arange(width)
    if not isinstance(integrals, AbstractStepIntegrals):
        return jnp.full((width, width), jnp.where(eta == 0, 0.0, jnp.nan))
    squares = integrals.i4(choices(fields, students, students, every, every)) @ signs @ signs
    return squares + noise**2 * integrals.j2(choices(fields, students, students))


def _signs(order: OrderParameters, teacher: KnownTeacher) -> Array:
    """u (K + M,) with delta = sum_c u_c g(h_c): -v of the student, A of the teacher."""
    return jnp.concatenate([-order.v, teacher.readout])
