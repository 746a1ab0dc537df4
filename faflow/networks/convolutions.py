"""Convolutions of a model as matrix products, which are what runs fast on a CPU.

In a loop, as the steps of a flow are one, XLA takes ten to twenty times as long for a convolution
and its derivatives as for the same sums as a product of matrices, in float64 and in float32:

    out[o, (n, p)] = sum over (c, k) of W[o, (c, k)] patches[(c, k), (n, p)],
    patches[(c, k), (n, p)] = image n, padded, channel c, at stride p + dilation k

(places p of the outputs and k of the window, in every direction; Chellapilla, Puri & Simard 2006).
What is differentiated is then the product and the cutting of patches: the derivatives have no
convolution either. A derivative that a model's function brings itself (`jax.custom_jvp`,
`custom_vjp`) keeps those it has.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from .._types import Array
from .marks import bodies
from .substitution import bound

AT_ONCE = 16  # patches cut in all directions at once; more are cut one direction after the other
MOST = 64  # patches in one direction, beyond which a program would take long to compile


def by_products(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of arrays (or trees of them), which on a CPU has no convolutions. What it
    was traced to is what runs: JAX finds that again for the same function, if it lives longer than
    a call, and inputs of the same shapes."""

    def call(*given: Any) -> Any:
        if jax.default_backend() != "cpu":
            return function(*given)
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*given)
        outputs = _run(closed.jaxpr, closed.consts, jax.tree.leaves(given))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return call


def _convolves(jaxpr: Jaxpr) -> bool:
    """Whether there is a convolution in a program that can be made a product."""
    return any(_is_convolution(eqn) or _holds_one(eqn) for eqn in jaxpr.eqns)


def _holds_one(eqn: JaxprEqn) -> bool:
    return any(map(_convolves, bodies(eqn)))


def _is_convolution(eqn: JaxprEqn) -> bool:
    if eqn.primitive.name != "conv_general_dilated":
        return False
    image, weight = map(_array, eqn.invars)
    if not image.size or not weight.size or not _array(eqn.outvars[0]).size:
        return False
    numbers = eqn.params["dimension_numbers"]
    window = [weight.shape[axis] for axis in numbers.rhs_spec[2:]]
    outs = [_array(eqn.outvars[0]).shape[axis] for axis in numbers.out_spec[2:]]
    same = image.dtype == weight.dtype and jnp.issubdtype(image.dtype, jnp.inexact)
    return same and all(min(few) <= MOST for few in zip(window, outs, strict=True))


def patches_made(jaxpr: Jaxpr) -> int:
    """How many numbers the patches of a program's convolutions have."""
    made = 0
    for eqn in jaxpr.eqns:
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        made += times * sum(map(patches_made, bodies(eqn)))
        if _is_convolution(eqn):
            numbers = eqn.params["dimension_numbers"]
            weight, out = _array(eqn.invars[1]).shape, _array(eqn.outvars[0]).shape
            groups = eqn.params["feature_group_count"] * eqn.params["batch_group_count"]
            rows = groups * math.prod(weight) // weight[numbers.rhs_spec[0]]
            made += rows * math.prod(out) // out[numbers.out_spec[1]]
    return made


def _array(var: Any) -> Any:
    """Shape and type of a value."""
    return var.aval


