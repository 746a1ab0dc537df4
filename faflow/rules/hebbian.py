"""Hebbian learning that the error modulates."""

from typing import ClassVar, Literal

import equinox as eqx

from .._types import Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork
from ..tasks import Data
from .abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .backward import outer_products


class Hebbian(AbstractLearningRule):
    """delta_l = -e^2 phi(h_l) (samples, n_l), e (samples, 1) the only output's error; delta_L = e.

    What fires together is wired together: W_l' = sum_mu e^2 a_l a_{l-1}^T. Bordelon & Pehlevan's
    update is Delta gt phi^T with Delta = -e, and their gt is itself Delta phi(h_l), hence the
    square. `modulation = "error"` has delta_l = e phi(h_l) instead. Needs one output. Names no law;
    in linear nets without biases the column space of W_1 stays (W_1' = W_1 S).
    """

    modulation: Literal["squared-error", "error"] = eqx.field(static=True, default="squared-error")
    equation: ClassVar[str] = "delta_l = -e^2 phi(h_l), e the error of the only output"
    source: ClassVar[str] = "Bordelon & Pehlevan 2022 (error-modulated Hebb)"
    form: ClassVar[Form] = "none"

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        outputs = weights.weights[-1].shape[0]
        if outputs != 1:
            raise ValueError(
                f"Rule hebbian needs one output, but the network has {outputs}; end network.widths "
                "in 1."
            )
        return weights

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        trace = state.trace(data.inputs)
        error = data.derivative(trace.outputs)
        signal = error if self.modulation == "error" else -(error**2)
        # Squared before it is weighted: `data.weight` only rescales time.
        deltas = (data.weighed(signal) * a for a in trace.post[1:-1])
        return outer_products(state, trace, (*deltas, data.error(trace.outputs)))

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return state, feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}
