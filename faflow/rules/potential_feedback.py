"""Feedback that is the derivative of a potential of the weights, and mixtures of weights and F.

If the backward pass uses G_{l+1} = d psi / d W_{l+1}, the flow keeps 1/2 ||W_l||^2 -
k psi(W_{l+1}), whatever psi: gradient, feedback alignment and sign symmetry are cases.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree, Scalar
from ..feedback import Feedback, Form
from ..networks import MLP, AbstractNetwork
from ..observables import (
    AbstractPotential,
    FeedbackPotential,
    FunctionPotential,
    WeightPotential,
    balance_laws,
    feedback_of,
    weighted_sum,
)
from .abstract import Laws
from .backward import AbstractChainRule


def log_cosh(weight: Array) -> Array:
    """log cosh w, elementwise: 1/2 w^2 where w is small, |w| - log 2 where it is large."""
    return jnp.logaddexp(weight, -weight) - jnp.log(jnp.full_like(weight, 2.0))


Name = Literal["weights", "feedback", "one-norm", "log-cosh"]
POTENTIALS: dict[Name, Callable[[], AbstractPotential]] = {
    "weights": WeightPotential,
    "feedback": FeedbackPotential,
    "one-norm": lambda: FunctionPotential(jnp.abs),
    "log-cosh": lambda: FunctionPotential(log_cosh),
}


def _named(potential: AbstractPotential | str) -> AbstractPotential:
    if not isinstance(potential, str):
        return potential
    if potential not in POTENTIALS:
        names = ", ".join(POTENTIALS)
        raise ValueError(f"Argument `potential` must be one of {names}, but is {potential!r}.")
    return POTENTIALS[potential]()


class PotentialFeedback(AbstractChainRule):
    """delta_l = phi'(h_l) . (delta_{l+1} G_{l+1}), G = d psi / d W (n_{l+1}, n_l) by autodiff.

    `potential`: psi, an `AbstractPotential` (`FunctionPotential(f)` for psi = sum f(W_ij)) or a
    name: "weights" (the gradient), "feedback" (feedback alignment), "one-norm" (uniform sign
    symmetry), "log-cosh" (G = tanh(W), between the gradient's W and signs). Keeps the balances of
    psi, the matrix in linear nets if psi is quadratic. ValueError for a name that is none.
    """

    potential: AbstractPotential | Name = eqx.field(converter=_named, default="log-cosh")
    equation: ClassVar[str] = "delta_l = phi'(h_l) . (grad psi(W_{l+1})^T delta_{l+1})"
    source: ClassVar[str] = "general form of the laws of Robertson & Koyejo 2023, Theorem 1"
    form: ClassVar[Form] = "layerwise"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        # psi sums over entries: it takes leaves of any shape for matrices of a chain.
        rows = lambda tree: [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)]  # noqa: E731
        net = MLP((jnp.zeros((0, 0)), *rows(weights)))
        back, psi = Feedback(tuple(rows(feedback)), self.form), _named(self.potential)
        leaves, shape = jax.tree.flatten(weights)
        given = (feedback_of(psi, net, back, upper) for upper in range(2, len(leaves) + 2))
        return shape.unflatten(G.reshape(W.shape) for G, W in zip(given, leaves, strict=True))

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, _named(self.potential))


class MixedFeedbackAlignment(AbstractChainRule):
    """delta_l = phi'(h_l) . (delta_{l+1} G_{l+1}), G = share W + (1 - share) F (n_{l+1}, n_l).

    The gradient at `share` 1, feedback alignment at 0. Keeps 1/2 ||W_l||^2 - k psi(W_{l+1}), psi =
    share/2 ||W||^2 + (1 - share) <W, F>, per neuron too, and in linear nets the matrix.
    """

    share: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=0.5)
    equation: ClassVar[str] = (
        "delta_l = phi'(h_l) . (G_{l+1}^T delta_{l+1}), G = share W + (1 - share) F"
    )
    source: ClassVar[str] = "between Rumelhart et al. 1986 and Lillicrap et al. 2016"
    form: ClassVar[Form] = "layerwise"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        mix = lambda W, F: self.share * W + (1 - self.share) * F  # noqa: E731
        return jax.tree.map(mix, weights, feedback)

    def laws(self, weights: AbstractNetwork) -> Laws:
        parts = (WeightPotential(), FeedbackPotential())
        return balance_laws(weights, weighted_sum(parts, (self.share, 1 - self.share)))
