"""Tran et al. 2026, "Conservation Laws for Modern Neural Architectures".

The statements are taken in our words and by what they are about, not by their numbers. One of
them, on normalised sigmoid gates, is false.
"""

from ..claim import Claim, Paper
from ..deferred import later

ROOM = __name__.rpartition(".")[0]
COUNTED = "proved for all sizes; counted at those shown, of up to 48 weights, in float64"


def _claim(
    name: str, place: str, claim: str, source: str, remark: str = "", *, boundary: str = COUNTED,
    refuted: bool = False,
) -> Claim:  # fmt: skip
    scope = "narrower" if refuted else "wider" if remark else "as stated"
    return Claim(name, claim, source, scope, remark, later(ROOM, place), boundary, refuted)


PAPER = Paper("Tran et al. 2026", (
    _claim("gelu", "modern.gelu", "one hidden GELU layer keeps constants only", "feedforward nets"),
    _claim("silu", "modern.silu", "one hidden SiLU layer keeps constants only", "feedforward nets"),
    _claim("swiglu", "modern.swiglu", "C (silu(Bx) · Ax) keeps |A_i|² − |C_i|² per hidden unit, "
           "nothing of B, and no more", "feedforward nets"),
    _claim("sinusoidal", "modern.sinusoidal", "attention after sinusoidal places keeps what it "
           "keeps without", "multi-head attention"),
    _claim("rope", "modern.rope", "with rotary places a head keeps |Q^(j)|² − |K^(j)|² per "
           "frequency, and VVᵀ − OᵀO", "rotary attention", "No more were found."),
    _claim("rope-heads", "modern.rope_heads", "several heads keep the same per head",
           "rotary attention", "No more were found, for 2 and 3 heads: evidence, and no proof."),
    _claim("softmax-experts", "modern.softmax_experts", "a mixture with softmax gates keeps its "
           "experts' own laws", "mixtures of experts"),
    _claim("softmax-gate", "modern.softmax_gate", "softmax gates keep the sum over experts of the "
           "router's rows", "mixtures of experts", "No more were found."),
    _claim("sigmoid-experts", "modern.sigmoid_experts", "a mixture with normalised sigmoid gates "
           "keeps its experts' own laws", "mixtures of experts"),
    _claim("sigmoid-gate", "modern.sigmoid_gate", "normalised sigmoid gates keep the sum over "
           "experts of the router's rows too", "mixtures of experts",
           "False as printed: with outputs 0 and 1, logits 0 and ln 3, input e₁, target 0 and the "
           "loss ½f² the sum moves at 9/250. The router keeps nothing: Σ_i W_i'/(1 − s(z_i)) = 0 "
           "holds at one input, and is no law.",
           boundary="two and three experts; the counterexample is exact", refuted=True),
))  # fmt: skip
