"""A kind that a config chose, looked up."""

from dataclasses import dataclass
from typing import Any

from .blame import blaming


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
        return ":" in self.kind and is_foreign(self.entry)

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
