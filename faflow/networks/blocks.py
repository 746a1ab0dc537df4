"""Blocks of a model: what direct feedback sends the error to.

A block is called in the model's program, and its output h (samples, ...) hears a signal of its own
in place of what comes back from above: the program is cut there. With all h beside the outputs as
results of the program that is cut, the field is JAX's own backward pass from all of them at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive
from jax.interpreters import batching

from .._types import Array, PyTree
from .marks import CALLS, bodies, inner
from .substitution import bound, path_name

PLACE = Primitive("block_output")  # the identity, in programs that are looked at and never run
PLACE.def_impl(lambda h, *, path: h)
PLACE.def_abstract_eval(lambda h, *, path: h)


def _rows_first(given: Sequence[Any], axes: Sequence[Any], *, path: str) -> tuple[Any, int]:
    return PLACE.bind(jnp.moveaxis(given[0], axes[0], 0), path=path), 0


batching.primitive_batchers[PLACE] = _rows_first


class Block(eqx.Module):
    """What it wraps, with the output marked as a place that hears the error."""

    wrapped: Any
    path: str = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Array:
        output = self.wrapped(*args, **kwargs)
        if not eqx.is_inexact_array(output):
            raise ValueError(
                f"Block `{self.path}` returns a {type(output).__name__}, but direct feedback needs "
                "one array of floating numbers; name another block."
            )
        return PLACE.bind(output, path=self.path)

    def __getattr__(self, name: str) -> Any:
        if name in ("wrapped", "path") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.wrapped, name)


class Place(NamedTuple):
    """One call of a block: its path, with a number if it is called more than once, and the shape of
    its output for one sample."""

    path: str
    shape: tuple[int, ...]


class CutProgram(NamedTuple):
    """A model's program with its blocks marked, and their calls in its order."""

    closed: ClosedJaxpr
    places: tuple[Place, ...]

    def results(self, moving: PyTree, inputs: Array) -> tuple[Array, list[Array]]:
        """f(W, x), which hears of no weight below a block, and every block's output h."""
        given = [*jax.tree.leaves(moving), inputs]
        (outputs,), heard = _run(self.closed.jaxpr, self.closed.consts, given)
        return outputs, heard


@jax.custom_vjp
def _unheard(h: Array) -> Array:
    """h, of which nothing comes back. What differentiates the field (a Jacobian, a chain of flows)
    differentiates its value, which `stop_gradient` would hide from that too."""
    return h


_unheard.defvjp(lambda h: (h, None), lambda _, above: (jnp.zeros_like(above),))


def cut_program(
    function: Callable[[PyTree, Any], Array], moving: PyTree, samples: Any
) -> CutProgram:
    """The program of f(W, x) of a module with `Block`s; shapes are enough.

    ValueError in one line for a block that is called in a loop, a branch or a function with a
    derivative of its own, or whose output has not one row for each of the samples.
    """
    closed = jax.make_jaxpr(function)(moving, samples)
    _, heard = jax.eval_shape(
        lambda given: _run(closed.jaxpr, closed.consts, given), [*jax.tree.leaves(moving), samples]
    )
    paths = list(_paths(closed.jaxpr))
    for path, h in zip(paths, heard, strict=True):
        if h.shape[:1] != samples.shape[:1]:
            raise ValueError(
                f"Block `{path}` has an output of shape {h.shape} for {samples.shape[0]} samples, "
                "but direct feedback needs one row for each of them; name another block."
            )
    calls = Counter[str]()
    places = []
    for path, h in zip(paths, heard, strict=True):
        name = path if paths.count(path) == 1 else f"{path}.{calls[path]}"
        places.append(Place(name, h.shape[1:]))
        calls[path] += 1
    return CutProgram(closed, tuple(places))


def with_blocks(node: Any, paths: Sequence[str], path: tuple[Any, ...] = ()) -> Any:
    """A module in which what lies at these paths is wrapped in a `Block`."""
    leaves, shape = _children(node)
    if not jax.tree_util.treedef_is_leaf(shape):
        again = [with_blocks(child, paths, (*path, *key)) for key, child in leaves]
        node = jax.tree.unflatten(shape, again)
    return Block(node, path_name(path)) if path_name(path) in paths else node


def block_paths(module: Any, globs: Sequence[str]) -> tuple[str, ...]:
    """The paths of all that the globs name, of what a module calls. ValueError for one that names
    nothing."""
    paths = [path for path, node in _nodes(module) if callable(node)]
    for glob in globs:
        if not any(_is_named(glob, path) for path in paths):
            raise ValueError(
                f"Argument `blocks` has '{glob}', which names nothing that {type(module).__name__} "
                f"calls; it has {', '.join(paths) or 'none'}."
            )
    return tuple(path for path in paths if any(_is_named(glob, path) for glob in globs))


def _is_named(glob: str, path: str) -> bool:
    parts, names = glob.split("."), path.split(".")
    return len(parts) == len(names) and all(map(fnmatchcase, names, parts))


def _nodes(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Everything that lies in a module, by path, whatever is deeper after it."""
    for key, child in _children(node)[0]:
        if key:
            yield path_name((*path, *key)), child
            yield from _nodes(child, (*path, *key))


def _children(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """What lies right below a node."""
    return jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda other: other is not node)


def _run(jaxpr: Jaxpr, consts: Sequence[Any], given: Sequence[Any]) -> tuple[list, list]:
    """The results of a program that is cut at its places, and what is there."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True))

    def read(var: Any) -> Any:
        return var.val if isinstance(var, Literal) else known[var]

    heard = []
    for eqn in jaxpr.eqns:
        values = [read(var) for var in eqn.invars]
        if eqn.primitive is PLACE:
            heard.append(values[0])
            made = [_unheard(values[0])]
        elif inside := [path for body in bodies(eqn) for path in _paths(body)]:
            made, more = _called(eqn, values, inside[0])
            heard += more
        else:
            made = bound(eqn, values)
        known |= dict(zip(eqn.outvars, made, strict=True))
    return [read(var) for var in jaxpr.outvars], heard


def _called(eqn: JaxprEqn, values: list[Any], path: str) -> tuple[list, list]:
    if eqn.primitive.name not in CALLS:
        raise ValueError(
            f"Block `{path}` is called inside {eqn.primitive.name}, where no signal of its own can "
            "be put; call it outside, or name another block."
        )
    consts = getattr(eqn.params.get("jaxpr", eqn.params.get("call_jaxpr")), "consts", ())
    call = lambda given: _run(inner(eqn), consts, given)  # noqa: E731
    if "prevent_cse" not in eqn.params:
        return call(values)
    again = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
    return jax.checkpoint(call, **again)(values)


def _paths(jaxpr: Jaxpr) -> Iterator[str]:
    """The blocks that are called in a program, in its order."""
    for eqn in jaxpr.eqns:
        if eqn.primitive is PLACE:
            yield eqn.params["path"]
        for body in bodies(eqn):
            yield from _paths(body)
