"""The backward pass of a rule as one noun: which weights it uses, or what hidden layers hear.

A chain rule goes back through matrices M_2..M_L in place of W_2..W_L, a direct rule sends the error
to every hidden layer at once. What needs more than the deltas (the field of linear nets, the
Jacobian, the exact flow) reads that noun; a rule that says its deltas alone does without.
"""

import abc
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import matmul
from typing import Any, TypeGuard, TypeVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Outputs, PyTree
from ..feedback import Feedback
from ..networks import AbstractNetwork, Model, Trace
from ..tasks import Data
from .abstract import AbstractLearningRule, AbstractWeightRule
from .linear_field import linear_field, pays
from .models.model_field import direct_field, model_field


class AbstractLayerwiseRule(AbstractWeightRule):
    """dW_l/dt = -delta_l^T a_{l-1}, dbeta_l/dt = -sum_mu delta_l, delta_L = e = dLoss/df.

    The general form, for a rule that is neither a chain (`AbstractChainRule`) nor direct
    (`AbstractDirectRule`): it says how the deltas (samples, n_l) come about.
    """

    @abc.abstractmethod
    def deltas(
        self, weights: AbstractNetwork, feedback: Feedback, trace: Trace, error: Outputs
    ) -> tuple[Array, ...]:
        """(delta_1, ..., delta_L), delta_l (samples, n_l); linear in `error`, delta_L = error."""

    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        if isinstance(weights, Model):
            if says_no_more(self, AbstractChainRule):
                return model_field(self.backward, self.form, weights, feedback, data)
            if says_no_more(self, AbstractDirectRule) and self.form == "direct":
                return direct_field(self.heard, weights, feedback, data)
            raise ValueError(f"{type(self).__name__} needs the layers of an MLP, not a model.")
        factors = linear_factors(self, weights, feedback) if pays(weights, data) else None
        if factors is not None:
            return linear_field(weights, factors, data)

        def field(part: Data) -> AbstractNetwork:
            trace = weights.trace(part.inputs)
            error = part.error(trace.outputs)
            return outer_products(weights, trace, self.deltas(weights, feedback, trace, error))

        return data.summed(field)


