"""Whether a rule can go back through a model, and whether the data and the feedback fit it."""

import jax
import numpy as np
from jax.core import Tracer

from ..feedback import Feedback
from ..networks import Model
from ..networks.substitution import ModelProgram
from ..tasks import Data
from .abstract import AbstractLearningRule, AbstractWeightRule
from .backward import AbstractChainRule, AbstractLayerwiseRule, says_no_more
from .layerwise import Gradient
from .modifiers.learning_rates import LearningRates
from .modifiers.modified import AbstractModifiedRule, unmodified
from .modifiers.momentum import Momentum
from .modifiers.weight_decay import WeightDecay
from .moving_feedback import AbstractMovingFeedbackRule

PACKAGE = __name__.split(".")[0] + "."
LEAFWISE = (LearningRates, Momentum, WeightDecay)  # modifiers that know leaves


def check_model(rule: AbstractLearningRule, model: Model, feedback: Feedback, data: Data) -> None:
    """Raise ValueError in one line unless the rule's field is defined on this model.

    The rule is a chain, or one whose feedback moves, or one of the user's with a field of its own;
    the outputs have the shape of the targets; every leaf reaches them; what is computed is the same
    every time; there is one feedback array for each leaf that the backward pass meets.
    """
    kind, inner = type(model.module).__name__, unmodified(rule)
    _check_rule(rule, kind)
    samples = jax.ShapeDtypeStruct((2, *data.inputs.shape[1:]), data.inputs.dtype)
    _check_outputs(model, kind, samples, data)
    if not _goes_back(inner):
        return
    try:
        program = model.program(samples)
    except ValueError:
        if type(inner) is Gradient:  # it needs no place for feedback
            return
        raise
    for use in program.uses:
        if not use.heard:
            raise ValueError(
                f"Leaf `{use.path}` of {kind} does not reach the outputs, so that nothing moves "
                "it; freeze it or leave it out."
            )
    if inner.form == "layerwise":
        _check_feedback(model, kind, program, feedback)


def _check_rule(rule: AbstractLearningRule, kind: str) -> None:
    if isinstance(rule, AbstractModifiedRule):
        if not isinstance(rule, LEAFWISE):
            names = ", ".join(one.__name__ for one in LEAFWISE)
            raise ValueError(
                f"{type(rule).__name__} modifies layers, but {kind} is a model; of the modifiers "
                f"{names} serve models."
            )
        _check_rule(rule.rule, kind)
        return
    own = isinstance(rule, AbstractWeightRule) and not isinstance(rule, AbstractLayerwiseRule)
    if not _goes_back(rule) and not (own and not type(rule).__module__.startswith(PACKAGE)):
        raise ValueError(
            f"{type(rule).__name__} goes back layer by layer, but {kind} is a model without "
            "layers; a chain rule serves it (backward weights: gradient, feedback-alignment, sign "
            "symmetry), or a rule with a vector_field of its own."
        )


def _goes_back(rule: AbstractLearningRule) -> bool:
    return says_no_more(rule, AbstractChainRule) or isinstance(rule, AbstractMovingFeedbackRule)


def _check_outputs(model: Model, kind: str, samples: jax.ShapeDtypeStruct, data: Data) -> None:
    try:
        program, out = jax.make_jaxpr(lambda net, x: net(x), return_shape=True)(model, samples)
        again = jax.make_jaxpr(lambda net, x: net(x))(model, samples)  # another lambda, traced anew
    except jax.errors.ConcretizationTypeError as error:
        raise ValueError(
            f"Model {kind} asks for the value of an array while it is traced (a Python `if`, "
            f"`while` or float() on it); use jnp.where or jax.lax.cond: {_first_line(error)}"
        ) from None
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        shape = samples.shape[1:]
        raise ValueError(
            f"Model {kind} fails on a sample of shape {shape}: {_first_line(error)}"
        ) from None
    wanted = (2, *data.targets.shape[1:])
    if not hasattr(out, "shape") or out.shape != wanted:
        found = out.shape[1:] if hasattr(out, "shape") else "no array"
        raise ValueError(
            f"Model {kind} makes outputs of shape {found} for a sample, but its targets have the "
            f"shape {wanted[1:]}; let it return an array of that shape."
        )
    same = all(
        np.array_equal(a, b) for a, b in zip(program.consts, again.consts, strict=False)
        if not isinstance(a, Tracer)
    )  # fmt: skip
    if str(program) != str(again) or not same:
        raise ValueError(
            f"Model {kind} is another function at every call (it draws random numbers, or counts); "
            "a flow needs one that depends on its weights and inputs alone."
        )


def _check_feedback(model: Model, kind: str, program: ModelProgram, feedback: Feedback) -> None:
    leaves = jax.tree.leaves(model)
    wanted = [(program.uses[i].path, leaves[i].shape) for i in program.met]
    found = [matrix.shape for matrix in feedback.matrices]
    for (path, shape), given in zip(wanted, found, strict=False):
        if shape != given:
            raise ValueError(
                f"The feedback of `{path}` has the shape {given}, but the leaf has {shape}; draw "
                "it with `model_feedback`."
            )
    if len(found) != len(wanted):
        paths = ", ".join(path for path, _ in wanted)
        raise ValueError(
            f"{kind} has feedback for {len(wanted)} leaves ({paths}), but {len(found)} are given; "
            "draw it with `model_feedback`."
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
