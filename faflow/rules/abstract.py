"""Learning rules as vector fields; each names the laws it keeps."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Outputs, PyTree, Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork, Trace
from ..observables import AbstractConservationLaw
from ..tasks import Data
from .linear_field import known_factors, linear_field, pays

State = PyTree[Array]
Laws = dict[str, AbstractConservationLaw]


class AbstractLearningRule(eqx.Module):
    """A rule in general: an autonomous or time-dependent field on a state of its own.

    `equation` and `source` are printed by `faflow list rules`; `form` says which feedback the rule
    takes: "none", "layerwise" (F_2..F_L) or "direct" (D_1..D_{L-1}).
    """

    equation: eqx.AbstractVar[str]
    source: eqx.AbstractVar[str]
    form: eqx.AbstractVar[Form]

    @abc.abstractmethod
    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        """The state that stands for these weights and feedback.

        Rates of laws, speeds and exponents are taken from this state: for a rule that remembers
        more than weights and feedback (a momentum, say) they are those of a start from rest.
        """

    @abc.abstractmethod
    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        """d state / dt."""

    @abc.abstractmethod
    def read(
        self, state: State, feedback: Feedback, data: Data
    ) -> tuple[AbstractNetwork, Feedback]:
        """The weights and feedback of a state; `feedback` is the one at t = 0."""

    @abc.abstractmethod
    def laws(self, weights: AbstractNetwork) -> Laws:
        """The conservation laws that hold for this network, by name; {} if none is known."""


class AbstractWeightRule(AbstractLearningRule):
    """A rule whose state is the weights themselves."""

    @abc.abstractmethod
    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        """d weights / dt, a network-shaped pytree."""

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> AbstractNetwork:
        return weights

    def velocity(
        self, t: Scalar, state: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        return self.vector_field(state, feedback, data)

    def read(
        self, state: AbstractNetwork, feedback: Feedback, data: Data
    ) -> tuple[AbstractNetwork, Feedback]:
        return state, feedback


class AbstractLayerwiseRule(AbstractWeightRule):
    """dW_l/dt = -delta_l^T a_{l-1}, dbeta_l/dt = -sum_mu delta_l, delta_L = e = dLoss/df.

    A user's rule says how the deltas (samples, n_l) come about:

        class SignSymmetry(AbstractLayerwiseRule):
            equation = "delta_l = phi'(h_l) . (delta_{l+1} sign(W_{l+1}))"
            source = "Liao, Leibo & Poggio 2016"
            form = "none"

            def deltas(self, weights, feedback, trace, error):
                return backward_sweep(weights, map(jnp.sign, weights.weights[1:]), trace, error)

            def laws(self, weights):
                return {}
    """

    @abc.abstractmethod
    def deltas(
        self, weights: AbstractNetwork, feedback: Feedback, trace: Trace, error: Outputs
    ) -> tuple[Array, ...]:
        """(delta_1, ..., delta_L), delta_l (samples, n_l); linear in `error`, delta_L = error."""

    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        if pays(weights, data):
            factors = known_factors(self, weights, feedback)
            if factors is not None:
                return linear_field(weights, factors, data)

        def field(part: Data) -> AbstractNetwork:
            trace = weights.trace(part.inputs)
            error = part.error(trace.outputs)
            return outer_products(weights, trace, self.deltas(weights, feedback, trace, error))

        return data.summed(field)


def slopes(weights: AbstractNetwork, trace: Trace):
    """(phi'(h_1), ..., phi'(h_{L-1})), each (samples, n_l); the gates, in a gated network."""
    # No return type: under the exact integrator a slope is a gate that is no array.
    return trace.slopes or tuple(map(weights.activation.derivative, trace.pre[:-1]))


def backward_sweep(weights: AbstractNetwork, matrices, trace: Trace, error: Outputs):
    """delta_L = error; delta_l = phi'(h_l) . (delta_{l+1} M_{l+1}), M_2..M_L = `matrices`.

    M_l has W_l's shape (n_l, n_{l-1}). Returns (delta_1, ..., delta_L).
    """
    deltas = [error]
    for slope, matrix in zip(slopes(weights, trace)[::-1], tuple(matrices)[::-1], strict=True):
        deltas.append(slope * (deltas[-1] @ matrix))
    return tuple(deltas[::-1])


def direct_sweep(weights: AbstractNetwork, matrices, trace: Trace, drive: Array, error: Outputs):
    """delta_L = error; delta_l = phi'(h_l) . (drive D_l), D_1..D_{L-1} = `matrices` (n_L, n_l).

    `drive` (samples, n_L) is what every hidden layer hears. Returns (delta_1, ..., delta_L).
    """
    pairs = zip(slopes(weights, trace), matrices, strict=True)
    return (*(slope * (drive @ matrix) for slope, matrix in pairs), error)


def outer_products(weights: AbstractNetwork, trace: Trace, deltas) -> AbstractNetwork:
    """-delta_l^T a_{l-1} and -sum_mu delta_l in the shape of the network."""
    moves = tuple(-delta.T @ a for delta, a in zip(deltas, trace.post[:-1], strict=True))
    shifts = tuple(-delta.sum(axis=0) for delta in deltas) if weights.biases else ()
    return eqx.tree_at(lambda net: (net.weights, net.biases), weights, (moves, shifts))


def weight_velocity(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
    t: Scalar | None = None,
) -> tuple[AbstractNetwork, Feedback]:
    """(d weights / dt, d feedback / dt) at time t (0 unless given), through the rule's own state:
    the one that stands for these weights and feedback, unless another is given that `read` makes
    the same of."""
    state = rule.init(weights, feedback, data) if state is None else state
    velocity = rule.velocity(jnp.zeros(()) if t is None else t, state, feedback, data)
    _, tangent = jax.jvp(lambda s: rule.read(s, feedback, data), (state,), (velocity,))
    return tangent