def _run(jaxpr: Jaxpr, consts: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """The results of a program, its convolutions made by products."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True))

    def read(var: Any) -> Any:
        return var.val if isinstance(var, Literal) else known[var]

    for eqn in jaxpr.eqns:
        values = [read(var) for var in eqn.invars]
        if _is_convolution(eqn):
            made = [product_of_patches(*values, **eqn.params)]
        elif _holds_one(eqn):
            params = {name: _without(value) for name, value in eqn.params.items()}
            made = bound(eqn.replace(params=params), values)
        else:
            made = bound(eqn, values)
        known |= dict(zip(eqn.outvars, made, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _without(value: Any) -> Any:
    """A parameter of an operation, with the programs in it by products."""
    if isinstance(value, Jaxpr):
        return _without(ClosedJaxpr(value, ())).jaxpr
    if type(value) in (tuple, list):
        return type(value)(map(_without, value))
    if not isinstance(value, ClosedJaxpr) or not _convolves(value.jaxpr):
        return value
    run = lambda *given: _run(value.jaxpr, value.consts, given)  # noqa: E731
    return jax.make_jaxpr(run)(*(var.aval for var in value.jaxpr.invars))


def product_of_patches(image: Array, weight: Array, **params: Any) -> Array:
    """`lax.conv_general_dilated` with the parameters of its equation, as a product of matrices."""
    numbers = params["dimension_numbers"]
    x, w = lax.transpose(image, numbers.lhs_spec), lax.transpose(weight, numbers.rhs_spec)
    edges = zip(params["padding"], params["lhs_dilation"], strict=True)
    around = [(0, 0, 0), (0, 0, 0), *((*edge, spread - 1) for edge, spread in edges)]
    if any(edge != (0, 0, 0) for edge in around):
        x = lax.pad(x, np.zeros((), x.dtype), around)
    directions = list(
        map(WindowAxis, x.shape[2:], w.shape[2:], params["window_strides"], params["rhs_dilation"])
    )
    size = [direction.outs for direction in directions]
    columns = _patches(jnp.swapaxes(x, 0, 1), directions)
    of_features, of_samples = params["feature_group_count"], params["batch_group_count"]
    how = {name: params[name] for name in ("precision", "preferred_element_type")}
    groups, features = of_features * of_samples, len(w)
    if groups == 1:
        columns = columns.reshape(len(columns), -1)
        made = lax.dot_general(w.reshape(features, -1), columns, (((1,), (0,)), ((), ())), **how)
    else:
        columns = columns.reshape(of_features, len(columns) // of_features, of_samples, -1)
        columns = jnp.moveaxis(columns, 2, 0).reshape(groups, columns.shape[1], -1)
        w = w.reshape(groups, features // groups, -1)
        made = lax.dot_general(w, columns, (((2,), (1,)), ((0,), (0,))), **how)
    made = jnp.swapaxes(made.reshape(features, -1, *size), 0, 1)
    return lax.transpose(made, [numbers.out_spec.index(axis) for axis in range(made.ndim)])


class WindowAxis(NamedTuple):
    """One direction of a padded image, and how a window goes along it."""

    size: int
    window: int
    stride: int = 1
    dilation: int = 1

    @property
    def outs(self) -> int:
        """How many places the window has."""
        return (self.size - (self.window - 1) * self.dilation - 1) // self.stride + 1

    @property
    def by_window(self) -> bool:
        """Whether patches are cut for each place of the window, each of all outputs; else for each
        output, each of the whole window."""
        return self.window <= self.outs

    @property
    def cuts(self) -> list[tuple[int, int, int]]:
        """Start, end and stride of each of the slices."""
        outer, inner = (self.window, self.dilation), (self.outs, self.stride)
        (count, step), (many, stride) = (outer, inner) if self.by_window else (inner, outer)
        return [(i * step, i * step + (many - 1) * stride + 1, stride) for i in range(count)]


def _patches(x: Array, directions: Sequence[WindowAxis]) -> Array:
    """(channels, samples, *sizes) -> (channels times window, samples, *outs)."""
    if math.prod(len(direction.cuts) for direction in directions) <= AT_ONCE:
        return _cut(x, directions)
    for at, direction in enumerate(directions):
        still = map(WindowAxis, x.shape[2:], [1] * len(directions))
        x = _cut(x, [direction if i == at else other for i, other in enumerate(still)])
    return x


def _cut(x: Array, directions: Sequence[WindowAxis]) -> Array:
    """The patches of all directions, slice by slice."""
    channels, samples, *sizes = x.shape
    x, rank = x.reshape(channels, 1, samples, *sizes), len(sizes)
    slices = []
    for each in product(*(direction.cuts for direction in directions)):
        starts, ends, strides = ([cut[i] for cut in each] for i in range(3))
        limits = (channels, 1, samples, *ends)
        slices.append(lax.slice(x, (0, 0, 0, *starts), limits, (1, 1, 1, *strides)))
    counts = [len(direction.cuts) for direction in directions]
    found = lax.concatenate(slices, 1)
    found = found.reshape(channels, *counts, *found.shape[2:])
    order = list(range(found.ndim))
    for axis, direction in enumerate(directions, 1):
        if not direction.by_window:
            order[axis], order[axis + rank + 1] = axis + rank + 1, axis
    found = lax.transpose(found, order)
    return found.reshape(-1, samples, *(direction.outs for direction in directions))
