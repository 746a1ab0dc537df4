"""What is known of a value in a model before it is computed: which parameters reach it, and how.

A weight hears feedback where it, or a linear image of it, is multiplied into something that other
parameters move: there the signal to the layer below passes through it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

PRODUCTS = {"dot_general", "conv_general_dilated"}
# Linear in their first argument; the others, if any, are indices.
RESHAPES = {
    "transpose", "reshape", "broadcast_in_dim", "convert_element_type", "squeeze", "expand_dims",
    "slice", "dynamic_slice", "gather", "rev", "copy", "neg", "optimization_barrier",
}  # fmt: skip
SUMS = {"add", "sub", "concatenate", "stack"}  # linear where every argument is
SCALINGS = {"mul", "div"}  # by what neither parameters nor inputs reach
CALLS = {"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint"}
WAYS_BACK = {"custom_vjp_call", "custom_vjp_call_jaxpr"}  # which say no tangent
OWN_DERIVATIVE = {"custom_jvp_call", *WAYS_BACK}


class Mark(NamedTuple):
    """`leaves`: the moving leaves that move a value. `data`: whether the inputs reach it. `image`:
    whether it is a linear image of its leaves alone, so that M can be put in their place.
    `spoilt`: the operation that made it none."""

    leaves: frozenset[int] = frozenset()
    data: bool = False
    image: bool = False
    spoilt: str = ""


class Use(NamedTuple):
    """How the loss reaches one leaf. `fan_in`: the terms that are summed for every entry of the
    product in which it has feedback, None where it has none (a bias, a gain, the first layer).
    `operations`: what it enters. `heard`: whether it reaches the outputs at all."""

    path: str
    fan_in: int | None
    operations: tuple[str, ...]
    heard: bool


class Uses:
    """What a walk has met: the names of leaves, their fan-ins, and the operations they entered."""

    def __init__(self, paths: Sequence[str]):
        self.paths = paths
        self.fan_in: dict[int, int] = {}
        self.operations: dict[int, list[str]] = {index: [] for index in range(len(paths))}

    def fresh(self) -> "Uses":
        return Uses(self.paths)

    def names(self, mark: Mark) -> str:
        return ", ".join(f"`{self.paths[index]}`" for index in sorted(mark.leaves))

    def enter(self, eqn: JaxprEqn, marks: Sequence[Mark]) -> None:
        for leaf in set().union(*(mark.leaves for mark in marks if mark.image)):
            if (name := eqn.primitive.name) not in self.operations[leaf]:
                self.operations[leaf].append(name)


def walk(jaxpr: Jaxpr, marks: Sequence[Mark], uses: Uses) -> list[Mark]:
    """The marks of a program's results. ValueError where a parameter would need feedback that no M
    of its shape can give."""
    known: dict[Var, Mark] = dict(zip(jaxpr.invars, marks, strict=True))
    known |= {var: Mark() for var in jaxpr.constvars}
    for eqn in jaxpr.eqns:
        found = after(eqn, [mark_of(known, var) for var in eqn.invars], uses)
        known |= dict(zip(eqn.outvars, found, strict=True))
    return [mark_of(known, var) for var in jaxpr.outvars]


def mark_of(known: dict[Var, Mark], var: Any) -> Mark:
    return Mark() if isinstance(var, Literal) else known[var]


def after(eqn: JaxprEqn, marks: list[Mark], uses: Uses) -> list[Mark]:
    """The marks of what one operation makes."""
    name = eqn.primitive.name
    if name in CALLS:
        return walk(inner(eqn), marks, uses)
    if name == "scan":
        return _after_scan(eqn, marks, uses)
    if name == "cond":
        each = [walk(branch.jaxpr, marks[1:], uses) for branch in eqn.params["branches"]]
        return [united([*outs, marks[0]], name) for outs in zip(*each, strict=True)]
    if name in PRODUCTS and (side := weight_side(eqn, marks, uses)) is not None:
        for leaf in marks[side].leaves:
            uses.fan_in.setdefault(leaf, _terms(eqn))
    elif bodies(eqn):
        _check_hidden(eqn, marks, uses)
    found = united(marks, name)
    if found.leaves and _is_linear(eqn, marks):
        found = found._replace(image=True, spoilt="")
    else:
        uses.enter(eqn, marks)
    return [_still(found, eqn.primitive.name, var) for var in eqn.outvars]


def _still(mark: Mark, name: str, var: Any) -> Mark:
    """Nothing passes back through whole numbers, nor through what is told to stop."""
    smooth = jnp.issubdtype(var.aval.dtype, jnp.inexact) and name != "stop_gradient"
    return mark if smooth else Mark(data=mark.data)


def united(marks: Sequence[Mark], name: str) -> Mark:
    """The mark of what is made of all of these in a way that is not linear."""
    leaves = frozenset().union(*(mark.leaves for mark in marks))
    spoilt = next((mark.spoilt for mark in marks if mark.spoilt), "")
    if not spoilt and any(mark.image for mark in marks):
        spoilt = name
    return Mark(leaves, any(mark.data for mark in marks), False, spoilt)


def _is_linear(eqn: JaxprEqn, marks: Sequence[Mark]) -> bool:
    name = eqn.primitive.name
    fixed = lambda mark: not mark.leaves and not mark.data  # noqa: E731
    if name in SUMS:
        return all(mark.image for mark in marks)
    if name == "mul" and not marks[0].leaves:
        marks = marks[::-1]
    known = name in RESHAPES or name in SCALINGS or (name == "pad" and _is_zero(eqn.invars[1]))
    return known and marks[0].image and all(map(fixed, marks[1:]))


def _is_zero(var: Any) -> bool:
    return isinstance(var, Literal) and not np.any(var.val)


def weight_side(eqn: JaxprEqn, marks: Sequence[Mark], uses: Uses) -> int | None:
    """Which operand of a product is the weight that the signal to the other passes through, as M.

    None where only one of them moves, or where both are activations (the scores of attention).
    """
    left, right = marks
    if not left.leaves or not right.leaves:
        return None
    alone = [not mark.data for mark in marks]  # made of parameters
    if all(alone):
        raise ValueError(
            f"Operation {eqn.primitive.name} multiplies the parameters {uses.names(left)} by "
            f"{uses.names(right)}: which of them is the other's input is not told; freeze one of "
            "them, or take the rule gradient."
        )
    if not any(alone):
        return None
    side = alone.index(True)
    if not marks[side].image:
        raise ValueError(
            f"Leaf {uses.names(marks[side])} passes through {marks[side].spoilt} before it "
            f"reaches {eqn.primitive.name}, where its feedback would be: only a linear image of a "
            "weight has one; use the leaf itself there, freeze it, or take the rule gradient."
        )
    return side


def _terms(eqn: JaxprEqn) -> int:
    """How many terms are summed for every entry of a product."""
    shapes = list(map(_shape, eqn.invars))
    numbers = eqn.params["dimension_numbers"]
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = numbers
        return math.prod(shapes[0][axis] for axis in contracted)
    return math.prod(shapes[1]) // shapes[1][numbers.rhs_spec[0]]


def _shape(var: Any) -> tuple[int, ...]:
    return var.aval.shape


def _after_scan(eqn: JaxprEqn, marks: list[Mark], uses: Uses) -> list[Mark]:
    start = scan_marks(eqn, marks, uses)
    fixed, carried = eqn.params["num_consts"], eqn.params["num_carry"]
    outs = walk(inner(eqn), start, uses)
    carry = start[fixed : fixed + carried]
    return [*carry, *(united([mark], "scan") for mark in outs[carried:])]


def scan_marks(eqn: JaxprEqn, marks: list[Mark], uses: Uses) -> list[Mark]:
    """The marks of a scan's body: of the carry, what they are in every turn."""
    body, fixed, carried = inner(eqn), eqn.params["num_consts"], eqn.params["num_carry"]
    marks, carry = list(marks), range(fixed, fixed + carried)
    stays = {i: body.outvars[i - fixed] is body.invars[i] for i in carry}
    for i in carry:
        marks[i] = marks[i] if stays[i] else united([marks[i]], "scan")
    while True:
        outs = walk(body, marks, uses.fresh())
        found = {i: united([marks[i], outs[i - fixed]], "scan") for i in carry if not stays[i]}
        if all(marks[i] == mark for i, mark in found.items()):
            return marks
        for i, mark in found.items():
            marks[i] = mark


