"""[network] of layers: their widths, activation, biases and gates."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..errors import ConfigError
from ..section import MOST, AbstractKindSection, AbstractSection, Seed

INPUTS, OUTPUTS = "inputs", "outputs"
Layered = Literal["mlp", "gated"]  # kinds that are chains of layers; all others are models
LAYERED: tuple[str, ...] = get_args(Layered)


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


def activation_table(given: Any) -> Any:
    """The section that a name or a table stands for."""
    table = {"kind": given} if isinstance(given, str) else given
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise ValueError('it must be a name or a table {kind = "…", options}')
    return ActivationSection(**table)


Phi = Annotated[ActivationSection, BeforeValidator(activation_table)]


class NetworkSection(AbstractSection):
    """[network]: widths (input first, output last), activation (name or inline table), biases.

    "inputs" and "outputs" among the widths are the task's (sizes.py); in a resolved config they are
    whole numbers.

    `kind = "gated"`: a gated linear network, whose gates are the activation's slopes at random
    projections of the inputs, drawn from `seed`.
    """

    kind: Layered = "mlp"
    widths: Annotated[tuple[Width, ...], AfterValidator(_layers)]
    activation: Phi = ActivationSection(kind="linear")
    bias: bool = False
    bias_scale: Annotated[float, Field(ge=0)] = 0.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _check_seed(self):
        if self.seed is not None and self.kind != "gated":
            raise ConfigError("seed", "needs network.kind = 'gated'; remove it or change that")
        return self
