"""Learning from infinitely many samples, as a rule on order parameters like any other."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer

from .._types import Array, Scalar
from ..feedback import Feedback, Form
from ..networks import MLP, AbstractNetwork
from ..observables import (
    AbstractConservationLaw,
    AbstractPotential,
    FeedbackPotential,
    WeightPotential,
    balance_laws,
)
from ..rules import AbstractParticularRule, Misfit
from ..tasks import Data, Squared, Task, Teacher
from .integrals import AbstractStepIntegrals, integrals_of
from .order_parameters import KnownTeacher, OrderParameters, drift
from .place import frame_of, weights_of


class AbstractPopulationRule(AbstractParticularRule):
    """Online learning from a teacher, one fresh sample a step, as N -> inf (order_parameters.py).

    `eta`: the learning rate of both layers, one step being eta / N times the gradient of its
    sample; 0 is the flow of the population loss. `teacher`: set by `taught`. The data only measure:
    the weights that `read` returns have the state's order parameters, are W(0) at t = 0, and see
    the data's inputs.
    """

    eta: eqx.AbstractVar[Scalar]
    teacher: eqx.AbstractVar[KnownTeacher | None]

    @abc.abstractmethod
    def backward(self, readout: Array, feedback: Feedback) -> Array:
        """F (K,): what the error is carried back by, given v (K,)."""

    @property
    @abc.abstractmethod
    def potential(self) -> AbstractPotential:
        """psi of the laws."""

    def suit(
        self, weights: AbstractNetwork, feedback: Feedback, task: Task
    ) -> "AbstractPopulationRule":
        """Taught by the task's teacher, whose inputs it has as they are drawn."""
        if not isinstance(weights, MLP):
            raise Misfit("network.kind", "is VALUE, but RULE has equations for 'mlp' alone")
        for option in task.preparation:
            what = "is VALUE, but RULE has inputs of N(0, 1); remove it"
            raise Misfit(f"task.{option}", what)
        return self.taught(task.teacher, weights)

    def taught(self, teacher: Teacher | None, weights: AbstractNetwork) -> "AbstractPopulationRule":
        """This rule, taught by `teacher` and reading from where `weights` = W(0) lie.

        ValueError in one line unless both are bias-free nets of two layers and one output with the
        same activation, one whose integrals are known, and N >= K + M.
        """
        if teacher is None:
            raise ValueError(
                "Rules of the population learn from a teacher, but the task has none; "
                "set task.kind = 'teacher'."
            )
        _check_student(weights)
        _check_teacher(teacher.network, weights)
        _check_eta(self.eta, weights)
        hidden, readout = teacher.network.weights
        known = KnownTeacher(
            hidden,
            readout[0],
            jnp.asarray(teacher.noise, hidden.dtype),
            frame_of(weights.weights[0], hidden),
            weights.activation,
        )
        return eqx.tree_at(lambda rule: rule.teacher, self, known, is_leaf=lambda x: x is None)

    def known(self) -> KnownTeacher:
        """The teacher; ValueError if the rule has not been taught."""
        if self.teacher is None:
            raise ValueError(
                "Rules of the population need to know the teacher and W(0), but this one does not; "
                "use rule.taught(teacher, weights)."
            )
        return self.teacher

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> OrderParameters:
        if not isinstance(data.loss, Squared):
            raise ValueError(
                "Rules of the population have the squared loss; set task.loss = 'squared'."
            )
        return order_of(weights, self.known())

    def velocity(
        self, t: Scalar, state: OrderParameters, feedback: Feedback, data: Data
    ) -> OrderParameters:
        return drift(state, self.backward(state.v, feedback), self.known(), self.eta)

    def read(self, state: OrderParameters, feedback: Feedback, data: Data) -> tuple[MLP, Feedback]:
        known = self.known()
        return MLP((weights_of(state, known), state.v[None, :]), (), known.activation), feedback

    def laws(self, weights: AbstractNetwork) -> dict[str, AbstractConservationLaw]:
        """Those of the flow, which steps break by eta / 2 F_k^2 E delta^2 g'(h_k)^2: none unless
        eta is known to be 0."""
        if isinstance(self.eta, Tracer) or self.eta != 0 or len(weights.weights) != 2:
            return {}
        return balance_laws(weights, self.potential)


