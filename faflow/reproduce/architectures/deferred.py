"""Tests that load JAX only when they are run: claims are listed without it."""

from collections.abc import Callable
from importlib import import_module

from ..claim import Findings
from ..session import Session


def later(place: str) -> Callable[[Session], Findings]:
    """The test at a `place` in this room, "module.function"."""
    module, name = place.split(".")

    def test(session: Session) -> Findings:
        return getattr(import_module(f".{module}", __package__), name)(session)

    return test
