"""Where a model's derivative jumps, found in its program, and on which side of each place it is.

A kink is met where a value h meets another (0 in relu): in relu, relu6, abs, sign, max, min and
clamps, and in a choice by comparison, `where(h > c, a, b)`, whose sides are both piecewise linear
in h (leaky, parametric or hard units): then it is sure. Other choices may be smooth (elu) and are
taken for it; one that is made by the same comparison further out decides for what is inside it.
What has another derivative of its own is known by name, what runs in a branch or a `while` loop
is not looked into, and a maximum of 0 and what is never negative (a variance) is none.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from .._types import Array, PyTree
from .marks import CALLS, OWN_DERIVATIVE, inner
from .substitution import bound

COMPARED = {"gt", "ge", "lt", "le"}
POOLED = {
    "reduce_max", "reduce_min", "reduce_window_max", "reduce_window_min", "cummax", "cummin",
    "sort", "top_k",
}  # fmt: skip
SAME = {"convert_element_type", "broadcast_in_dim", "copy", "neg"}  # lines of what they are given
MOVED = {"reduce_sum", "reshape", "squeeze", "transpose", "sqrt", "rsqrt", *SAME} - {"neg"}
NEVER_NEGATIVE = {"square", "exp", "abs", "logistic"}
FOLDED = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


class Seen(NamedTuple):
    """A value and what is known of it. `token`: which value it is. `moves`: whether parameters
    reach it, `data`: whether inputs do. `kinks`: the places that its derivative jumps at. `line`:
    the token of what it is a piecewise linear function of. `number`: a constant's. `positive`:
    whether it is never negative. `test`: of a comparison, its place and the h compared."""

    value: Any
    token: Any
    moves: bool = False
    data: bool = False
    kinks: frozenset[Any] = frozenset()
    line: Any = None
    number: float | None = None
    positive: bool = False
    test: tuple[Any, Any] | None = None


class Side(NamedTuple):
    """A place, and whether h is above it, entry by entry."""

    place: Any
    above: Array


def kinks_met(
    function: Callable[[PyTree, Array], Array], moving: PyTree, sample: Array
) -> tuple[bool, tuple[Array, ...]]:
    """Whether f(W, x) of one sample has kinks as a function of W, and for each place where values
    meet that its derivative jumps at, which entries are above it, raveled. Maxima of pooling and
    sorting are kinks, but of many values: they have no side."""
    closed = jax.make_jaxpr(function)(moving, sample)
    leaves = [_fresh(leaf, moves=True) for leaf in jax.tree.leaves(moving)]
    outs, sides = _run(closed.jaxpr, closed.consts, [*leaves, _fresh(sample, data=True)])
    kinks = frozenset().union(*(out.kinks for out in outs))
    return bool(kinks), tuple(jnp.ravel(above) for place, above in sides if place in kinks)


def _fresh(value: Any, **known: Any) -> Seen:
    token = object()
    return Seen(value, token, line=token, **known)


def _constant(value: Any) -> Seen:
    number = float(value) if isinstance(value, int | float | np.number) else None
    if number is None and isinstance(value, np.ndarray) and value.ndim == 0:
        number = float(value)
    return _fresh(value, number=number, positive=number is not None and number >= 0)


def _run(
    jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Seen]
) -> tuple[list[Seen], list[Side]]:
    known = dict(zip(jaxpr.invars, args, strict=True))
    known |= {var: _constant(value) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def read(var: Any) -> Seen:
        return _constant(var.val) if isinstance(var, Literal) else known[var]

    sides: list[Side] = []
    for eqn in jaxpr.eqns:
        given = [read(var) for var in eqn.invars]
        if eqn.primitive.name in CALLS:
            body = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
            made, more = _run(inner(eqn), getattr(body, "consts", ()), given)
        elif eqn.primitive.name == "scan":
            made, more = _scanned(eqn, given)
        else:
            made, more = _made(eqn, given)
        sides += more
        known |= dict(zip(eqn.outvars, made, strict=True))
    return [read(var) for var in jaxpr.outvars], sides


def _made(eqn: JaxprEqn, given: list[Seen]) -> tuple[list[Seen], list[Side]]:
    name = eqn.primitive.name
    values = bound(eqn, [one.value for one in given])
    if name in OWN_DERIVATIVE:
        name = inner(eqn).debug_info.func_name
    if name in COMPARED:
        h, c = _ordered(*given)
        return [_united(values[0], given, "")._replace(test=(_place(h, c), h))], []
    out = _united(values[0], given, name)
    sides = [] if not out.moves else _sides(name, given)
    kinks = out.kinks | {side.place for side in sides}
    if name == "select_n" and given[0].test is not None:
        # The same comparison further in is decided here.
        kinks = frozenset().union(*(one.kinks for one in given[1:])) - {given[0].test[0]}
        kinks |= {side.place for side in sides}
    if name in POOLED and out.moves:
        kinks |= {out.token}
    if not jnp.issubdtype(jnp.result_type(out.value), jnp.inexact) or name == "stop_gradient":
        out, kinks = out._replace(moves=False), frozenset()
    made = [_fresh(value, moves=out.moves, data=out.data, kinks=kinks) for value in values]
    return [out._replace(kinks=kinks), *made[1:]], sides


def _sides(name: str, given: list[Seen]) -> list[Side]:
    """The places at which an operation is sure to have kinks."""
    zero = _constant(0.0)
    pairs: list[tuple[Seen, Seen]] = []
    if name in ("max", "min"):
        pairs = [_ordered(*given)]
    elif name in ("relu", "abs", "sign"):
        pairs = [(given[0], zero)]
    elif name == "relu6":
        pairs = [(given[0], zero), (given[0], _constant(6.0))]
    elif name == "clamp":
        pairs = [_ordered(given[1], given[0]), _ordered(given[1], given[2])]
    elif name == "select_n" and given[0].test is not None and len(given) == 3:
        place, h = given[0].test
        if given[1].token is not given[2].token and all(_is_line(one, h) for one in given[1:]):
            return [Side(place, given[0].value)]
    met = ((h, c) for h, c in pairs if not (c.number == 0 and h.positive))
    return [Side(_place(h, c), h.value > c.value) for h, c in met]


def _is_line(side: Seen, h: Seen) -> bool:
    fixed = not side.data and (h.data or not side.moves)
    return fixed or side.line is h.line


def _ordered(one: Seen, two: Seen) -> tuple[Seen, Seen]:
    return (two, one) if one.number is not None else (one, two)


def _place(h: Seen, c: Seen) -> Any:
    return frozenset([h.token, c.token]) if c.number is None else (h.token, c.number)


def _united(value: Any, given: Sequence[Seen], name: str) -> Seen:
    """What is known of an operation's result, but for its own kinks."""
    numbers = [one.number for one in given if one.number is not None]
    out = _fresh(
        value,
        moves=any(one.moves for one in given),
        data=any(one.data for one in given),
        kinks=frozenset().union(*(one.kinks for one in given)),
        positive=_is_positive(name, given),
    )
    if len(numbers) == len(given) and (name in FOLDED or name in SAME - {"neg"}):
        number = FOLDED[name](*numbers) if name in FOLDED else numbers[0]
        out = out._replace(number=number, positive=number >= 0)
    lines = [one for one in given if one.data]
    linear = name in {"mul", "add", "sub", "max", "min", "clamp"} or (
        name == "div" and given[0].data
    )
    straight = linear and len(lines) == 1
    bent = name in {"abs", "relu", "relu6", *SAME}
    if straight or bent:
        return out._replace(line=(lines or given)[0].line)
    test = given[0].test if name == "select_n" else None
    if test is not None and all(_is_line(one, test[1]) for one in given[1:]):
        return out._replace(line=test[1].line)
    return out