def order_of(weights: AbstractNetwork, teacher: KnownTeacher) -> OrderParameters:
    """Q = W W^T, R = W W~^T, v."""
    hidden, readout = weights.weights
    return OrderParameters(hidden @ hidden.T, hidden @ teacher.weights.T, readout[0])


class PopulationGradient(AbstractPopulationRule):
    """Online gradient descent: F = v."""

    eta: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=0.0)
    teacher: KnownTeacher | None = None
    equation: ClassVar[str] = "(Q, R, v)' of W_k += eta/N v_k delta g'(h_k) x, N -> inf, per eta"
    source: ClassVar[str] = "Saad & Solla 1995; Goldt et al. 2019"
    form: ClassVar[Form] = "none"

    def backward(self, readout: Array, feedback: Feedback) -> Array:
        return readout

    @property
    def potential(self) -> WeightPotential:
        return WeightPotential()


class PopulationDirectFeedbackAlignment(AbstractPopulationRule):
    """Online (direct) feedback alignment, the same in two layers: F = D_1 fixed."""

    eta: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=0.0)
    teacher: KnownTeacher | None = None
    equation: ClassVar[str] = "(Q, R, v)' of W_k += eta/N F_k delta g'(h_k) x, N -> inf, per eta"
    source: ClassVar[str] = "Refinetti, d'Ascoli, Ohana & Goldt 2021"
    form: ClassVar[Form] = "direct"

    def backward(self, readout: Array, feedback: Feedback) -> Array:
        return feedback.matrices[0][0]

    @property
    def potential(self) -> FeedbackPotential:
        return FeedbackPotential()


def _check_student(weights: AbstractNetwork) -> None:
    if len(weights.weights) != 2 or weights.weights[1].shape[0] != 1:
        sizes = [weights.weights[0].shape[1], *(matrix.shape[0] for matrix in weights.weights)]
        raise ValueError(
            "Rules of the population have one hidden layer and one output, but network.widths is "
            f"{sizes}; list three widths, the last of them 1."
        )
    if weights.biases:
        raise ValueError(
            "Rules of the population have no biases, but the network has; set network.bias = false."
        )
    if integrals_of(weights.activation) is None:
        raise ValueError(
            "Rules of the population know the gaussian integrals of erf, linear and relu, but "
            f"network.activation is {_named(weights)}; use one of these."
        )


def _check_teacher(network: AbstractNetwork, weights: AbstractNetwork) -> None:
    if len(network.weights) != 2 or network.weights[1].shape[0] != 1 or network.biases:
        raise ValueError(
            "Rules of the population have a teacher of one hidden layer, one output and no biases, "
            f"but its layers are {[matrix.shape for matrix in network.weights]}; give task.widths "
            "three widths, the last of them 1."
        )
    if integrals_of(network.activation) != integrals_of(weights.activation):
        raise ValueError(
            "Rules of the population have one activation for student and teacher, but "
            f"network.activation is {_named(weights)} and task.activation {_named(network)}; "
            "set one to the other."
        )
    (width, inputs), count = weights.weights[0].shape, network.weights[0].shape[0]
    if inputs < width + count:
        raise ValueError(
            f"Rules of the population need inputs for all fields, {width} of the student and "
            f"{count} of the teacher, but network.widths.0 is {inputs}; raise it."
        )


def _check_eta(eta: Scalar, weights: AbstractNetwork) -> None:
    if isinstance(eta, Tracer):
        return
    if not (eta >= 0 and jnp.isfinite(eta)):
        raise ValueError(f"Learning rate `eta` must be finite and >= 0, but is {eta}.")
    if eta > 0 and not isinstance(integrals_of(weights.activation), AbstractStepIntegrals):
        raise ValueError(
            "Steps of eta > 0 need E g'(a) g'(b) g(c) g(d), which has no closed form for relu, but "
            f"rule.eta is {eta}; set it to 0, the flow."
        )


def _named(network: AbstractNetwork) -> str:
    return type(network.activation).__name__.lower()
