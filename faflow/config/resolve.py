"""A checked config with every kind looked up and every default written out."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from .choice import Choice
from .errors import ConfigError, nearest, shown
from .kinds.kinds import FITTED, AbstractKinds, RuleTraits, UntoldError
from .kinks import DEFAULTS, Method, method_of, tables_of
from .options import check_options
from .places import located
from .schema import (
    INPUTS,
    OUTPUTS,
    AbstractKindSection,
    ActivationSection,
    Config,
    FlowSection,
    ModifierSection,
)
from .sizes import settle_sizes

SINGLE = 1e-4  # relative tolerance in float32
# The smallest relative tolerance that rounding leaves any meaning.
REACH = {"float64": 1e-14, "float32": 1e-6}
WHOLE = 1e-9  # relative deviation from a whole number of steps that is rounding


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A config ready to be built. `base`: the folder that `file` options are relative to;
    `method`: how the kinks that the flow meets are integrated."""

    config: Config
    base: Path
    activation: Choice
    init: Choice
    task: Choice
    rule: Choice
    modifiers: tuple[Choice, ...]
    feedback: Choice
    loss: Choice
    flow: FlowSection
    names: tuple[str, ...]
    method: Method
    unread: tuple[str, ...] = ()

    @property
    def suspects(self) -> dict[str, Choice]:
        """What may come from outside faflow, by the key that names it."""
        entry = _code().entry("flow.solver", "solvers", self.flow.solver, self.base)
        return {
            "network.activation": self.activation,
            "init.kind": self.init,
            "task.kind": self.task,
            "task.loss": self.loss,
            "rule.kind": self.rule,
            **{f"rule.modifiers.{i}.kind": choice for i, choice in enumerate(self.modifiers)},
            "feedback.kind": self.feedback,
            "flow.solver": Choice(self.flow.solver, entry, {}),
        }

    @property
    def has_own_code(self) -> bool:
        """Whether a kind comes from outside faflow."""
        return any(choice.foreign for choice in self.suspects.values())

    @property
    def draws_by_own_code(self) -> bool:
        """Whether data, first weights or feedback come from outside faflow."""
        return any(choice.foreign for choice in (self.task, self.init, self.feedback))

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
    activation = look.choose("network.activation", _activation_section(config))
    rule = look.choose("rule", config.rule)
    modifiers = tuple(look.modifier(i, table) for i, table in enumerate(config.rule.modifiers))
    outermost = kinds.rule(modifiers[-1].entry if modifiers else rule.entry)
    method = method_of(config, kinds.phi(activation), outermost)
    resolved = Resolved(
        config=config,
        base=base,
        activation=activation,
        init=look.choose("init", config.init),
        task=look.choose("task", config.task),
        rule=rule,
        modifiers=modifiers,
        feedback=look.choose("feedback", config.feedback),
        loss=look.loss(config),
        flow=_resolve_flow(config, method, look),
        names=_observed(config, rule, kinds),
        method=method,
    )
    kinds.check_loss(resolved.loss)
    _check_richness(resolved, kinds.rule(rule.entry).form)
    if config.network.seed is not None and config.network.kind != "gated":
        raise ConfigError("network.seed", "needs network.kind = 'gated'; remove it or change that")
    return resolved


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
    unread = tuple(kind for kind in _kinds(config) if ":" in kind)
    if not unread:
        return resolve_config(config, base, kinds)
    look = _Look(kinds, base)
    if ":" not in config.task.kind:
        entry = look.entry("task.kind", "tasks", config.task.kind)
        config = settle_sizes(config, entry, lambda: (INPUTS, OUTPUTS))
    read = lambda path, section: (  # noqa: E731
        Choice(section.kind, None, section.options)
        if ":" in section.kind
        else look.choose(path, section)
    )
    modifiers = [
        _modifier_section(i, table, kinds) for i, table in enumerate(config.rule.modifiers)
    ]
    return Resolved(
        config=config,
        base=base,
        activation=read("network.activation", _activation_section(config)),
        init=read("init", config.init),
        task=read("task", config.task),
        rule=read("rule", config.rule),
        modifiers=tuple(read(f"rule.modifiers.{i}", one) for i, one in enumerate(modifiers)),
        feedback=read("feedback", config.feedback),
        loss=Choice(config.task.loss, None, {}),
        flow=config.flow,
        names=config.observe.names or (),
        method="none",
        unread=unread,
    )


