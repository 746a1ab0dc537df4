"""A transformer that reads a sequence of vectors and answers at its last place."""

from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

Unit = Literal["gelu", "relu", "swiglu"]


class FeedForward(eqx.Module):
    """down(phi(up x)), or down(silu(gate x) . up x) for `unit = "swiglu"`."""

    up: eqx.nn.Linear
    gate: eqx.nn.Linear | None
    down: eqx.nn.Linear
    unit: Unit = eqx.field(static=True)

    def __init__(self, width: int, hidden: int, unit: Unit, key: Array):
        keys = jax.random.split(key, 3)
        self.up = eqx.nn.Linear(width, hidden, use_bias=False, key=keys[0])
        self.down = eqx.nn.Linear(hidden, width, use_bias=False, key=keys[1])
        swiglu = unit == "swiglu"
        self.gate = eqx.nn.Linear(width, hidden, use_bias=False, key=keys[2]) if swiglu else None
        self.unit = unit

    def __call__(self, x: Array) -> Array:
        hidden = self.up(x)
        if self.gate is not None:
            return self.down(jax.nn.silu(self.gate(x)) * hidden)
        return self.down(jax.nn.gelu(hidden) if self.unit == "gelu" else jax.nn.relu(hidden))


class AttentionBlock(eqx.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    norms: list[Callable[[Array], Array]]
    attention: eqx.nn.MultiheadAttention
    mlp: FeedForward
    causal: bool = eqx.field(static=True)

    def __init__(
        self, width: int, heads: int, hidden: int, unit: Unit, causal: bool, norm: bool, key: Array
    ):
        first, second = jax.random.split(key)
        self.norms = [eqx.nn.LayerNorm(width) if norm else eqx.nn.Identity() for _ in range(2)]
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=first)
        self.mlp = FeedForward(width, hidden, unit, second)
        self.causal = causal

    def __call__(self, x: Array) -> Array:
        seen = jax.vmap(self.norms[0])(x)
        mask = jnp.tril(jnp.ones((len(x), len(x)), bool)) if self.causal else None
        x = x + self.attention(seen, seen, seen, mask=mask)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norms[1])(x))


class Transformer(eqx.Module):
    """Sequence (length, inputs) -> outputs (outputs,), read at the last place.

    `heads` heads of `width / heads`, `depth` blocks with `hidden` hidden units of kind `unit`.
    `causal`: every place sees itself and those before it. `norm`: layer norms before attention and
    before the MLP. It has no places of its own: give them with the inputs, if order matters.
    """

    embed: eqx.nn.Linear
    blocks: list[AttentionBlock]
    readout: eqx.nn.Linear
    feedback_blocks: ClassVar[tuple[str, ...]] = ("embed", "blocks.*")

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        key: Array,
        width: int = 16,
        heads: int = 2,
        depth: int = 2,
        hidden: int = 32,
        unit: Unit = "gelu",
        causal: bool = True,
        norm: bool = False,
    ):
        first, *keys, last = jax.random.split(key, depth + 2)
        self.embed = eqx.nn.Linear(inputs, width, use_bias=False, key=first)
        self.blocks = [AttentionBlock(width, heads, hidden, unit, causal, norm, of) for of in keys]
        self.readout = eqx.nn.Linear(width, outputs, use_bias=False, key=last)

    def __call__(self, sequence: Array) -> Array:
        x = jax.vmap(self.embed)(sequence)
        for block in self.blocks:
            x = block(x)
        return self.readout(x[-1])
