"""[network]: the layers' widths, their activation, biases and gates; or a model and its options."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from .errors import ConfigError
from .section import MOST, AbstractKindSection, AbstractSection, Seed

INPUTS, OUTPUTS = "inputs", "outputs"
Layered = Literal["mlp", "gated"]  # kinds that are chains of layers; all others are models
LAYERED: tuple[str, ...] = get_args(Layered)
# Constructor arguments of models that the data tell, unless the config does.
OF_DATA = frozenset({"image", "inputs", "length", "tokens", "outputs"})


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


class ActivationSection(AbstractKindSection):
    """network.activation as a table; a plain name stands for {kind = name}."""

    registry: ClassVar[str] = "activations"


def _activation(given: Any) -> Any:
    table = {"kind": given} if isinstance(given, str) else given
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise ValueError('it must be a name or a table {kind = "…", options}')
    return ActivationSection(**table)


class NetworkSection(AbstractSection):
    """[network]: widths (input first, output last), activation (name or inline table), biases.

    "inputs" and "outputs" among the widths are the task's (sizes.py); in a resolved config they are
    whole numbers.

    `kind = "gated"`: a gated linear network, whose gates are the activation's slopes at random
    projections of the inputs, drawn from `seed`.
    """

    kind: Layered = "mlp"
    widths: Annotated[tuple[Width, ...], AfterValidator(_layers)]
    activation: Annotated[ActivationSection, BeforeValidator(_activation)] = ActivationSection(
        kind="linear"
    )
    bias: bool = False
    bias_scale: Annotated[float, Field(ge=0)] = 0.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _check_seed(self):
        if self.seed is not None and self.kind != "gated":
            raise ConfigError("seed", "needs network.kind = 'gated'; remove it or change that")
        return self


class ModelSection(AbstractKindSection):
    """[network] of any other kind: a model, one of faflow's or an equinox Module of the user's
    (`file.py:Class`). Further keys are the options of its constructor.

    `frozen`: globs over the paths of leaves that do not move; `blocks`: of what direct feedback
    sends the error to, unless the class says it (`feedback_blocks`); `true_feedback`: of leaves
    that the backward pass meets as they are, without feedback of their own. The constructor's `key`
    comes from [init]'s seed; `image`, `inputs`, `length`, `tokens` and `outputs`, if it has such,
    are the task's unless they are given.
    """

    registry: ClassVar[str] = "networks"
    widths: ClassVar[tuple[int, ...]] = ()  # a model has none
    frozen: tuple[str, ...] = ()
    blocks: tuple[str, ...] | None = None
    true_feedback: tuple[str, ...] = ()


def _form(given: Any) -> str:
    kind = given.get("kind", LAYERED[0]) if isinstance(given, dict) else LAYERED[0]
    return "<model>" if isinstance(given, ModelSection) or kind not in LAYERED else "<layers>"


# A complaint about a section has its tag in the place of a key (`load.py`).
SECTIONS: dict[str, type[AbstractSection]] = {"<layers>": NetworkSection, "<model>": ModelSection}
AnyNetwork = Annotated[
    Annotated[NetworkSection, Tag("<layers>")] | Annotated[ModelSection, Tag("<model>")],
    Discriminator(_form),
]