def _code() -> AbstractKinds:
    """Which takes JAX, and a second to import."""
    from .kinds.coded import Coded

    return Coded()


@dataclasses.dataclass(frozen=True)
class _Look:
    """Kinds looked up for a config in the folder `base`."""

    kinds: AbstractKinds
    base: Path

    def entry(self, path: str, registry: str, kind: str) -> Any:
        return self.kinds.entry(path, registry, kind, self.base)

    def choose(self, path: str, section: AbstractKindSection) -> Choice:
        inline = isinstance(section, ActivationSection)
        where = path if inline else f"{path}.kind"
        entry = self.entry(where, section.registry, section.kind)
        own = list(type(section).model_fields)
        return Choice(section.kind, entry, check_options(path, entry, section.options, own))

    def modifier(self, index: int, table: dict[str, Any]) -> Choice:
        section = _modifier_section(index, table, self.kinds)
        return self.choose(f"rule.modifiers.{index}", section)

    def loss(self, config: Config) -> Choice:
        return Choice(config.task.loss, self.entry("task.loss", "losses", config.task.loss), {})

    def settled(self, config: Config) -> Config:
        """With whole numbers for widths."""

        def drawn() -> tuple[int, int]:
            task = self.choose("task", config.task)
            return self.kinds.drawn_sizes(config, task, self.loss(config), self.base)

        return settle_sizes(config, self.entry("task.kind", "tasks", config.task.kind), drawn)


def _kinds(config: Config) -> list[str]:
    sections = [config.init, config.task, config.rule, config.feedback, _activation_section(config)]
    modifiers = [str(table.get("kind", "")) for table in config.rule.modifiers]
    return [*(s.kind for s in sections), *modifiers, config.task.loss, config.flow.solver]


def _check_richness(resolved: Resolved, form: str) -> None:
    """One richness for all sections of the mean-field scaling that the flow hears of."""
    sections = {"init": resolved.init}
    if form != "none":
        sections["feedback"] = resolved.feedback
    sections |= {f"rule.modifiers.{i}": choice for i, choice in enumerate(resolved.modifiers)}
    found = {
        path: choice.options["richness"]
        for path, choice in sections.items()
        if choice.kind == "mean-field"
    }
    first = next(iter(found), "")
    for path, richness in found.items():
        if richness != found[first]:
            what = f"is {richness}, but {first}.richness is {found[first]}; make them equal"
            raise ConfigError(f"{path}.richness", what)


def _activation_section(config: Config) -> ActivationSection:
    given = config.network.activation
    table = {"kind": given} if isinstance(given, str) else given
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        what = f'is {shown(given)}; it must be a name or a table {{kind = "…", options}}'
        raise ConfigError("network.activation", what)
    return ActivationSection(**table)


def _modifier_section(index: int, table: dict[str, Any], kinds: AbstractKinds) -> ModifierSection:
    kind = table.get("kind")
    if not isinstance(kind, str):
        what = f"is {shown(kind)}" if "kind" in table else "is missing"
        raise ConfigError(
            f"rule.modifiers.{index}.kind", f"{what}; {nearest('', kinds.names('modifiers'))}"
        )
    return ModifierSection(**table)


def _observed(config: Config, rule: Choice, kinds: AbstractKinds) -> tuple[str, ...]:
    names, known = config.observe.names, kinds.names("observables")
    if names is None:
        names = _default_names(
            kinds.rule(rule.entry), len(config.network.widths) - 1, config.task.loss
        )
    for index, name in enumerate(names):
        if name not in known:
            raise ConfigError(f"observe.names.{index}", f"is '{name}'; {nearest(name, known)}")
    for key in ("laws", "controls"):
        if getattr(config.observe, key) and "laws" not in names:
            what = "asks for laws, but observe.names lacks 'laws'; add it"
            raise ConfigError(f"observe.{key}", what)
    return tuple(dict.fromkeys(names))


def _default_names(rule: RuleTraits, layers: int, loss: str) -> tuple[str, ...]:
    """What is observed where a config doesn't say: what there is of this rule, network and loss,
    and compiles to little."""
    names = ("loss", "residual", "norms")
    if layers > 1:
        names = (*names, "laws")
    if layers > 1 and rule.form != "none":
        names = (*names, "alignment")
    if rule.population:
        return (*names, "population-loss")  # it does not fit these samples
    return (*names, FITTED) if loss == "squared" else names


