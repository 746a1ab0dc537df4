"""Holding the sliding pairs on h = 0: their averaged deltas, and how far those are from leaving."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from ..._types import Array
from ...feedback import Feedback
from ...networks import AbstractNetwork, Trace
from ...rules import AbstractLayerwiseRule, outer_products
from .gates import Backward, backward
from .gram import Ties, couplings, find_ties, forward_rates, pull, solve_held, tie
from .mode import Mode
from .pairs import Layout, Slopes


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


class Hold(NamedTuple):
    """Every slot's `inputs` a_{l-1}, the `deltas` of a unit of its averaged delta, and `signals`;
    `here`: the slots' own signals; the `matrix` of dh/dt by averaged deltas, and who is `tied`;
    `unknown`, `average` (slots,): the answer, per group of tied slots and per slot; `lift`: what
    brings h back to 0, likewise (None unless asked for)."""

    inputs: tuple[Array, ...]
    deltas: tuple[Array, ...]
    signals: tuple[Array, ...]
    here: Array
    matrix: Array
    tied: Array
    unknown: Array
    average: Array
    lift: Array | None


def grip_of(layout: Layout, mode: Mode, gates: tuple[Array, ...], slots: int) -> Grip:
    index = mode.slots[:slots]
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
    grip: Grip,
    trace: Trace,
    back: Backward,
    move: AbstractNetwork,
    held: Array | None,
) -> Hold:
    """The averaged deltas with dh/dt = 0 on the slots, `move` being dW/dt without them.

    `trace`, `back`: of the samples; `held` (slots,): the slots' h, if the `lift` is wanted.
    """
    rows, outputs = grip.rows, trace.outputs
    own = Trace(tuple(h[rows] for h in trace.pre), tuple(a[rows] for a in trace.post))
    silent = jnp.zeros((rows.size, outputs.shape[1]), outputs.dtype)
    unit = backward(rule, weights, feedback, own, silent, grip.gates, grip.marks)
    rates, inputs = forward_rates(weights, grip.gates, grip.marks), own.post[:-1]
    matrix = couplings(weights, rates, inputs[:-1], unit.deltas[:-1])
    here: Any = sum(
        jnp.sum(s[rows] * m, axis=1) for s, m in zip(back.signals, grip.marks, strict=True)
    )
    wanted = -pull(rates, inputs[:-1], move)[:, None]
    if held is not None:
        wanted = jnp.concatenate([wanted, -held[:, None]], axis=1)
    tied = find_ties(matrix, grip.neuron, grip.used)
    ties = tie(tied, matrix, here)
    answer = solve_held(matrix, wanted, ties, grip.used)
    average, lift = (ties.share * answer[ties.leader, column] for column in (0, -1))
    return Hold(
        inputs, unit.deltas, unit.signals, here, matrix, tied, answer[:, 0], average,
        None if held is None else lift,
    )  # fmt: skip


def moved_by(weights: AbstractNetwork, held: Hold, average: Array) -> AbstractNetwork:
    """dW of the slots with these averaged deltas."""
    deltas = tuple(delta * average[:, None] for delta in held.deltas)
    return outer_products(weights, Trace((), (*held.inputs, deltas[-1])), deltas)


def margins(slopes: Slopes, back: Backward, grip: Grip, held: Hold) -> tuple[Array, Array]:
    """`low` and `high` of the slots (see `Motion`), the same for all that are tied."""
    # The signals of the slots of one sample depend on each other.
    same = grip.rows[:, None] == grip.rows[None, :]
    across: Any = sum(s @ m.T for s, m in zip(held.signals, grip.marks, strict=True))  # [q, p]
    signal = held.here + held.average @ jnp.where(same, across, 0.0)
    ties: Ties = tie(held.tied, held.matrix, signal)
    usual = jnp.stack([jnp.sqrt(jnp.mean(s**2)) for s in back.signals])[grip.layer]
    below, above = slopes
    unit = ties.weight / (jnp.where(usual > 0, usual, 1.0) * (above - below))
    low = ((held.unknown - below * ties.total) * unit)[ties.leader]
    high = ((above * ties.total - held.unknown) * unit)[ties.leader]
    return jnp.where(grip.used, low, 0.5), jnp.where(grip.used, high, 0.5)
