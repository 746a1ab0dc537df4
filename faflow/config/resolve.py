"""A checked config with every kind looked up and every default written out."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from . import load
from .blame import blaming
from .choice import Choice
from .errors import ConfigError
from .flow.kinks import method_of
from .flow.section import FlowSection, Method
from .imports import read_anew
from .kinds.kinds import AbstractKinds, PhiTraits, UntoldError
from .kinds.observed import observed_names, own_observables
from .kinds.taken import taken, with_arrays
from .network import INPUTS, OF_DATA, OUTPUTS, Equations, ModelSection, NetworkSection, WideSection
from .options import Described, check_options
from .places import located
from .schema import Config
from .section import INIT, TASK, AbstractKindSection
from .sizes import settle_sizes

Given = TypeVar("Given")


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A config ready to be built. `base`: the folder that `file` options are relative to;
    `method`: how the kinks that the flow meets are integrated; `observables`: those of `names` that
    are the user's own; `unread`: kinds of the user's that stand as they are."""

    config: Config
    base: Path
    network: Choice
    activation: Choice
    init: Choice
    task: Choice
    loss: Choice
    rule: Choice
    modifiers: tuple[Choice, ...]
    feedback: Choice
    solver: Choice
    flow: FlowSection
    names: tuple[str, ...]
    method: Method
    observables: tuple[Choice, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def equations(self) -> Equations | None:
        """What is solved where the network is infinitely wide."""
        network = self.config.network
        return network.solved_by(self.rule.kind) if isinstance(network, WideSection) else None

    @property
    def suspects(self) -> dict[str, Choice]:
        """What may come from outside faflow, by the key that names it."""
        before = (self.network, self.activation, self.init, self.task, self.loss, self.rule)
        choices = (*before, *self.modifiers, self.feedback, self.solver, *self.observables)
        return {choice.key: choice for choice in choices}

    def ask(self, key: str, about: Callable[..., Given], *args: Any, **options: Any) -> Given:
        """What a function of a lower room, or of the user's, gives. What it raises becomes a
        ConfigError, which names whose code it was, or `key` (`blame.py`)."""
        with blaming(key, self.suspects):
            return about(*args, **options)

    @property
    def has_own_code(self) -> bool:
        """Whether a kind comes from outside faflow, or is an object of which the config has but the
        name."""
        return any(choice.of_others for choice in self.suspects.values())

    @property
    def draws_by_own_code(self) -> bool:
        """Whether data, first weights or feedback come from outside faflow."""
        drawn = (self.network, self.task, self.init, self.feedback)
        return any(choice.of_others for choice in drawn)

    @property
    def widths(self) -> tuple[int, ...]:
        """The network's, as whole numbers."""
        return tuple(width for width in self.config.network.widths if isinstance(width, int))

    def files(self) -> dict[str, Path]:
        """The data files that the config reads, by dotted key."""
        sections = {"task": self.task, "init": self.init, "feedback": self.feedback}
        return {
            f"{name}.file": located(self.base, choice.options["file"])
            for name, choice in sections.items()
            if isinstance(choice.options.get("file"), str)
        }


def resolve_config(config: Config, base: Path, kinds: AbstractKinds | None = None) -> Resolved:
    """Look up every kind, validate its options, fill in the defaults. ConfigError if it can't.

    `kinds`: who tells of them, their code unless given.
    """
    kinds = _code() if kinds is None else kinds
    look = _Look(kinds, base)
    config = look.settled(config)
    chosen = look.choices(config)
    modifiers, rule = chosen["modifiers"], kinds.rule(chosen["rule"].entry)
    outermost = kinds.rule(modifiers[-1].entry) if modifiers else rule
    method = method_of(config, look.phi(config, chosen), outermost)
    if chosen["loss"].foreign:
        chosen["loss"].make()
    flow = config.flow.completed(method, config.precision)
    solver = look.named("flow.solver", "solvers", flow.solver)
    flow.check_steps(*kinds.solver(flow.solver, solver.entry))
    names = observed_names(config, rule)
    chosen["observables"] = own_observables(names, look.named)
    _check_richness(chosen, rule.form)
    return Resolved(config, base, **chosen, solver=solver, flow=flow, names=names, method=method)


def unread_config(config: Config, base: Path) -> Resolved:
    """The same, to be shown, without running code of the user's: kinds that are (`unread`) stand as
    they are, and what depends on them (the solver, its tolerance, what is recorded), and sizes that
    only data tell, as the config gives it. A config without any is resolved. Code of faflow's is
    loaded only where the catalogue of it can't tell."""
    from .kinds.description import Catalogued

    try:
        return _unread(config, base, Catalogued())
    except UntoldError:
        return _unread(config, base, _code())


def _unread(config: Config, base: Path, kinds: AbstractKinds) -> Resolved:
    look = _Look(kinds, base, runs=False)
    task, rule, flow = config.task, config.rule, config.flow
    network = config.network
    phi = network if isinstance(network, ModelSection) else network.activation
    sections = (config.init, task, rule, config.feedback, phi)
    named = (*(one.kind for one in (*sections, *rule.modifiers)), task.loss, flow.solver)
    unread = tuple(kind for kind in (*named, *(config.observe.names or ())) if ":" in kind)
    if not unread:
        return resolve_config(config, base, kinds)
    entry = look.named("task.kind", "tasks", task.kind).entry
    if entry and isinstance(network, NetworkSection):
        config = settle_sizes(config, entry, lambda: (INPUTS, OUTPUTS))
    solver, names = Choice("flow.solver", flow.solver, None, {}), config.observe.names or ()
    common: dict[str, Any] = {"flow": flow, "solver": solver, "names": names, "method": "none"}
    return Resolved(config, base, **look.choices(config), **common, unread=unread)


def resolve_path(
    config: str | Path | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    unread: bool = False,
    arrays: tuple[Any, Any] | None = None,
) -> Resolved:
    """A config (a file, a shipped one's name, or tables as `tomllib` gives them) resolved.

    ConfigError if it is bad. Code of the user's own that it names is run, unless `unread`: then it
    stands as it is. From Python, tables and overrides (then {"a.b": value}) may hold objects where
    kinds are named; `arrays`: X and y in place of the task.
    """
    if isinstance(config, Mapping):
        table, base, name = dict(config), Path(), "run"
    else:
        table, base, name = load.read(config)
    read_anew()
    if "sweep" in table:
        raise ConfigError("sweep", "makes this a sweep; run it with `faflow sweep`, or remove it")
    table = load.apply_overrides(table, overrides)
    table, objects = taken(table if arrays is None else with_arrays(table, *arrays))
    parsed = load.parse(table, name)
    if objects:
        return resolve_config(parsed, base, _objects(objects))
    return (unread_config if unread else resolve_config)(parsed, base)


def _objects(objects: Mapping[str, Any]) -> AbstractKinds:
    from .kinds.given import Objects

    return Objects(objects)


def _code() -> AbstractKinds:
    from .kinds.coded import Coded  # which takes JAX, and a second

    return Coded()


@dataclasses.dataclass(frozen=True)
class _Look:
    """Kinds looked up for a config in the folder `base`. `runs`: code of the user's too; without
    it, what they name has no entry."""

    kinds: AbstractKinds
    base: Path
    runs: bool = True

    def choose(self, key: str, section: AbstractKindSection, told: Collection[str] = ()) -> Choice:
        choice = self.named(key, section.registry, section.kind)
        options, own = section.options, list(type(section).model_fields)
        if choice.entry is not None:
            path = key.removesuffix(".kind")
            options = check_options(path, choice.entry, options, own, told)
        return dataclasses.replace(choice, options=options)

    def named(self, key: str, registry: str, kind: str) -> Choice:
        """Without options."""
        unread = ":" in kind and not self.runs
        entry = None if unread else self.kinds.entry(key, registry, kind, self.base)
        return Choice(key, kind, entry, {})

    def choices(self, config: Config) -> dict[str, Any]:
        """By the names they have in `Resolved`."""
        sections = ("init", "task", "rule", "feedback")
        network = config.network
        if not isinstance(network, ModelSection):
            model = Choice("network.kind", network.kind, None, {})
            phi = self.choose("network.activation", network.activation)
        else:
            model = self.choose("network.kind", network, OF_DATA)
            phi = Choice("network.activation", "", None, {})  # the model's own affair
        modifiers = [(f"rule.modifiers.{i}.kind", m) for i, m in enumerate(config.rule.modifiers)]
        return {
            "network": model,
            "activation": phi,
            **{name: self.choose(f"{name}.kind", getattr(config, name)) for name in sections},
            "modifiers": tuple(self.choose(key, one) for key, one in modifiers),
            "loss": self.named("task.loss", "losses", config.task.loss),
        }

    def phi(self, config: Config, chosen: Mapping[str, Any]) -> PhiTraits:
        """Of the network's activation, or of all that a model is made of."""
        network = config.network
        if not isinstance(network, ModelSection):
            return self.kinds.phi(chosen["activation"])
        if isinstance(chosen["task"].entry, Described):
            raise UntoldError(config.task.kind)
        key = config.key(config.task, TASK)
        data = config.task.draw(chosen["task"], chosen["loss"], key, OUTPUTS, self.base).data
        about = (chosen["network"], network, data, config.key(config.init, INIT))
        suspects = {choice.key: choice for choice in (chosen["network"], chosen["task"])}
        with blaming("network", suspects, "network.kind"):
            return PhiTraits(self.kinds.is_kinked_model(*about), False)

    def settled(self, config: Config) -> Config:
        """With whole numbers for widths."""
        if not isinstance(config.network, NetworkSection):
            return config

        def drawn() -> tuple[int, int]:
            task = self.choose("task.kind", config.task)
            loss = self.named("task.loss", "losses", config.task.loss)
            if isinstance(task.entry, Described):
                raise UntoldError(task.kind)
            key, outputs = config.key(config.task, TASK), config.network.widths[-1]
            data = config.task.draw(task, loss, key, outputs, self.base).data
            return data.inputs.shape[1], data.targets.shape[1]

        return settle_sizes(config, self.named("task.kind", "tasks", config.task.kind).entry, drawn)


def _check_richness(chosen: Mapping[str, Any], form: str) -> None:
    """One richness for all sections of the mean-field scaling that the flow hears of."""
    heard = [
        chosen["init"],
        *([] if form == "none" else [chosen["feedback"]]),
        *chosen["modifiers"],
    ]
    found = {
        choice.key.removesuffix("kind") + "richness": choice.options["richness"]
        for choice in heard
        if choice.kind == "mean-field"
    }
    first = next(iter(found), "")
    for key, richness in found.items():
        if richness != found[first]:
            what = f"is {richness}, but {first} is {found[first]}; make them equal"
            raise ConfigError(key, what)