def _is_positive(name: str, given: Sequence[Seen]) -> bool:
    if name in NEVER_NEGATIVE or (name == "mul" and given[0].token is given[1].token):
        return True
    if name in MOVED or name in ("add", "mul", "div"):
        return all(one.positive for one in given)
    if name == "select_n":  # nan is no number below 0
        return all(one.positive or math.isnan(one.number or 0.0) for one in given[1:])
    return name == "max" and any(one.positive for one in given)


def _scanned(eqn: JaxprEqn, given: list[Seen]) -> tuple[list[Seen], list[Side]]:
    """A loop: its places are those of one turn, and their sides those of all turns."""
    body, fixed, count = eqn.params["jaxpr"], eqn.params["num_consts"], eqn.params["num_carry"]
    all_of = _united(None, given, "")
    places: list[Any] = []
    kinks: set[Any] = set()

    def within(value: Any) -> Seen:
        return _fresh(value, moves=all_of.moves, data=all_of.data, kinks=all_of.kinks)

    def turn(carry: list[Any], row: list[Any]) -> tuple[list[Any], Any]:
        args = [*given[:fixed], *map(within, [*carry, *row])]
        outs, sides = _run(body.jaxpr, body.consts, args)
        places[:] = [side.place for side in sides]
        kinks.update(*(out.kinks for out in outs))
        made = [out.value for out in outs]
        return made[:count], (made[count:], [side.above for side in sides])

    params = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    start = [one.value for one in given[fixed : fixed + count]]
    rows = [one.value for one in given[fixed + count :]]
    end, (made, above) = jax.lax.scan(turn, start, rows, **params)
    found = [within(value)._replace(kinks=frozenset(kinks)) for value in [*end, *made]]
    return found, [Side(*each) for each in zip(places, above, strict=True)]
