"""Potentials psi of the laws: what feedback contributes to a balance.

If the backward pass of layer l uses G_{l+1} = d psi / d W_{l+1}, then along the flow
1/2 ||W_l||^2 - k psi(W_{l+1}) never changes. Gradient: psi = 1/2 ||W||^2; feedback alignment:
psi = <W, F> (Robertson & Koyejo 2023, Theorem 1); Kolen-Pollack: psi = 1/2 ||F||^2, F moving;
sign-symmetric feedback: psi = sum |M| |W|; any other: `FunctionPotential`. Sums of feedback have
the sum of potentials: `weighted_sum`.
"""

import abc
from collections.abc import Callable, Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Matrix, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork


class AbstractPotential(eqx.Module):
    """psi of layer l + 1 (named `upper`, 2..L), entry by entry."""

    @abc.abstractmethod
    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        """An (n_{l+1}, n_l) array whose sum is psi and whose column sums are psi per neuron."""


class AbstractQuadraticPotential(AbstractPotential):
    """psi a polynomial of degree at most two in W and F: it has the matrix of linear nets.

    G is then affine in W, so that G^T W' + W'^T G is a derivative; for the signs of W it is none.
    """

    @abc.abstractmethod
    def matrix(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        """M (n_l, n_l) with M' = G^T W' + W'^T G; 1/2 tr M = psi."""


class WeightPotential(AbstractQuadraticPotential):
    """psi = 1/2 ||W||^2, G = W: the gradient's balance (Arora et al. 2018; Du et al. 2018)."""

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return 0.5 * weights.weights[upper - 1] ** 2

    def matrix(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        weight = weights.weights[upper - 1]
        return weight.T @ weight


class FeedbackPotential(AbstractQuadraticPotential):
    """psi = <W, F>, G = F fixed: feedback alignment.

    Direct feedback counts as the layerwise feedback it equals: F_L = D_{L-1}, and in linear nets
    F_{l+1} = D_{l+1}^+ D_l (needs D_{l+1} of full row rank, so n_{l+1} >= n_L).
    """

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return weights.weights[upper - 1] * effective_feedback(feedback, upper)

    def matrix(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        cross = effective_feedback(feedback, upper).T @ weights.weights[upper - 1]
        return cross + cross.T


class MovingFeedbackPotential(AbstractQuadraticPotential):
    """psi = 1/2 ||F||^2 with F' = W': Kolen-Pollack, whose feedback moves with the weights."""

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return 0.5 * feedback.matrices[upper - 2] ** 2

    def matrix(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        matrix = feedback.matrices[upper - 2]
        return matrix.T @ matrix


class SlavedReadoutPotential(AbstractQuadraticPotential):
    """psi = 0 under a read-out slaved to its least-squares optimum (FA*); <W, F> further below.

    At the optimum sum_mu e a_{L-1}^T = 0, so the last hidden layer's own norm is kept.
    """

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        if upper == len(weights.weights):
            return jnp.zeros_like(weights.weights[-1])
        return FeedbackPotential().entries(weights, feedback, upper)

    def matrix(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        if upper == len(weights.weights):
            return jnp.zeros((weights.weights[-1].shape[1],) * 2)
        return FeedbackPotential().matrix(weights, feedback, upper)


class UniformSignPotential(AbstractPotential):
    """psi = scale ||W||_1 (entrywise), G = scale sign(W): uniform sign symmetry."""

    scale: Scalar

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return self.scale * jnp.abs(weights.weights[upper - 1])


class FixedMagnitudeSignPotential(AbstractPotential):
    """psi = sum |M| |W|, G = |M| . sign(W) with M the fixed feedback: only its sizes count."""

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return jnp.abs(feedback.matrices[upper - 2]) * jnp.abs(weights.weights[upper - 1])


class FunctionPotential(AbstractPotential):
    """psi = sum_ij function(W_ij), G = function'(W) elementwise, by autodiff.

    `function` takes an array to one of its shape. Arrays that it holds (as an equinox module does)
    are traced, and may be swept.
    """

    function: Callable[[Array], Array]

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return self.function(weights.weights[upper - 1])


class SumPotential(AbstractPotential):
    """psi = sum_i shares_i psi_i; see `weighted_sum`."""

    parts: tuple[AbstractPotential, ...]
    shares: tuple[Scalar, ...]

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return _summed(self.shares, (p.entries(weights, feedback, upper) for p in self.parts))


class QuadraticSumPotential(AbstractQuadraticPotential):
    """psi = sum_i shares_i psi_i, every psi_i quadratic; see `weighted_sum`."""

    parts: tuple[AbstractQuadraticPotential, ...]
    shares: tuple[Scalar, ...]

    def entries(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return _summed(self.shares, (p.entries(weights, feedback, upper) for p in self.parts))

    def matrix(self, weights: AbstractNetwork, feedback: Feedback, upper: int) -> Matrix:
        return _summed(self.shares, (p.matrix(weights, feedback, upper) for p in self.parts))


def weighted_sum(
    parts: tuple[AbstractPotential, ...], shares: Sequence[Scalar | float | int]
) -> AbstractPotential:
    """psi = sum_i shares_i psi_i of feedback G = sum_i shares_i G_i; quadratic if all parts are.

    `shares`: numbers or scalar arrays, one per part. ValueError if their count is another.
    """
    weights = tuple(jnp.asarray(share, float) for share in shares)
    if len(weights) != len(parts) or not parts:
        raise ValueError(
            f"Argument `shares` must hold one number per potential, but has {len(weights)} for "
            f"{len(parts)}."
        )
    quadratic = tuple(part for part in parts if isinstance(part, AbstractQuadraticPotential))
    if len(quadratic) == len(parts):
        return QuadraticSumPotential(quadratic, weights)
    return SumPotential(tuple(parts), weights)


def _summed(shares: tuple[Scalar, ...], terms: Iterable[Matrix]) -> Matrix:
    first, *more = (share * term for share, term in zip(shares, terms, strict=True))
    return sum(more, first)


def feedback_of(
    potential: AbstractPotential, weights: AbstractNetwork, feedback: Feedback, upper: int
) -> Matrix:
    """G_upper = d psi / d W_upper (n_upper, n_{upper-1}), by autodiff."""

    def psi(weight: Matrix) -> Scalar:
        there = eqx.tree_at(lambda net: net.weights[upper - 1], weights, weight)
        return jnp.sum(potential.entries(there, feedback, upper))

    return jax.grad(psi)(weights.weights[upper - 1])


def effective_feedback(feedback: Feedback, upper: int) -> Matrix:
    """F_upper (n_upper, n_{upper-1}); for direct feedback the layerwise matrix it stands for."""
    if feedback.form == "layerwise":
        return feedback.matrices[upper - 2]
    if upper == len(feedback.matrices) + 1:
        return feedback.matrices[-1]
    above, here = feedback.matrices[upper - 1], feedback.matrices[upper - 2]
    return jnp.linalg.pinv(above) @ here
