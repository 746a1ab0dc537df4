"""Any model forward with its weights W, and backward through other weights M.

For an operation op(W, x) that is linear in W and in x the forward value is op(W, x), and

    d op = op(dW, x) + op(M, dx)

in place of op(W, dx): minus the transpose of that tangent map, at the error, is the field of the
chain rule whose backward weights are M. The model's own program is walked, and the tangent of every
operation but these is its own. M and W are functions of the state like any others: what
differentiates the field (a Jacobian, a kernel) differentiates the values, and meets no
`stop_gradient` that is not the model's.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from .._types import Array, PyTree
from . import marks
from .marks import Mark, Use, Uses

Function = Callable[[PyTree, Array], Array]  # (moving leaves, inputs) -> outputs


class Known(NamedTuple):
    """A value, what moves it (None where nothing does), and its image of M where it is one of W."""

    value: Any
    tangent: Any = None
    backward: Any = None


class ModelProgram(NamedTuple):
    """A model's program, traced once, and how its outputs hear every leaf, in the leaves' order."""

    closed: ClosedJaxpr
    uses: tuple[Use, ...]

    @property
    def met(self) -> tuple[int, ...]:
        """The leaves that the backward pass meets: those that have feedback."""
        return tuple(i for i, use in enumerate(self.uses) if use.fan_in is not None)


def program_of(function: Function, moving: PyTree, inputs: Any) -> ModelProgram:
    """The program of f(W, x); shapes are enough.

    ValueError in one line where a leaf can have no feedback (`marks.weight_side`).
    """
    return program_heard(jax.make_jaxpr(function)(moving, inputs), paths_of(moving))


def program_heard(closed: ClosedJaxpr, paths: Sequence[str]) -> ModelProgram:
    """The same of a program that is traced, by the paths of the leaves of W."""
    uses = Uses(list(paths))
    outs = marks.walk(closed.jaxpr, _marks(len(paths)), uses)
    heard = frozenset().union(*(mark.leaves for mark in outs))
    found = (
        Use(path, uses.fan_in.get(i), tuple(uses.operations[i]), i in heard)
        for i, path in enumerate(uses.paths)
    )
    return ModelProgram(closed, tuple(found))


def pulled_back(
    program: ModelProgram, moving: PyTree, backward: Sequence[Array], inputs: Array
) -> tuple[Array, Callable[[Array], PyTree]]:
    """f(W, x), and the map from an error (f's shape) to what it does to every leaf (W's shapes).

    `backward`: M, one array for each leaf of W; those of leaves that are not `met` are not looked
    at. With M = W the map is that of `jax.vjp`.
    """
    leaves, shape = jax.tree.flatten(moving)
    uses, found = Uses(paths_of(moving)), _marks(len(leaves))
    jaxpr, consts = program.closed.jaxpr, program.closed.consts

    def tangent(moves: list[Array]) -> tuple[Array, Array]:
        known = [Known(*each) for each in zip(leaves, moves, backward, strict=True)]
        ((out,), _) = _run(jaxpr, consts, [*known, Known(inputs)], found, uses)
        move = jnp.zeros_like(out.value) if out.tangent is None else out.tangent
        return move, out.value

    _, pull, outputs = jax.vjp(tangent, [jnp.zeros_like(leaf) for leaf in leaves], has_aux=True)
    return outputs, lambda error: jax.tree.unflatten(shape, pull(error)[0])


def paths_of(tree: PyTree) -> list[str]:
    """The names of a tree's leaves, as `blocks.0.conv1.weight`."""
    return [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def path_name(path: Sequence[Any]) -> str:
    return jax.tree_util.keystr(tuple(path), simple=True, separator=".")


def _marks(count: int) -> list[Mark]:
    own = [Mark(frozenset([index]), image=True) for index in range(count)]
    return [*own, Mark(data=True)]


def _run(
    jaxpr: Jaxpr, consts: Sequence[Any], args: list[Known], found: list[Mark], uses: Uses
) -> tuple[list[Known], list[Mark]]:
    """What a program makes, with tangents; `found`: the marks of its arguments."""
    known: dict[Var, Known] = dict(zip(jaxpr.invars, args, strict=True))
    marked: dict[Var, Mark] = dict(zip(jaxpr.invars, found, strict=True))
    known |= {var: Known(value) for var, value in zip(jaxpr.constvars, consts, strict=True)}
    marked |= {var: Mark() for var in jaxpr.constvars}

    def read(var: Any) -> Known:
        return Known(var.val) if isinstance(var, Literal) else known[var]

    for eqn in jaxpr.eqns:
        given = [read(var) for var in eqn.invars]
        at = [marks.mark_of(marked, var) for var in eqn.invars]
        outs = marks.after(eqn, at, uses)
        made = _made(eqn, given, at, outs, uses)
        known |= dict(zip(eqn.outvars, made, strict=True))
        marked |= dict(zip(eqn.outvars, outs, strict=True))
    return [read(var) for var in jaxpr.outvars], [
        marks.mark_of(marked, var) for var in jaxpr.outvars
    ]


def _made(
    eqn: JaxprEqn, args: list[Known], at: list[Mark], outs: list[Mark], uses: Uses
) -> list[Known]:
    """What one operation makes."""
    name = eqn.primitive.name
    weights = any(mark.image for mark in at)
    if name in marks.CALLS and weights:
        return _called(eqn, args, at, uses)
    if name == "scan" and weights:
        return _scanned(eqn, args, at, outs, uses)
    if name == "cond" and weights:
        return _chosen(eqn, args, at, outs, uses)
    if name in marks.PRODUCTS and (side := marks.weight_side(eqn, at, uses)) is not None:
        return [_product(eqn, args, side)]
    made = [
        Known(value, tangent if mark.leaves else None)
        for value, tangent, mark in zip(*_with_tangents(eqn, args), outs, strict=True)
    ]
    if outs[0].image:
        images = [arg.value if arg.backward is None else arg.backward for arg in args]
        made = [
            one._replace(backward=way) for one, way in zip(made, bound(eqn, images), strict=True)
        ]
    return made


def _product(eqn: JaxprEqn, args: list[Known], side: int) -> Known:
    """op(W, x) with the tangent op(dW, x) + op(M, dx)."""
    weight, signal = args[side], args[1 - side]

    def op(of_weight: Any, of_signal: Any) -> Any:
        return bound(eqn, [of_weight, of_signal] if side == 0 else [of_signal, of_weight])[0]

    value = op(weight.value, signal.value)
    tangent = op(weight.tangent, signal.value) + op(weight.backward, signal.tangent)
    return Known(value, tangent)


def _with_tangents(eqn: JaxprEqn, args: list[Known]) -> tuple[list[Any], list[Any]]:
    """An operation's values and their tangents, by its own rule."""
    moving = [i for i, arg in enumerate(args) if arg.tangent is not None]
    values = [arg.value for arg in args]
    if not moving:
        made = bound(eqn, values)
        return made, [None] * len(made)

    def of(*moved: Any) -> list[Any]:
        placed = dict(zip(moving, moved, strict=True))
        return bound(eqn, [placed.get(i, value) for i, value in enumerate(values)])

    points, moves = [values[i] for i in moving], [args[i].tangent for i in moving]
    if eqn.primitive.name not in marks.WAYS_BACK:
        return jax.jvp(of, points, moves)
    made, back = jax.vjp(of, *points)
    return made, jax.linear_transpose(back, made)(tuple(moves))[0]


def bound(eqn: JaxprEqn, values: list[Any]) -> list[Any]:
    found = eqn.primitive.get_bind_params(eqn.params)
    functions, params = found if isinstance(found, tuple) else ((), found)  # a pair before JAX 0.10
    made = eqn.primitive.bind(*functions, *values, **params)
    return list(made) if eqn.primitive.multiple_results else [made]


def _called(eqn: JaxprEqn, args: list[Known], at: list[Mark], uses: Uses) -> list[Known]:
    consts = getattr(eqn.params.get("jaxpr", eqn.params.get("call_jaxpr")), "consts", ())

    def call(given: list[Known]) -> list[Known]:
        return _run(marks.inner(eqn), consts, given, at, uses)[0]

    if "prevent_cse" not in eqn.params:
        return call(args)
    again = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
    return jax.checkpoint(call, **again)(args)


def _scanned(
    eqn: JaxprEqn, args: list[Known], at: list[Mark], outs: list[Mark], uses: Uses
) -> list[Known]:
    body, fixed, count = eqn.params["jaxpr"], eqn.params["num_consts"], eqn.params["num_carry"]
    inside = marks.scan_marks(eqn, at, uses)
    held, start, rows = args[:fixed], args[fixed : fixed + count], args[fixed + count :]
    ways = [arg.backward for arg in start]

    def turn(carry: list[Known], row: list[Known]) -> tuple[list[Known], list[Known]]:
        own = [one._replace(backward=way) for one, way in zip(carry, ways, strict=True)]
        made, _ = _run(body.jaxpr, body.consts, [*held, *own, *row], inside, uses)
        made = [_standing(one, mark) for one, mark in zip(made, outs, strict=True)]
        return made[:count], made[count:]

    begin = [_standing(one, mark) for one, mark in zip(start, outs[:count], strict=True)]
    params = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    end, made = jax.lax.scan(turn, begin, rows, **params)
    end = [one._replace(backward=way) for one, way in zip(end, ways, strict=True)]
    return [*end, *made]


def _chosen(
    eqn: JaxprEqn, args: list[Known], at: list[Mark], outs: list[Mark], uses: Uses
) -> list[Known]:
    def branch(body: Any) -> Callable[[list[Known]], list[Known]]:
        def run(given: list[Known]) -> list[Known]:
            made, _ = _run(body.jaxpr, body.consts, given, at[1:], uses)
            return [_standing(one, mark) for one, mark in zip(made, outs, strict=True)]

        return run

    return jax.lax.switch(args[0].value, [branch(b) for b in eqn.params["branches"]], args[1:])


def _standing(known: Known, mark: Mark) -> Known:
    """The same in every turn and branch: a tangent just where the mark has leaves."""
    if not mark.leaves:
        return Known(known.value)
    tangent = known.tangent
    return Known(known.value, jnp.zeros_like(known.value) if tangent is None else tangent)
