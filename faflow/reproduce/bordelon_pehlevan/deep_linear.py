"""Fig. 4 of the rules paper: three hidden linear layers under rho-aligned feedback, in formulas."""

from functools import cache
from typing import Any

import numpy as np

from ...plots.frame import Frame
from ...plots.panel import Panel
from ...tasks import make_data
from ...wide import deep_linear
from ..check import Reading
from ..claim import Findings
from ..picture import curves
from ..session import Session
from .compared import along_targets, fall_readings, far, near, with_targets
from .nets import Dynamics, flows_of, networks, of_linear

HIDDEN, SAMPLES, FEATURES, RICHNESS = 3, 10, 50, 2.0
RHOS = (0.0, 0.5, 1.0)
TIMES = np.linspace(0.0, 4.0, 17)
WIDTHS, SEEDS = (64, 400), 12
STORED, SAVES = 128, 161


def linear_task() -> tuple[np.ndarray, np.ndarray]:
    """Random vectors, targets of norm 1."""
    rng = np.random.default_rng(4)
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    targets = rng.choice([-1.0, 1.0], SAMPLES)
    return inputs, targets / np.linalg.norm(targets)


@cache
def linear_limit(rho: float, richness: float = RICHNESS) -> Dynamics:
    return of_linear(deep_linear(HIDDEN, rho, richness), make_data(*linear_task()), TIMES)


@cache
def linear_networks(rho: float, width: int) -> Dynamics:
    data = make_data(*linear_task())
    starts = networks("feedback-alignment", "linear", data, (HIDDEN, width), range(SEEDS), rho=rho,
                      richness=RICHNESS)  # fmt: skip
    return flows_of(starts, data, TIMES, rtol=1e-5, atol=1e-7)


def linear_outputs(session: Session) -> Findings:
    measures, lines, dots, targets = [], {}, {}, linear_task()[1]
    for rho in RHOS:
        told, nets = linear_limit(rho).outputs, {n: linear_networks(rho, n).outputs for n in WIDTHS}
        measures += [
            near(f"ρ = {rho:g}: mean f of networks to the limit", nets[WIDTHS[-1]], told),
            *fall_readings(f"ρ = {rho:g}", nets, told),
        ]  # fmt: skip
        lines[f"ρ = {rho:g}, limit"] = _loss(told, targets)
        dots[f"ρ = {rho:g}, networks"] = _loss(nets[WIDTHS[-1]].mean(axis=0), targets)
    # All else is noise: what the limit is wrong about lies along the targets.
    measures.append(far("networks at ρ = 0.5 to the limit without ρ's powers: y'f",
                        linear_networks(0.5, WIDTHS[-1]).outputs @ targets,
                        linear_limit(1.0).outputs @ targets))  # fmt: skip
    panel = Panel(["a better start learns faster"], "½|f − y|²",
                  [*curves(lines), *curves(dots, look="markers")], scale="log")  # fmt: skip
    title = (
        f"Fig. 4: {HIDDEN} hidden linear layers, γ₀ = {RICHNESS:g}: loss, networks of {WIDTHS[-1]}"
    )
    return Findings(measures, session.draw("fig4-outputs", title, [(panel, _frame())]))


def linear_kernels(session: Session) -> Findings:
    measures, targets = [], linear_task()[1]
    panels: dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    final = []
    for rho in RHOS:
        told, nets = linear_limit(rho), linear_networks(rho, WIDTHS[-1])
        for what, mine, theirs in (
            ("K", told.tangent, nets.tangent),
            ("H^1, …, H^3", told.features[:, 1:], nets.features[:, :, 1:]),
            ("G̃^1, G̃^2, G̃^3", told.signals[:, :-1], nets.signals[:, :, :-1]),
        ):
            measures.append(near(f"ρ = {rho:g}: mean {what} to the limit",
                                 theirs, mine))  # fmt: skip
        final.append(along_targets(told.features[-1, -1], targets))
        mean = theirs_mean(nets)
        for what, each in (
            ("A(K, yy')", lambda d: with_targets(d.tangent, targets)),
            ("y'H³y / |y|²", lambda d: along_targets(d.features[:, -1], targets)),
            ("G̃¹", lambda d: d.signals[:, 0, 0, 0]),
            ("G̃³", lambda d: d.signals[:, 2, 0, 0]),
        ):
            lines, dots = panels.setdefault(what, ({}, {}))
            lines[f"ρ = {rho:g}, limit"], dots[f"ρ = {rho:g}, networks"] = each(told), each(mean)
    nets = linear_networks(0.5, WIDTHS[-1])
    measures += [
        Reading("y'H³y at the end: least fall from one ρ to the next, relative",
                float(np.min(-np.diff(final) / final[:-1])), {"min": 0.02}),
        far("networks at ρ = 0.5 to the limit without ρ's powers: G̃",
            nets.signals[:, :, :-1], linear_limit(1.0).signals[:, :-1]),
        far("networks at γ₀ = 2 to the limit at γ₀ = 1: y'Hy",
            along_targets(nets.features, targets)[:, :, 1:],
            along_targets(linear_limit(0.5, 1.0).features, targets)[:, 1:]),
    ]  # fmt: skip
    panes = [
        (Panel([what], what, [*curves(lines), *curves(dots, look="markers")], scale="linear"),
         _frame())
        for what, (lines, dots) in panels.items()
    ]  # fmt: skip
    title = "Fig. 4: kernels over time; the less feedback is aligned, the more features move"
    return Findings(measures, session.draw("fig4-kernels", title, panes))


