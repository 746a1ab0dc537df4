"""Reverse derivatives of a flow: from its last save to its first.

lambda = dL/ds jumps at every save by what the records there add, and goes back between two saves
either along the steps that were taken (`checkpointed.py`) or against time (`backsolve.py`). States
at the saves are kept: `saves` times the size of the rule's state.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from ..._types import Array, Integer, PyTree, Scalar
from ..flow import Flow
from ..solution import FlowSolution
from .backsolve import backsolve
from .checkpointed import StepLog, logged_flow, retraced, room_for
from .forward import as_arrays, within
from .parts import Parts, Pulled, Stretch
from .refusal import check_reverse, check_smooth, whole

Run = Callable[[Flow], FlowSolution]


class Kept(NamedTuple):
    """What the way back needs: states (saves, n), the steps between, 1 or nan (`whole`)."""

    states: Array
    steps: StepLog
    certain: Scalar


@eqx.filter_custom_vjp
def reverse(flow: Flow, run: Run) -> FlowSolution:
    """run(flow), with the reverse derivative of every number in it."""
    return as_arrays(run(flow))


@reverse.def_fwd
def _(perturbed: Any, flow: Flow, run: Run) -> tuple[FlowSolution, Kept]:
    del run
    check_smooth(flow, jax.tree.map(lambda moves: moves or None, perturbed))
    check_reverse(flow)
    found: Any = within(logged_flow)(flow)
    solution, kept = found
    certain = whole(solution)
    fits = kept.fits
    if flow.numerics.adjoint == "checkpointed":
        if not isinstance(fits, Tracer) and not bool(jnp.all(fits)):
            raise ValueError(
                "A flow that is differentiated backwards along its steps must have fewer of them "
                f"than {len(kept.ends)}, but this one has more; use adjoint = 'backsolve', or "
                "forward derivatives with solver = 'bdf'."
            )
        certain = jnp.where(fits, certain, jnp.nan)
    states = kept.states
    return as_arrays(solution), Kept(states, kept, certain)


@reverse.def_bwd
def _(kept: Kept, given: FlowSolution, perturbed: Any, flow: Flow, run: Run) -> Flow:
    del run
    return within(pulled)(flow, tuple(jax.tree.leaves(perturbed)), kept, given)


def pulled(flow: Flow, perturbed: tuple[bool, ...], kept: Kept, given: FlowSolution) -> Any:
    """dL/d(flow), None for what is not asked for; `given`: dL/d(solution), None for zero."""
    leaves, structure = jax.tree.flatten(flow)
    asked = [i for i, moves in enumerate(perturbed) if moves]
    parts = Parts(flow, [leaves[i] for i in asked], tuple(asked))
    ts, states, steps = flow.ts, kept.states, kept.steps
    along_steps = flow.numerics.adjoint == "checkpointed"
    go_back: Any = retraced if along_steps else backsolve
    none = Pulled(jnp.zeros_like(states[0]), [jnp.zeros_like(part) for part in parts.values])

    def at_save(back: Pulled, k: Any) -> tuple[Pulled, Scalar]:
        seen = parts.pull(parts.seen, states[k], _at(given.records, k))
        moved = jnp.vdot(seen.adjoint, parts.field(ts[k], states[k], parts.values))
        return jax.tree.map(jnp.add, back, seen), moved

    def segment(now: tuple[Pulled, Any], k: Integer) -> tuple[tuple[Pulled, Any], Scalar]:
        back, moved = at_save(now[0], k)
        both = jnp.stack([k - 1, k])
        between = (steps.at_saves[k - 1], steps.at_saves[k])
        stretch = Stretch(ts[both], states[both], between, steps.ends)
        return go_back(parts, stretch, back, now[1]), moved

    last = parts.pull(parts.end, states[-1], (given.weights, given.feedback))
    at_end = jnp.vdot(last.adjoint, parts.field(ts[-1], states[-1], parts.values))
    start = jax.tree.map(jnp.add, none, last), room_for(parts, states[0]) if along_steps else None
    (back, _), moved = jax.lax.scan(segment, start, jnp.arange(1, ts.size), reverse=True)
    back, first = at_save(back, 0)
    first -= jnp.vdot(back.adjoint, parts.field(ts[0], states[0], parts.values))
    by_times = jnp.concatenate([first[None], moved]).at[-1].add(at_end)
    if given.ts is not None:
        by_times += given.ts
    if given.t_final is not None:
        by_times = by_times.at[-1].add(given.t_final)
    by_start = jax.vjp(parts.start, parts.values)[1](back.adjoint)[0]
    slopes = [kept.certain * (a + b) for a, b in zip(back.slopes, by_start, strict=True)]
    answer: list[Any] = [None] * len(leaves)
    for i, slope in zip(asked, slopes, strict=True):
        answer[i] = slope
    found = jax.tree.unflatten(structure, answer)
    if found.ts is not None:
        found = found._replace(ts=found.ts + kept.certain * by_times)
    return found


def _at(rows: PyTree, k: Any) -> PyTree:
    return jax.tree.map(lambda row: row[k], rows)
