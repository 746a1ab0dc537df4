"""Newton from the end of a flow to the fixed point that the flow was heading for."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import gmres

from .._compiling import LOOP, compiled
from .._types import Array, Flag, Integer, Scalar
from ..networks import AbstractLayeredNetwork, AbstractNetwork, is_kinked
from ..networks.draws import frobenius
from ..rules import bare
from ..solvers import norm
from .leaf import Leaf
from .problem import FlowProblem

DENSE = 1500  # weights up to which the Jacobian is formed
MOST_ITERATIONS = 40
LONGEST = 10.0  # the longest pseudo-step over the flow's own time
FAR = 0.01  # moved by more than this share of ||W||: another point may have been met
ROUNDING = 100  # ||F|| in units of u ||J w|| below which it is rounding
FINEST = 10  # and where there is no need to go on


class Polished(NamedTuple):
    """The fixed point found from the end of a flow; the flow's own end is left as it is.

    `speed`, `residual`, `loss` (2,): ||F||, the residual's norm and the loss before and after.
    `moved`: ||W - W_T|| / ||W_T||. `law_change`: how far Newton's steps left the laws, relative to
    the laws' scale, before they were put back: of the size of `moved` squared, and so is the
    distance to the flow's true limit where no law corrects it. `law_kept`: the same at the end
    (small by construction, no check of the laws). `converged`: ||F|| is rounding. `far`: moved by
    more than 1 %: the limit of the flow may be another point.
    """

    weights: AbstractNetwork
    iterations: Integer
    speed: Array
    residual: Array
    loss: Array
    moved: Scalar
    law_change: Scalar
    law_kept: Scalar
    converged: Flag
    far: Flag


def polish(problem: FlowProblem, end: AbstractNetwork, horizon: Scalar | float) -> Polished:
    """The fixed point F(W) = 0 that the flow goes to from its weights `end` at time `horizon`.

    Pseudo-transient continuation: (I / h - J) d = F, W += d, with h growing from `horizon` to ten
    times that. Every d lies in the range of J, along which the flow itself moves; a Newton step of
    least norm lies in the row space of J, which for FA and DFA is another space, and goes to
    another fixed point. After each step W is put back onto the laws' values at `end` (the finest of
    `rule.laws` without decay) by the least correction. Lands on the flow's limit up to O(moved^2).
    J is dense up to 1,500 weights, above that GMRES on forward derivatives; nothing larger than a
    few hundred vectors is kept. Kelley & Keyes 1998 (pseudo-transient continuation).

    Raises ValueError for a rule whose state is more than its weights (a momentum: the weights do
    not tell where it goes), and for kinked activations, whose J jumps.
    """
    check_polish(problem)
    return _polish(problem, end, jnp.asarray(horizon, float))


def check_polish(problem: FlowProblem) -> None:
    """Raise ValueError for what `polish` can't serve."""
    rule = bare(problem.rule)
    state = jax.eval_shape(rule.init, problem.weights, problem.feedback, problem.data)
    shapes = jax.eval_shape(lambda weights: weights, problem.weights)
    if jax.tree.structure(state) != jax.tree.structure(shapes):
        kind = type(rule).__name__
        raise ValueError(
            f"Argument `problem` has the rule {kind}, whose state is more than its weights, but "
            "polishing needs one whose weights alone say where it goes; run the flow longer."
        )
    if is_kinked(problem.weights, problem.data.inputs):
        layered = isinstance(problem.weights, AbstractLayeredNetwork)
        kind = type(problem.weights.activation if layered else problem.weights).__name__
        raise ValueError(
            f"Argument `problem` has the activation {kind}, "
            "but polishing needs one without kinks; run the flow longer."
        )


class _Field(eqx.Module):
    """F and J as functions of the flat weights."""

    leaf: Leaf

    def __call__(self, w: Array) -> Array:
        problem, rule = self.leaf.problem, bare(self.leaf.problem.rule)
        start = jnp.zeros((), w.dtype)
        velocity = rule.velocity(start, self.leaf.unravel(w), problem.feedback, problem.data)
        return ravel_pytree(velocity)[0]

    def newton(self, w: Array, slope: Array, h: Scalar) -> Array:
        """d of (I / h - J) d = F."""
        if w.size <= DENSE:
            jacobian = jax.jacfwd(self)(w)
            return jnp.linalg.solve(jnp.eye(w.size, dtype=w.dtype) / h - jacobian, slope)
        push = jax.linearize(self, w)[1]
        return gmres(lambda d: d / h - push(d), slope, tol=1e-8, restart=60, maxiter=10)[0]


class _Round(NamedTuple):
    w: Array
    slope: Array
    speed: Scalar
    h: Scalar
    law_change: Scalar
    number: Integer
    stuck: Flag


@compiled(LOOP)
def _polish(problem: FlowProblem, end: AbstractNetwork, horizon: Scalar) -> Polished:
    start, unravel = ravel_pytree(end)
    leaf = Leaf(problem)
    field, laws, scale = _Field(leaf), leaf.laws(start), leaf.scale(start)
    slope, stretch = jax.jvp(field, (start,), (start,))
    unit = jnp.finfo(start.dtype).eps * norm(stretch)
    off = lambda w: jnp.max(jnp.abs(leaf.laws(w) - laws)) / scale  # noqa: E731

    def body(now: _Round) -> _Round:
        moved = now.w + field.newton(now.w, now.slope, now.h)
        change = off(moved)
        w = leaf.back(moved, laws)
        slope = field(w)
        speed = norm(slope)
        better = speed < now.speed
        pick = lambda new, old: jnp.where(better, new, old)  # noqa: E731
        return _Round(
            pick(w, now.w), pick(slope, now.slope), pick(speed, now.speed),
            jnp.where(better, jnp.minimum(3 * now.h, LONGEST * horizon), now.h / 10),
            jnp.where(better, jnp.maximum(change, now.law_change), now.law_change),
            now.number + 1, ~better & ((now.speed <= ROUNDING * unit) | (now.h < horizon / 1000)),
        )  # fmt: skip

    def unfinished(now: _Round) -> Flag:
        return (now.speed > FINEST * unit) & (now.number < MOST_ITERATIONS) & ~now.stuck

    zero = jnp.zeros((), start.dtype)
    begin = _Round(start, slope, norm(slope), horizon.astype(start.dtype), zero,
                   jnp.zeros((), int), jnp.asarray(False))  # fmt: skip
    found = jax.lax.while_loop(unfinished, body, begin)
    moved = norm(found.w - start) / norm(start)
    both = (end, unravel(found.w))
    outputs = [problem.data.outputs(net) for net in both]
    return Polished(
        weights=both[1],
        iterations=found.number,
        speed=jnp.stack([norm(slope), found.speed]),
        residual=jnp.stack([frobenius(problem.data.residual(out)) for out in outputs]),
        loss=jnp.stack([problem.data.value(out) for out in outputs]),
        moved=moved,
        law_change=found.law_change,
        law_kept=off(found.w),
        converged=found.speed <= ROUNDING * unit,
        far=moved > FAR,
    )
