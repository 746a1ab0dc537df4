"""Counts of laws of blocks, against those of Marcotte et al. 2025 and Tran et al. 2026.

Controls: smooth MLPs and the normalised-sigmoid gate, which have fewer laws; free errors at a
read-out, which have none of cross-entropy's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.discovery import count_block
from faflow.feedback import Feedback
from faflow.networks.models import (
    Attention,
    Chain,
    ConvolutionPair,
    Mixture,
    Skip,
    SwiGLU,
    TwoLayers,
)
from faflow.networks.models.blocks import identity
from faflow.rules import Gradient, UniformSignSymmetry

KEY = jax.random.key(0)


def laws_of(module, sample, block=("*",), **more):
    return count_block(Gradient(), module, Feedback(), sample, block, **more).independent


BLOCKS = {
    "ReLU": (TwoLayers(3, 4, 2, key=KEY), (3,), 4),
    "tanh": (TwoLayers(3, 4, 1, key=KEY, activation=jnp.tanh), (3,), 0),
    "SwiGLU": (SwiGLU(2, 3, 2, key=KEY), (2,), 3),
    "attention": (Chain([Attention(2, 2, key=KEY)]), (3, 2), 6),  # d1 (d1 + 1)
    "rotary": (Chain([Attention(2, 2, key=KEY, rotary=True)]), (3, 2), 4),  # one a frequency, V, O
    "two heads": (Chain([Attention(2, 1, 2, key=KEY)]), (3, 2), 4),
    "softmax gate": (Mixture(2, 1, 2, 2, key=KEY), (2,), 4),
    "sigmoid gate": (Mixture(2, 1, 2, 2, key=KEY, gate="sigmoid"), (2,), 2),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_have_the_laws_that_are_stated(name):
    module, sample, count = BLOCKS[name]
    assert laws_of(module, sample) == count


def test_blocks_inside_a_net_have_their_own_laws_and_pairs_across_a_skip_none():
    parts = [Skip(TwoLayers(2, 3, 2, key=key)) for key in jax.random.split(KEY)]
    net = Chain(parts)
    assert laws_of(net, (2,), ("parts.0",)) == 3
    assert laws_of(net, (2,), ("parts.0.block.second", "parts.1.block.first")) == 0


def test_cross_entropy_adds_a_law_for_every_column_of_the_read_out():
    net = TwoLayers(2, 3, 4, key=KEY)
    assert laws_of(net, (2,), ("second",), losses="cross-entropy") == 3
    assert laws_of(net, (2,), ("second",)) == 0


def test_two_scalar_blocks_have_a_law_more_where_signs_agree():
    """x + u s(v x), then z + s s(t z): Marcotte et al.'s example."""
    net = Chain([Skip(TwoLayers(1, 1, 1, key=key)) for key in jax.random.split(KEY)])

    def agreeing(rng, count):  # v, u, t, s
        states = rng.standard_normal((count, 4))
        return np.abs(states) * np.array([1, 1, 1, -1.0])

    count = count_block(Gradient(), net, Feedback(), (1,), regions=32)
    assert (count.independent, count.everywhere, count.states) == (2, 2, "all")
    # By hand: f(x) = (1 + u v)(1 + s t) x for one sign of x and x for the other where t v > 0, so
    # that one function of the four weights is learned, else two.
    v, t = (f"parts.{i}.block.first.weight[0,0]" for i in (0, 1))
    found = {region.laws: region.signs for region in count.regions}
    assert found == {3: (f"{v} {t} > 0",), 2: (f"{v} {t} < 0",)}
    assert sum(region.share for region in count.regions) == 1.0
    inside = count_block(Gradient(), net, Feedback(), (1,), draw=agreeing)
    assert (inside.independent, inside.everywhere, inside.states) == (3, None, "those drawn")


@pytest.mark.slow  # `faflow reproduce marcotte-2025` has one as well
def test_pooled_convolutions_in_which_most_chains_meet_a_kink():
    """One law a hidden channel; long flows alone leave too few chains here, and no count."""
    pair = ConvolutionPair((2, 3, 1), key=KEY, pooling="max")
    assert laws_of(Chain([pair]), (2, 5, 5)) == 3


def test_a_rule_that_looks_at_signs_keeps_more_inside_an_orthant():
    """13 and 4, as in a layered net (`test_orthants`), of a model of the same layers."""
    net = TwoLayers(3, 4, 1, key=KEY, activation=identity)
    count = count_block(UniformSignSymmetry(), net, Feedback(), (3,))
    assert (count.independent, count.everywhere) == (13, 4)
    assert count.states == "inside one orthant of sign(second.weight)"


def test_a_glob_that_names_nothing():
    with pytest.raises(ValueError, match="`block` has 'third', which names no leaf"):
        laws_of(TwoLayers(2, 2, 1, key=KEY), (2,), ("third",))
