"""A kind that a config chose, looked up."""

import inspect
from dataclasses import dataclass
from typing import Any

from .blame import blaming

GIVEN = "given:"  # before the kind of what is an object


class Prepared:
    """An entry that is an object made before: called without options, it gives it."""

    def __init__(self, held: Any):
        self.held = held

    def __call__(self) -> Any:
        return self.held


@dataclass(frozen=True)
class Choice:
    """A resolved kind: the key that names it ("rule.kind", "task.loss"), its name, the registry
    entry and its options, defaults included."""

    key: str
    kind: str
    entry: Any
    options: dict[str, Any]

    @property
    def foreign(self) -> bool:
        """Whether it comes from outside faflow."""
        return ":" in self.kind and is_foreign(self.cls)

    @property
    def given(self) -> bool:
        """Whether it is an object, or made of arrays, that Python gave."""
        return self.kind.startswith(GIVEN)

    @property
    def of_others(self) -> bool:
        """Whether it is not faflow's: from outside, or given."""
        return self.foreign or self.given

    @property
    def cls(self) -> Any:
        """The class of what it makes, or the function."""
        held = self.entry.held if isinstance(self.entry, Prepared) else self.entry
        return held if inspect.isclass(held) or inspect.isroutine(held) else type(held)

    def make(self, **supplied: Any) -> Any:
        """The entry called with its options and what faflow supplies. What it objects to becomes a
        ConfigError."""
        with blaming(self.key.removesuffix(".kind"), {self.key: self}, self.key):
            try:
                return self.entry(**supplied, **self.options)
            except TypeError as error:
                raise ValueError(str(error)) from error


def is_foreign(entry: Any) -> bool:
    """Whether an entry comes from outside faflow (so that it may raise anything)."""
    return str(getattr(entry, "__module__", "")).split(".")[0] != "faflow"
