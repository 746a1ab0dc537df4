"""What `faflow list` shows: every registry entry with its equation, source or first sentence."""

import inspect
from collections.abc import Callable
from typing import Any

from .._generator import seeded
from ..config.flow.kinks import ABOUT as KINKS
from ..config.flow.section import ExactSection, SmoothSection
from ..config.kinds.registries import REGISTRIES
from ..config.options import MISSING, options_of
from ..config.section import AbstractSection
from ..measures.registry import OBSERVABLES
from ..networks import ACTIVATIONS
from ..networks import INITIALISATIONS as DRAWN
from ..networks.initialise import initial_network
from ..population import POPULATION_RULES
from ..rules import MODIFIERS
from ..shipped import listed_configs
from ..solved import SOLVED
from ..solvers.registry import NOTES

_LAW_ABOUT = {
    "layer-balance": "1/2 ||W_l||^2 + 1/2 ||beta_l||^2 - k psi(W_{l+1}), per hidden layer",
    "neuron-balance": "the same per hidden neuron j: row j of W_l, column j of W_{l+1}",
    "matrix-balance": "W_l W_l^T + beta_l beta_l^T - M(W_{l+1}), linear networks",
    "readout-sum": "sum over outputs of W_L, per column, and of b_L: softmax cross-entropy",
    "subspace-balance": "the matrix on what a narrow layer l + 1 hears (direct feedback)",
}


def listing(topic: str) -> list[dict[str, str]]:
    """Rows (name, about, source, options; rules: laws) for a topic of `TOPICS`."""
    return TOPICS[topic]()


def _described(registry: str) -> list[dict[str, str]]:
    return [
        {"name": name, "about": _first_sentence(entry), "options": _options(entry)}
        for name, entry in REGISTRIES[registry].items()
    ]


def _rules() -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "equation": rule.equation,
            "source": rule.source,
            "feedback": rule.form,
            "laws": _kept(rule),
            "options": _options(rule),
        }
        for name, rule in REGISTRIES["rules"].items()
    ]


def _modifiers() -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "equation": modifier.equation,
            "source": modifier.source,
            "options": _options(modifier),
        }
        for name, modifier in MODIFIERS.items()
    ]


def _kept(rule: Any) -> str:
    """The laws a rule keeps in three-layer ReLU nets (those of the population in two-layer ones),
    then those it keeps in linear nets only."""
    keeps, widths = [], (2, 2, 1) if rule in POPULATION_RULES.values() else (2, 2, 2, 2)
    for activation in ("linear", "relu"):
        net = initial_network(DRAWN["zero"](), _no_key(), widths, ACTIVATIONS[activation]())
        keeps.append({name: law.layers for name, law in rule().laws(net).items()})
    linear, relu = keeps
    fewer = " (last hidden layer; every layer in linear nets)"
    both = [name + (fewer if layers != linear[name] else "") for name, layers in relu.items()]
    only = [f"{name} (linear nets)" for name in linear if name not in relu]
    return ", ".join([*both, *only]) or "none"


def _no_key() -> Any:
    return seeded(0)


def _solvers() -> list[dict[str, str]]:
    return [{"name": name, "about": NOTES.get(name, "")} for name in REGISTRIES["solvers"]]


def _laws() -> list[dict[str, str]]:
    return [{"name": name, "about": about} for name, about in _LAW_ABOUT.items()]


def _solved() -> list[dict[str, str]]:
    return [
        {"name": name, "equation": solved.equation, "source": solved.source}
        for name, solved in SOLVED.items()
    ]


def _observables() -> list[dict[str, str]]:
    return [{"name": name, "about": entry.about} for name, entry in OBSERVABLES.items()]


def _kinks() -> list[dict[str, str]]:
    tables = {"exact": ExactSection, "smooth": SmoothSection}
    return [
        {"name": name, "about": about, "options": _keys(f"flow.{name}", tables.get(name))}
        for name, about in KINKS.items()
    ]


def _keys(path: str, section: type[AbstractSection] | None) -> str:
    fields = {} if section is None else section.model_fields
    return ", ".join(f"{path}.{key} = {field.default}" for key, field in fields.items())


def _first_sentence(entry: Callable[..., Any]) -> str:
    paragraph = (inspect.getdoc(entry) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _options(entry: Callable[..., Any]) -> str:
    return ", ".join(
        name if option.default is MISSING else f"{name} = {option.default}"
        for name, option in options_of(entry).items()
    )


TOPICS: dict[str, Callable[[], list[dict[str, str]]]] = {
    "rules": _rules,
    "modifiers": _modifiers,
    "laws": _laws,
    "tasks": lambda: _described("tasks"),
    "solvers": _solvers,
    "networks": lambda: _described("networks"),
    "activations": lambda: _described("activations"),
    "inits": lambda: _described("inits"),
    "feedbacks": lambda: _described("feedbacks"),
    "observables": _observables,
    "solved": _solved,
    "kinks": _kinks,
    "configs": listed_configs,
    "losses": lambda: _described("losses"),
}
