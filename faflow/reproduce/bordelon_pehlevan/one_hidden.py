"""Fig. 1 of the rules paper: one hidden ReLU layer, four rules; the limit by drawn neurons."""

from functools import cache
from typing import NamedTuple

import numpy as np

from ...plots.frame import Frame
from ...plots.panel import Cells, Level, Panel, brief
from ...plots.style import DASHED, GREY
from ...tasks import make_data
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .compared import (
    along_targets,
    away,
    below,
    error_of_mean,
    fall_readings,
    far,
    near,
    with_targets,
)
from .nets import Dynamics, batches, flows_of, networks

SAMPLES, FEATURES, RICHNESS = 10, 50, 2.0
TIMES = np.linspace(0.0, 4.0, 17)
FEW, MANY, SEEDS = 128, 1024, 16
GATED, GATED_SEEDS = 512, 6  # every gated network is compiled by itself
NEURONS, BATCHES = 4096, 8
RULES = {
    "gradient": ("gradient", False),
    "FA, ρ = 0": ("feedback-alignment", False),
    "gated": ("gradient", True),
    "Hebb": ("hebbian", False),
}


class Compared(NamedTuple):
    """`limit`: batches; `nets` by width."""

    limit: Dynamics
    nets: dict[int, Dynamics]

    @property
    def widest(self) -> Dynamics:
        return self.nets[max(self.nets)]


def relu_task() -> tuple[np.ndarray, np.ndarray]:
    """Random vectors with random signs, those of one sign first."""
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    return inputs, np.sort(rng.choice([-1.0, 1.0], SAMPLES))[::-1].copy()


@cache
def rule_at_both(name: str) -> Compared:
    """Fixed steps: ReLU's kinks make adaptive ones small; Hebb's kernel grows to 95."""
    rule, gated = RULES[name]
    data = make_data(*relu_task())
    more = {"richness": RICHNESS, "gated": gated}
    how = {"step": 0.02 if rule == "hebbian" else 0.1}
    limit = flows_of(batches(rule, "relu", data, NEURONS, range(BATCHES), **more), data, TIMES,
                     **how)  # fmt: skip
    nets = {}
    for width in (GATED,) if gated else (FEW, MANY):
        seeds = range(GATED_SEEDS if gated else SEEDS)
        starts = networks(rule, "relu", data, (1, width), seeds, **more)
        nets[width] = flows_of(starts, data, TIMES, **how)
    return Compared(limit, nets)


def relu_outputs(session: Session) -> Findings:
    measures, losses, dots = [], {}, {}
    targets = relu_task()[1]
    limits = {name: rule_at_both(name).limit.outputs for name in RULES}
    for name in RULES:
        both = rule_at_both(name)
        mean, error = limits[name].mean(axis=0), error_of_mean(limits[name])
        size = float(np.linalg.norm(error) / np.linalg.norm(mean))
        measures += [
            near(f"{name}: mean f of networks to the limit",
                 both.widest.outputs, mean, error, BATCHES),
            Reading(f"{name}: the limit's own standard error, relative", size, {"max": 0.01}),
        ]  # fmt: skip
        if len(both.nets) > 1:
            by_width = {width: nets.outputs for width, nets in both.nets.items()}
            measures += fall_readings(name, by_width, mean)
        losses[f"{name}, limit"] = _loss(mean, targets)
        dots[f"{name}, networks"] = _loss(both.widest.outputs, targets).mean(axis=0)
    fa = rule_at_both("FA, ρ = 0").widest.outputs
    wrong = limits["gradient"].mean(axis=0)
    measures.append(far("networks under FA to the gradient's limit", fa, wrong))
    panel = Panel(
        ["½|f − y|²: limit (lines), networks (markers)"], "loss",
        [*curves(losses, floor=1e-8), *curves(dots, look="markers", floor=1e-8)], scale="log",
    )  # fmt: skip
    title = f"Fig. 1: one hidden ReLU layer, P = {SAMPLES}, D = {FEATURES}, γ₀ = {RICHNESS:g}: loss"
    return Findings(measures, session.draw("fig1-outputs", title, [(panel, _frame())]))


