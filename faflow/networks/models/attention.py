"""Attention by itself: every matrix a leaf of its own, one head or several."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Replaced = Literal["none", "key", "query", "both"]
Fixed = tuple[tuple[float, ...], ...]


class Attention(eqx.Module):
    """softmax(X Q^T K X^T) X V^T O, summed over heads: (tokens, width) -> (tokens, width).

    `query`, `key`, `value` (heads each, width) have head h in rows h each .. (h + 1) each, `output`
    (width, heads each) in such columns. `rotary`: queries and keys of a token at place t are turned
    by t base^{-2j/each} in the plane of their entries 2j and 2j + 1 (RoPE; Su et al. 2021), `each`
    even. `causal`: a token sees those before it and itself. `outputs`: of every token, `width`
    unless given. ValueError if `each` is odd and `rotary`.

    `replaced`: what queries and keys hear of one another goes through fixed random matrices of
    their shapes: "key" (what goes back to Q passes through F_K in place of K), "query" (what goes
    to K, through F_Q) or "both".
    """

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    output: eqx.nn.Linear
    heads: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)
    causal: bool = eqx.field(static=True)
    base: float = eqx.field(static=True)
    backward: tuple[Fixed | None, Fixed | None] = eqx.field(static=True)  # F_Q, F_K

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
        outputs: int | None = None,
        replaced: Replaced = "none",
    ):
        if rotary and each % 2:
            raise ValueError(
                f"Argument `each` must be even for rotary places, but is {each}; add one."
            )
        one, two, three, four = jax.random.split(key, 4)
        self.query = eqx.nn.Linear(width, heads * each, use_bias=False, key=one)
        self.key = eqx.nn.Linear(width, heads * each, use_bias=False, key=two)
        self.value = eqx.nn.Linear(width, heads * each, use_bias=False, key=three)
        self.output = eqx.nn.Linear(heads * each, outputs or width, use_bias=False, key=four)
        draws = np.random.default_rng(0).standard_normal((2, heads * each, width)) / width**0.5
        for_query, for_key = (tuple(map(tuple, draw.tolist())) for draw in draws)
        self.backward = (
            for_query if replaced in ("query", "both") else None,
            for_key if replaced in ("key", "both") else None,
        )
        self.heads, self.rotary, self.causal, self.base = heads, rotary, causal, base

    def __call__(self, x: Array) -> Array:
        def of_heads(made: Array) -> Array:
            return made.reshape(len(x), self.heads, -1)  # (tokens, heads, each)

        layers = (self.query, self.key, self.value)
        queries, keys, values = (of_heads(jax.vmap(layer)(x)) for layer in layers)
        heard = [
            true if fixed is None else of_heads(x @ jnp.asarray(fixed).T)
            for fixed, true in zip(self.backward, (queries, keys), strict=True)
        ]
        if self.rotary:
            queries, keys, *heard = map(self._turned, (queries, keys, *heard))
        if any(fixed is not None for fixed in self.backward):
            scores = _scores(queries, keys, *heard)
        else:
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


@jax.custom_vjp
def _scores(queries: Array, keys: Array, for_keys: Array, for_queries: Array) -> Array:
    """q . k, (heads, tokens, tokens); on the way back q hears `for_queries`, and k `for_keys`."""
    return jnp.einsum("thi,shi->hts", queries, keys)


def _forward(
    queries: Array, keys: Array, for_keys: Array, for_queries: Array
) -> tuple[Array, tuple[Array, Array]]:
    scores = jnp.einsum("thi,shi->hts", queries, keys)
    return scores, (for_keys, for_queries)


def _back(heard: tuple[Array, Array], above: Array) -> tuple[Array, Array, Array, Array]:
    for_keys, for_queries = heard
    to_queries = jnp.einsum("hts,shi->thi", above, for_queries)
    to_keys = jnp.einsum("hts,thi->shi", above, for_keys)
    return to_queries, to_keys, jnp.zeros_like(for_keys), jnp.zeros_like(for_queries)


_scores.defvjp(_forward, _back)
