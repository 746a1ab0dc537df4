"""A rule's backward pass with the gates given, and averaged deltas on the sliding pairs.

A layerwise rule multiplies `weights.activation.derivative(h_l)` by the feedback signal g_l of that
layer. Handing it an activation whose "derivative" is a `Gate` makes the product gate * g_l, plus
a given delta where the gate is closed, and shows us g_l: any rule of that form is served as it is.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx

from ..._types import Array
from ...feedback import Feedback
from ...networks import AbstractActivation, AbstractNetwork, Trace
from ...rules import AbstractLayerwiseRule


class Backward(NamedTuple):
    """`deltas` (delta_1, ..., delta_L); `signals` (g_1, ..., g_{L-1}) with delta_l = gate_l g_l."""

    deltas: tuple[Array, ...]
    signals: tuple[Array, ...]


class _Gate:
    """Stands for phi'(h_l); its product with the signal g_l is slope * g_l + injected."""

    def __init__(self, slope, injected, signals: dict, layer: int):
        self.slope, self.injected, self.signals, self.layer = slope, injected, signals, layer

    def __mul__(self, signal):
        self.signals[self.layer] = signal
        product = self.slope * signal
        return product if self.injected is None else product + self.injected

    __rmul__ = __mul__


class _Doors:
    """Every layer's h_l with its gate; no container, so that the arrays stay the ones they are."""

    def __init__(self, gates, pre):
        self.pairs = tuple(zip(gates, pre, strict=False))


class _Gated(AbstractActivation):
    """The activation handed to the rule; knows the layers by the identity of their arrays h_l."""

    doors: _Doors
    degree: float | None = eqx.field(static=True, default=1.0)
    kinked: bool = eqx.field(static=True, default=True)
    exact: bool = eqx.field(static=True, default=True)

    def __call__(self, h):
        raise ValueError(_UNSERVED)

    def derivative(self, h):
        for gate, mine in self.doors.pairs:
            if mine is h:
                return gate
        raise ValueError(_UNSERVED)


def backward(
    rule: AbstractLayerwiseRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    trace: Trace,
    error: Array,
    gates: tuple[Array, ...],
    injected: tuple[Array, ...] | None = None,
) -> Backward:
    """The rule's deltas with delta_l = gates_l * g_l + injected_l. Rows are samples.

    Raises ValueError for a rule whose deltas are not phi'(h_l) times a signal in every layer.
    """
    signals: dict[int, Array] = {}
    extra = (None,) * len(gates) if injected is None else injected
    doors = tuple(
        _Gate(slope, more, signals, layer)
        for layer, (slope, more) in enumerate(zip(gates, extra, strict=True))
    )
    network = dataclasses.replace(weights, activation=_Gated(_Doors(doors, trace.pre)))
    try:
        deltas = rule.deltas(network, feedback, trace, error)
    except TypeError as wrong:
        raise ValueError(_UNSERVED) from wrong
    if len(signals) != len(gates):
        raise ValueError(_UNSERVED)
    return Backward(tuple(deltas), tuple(signals[layer] for layer in range(len(gates))))


_UNSERVED = (
    "Exact integration needs a rule whose deltas are `weights.activation.derivative(h)` times a "
    "signal, h = trace.pre[l]; write it so, or integrate with kinks = 'plain'."
)
