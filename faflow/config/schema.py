"""The sections of a config file, strictly: every key, type and range of the contract.

The options of a `kind` are its registry entry's own (`options.py`); what needs more than one
section is checked in `resolve.py` and, once the data are there, in `build.py`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .._results import Branch
from .errors import nearest
from .expect import Bounds, parse_bounds
from .kinds.catalogue import catalogue

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Tolerance = Annotated[float, Field(gt=0, lt=1)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=120)]
Table = dict[str, Any]


class AbstractSection(BaseModel):
    """A table of the config: no unknown keys, no conversions."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AbstractKindSection(AbstractSection):
    """A table whose further keys are the options of its `kind`."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    registry: ClassVar[str]
    kind: str

    @property
    def options(self) -> Table:
        return dict(self.__pydantic_extra__ or {})


INPUTS, OUTPUTS = "inputs", "outputs"
MOST = 2**31 - 1


def _width(value: Any) -> Any:
    if value in (INPUTS, OUTPUTS):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        named = "'inputs' may stand first and 'outputs' last, for the task's"
        raise ValueError(f"it must be a whole number ({named})")
    if not 1 <= value <= MOST:
        bound = "greater than or equal to 1" if value < 1 else f"less than or equal to {MOST}"
        raise ValueError(f"it must be {bound}")
    return value


def _layers(widths: tuple[int | str, ...]) -> tuple[int | str, ...]:
    if len(widths) < 2:
        raise ValueError("it must list at least two widths, input first and output last")
    if INPUTS in widths[1:] or OUTPUTS in widths[:-1]:
        raise ValueError("it must have 'inputs' first and 'outputs' last, if at all")
    return widths


Width = Annotated[int | Literal["inputs", "outputs"], BeforeValidator(_width)]


class NetworkSection(AbstractSection):
    """[network]: widths (input first, output last), activation (name or inline table), biases.

    "inputs" and "outputs" among the widths are the task's (sizes.py); in a resolved config they are
    whole numbers.

    `kind = "gated"`: a gated linear network, whose gates are the activation's slopes at random
    projections of the inputs, drawn from `seed`.
    """

    kind: Literal["mlp", "gated"] = "mlp"
    widths: Annotated[tuple[Width, ...], AfterValidator(_layers)]
    activation: Any = "linear"
    bias: bool = False
    bias_scale: Annotated[float, Field(ge=0)] = 0.0
    seed: Seed | None = None


class ActivationSection(AbstractKindSection):
    """network.activation as a table; a plain name stands for {kind = name}."""

    registry: ClassVar[str] = "activations"


class InitSection(AbstractKindSection):
    """[init]: how W(0) is drawn."""

    registry: ClassVar[str] = "inits"
    kind: str = "gaussian"
    seed: Seed | None = None


class TaskSection(AbstractKindSection):
    """[task]: the data, their preparation and the loss."""

    registry: ClassVar[str] = "tasks"
    loss: str = "squared"
    reduction: Literal["sum", "mean"] = "sum"
    standardise: bool = False
    whiten: Literal["none", "rows", "features"] = "none"
    scale: float = 1.0
    seed: Seed | None = None


class RuleSection(AbstractKindSection):
    """[rule]: the learning rule, and what modifies it, one after the other."""

    registry: ClassVar[str] = "rules"
    modifiers: tuple[Table, ...] = ()


class ModifierSection(AbstractKindSection):
    """[[rule.modifiers]]: a modifier of the rule and of the modifiers before it."""

    registry: ClassVar[str] = "modifiers"


class FeedbackSection(AbstractKindSection):
    """[feedback]: how the feedback matrices are drawn; rules without feedback leave it alone."""

    registry: ClassVar[str] = "feedbacks"
    kind: str = "gaussian"
    seed: Seed | None = None


class StopSection(AbstractSection):
    """[flow.stop]: when the flow ends before t1."""

    loss: Positive | None = None
    residual: Positive | None = None
    steady: Positive | None = None
    blow_up: Positive | None = None


class ExactSection(AbstractSection):
    """[flow.exact]: pairs (neuron, sample) that may slide at once, changes of pairs that the log
    keeps, and what happens where the flow is not unique: it stops, or follows the continuation
    nearest to the mode it was in, or the other one."""

    slots: Count = 128
    events: Annotated[int, Field(ge=0, le=2**31 - 1)] = 20_000
    branch: Branch = "stop"


class SmoothSection(AbstractSection):
    """[flow.smooth]: the width eps of the gate s(h) = 1 / (1 + exp(-h / eps)).

    The default makes errors of about 1e-4 in the weights, like the defaults of "plain" and at its
    cost; with 1e-3 they are 6e-4 to 3e-3, at half the cost (the nets of config/kinks.py).
    """

    width: Positive = 1e-4


class FlowSection(AbstractSection):
    """[flow]: how far, how densely recorded, how accurately.

    `kinks`: how a kinked activation is integrated (config/kinks.py). `exact` and `smooth` are
    for these values of it only. `atol` is rtol / 100 unless given; `atol_scales`: less where the
    weights start small (flow/tolerance.py), unless atol is given. `polish`: look for the fixed
    point that the flow was heading for, beside its own end (`polished` in the summary). `project`:
    put the weights back onto the rule's laws after every step, so that their drift says nothing.
    `block`: samples whose activations are there at once (absent: all). `devices`: of every process,
    over which samples are spread.
    """

    t1: Positive
    saves: Annotated[int, Field(ge=2, le=1_000_000)] = 101
    spacing: Literal["linear", "log"] = "linear"
    first: Positive | None = None
    solver: str = "auto"
    rtol: Tolerance | None = None
    atol: Positive | None = None
    atol_scales: bool | None = None
    step: Positive | None = None
    max_steps: Count = 1_000_000
    kinks: Literal["auto", "exact", "plain", "smooth"] = "auto"
    exact: ExactSection | None = None
    smooth: SmoothSection | None = None
    tail: bool = False
    polish: bool = False
    project: bool = False
    block: Count | None = None
    devices: Count = 1
    stop: StopSection = StopSection()


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
    inputs (the network's, unless given), `seeds` times with samples of their own."""

    seeds: Annotated[int, Field(ge=2, le=100_000)] = 16
    inputs: Count | None = None
    seed: Seed | None = None


