"""docs/predictions.md: what the tests measured of each prediction, written by the tests.

`make predictions` runs them and writes the table; a test checks that none is missing.
"""

from collections.abc import Iterable
from pathlib import Path

# What is claimed, in a line; the numbers are those of the project's list of predictions, whose
# gaps are deliberate. Sources and derivations: docs/laws.md and the docstrings.
CLAIMS = {
    1: "Feedback alignment keeps 1/2 \\|W_l[j]\\|² − k ⟨W_{l+1}[:,j], F_{l+1}[:,j]⟩ of every "
    "hidden neuron: any depth, several outputs, linear, ReLU, leaky ReLU",
    2: "So it does for softmax cross-entropy and log cosh; tanh keeps no balance",
    3: "Squared ReLU and h² have degree k = 2",
    4: "Hidden biases enter as 1/2 β_l²",
    5: "Linear nets keep the matrix W_l W_lᵀ − FᵀW − WᵀF; ReLU its diagonal",
    6: "Direct feedback keeps the last hidden layer's law; in linear nets every layer's, through "
    "F_{l+1} = D_{l+1}⁺ D_l",
    7: "The gradient, sign-symmetric feedback and Kolen–Pollack keep theirs, each with its ψ",
    8: "A finite step changes a law by its second-order term, exactly",
    9: "Smooth nets: drift of order 3 for Heun, 4 for Runge–Kutta 4, none for Gauss; ReLU: order 1",
    10: "Weight decay: Q decays as e^{−2λ_l t} where p λ_{l+1} = 2 λ_l, else by an integral",
    11: "Kolen–Pollack with decay λ: Q decays as e^{−2λt}, W − F as e^{−λt}",
    12: "A common learning rate keeps Q, constant ratios a weighted Q; changing ratios break it",
    13: "Heavy-ball momentum raises every balance of feedback alignment, by an integral",
    14: "⟨W_{l+1}, F⟩(t) never falls below ⟨W_{l+1}, F⟩(0) − 1/2 \\|W_l(0)\\|²",
    15: "Independent laws over all data and losses: linear 3-4-1 13 (gradient 10), 3-4-2 13 (10), "
    "2-5-3 16 (15), 2-3-3-1 16 (12); ReLU one per hidden neuron",
    19: "Theorem 2: the residual decays at λ_min((b·w_2) X Xᵀ + X W_1 W_1ᵀ Xᵀ)",
    20: "Theorem 2: a-priori envelope, and the minimum-norm limit",
    21: "Theorem 2's condition as printed is not enough: outside the data span another limit",
    22: "Whitened rows from zero: rate (3/2) 2^{2/3} (\\|b\\| u)^{2/3}",
    24: "From zero weights the back-projected error \\|B E\\| never grows",
    25: "Garg & Vempala: wide enough, the error vanishes at the predicted rate",
    26: "Garg & Vempala: too narrow, Z W → Y P_{BY}, whatever W(0)",
    27: "Garg & Vempala: err²/opt² = 1 + Σ 1/(K + s_i(B_1)²) on the separating spectrum",
    28: "Garg & Vempala: near-orthogonal representations at equal error, overlap r/n",
    29: "FA*: W Wᵀ is kept, tr(B Z W Wᵀ) grows, rate min Re eig(B Z)",
    30: "Gradient flow of a λ-balanced two-layer linear net in closed form",
    31: "Decoupled modes: a(t) = s e^{2st} / (e^{2st} − 1 + s/a_0)",
    32: "Bordelon & Pehlevan: ρ-aligned feedback and the gradient (factor 2) on whitened data",
    33: "Bordelon & Pehlevan: lazy kernel Σ ρ^{L−l} G^{l+1} Φ^l, square error ∼ 1/N",
    34: "Order parameters of two-layer students against simulations and quadrature",
    35: "ReLU students with random feedback signs: P(success) = 2^{−K} Σ_{k≥M} C(K, k)",
    36: "Song, Xu & Lafferty: the read-out aligns with the feedback only under decay",
    37: "Monotone direct feedback has the signs of backprop's deltas",
    38: "Fixed-weight difference target propagation is direct feedback as the step vanishes",
}
REQUIRED = (*range(1, 16), 27, 28, *range(30, 35), 36, 37, 38)

Entry = tuple[int, str, float, str, str]


def collected(stats: dict) -> list[Entry]:
    """What the fixture `measured` noted in the tests of a run."""
    reports = [report for group in stats.values() for report in group if hasattr(report, "when")]
    found = [
        tuple(value)
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == "prediction"
    ]
    return sorted(found)


def worst(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per thing measured: of several cases the one nearest to its bound."""
    found: dict[tuple[int, str, str, str], Entry] = {}
    for entry in entries:
        number, what, value, bound, test = entry
        key = (number, what, bound, test)
        old = found.get(key)
        wider = old is None or (value > old[2] if bound.startswith("<") else value < old[2])
        if wider:
            found[key] = entry
    return list(found.values())


def render(entries: Iterable[Entry]) -> str:
    """The page."""
    lines = [
        "# Predictions and what was measured",
        "",
        "Written by the tests (`make predictions`): every row is an assertion that they make. "
        "Controls must fail the claim, and their bound is a lower one. Of several cases of a row "
        "the one nearest to its bound is shown.",
        "",
    ]
    by_number: dict[int, list[Entry]] = {}
    for entry in worst(entries):
        by_number.setdefault(entry[0], []).append(entry)
    for number in sorted(by_number):
        lines += [f"## {number}. {CLAIMS[number]}", ""]
        lines += ["| measured | figure | bound | test |", "|---|---|---|---|"]
        for _, what, value, bound, test in sorted(by_number[number], key=lambda e: (e[4], e[1])):
            text = f"{value:.3g}"
            lines.append(f"| {what.replace('|', chr(92) + '|')} | {text} | {bound} | `{test}` |")
        lines.append("")
    return "\n".join(lines)


def write(path: Path, stats: dict) -> None:
    path.write_text(render(collected(stats)), "utf-8")