def inner(eqn: JaxprEqn) -> Jaxpr:
    """The program that an operation runs."""
    named = (eqn.params.get(name) for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"))
    body = next(body for body in named if body is not None)
    return body.jaxpr if isinstance(body, ClosedJaxpr) else body


def numbers_made(jaxpr: Jaxpr) -> int:
    """How many numbers a program makes on its way, those of its repetitions included."""
    made = 0
    for eqn in jaxpr.eqns:
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        inside = sum(map(numbers_made, bodies(eqn)))
        made += times * inside or sum(math.prod(_shape(var)) for var in eqn.outvars)
    return made


def bodies(eqn: JaxprEqn) -> list[Jaxpr]:
    values = list(eqn.params.values())
    values += [each for value in values if isinstance(value, tuple | list) for each in value]
    closed = [value.jaxpr for value in values if isinstance(value, ClosedJaxpr)]
    return closed + [value for value in values if isinstance(value, Jaxpr)]


def _multiplies(bodies: Sequence[Jaxpr]) -> bool:
    eqns = [eqn for body in bodies for eqn in body.eqns]
    return any(eqn.primitive.name in PRODUCTS or _multiplies(bodies(eqn)) for eqn in eqns)


def _check_hidden(eqn: JaxprEqn, marks: list[Mark], uses: Uses) -> None:
    """An operation with a program of its own is taken as it is: no weight has feedback in it."""
    name, inside = eqn.primitive.name, uses.fresh()
    if name in OWN_DERIVATIVE:
        walk(inner(eqn), marks, inside)
        hidden = set(inside.fan_in)
    else:
        hidden = set().union(*(mark.leaves for mark in marks if mark.image))
    if hidden and _multiplies(bodies(eqn)):
        reason = "has a derivative of its own" if name in OWN_DERIVATIVE else "is not looked into"
        raise ValueError(
            f"Leaf `{uses.paths[min(hidden)]}` is multiplied inside {name}, which {reason}: no "
            "feedback can be put there; write the product outside it, freeze the leaf, or take "
            "the rule gradient."
        )
