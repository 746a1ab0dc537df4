"""The blocks whose laws Marcotte, Gribonval & Peyre 2025 state, at two sizes and more."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...discovery.block_fields import Losses
from ...networks.models import Attention, Chain, ConvolutionPair, Skip, TwoLayers
from ...networks.models.blocks import Pooling, identity
from ..claim import Findings
from ..session import Session
from .by_hand import Law, both, channels, gram, grams, heads, sums, units
from .case import BlockCase, Control, examined

Activation = Callable[[jax.Array], jax.Array]


def two_layers(
    widths: tuple[int, int, int], laws: int, law: Law | None = None, *, what: str = "",
    activation: Activation = jax.nn.relu, bias: bool = False, skip: bool = False,
) -> BlockCase:  # fmt: skip
    """U phi(V x + b), or x + U phi(V x + b)."""

    def module(key: jax.Array) -> eqx.Module:
        net = TwoLayers(*widths, key=key, activation=activation, bias=bias)
        return Chain([Skip(net)]) if skip else net

    size = "-".join(map(str, widths))
    return BlockCase(f"{what} {size}".strip(), module, widths[:1], laws, law)


def convolutions(
    what: str, channels_: tuple[int, int, int], size: int, *, stride: int = 1,
    pooling: Pooling = "none", activation: Activation = jax.nn.relu, laws: int | None = None,
) -> BlockCase:  # fmt: skip
    def module(key: jax.Array) -> eqx.Module:
        pair = ConvolutionPair(
            channels_, key=key, stride=stride, pooling=pooling, activation=activation
        )
        return Chain([pair])

    count = channels_[1] if laws is None else laws
    named = f"{what}{'-'.join(map(str, channels_))}"
    return BlockCase(named, module, (channels_[0], size, size), count, channels("conv1", "conv2"))


def attention(
    what: str, width: int, each: int, laws: int, law: Law | None, *, heads_: int = 1,
    tokens: int = 3, rotary: bool = False,
) -> BlockCase:  # fmt: skip
    def module(key: jax.Array) -> eqx.Module:
        return Chain([Attention(width, each, heads_, key=key, rotary=rotary)])

    return BlockCase(f"{what}width {width}, d₁ {each}", module, (tokens, width), laws, law)


ONE_HEAD = both(grams("query", "key"), gram("value", "output"))


def linear_layers(session: Session) -> Findings:
    law = gram("first", "second")
    cases = [two_layers((3, 2, 2), 3, law, activation=identity),
             two_layers((2, 4, 3), 10, law, activation=identity),
             two_layers((1, 3, 1), 5, law, activation=identity)]  # fmt: skip
    controls = [Control("VᵀV + UᵀU", cases[0], gram("first", "second", 1.0)),
                Control("tanh between", two_layers((3, 2, 2), 3, activation=jnp.tanh))]  # fmt: skip
    title = "Two linear layers: r(r + 1)/2 laws, fewer where r > n + m"
    return examined(session, "linear", title, cases, controls)


def relu_layer(session: Session) -> Findings:
    with_bias = units("first", "second", True)
    cases = [two_layers((3, 4, 2), 4, units("first", "second")),
             two_layers((2, 3, 2), 3, with_bias, what="biases,", bias=True)]  # fmt: skip
    controls = [Control("without the bias", cases[1], units("first", "second")),
                Control("VVᵀ − UᵀU, as linear layers have it", cases[0], gram("first", "second")),
                Control("tanh", two_layers((2, 3, 2), 3, activation=jnp.tanh))]  # fmt: skip
    return examined(session, "relu", "One hidden ReLU layer: one law per unit", cases, controls)


def convolution(session: Session) -> Findings:
    cases = [convolutions("", (1, 2, 1), 4), convolutions("", (2, 3, 1), 4),
             convolutions("stride 2, ", (1, 2, 2), 6, stride=2),
             convolutions("average pooling, ", (1, 2, 1), 5, pooling="average"),
             convolutions("max pooling, ", (1, 2, 1), 5, pooling="max")]  # fmt: skip
    smooth = convolutions("", (1, 2, 1), 4, activation=jnp.tanh, laws=2)
    controls = [Control("channel j against j + 1", cases[1], channels("conv1", "conv2", 1)),
                Control("tanh", smooth)]  # fmt: skip
    title = "Two convolutions with ReLU: one law per hidden channel"
    return examined(session, "convolution", title, cases, controls)


def around_skip(session: Session) -> Findings:
    cases = [two_layers((2, 3, 2), 3, units("first", "second"), what="ReLU", skip=True),
             two_layers((2, 2, 2), 3, gram("first", "second"), what="linear",
                        activation=identity, skip=True)]  # fmt: skip
    smooth = two_layers((2, 3, 2), 3, activation=jnp.tanh, skip=True)
    added = units("first", "second", factor=1.0)
    controls = [Control("with a unit's |V|² + |U|²", cases[0], added), Control("tanh", smooth)]
    return examined(session, "skip", "x + g(x) has the laws of g", cases, controls)


def one_head(session: Session) -> Findings:
    cases = [attention("", 2, 2, 6, ONE_HEAD), attention("", 3, 2, 6, ONE_HEAD),
             attention("", 2, 1, 2, ONE_HEAD)]  # fmt: skip
    alone = attention("one token, ", 2, 2, 6, None, tokens=1)
    mixed = both(grams("query", "value"), gram("key", "output"))
    controls = [Control("QQᵀ − VVᵀ and KKᵀ − OᵀO", cases[0], mixed),
                Control("one token alone", alone)]  # fmt: skip
    title = "Attention, one head: d₁(d₁ + 1) laws"
    return examined(session, "attention", title, cases, controls)


def many_heads(session: Session) -> Findings:
    def law(count: int, shift: int = 0) -> Law:
        return both(heads("query", "key", count, shift=shift),
                    heads("value", "output", count, by_columns=True, shift=shift))  # fmt: skip

    cases = [attention("2 heads, ", 2, 1, 4, law(2), heads_=2),
             attention("3 heads, ", 2, 1, 6, law(3), heads_=3),
             attention("2 heads, ", 2, 2, 12, law(2), heads_=2)]  # fmt: skip
    whole = attention("2 heads as one, ", 2, 1, 6, None, heads_=2)
    controls = [Control("a head's queries with the next one's keys", cases[2], law(2, 1)),
                Control("the d₁(d₁ + 1) of one head of that size", whole)]  # fmt: skip
    title = "Attention, several heads: the laws of each, and no others"
    return examined(session, "heads", title, cases, controls)


def read_out(session: Session) -> Findings:
    def layer(inputs: int, outputs: int, bias: bool, losses: Losses = "cross-entropy") -> BlockCase:
        made = lambda key: Chain([eqx.nn.Linear(inputs, outputs, bias, key=key)])  # noqa: E731
        law = both(sums("weight"), sums("bias")) if bias else sums("weight")
        what = f"{inputs}-{outputs}{' with biases' if bias else ''}"
        return BlockCase(what, made, (inputs,), inputs + bias, law, losses=losses)

    cases = [layer(3, 4, False), layer(2, 3, True)]
    free = layer(3, 4, False, "all")
    controls = [Control("squared loss: errors that do not sum to 0", free, sums("weight")),
                Control("squared loss", free)]  # fmt: skip
    title = "Read-out under cross-entropy: sums over outputs"
    return examined(session, "read-out", title, cases, controls)


def residual(hidden: int, second: int) -> BlockCase:
    """Two residual ReLU blocks, of which one is counted."""
    made = lambda key: Chain([  # noqa: E731
        Skip(TwoLayers(2, hidden, 2, key=key)),
        Skip(TwoLayers(2, second, 2, key=jax.random.fold_in(key, 1))),
    ])  # fmt: skip
    return BlockCase(f"ReLU block of {hidden} units in a net", made, (2,), hidden,
                units("first", "second"), ("parts.0",))  # fmt: skip


def deep_nets(session: Session) -> Findings:
    def transformer(key: jax.Array) -> eqx.Module:
        one, two = jax.random.split(key)
        return Chain([Skip(Attention(2, 1, key=one)), Each(Skip(TwoLayers(2, 2, 2, key=two)))])

    own = both(grams("query", "key"), gram("value", "output"))
    cases = [residual(2, 3), residual(3, 2),
             BlockCase("attention in a transformer", transformer, (2, 2), 2, own, ("parts.0",)),
             BlockCase("its MLP", transformer, (2, 2), 2, None, ("parts.1",)),
             BlockCase("the whole transformer: 2 + 2", transformer, (2, 2), 4)]  # fmt: skip
    controls = [Control("|V|² + |U|² in the net", cases[0], units("first", "second", factor=1.0)),
                Control("second layers alone", BlockCase(
                    "", cases[0].module, (2,), 2, None, ("parts.0.block.second",)))]  # fmt: skip
    title = "Blocks inside deep nets have their own laws"
    return examined(session, "deep", title, cases, controls)


class Each(eqx.Module):
    """A block on every token."""

    block: Activation

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.vmap(self.block)(x)


def across_skip(session: Session) -> Findings:
    """U of one residual block and V of the next, with the skip between them, and without."""

    def net(hidden: int, width: int, skips: bool):
        wrap = Skip if skips else lambda block: block
        return lambda key: Chain([
            wrap(TwoLayers(width, hidden, width, key=key, activation=identity)),
            wrap(TwoLayers(width, hidden, width, key=jax.random.fold_in(key, 1),
                           activation=identity)),
        ])  # fmt: skip

    pair = ("parts.0.block.second", "parts.1.block.first")
    cases = [
        BlockCase(f"width {w}, hidden {h}", net(h, w, True), (w,), 0, None, pair)
        for h, w in ((2, 2), (3, 2))
    ]
    bare = BlockCase("", net(2, 2, False), (2,), 0, None, ("parts.0.second", "parts.1.first"))
    crossed = lambda w: (w["second"] @ w["second"].T, -w["first"].T @ w["first"])  # noqa: E731
    controls = [Control("without the skip", bare),
                Control("UUᵀ − VᵀV across the skip", cases[0], crossed)]  # fmt: skip
    title = "Two layers that overlap a skip have no law in common"
    return examined(session, "overlap", title, cases, controls)


def scalar_net(blocks: int):
    """x + u s(v x), and so on: scalars, one hidden ReLU each."""
    return lambda key: Chain(
        [Skip(TwoLayers(1, 1, 1, key=jax.random.fold_in(key, i))) for i in range(blocks)]
    )


def signed(*signs: float):
    """States with these signs, entry by entry."""
    return lambda rng, count: np.abs(rng.standard_normal((count, len(signs)))) * np.array(signs)