class ObserveSection(AbstractSection):
    """[observe]: what is recorded; `laws` lists laws that the rule has to name, `controls` others
    to follow although it names them not."""

    names: tuple[str, ...] | None = None
    laws: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    save_weights: bool = False


class SweepSection(AbstractSection):
    """[sweep]: `product`, `zip`: config keys and the values that members of a sweep take
    (sweep/axes.py); `order`: all these keys in the order of the axes, where that is not the one
    they are written in (stored sweeps say it: TOML moves tables about); `weights`: every member's
    final weights are stored; `neurons`: so are records that have an entry per neuron or pair of
    neurons, as some laws do, at every save; `zarr`: the data set is stored as Zarr, in compressed
    pieces, instead of netCDF; `batch`: members that are integrated at once, by vmap, over all
    devices there are: one on CPUs, measured on accelerators, unless given."""

    product: Table = {}
    zip: Table = {}
    order: tuple[str, ...] | None = None
    weights: bool = False
    neurons: bool = False
    zarr: bool = False
    batch: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = "auto"


class Config(AbstractSection):
    """A whole config file, checked section by section."""

    name: Name
    precision: Literal["float64", "float32"] = "float64"
    seed: Seed = 0
    network: NetworkSection
    init: InitSection = InitSection()
    task: TaskSection
    rule: RuleSection
    feedback: FeedbackSection = FeedbackSection()
    flow: FlowSection
    discrete: DiscreteSection | None = None
    simulate: SimulateSection | None = None
    observe: ObserveSection = ObserveSection()
    sweep: SweepSection | None = None
    expect: Table = {}

    @property
    def bounds(self) -> Bounds:
        return parse_bounds(self.expect)

    def seed_of(
        self,
        section: InitSection
        | TaskSection
        | FeedbackSection
        | DiscreteSection
        | NetworkSection
        | SimulateSection,
    ) -> int:
        """A section's own seed, or the config's."""
        return self.seed if section.seed is None else section.seed
