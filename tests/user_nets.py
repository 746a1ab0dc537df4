"""Networks as users write them, and numbers to put into them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0)


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def far(one, two):
    """The largest entry of the difference over the largest of the second."""
    one, two = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (one, two)
    )
    return float(np.max(np.abs(one - two)) / np.max(np.abs(two)))


class Net(eqx.Module):
    """An MLP."""

    layers: list[eqx.nn.Linear]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def net_of(*widths, bias=False, key=KEY):
    keys = jax.random.split(key, len(widths) - 1)
    pairs = zip(widths[:-1], widths[1:], keys, strict=True)
    return Net([eqx.nn.Linear(into, out, key=of, use_bias=bias) for into, out, of in pairs])


@eqx.filter_jit
def field_of(rule, network, feedback, data):
    return rule.vector_field(network, feedback, data)
