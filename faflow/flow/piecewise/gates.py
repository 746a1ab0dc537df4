"""A rule's backward pass with the gates given, and averaged deltas on the sliding pairs.

What hidden layer l hears, g_l, is read from the rule's noun: delta_{l+1} M_{l+1} of a chain rule,
the drive of a direct one. Of a rule that says its deltas alone, g_l is what it multiplies phi'(h_l)
by, which is handed to it as a `_Slope` that looks on.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx

from ..._types import Array
from ...feedback import Feedback
from ...networks import AbstractActivation, AbstractNetwork, Trace
from ...rules import AbstractChainRule, AbstractDirectRule, AbstractLayerwiseRule, says_no_more


class Backward(NamedTuple):
    """`deltas` (delta_1, ..., delta_L); `signals` (g_1, ..., g_{L-1}) with delta_l = gate_l g_l."""

    deltas: tuple[Array, ...]
    signals: tuple[Array, ...]


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
    if says_no_more(rule, AbstractChainRule):
        matrices = rule.matrices(weights, feedback)
        return _gated(lambda l, above: above @ matrices[l], error, gates, injected)
    if says_no_more(rule, AbstractDirectRule):
        drive = rule.drive(feedback.matrices, error)
        return _gated(lambda l, above: drive[l], error, gates, injected)
    return _watched(rule, weights, feedback, trace, error, gates, injected)


def _gated(
    heard: Callable[[int, Array], Array],
    error: Array,
    gates: tuple[Array, ...],
    injected: tuple[Array, ...] | None,
) -> Backward:
    """From the top down; `heard`: g_{l+1} of l = 0.. and of the deltas above."""
    deltas, signals = [error], []
    for l in reversed(range(len(gates))):
        signals.append(heard(l, deltas[-1]))
        delta = gates[l] * signals[-1]
        deltas.append(delta if injected is None else delta + injected[l])
    return Backward(tuple(deltas[::-1]), tuple(signals[::-1]))


class _Slope:
    """Stands for phi'(h_l); its product with the signal g_l is gate * g_l + injected."""

    def __init__(self, gate: Array, injected: Array | None):
        self.gate, self.injected, self.signal = gate, injected, None

    def __mul__(self, signal):
        self.signal = signal
        product = self.gate * signal
        return product if self.injected is None else product + self.injected

    __rmul__ = __mul__


class _Slopes(AbstractActivation):
    """The activation handed to the rule, whose h_l are their own slopes."""

    degree: float | None = eqx.field(static=True, default=1.0)
    kinked: bool = eqx.field(static=True, default=True)
    exact: bool = eqx.field(static=True, default=True)

    def __call__(self, h):
        raise ValueError(_UNSERVED)

    def derivative(self, h):
        return h


def _watched(rule, weights, feedback, trace, error, gates, injected) -> Backward:
    """The same of a rule that says its deltas alone."""
    slopes: Any = tuple(map(_Slope, gates, injected or (None,) * len(gates)))
    network = dataclasses.replace(weights, activation=_Slopes())
    handed = Trace((*slopes, trace.pre[-1]), trace.post, slopes)
    try:
        deltas = rule.deltas(network, feedback, handed, error)
    except (TypeError, AttributeError) as wrong:
        raise ValueError(_UNSERVED) from wrong
    signals = tuple(slope.signal for slope in slopes if slope.signal is not None)
    if len(signals) != len(gates):
        raise ValueError(_UNSERVED)
    return Backward(tuple(deltas), signals)


_UNSERVED = (
    "Exact integration needs a rule that says `backward` or `drive`, or whose deltas are "
    "`weights.activation.derivative(h)` times a signal, h = trace.pre[l]; write it so, or "
    "integrate with kinks = 'plain'."
)
