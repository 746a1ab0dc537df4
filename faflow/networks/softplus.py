"""log(1 + e^h) to rounding, at a fraction of the price that XLA's logarithm has in float64, and its
derivative from the same exponential."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp

from .._types import Array

TERMS = 34  # they fall like 3^-k, |t| <= 1


def _taylor() -> list[float]:
    """g_k of log(1 + e) / e = sum_k g_k t^k, t = 2 e - 1.

    (1 + t) / 2 times it is log(3 / 2) + log(1 + t / 3) = sum_k l_k t^k, so g_k = 2 l_k - g_{k-1}.
    """
    with localcontext() as context:
        context.prec = 40
        found = [2 * Decimal("1.5").ln()]
        for k in range(1, TERMS):
            found.append(2 * Decimal((-1) ** (k + 1)) / (k * Decimal(3) ** k) - found[-1])
        return [float(term) for term in found]


_TAYLOR = _taylor()


@jax.custom_jvp
def softplus(h: Array) -> Array:
    """max(h, 0) + log(1 + e), e = exp(-|h|), elementwise."""
    e = jnp.exp(-jnp.abs(h))
    t = 2 * e - 1
    ratio = jnp.full_like(e, _TAYLOR[-1])
    for term in _TAYLOR[-2::-1]:
        ratio = ratio * t + term
    return jnp.maximum(h, 0) + e * ratio


@softplus.defjvp
def _along(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (h,), (push,) = primals, tangents
    return softplus(h), sigmoid(h) * push


def sigmoid(h: Array) -> Array:
    """1 / (1 + e^-h), elementwise, of e = exp(-|h|) as `softplus`: where both are asked for, the
    exponential is computed once."""
    e = jnp.exp(-jnp.abs(h))
    return jnp.where(h < 0, e, 1) / (1 + e)