class AbstractChainRule(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . (delta_{l+1} M_{l+1}): a rule is which weights the backward pass uses.

    A user's rule says them:

        class SignSymmetry(AbstractChainRule):
            equation = "delta_l = phi'(h_l) . (delta_{l+1} sign(W_{l+1}))"
            source = "Liao, Leibo & Poggio 2016"
            form = "none"

            def backward(self, weights, feedback):
                return jax.tree.map(jnp.sign, weights)

            def laws(self, weights):
                return {}
    """

    @abc.abstractmethod
    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        """M(W, F), of the structure and shapes of `weights`.

        `weights` are those that the error meets on its way back, (W_2, ..., W_L) in a layered
        network; `feedback` has their structure, (F_2, ..., F_L), or is () for the form "none".
        """

    def matrices(self, weights: AbstractNetwork, feedback: Feedback) -> tuple[Array, ...]:
        """(M_2, ..., M_L) of a layered network, M_l (n_l, n_{l-1})."""
        return tuple(self.backward(tuple(weights.weights[1:]), tuple(feedback.matrices)))

    def deltas(
        self, weights: AbstractNetwork, feedback: Feedback, trace: Trace, error: Outputs
    ) -> tuple[Array, ...]:
        return backward_sweep(weights, self.matrices(weights, feedback), trace, error)


class AbstractDirectRule(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . s_l, delta_L = e: every hidden layer hears the error by itself."""

    @abc.abstractmethod
    def drive(self, feedback: Sequence[Array], error: Outputs) -> Sequence[Array]:
        """(s_1, ..., s_{L-1}), s_l (samples, n_l): what the hidden layers hear of `error`.

        Linear in `error`, each sample by itself. `feedback` holds the rule's matrices.
        """

    def deltas(
        self, weights: AbstractNetwork, feedback: Feedback, trace: Trace, error: Outputs
    ) -> tuple[Array, ...]:
        pairs = zip(slopes(weights, trace), self.drive(feedback.matrices, error), strict=True)
        return (*(slope * signal for slope, signal in pairs), error)

    def heard(self, matrices: Sequence[Array], outputs: Array, data: Data) -> Sequence[Array]:
        """What the blocks of a model hear: the drive, of an error (samples, numbers)."""
        return self.drive(matrices, data.error(outputs).reshape(len(outputs), -1))


Kind = TypeVar("Kind", bound=AbstractLayerwiseRule)


def says_no_more(rule: AbstractLearningRule, kind: type[Kind]) -> TypeGuard[Kind]:
    """Whether what `kind` asks of a rule is all that moves the weights: a class derived from one of
    that kind may have deltas or a field of its own."""
    own = ("deltas", "vector_field", "velocity")
    return isinstance(rule, kind) and all(
        getattr(type(rule), name) is getattr(kind, name) for name in own
    )


def linear_factors(
    rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback
) -> Sequence[Array] | None:
    """(M_1, ..., M_{L-1}) with delta_l = e M_l, M_l (n_L, n_l), in a linear net; None if the rule
    says its deltas alone."""
    if says_no_more(rule, AbstractChainRule):
        chain = rule.matrices(weights, feedback)
        return tuple(accumulate(chain[::-1], matmul))[::-1]
    if says_no_more(rule, AbstractDirectRule):
        last = weights.weights[-1]
        return rule.drive(feedback.matrices, jnp.eye(len(last), dtype=last.dtype))
    return None


def slopes(weights: AbstractNetwork, trace: Trace) -> tuple[Any, ...]:
    """(phi'(h_1), ..., phi'(h_{L-1})), each (samples, n_l); the gates, in a gated network."""
    # Not only arrays: under the exact integrator a slope may be a gate that is none.
    return trace.slopes or tuple(map(weights.activation.derivative, trace.pre[:-1]))


def backward_sweep(
    weights: AbstractNetwork, matrices: Iterable[Array], trace: Trace, error: Outputs
) -> tuple[Array, ...]:
    """delta_L = error; delta_l = phi'(h_l) . (delta_{l+1} M_{l+1}), M_2..M_L = `matrices`.

    M_l has W_l's shape (n_l, n_{l-1}). Returns (delta_1, ..., delta_L).
    """
    deltas = [error]
    for slope, matrix in zip(slopes(weights, trace)[::-1], tuple(matrices)[::-1], strict=True):
        deltas.append(slope * (deltas[-1] @ matrix))
    return tuple(deltas[::-1])


def direct_sweep(
    weights: AbstractNetwork,
    matrices: Iterable[Array],
    trace: Trace,
    drive: Outputs,
    error: Outputs,
) -> tuple[Array, ...]:
    """delta_L = error; delta_l = phi'(h_l) . (drive D_l), D_1..D_{L-1} = `matrices` (n_L, n_l).

    `drive` (samples, n_L) is what every hidden layer hears. Returns (delta_1, ..., delta_L).
    """
    pairs = zip(slopes(weights, trace), matrices, strict=True)
    return (*(slope * (drive @ matrix) for slope, matrix in pairs), error)


def outer_products(
    weights: AbstractNetwork, trace: Trace, deltas: Sequence[Array]
) -> AbstractNetwork:
    """-delta_l^T a_{l-1} and -sum_mu delta_l in the shape of the network."""
    moves = tuple(-delta.T @ a for delta, a in zip(deltas, trace.post[:-1], strict=True))
    shifts = tuple(-delta.sum(axis=0) for delta in deltas) if weights.biases else ()
    return eqx.tree_at(lambda net: (net.weights, net.biases), weights, (moves, shifts))
