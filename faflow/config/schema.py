"""A config: its sections, strictly, with every key, type and range of the contract.

The options of a `kind` are its registry entry's own (`options.py`); what needs more than one
section is checked in `resolve.py` and, once the data are there, in `setup/`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .errors import ConfigError, nearest, shown
from .expect import Bounds, parse_bounds
from .flow.section import FlowSection
from .kinds.catalogue import catalogue
from .network import AnyNetwork, ModelSection, WideSection
from .section import AbstractKindSection, AbstractSection, Count, Positive, Seed, Table
from .task import TaskSection

CONSTRUCTOR, MEAN_FIELD = "constructor", "mean-field"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=120)]


class InitSection(AbstractKindSection):
    """[init]: how W(0) is drawn."""

    registry: ClassVar[str] = "inits"
    kind: str = "gaussian"
    seed: Seed | None = None


class ModifierSection(AbstractKindSection):
    """[[rule.modifiers]]: a modifier of the rule and of the modifiers before it."""

    registry: ClassVar[str] = "modifiers"


def _modifier(table: Any) -> Any:
    kind = table.get("kind") if isinstance(table, dict) else ""
    if not isinstance(kind, str):
        what = f"is {shown(kind)}" if "kind" in table else "is missing"
        raise ConfigError("kind", f"{what}; {nearest('', catalogue()['kinds']['modifiers'])}")
    return table


class RuleSection(AbstractKindSection):
    """[rule]: the learning rule, and what modifies it, one after the other."""

    registry: ClassVar[str] = "rules"
    modifiers: tuple[Annotated[ModifierSection, BeforeValidator(_modifier)], ...] = ()


class FeedbackSection(AbstractKindSection):
    """[feedback]: how the feedback matrices are drawn; rules without feedback leave it alone.

    `scales`, `seeds`: of a model, by globs over paths: factors of draws, and seeds of their own.
    """

    registry: ClassVar[str] = "feedbacks"
    kind: str = "gaussian"
    seed: Seed | None = None
    scales: dict[str, float] = Field(default_factory=dict)
    seeds: dict[str, Seed] = Field(default_factory=dict)


def _one_or_more(value: Any) -> Any:
    single = isinstance(value, int | float) and not isinstance(value, bool)
    if value == []:
        raise ValueError("it must list at least one step")
    return (value,) if single else tuple(value) if isinstance(value, list) else value


def _tableau(name: str) -> str:
    methods = catalogue()["methods"]
    if name not in methods:
        raise ValueError(nearest(name, methods))
    return name


class DiscreteSection(AbstractSection):
    """[discrete]: the same rule in steps of `eta` (one, or several), beside the flow; `batch`:
    samples per step, all of them unless given, drawn anew every epoch from `seed`; `method`: the
    explicit Runge-Kutta method whose steps they are."""

    eta: Annotated[tuple[Positive, ...], BeforeValidator(_one_or_more)]
    batch: Count | None = None
    method: Annotated[str, AfterValidator(_tableau)] = "euler"
    seed: Seed | None = None


class SimulateSection(AbstractSection):
    """[simulate]: online learning sample by sample beside a population rule's flow, on `inputs`
    inputs (the network's, unless given), `seeds` times with samples of their own; or networks of
    these `widths` beside an infinitely wide one, drawn `seeds` times."""

    seeds: Annotated[int, Field(ge=2, le=100_000)] = 16
    inputs: Count | None = None
    widths: tuple[Count, ...] = ()
    seed: Seed | None = None


def _named_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("it must list at least one name")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"it lists '{twice[0]}' twice; remove one")
    return names


class SensitivitySection(AbstractSection):
    """[sensitivity]: derivatives of figures of the flow's end, `of`, with respect to `to`: numbers
    of the config by their dotted keys, and whole arrays by the names they are stored under ("F2",
    "W1"). `check`: compare them with a central difference of whole flows in a random direction."""

    to: Annotated[tuple[str, ...], AfterValidator(_named_once)]
    of: Annotated[tuple[str, ...], AfterValidator(_named_once)] = ("loss",)
    check: bool = True


class ObserveSection(AbstractSection):
    """[observe]: what is recorded; `laws` lists laws that the rule has to name, `controls` others
    to follow although it names them not."""

    names: tuple[str, ...] | None = None
    laws: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    save_weights: bool = False


class SweepSection(AbstractSection):
    """[sweep]: `product`, `zip`: config keys and the values that members of a sweep take
    (sweeps/axes.py); `order`: all these keys in the order of the axes, where that is not the one
    they are written in (stored sweeps say it: TOML moves tables about); `weights`: every member's
    final weights are stored; `neurons`: so are records that have an entry per neuron or pair of
    neurons, as some laws do, at every save; `end_states`: what every member knows at its end is
    kept, so that the sweep can be extended from there; `zarr`: the data set is stored as Zarr, in
    compressed pieces, instead of netCDF; `batch`: members that are integrated at once, by vmap,
    over all devices there are: one on CPUs, measured on accelerators, unless given."""

    product: Table = Field(default_factory=dict)
    zip: Table = Field(default_factory=dict)
    order: tuple[str, ...] | None = None
    weights: bool = False
    neurons: bool = False
    end_states: bool = False
    zarr: bool = False
    batch: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _one_by_one(self):
        """A batch's members have no ends of their own."""
        if self.end_states and self.batch not in (1, "auto"):
            what = f"is true, but members are integrated {self.batch} at once; remove sweep.batch"
            raise ConfigError("end_states", what)
        return self

    @property
    def batches(self) -> int | Literal["auto"]:
        """Members that are integrated at once; "auto": to be measured."""
        return 1 if self.end_states else self.batch


class Config(AbstractSection):
    """A whole config file, checked section by section."""

    name: Name
    precision: Literal["float64", "float32"] = "float64"
    seed: Seed = 0
    network: AnyNetwork
    init: InitSection = InitSection()
    task: TaskSection
    rule: RuleSection
    feedback: FeedbackSection = FeedbackSection()
    flow: FlowSection
    discrete: DiscreteSection | None = None
    simulate: SimulateSection | None = None
    sensitivity: SensitivitySection | None = None
    observe: ObserveSection = ObserveSection()
    sweep: SweepSection | None = None
    expect: Table = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_models(self):
        """A model's W(0) is its constructor's, or the user's arrays; leaves have paths."""
        model, kind = isinstance(self.network, ModelSection), self.init.kind
        for name in ("scales", "seeds"):
            if getattr(self.feedback, name) and not model:
                what = f"names leaves, but network.kind = '{self.network.kind}' has layers"
                raise ConfigError(f"feedback.{name}", f"{what}; remove it")
        if model and "kind" not in self.init.model_fields_set:
            init = self.init.model_copy(update={"kind": CONSTRUCTOR})
            return self.model_copy(update={"init": init})
        if (model and kind not in (CONSTRUCTOR, "arrays")) or (not model and kind == CONSTRUCTOR):
            what = f"draws layers, but network.kind = '{self.network.kind}' is a model"
            if not model:
                what = "is a model's, but the network has layers"
            valid = f"'{CONSTRUCTOR}' or 'arrays'" if model else "'gaussian', say"
            raise ConfigError("init.kind", f"is '{kind}', which {what}; use {valid}")
        return self

    @model_validator(mode="after")
    def _of_infinite_width(self):
        """Its W(0) and feedback are the mean-field scaling's, of its own richness."""
        network = self.network
        if not isinstance(network, WideSection):
            return self
        if self.rule.modifiers:
            what = "modify a rule, but infinite width has the rates of its own scaling; remove them"
            raise ConfigError("rule.modifiers", what)
        if self.discrete is not None:
            what = "takes steps of a finite network, but network.kind = 'wide'; use [simulate]"
            raise ConfigError("discrete", what)
        found = {}
        for name in ("init", "feedback"):
            section = getattr(self, name)
            kind, options = section.kind, section.options
            if "kind" in section.model_fields_set and kind != MEAN_FIELD:
                what = f"is '{kind}', but infinite width is a limit of '{MEAN_FIELD}'; use that"
                raise ConfigError(f"{name}.kind", what)
            if options.get("richness", network.richness) != network.richness:
                what = f"is {options['richness']}, but network.richness is {network.richness}"
                raise ConfigError(f"{name}.richness", f"{what}; say it there alone")
            update = {"kind": MEAN_FIELD, "richness": network.richness}
            found[name] = section.model_copy(update=update)
        return self.model_copy(update=found)

    @property
    def bounds(self) -> Bounds:
        return parse_bounds(self.expect)

    def seed_of(self, section: Any) -> int:
        """A section's own seed, or the config's."""
        return self.seed if section.seed is None else section.seed

    def key(self, section: Any, number: int) -> Any:
        """A section's random key; `number`: its own, so that one seed draws independent ones."""
        from .._generator import folded, seeded

        return folded(seeded(self.seed_of(section)), number)
