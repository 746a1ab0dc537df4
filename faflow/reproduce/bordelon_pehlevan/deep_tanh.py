"""Three hidden tanh layers, by sampled dynamical mean field theory: Fig. 3 of the rules paper
(direct feedback) and the other part of the gradient paper's Fig. 2."""

from functools import cache
from typing import Any

import numpy as np

from ...plots.frame import Frame
from ...plots.panel import Panel, brief
from ...tasks import make_data
from ...wide import DmftLimit, dmft
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .compared import fall_readings, far, near, relative, with_targets
from .nets import Dynamics, flows_of, networks

HIDDEN, SAMPLES, FEATURES = 3, 3, 10
TIMES = np.linspace(0.0, 2.0, 21)
RICHNESSES, RICH = (0.5, 1.0, 2.0), 2.0
PARTICLES, BATCHES = 1024, 4
WIDTHS, SEEDS = (32, 256), 10
DIRECT = "direct-feedback-alignment"


def tanh_task() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.standard_normal((SAMPLES, FEATURES)), np.array([1.0, -1.0, 1.0])


@cache
def tanh_limit(rule: str, richness: float) -> Any:
    inputs, targets = tanh_task()
    found = dmft(inputs, targets, TIMES, HIDDEN, "tanh", rule, richness=richness,
                 particles=PARTICLES, batches=BATCHES)  # fmt: skip
    return DmftLimit(found.ts, _numbers(found.mean), _numbers(found.error), None)


@cache
def tanh_networks(rule: str, width: int, richness: float) -> Dynamics:
    data = make_data(*tanh_task())
    starts = networks(rule, "tanh", data, (HIDDEN, width), range(SEEDS), richness=richness)
    return flows_of(starts, data, TIMES, rtol=1e-5, atol=1e-7)


def tanh_beside(rule: str, richness: float) -> list[Reading]:
    """f, K and the backward signals of networks, in standard errors of both."""
    told, nets = tanh_limit(rule, richness), tanh_networks(rule, WIDTHS[-1], richness)
    size = float(np.linalg.norm(told.error.outputs) / np.linalg.norm(told.mean.outputs))
    signals = np.moveaxis(told.mean.alignments, 0, 1)[:, :-1]
    noise = np.moveaxis(told.error.alignments, 0, 1)[:, :-1]
    return [
        near(f"mean f of networks, N = {WIDTHS[-1]}, to the limit",
             nets.outputs, told.mean.outputs, told.error.outputs, BATCHES),
        near("the same of K", nets.tangent, told.mean.tangent, told.error.tangent, BATCHES),
        near("the same of G̃^1, …, G̃^3", nets.signals[:, :, :-1], signals, noise, BATCHES),
        Reading("the limit's own standard error of f, relative", size, {"max": 0.03}),
    ]  # fmt: skip


def tanh_direct(session: Session) -> Findings:
    measures, targets = tanh_beside(DIRECT, RICH), tanh_task()[1]
    told = tanh_limit(DIRECT, RICH)
    kernels = {n: tanh_networks(DIRECT, n, RICH).tangent for n in WIDTHS}
    measures += fall_readings("|K_N − K|² / |K|²", kernels, told.mean.tangent)
    ends = np.array([tanh_limit(DIRECT, g).mean.correlation[:, -1] for g in RICHNESSES])
    noise = np.array([tanh_limit(DIRECT, g).error.correlation[-1, -1] for g in RICHNESSES])
    steps = np.diff(ends[:, -1]) / np.hypot(noise[1:], noise[:-1])
    nets = tanh_networks(DIRECT, WIDTHS[-1], RICH)
    lazy = tanh_limit(DIRECT, RICHNESSES[0]).mean
    measures += [
        Reading("corr(g, g̃) of layer 3 at the end: least rise from one γ₀ to the next, s. e.",
                float(np.min(steps)), {"min": 2.0}),
        near("corr(g, g̃) of networks to the limit",
             nets.correlation, told.mean.correlation.T, told.error.correlation.T, BATCHES),
        far("networks at γ₀ = 2 to the limit at γ₀ = 0.5: K", nets.tangent, lazy.tangent),
    ]  # fmt: skip
    panes = [_loss_pane(DIRECT, RICH), (_aligned(DIRECT, targets), _frame())]
    lines = {f"layer {l + 1}": told.mean.correlation[l] for l in range(HIDDEN)}
    dots = {f"layer {l + 1}, networks": nets.correlation.mean(axis=0)[:, l] for l in range(HIDDEN)}
    panes.append((Panel([f"γ₀ = {RICH:g}: limit and networks"], "corr(g, g̃)",
                        [*curves(lines), *curves(dots, look="markers")], scale="linear"),
                  _frame()))  # fmt: skip
    by_richness = {f"layer {l + 1}": ends[:, l] for l in range(HIDDEN)}
    panes.append((Panel(["at the end: the last layer's grows with γ₀"], "corr(g, g̃)",
                        curves(by_richness), scale="linear"), over("γ₀", RICHNESSES)))  # fmt: skip
    errors = [relative(kernels[n], told.mean.tangent).mean() for n in WIDTHS]
    told_errors = " and ".join(brief(error, 2) for error in errors)
    title = f"Fig. 3: three tanh layers, direct feedback; |K_N − K|²/|K|² = {told_errors}"
    return Findings(measures, session.draw("fig3", title, panes))


def tanh_gradient(session: Session) -> Findings:
    told, nets = tanh_limit("gradient", 1.0), tanh_networks("gradient", WIDTHS[-1], 1.0)
    outputs = {n: tanh_networks("gradient", n, 1.0).outputs for n in WIDTHS}
    measures = tanh_beside("gradient", 1.0)
    measures += [
        *fall_readings("f", outputs, told.mean.outputs),
        far("networks to the limit of direct feedback: f",
            nets.outputs, tanh_limit(DIRECT, 1.0).mean.outputs),
    ]  # fmt: skip
    panes = [_loss_pane("gradient", 1.0), (_aligned("gradient", tanh_task()[1], 1.0), _frame())]
    title = f"Gradient paper, Fig. 2: three tanh layers, P = {SAMPLES}, γ₀ = 1, under the gradient"
    return Findings(measures, session.draw("gradient-tanh", title, panes))


def _numbers(fields):
    return type(fields)(*(np.asarray(each) for each in fields))


def _loss_pane(rule: str, richness: float) -> tuple[Panel, Frame]:
    told = tanh_limit(rule, richness).mean.outputs
    nets = tanh_networks(rule, WIDTHS[-1], richness).outputs.mean(axis=0)
    lines = {f"sample {n + 1}": told[:, n] for n in range(SAMPLES)}
    dots = {f"sample {n + 1}, networks": nets[:, n] for n in range(SAMPLES)}
    title = f"outputs, γ₀ = {richness:g}: limit and networks of {WIDTHS[-1]}"
    panel = Panel([title], "f", [*curves(lines), *curves(dots, look="markers")], scale="linear")
    return panel, _frame()


def _aligned(rule: str, targets: np.ndarray, richness: float = RICH) -> Panel:
    lines = {"limit": with_targets(tanh_limit(rule, richness).mean.tangent, targets)}
    mean = tanh_networks(rule, WIDTHS[-1], richness).tangent.mean(axis=0)
    dots = {"networks": with_targets(mean, targets)}
    return Panel(["alignment of K with the targets"], "A(K, yy')",
                 [*curves(lines), *curves(dots, look="markers")], scale="linear")  # fmt: skip


def _frame() -> Frame:
    return Frame("flows", TIMES)