def _resolve_flow(config: Config, method: Method, look: _Look) -> FlowSection:
    flow, defaults = config.flow, DEFAULTS[method]
    solver = defaults.solver if flow.solver == "auto" else flow.solver
    if solver == "auto" and (flow.step is not None or flow.project):
        solver = "tsit5"  # there is nothing to choose by
    rtol = flow.rtol
    if rtol is None:
        rtol = SINGLE if config.precision == "float32" else defaults.rtol
    atol = float(f"{rtol / 100:g}") if flow.atol is None else flow.atol
    scales = flow.atol is None if flow.atol_scales is None else flow.atol_scales
    chosen = {"rtol": rtol, "atol": atol, "solver": solver, "first": _first_save(flow)}
    chosen["atol_scales"] = scales
    flow = flow.model_copy(update=chosen | tables_of(flow, method))
    _check_tolerance(config.precision, flow)
    _check_solver(flow, look)
    save_times(flow, config.precision)
    return flow


def _first_save(flow: FlowSection) -> float | None:
    if flow.spacing == "linear":
        if flow.first is not None:
            raise ConfigError("flow.first", 'needs flow.spacing = "log"; remove it or change that')
        return None
    first = flow.t1 * 1e-4 if flow.first is None else flow.first
    if first >= flow.t1:
        raise ConfigError("flow.first", f"is {first}; it must be below flow.t1 = {flow.t1}")
    return first


def _check_tolerance(precision: str, flow: FlowSection) -> None:
    reach = REACH[precision]
    if flow.step is None and flow.rtol is not None and flow.rtol < reach:
        other = "" if precision == "float64" else ' or set precision = "float64"'
        what = f"is {flow.rtol}, below what {precision} can hold; use at least {reach}{other}"
        raise ConfigError("flow.rtol", what)


def _check_solver(flow: FlowSection, look: _Look) -> None:
    look.entry("flow.solver", "solvers", flow.solver)
    fixed = look.kinds.takes_fixed_steps(flow.solver, look.base)
    if fixed and flow.step is None:
        what = f"is missing, but {flow.solver} takes fixed steps; give it (say {flow.t1 / 1000:g})"
        raise ConfigError("flow.step", what)
    if flow.step is not None and look.kinds.chooses_steps(flow.solver):
        raise ConfigError("flow.step", f"is given, but {flow.solver} chooses its steps; remove it")
    if flow.step is not None and flow.step > flow.t1:
        raise ConfigError("flow.step", f"is {flow.step}; it must be at most flow.t1 = {flow.t1}")
    if flow.step is not None:
        _check_step(flow, flow.step)


def _check_step(flow: FlowSection, step: float) -> None:
    """Fixed steps are all of one length, so that saves fall onto their ends."""
    if flow.spacing == "log":
        what = 'is fixed, which saves with spacing = "log" would cut; use spacing = "linear"'
        raise ConfigError("flow.step", what)
    spacing = flow.t1 / (flow.saves - 1)
    count = spacing / step
    if abs(count - round(count)) > WHOLE * count:
        near = spacing / max(1, round(count))
        what = f"is {step}, which does not divide the time between saves ({spacing:g})"
        raise ConfigError("flow.step", f"{what}; use {near!r} or change flow.saves")


def save_times(flow: FlowSection, precision: str) -> np.ndarray:
    """0 = t_0 < ... = t1, `saves` of them. ConfigError if the precision can't tell them apart."""
    if flow.spacing == "linear":
        ts = np.linspace(0.0, flow.t1, flow.saves)
    elif flow.saves == 2:
        ts = np.array([0.0, flow.t1])
    else:
        ts = np.concatenate([[0.0], np.geomspace(flow.first or 0.0, flow.t1, flow.saves - 1)])
        ts[-1] = flow.t1
    if not np.all(np.diff(ts.astype(precision)) > 0) or not np.all(
        np.isfinite(ts.astype(precision))
    ):
        what = f"is {flow.saves}, too many to tell apart in {precision} up to {flow.t1}; lower it"
        raise ConfigError("flow.saves", what)
    return ts
