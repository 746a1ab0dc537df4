"""[flow] kinks: how a network whose activation has a kink is integrated, and what can serve it."""

from typing import NoReturn

from ..errors import ConfigError, shown
from ..kinds.kinds import PhiTraits, RuleTraits
from ..network import NetworkSection, WideSection
from ..schema import Config
from .section import Method

ABOUT = {
    "auto": "the default: plain, and a hint where exact is affordable",
    "plain": "the solver steps over kinks; the error this makes in the weights is estimated by a "
    "coarser companion flow, since no law sees it",
    "smooth": "relu as a = s h forward and s backward, s = 1 / (1 + exp(-h / width)): keeps "
    "Theorem 1's law; a slightly different model, its error estimated by a gate twice as wide",
    "exact": "Filippov's solution from event to event, to any tolerance: layerwise rules, relu and "
    "leaky-relu; forward only",
}


def method_of(config: Config, phi: PhiTraits, rule: RuleTraits) -> Method:
    """How the flow is integrated; "none": it meets no kinks. ConfigError if it can't be."""
    kinks, network = config.flow.kinks, config.network
    kinked = phi.kinked and _moves_kinks(config) and not rule.population  # smooth in expectation
    if kinks in ("auto", "plain"):
        return "plain" if kinked else "none"
    if not kinked:
        needs = "an activation with a kink, in a hidden layer without frozen gates"
        _refuse(kinks, f"needs {needs}, but there is none; set it to 'auto'")
    if not isinstance(network, NetworkSection):
        which = "infinitely wide" if isinstance(network, WideSection) else "a model"
        _refuse(kinks, f"serves networks of layers, and {network.kind} is {which}; use 'plain'")
    if kinks == "smooth":
        if not phi.relu:
            given = network.activation
            named = shown({"kind": given.kind, **given.options} if given.options else given.kind)
            _refuse(kinks, f"needs network.activation = 'relu', but that is {named}; use 'plain'")
        return "smooth"
    if not rule.layerwise:
        named = f"{config.rule.kind} with modifiers" if config.rule.modifiers else config.rule.kind
        _refuse(kinks, f"serves layerwise rules, and {named} is none; use 'plain'")
    if config.flow.step is not None:
        what = f"is {config.flow.step}, but flow.kinks = 'exact' chooses its steps; remove it"
        raise ConfigError("flow.step", what)
    return "exact"


def _moves_kinks(config: Config) -> bool:
    """Whether pre-activations move that an activation is applied to."""
    network = config.network
    if isinstance(network, NetworkSection):
        return len(network.widths) > 2 and network.kind != "gated"
    if isinstance(network, WideSection):
        return network.solved_by(config.rule.kind) == "neurons" and not network.gated
    return True


def estimates_error(method: Method) -> bool:
    """Whether a companion flow tells how wrong kinks make the weights."""
    return method in ("plain", "smooth")


def _refuse(kinks: str, why: str) -> NoReturn:
    raise ConfigError("flow.kinks", f"is '{kinks}', which {why}")
