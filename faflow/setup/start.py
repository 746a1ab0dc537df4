"""What a flow starts from, tried once before it is compiled: shapes, and finite numbers."""

import itertools

import jax
import numpy as np

from ..config.blame import blaming
from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..feedback import feedback_shapes
from ..flow import FlowProblem
from ..networks import backward_activation
from ..observables import AbstractConservationLaw
from . import field


def check_network(resolved: Resolved, problem: FlowProblem) -> None:
    """W(0), feedback, activation and loss. ConfigError if one doesn't fit or is not finite."""
    _check_draws(resolved, problem)
    _check_activation(resolved, problem)
    _check_loss(resolved, problem)


def check_shapes(resolved: Resolved, problem: FlowProblem) -> None:
    """The rule's field and laws. ConfigError if one doesn't fit."""
    kind = f"is '{resolved.rule.kind}'"
    with blaming("rule.kind", resolved.suspects):
        if not field.fits(problem):
            raise ConfigError("rule.kind", f"{kind}, whose {field.MISFIT}; try `faflow check`")
        laws = problem.rule.laws(problem.weights)
        if not _are_laws(laws):
            what = f"whose laws() gave {type(laws).__name__}; give a dict of laws by name, or {{}}"
            raise ConfigError("rule.kind", f"{kind}, {what}")


def check_start(resolved: Resolved, problem: FlowProblem) -> None:
    """The field and the loss at the start. ConfigError if one is no number."""
    kind = f"is '{resolved.rule.kind}'"
    with blaming("rule.kind", resolved.suspects):
        loss, velocity = field.loss_and_velocity(problem)
    if not field.finite(loss):
        what = f"gives a loss of {float(loss)} at the start; lower its scale, or init's"
        raise ConfigError("task", what)
    if not field.finite(velocity):
        what = "whose velocity is not finite at the start; lower the scale of init or feedback"
        raise ConfigError("rule.kind", f"{kind}, {what}")


def _are_laws(laws: object) -> bool:
    return isinstance(laws, dict) and all(
        isinstance(name, str) and isinstance(law, AbstractConservationLaw)
        for name, law in laws.items()
    )


def _check_draws(resolved: Resolved, problem: FlowProblem) -> None:
    widths, form = resolved.widths, problem.feedback.form
    shapes = [(out, into) for into, out in itertools.pairwise(widths)]
    draws = {
        "init": (problem.weights.weights, shapes, (problem.weights.biases,)),
        "feedback": (problem.feedback.matrices, feedback_shapes(widths, form), ()),
    }
    # Each may be drawn from the other: the one that came first is to blame.
    tied = getattr(resolved.feedback.entry, "needs_weights", False)
    for name in draws if tied else reversed(draws):
        matrices, wanted, more = draws[name]
        with blaming(name, resolved.suspects, f"{name}.kind"):
            found = [np.shape(matrix) for matrix in matrices]
            whole = field.finite((matrices, more))
        if found != wanted:
            kind = resolved.suspects[f"{name}.kind"].kind
            what = f"is '{kind}', which gave matrices of shapes {found}, not {wanted}"
            raise ConfigError(f"{name}.kind", what)
        if not whole:
            raise ConfigError(name, "gives numbers that are not finite; lower its scale")


def _check_activation(resolved: Resolved, problem: FlowProblem) -> None:
    weights = problem.weights
    phi = backward_activation(weights)
    with blaming("network.activation", resolved.suspects):
        h = jax.eval_shape(lambda net, x: net.trace(x).pre[0], weights, problem.data.inputs)
        for what, function in (("value", phi), ("derivative", phi.derivative)):
            found = jax.eval_shape(function, h)
            if getattr(found, "shape", None) != h.shape or found.dtype != h.dtype:
                _misfit("network.activation", resolved.activation.kind, what, found, h)


def _check_loss(resolved: Resolved, problem: FlowProblem) -> None:
    loss, data = problem.data.loss, problem.data
    samples = jax.ShapeDtypeStruct(data.targets.shape[:1], data.targets.dtype)
    with blaming("task.loss", resolved.suspects):
        for what, function, wanted in (
            ("value", loss.value, samples),
            ("error", loss.error, data.targets),
        ):
            found = jax.eval_shape(function, data.targets, data.targets)
            if getattr(found, "shape", None) != wanted.shape or found.dtype != wanted.dtype:
                _misfit("task.loss", resolved.loss.kind, what, found, wanted)


def _misfit(key: str, kind: str, what: str, found, wanted) -> None:
    got = f"{found.dtype} {found.shape}" if hasattr(found, "shape") else type(found).__name__
    raise ConfigError(key, f"is '{kind}', whose {what} is {got}, not {wanted.dtype} {wanted.shape}")
