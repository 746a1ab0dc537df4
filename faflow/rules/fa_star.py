"""FA*: feedback alignment with the read-out slaved to its least-squares optimum."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np

from .._types import Array, Matrix, Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork, is_linear
from ..observables import SlavedReadoutPotential, balance_laws
from ..tasks import Data, Squared, Task
from .abstract import Laws, State, WeightsAndFeedback
from .layerwise import FeedbackAlignment
from .particular import AbstractParticularRule, Misfit


class FAStar(AbstractParticularRule):
    """W_L = argmin ||f - y||, the layers below by feedback alignment.

    Factorisation ||Z W - Y||: Z = Y W^T (W W^T)^{-1}, W' = B (Y - Z W), with W W^T conserved. The
    state is the network without W_L, which `read` puts back. Our reading of the variant that Garg &
    Vempala 2022 name. Needs the squared loss, no biases, and a_{L-1} of full column rank (hidden
    width at most the number of samples).
    """

    equation: ClassVar[str] = "W_L = argmin ||f - y||; delta_l as in FA for l < L"
    source: ClassVar[str] = "Garg & Vempala 2022 (our reading of FA*)"
    form: ClassVar[Form] = "layerwise"

    def suit(self, weights: AbstractNetwork, feedback: Feedback, task: Task) -> "FAStar":
        if not isinstance(task.data.loss, Squared):
            raise Misfit("task.loss", "is VALUE, but the rule RULE needs 'squared'")
        if len(weights.weights) < 2:
            raise Misfit("network.widths", "lists no hidden layer, but the rule RULE needs one")
        self.init(weights, feedback, task.data)
        features = np.asarray(task.data.rooted(weights.trace(task.data.inputs).post[-2]))
        rank, width = int(np.linalg.matrix_rank(features)), features.shape[1]
        if rank < width:
            what = f"has a last hidden width {width}, but its features have rank {rank}; RULE needs"
            raise Misfit("network.widths", f"{what} a width of at most that (see rule.kind)")
        return self

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        if weights.biases:
            raise ValueError(
                "Rule FA* has no biases, but the network has; set network.bias = false."
            )
        if not isinstance(data.loss, Squared):
            raise ValueError("Rule FA* needs the squared loss; set task.loss = 'squared'.")
        sizes = [data.inputs.shape[0]]
        if is_linear(weights):
            sizes += [weight.shape[1] for weight in weights.weights[:-1]]
        width = weights.weights[-1].shape[1]
        if width > min(sizes):
            raise ValueError(
                "Rule FA* needs features of full rank: a last hidden width of at most the number "
                f"of samples (in linear nets also every earlier width) = {min(sizes)}, but it is "
                f"{width}; lower it."
            )
        return _without_readout(weights)

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        weights, _ = self.read(state, feedback, data)
        return _without_readout(FeedbackAlignment().vector_field(weights, feedback, data))

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        optimum = least_squares_readout(state, data)
        return eqx.tree_at(_readout, state, optimum, is_leaf=lambda leaf: leaf is None), feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, SlavedReadoutPotential())


def least_squares_readout(state: AbstractNetwork, data: Data) -> Matrix:
    """W_L = argmin_V ||a_{L-1} V^T - y||_F by QR: W_L^T = R^{-1} Q^T y; rows by sqrt(s_n)."""
    features = data.rooted(_features(state, data.inputs))
    frame, triangle = jnp.linalg.qr(features)
    return jax.scipy.linalg.solve_triangular(triangle, frame.T @ data.rooted(data.targets)).T


def _features(state: AbstractNetwork, inputs: Array) -> Array:
    blank = jnp.zeros((1, state.weights[-2].shape[0]), inputs.dtype)  # a read-out nobody reads
    network = eqx.tree_at(_readout, state, blank, is_leaf=lambda leaf: leaf is None)
    return network.trace(inputs).post[-2]


def _readout(network: AbstractNetwork) -> Any:
    return network.weights[-1]


def _without_readout(network: AbstractNetwork) -> AbstractNetwork:
    return eqx.tree_at(_readout, network, None)