def relu_kernels(session: Session) -> Findings:
    targets, measures, ends = relu_task()[1], [], {}
    aligned, dots, heard, heard_dots = {}, {}, {}, {}
    maps = []
    for name in RULES:
        both = rule_at_both(name)
        mean, error = both.limit.tangent.mean(axis=0), error_of_mean(both.limit.tangent)
        signal = both.limit.signals[:, :, 0]
        measures += [
            near(f"{name}: mean K of networks to the limit",
                 both.widest.tangent, mean, error, BATCHES),
            near(f"{name}: the same of G̃",
                 both.widest.signals[:, :, 0], signal.mean(axis=0), error_of_mean(signal), BATCHES),
        ]  # fmt: skip
        aligned[f"{name}, limit"] = with_targets(mean, targets)
        dots[f"{name}, networks"] = with_targets(both.widest.tangent.mean(axis=0), targets)
        ends[name] = aligned[f"{name}, limit"]
        heard[f"{name}, limit"] = along_targets(signal.mean(axis=0), targets)
        heard_dots[f"{name}, networks"] = along_targets(
            both.widest.signals[:, :, 0].mean(axis=0), targets
        )
        for kernel, what in ((mean[-1], "limit"), (both.widest.tangent.mean(axis=0)[-1], "nets")):
            maps.append(_map(f"{name}: K at the end, {what}", kernel))
    first = {name: series[-1] / series[0] for name, series in ends.items()}
    measures += [
        Reading("A(K, yy') at the end over that at t = 0, least of gradient, FA, gated",
                min(value for name, value in first.items() if name != "Hebb"), {"min": 1.2}),
        Reading("the same of Hebb", first["Hebb"], {"max": 1.0}),
        far("networks under FA to K(0), frozen", rule_at_both("FA, ρ = 0").widest.tangent[:, 1:],
                     rule_at_both("FA, ρ = 0").limit.tangent.mean(axis=0)[:1]),
    ]  # fmt: skip
    panels = [
        Panel(["alignment with the targets: limit and networks"], "A(K, yy')",
              [*curves(aligned), *curves(dots, look="markers")], scale="linear"),
        Panel(["what the rule hears of the gradient's signal"], "y'G̃y / |y|²",
              [*curves(heard), *curves(heard_dots, look="markers")], scale="linear",
              levels=[Level(0.0, None, GREY, DASHED)]),
        *maps,
    ]  # fmt: skip
    title = "Fig. 1: kernels of one hidden ReLU layer under four rules"
    panes = [(panel, _frame()) for panel in panels]
    return Findings(measures, session.draw("fig1-kernels", title, panes))


def relu_density(session: Session) -> Findings:
    """Of the first sample's h over neurons, at the end."""
    measures, panes = [], []
    inputs = relu_task()[0]
    start = np.sqrt(inputs[0] @ inputs[0] / FEATURES)
    at_start = np.random.default_rng(0).standard_normal(10**6)
    for name in RULES:
        both = rule_at_both(name)
        here, there = both.limit.hidden[:, 0], both.widest.hidden[:, 0]
        points = np.quantile(here, np.linspace(0.05, 0.95, 19))
        wide, nets = below(here, points), below(there, points)
        mean, error = wide.mean(axis=0), error_of_mean(wide)
        measures += [
            near(f"{name}: distribution function of networks to the limit's",
                 nets, mean, error, BATCHES),
            far(f"{name}: of networks to that at t = 0", nets, below(start * at_start, points)),
        ]  # fmt: skip
        here, there = here.ravel(), there.ravel()
        low, high = np.quantile(here, [0.002, 0.998])
        edges = np.linspace(low, high, 41)
        middle = 0.5 * (edges[1:] + edges[:-1])
        drawn = {
            "limit": np.histogram(here, edges)[0] / len(here) / np.diff(edges),
            "t = 0": np.exp(-0.5 * (middle / start) ** 2) / start / (2 * np.pi) ** 0.5,
        }
        dots = {"networks": np.histogram(there, edges)[0] / len(there) / np.diff(edges)}
        apart = f"{brief(away(nets, mean, error), 2)} standard errors apart"
        panel = Panel([f"{name}: {apart}"], "density of h",
                      [*curves(drawn), *curves(dots, look="markers", first=3)],
                      scale="linear")  # fmt: skip
        panes.append((panel, over("h, first sample", [float(x) for x in middle])))
    title = "Fig. 1: pre-activations at the end of training are no longer gaussian"
    return Findings(measures, session.draw("fig1-density", title, panes))


def _loss(outputs_: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return 0.5 * np.sum((outputs_ - targets) ** 2, axis=-1)


def _map(title: str, kernel: np.ndarray) -> Panel:
    names = tuple(str(n) for n in range(1, len(kernel) + 1))
    return Panel([title], "sample", [], cells=Cells(kernel, names, names, "sample"), height=2.4)


def _frame() -> Frame:
    return Frame("flows", TIMES)
