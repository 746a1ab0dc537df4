"""Inner products and norms of pytrees, taken for one long vector.

As dots, to full precision: XLA's own reductions of a matrix are several times slower on a CPU.
"""

import jax
import jax.numpy as jnp

from .._types import PyTree, Scalar


def dot(a: PyTree, b: PyTree) -> Scalar:
    """sum_i a_i b_i over all entries."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(
        (jnp.vdot(x, y, precision="highest") for x, y in pairs),
        start=jnp.zeros((), jnp.result_type(*jax.tree.leaves(a))),
    )


def norm(a: PyTree) -> Scalar:
    """sqrt(sum_i a_i^2)."""
    return jnp.sqrt(dot(a, a))
