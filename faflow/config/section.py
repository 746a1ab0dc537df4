"""What every table of a config is: strict about its keys, their types and ranges."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

MOST = 2**31 - 1

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Table = dict[str, Any]

# Numbers folded into a section's seed, so that one seed draws independent sections. Fixed for good:
# other numbers would be other data.
TASK, INIT, FEEDBACK, DISCRETE, SIMULATE = 1, 2, 3, 4, 5


class AbstractSection(BaseModel):
    """A table of the config: no unknown keys, no conversions.

    A validator that has a key of its own to name raises ConfigError with the key inside its table.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AbstractKindSection(AbstractSection):
    """A table whose further keys are the options of its `kind`."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    registry: ClassVar[str]
    kind: str

    @property
    def options(self) -> Table:
        return dict(self.__pydantic_extra__ or {})
