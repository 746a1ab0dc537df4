"""The limit of a flow as a differentiable function of all that the flow is made of.

Fixed points v(W; p) = 0 form manifolds, on which J = dv/dW is singular and the implicit function
theorem fails. The conserved laws say which point of the manifold a flow goes to, so that S = dW*
solves, by least squares,

    J S = -d_p v(W*; p),        DQ(W*) S = d[Q(W(0); p)] - d_p Q(W*; p).

What is asked of the limit, g(W*), is determined as soon as Dg vanishes on the null space of
(J, DQ): the product of two factors may be where the factors are not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree

from .._compiling import ONCE, compiled
from .._types import Array, Flag, Integer, PyTree, Scalar
from ..flow import FlowProblem, Numerics, Polished, check_polish, integrate, polish
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw
from ..rules import bare

Asked = Callable[[AbstractNetwork], PyTree]

DENSE = 1500  # weights up to which the equations are formed
RANK = 1e-8  # singular values below this share of the largest are zero,
GAP = 1e-2  # if they are less than this share of the smallest one that is not
FREE = 1e-6  # share of Dg that may lie where nothing is determined
OFF = 1e-6  # residual of the equations, over their right-hand side


class Limit(NamedTuple):
    """`value`: what was asked of the limit, the one part that has a derivative. `polished`: the
    fixed point and how far it is to be believed. `rank` of (J, DQ) among `weights` unknowns; `gap`:
    its first singular value that counts as zero over the last that does not (0 at full rank);
    `free`: the share of Dg where nothing is determined."""

    value: PyTree
    polished: Polished
    rank: Integer
    weights: Integer
    gap: Scalar
    free: Scalar


class _Equations(NamedTuple):
    """(J, DQ), each divided by its size, its pseudo-inverse and the projector on its null space."""

    matrix: Array
    inverse: Array
    sizes: Array
    rank: Integer
    gap: Scalar
    null: Array


def limit_of_flow(
    problem: FlowProblem,
    horizon: float,
    of: Asked = lambda weights: weights,
    numerics: Numerics | None = None,
    *,
    integrated: bool = False,
    end: AbstractNetwork | None = None,
) -> Limit:
    """Where the flow of `problem` goes, as `of` sees it: `jax.jvp`, `jax.jacfwd` and `jax.grad` of
    `.value` with respect to anything in `problem` are those of the limit itself.

    The flow is integrated to `horizon` (unless its `end` there is given) and polished
    (`flow.polish`); the derivative asks for neither. `integrated`: where the laws leave directions
    free, S is taken from the variational equation at `horizon` there (forward derivatives only).
    Dense: up to 1,500 weights.
    Raises ValueError for what `polish` can't serve, for a flow that is not at rest, and, under
    a derivative, where laws do not determine what is asked; inside
    another program the derivative is nan instead.
    """
    check_polish(problem)
    size = sum(leaf.size for leaf in jax.tree.leaves(problem.weights))
    if size > DENSE:
        raise ValueError(
            f"Argument `problem` must have at most {DENSE} weights for a derivative of its limit, "
            f"but has {size}; differentiate `integrate` to a late time."
        )
    numerics = Numerics(solver="bdf") if numerics is None else numerics
    return _limit(problem, jnp.asarray(horizon, float), of, numerics, integrated, end)


@eqx.filter_custom_jvp
def _limit(
    problem: FlowProblem,
    horizon: Scalar,
    of: Asked,
    numerics: Numerics,
    integrated: bool,
    end: AbstractNetwork | None,
) -> Limit:
    del integrated
    end = _end(problem, horizon, numerics) if end is None else end
    polished = polish(problem, end, horizon)
    lost = ~polished.converged | polished.far
    if not isinstance(lost, Tracer) and bool(lost):
        raise ValueError(
            "Argument `horizon` must be late enough for the flow to come to rest, but at "
            f"{float(horizon):g} its speed is {float(polished.speed[0]):.2g}, "
            f"{float(polished.speed[1]):.2g} when polished, which moved the weights by "
            f"{float(polished.moved):.2g} of their size; raise it."
        )
    known = _equations(problem, polished.weights)
    slopes = jax.jacfwd(lambda w: ravel_pytree(of(_network(problem, w)))[0])(
        _vector(polished.weights)
    )
    free = _free(slopes, known.null, lost)
    unknowns = jnp.asarray(len(known.null))
    return Limit(of(polished.weights), polished, known.rank, unknowns, known.gap, free)


@_limit.def_jvp
def _(given: tuple[Any, ...], moves: tuple[Any, ...]) -> tuple[Limit, Any]:
    problem, horizon, of, numerics, integrated, _ = given
    found = _limit(*given)
    known = _equations(problem, found.polished.weights)
    values, rest = eqx.partition(problem, eqx.is_inexact_array)
    ways = jax.tree.map(
        lambda leaf, way: jnp.zeros_like(leaf) if way is None else way,
        values,
        _beside(values, moves[0]),
    )

    right, change = _solved(known, _right(problem, ways, found.polished.weights))
    certain = jnp.ones(())
    if integrated:
        end = lambda values: _vector(_end(eqx.combine(values, rest), horizon, numerics))  # noqa: E731
        change += known.null @ jax.jvp(end, (values,), (ways,))[1]
    else:
        certain = _certain(found)
    _check_met(known, change, right)
    there = _vector(found.polished.weights)
    _, moved = jax.jvp(lambda w: of(_network(problem, w)), (there,), (certain * change,))
    return found, jax.tree.map(lambda _: None, found)._replace(value=moved)


@compiled(ONCE)
def _equations(problem: FlowProblem, weights: AbstractNetwork) -> _Equations:
    return _formed(problem, weights)


@eqx.filter_jit  # one program under a derivative too, where `compiled` goes operation by operation
def _formed(problem: FlowProblem, weights: AbstractNetwork) -> _Equations:
    there = _vector(weights)
    rows = jax.jacfwd(lambda w: _left(problem, w))(there)
    field, laws = rows[: there.size], rows[there.size :]
    tiny = jnp.finfo(there.dtype).tiny
    sizes = [jnp.maximum(jnp.linalg.norm(block), tiny) for block in (field, laws)]
    sizes = jnp.repeat(
        jnp.stack(sizes), np.array([len(field), len(laws)]), total_repeat_length=len(rows)
    )
    matrix = rows / sizes[:, None]
    left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
    there_is = values > RANK * values[0]
    shares = jnp.where(there_is, 1 / jnp.where(there_is, values, 1), 0)
    inverse = (right.T * shares[None, :]) @ left.T
    smallest = jnp.min(jnp.where(there_is, values, jnp.inf))
    gap = jnp.max(jnp.where(there_is, 0, values)) / smallest
    null = (right.T * jnp.where(there_is, 0.0, 1.0)[None, :]) @ right
    return _Equations(matrix, inverse, sizes, jnp.sum(there_is), gap, null)


@compiled(ONCE)
def _right(problem: FlowProblem, ways: PyTree, weights: AbstractNetwork) -> Array:
    """d_p of (v, Q - Q(0)) at `weights`, along `ways`."""
    return _pushed(problem, ways, weights)


@eqx.filter_jit
def _pushed(problem: FlowProblem, ways: PyTree, weights: AbstractNetwork) -> Array:
    values, rest = eqx.partition(problem, eqx.is_inexact_array)
    w = _vector(weights)
    return jax.jvp(lambda values: _left(eqx.combine(values, rest), w), (values,), (ways,))[1]


@eqx.filter_jit
def _solved(known: _Equations, right: Array) -> tuple[Array, Array]:
    """The right-hand side in units of the equations, and the move of least norm that meets it."""
    right = right / known.sizes
    return right, -known.inverse @ right


@eqx.filter_jit
def _free(slopes: Array, null: Array, lost: Flag) -> Scalar:
    share = jnp.linalg.norm(slopes @ null) / jnp.linalg.norm(slopes)
    return jnp.where(lost, jnp.nan, share)


@eqx.filter_jit
def _off(known: _Equations, change: Array, right: Array) -> Flag:
    return jnp.linalg.norm(known.matrix @ change + right) > OFF * jnp.linalg.norm(right)


def _left(problem: FlowProblem, w: Array) -> Array:
    """v(w) and Q(w) - Q(W(0)), for all laws that the rule keeps."""
    rule, network = bare(problem.rule), _network(problem, w)
    velocity = rule.velocity(jnp.zeros((), w.dtype), network, problem.feedback, problem.data)
    kept = [law for law in rule.laws(network).values() if _stays(law)]
    laws = [
        ravel_pytree(law(net, problem.feedback, problem.data))[0]
        for law in kept
        for net in (network, problem.weights)
    ]
    changes = [now - first for now, first in zip(laws[::2], laws[1::2], strict=True)]
    return jnp.concatenate([ravel_pytree(velocity)[0], *changes])


def _end(problem: FlowProblem, horizon: Scalar, numerics: Numerics) -> AbstractNetwork:
    times = jnp.stack([jnp.zeros_like(horizon), horizon])
    return integrate(problem, times, {}, numerics).weights


def _stays(law: AbstractConservationLaw) -> bool:
    return isinstance(law.decay, float) and law.decay == 0


def _certain(found: Limit) -> Scalar:
    """1, or nan; ValueError where the derivative is known not to be determined."""
    blurred, free = found.gap > GAP, found.free > FREE
    known = not isinstance(free, Tracer)
    if known and bool(blurred):
        raise ValueError(
            f"The rank of the limit's equations, {int(found.rank)} of {int(found.weights)}, is not "
            f"clear: what counts as zero is {float(found.gap):.2g} of what does not; raise "
            "`horizon`."
        )
    if known and bool(free):
        raise ValueError(
            "The laws do not determine the derivative of this limit: "
            f"{int(found.weights - found.rank)} of {int(found.weights)} directions are free, and "
            f"{float(found.free):.2g} of what is asked lies there; ask for less (`of`), or "
            "take it from the flow (`integrated = True`)."
        )
    lost = free | blurred | jnp.isnan(found.free)
    return jnp.where(lost, jnp.nan, 1.0)


def _check_met(known: _Equations, change: Array, right: Array) -> None:
    """Raise ValueError if no move of W* keeps it a fixed point, as far as that is known."""
    off = _off(known, change, right)
    if not isinstance(off, Tracer) and bool(off):
        raise ValueError(
            "The limit has no derivative in this direction: its equations have no solution, since "
            "the fixed points do not move with the problem; differentiate `integrate` instead."
        )


def _beside(values: PyTree, ways: PyTree) -> PyTree:
    """`ways`, with None wherever `values` has."""
    return jax.tree.map(lambda _, way: way, values, ways, is_leaf=lambda x: x is None)


def _vector(network: AbstractNetwork) -> Array:
    return ravel_pytree(network)[0]


def _network(problem: FlowProblem, w: Array) -> AbstractNetwork:
    return ravel_pytree(problem.weights)[1](w)
