"""[network] of infinite width: its layers, and which equations of the limit are solved."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ..errors import ConfigError
from ..section import AbstractSection, Positive, Seed
from .layers import ActivationSection, Phi

WIDE = "wide"
LINEAR = "linear"
Equations = Literal["closed", "matrix", "neurons", "sampled"]
FEEDBACK = ("feedback-alignment", "direct-feedback-alignment")
RULES = ("gradient", *FEEDBACK, "hebbian")  # that have a limit


def _power_of_two(count: int) -> int:
    if count & (count - 1):
        raise ValueError(f"it must be a power of 2; take {2 ** count.bit_length()}")
    return count


class WideSection(AbstractSection):
    """[network] with `kind = "wide"`: the limit of infinite width in the mean-field scaling.

    `hidden`: how many layers are hidden; `richness`: gamma_0, of W(0), the feedback and the rates;
    `gated`: the activation's slopes at frozen gaussian fields take the place of phi'(h).
    `equations`: which of the limit's are solved, chosen by the problem unless given: "closed" (a
    flow of as many numbers as there are inputs), "matrix" (on `times` steps, and on twice and four
    times as many), "neurons" (so many, a power of 2, drawn quasi-randomly from `seed`, `batches`
    times for an error), "sampled" (dynamical field theory: `neurons` of every layer at `times`
    times, `batches` times).
    """

    kind: Literal["wide"]
    widths: ClassVar[tuple[int, ...]] = ()
    hidden: Annotated[int, Field(ge=1, le=10)] = 1
    activation: Phi = ActivationSection(kind=LINEAR)
    gated: bool = False
    richness: Positive = 1.0
    equations: Equations | Literal["auto"] = "auto"
    neurons: Annotated[int, Field(ge=2, le=2**20), AfterValidator(_power_of_two)] = 1024
    batches: Annotated[int, Field(ge=2, le=1000)] = 4
    times: Annotated[int, Field(ge=2, le=10_000)] = 25
    seed: Seed | None = None

    def solved_by(self, rule: str) -> Equations:
        """The equations that are solved under this rule. ConfigError where there are none, or the
        ones that are asked for don't serve it."""
        if rule not in RULES:
            what = f"is '{rule}', which has no limit of infinite width here"
            raise ConfigError("rule.kind", f"{what}; use one of {', '.join(RULES)}")
        served = self._serving(rule)
        if self.equations == "auto":
            return served[0]
        if self.equations not in served:
            gates = "gated, " if self.gated else ""
            what = f"is '{self.equations}', which has no equations for {rule} in a network of "
            what += f"{self.hidden} hidden layers ({gates}{self.activation.kind})"
            raise ConfigError("network.equations", f"{what}; use {' or '.join(served)}")
        return self.equations

    def _serving(self, rule: str) -> list[Equations]:
        """The best first."""
        linear = self.activation.kind == LINEAR and not self.gated
        found: list[Equations] = []
        if linear and rule in FEEDBACK:
            found.append("closed")
        if linear and rule == "gradient":
            found.append("matrix")
        if self.hidden == 1:
            found.append("neurons")
        if not self.gated:
            found.append("sampled")
        if not found:
            what = "is true, and gated networks are served with one hidden layer"
            raise ConfigError("network.gated", f"{what}; set network.hidden = 1")
        return found
