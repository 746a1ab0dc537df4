"""Whether a rule can go back through a model, and whether the data and the feedback fit it."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.core import Tracer

from ...feedback import Feedback, feedback_places
from ...feedback.models import FeedbackPlace
from ...networks import Model
from ...networks.model import of_samples
from ...tasks import Data
from ..abstract import AbstractLearningRule, AbstractWeightRule
from ..backward import AbstractChainRule, AbstractDirectRule, AbstractLayerwiseRule, says_no_more
from ..direct_projection import AbstractDirectProjection
from ..layerwise import Gradient
from ..modifiers.learning_rates import LearningRates
from ..modifiers.modified import AbstractModifiedRule, unmodified
from ..modifiers.momentum import Momentum
from ..modifiers.sign import Sign
from ..modifiers.weight_decay import WeightDecay
from ..modifiers.weight_normalisation import WeightNormalisation
from ..moving_feedback import AbstractMovingFeedbackRule

PACKAGE = __name__.split(".")[0] + "."
LEAFWISE = (
    LearningRates,
    Momentum,
    Sign,
    WeightDecay,
    WeightNormalisation,
)  # modifiers that know leaves


def check_model(rule: AbstractLearningRule, model: Model, feedback: Feedback, data: Data) -> None:
    """Raise ValueError in one line unless the rule's field is defined on this model.

    The rule is a chain, or direct and the model names blocks, or one whose feedback moves, or one
    of the user's with a field of its own; the outputs have the shape of the targets; every leaf
    reaches them; what is computed is the same every time; there is one feedback array for each leaf
    that the backward pass meets, or for each call of a block.
    """
    kind, inner = type(model.module).__name__, unmodified(rule)
    _check_rule(rule, kind, model)
    samples = jax.ShapeDtypeStruct((2, *data.inputs.shape[1:]), data.inputs.dtype)
    check_outputs(model, data)
    if not _goes_back(inner):
        return
    try:
        program = model.program(samples)
    except ValueError:
        if type(inner) is not Gradient and inner.form != "direct":
            raise
        program = None  # these need no place for feedback in a product
    for use in () if program is None else program.uses:
        if not use.heard:
            raise ValueError(
                f"Leaf `{use.path}` of {kind} does not reach the outputs, so that nothing moves "
                "it; freeze it or leave it out."
            )
    if inner.form != "none":
        _check_feedback(feedback_places(model, samples, inner.form), kind, feedback)


def _check_rule(rule: AbstractLearningRule, kind: str, model: Model) -> None:
    if isinstance(rule, AbstractModifiedRule):
        if not isinstance(rule, LEAFWISE):
            names = ", ".join(one.__name__ for one in LEAFWISE)
            raise ValueError(
                f"{type(rule).__name__} modifies layers by their widths, but {kind} is a model, "
                f"which does not tell its read-out; of the modifiers {names} serve models."
            )
        if isinstance(rule, WeightNormalisation):
            rule.chosen(model)
        _check_rule(rule.rule, kind, model)
        return
    own = isinstance(rule, AbstractWeightRule) and not isinstance(rule, AbstractLayerwiseRule)
    if not _goes_back(rule) and not (own and not type(rule).__module__.startswith(PACKAGE)):
        raise ValueError(
            f"{type(rule).__name__} goes back layer by layer, but {kind} is a model without "
            "layers; a chain rule serves it (backward weights: gradient, feedback-alignment, sign "
            "symmetry), a direct one if it names blocks, or a rule with a vector_field of its own."
        )


def _goes_back(rule: AbstractLearningRule) -> bool:
    projects = isinstance(rule, AbstractDirectProjection) and (
        type(rule).vector_field is AbstractDirectProjection.vector_field
    )
    direct = projects or says_no_more(rule, AbstractDirectRule)
    chain = says_no_more(rule, AbstractChainRule) or isinstance(rule, AbstractMovingFeedbackRule)
    return chain or (direct and rule.form == "direct")  # not a direct rule of chained F_l


def check_outputs(model: Model, data: Data) -> None:
    """Raise ValueError in one line unless the model makes outputs of the targets' shape from such
    samples, and the same every time."""
    kind = type(model.module).__name__
    samples = jax.ShapeDtypeStruct((2, *data.inputs.shape[1:]), data.inputs.dtype)
    try:
        written = lambda net, x: of_samples(net.module)(x)  # noqa: E731
        program, out = jax.make_jaxpr(written, return_shape=True)(model, samples)
        traced_anew = lambda *given: written(*given)  # noqa: E731
        again = jax.make_jaxpr(traced_anew)(model, samples)
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


def _check_feedback(places: Sequence[FeedbackPlace], kind: str, feedback: Feedback) -> None:
    found = [matrix.shape for matrix in feedback.matrices]
    for place, given in zip(places, found, strict=False):
        if place.shape != given:
            raise ValueError(
                f"The feedback of `{place.path}` has the shape {given}, but must have "
                f"{place.shape}; draw it with `model_feedback`."
            )
    if len(found) != len(places):
        paths = ", ".join(place.path for place in places)
        raise ValueError(
            f"{kind} has feedback for {len(places)} leaves or blocks ({paths}), but {len(found)} "
            "are given; draw it with `model_feedback`."
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
