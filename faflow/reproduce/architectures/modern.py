"""The blocks whose laws Tran et al. 2026 state: smooth and gated units, places, mixtures."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...networks.models import Attention, Chain, Mixture, SwiGLU
from ...networks.models.experts import Gate
from ..check import Reading
from ..claim import Findings
from ..session import Session
from .blocks import ONE_HEAD, Activation, attention, two_layers
from .by_hand import Law, both, gram, heads, planes, sums, units
from .case import KEPT, BlockCase, Control, counted, examined, fresh_pane
from .gate import EXACT, flow_rate, rational_rate, softmax_rate


def smooth(name: str, activation: Activation) -> Callable[[Session], Findings]:
    def test(session: Session) -> Findings:
        sizes = ((2, 3, 2), (3, 2, 2))
        cases = [two_layers(size, 0, activation=activation) for size in sizes]
        controls = [Control("ReLU", two_layers((2, 3, 2), 0)),
                    Control("ReLU's law", cases[0], units("first", "second"))]  # fmt: skip
        return examined(session, name.lower(), f"A {name} layer keeps nothing", cases, controls)

    return test


gelu, silu = smooth("GELU", jax.nn.gelu), smooth("SiLU", jax.nn.silu)


def _swiglu(inputs: int, hidden: int, outputs: int, laws: int, law: Law | None,
            block: tuple[str, ...] = ("*",), what: str = "") -> BlockCase:  # fmt: skip
    made = lambda key: SwiGLU(inputs, hidden, outputs, key=key)  # noqa: E731
    return BlockCase(f"{what}{inputs}-{hidden}-{outputs}", made, (inputs,), laws, law, block)


def swiglu(session: Session) -> Findings:
    law = units("up", "down")
    cases = [_swiglu(2, 3, 2, 3, law), _swiglu(3, 2, 2, 2, law),
             _swiglu(2, 3, 2, 0, None, ("gate",), "B alone, ")]  # fmt: skip
    controls = [Control("B in place of A", cases[0], units("gate", "down")),
                Control("AAᵀ − CᵀC", cases[0], gram("up", "down"))]  # fmt: skip
    title = "SwiGLU keeps |A_i|² − |C_i|² per hidden unit, and nothing of B"
    return examined(session, "swiglu", title, cases, controls)


class Placed(eqx.Module):
    """x + sinusoids of the places, then a block: (tokens, width)."""

    block: Activation

    def __call__(self, x: jax.Array) -> jax.Array:
        rates = 100.0 ** (-np.arange(x.shape[1]) / x.shape[1])
        angles = np.outer(np.arange(len(x)), rates)
        return self.block(x + jnp.asarray(np.sin(angles + np.pi / 2 * np.arange(x.shape[1]))))


def sinusoidal(session: Session) -> Findings:
    def case(width: int, each: int, laws: int) -> BlockCase:
        made = lambda key: Chain([Placed(Attention(width, each, key=key))])  # noqa: E731
        return BlockCase(f"width {width}, d₁ {each}", made, (3, width), laws, ONE_HEAD)

    cases = [case(2, 2, 6), case(3, 2, 6)]
    mixed = both(gram("query", "output"), gram("value", "output"))
    controls = [Control("QQᵀ − OᵀO", cases[0], mixed)]
    title = "Attention with sinusoidal places: the laws of attention"
    return examined(session, "sinusoidal", title, cases, controls)


def _turned(count: int, shift: int = 0) -> Law:
    own = heads("value", "output", count, by_columns=True)
    return both(planes("query", "key", shift), own)


def rope(session: Session) -> Findings:
    cases = [attention("", 2, 2, 4, _turned(1), rotary=True),
             attention("", 2, 4, 12, _turned(1), rotary=True)]  # fmt: skip
    whole = attention("as without places, ", 2, 2, 6, None, rotary=True)
    controls = [Control("QQᵀ − KKᵀ, as without places", cases[0], ONE_HEAD),
                Control("rows of two frequencies as one", cases[1], _turned(1, 1)),
                Control("the count without places", whole)]  # fmt: skip
    title = "RoPE: one law per frequency for Q and K, V and O as before"
    return examined(session, "rope", title, cases, controls)


def rope_heads(session: Session) -> Findings:
    cases = [attention("2 heads, ", 2, 2, 8, _turned(2), heads_=2, rotary=True),
             attention("3 heads, ", 2, 2, 12, _turned(3), heads_=3, rotary=True,
                       tokens=2)]  # fmt: skip
    controls = [Control("a head's planes with the next one's", cases[0], _turned(2, 2))]
    return examined(
        session, "rope-heads", "RoPE, several heads: the same per head", cases, controls
    )


def _mixture(what: str, sizes: tuple[int, int, int, int], gate: Gate, laws: int, law: Law | None,
             block: tuple[str, ...] = ("*",)) -> BlockCase:  # fmt: skip
    made = lambda key: Mixture(*sizes, key=key, gate=gate)  # noqa: E731
    named = f"{sizes[3]} experts of {sizes[1]} on {sizes[0]} inputs"
    return BlockCase(f"{what}{named}", made, sizes[:1], laws, law, block)


def experts(gate: Gate) -> Callable[[Session], Findings]:
    def own(count: int) -> Law:
        laws = (units(f"experts.{i}.up", f"experts.{i}.down") for i in range(count))
        return both(*laws)

    def test(session: Session) -> Findings:
        cases = [_mixture("", (2, 1, 2, 2), gate, 2, own(2), ("experts",)),
                 _mixture("", (2, 2, 1, 3), gate, 6, own(3), ("experts",))]  # fmt: skip
        crossed = both(units("experts.0.up", "experts.1.down"))
        controls = [Control("one expert's A against another's C", cases[0], crossed),
                    Control("A against its own B", cases[1],
                            units("experts.0.up", "experts.0.gate"))]  # fmt: skip
        title = f"A mixture with {gate} gates keeps the laws of its experts"
        return examined(session, f"{gate}-experts", title, cases[:2], controls[:1])

    return test


softmax_experts, sigmoid_experts = experts("softmax"), experts("sigmoid")
ROWS = sums("router")


def softmax_gate(session: Session) -> Findings:
    cases = [_mixture("router, ", (2, 1, 2, 2), "softmax", 2, ROWS, ("router",)),
             _mixture("router, ", (3, 1, 2, 3), "softmax", 3, ROWS, ("router",)),
             _mixture("all, ", (2, 1, 2, 2), "softmax", 4, None)]  # fmt: skip
    other = _mixture("", (2, 1, 2, 2), "sigmoid", 2, None, ("router",))
    controls = [Control("normalised sigmoid gates: the same sum", other, ROWS),
                Control("normalised sigmoid gates", other)]  # fmt: skip
    title = "Softmax gates keep the sum of the router's rows"
    return examined(session, "softmax-gate", title, cases, controls)


def sigmoid_gate(session: Session) -> Findings:
    """The printed law, whose measures break; the controls say that this is no rounding."""
    sizes: Sequence[tuple[int, int, int, int]] = ((2, 1, 2, 2), (3, 1, 2, 3))
    measures, rates = [], {}
    for size in sizes:
        case = _mixture("router, ", size, "sigmoid", size[0], ROWS, ("router",))
        session.say(case.what)
        rates[case.what] = case.rates(ROWS)
        measures += [
            counted(f"{case.what}: laws", case.count().independent, case.laws),
            Reading(f"{case.what}: smallest rate of the sum of rows at fresh states",
                    float(np.min(rates[case.what])), {"max": KEPT}),
        ]  # fmt: skip
    found, exact = flow_rate("sigmoid"), rational_rate()
    measures += [
        Reading("outputs 0 and 1, logits 0 and ln 3: |d/dt (W₁₁ + W₂₁)|", abs(found),
                {"max": KEPT}),
        Reading(f"the same in rational arithmetic, {exact}, over 9/250", float(exact / EXACT),
                {"near": 1.0, "within": 0.0}, True),
        Reading("the two apart", abs(found - float(exact)), {"max": 1e-15}, True),
        Reading("softmax gates there: |d/dt (W₁₁ + W₂₁)|", abs(flow_rate("softmax")),
                {"max": 1e-15}, True),
        Reading("softmax gates, in rational arithmetic", abs(float(softmax_rate())),
                {"max": 0.0}, True),
    ]  # fmt: skip
    soft = _mixture("softmax gates: router, ", sizes[0], "softmax", 2, ROWS, ("router",))
    printed = {f"sigmoid gates: {what}": values for what, values in rates.items()}
    panes = [fresh_pane({soft.what: soft.rates(ROWS)}, printed)]
    title = "Normalised sigmoid gates do not keep the sum of the router's rows"
    return Findings(measures, session.draw("sigmoid-gate", title, panes))
