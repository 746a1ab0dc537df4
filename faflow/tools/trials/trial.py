"""Which section a kind belongs to, and what is tried of it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...config.choice import Choice, Prepared
from ...config.errors import ConfigError
from ...config.imports import load_object, read_anew
from ...config.kinds.registries import BASES, REGISTRIES, resolve
from ...config.network import OF_DATA
from ...config.options import check_options
from .activation import try_activation
from .draws import try_feedback, try_initialisation
from .finding import Finding
from .loss import try_loss
from .network import try_network
from .observable import try_observable
from .solver import try_solver
from .task import try_task

# Sections by what they are called in messages: the registry, and the key of a config.
SECTIONS: dict[str, tuple[str, str]] = {
    "rule": ("rules", "rule.kind"),
    "modifier": ("modifiers", "rule.modifiers.0.kind"),
    "activation": ("activations", "network.activation"),
    "loss": ("losses", "task.loss"),
    "init": ("inits", "init.kind"),
    "feedback": ("feedbacks", "feedback.kind"),
    "observable": ("observables", "observe.names.0"),
    "solver": ("solvers", "flow.solver"),
    "task": ("tasks", "task.kind"),
    "network": ("networks", "network.kind"),
}
TRIALS: Mapping[str, Callable[[Choice], list[Finding]]] = {
    "activation": lambda choice: try_activation(choice.make()),
    "loss": lambda choice: try_loss(choice.make()),
    "init": lambda choice: try_initialisation(choice.make()),
    "feedback": lambda choice: try_feedback(choice.make()),
    "observable": try_observable,
    "solver": try_solver,
    "task": lambda choice: try_task(choice.entry, choice.kind, choice.options),
    "network": try_network,
}
LONGEST = 100  # letters of what is said of a kind
_FROM_FILES = ("arrays", "constructor")  # kinds that only a config's other sections make


class KindTrial(NamedTuple):
    """What was found of a kind; `ok` if nothing that it claims is broken."""

    kind: str
    section: str
    about: str
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        return all(finding.ok is not False for finding in self.findings)

    @property
    def verdict(self) -> str:
        broken = [finding.what for finding in self.findings if finding.ok is False]
        return f"NOT as claimed: {', '.join(broken)}" if broken else "every claim holds"


def section_of(kind: str, said: str | None = None) -> str:
    """The section of SECTIONS that a kind is of: `said`, or what its class is derived from; of a
    name, the one that has it. ConfigError where that can't be told."""
    if said is not None or ":" not in kind:
        having = [
            name for name, (registry, _) in SECTIONS.items() if kind in REGISTRIES.get(registry, ())
        ]
        if said is None and len(having) > 1:
            what = f"is '{kind}', a name of several kinds; say which by --as {' or '.join(having)}"
            raise ConfigError("kind", what)
        return said or (having[0] if having else "rule")
    read_anew()
    held = load_object("kind", kind, Path())
    if not inspect.isclass(held):
        return _of_function(kind, held)
    for name, (registry, _) in SECTIONS.items():
        base = BASES[registry]
        if base is not None and issubclass(held, base) and (name != "rule" or not _modifies(held)):
            return name
    what = f"is '{kind}', a class that is derived from no kind of faflow's; derive it from one"
    raise ConfigError("kind", f"{what}, or say --as {', '.join(SECTIONS)}")


def _modifies(held: Any) -> bool:
    base = BASES["modifiers"]
    return base is not None and issubclass(held, base)


def _of_function(kind: str, held: Any) -> str:
    if not callable(held):
        raise ConfigError("kind", f"is '{kind}', a {type(held).__name__}; name a class or function")
    given = list(inspect.signature(held).parameters.values())
    placed = [one for one in given if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return "observable" if len(placed) == 3 else "task"


def try_kind(kind: str, section: str, given: Mapping[str, Any]) -> KindTrial:
    """Try what a section of TRIALS names, with these options. ConfigError where it can't be had."""
    registry, key = SECTIONS[section]
    read_anew()
    entry = resolve(key, registry, kind, Path())
    if entry is None or kind in _FROM_FILES:
        what = f"is '{kind}', which is made of other sections of a config; run one with it"
        raise ConfigError(key, what)
    told = OF_DATA if section == "network" else ()
    made = registry != "solvers" and (section != "observable" or inspect.isclass(entry))
    options = check_options(section, entry, given, (), told) if made else {}
    choice = Choice(key, kind, entry, options)
    if section == "observable" and not inspect.isclass(entry):
        choice = Choice(key, kind, Prepared(entry), {})
    return KindTrial(kind, section, _about(entry), TRIALS[section](choice))


def _about(entry: Any) -> str:
    """The first sentence of its own docstring, if that was written by hand."""
    if (getattr(entry, "__doc__", None) or "").startswith(f"{getattr(entry, '__name__', '')}("):
        return ""
    text = " ".join((getattr(entry, "__doc__", None) or "").split("\n\n")[0].split())
    sentence = text.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= LONGEST else sentence[: LONGEST - 2] + " …"
