"""RKC2: a stabilised explicit Runge-Kutta method of order 2 whose stage count follows stiffness.

Sommeijer, Shampine & Verwer 1998 ("RKC: an explicit solver for parabolic PDEs"). One step of s
stages is stable to h rho = 0.65 s^2, so a flow that is stiff by its spectral radius rho costs
sqrt(h rho) field evaluations per step, and neither a Jacobian nor a solve.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from .._types import Flag, Integer, PyTree, Scalar
from .abstract import ODE, AbstractCountingSolver, Jump, Step, Time
from .chebyshev import Spectrum, StepPlan, Terms, first_terms, next_terms, plan, shift_and_scale
from .spectrum import ITERATIONS, estimate_spectrum, with_a_little_of_everything

Field = Callable[[Scalar, PyTree], PyTree]

MOST_STAGES = 500
PROBE = 3  # iterations along the error of a rejected step: more would find the largest mode
REFRESH = 25  # steps between estimates of the spectrum
FORGET = 0.5  # share of the widest bend that an estimate keeps of the one before


class RKCState(NamedTuple):
    """`slope`: the field at the step's start. `vector`: where the next power method starts.
    `suspect`: the error of a rejected step, whose direction is looked at once if `suspected`."""

    slope: PyTree
    vector: PyTree
    suspect: PyTree
    suspected: Flag
    spectrum: Spectrum
    age: Integer
    spent: Integer
    stages: Integer


class _Piece(NamedTuple):
    t: Scalar
    y: PyTree
    slope: PyTree
    error: PyTree
    number: Integer


class _Stage(NamedTuple):
    y: PyTree
    last: PyTree
    time: Scalar
    terms: Terms
    b: tuple[Scalar, Scalar]
    number: Integer


class RKC2(AbstractCountingSolver, diffrax.AbstractAdaptiveSolver):
    """Runge-Kutta-Chebyshev of order 2 with a number of stages and a damping chosen on the way.

    Y_0 = y, Y_1 = y + b_1 w_1 h F_0,
    Y_j = (1 - mu_j - nu_j) Y_0 + mu_j Y_{j-1} + nu_j Y_{j-2}
          + mu_j (w_1 / w_0) h (F_{j-1} - a_{j-1} F_0),
    b_j = T_j''(w_0) / T_j'(w_0)^2, a_j = 1 - b_j T_j(w_0), mu_j = 2 b_j w_0 / b_{j-1},
    nu_j = -b_j / b_{j-2}; error (4/5) (y_n - y_{n+1}) + (2/5) h (F_n + F_{n+1}).

    What is stable: real negative spectra of h rho <= 0.65 s^2, and complex pairs inside the ellipse
    of `chebyshev.py`, which is widened (more damping, then more stages) when the power method meets
    them: the dominant pair always, smaller ones once they spoilt a step. Under faflow's step loop a
    rejected step is followed by a look along its error, which points along the mode that grew.
    Pure rotation lies in no such ellipse: it is followed accurately (|h lambda| < 1), not damped,
    and a spectrum dominated by rotation costs up to twice what Tsit5 does.
    A step of more than `most_stages` stages, or with too wide a spectrum for damping 8, is made of
    equal pieces, whose cost grows like h rho; a step whose spectrum is not finite fails, and its
    error is nan.
    `most_stages` is lowered to sqrt(rtol / (10 u)), u the unit round-off, so that rounding, which
    grows like s^2 u, stays below the tolerance (the paper's bound).
    """

    rtol: Scalar | float = 1e-6
    most_stages: Integer | int = MOST_STAGES
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms: ODE) -> int:
        del terms
        return 2

    def error_order(self, terms: ODE) -> int:
        """The estimate is h^3 y''' / 15."""
        del terms
        return 3

    def func(self, terms: ODE, t0: Time, y0: PyTree, args: Any) -> PyTree:
        return terms.vf(t0, y0, args)

    def init(self, terms: ODE, t0: Time, t1: Time, y0: PyTree, args: Any) -> RKCState:
        del t1
        slope = terms.vf(t0, y0, args)
        zero, none = jnp.zeros((), _dtype(y0)), jnp.zeros((), jnp.int32)
        spectrum = Spectrum(zero, zero, zero)
        vector = with_a_little_of_everything(slope)
        innocent = jnp.asarray(False)
        return RKCState(
            slope, vector, slope, innocent, spectrum, none + REFRESH, none + 1, none
        )  # fmt: skip

    def evaluations(self, solver_state: RKCState) -> Integer:
        return solver_state.spent

    def longest_step(self, solver_state: RKCState) -> Scalar:
        return jnp.full_like(solver_state.spectrum[0], jnp.inf)

    def after_rejection(self, before: RKCState, error: PyTree | None) -> RKCState:
        """The spectrum is looked at again, and along the error, where it is finite."""
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(e)) for e in jax.tree.leaves(error)]))
        suspect = jax.tree.map(lambda e, v: jnp.where(finite, e, v), error, before.suspect)
        age = jnp.full_like(before.age, REFRESH)
        return before._replace(suspect=suspect, suspected=finite, age=age)

    def step(
        self,
        terms: ODE,
        t0: Time,
        t1: Time,
        y0: PyTree,
        args: Any,
        solver_state: RKCState,
        made_jump: Jump,
    ) -> Step[RKCState]:
        dtype = _dtype(y0)
        t0, t1 = jnp.asarray(t0, dtype), jnp.asarray(t1, dtype)
        field = lambda t, y: terms.vf(t, y, args)  # noqa: E731
        state = _renewed(field, t0, y0, solver_state, jnp.asarray(made_jump))
        state = self._looked(state, lambda y: field(t0, y), y0)
        chosen = plan(t1 - t0, state.spectrum, self._most(dtype))
        end = _pieces(field, t0, t1, y0, state.slope, chosen)
        done = state._replace(
            slope=end.slope,
            age=state.age + 1,
            spent=state.spent + chosen.pieces * chosen.stages,
            stages=chosen.pieces * chosen.stages,
        )
        k = jax.tree.map(lambda a, b: (t1 - t0) * jnp.stack([a, b]), state.slope, end.slope)
        dense = {"y0": y0, "y1": end.y, "k": k}
        known = jnp.isfinite(state.spectrum.radius)
        # Not by the result alone, which has no word for a field that is no number.
        error = jax.tree.map(lambda e: jnp.where(known, e, jnp.nan), end.error)
        result = diffrax.RESULTS.where(
            known, diffrax.RESULTS.successful, diffrax.RESULTS.internal_error
        )
        return end.y, error, dense, done, result

    def _looked(self, state: RKCState, field: Callable[[PyTree], PyTree], y: PyTree) -> RKCState:
        """The state with a spectrum that is at most `REFRESH` steps old."""
        current = state.age < REFRESH
        # One program for both looks: along the vector of the last one, and along a suspect.
        starts = jax.tree.map(lambda a, b: jnp.stack([a, b]), state.vector, state.suspect)
        skips = jnp.stack([current, current | ~state.suspected])
        looks, vectors, counts = jax.lax.map(
            lambda given: estimate_spectrum(field, y, state.slope, *given),
            (starts, skips, jnp.array([ITERATIONS, PROBE], jnp.int32)),
        )
        found, vector = jax.tree.map(lambda both: both[0], (looks, vectors))
        probed = jax.tree.map(lambda both: both[1], looks)
        bend = jnp.maximum(found.bend, FORGET * state.spectrum.bend)
        found = found._replace(
            radius=jnp.maximum(found.radius, probed.radius), bend=jnp.maximum(bend, probed.bend)
        )
        keep = lambda old, new: jnp.where(current, old, new)  # noqa: E731
        return state._replace(
            spectrum=jax.tree.map(keep, state.spectrum, found),
            vector=jax.tree.map(keep, state.vector, vector),
            age=jnp.where(current, state.age, 0),
            spent=state.spent + counts[0] + counts[1],
            suspected=state.suspected & current,
        )

    def _most(self, dtype: jnp.dtype) -> Integer:
        rounding = jnp.sqrt(jnp.asarray(self.rtol, dtype) / (5 * jnp.finfo(dtype).eps))
        most = jnp.asarray(self.most_stages, dtype)
        return jnp.maximum(jnp.minimum(rounding, most), 2).astype(jnp.int32)


def _renewed(field: Field, t0: Scalar, y0: PyTree, state: RKCState, jumped: Flag) -> RKCState:
    """The slope is the last step's, unless the field jumped since. A loop and no branch: a batch
    would take both."""
    again = lambda now: (jnp.zeros_like(jumped), field(t0, y0))  # noqa: E731
    _, slope = jax.lax.while_loop(lambda now: now[0], again, (jumped, state.slope))
    return state._replace(slope=slope, spent=state.spent + jumped.astype(jnp.int32))


def _dtype(y: PyTree) -> jnp.dtype:
    return jnp.result_type(*jax.tree.leaves(y))


def _pieces(
    field: Field, t0: Scalar, t1: Scalar, y0: PyTree, slope: PyTree, chosen: StepPlan
) -> _Piece:
    """All pieces of a step; their error estimates add up."""
    h = (t1 - t0) / chosen.pieces.astype(t0.dtype)

    def body(now: _Piece) -> _Piece:
        y = _stages(field, now.t, h, now.y, now.slope, chosen)
        number = now.number + 1
        t = jnp.where(number < chosen.pieces, t0 + h * number.astype(h.dtype), t1)
        slope = field(t, y)
        error = jax.tree.map(
            lambda e, a, b, f, g: e + 0.8 * (a - b) + 0.4 * h * (f + g),
            now.error, now.y, y, now.slope, slope,
        )  # fmt: skip
        return _Piece(t, y, slope, error, number)

    start = _Piece(t0, y0, slope, jax.tree.map(jnp.zeros_like, y0), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda now: now.number < chosen.pieces, body, start)


def _stages(field: Field, t: Scalar, h: Scalar, y0: PyTree, f0: PyTree, chosen: StepPlan) -> PyTree:
    """Y_s of one piece."""
    delta, w1 = shift_and_scale(chosen.stages, chosen.damping)
    one = first_terms(delta)
    b_start = next_terms(one, delta).b  # b_0 = b_1 = b_2
    first = b_start * w1
    y1 = jax.tree.map(lambda y, f: y + first * h * f, y0, f0)

    def body(now: _Stage) -> _Stage:
        terms = next_terms(now.terms, delta)
        last_b, older_b = now.b
        mu, nu = 2 * terms.b * (1 + delta) / last_b, -terms.b / older_b
        reach = 2 * terms.b * w1 / last_b * h
        a = 1 - last_b * now.terms.t
        f = field(t + now.time * h, now.y)
        y = jax.tree.map(
            lambda y, last, start, f, f0: (
                start + mu * (y - start) + nu * (last - start) + reach * (f - a * f0)
            ),
            now.y, now.last, y0, f, f0,
        )  # fmt: skip
        time = w1 * terms.dd / terms.d
        return _Stage(y, now.y, time, terms, (terms.b, last_b), now.number + 1)

    start = _Stage(y1, y0, first, one, (b_start, b_start), jnp.ones((), jnp.int32))
    return jax.lax.while_loop(lambda now: now.number < chosen.stages, body, start).y
