"""[task]: the data, their preparation and the loss; drawn from the section's seed."""

import inspect
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from .blame import blaming
from .choice import Choice
from .places import located
from .section import MOST, AbstractKindSection, Seed


def _count_or_share(test: float | int) -> float | int:
    if isinstance(test, float) and not 0 < test < 1:
        raise ValueError("it must be a whole number of samples, or a share between 0 and 1")
    if not 0 <= test <= MOST:
        raise ValueError(f"it must be at least 0 and at most {MOST}")
    return test


class TaskSection(AbstractKindSection):
    """[task]: the data, their preparation and the loss; `test`: samples, the last ones, that are
    not learned from: how many, or which share of all."""

    registry: ClassVar[str] = "tasks"
    loss: str = "squared"
    reduction: Literal["sum", "mean"] = "sum"
    standardise: bool = False
    whiten: Literal["none", "rows", "features"] = "none"
    scale: float = 1.0
    test: Annotated[float | int, AfterValidator(_count_or_share)] = 0
    seed: Seed | None = None

    def draw(self, choice: Choice, loss: Choice, key: Any, outputs: int | str, base: Path) -> Any:
        """The `Task`, whose kind and loss are looked up; `outputs` of the network tell labels from
        numbers. ConfigError if it can't be drawn."""
        from ..tasks import held_out, make_task

        options, own = dict(choice.options), ":" in choice.kind
        if isinstance(options.get("file"), str):
            options["file"] = str(located(base, options["file"]))
        labelled = isinstance(outputs, int) and (own or "file" in options)
        supplied = {
            "key": key,
            "loss": loss.make(),
            "reduction": self.reduction,
            "standardise": self.standardise,
            "whiten": self.whiten,
            "scale": self.scale,
            "labels_for": outputs if labelled else None,
        }
        with blaming("task", {choice.key: choice, loss.key: loss}):
            known = inspect.signature(make_task).parameters
            if clash := (set(options) & set(known)) - {"options"}:
                raise ValueError(f"has an option named {', '.join(clash)}, which [task] has itself")
            task = make_task(choice.entry if own else choice.kind, **supplied, **options)
            if self.test and task.test is not None:
                what = f"must be left out where the data have a test set, but is {self.test}"
                raise ValueError(f"Argument `test` {what}; remove it.")
            return held_out(task, self._count(task), self.reduction) if self.test else task

    def _count(self, task: Any) -> int:
        """How many samples `test` means."""
        share = isinstance(self.test, float)
        return max(1, round(self.test * task.data.inputs.shape[0])) if share else int(self.test)
