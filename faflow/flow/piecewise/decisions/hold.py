"""Holding the sliding pairs on h = 0: their averaged deltas, and how far those are from leaving."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...._types import Array, Integer, Scalar
from ....feedback import Feedback
from ....networks import AbstractNetwork, Trace
from ....rules import AbstractLayerwiseRule, outer_products
from ..gates import Backward, backward
from ..gram import Answer, couplings, forward_rates, pull, solve_held
from ..pairs import Layout, Slopes
from .ties import Shares, Surfaces, Ties, find_ties, shares_of, surfaces_of

ROUNDS = 30


class Grip(NamedTuple):
    """What a mode says of the slots, the same at every point: their pairs, samples (`rows`),
    layers and neurons; `marks` (slots, n_l) one at each slot's neuron; `gates` (slots, n_l) of
    the slots' samples."""

    pairs: Array
    used: Array
    rows: Array
    layer: Array
    neuron: Array
    marks: tuple[Array, ...]
    gates: tuple[Array, ...]


class Round(NamedTuple):
    """What one solve has found, the `change` to the one before, and their `number`."""

    average: Array
    share: Array
    answer: Answer
    number: Integer
    change: Scalar


class Hold(NamedTuple):
    """Every slot's `inputs` a_{l-1} and the `deltas` of a unit of its averaged delta; `ties`:
    who shares a surface; `shares`, `answer`: the unknowns of the surfaces and what they stand for;
    `average` (slots,): the averaged deltas; `lift`: what brings h back to 0, likewise."""

    inputs: tuple[Array, ...]
    deltas: tuple[Array, ...]
    ties: Ties
    shares: Shares
    answer: Answer
    average: Array
    lift: Array


def grip_of(layout: Layout, index: Array, gates: tuple[Array, ...]) -> Grip:
    rows = jnp.asarray(layout.sample)[index]
    return Grip(
        pairs=index,
        used=index < layout.pairs,
        rows=rows,
        layer=jnp.asarray(layout.layer)[index],
        neuron=jnp.asarray(layout.neuron)[index],
        marks=tuple(mark.astype(gates[0].dtype) for mark in layout.one_hot(index)),
        gates=tuple(gate[rows] for gate in gates),
    )


def hold(
    rule: AbstractLayerwiseRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    slopes: Slopes,
    grip: Grip,
    trace: Trace,
    back: Backward,
    move: AbstractNetwork,
    held: Array,
) -> Hold:
    """The averaged deltas with dh/dt = 0 on the slots, `move` being dW/dt without them.

    `trace`, `back`: of the samples; `held` (slots,): the slots' h.
    """
    rows, outputs = grip.rows, trace.outputs
    own = Trace(tuple(h[rows] for h in trace.pre), tuple(a[rows] for a in trace.post))
    silent = jnp.zeros((rows.size, outputs.shape[1]), outputs.dtype)
    unit = backward(rule, weights, feedback, own, silent, grip.gates, grip.marks)
    rates, inputs = forward_rates(weights, grip.gates, grip.marks), own.post[:-1]
    matrix = couplings(weights, rates, inputs[:-1], unit.deltas[:-1])
    ties = find_ties(-couplings(weights, rates, inputs[:-1], rates), grip.neuron, grip.used)
    # The signals of the slots of one sample depend on each other.
    here: Any = sum(
        jnp.sum(s[rows] * m, axis=1) for s, m in zip(back.signals, grip.marks, strict=True)
    )
    same = rows[:, None] == rows[None, :]
    across: Any = sum(s @ m.T for s, m in zip(unit.signals, grip.marks, strict=True))  # [q, p]
    across = jnp.where(same, across, 0.0)
    pulled = -pull(rates, inputs[:-1], move)

    def shared(average: Array) -> Shares:
        return shares_of(ties, here + average @ across, grip.layer, slopes)

    def solved(now: Round) -> Round:
        shares = shared(now.average)
        wanted = jnp.stack([pulled - matrix @ shares.offset, -held], axis=1)
        answer = solve_held(matrix, wanted, ties, shares.share, grip.used)
        average = shares.offset + shares.share * answer.unknown[:, 0]
        change = jnp.max(jnp.abs(average - now.average)) / jnp.max(jnp.abs(average))
        return Round(average, shares.share, answer, now.number + 1, change)

    columns, nothing = jnp.zeros((rows.size, 2)), jnp.zeros_like(here)
    start = Round(nothing, nothing, Answer(columns, nothing), jnp.zeros((), int), jnp.inf + here[0])
    if len(grip.marks) == 1:
        last = solved(start)
    else:
        # Shares go by the signals, which averaged deltas further up add to: round and round, but
        # only for surfaces above the first layer that are several pairs'.
        passed = jnp.any((jnp.diagonal(ties.to) == 0) & (grip.layer > 0))

        def unlike(now: Round):
            return (now.number == 0) | (passed & (now.change > 1e-14) & (now.number < ROUNDS))

        last = jax.lax.while_loop(unlike, solved, start)
    lift = last.share * last.answer.unknown[:, 1]
    shares = shared(last.average)
    return Hold(inputs, unit.deltas, ties, shares, last.answer, last.average, lift)


def meet(layout: Layout, weights: AbstractNetwork, trace: Trace, grip: Grip) -> Surfaces:
    """Which of the pairs in `grip`, all on h = 0, have the same surface."""
    rates = forward_rates(weights, grip.gates, grip.marks)
    inputs = tuple(a[grip.rows] for a in trace.post[: len(rates)])
    gram = -couplings(weights, rates, inputs, rates)
    return surfaces_of(layout.pairs, grip.pairs, gram, grip.neuron)


def moved_by(weights: AbstractNetwork, held: Hold, average: Array) -> AbstractNetwork:
    """dW of the slots with these averaged deltas."""
    deltas = tuple(delta * average[:, None] for delta in held.deltas)
    return outer_products(weights, Trace((), (*held.inputs, deltas[-1])), deltas)


def margins(
    slopes: Slopes, signals: tuple[Array, ...], grip: Grip, held: Hold
) -> tuple[Array, Array]:
    """`low` and `high` of the slots (see `Motion`): on one surface the same, or interchanged.
    `signals`: of the samples."""
    shares, unknown = held.shares, held.answer.unknown[:, 0] - held.shares.rest
    usual = jnp.stack([jnp.sqrt(jnp.mean(s**2)) for s in signals])[grip.layer]
    jump = abs(slopes.above - slopes.below) or 1.0
    unit = held.answer.weight / (jnp.where(usual > 0, usual, 1.0) * jump)
    low = (unknown - slopes.below * shares.total) * unit
    high = (slopes.above * shares.total - unknown) * unit
    away = held.ties.factor < 0
    low, high = jnp.where(away, high, low), jnp.where(away, low, high)
    return jnp.where(grip.used, low, 0.5), jnp.where(grip.used, high, 0.5)
