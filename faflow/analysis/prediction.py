"""Convergence exponents predicted: the spectrum of the linearised residual flow at the end point.

For squared loss e' = -K e with K = -J_f G: J_f the Jacobian of the outputs, G the rule's velocity
per unit residual. Near a point of zero residual K is constant, and e decays at the smallest real
part of K's spectrum on the directions that e can enter at all.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._compiling import LOOP, compiled
from .._types import Array
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..networks.draws import frobenius
from ..rules import (
    AbstractLayerwiseRule,
    AbstractLearningRule,
    AbstractWeightRule,
    error_response,
    weight_velocity,
    with_error,
)
from ..rules.abstract import WeightsAndFeedback
from ..tasks import Data
from ..tasks.losses import Squared
from .linearised import linearised

PredictionStatus = Literal["ok", "partial", "residual-stays", "not-stable", "unavailable"]
Operator = Callable[[np.ndarray], np.ndarray]

SMALL = 100  # residuals up to this size have K as a matrix
LARGEST = 400  # residuals up to this size have the space they can enter built in full
CUT = 60  # directions tried for larger ones before Arnoldi takes over, and Arnoldi's own
ZERO = 1e-12  # a rate below this share of the largest is zero to rounding
CLOSED = 1e-8  # a direction shorter than this share is rounding, not a new direction
FORCED = 1e-12  # of residual or targets: what a field without error moves them by is no rounding
LEFT = 0.1  # of the residual: more than this at the limit of the linearised flow stays
STATES = 1500  # largest state whose Jacobian is formed, for rules with a state of their own


class ExponentPrediction(NamedTuple):
    """`rate`: smallest real part of the spectrum, 1 / time; `dimension` of the space searched.

    `frequency`: that eigenvalue's imaginary part, radians / time. If it is not zero, the residual
    wobbles as it decays, and a fit should cover whole periods.

    `status`: "ok"; "partial": the space did not close within CUT dimensions and the rate is a Ritz
    value; "residual-stays": the residual does not vanish, so no linearisation about e = 0 applies
    (more than 1e-3 of the first is left; it has a part that the rule does not move, as of targets
    out of reach; or e = 0 is no point of rest, as under weight decay); "not-stable": the rate is
    negative beyond rounding; "unavailable": not the squared loss, a rule that hears more than the
    error or is not linear in it, a state too large, or a field that depends on time.
    `method` names how.
    """

    rate: float
    frequency: float
    status: PredictionStatus
    dimension: int
    method: str


def predict_exponent(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    start: WeightsAndFeedback | None = None,
) -> ExponentPrediction:
    """The exponent of the residual's decay, from (weights, feedback) at the end of a flow.

    `start` = (weights, feedback) at t = 0 says which directions the residual can enter: the
    smallest space that holds e(0) and is closed under K at both ends. Without it the residual at
    the end is used. Rules with a state of their own (Kolen-Pollack, FA*) use the Jacobian of the
    state's flow, on the modes that move the residual. Where residuals are large,
    K is applied matrix-free, by two jvps.
    """
    if not isinstance(data.loss, Squared):
        return _none("unavailable", "not the squared loss")
    first = data.residual(data.outputs(start[0] if start else weights))
    last = data.residual(data.outputs(weights))
    if not frobenius(first) > 0:
        return _none("unavailable", "the residual is zero")
    if not np.isfinite(frobenius(last)):
        return _none("unavailable", "the residual is not finite")
    if start is not None and frobenius(last) > 1e-3 * frobenius(first):
        return _none("residual-stays", "residual does not vanish")
    if not isinstance(rule, AbstractWeightRule):
        return _from_state(rule, weights, feedback, data, float(frobenius(first)))
    if not isinstance(rule, AbstractLayerwiseRule) and not _is_linear(
        rule, weights, feedback, data
    ):
        return _none("unavailable", "the rule hears more than the error, or is not linear in it")
    points = [(weights, feedback)] + ([] if start is None else [start])
    operators = [_on_vectors(rule, *point, data, first.shape) for point in points]
    basis = _closure(np.asarray(first).ravel(), operators)
    if basis is None:
        return _from_last(operators[0], np.asarray(last), float(frobenius(data.targets)))
    return _smallest(operators[0], basis, "ok", "spectrum where e can enter")


def residual_operator(
    rule: AbstractWeightRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> Callable[[Array], Array]:
    """u -> K u, u (samples, outputs): K = -J_f G at fixed weights, e' = -K e for e = f - y.

    The rule's effective kernel (`rules.kernel`) times the data's weight, since what it hears is
    dLoss/df = weight * e; between the roots of sample weights, where there are (`Data.residual`).
    """

    return lambda u: _respond(u, rule, weights, feedback, data)


@compiled(LOOP)
def _respond(
    u: Array, rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> Array:
    respond = error_response(rule, weights, feedback, data)
    return data.weight * data.rooted(respond(data.rooted(u)))


@compiled(LOOP)
def _respond_to_each(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    shape: tuple[int, ...],
) -> Array:
    """K^T: its rows are K u for u = every residual of one entry."""
    units = jnp.eye(math.prod(shape)).reshape(-1, *shape)
    respond = error_response(rule, weights, feedback, data)
    responses = jax.vmap(lambda u: data.rooted(respond(data.rooted(u))))(units)
    return data.weight * responses.reshape(len(units), -1)


def _on_vectors(
    rule: AbstractWeightRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    shape: tuple[int, ...],
) -> Operator:
    """`residual_operator` on flat vectors of numpy, as a matrix where that is small."""
    if math.prod(shape) <= SMALL:
        matrix = np.asarray(_respond_to_each(rule, weights, feedback, data, shape)).T
        return lambda u: matrix @ u
    apply = residual_operator(rule, weights, feedback, data)
    return lambda u: np.asarray(apply(jnp.asarray(u.reshape(shape)))).ravel()


def _closure(first: np.ndarray, operators: Sequence[Operator]) -> np.ndarray | None:
    """Orthonormal rows spanning the smallest space that holds `first` and is closed under all
    `operators`; None if that is not found within CUT dimensions for a large residual."""
    limit = first.size if first.size <= LARGEST else CUT
    basis = np.zeros((0, first.size))
    waiting = [first / np.linalg.norm(first)]
    while waiting:
        direction = _new_direction(waiting.pop(0), basis)
        if direction is None:
            continue
        if len(basis) == limit:
            return None
        basis = np.vstack([basis, direction])
        if len(basis) == first.size:
            break
        for apply in operators:
            image = apply(direction)
            size = np.linalg.norm(image)
            if size > 0:
                waiting.append(image / size)
    return basis


def _krylov(last: np.ndarray, apply: Operator) -> np.ndarray:
    basis = (last / np.linalg.norm(last))[None, :]
    while len(basis) < min(CUT, last.size):
        image = apply(basis[-1])
        size = np.linalg.norm(image)
        direction = _new_direction(image / size, basis) if size > 0 else None
        if direction is None:
            break
        basis = np.vstack([basis, direction])
    return basis


def _from_last(apply: Operator, last: np.ndarray, targets: float) -> ExponentPrediction:
    size = np.linalg.norm(last)
    if not size > 0:
        return _none("unavailable", "the last residual is zero, the space too large to be searched")
    basis = _krylov(last.ravel(), apply)
    found = _smallest(apply, basis, "partial", "Arnoldi from the last residual")
    if found.status in ("residual-stays", "not-stable") and size <= FORCED * targets:
        # It has parts that no residual has which decays.
        why = "the last residual is rounding, the space too large to be searched"
        return _none("unavailable", why, found.dimension)
    return found


def _new_direction(vector: np.ndarray, basis: np.ndarray) -> np.ndarray | None:
    rest = vector
    for _ in range(2):  # twice is enough (Kahan-Parlett) to be orthogonal to rounding
        rest = rest - basis.T @ (basis @ rest)
    size = np.linalg.norm(rest)
    return rest / size if size > CLOSED else None


def _smallest(apply: Operator, basis: np.ndarray, status: PredictionStatus, method: str):
    images = np.stack([apply(direction) for direction in basis])
    return _slowest(np.linalg.eigvals(basis @ images.T), status, method)


def _slowest(rates: np.ndarray, status: PredictionStatus, method: str) -> ExponentPrediction:
    if rates.size == 0:
        return _none("unavailable", "no mode moves the residual")
    slowest, zero = complex(rates[np.argmin(np.real(rates))]), ZERO * np.abs(rates).max()
    if slowest.real < -zero:
        status = "not-stable"
    elif slowest.real <= zero:
        status, method = "residual-stays", f"{method}: the rule does not move a part of it"
    return ExponentPrediction(slowest.real, abs(slowest.imag), status, rates.size, method)


def _none(status: PredictionStatus, why: str, dimension: int = 0) -> ExponentPrediction:
    return ExponentPrediction(float("nan"), float("nan"), status, dimension, why)


@compiled(LOOP)
def _is_linear(
    rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> Array:
    """Whether the field is that of its error alone, and doubles with it."""
    error = data.error(data.outputs(weights))

    def field(some: Data) -> Array:
        return ravel_pytree(weight_velocity(rule, weights, feedback, some)[0])[0]

    heard, once, twice = (
        field(some) for some in (data, with_error(data, error), with_error(data, 2 * error))
    )
    off = jnp.maximum(frobenius(once - heard), frobenius(twice - 2 * once))
    return off <= CLOSED * frobenius(heard)


def _from_state(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    first: float,
) -> ExponentPrediction:
    """Smallest decay rate among the modes of the state's linearised flow that move the residual,
    whose size was `first` at the start."""
    state = rule.init(weights, feedback, data)
    size = sum(leaf.size for leaf in jax.tree.leaves(state))
    if size > STATES:
        return _none("unavailable", "state too large", size)
    found = jax.tree.map(np.asarray, linearised(state, rule, weights, feedback, data))
    if not np.allclose(*found.beside, atol=0.0):
        return _none("unavailable", "the field depends on time", size)
    jacobian, slope, now = found.jacobian, found.slope, found.residual
    rates, modes = np.linalg.eig(-jacobian)
    # Where the flow goes from here, and from targets that are met here: steps of Newton's method
    # that stay in the range of the Jacobian, as the flow does (docs/architecture.md).
    resolvent = CLOSED * np.abs(rates).max() * np.eye(size) - jacobian
    far, forced = (slope @ np.linalg.solve(resolvent, np.stack(found.moves, axis=1))).T
    left = np.linalg.norm(now + far)
    rounding = FORCED * max(first, float(frobenius(data.targets)))
    if np.linalg.norm(forced) > rounding and np.any(np.asarray(data.targets)):
        return _none("residual-stays", "no point of rest where the residual is zero", size)
    if left > max(LEFT * np.linalg.norm(now), rounding):
        return _none("residual-stays", "the flow's limit has a residual", size)
    response = np.linalg.norm(slope @ modes, axis=0)
    seen = (np.abs(rates) > CLOSED * np.abs(rates).max()) & (response > CLOSED * response.max())
    return _slowest(rates[seen], "ok", "spectrum of the state's flow")
