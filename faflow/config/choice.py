"""A kind that a config chose, looked up."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A resolved kind: its name, the registry entry and its options, defaults included."""

    kind: str
    entry: Any
    options: dict[str, Any]

    @property
    def foreign(self) -> bool:
        """Whether it comes from outside faflow."""
        return ":" in self.kind and is_foreign(self.entry)

    def make(self, **supplied: Any) -> Any:
        """The entry called with its options and what faflow supplies."""
        return self.entry(**supplied, **self.options)


def is_foreign(entry: Any) -> bool:
    """Whether an entry comes from outside faflow (so that it may raise anything)."""
    return str(getattr(entry, "__module__", "")).split(".")[0] != "faflow"
