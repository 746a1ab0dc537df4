"""The field of linear networks with its products in the cheaper order.

In a linear net every delta is delta_l = e M_l, M_l (n_L, n_l): W_L ... W_{l+1} for the gradient,
F_L ... F_{l+1} for feedback alignment, D_l for direct feedback. So

    dW_l/dt = -M_l^T (e^T X) W_1^T ... W_{l-1}^T,    f = X (W_L ... W_1)^T,

in which the samples meet matrices of n_L columns only. With few outputs or with X = I (matrix
factorisation) that is fewer multiplications than layer by layer; the numbers are the same to
rounding.
"""

import itertools
from collections.abc import Sequence

import equinox as eqx

from .._types import Array, Matrix
from ..networks import AbstractNetwork, is_linear, widths
from ..tasks import Data


def pays(weights: AbstractNetwork, data: Data) -> bool:
    """Whether the order above takes fewer multiplications than layer by layer (for chains M_l that
    have to be multiplied out); never with biases, which it does not know."""
    if not is_linear(weights) or len(weights.weights) < 2 or weights.biases:
        return False
    sizes = widths(weights)
    samples, inputs, outputs = data.inputs.shape[0], sizes[0], sizes[-1]
    pairs = [into * out for into, out in itertools.pairwise(sizes)]
    by_layer = samples * (2 * sum(pairs) + sum(pairs[1:]))  # forward, outer products, backward
    meetings = 0 if data.identity else 2 * samples * inputs * outputs
    chains = 3 * sum(pairs[:-1]) + sum(pairs[1:-1])  # W_L .. W_1, to the right, M^T (.), M_l
    return meetings + outputs * chains < by_layer


def linear_field(weights: AbstractNetwork, factors: Sequence[Array], data: Data) -> AbstractNetwork:
    """d weights / dt of a linear net without biases whose deltas are delta_l = e M_l."""
    product = weights.weights[-1]
    for weight in weights.weights[-2::-1]:
        product = product @ weight

    def pull(part: Data) -> Matrix:
        """e^T X (n_L, n_0)."""
        error = part.error(product.T if part.identity else part.inputs @ product.T)
        return error.T if part.identity else error.T @ part.inputs

    right = data.summed(pull)
    moves = []
    for weight, factor in zip(weights.weights[:-1], factors, strict=True):
        moves.append(-factor.T @ right)
        right = right @ weight.T
    return eqx.tree_at(lambda net: net.weights, weights, (*moves, -right))