def theirs_mean(nets: Dynamics) -> Dynamics:
    """The mean over seeds."""
    return Dynamics(*(each.mean(axis=0) for each in nets))


def by_weights(session: Session) -> Findings:
    """f' = K Delta with K = sum_l Gt^{l+1} H^l of stored weights, in numpy."""
    inputs, targets = linear_task()
    file = session.arrays("fig4", X=inputs, y=targets[:, None])
    run_ = session.run("fig4-network", _table(file))
    weights, back = run_.over_time("W"), run_.feedback()
    count = len(run_.times)
    features, hidden = [np.tile(inputs @ inputs.T / FEATURES, (count, 1, 1))], inputs.T
    for matrix in weights[:-1]:
        hidden = matrix @ hidden
        features.append(np.einsum("tnm,tnk->tmk", hidden, hidden) / STORED)
    outputs_ = (weights[-1] @ hidden)[:, 0]
    scale = RICHNESS * STORED
    g, gt = scale * weights[-1][:, 0], np.tile(scale * back[-1], (count, 1))
    signals = [np.ones(count), np.einsum("tn,tn->t", g, gt) / STORED]
    for matrix, fixed in zip(weights[-2:0:-1], back[-2::-1], strict=True):
        g, gt = np.einsum("tn,tnm->tm", g, matrix), gt @ fixed
        signals.append(np.einsum("tn,tn->t", g, gt) / STORED)
    pairs = list(zip(signals[::-1], features, strict=True))
    error = targets - outputs_
    parts = [np.einsum("t,tmn,tn->tm", signal, h, error) for signal, h in pairs]
    step = np.diff(run_.times)[:, None]

    def grown(rate: np.ndarray) -> np.ndarray:
        return outputs_[0] + np.cumsum(0.5 * step * (rate[1:] + rate[:-1]), axis=0)

    size = np.linalg.norm(outputs_)
    gap = float(np.linalg.norm(outputs_[1:] - grown(np.sum(parts, axis=0))) / size)
    alone = float(np.linalg.norm(outputs_[1:] - grown(parts[-1])) / size)
    measures = [
        Reading("f to f(0) + ∫ K(y − f), trapezium rule, relative", gap, {"max": 1e-3}),
        Reading("the same with the read-out's kernel alone", alone, {"min": 0.05}, True),
    ]
    sums = {f"sample {n + 1}": outputs_[:, n] for n in range(3)}
    again = np.concatenate([outputs_[:1], grown(np.sum(parts, axis=0))])
    dots = {f"∫ K(y − f), sample {n + 1}": again[:, n] for n in range(3)}
    panel = Panel(["outputs, and what K of the stored weights says of them"], "f",
                  [*curves(sums), *curves(dots, look="markers")], scale="linear")  # fmt: skip
    title = f"The effective kernel moves f: one network, N = {STORED}, ρ = 0.5"
    return Findings(measures, session.draw("fig4-by-weights", title, [(panel, run_.frame)]))


def _table(file: str) -> dict[str, Any]:
    scaling = {"kind": "mean-field", "richness": RICHNESS}
    return {
        "network": {"widths": [FEATURES, *(STORED,) * HIDDEN, 1], "activation": "linear"},
        "init": scaling,
        "feedback": {**scaling, "rho": 0.5},
        "rule": {"kind": "feedback-alignment", "modifiers": [scaling]},
        "task": {"kind": "arrays", "file": file},
        "flow": {"t1": 4.0, "saves": SAVES, "solver": "tsit5", "rtol": 1e-7, "atol": 1e-9},
        "observe": {"names": ["loss"], "save_weights": True},
    }


def _loss(outputs_: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return 0.5 * np.sum((outputs_ - targets) ** 2, axis=-1)


def _frame() -> Frame:
    return Frame("flows", TIMES)
