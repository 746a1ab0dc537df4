"""Bordelon & Pehlevan 2022, "The influence of learning rule on representation dynamics in wide
neural networks" (the rules paper) and "Self-consistent dynamical field theory of kernel evolution
in wide neural networks" (the gradient paper).

No plotted values are printed: data, sizes and tolerances are our own.
"""

from collections.abc import Callable

from ..claim import Claim, Findings, Paper
from ..deferred import later
from ..session import Session

SIZES = "No values are printed: what is checked is the limit against networks, "


def _at(place: str) -> Callable[[Session], Findings]:
    return later(__name__.rpartition(".")[0], place)


PAPER = Paper("Bordelon & Pehlevan 2022", (
    Claim("fig1-outputs", "f of wide one-layer ReLU networks under four rules follows the limit",
          "rules paper, Fig. 1", "as stated", f"{SIZES}N = 128 and 1024; gated at 512 alone.",
          _at("one_hidden.relu_outputs")),
    Claim("fig1-kernels", "K aligns with the targets under the gradient, FA and gates, and not "
          "under Hebb; K and G̃ follow the limit", "rules paper, Fig. 1", "as stated", "",
          _at("one_hidden.relu_kernels")),
    Claim("fig1-density", "the density of h over neurons follows the limit and leaves the gaussian",
          "rules paper, Fig. 1", "as stated", "", _at("one_hidden.relu_density")),
    Claim("fig3", "three tanh layers, direct feedback: networks follow the limit, |K_N − K|² falls "
          "as 1/N, corr(g, g̃) grows with γ₀", "rules paper, Fig. 3", "narrower",
          "N up to 256 and three samples; the paper has N = 4000. The limit is sampled. corr grows "
          "in the last hidden layer; in those below it is small, and not seen to.",
          _at("deep_tanh.tanh_direct")),
    Claim("fig4-outputs", "three linear layers, ρ-aligned feedback: the loss follows the limit",
          "rules paper, Fig. 4", "wider", "The limit is a closed flow, at any depth.",
          _at("deep_linear.linear_outputs")),
    Claim("fig4-kernels", "H, G̃ and K follow the limit; less aligned feedback moves features more",
          "rules paper, Fig. 4", "wider", "All curves are formulas.",
          _at("deep_linear.linear_kernels")),
    Claim("fig4-by-weights", "f' = K(y − f) with K = Σ G̃^(l+1) H^l", "rules paper, eq. of the eNTK",
          "as stated", "From the stored weights of one network, in numpy.",
          _at("deep_linear.by_weights")),
    Claim("fig5-lazy", "in the lazy limit K is frozen; FA has ρ's powers, Hebb the read-out alone",
          "rules paper, Fig. 5", "as stated", "", _at("richness.lazy")),
    Claim("fig5-exponents", "features change as γ₀² when lazy; when rich as γ₀ under the gradient, "
          "as γ₀ to the 2/3 under FA", "rules paper, Fig. 5", "wider",
          "At depth L the power under FA is 1 − 1/(2^(L+1) − 1): 2/3, 6/7, 14/15.",
          _at("richness.exponents")),
    Claim("gradient-linear", "five linear layers, P = 20: networks follow the limit",
          "gradient paper, Fig. 2", "narrower", "N up to 320; the paper has N = 1000.",
          _at("gradient_flow.deep_outputs")),
    Claim("gradient-tanh", "three tanh layers: networks follow the limit", "gradient paper, Fig. 2",
          "narrower", "N up to 256 and three samples; the paper has N = 2500 and ten.",
          _at("deep_tanh.tanh_gradient")),
    Claim("factor-2", "one linear layer, whitened data: Δ' = −2√(1 + γ₀²(y − Δ)²) Δ",
          "both papers, two-layer linear networks", "narrower",
          "Printed without the factor 2, which K = G + H, two equal terms, has.",
          _at("gradient_flow.factor_two")),
))  # fmt: skip
