"""Two experts behind normalised sigmoid gates, in rational arithmetic: a counterexample.

Gates g_i = s(z_i) / sum_p s(z_p), logits z = W x with x = e_1, experts' outputs E = (0, 1), target
0, loss f^2 / 2: df/dz_i = s_i' (E_i - f) / sum_p s_p, with s' = s (1 - s). At z = (0, ln 3),
s = (1/2, 3/4) are rational, and so is all the rest.
"""

from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...feedback import Feedback
from ...networks import Model
from ...networks.models import Mixture
from ...networks.models.experts import Gate
from ...rules import Gradient
from ...tasks import make_data

OPEN = (Fraction(1, 2), Fraction(3, 4))  # s(0), s(ln 3)
OUTPUTS = (Fraction(0), Fraction(1))
EXACT = Fraction(9, 250)


def rational_rate() -> Fraction:
    """d/dt (W_11 + W_21) = -f (df/dz_1 + df/dz_2) of normalised sigmoid gates."""
    total = sum(OPEN, Fraction(0))
    f = sum((s * e for s, e in zip(OPEN, OUTPUTS, strict=True)), Fraction(0)) / total
    slopes = (s * (1 - s) * (e - f) / total for s, e in zip(OPEN, OUTPUTS, strict=True))
    return -f * sum(slopes, Fraction(0))


def softmax_rate() -> Fraction:
    """The same of softmax gates at the same logits, g = (1/4, 3/4): df/dz_i = g_i (E_i - f)."""
    gates = (Fraction(1, 4), Fraction(3, 4))
    f = sum((g * e for g, e in zip(gates, OUTPUTS, strict=True)), Fraction(0))
    return -f * sum((g * (e - f) for g, e in zip(gates, OUTPUTS, strict=True)), Fraction(0))


def flow_rate(gate: Gate) -> float:
    """faflow's own field of the gradient on that mixture of SwiGLU experts: d/dt (W_11 + W_21)."""
    mixture = Mixture(2, 1, 1, 2, key=jax.random.key(0), gate=gate)
    one, zero = jnp.ones((1, 2)), jnp.zeros((1, 1))
    silu = float(jax.nn.silu(jnp.asarray(1.0)))
    router = jnp.asarray([[0.0, 0.0], [np.log(3.0), 0.0]])
    downs = [zero, jnp.full((1, 1), 1.0 / silu)]  # E_i = C_i silu(1) 1
    mixture = eqx.tree_at(lambda net: net.router.weight, mixture, router)
    for i, down in enumerate(downs):
        expert = lambda net, i=i: net.experts[i]  # noqa: E731
        mixture = eqx.tree_at(
            lambda net, of=expert: (of(net).up.weight, of(net).gate.weight, of(net).down.weight),
            mixture, (one, one, down),
        )  # fmt: skip
    model, rule = Model(mixture), Gradient()
    data = make_data(np.array([[1.0, 0.0]]), np.zeros((1, 1)), "squared")
    moves = rule.velocity(jnp.zeros(()), rule.init(model, Feedback(), data), Feedback(), data)
    place = model.paths.index("router.weight")
    return float(jnp.sum(jax.tree.leaves(moves)[place][:, 0]))
