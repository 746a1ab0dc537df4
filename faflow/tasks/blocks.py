"""Sums over samples a block at a time, and over devices: what bounds the memory of a large flow.

A sum over samples is the same sum over blocks of them, to rounding, and only one block's
activations have to be there at once. The last block starts early enough to be whole: rows that an
earlier block had are weighted by 0 in it (`Data.present`), so that one compiled block serves any
number of samples and no row is copied to fill one up.

Samples that are spread over the devices of a mesh are summed where they lie, and the devices' sums
are added once per sum (one all-reduce of a field's size, whatever the number of blocks).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from .._types import Array, Integer

SAMPLES = "samples"  # the one axis of a mesh that samples are spread over
Total = TypeVar("Total")


def summed(data: Any, function: Callable[[Any], Total]) -> Total:
    """The sum of function(part) over the blocks of `data` on all devices, part a smaller `Data`.

    `function` must be a sum over samples that hears targets through `residual`, `error` or `value`
    alone, for these leave out rows that are not there. Any pytree of arrays.
    """
    if data.mesh is None:
        return _summed_here(data, function)

    def here(rows: Any) -> Total:
        return jax.lax.psum(_summed_here(_with_rows(data, rows), function), SAMPLES)

    return _on_devices(data, here, PartitionSpec())


def each(data: Any, function: Callable[[Any], Any]) -> Any:
    """function(part) of all blocks, one below the other: a pytree of arrays (samples, ...), row by
    row what it is of that sample alone."""
    if data.mesh is None:
        return _each_here(data, function)

    def here(rows: Any) -> Any:
        return _each_here(_with_rows(data, rows), function)

    return _on_devices(data, here, PartitionSpec(SAMPLES))


def _on_devices(data: Any, here: Callable[[Any], Any], out: PartitionSpec) -> Any:
    # Unchecked, since a scan's start, zero on every device, is no sum over devices yet.
    spread = jax.shard_map(
        here, mesh=data.mesh, in_specs=PartitionSpec(SAMPLES), out_specs=out, check_vma=False
    )
    return spread((data.inputs, data.targets, data.present, data.sample_weights))


def _with_rows(data: Any, rows: tuple[Array, Array, Array | None, Array | None]) -> Any:
    inputs, targets, present, weights = rows
    return dataclasses.replace(
        data, inputs=inputs, targets=targets, present=present, sample_weights=weights, mesh=None
    )


def _summed_here(data: Any, function: Callable[[Any], Total]) -> Total:
    count = _blocks(data)
    if count == 1:
        return function(data)
    shapes = jax.eval_shape(lambda: function(_part(data, jnp.asarray(0))[0]))
    zero = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total: Total, index: Integer) -> tuple[Total, None]:
        return jax.tree.map(jnp.add, total, function(_part(data, index)[0])), None

    return jax.lax.scan(add, zero, jnp.arange(count))[0]


def _each_here(data: Any, function: Callable[[Any], Any]) -> Any:
    count, samples = _blocks(data), data.inputs.shape[0]
    if count == 1:
        return function(data)
    shapes = jax.eval_shape(lambda: function(_part(data, jnp.asarray(0))[0]))
    blank = jax.tree.map(lambda s: jnp.zeros((samples, *s.shape[1:]), s.dtype), shapes)

    def put(whole: Any, index: Integer) -> tuple[Any, None]:
        part, start = _part(data, index)
        rows = function(part)
        # Rows that two blocks share are written twice, to the same values.
        write = lambda array, new: jax.lax.dynamic_update_slice_in_dim(array, new, start, 0)  # noqa: E731
        return jax.tree.map(write, whole, rows), None

    return jax.lax.scan(put, blank, jnp.arange(count))[0]


def _blocks(data: Any) -> int:
    samples = data.inputs.shape[0]
    return 1 if data.block is None else -(-samples // data.block)


def _part(data: Any, index: Integer) -> tuple[Any, Integer]:
    """Block `index` and the row it starts at; `present` is 0 in rows that an earlier block had."""
    samples, block = data.inputs.shape[0], data.block
    first = index * block
    start = jnp.minimum(first, samples - block)
    inputs, targets, present, weights = (
        None if rows is None else jax.lax.dynamic_slice_in_dim(rows, start, block)
        for rows in (data.inputs, data.targets, data.present, data.sample_weights)
    )
    if samples % block:
        own = (start + jnp.arange(block) >= first)[:, None].astype(data.targets.dtype)
        present = own if present is None else present * own
    part = dataclasses.replace(
        data, inputs=inputs, targets=targets, present=present, sample_weights=weights, block=None
    )
    return part, start
