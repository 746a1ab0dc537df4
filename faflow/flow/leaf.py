"""The invariant leaf: the level set of a rule's conserved laws that a flow stays on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg

from .._types import Array, Scalar
from ..observables import AbstractConservationLaw
from ..rules import bare
from .problem import FlowProblem

SOFT = 1e-6  # damping of the least correction


class Leaf(eqx.Module):
    """The finest of a rule's laws as a function of the flat weights; `law` is None if it has none.

    Laws that decay are left out: their level sets move.
    """

    problem: FlowProblem
    law: AbstractConservationLaw | None
    unravel: Any = eqx.field(static=True)

    def __init__(self, problem: FlowProblem):
        claimed = bare(problem.rule).laws(problem.weights).values()
        kept = [law for law in claimed if isinstance(law.decay, float) and law.decay == 0]
        self.problem, self.law = problem, kept[-1] if kept else None
        self.unravel = ravel_pytree(problem.weights)[1]

    def laws(self, w: Array) -> Array:
        """Q(w) as one vector; zero without a law."""
        if self.law is None:
            return jnp.zeros((1,), w.dtype)
        return ravel_pytree(self.law(self.unravel(w), self.problem.feedback, self.problem.data))[0]

    def scale(self, w: Array) -> Scalar:
        """The largest scale of the laws at w, above zero."""
        if self.law is None:
            return jnp.ones((), w.dtype)
        scale = self.law.scale(self.unravel(w), self.problem.feedback, self.problem.data)
        return jnp.maximum(jnp.max(ravel_pytree(scale)[0]), jnp.finfo(w.dtype).tiny)

    def off(self, w: Array, laws: Array) -> Scalar:
        """max |Q(w) - laws| / scale."""
        return jnp.max(jnp.abs(self.laws(w) - laws)) / self.scale(w)

    def back(self, w: Array, laws: Array) -> Array:
        """w on the level Q = laws again: the least correction to first order,
        J^T (J J^T)^{-1} (laws - Q(w)) with J = dQ/dw, by conjugate gradients."""
        if self.law is None:
            return w
        now, push = jax.linearize(self.laws, w)
        pull = jax.linear_transpose(push, w)
        missing, tiny = laws - now, jnp.finfo(w.dtype).tiny
        stiffness = jnp.sum(pull(missing)[0] ** 2) / jnp.maximum(jnp.sum(missing**2), tiny)
        # Laws may depend on each other: what of `missing` is rounding must not be blown up.
        damped = lambda y: push(pull(y)[0]) + SOFT * stiffness * y  # noqa: E731
        dual = cg(damped, missing, tol=1e-6, maxiter=100)[0]
        return w + pull(dual)[0]
