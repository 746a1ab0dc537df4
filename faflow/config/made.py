"""The object of a choice."""

from typing import Any

from .blame import blaming
from .choice import Choice


def make(path: str, choice: Choice, **supplied: Any) -> Any:
    """The object of a choice; what its constructor objects to becomes a ConfigError."""
    named = path if path in ("network.activation", "task.loss") else f"{path}.kind"
    with blaming(path, {named: choice}, named):
        try:
            return choice.make(**supplied)
        except TypeError as error:
            raise ValueError(str(error)) from error
