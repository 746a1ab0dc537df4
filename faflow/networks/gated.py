"""Gated linear networks: linear layers behind gates that the inputs set and nothing moves."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._generator import drawn, in_float64, seeded
from .._types import Array, Inputs, Outputs
from .activations import AbstractActivation
from .mlp import AbstractLayeredNetwork, AbstractNetwork, Trace


class FrozenGates(AbstractActivation):
    """What stands for phi in a gated network: slopes that depend on the inputs, not on h.

    a = slope . h is of degree 1 in h, so that every law of degree 1 holds. A rule takes the slopes
    from the forward pass (`backward_sweep`, `direct_sweep` and `slopes` do); asked for phi(h) or
    phi'(h) this raises ValueError.
    """

    degree: float | None = 1.0
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        raise ValueError(_NO_FUNCTION)

    def derivative(self, h: Array) -> Array:
        raise ValueError(_NO_FUNCTION)


_NO_FUNCTION = (
    "A gated network has no activation of h: its slopes are `trace.slopes` of the forward pass. "
    "Take them from `faflow.rules.slopes(weights, trace)`, which serves other networks too."
)


class GatedMLP(AbstractLayeredNetwork):
    """h_l = W_l a_{l-1} + beta_l, a_l = g_l . h_l for l < L, f = h_L, g_l = phi'(m_l) frozen.

    m_l = M_l x / sqrt n_0 with M_l (n_l, n_0) of entries N(0, 1), redrawn from `seed` in every
    forward pass: the gates are a pure function of the inputs and no part of the state. `gate` is
    phi; ReLU opens or shuts. f is linear in every W_l, and not in x (Bordelon & Pehlevan 2022;
    Saxe, Sodhani & Lewallen 2022). With linear phi all gates are 1, as in a linear network, but
    what holds for linear networks alone is not claimed.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...] = ()
    gate: AbstractActivation = eqx.field(static=True, kw_only=True)
    seed: int = eqx.field(static=True, default=0)

    @property
    def activation(self) -> AbstractActivation:
        return FrozenGates()

    def gates(self, inputs: Inputs) -> tuple[Array, ...]:
        """(g_1, ..., g_{L-1}), g_l (samples, n_l)."""
        key, features = seeded(self.seed), inputs.shape[1]
        found = []
        for layer, weight in enumerate(self.weights[:-1], start=1):
            shape = (features, weight.shape[0])
            mix = _mix(key, layer, shape).astype(inputs.dtype)
            found.append(
                self.gate.derivative(inputs @ mix / jnp.sqrt(jnp.asarray(features, inputs.dtype)))
            )
        return tuple(found)

    def trace(self, inputs: Inputs) -> Trace:
        slopes = self.gates(inputs)
        return gated_trace(self, inputs, slopes)._replace(slopes=slopes)

    def __call__(self, inputs: Inputs) -> Outputs:
        return self.trace(inputs).outputs


def gated_trace(network: AbstractNetwork, inputs: Array, gates: tuple[Array, ...]) -> Trace:
    """The forward pass with a_l = gate_l * h_l in place of phi(h_l)."""
    pre, post = [], [inputs]
    for layer, weight in enumerate(network.weights):
        h = post[-1] @ weight.T
        if network.biases:
            h = h + network.biases[layer][None, :]
        pre.append(h)
        post.append(gates[layer] * h if layer < len(gates) else h)
    return Trace(tuple(pre), tuple(post))


def _mix(key: Array, layer: int, shape: tuple[int, int]) -> Array:
    """M_l^T, the same in every program and precision: the seed is static."""
    draw = lambda of: jax.random.normal(jax.random.fold_in(of, layer), shape)  # noqa: E731
    if in_float64():
        return drawn(draw, key)
    with jax.ensure_compile_time_eval():  # float64 is not to be had inside a float32 program
        return drawn(draw, key)


def backward_activation(network: AbstractNetwork) -> AbstractActivation:
    """The phi whose derivatives are the slopes: of h, or of the gates' own fields m."""
    return network.gate if isinstance(network, GatedMLP) else network.activation
