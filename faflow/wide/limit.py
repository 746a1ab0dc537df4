"""Where the linear limit ends, and how fast: Theorem 2's counterpart at infinite width.

With squared loss the flow of `linear.py` ends at least squares of least norm, beta = X^+ y, so that
v = beta / kappa and x = sqrt(2 q) = sqrt D |v| solves

    kappa_{L+1}(x^2 / 2) x = n,        n = sqrt D |X^+ y|   (|y| on whitened data, K^x = 1)

Near it dv/dt = -S J dv with S = X^T X / D and J = kappa + kappa' D v v^T, symmetric and, for
rho >= 0, at least kappa: the exponential rate of the residual is the smallest eigenvalue of
S^{1/2} J S^{1/2} on the span of the data, and at least kappa_{L+1} lambda_min. As kappa_{L+1} grows
with x, richness makes it larger than the lazy sum_l rho^l lambda_min. On whitened data v stays on
the ray of X^T y and the rate is kappa + x^2 kappa'.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._compiling import ONCE, compiled
from .._types import Array, Inputs, Integer, Scalar
from .linear import DeepLinear, WideLinear

HALVINGS = 64


class WideLimit(NamedTuple):
    """`x` = sqrt(2 q) and kappa_{L+1} there; `network` at rest; `alignments` (L+1,): Gt^1, ...,
    Gt^{L+1}; `growths` (L+1,) of H^l = K^x + growths[l] k k^T; `rates` (min(P, D),): those of the
    linearised flow, smallest first, under loss 1/2 sum (f - y)^2; 0 where data lack rank."""

    x: Scalar
    kappa: Scalar
    network: WideLinear
    alignments: Array
    growths: Array
    rates: Array


@compiled(ONCE)
def wide_limit(limit: DeepLinear, inputs: Inputs, targets: Array) -> WideLimit:
    """The end of the flow with squared loss from v = 0, for rho >= 0; pure."""
    features = inputs.shape[1]
    left, sizes, right = jnp.linalg.svd(inputs, full_matrices=False)
    there = sizes > jnp.finfo(sizes.dtype).eps * max(inputs.shape) * sizes[0]
    inverse = jnp.where(there, 1 / jnp.where(there, sizes, 1.0), 0.0)
    beta = right.T @ (inverse * (left.T @ targets))
    x = root(limit, features**0.5 * jnp.linalg.norm(beta))
    kappa, slope = jax.jvp(lambda q: limit.kappas(q)[-1], (0.5 * x * x,), (jnp.ones_like(x),))
    v = right @ beta / kappa
    jacobian = kappa * jnp.eye(len(v)) + slope * features * v[:, None] * v[None, :]
    scales = sizes / features**0.5
    rates = jnp.linalg.eigvalsh(scales[:, None] * jacobian * scales[None, :])
    q = 0.5 * x * x
    return WideLimit(
        x, kappa, WideLinear(beta / kappa, limit), limit.alignments(q), limit.growths(q), rates
    )


@compiled(ONCE)
def root(limit: DeepLinear, norm: ArrayLike) -> Scalar:
    """x >= 0 with kappa_{L+1}(x^2 / 2) x = norm, by bisection; unique for rho >= 0."""
    norm = jnp.asarray(norm, float)
    pull = lambda x: limit.kappas(0.5 * x * x)[-1] * x  # noqa: E731
    # kappa grows with q, so that x is at most norm / kappa(0).
    start = (jnp.zeros_like(norm), norm / limit.coefficients[-1][0])

    def halved(_: Integer, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        middle = 0.5 * (ends[0] + ends[1])
        low = pull(middle) < norm
        return jnp.where(low, middle, ends[0]), jnp.where(low, ends[1], middle)

    low, high = jax.lax.fori_loop(0, HALVINGS, halved, start)
    return 0.5 * (low + high)
