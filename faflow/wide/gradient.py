"""Deep linear nets of infinite width under the gradient: matrix equations on a grid of times.

Under the gradient the backward signals move, and two times do not separate. On a grid of T times
let integrals over [0, t_i] be trapezium sums. With one output g^l does not depend on the sample, so
that with C^l (PT, T) and E^l (T, PT), both causal and holding the sums' weights w,

    C^l = A^{l-1} + w sum_nu H^{l-1} Delta_nu       E^l = B^l + w G^{l+1} Delta
    h^l = u + g0 C^l g^l                            g^l = r + g0 E^l h^l
    H^l = M (H^{l-1} + g C G^{l+1} C^T) M^T         M = (1 - g C E)^{-1},   A^l = M C
    G^l = N (G^{l+1} + g E H^{l-1} E^T) N^T         N = (1 - g E C)^{-1},   B^{l-1} = N E
    f' = K Delta,   K = sum_{l=0}^L G^{l+1} H^l at equal times

u ~ N(0, H^{l-1}), r ~ N(0, G^{l+1}), H^0 = K^x, G^{L+1} = 1, A^0 = B^L = 0, g = g0^2 (Bordelon &
Pehlevan 2022, self-consistent dynamical field theory). Solved by sweeps through all layers; f is
integrated from K by the trapezium rule, implicitly. Errors are even in the time step, so grids of
T, 2T, 4T extrapolate (`gradient_limit`).
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import LONG, ONCE, compiled
from .._types import Array, Flag, Integer, Matrix, Scalar
from ..tasks import Data
from .linear import need_one_output

NEWTON = 6  # iterations of an implicit step; squared loss needs one
SMALL = 5e8  # L (P T)^2 T of a grid below which compiling for speed takes longer than it saves


class GradientLimit(NamedTuple):
    """At the grid's `ts` (T,): `outputs` f (T, P); `features` H^0..H^L and `gradients`
    G^1..G^{L+1}, at equal times, (L+1, T, P, P) and (L+1, T); `tangent` K (T, P, P);
    `other_outputs` (T, P): <z phi(h)> / g0, which is f by the other route; `change`: of f in the
    last sweep; `converged`: whether that is below the tolerance."""

    ts: Array
    outputs: Array
    features: Array
    gradients: Array
    tangent: Array
    other_outputs: Array
    change: Scalar
    converged: Flag


class _Sweep(eqx.Module):
    outputs: Array  # (T, P)
    below: tuple[Matrix, ...]  # H^0, ..., H^L, (T P, T P), rows (t, mu)
    above: tuple[Matrix, ...]  # G^1, ..., G^{L+1}, (T, T)
    heard: tuple[Matrix, ...]  # A^0, ..., A^{L-1}, (T P, T)
    told: tuple[Matrix, ...]  # B^1, ..., B^L, (T, T P)
    other: Array
    change: Scalar
    count: Integer


def gradient_on_grid(
    data: Data,
    hidden: int,
    richness: Scalar,
    t1: Scalar,
    times: int,
    *,
    tolerance: float = 1e-12,
    sweeps: int = 200,
    responses: bool = True,
) -> GradientLimit:
    """The equations of the module docstring on T = `times` equal steps' ends in [0, t1], L =
    `hidden` >= 1; pure, memory 8 (L + 1) (P T)^2 bytes a few times over. `sweeps`: the most.
    Without `responses` A and B are left out, as no theory of L > 1 layers may: a control."""
    ts = jnp.linspace(0.0, 1.0, times) * t1
    step = partial(_sweep, data, richness, ts, responses)
    start = _start(data, hidden, times)

    def going(now: _Sweep) -> Flag:
        return (now.count < sweeps) & (now.change > tolerance)

    end = jax.lax.while_loop(going, step, start)
    features, gradients = _equal_times(end, times)
    tangent = jnp.einsum("lt,ltmn->tmn", gradients, features)
    return GradientLimit(
        ts, end.outputs, features, gradients, tangent, end.other, end.change,
        end.change <= tolerance,
    )  # fmt: skip


def gradient_limit(
    data: Data, hidden: int, richness: float, t1: float, *, times: int = 25
) -> GradientLimit:
    """Extrapolated from grids of n, 2n and 4n steps, n = `times`, at the n + 1 times of the first:
    the error is O(step^6). ValueError if there is more than one output, L < 1, richness <= 0, or
    the sweeps did not converge: then t1 is too long or richness too large for the grid."""
    need_one_output(data)
    if hidden < 1:
        raise ValueError(f"Argument `hidden` must be >= 1, but is {hidden}.")
    if not richness > 0:
        raise ValueError(f"Argument `richness` must be > 0, but is {richness}.")
    given = data, hidden, jnp.asarray(richness, float), jnp.asarray(t1, float)
    grids = [_on_grid(*given, times * factor + 1) for factor in (1, 2, 4)]
    for grid in grids:
        if not bool(grid.converged):
            raise ValueError(
                f"Argument `t1` must suit the grid, but at {t1:g} the sweeps did not converge "
                f"(last change {float(grid.change):.1e}); raise times or shorten t1."
            )
    axes = (0, 0, 1, 1, 0, 0, None, None)

    def joined(axis: int | None, *values: Array) -> Array:
        if axis is None:
            return values[-1]
        one, two, four = (
            np.take(np.asarray(value), np.arange(0, value.shape[axis], factor), axis)
            for value, factor in zip(values, (1, 2, 4), strict=True)
        )
        fine, coarse = (4 * four - two) / 3, (4 * two - one) / 3
        return jnp.asarray((16 * fine - coarse) / 15, float)

    fields = zip(axes, *grids, strict=True)
    return GradientLimit(*(joined(*field) for field in fields))


def _on_grid(data: Data, hidden: int, richness: Scalar, t1: Scalar, times: int) -> GradientLimit:
    effort = hidden * data.inputs.shape[0] ** 2 * times**3
    return compiled(ONCE if effort < SMALL else LONG)(_grid)(data, hidden, richness, t1, times)


def _grid(data: Data, hidden: int, richness: Scalar, t1: Scalar, times: int) -> GradientLimit:
    return gradient_on_grid(data, hidden, richness, t1, times)


def _start(data: Data, hidden: int, times: int) -> _Sweep:
    samples, features = data.inputs.shape
    size = times * samples
    gram = jnp.tile(data.inputs @ data.inputs.T / features, (times, times))
    return _Sweep(
        outputs=jnp.zeros((times, samples)),
        below=(gram,) * (hidden + 1),
        above=(jnp.ones((times, times)),) * (hidden + 1),
        heard=(jnp.zeros((size, times)),) * hidden,
        told=(jnp.zeros((times, size)),) * hidden,
        other=jnp.zeros((times, samples)),
        change=jnp.asarray(jnp.inf),
        count=jnp.asarray(0),
    )


def _sweep(data: Data, richness: Scalar, ts: Array, responses: bool, now: _Sweep) -> _Sweep:
    """Once through all layers with the errors of the last sweep, then new errors."""
    times, samples = now.outputs.shape
    hidden, g = len(now.heard), richness**2
    weights = _trapezium(ts)
    error = jax.vmap(lambda f: -data.error(f[:, None])[:, 0])(now.outputs)
    below, above, heard, told = (list(x) for x in (now.below, now.above, now.heard, now.told))
    across = jnp.zeros((times * samples, times))
    for l in range(hidden):  # below[l] = H^l, above[l] = G^{l+1}, of layer l + 1
        pulled = (below[l].reshape(times, samples, times, samples) * error[None, None]).sum(3)
        c = heard[l] + (weights[:, None, :] * pulled).reshape(-1, times)
        pushed = (weights * above[l + 1])[:, :, None] * error[None]
        e = told[l] + pushed.reshape(times, -1)
        n = jnp.linalg.inv(jnp.eye(times) - g * e @ c)

        def m(x: Matrix, c: Matrix = c, n: Matrix = n, e: Matrix = e) -> Matrix:
            return x + g * c @ (n @ (e @ x))  # (1 - g C E)^{-1} x, which differs from x by rank T

        across = m(below[l] @ e.T + c @ above[l + 1]) @ n.T
        below[l + 1] = m(m(below[l] + g * c @ above[l + 1] @ c.T).T)
        above[l] = n @ (above[l + 1] + g * e @ below[l] @ e.T) @ n.T
        if responses and l + 1 < hidden:
            heard[l + 1] = m(c)
        if responses and l > 0:
            told[l - 1] = n @ e
    found = _Sweep(
        now.outputs, tuple(below), tuple(above), tuple(heard), tuple(told), now.other, now.change,
        now.count + 1,
    )  # fmt: skip
    features, gradients = _equal_times(found, times)
    outputs = _outputs(data, ts, jnp.einsum("lt,ltmn->tmn", gradients, features))
    same = jnp.arange(times)
    other = across.reshape(times, samples, times)[same, :, same]
    change = jnp.max(jnp.abs(outputs - now.outputs))
    changed = lambda s: (s.outputs, s.other, s.change)  # noqa: E731
    return eqx.tree_at(changed, found, (outputs, other, change))


def _trapezium(ts: Array) -> Matrix:
    """w[i, j]: of the value at t_j in int_0^{t_i}, equal steps."""
    step, rows = ts[1] - ts[0], jnp.arange(len(ts))
    inside = jnp.where(rows[None, :] <= rows[:, None], step, 0.0)
    ends = (rows[None, :] == 0) | (rows[None, :] == rows[:, None])
    return jnp.where(rows[:, None] > 0, jnp.where(ends, 0.5 * inside, inside), 0.0)


def _equal_times(now: _Sweep, times: int) -> tuple[Array, Array]:
    """H^l(t, t) (L+1, T, P, P) and G^l(t, t) (L+1, T)."""
    same = jnp.arange(times)
    blocks = [h.reshape(times, -1, times, h.shape[0] // times) for h in now.below]
    return jnp.stack([h[same, :, same] for h in blocks]), jnp.stack(
        [jnp.diag(each) for each in now.above]
    )


def _outputs(data: Data, ts: Array, tangent: Array) -> Array:
    """f' = K Delta(f) from f = 0 by the trapezium rule, Newton's method in each step."""
    half = 0.5 * (ts[1] - ts[0])

    def field(kernel: Matrix, f: Array) -> Array:
        return -kernel @ data.error(f[:, None])[:, 0]

    def advance(f: Array, kernels: tuple[Matrix, Matrix]) -> tuple[Array, Array]:
        old, new = kernels
        known = f + half * field(old, f)
        gap = lambda x: x - known - half * field(new, x)  # noqa: E731
        newton = lambda _, x: x - jnp.linalg.solve(jax.jacfwd(gap)(x), gap(x))  # noqa: E731
        x = jax.lax.fori_loop(0, NEWTON, newton, known)
        return x, x

    start = jnp.zeros(tangent.shape[1])
    rest = jax.lax.scan(advance, start, (tangent[:-1], tangent[1:]))[1]
    return jnp.concatenate([start[None], rest])
