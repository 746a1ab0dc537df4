"""Gated units, and mixtures of them."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

Gate = Literal["softmax", "sigmoid"]


class SwiGLU(eqx.Module):
    """C (silu(B x) . (A x)): (inputs,) -> (outputs,), A = `up`, B = `gate`, C = `down`."""

    up: eqx.nn.Linear
    gate: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, inputs: int, hidden: int, outputs: int, *, key: Array):
        one, two, three = jax.random.split(key, 3)
        self.up = eqx.nn.Linear(inputs, hidden, use_bias=False, key=one)
        self.gate = eqx.nn.Linear(inputs, hidden, use_bias=False, key=two)
        self.down = eqx.nn.Linear(hidden, outputs, use_bias=False, key=three)

    def __call__(self, x: Array) -> Array:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


class Mixture(eqx.Module):
    """sum_i g_i(x) E_i(x), E_i SwiGLU experts, z = `router` x: (inputs,) -> (outputs,).

    `gate`: g = softmax(z), or "sigmoid": g_i = s(z_i) / sum_p s(z_p), s the logistic function.
    """

    router: eqx.nn.Linear
    experts: list[SwiGLU]
    gate: Gate = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        experts: int,
        *,
        key: Array,
        gate: Gate = "softmax",
    ):
        first, *keys = jax.random.split(key, experts + 1)
        self.router = eqx.nn.Linear(inputs, experts, use_bias=False, key=first)
        self.experts = [SwiGLU(inputs, hidden, outputs, key=of) for of in keys]
        self.gate = gate

    def __call__(self, x: Array) -> Array:
        return shares(self.router(x), self.gate) @ jnp.stack([one(x) for one in self.experts])


def shares(logits: Array, gate: Gate) -> Array:
    """What every expert counts for, (experts,): positive, and 1 in sum."""
    if gate == "softmax":
        return jax.nn.softmax(logits)
    open_ = jax.nn.sigmoid(logits)
    return open_ / jnp.sum(open_)
