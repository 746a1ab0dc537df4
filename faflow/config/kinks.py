"""[flow] kinks: how a network whose activation has a kink is integrated, and what can serve it.

Defaults of the plain solver, from the weights' relative error against the exact integrator and the
field evaluations spent on it (FA on 10-16-12-1, 40 samples, t = 5 / 10-32-32-32-1, 64 samples,
t = 20; both with 20 saves):

    heun    rtol 1e-4   9.8e-5,  5,964 / 1.6e-4,  2,536
    bosh3   rtol 1e-5   8.0e-5, 17,445 / 8.0e-5,  6,621
    tsit5   rtol 1e-6   8.6e-5, 59,505 / 1.0e-4, 43,947
    heun    fixed step  1.5e-4,  1,000 / 1.3e-4,  4,000
    euler   fixed step  1.4e-4,  2,000 / 6.9e-5, 10,000
    smooth, bosh3 1e-6  7.5e-5,  3,501 / 1.2e-4,  5,631  (width 1e-4; tsit5: 3,489 / 6,951)
    exact,  tsit5 1e-9  6.6e-11, 2,664 / 4.0e-11, 12,580

So Heun, at a tolerance that is also about its error in the weights; with bosh3 and tsit5 that is 8
and 100 times the tolerance.
"""

from dataclasses import dataclass
from typing import Any, Literal

from .errors import ConfigError, shown
from .kinds.kinds import PhiTraits, RuleTraits
from .schema import Config, ExactSection, FlowSection, SmoothSection

Method = Literal["none", "plain", "smooth", "exact"]

ABOUT = {
    "auto": "the default: plain, and a hint where exact is affordable",
    "plain": "the solver steps over kinks; the error this makes in the weights is estimated by a "
    "coarser companion flow, since no law sees it",
    "smooth": "relu as a = s h forward and s backward, s = 1 / (1 + exp(-h / width)): keeps "
    "Theorem 1's law; a slightly different model, its error estimated by a gate twice as wide",
    "exact": "Filippov's solution from event to event, to any tolerance: layerwise rules, relu and "
    "leaky-relu; forward only",
}


@dataclass(frozen=True)
class Defaults:
    """Solver and relative tolerance where a config gives none."""

    solver: str
    rtol: float


DEFAULTS: dict[Method, Defaults] = {
    "none": Defaults("auto", 1e-9),
    "plain": Defaults("heun", 1e-4),
    "smooth": Defaults("bosh3", 1e-6),
    "exact": Defaults("tsit5", 1e-9),
}


def method_of(config: Config, phi: PhiTraits, rule: RuleTraits) -> Method:
    """How the flow is integrated; "none": it meets no kinks. ConfigError if it can't be."""
    kinks, network = config.flow.kinks, config.network
    kinked = phi.kinked and len(network.widths) > 2 and network.kind != "gated"
    kinked = kinked and not rule.population  # smooth in expectation
    _check_tables(config.flow)
    if kinks in ("auto", "plain"):
        return "plain" if kinked else "none"
    if not kinked:
        needs = "an activation with a kink, in a hidden layer without frozen gates"
        _refuse(kinks, f"needs {needs}, but there is none; set it to 'auto'")
    if kinks == "smooth":
        if not phi.relu:
            named = shown(config.network.activation)
            _refuse(kinks, f"needs network.activation = 'relu', but that is {named}; use 'plain'")
        return "smooth"
    if not rule.layerwise:
        named = f"{config.rule.kind} with modifiers" if config.rule.modifiers else config.rule.kind
        _refuse(kinks, f"serves layerwise rules, and {named} is none; use 'plain'")
    if config.flow.step is not None:
        what = f"is {config.flow.step}, but flow.kinks = 'exact' chooses its steps; remove it"
        raise ConfigError("flow.step", what)
    return "exact"


def tables_of(flow: FlowSection, method: Method) -> dict[str, Any]:
    """[flow.exact] and [flow.smooth] with every default, None where they say nothing."""
    exact, smooth = flow.exact or ExactSection(), flow.smooth or SmoothSection()
    return {
        "exact": exact if method == "exact" else None,
        "smooth": smooth if method == "smooth" else None,
    }


def estimates_error(method: Method) -> bool:
    """Whether a companion flow tells how wrong kinks make the weights."""
    return method in ("plain", "smooth")


def _check_tables(flow: FlowSection) -> None:
    for name in ("exact", "smooth"):
        table = getattr(flow, name)
        if table is not None and table.model_fields_set and flow.kinks != name:
            what = f"needs flow.kinks = '{name}'; remove it (flow.{name}={{}}) or change that"
            raise ConfigError(f"flow.{name}", what)


def _refuse(kinks: str, why: str) -> None:
    raise ConfigError("flow.kinks", f"is '{kinks}', which {why}")
