"""One flow over several devices: samples spread, all else on every one of them.

Every device takes the same steps of the same weights; only sums over samples differ, and they are
added up by an all-reduce whose result is the same on all (`tasks.blocks`). Devices of several
processes do the same, so their machines must be of one kind: where they round differently, they
would step differently, and wait for each other for ever.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .._types import Array
from ..tasks import SAMPLES, Data
from .problem import FlowProblem


def samples_mesh(per_process: int) -> Mesh | None:
    """The first `per_process` devices of every process; None if that is one device in all.

    ValueError, as the end of a sentence, if this process has fewer.
    """
    here = jax.local_devices()
    if per_process > len(here):
        raise ValueError(f"but this process has {len(here)} ({here[0].device_kind})")
    if per_process * jax.process_count() == 1:
        return None
    by_process: dict[int, list[Any]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    chosen = [device for _, found in sorted(by_process.items()) for device in found[:per_process]]
    return Mesh(np.array(chosen), (SAMPLES,))


def spread_over(problem: FlowProblem, mesh: Mesh) -> FlowProblem:
    """The problem with its samples spread over a mesh's devices, so that `integrate` and jitted
    functions of it run there. Samples that the devices do not divide are filled up by rows that
    weigh nothing (`Data.present`)."""
    problem = dataclasses.replace(problem, data=_spread_data(problem.data, mesh))
    return everywhere(problem, mesh)


def everywhere(tree: Any, mesh: Mesh) -> Any:
    """Every array of a pytree on all devices of the mesh, but for those that are there already."""
    whole = NamedSharding(mesh, PartitionSpec())

    def placed(leaf: Any) -> Any:
        if not eqx.is_array(leaf) or getattr(leaf.sharding, "mesh", None) == mesh:
            return leaf
        return _put(np.asarray(leaf), whole)

    return jax.tree.map(placed, tree)


def the_same_everywhere(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """The function with every array that it returns on all devices, whatever XLA would choose."""
    whole = NamedSharding(mesh, PartitionSpec())
    return lambda *arguments: eqx.filter_shard(function(*arguments), whole)


def at_home(tree: Any) -> Any:
    """Arrays that are on all devices as arrays of this process's default one."""
    fetch = lambda leaf: jnp.asarray(np.asarray(leaf)) if eqx.is_array(leaf) else leaf  # noqa: E731
    return jax.tree.map(fetch, tree)


def beside(mesh: Mesh | None) -> contextlib.AbstractContextManager[Any]:
    """Where what is no flow is computed: with a mesh of accelerators by the host, so that no one of
    them has to hold all samples."""
    if mesh is None or jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def _spread_data(data: Data, mesh: Mesh) -> Data:
    samples = data.inputs.shape[0]
    fill = -samples % mesh.size
    rows = NamedSharding(mesh, PartitionSpec(SAMPLES))

    def placed(array: Array) -> Array:
        host = np.asarray(array)
        # Repeated, since losses are defined for the targets that there are.
        return _put(np.concatenate([host, np.repeat(host[:1], fill, axis=0)]), rows)

    present = None
    if fill:
        there = np.arange(samples + fill)[:, None] < samples
        present = _put(there.astype(data.targets.dtype), rows)
    weights = None if data.sample_weights is None else placed(data.sample_weights)
    return dataclasses.replace(
        data, inputs=placed(data.inputs), targets=placed(data.targets), present=present, mesh=mesh,
        sample_weights=weights, identity=False,
    )  # fmt: skip


def _put(host: np.ndarray, sharding: NamedSharding) -> Array:
    # From a callback, which asks for what this process's devices hold, and for nothing else.
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
