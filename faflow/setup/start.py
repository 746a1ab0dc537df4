"""What a flow starts from, tried once before it is compiled: shapes, and finite numbers."""

import jax

from ..config.choice import Choice
from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..flow import FlowProblem
from ..networks import AbstractLayeredNetwork, backward_activation
from ..observables import AbstractConservationLaw
from . import field


def check_shapes(resolved: Resolved, problem: FlowProblem) -> None:
    """The rule's field and laws, and an activation and a loss that are not faflow's. ConfigError if
    one doesn't fit."""
    if isinstance(problem.weights, AbstractLayeredNetwork) and resolved.activation.of_others:
        resolved.ask("network.activation", _check_activation, resolved.activation, problem)
    if resolved.loss.of_others:
        resolved.ask("task.loss", _check_loss, resolved.loss, problem)
    resolved.ask("rule.kind", _check_rule, resolved.rule, problem)


def check_start(resolved: Resolved, problem: FlowProblem) -> None:
    """The field and the loss at the start. ConfigError if one is no number."""
    loss, velocity = resolved.ask("rule.kind", field.loss_and_velocity, problem)
    if not field.finite(loss):
        what = f"gives a loss of {float(loss)} at the start; lower its scale, or init's"
        raise ConfigError("task", what)
    if not field.finite(velocity):
        what = "whose velocity is not finite at the start; lower the scale of init or feedback"
        raise ConfigError("rule.kind", f"is '{resolved.rule.kind}', {what}")


def _check_activation(choice: Choice, problem: FlowProblem) -> None:
    phi = backward_activation(problem.weights)
    h = jax.eval_shape(lambda net, x: net.trace(x).pre[0], problem.weights, problem.data.inputs)
    for what, function in (("value", phi), ("derivative", phi.derivative)):
        _check_result(choice, what, jax.eval_shape(function, h), h)


def _check_loss(choice: Choice, problem: FlowProblem) -> None:
    loss, targets = problem.data.loss, problem.data.targets
    samples = jax.ShapeDtypeStruct(targets.shape[:1], targets.dtype)
    _check_result(choice, "value", jax.eval_shape(loss.value, targets, targets), samples)
    _check_result(choice, "error", jax.eval_shape(loss.error, targets, targets), targets)


def _check_result(choice: Choice, what: str, result, wanted) -> None:
    if getattr(result, "shape", None) == wanted.shape and result.dtype == wanted.dtype:
        return
    got = f"{result.dtype} {result.shape}" if hasattr(result, "shape") else type(result).__name__
    what = f"is '{choice.kind}', whose {what} is {got}, not {wanted.dtype} {wanted.shape}"
    raise ConfigError(choice.key, what)


def _check_rule(choice: Choice, problem: FlowProblem) -> None:
    if not field.fits(problem):
        what = f"is '{choice.kind}', whose {field.MISFIT}; try `faflow check`"
        raise ConfigError("rule.kind", what)
    laws = problem.rule.laws(problem.weights)
    if not isinstance(laws, dict) or not all(
        isinstance(name, str) and isinstance(law, AbstractConservationLaw)
        for name, law in laws.items()
    ):
        what = f"whose laws() gave {type(laws).__name__}; give a dict of laws by name, or {{}}"
        raise ConfigError("rule.kind", f"is '{choice.kind}', {what}")
