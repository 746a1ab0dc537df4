"""Attention by itself: every matrix a leaf of its own, one head or several."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


class Attention(eqx.Module):
    """softmax(X Q^T K X^T) X V^T O, summed over heads: (tokens, width) -> (tokens, width).

    `query`, `key`, `value` (heads each, width) have head h in rows h each .. (h + 1) each, `output`
    (width, heads each) in such columns. `rotary`: queries and keys of a token at place t are turned
    by t base^{-2j/each} in the plane of their entries 2j and 2j + 1 (RoPE; Su et al. 2021), `each`
    even. `causal`: a token sees those before it and itself. ValueError if `each` is odd and
    `rotary`.
    """

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    output: eqx.nn.Linear
    heads: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)
    causal: bool = eqx.field(static=True)
    base: float = eqx.field(static=True)

    def __init__(
        self,
        width: int,
        each: int,
        heads: int = 1,
        *,
        key: Array,
        rotary: bool = False,
        causal: bool = False,
        base: float = 100.0,
    ):
        if rotary and each % 2:
            raise ValueError(
                f"Argument `each` must be even for rotary places, but is {each}; add one."
            )
        one, two, three, four = jax.random.split(key, 4)
        self.query = eqx.nn.Linear(width, heads * each, use_bias=False, key=one)
        self.key = eqx.nn.Linear(width, heads * each, use_bias=False, key=two)
        self.value = eqx.nn.Linear(width, heads * each, use_bias=False, key=three)
        self.output = eqx.nn.Linear(heads * each, width, use_bias=False, key=four)
        self.heads, self.rotary, self.causal, self.base = heads, rotary, causal, base

    def __call__(self, x: Array) -> Array:
        def of_heads(layer: eqx.nn.Linear) -> Array:
            return jax.vmap(layer)(x).reshape(len(x), self.heads, -1)  # (tokens, heads, each)

        queries, keys, values = map(of_heads, (self.query, self.key, self.value))
        if self.rotary:
            queries, keys = self._turned(queries), self._turned(keys)
        scores = jnp.einsum("thi,shi->hts", queries, keys)
        if self.causal:
            seen = jnp.tril(jnp.ones((1, len(x), len(x)), bool))
            scores = jnp.where(seen, scores, -jnp.inf)
        mixed = jnp.einsum("hts,shi->thi", jax.nn.softmax(scores, axis=-1), values)
        return jax.vmap(self.output)(mixed.reshape(len(x), -1))

    def _turned(self, vectors: Array) -> Array:
        tokens, _, each = vectors.shape
        rates = self.base ** (-jnp.arange(0, each, 2) / each)
        places = jnp.arange(tokens, dtype=rates.dtype)
        angles = jnp.outer(places, rates)[:, None, :]  # (tokens, 1, each / 2)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        even, odd = vectors[..., 0::2], vectors[..., 1::2]
        turned = jnp.stack([cos * even - sin * odd, sin * even + cos * odd], axis=-1)
        return turned.reshape(vectors.shape)
