"""The laws of layers that hear one drive through matrices of their own."""

from ..networks import AbstractLayeredNetwork, AbstractNetwork, is_linear
from ..observables import FeedbackPotential, SubspaceBalance, balance_laws, hidden_layers
from .abstract import Laws


def direct_laws(weights: AbstractNetwork, *, last: bool) -> Laws:
    """Of delta_l = phi'(h_l) . (s D_l), D_l (n_L, n_l) of full rank, the same s for l = 1..L-1.

    In linear nets a layer below one of at least n_L units keeps the balances, since D_l^T s =
    F^T D_{l+1}^T s with F = D_{l+1}^+ D_l; below a narrower one the balance on a subspace
    (`SubspaceBalance`), if n_l + n_{l+1} > n_L. Whether another layer is narrow is no matter.
    `last`: s is the error, which the read-out hears as it is; then layer L-1 keeps them under any
    phi.
    """
    if not isinstance(weights, AbstractLayeredNetwork):
        return {}  # a model's laws are stated by its own structure
    *below, top = hidden_layers(weights) or (0,)
    heights = [weight.shape[0] for weight in weights.weights]
    outputs = heights[-1]
    if not is_linear(weights):
        below = []
    wide = [layer for layer in below if heights[layer] >= outputs]
    narrow = [layer for layer in below if heights[layer] < outputs]
    some = tuple(layer for layer in narrow if heights[layer - 1] + heights[layer] > outputs)
    whole = (*wide, top) if last and top else tuple(wide)
    laws = balance_laws(weights, FeedbackPotential(), layers=whole)
    return laws | ({"subspace-balance": SubspaceBalance(some)} if some else {})
