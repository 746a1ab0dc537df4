"""What is integrated, and how."""

from functools import partial
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._results import Branch
from .._types import Integer, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork, Model, as_network
from ..networks.draws import frobenius
from ..rules import AbstractLearningRule, check_chain, check_model, check_sum
from ..solvers import Method, make_solver, norm
from ..tasks import Data

ATOL = 1e-11  # unless given


def _given(value: Any, dtype: type) -> Any:
    """An array of this type, or None. Of a number JAX would make one by a program of its own."""
    number = isinstance(value, int | float)
    return None if value is None else jnp.asarray(np.asarray(value) if number else value, dtype)


_number = partial(eqx.field, converter=lambda value: _given(value, float))
_optional = _number


class FlowProblem(eqx.Module):
    """d(weights)/dt = rule(weights, feedback, data) from `weights` at t = ts[0].

    `weights`: a network, or any equinox Module, which becomes a `Model`. ValueError for a model
    that the rule has no field on (`rules.check_model`), for a network of the user's that is no
    chain of layers, as rules take it for (`rules.check_chain`), and for blocks or devices under a
    rule of the user's that is no sum over samples (`rules.check_sum`).
    """

    rule: AbstractLearningRule
    weights: AbstractNetwork = eqx.field(converter=as_network)
    feedback: Feedback
    data: Data

    def __check_init__(self):
        if isinstance(self.weights, Model):
            check_model(self.rule, self.weights, self.feedback, self.data)
        else:
            check_chain(self.rule, self.weights, self.data)
        if self.data.block is not None or self.data.mesh is not None:
            check_sum(self.rule, self.weights, self.feedback)


class Stops(eqx.Module):
    """When a flow ends before its last save time. None: not watched (and not paid for).

    `loss`: at or below this loss. `residual`: at or below this residual norm. `steady`: the speed
    ||dW/dt|| is at or below `steady` times the largest speed met so far (its rate of change, not
    the size of the weights, says whether a flow has come to rest). `blow_up`: ||W|| is above
    `blow_up` times 1 + ||W(0)||.
    """

    loss: Scalar | None = _optional(default=None)
    residual: Scalar | None = _optional(default=None)
    steady: Scalar | None = _optional(default=None)
    blow_up: Scalar = _number(default=1e8)


class Exact(eqx.Module):
    """Options of the exact integrator.

    `slots`: the most pairs (neuron, sample) that may slide at once. `events`: changes of pairs
    that are kept in the log. `branch`: what to do where the flow is not unique: "stop" there,
    or go on along the "nearest" continuation or along the "other" one.
    """

    slots: int = eqx.field(static=True, default=128)
    events: int = eqx.field(static=True, default=0)
    branch: Branch = eqx.field(static=True, default="stop")


class Numerics(eqx.Module):
    """How a flow is integrated; numbers are arrays, so that changing them retraces nothing.

    `solver`: a name of `faflow.solvers.SOLVERS` or such a solver itself; "auto" chooses on the way
    (`flow.automatic`). `rtol`, `atol`: local error per step is held below atol + rtol |w| (root
    mean square over all weights). `atol_scales`: less than that, where the weights are small
    (`flow.tolerance`); so it is for the default atol, 1e-11, and not for one that is given. `step`:
    a fixed step instead of adaptive ones. `max_steps`: budget of accepted plus rejected steps.
    `tail`: multiply both tolerances by residual / initial residual (at most 1), renewed at every
    save, so that a residual that falls by ten orders of magnitude keeps its relative accuracy:
    for exponent fits. `kinks`: "plain" steps over the kinks of the activation, "exact" integrates
    Filippov's solution from event to event (`faflow.flow.piecewise`), with the options `exact`.
    `sensitivities`: whether a step is held to derivatives, "controlled", or to the state alone,
    "free" (`flow.sensitivity`; implicit methods hold theirs to both). `adjoint`: how `jax.grad`
    goes back, along the steps between "checkpointed" saves or by "backsolve" against time; None:
    the flow has forward derivatives.
    `project`: put the weights back onto the rule's laws after every step of an explicit Runge-Kutta
    method (`flow.projection`); their drift is then no check of anything.
    """

    solver: str | Method = eqx.field(default="tsit5")
    rtol: Scalar = _number(default=1e-9)
    atol: Scalar = _optional(default=None)
    step: Scalar | None = _optional(default=None)
    max_steps: Integer = eqx.field(converter=lambda n: _given(n, int), default=1_000_000)
    tail: bool = eqx.field(static=True, default=False)
    stops: Stops = eqx.field(default_factory=Stops)
    kinks: Literal["plain", "exact"] = eqx.field(static=True, default="plain")
    exact: Exact = eqx.field(default_factory=Exact)
    project: bool = eqx.field(static=True, default=False)
    atol_scales: bool | None = eqx.field(static=True, default=None)
    sensitivities: Literal["free", "controlled"] = eqx.field(static=True, default="free")
    adjoint: Literal["checkpointed", "backsolve"] | None = eqx.field(static=True, default=None)

    def __post_init__(self) -> None:
        if self.atol_scales is None:
            self.atol_scales = self.atol is None
        if self.atol is None:
            self.atol = _given(ATOL, float)

    def build_solver(self, rtol: Scalar | None = None, atol: Scalar | None = None) -> Method:
        """The method; an implicit one solves its stages to (rtol, atol), or to the flow's own."""
        if isinstance(self.solver, str):
            rtol, atol = (self.rtol, self.atol) if rtol is None else (rtol, atol)
            return make_solver(self.solver, rtol, atol)
        return self.solver

    def tolerances(
        self,
        scale: Scalar | float = 1.0,
        size: Scalar | float = 0.0,
        atol: Scalar | None = None,
    ) -> tuple[Scalar, Scalar]:
        """(rtol, atol), both multiplied by `scale`; `atol`: in place of the flow's own.

        `size` is the root mean square of the state: no tolerance asks for less than 16 units in
        its last place, where errors are rounding and smaller steps do not help.
        """
        rounding = 16 * jnp.finfo(self.rtol.dtype).eps
        return (
            jnp.maximum(self.rtol * scale, rounding),
            jnp.maximum((self.atol if atol is None else atol) * scale, rounding * size),
        )

    def controller(
        self, tolerances: tuple[Scalar, Scalar], held: int | None = None
    ) -> diffrax.AbstractStepSizeController:
        """The step-size controller with these (rtol, atol); steps are held to `held` entries of the
        state, the first ones (None: to all)."""
        if self.step is not None:
            return diffrax.ConstantStepSize()
        rtol, atol = tolerances
        plain = diffrax.PIDController(rtol=rtol, atol=atol)
        if held is None:
            return plain
        return diffrax.PIDController(
            rtol=rtol, atol=atol, norm=lambda error: plain.norm(error[:held])
        )


def residual_share(problem: FlowProblem, weights: AbstractNetwork) -> Scalar:
    """The residual norm over its first value, between 1e-12 and 1: what `tail` scales by."""
    data = problem.data
    now, first = (frobenius(data.residual(data.outputs(net))) for net in (weights, problem.weights))
    return jnp.clip(jnp.where(first > 0, now / first, 1.0), 1e-12, 1.0)


def first_size(problem: FlowProblem) -> Scalar:
    """||W(0)||, of all weights: of one vector, since every array would be a kernel more."""
    return norm(ravel_pytree(problem.weights)[0])


def blow_up_size(problem: FlowProblem, numerics: Numerics) -> Scalar:
    """The norm of all weights above which a flow has blown up: blow_up (1 + ||W(0)||)."""
    return numerics.stops.blow_up * (1 + first_size(problem))
