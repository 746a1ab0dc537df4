"""Many flows of one program at once: vmap, over several devices by shard_map.

What pays on an accelerator; on a CPU flows are faster one after the other. All members of a batch
take steps until the last has done: so they may be given a budget of steps, and those that need more
are run once more, alone. A shard's step loop ends by its own members: no device waits for another
(`check_vma=False`, since a vmapped loop's condition would be summed over all of them).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from .._results import Outcome
from ..flow import Flow, FlowSolution, Numerics, solve

MEMBERS = "members"  # the mesh's axis


def solve_batch(
    flows: Sequence[Flow], devices: Sequence[Any] | None = None, budget: int | None = None
) -> list[FlowSolution]:
    """The solutions of flows that differ in arrays only, in their order.

    Spread over `devices` (the first alone, unless given). `budget`: accepted plus rejected steps
    after which a flow leaves the batch, to be run again by itself with its own max_steps.
    ValueError if the flows are not of one program. Of `solver = "auto"` a batch knows tsit5 only.
    """
    mesh = Mesh(np.asarray(devices or jax.devices()[:1]), (MEMBERS,))
    own = [flow.numerics.max_steps for flow in flows]
    if budget is not None:
        flows = [flow._replace(numerics=_limited(flow.numerics, budget)) for flow in flows]
    spare = -len(flows) % mesh.size
    batch = stacked([*flows, *[flows[-1]] * spare])
    found = jax.device_get(_solve_stacked(batch, mesh))
    solutions = [
        jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), found) for i in range(len(flows))
    ]
    for i, solution in enumerate(solutions):
        if int(solution.outcome) == Outcome.MAX_STEPS and int(own[i]) > int(
            flows[i].numerics.max_steps
        ):
            numerics = dataclasses.replace(flows[i].numerics, max_steps=own[i])
            solutions[i] = _solve_one(flows[i]._replace(numerics=numerics))
    return solutions


def stacked(flows: Sequence[Flow]) -> Flow:
    """One flow whose arrays have a leading axis of members. ValueError if structures or shapes
    differ."""
    arrays, rest = zip(*(eqx.partition(flow, eqx.is_array) for flow in flows), strict=True)
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in arrays]
    if not all(eqx.tree_equal(other, rest[0]) and s == shapes[0]
               for other, s in zip(rest, shapes, strict=True)):  # fmt: skip
        raise ValueError("Argument `flows` must be flows of one program, but they are not.")
    host = jax.device_get(arrays)  # stacked there: a program of thousands of operands compiles long
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *host), rest[0])


@eqx.filter_jit
def _solve_stacked(batch: Flow, mesh: Mesh) -> FlowSolution:
    arrays, rest = eqx.partition(batch, eqx.is_array)
    spec = PartitionSpec(MEMBERS)

    def shard(arrays: Flow) -> FlowSolution:
        return eqx.filter_vmap(_solution)(eqx.combine(arrays, rest))

    return jax.shard_map(shard, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(arrays)


@eqx.filter_jit
def _solve_one(flow: Flow) -> FlowSolution:
    return _solution(flow)


def _solution(flow: Flow) -> FlowSolution:
    return solve(*flow[:4])


def _limited(numerics: Numerics, budget: int) -> Numerics:
    return dataclasses.replace(numerics, max_steps=jnp.minimum(numerics.max_steps, budget))
