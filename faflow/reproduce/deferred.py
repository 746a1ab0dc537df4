"""Tests that load JAX only when they are run: claims are listed without it."""

from collections.abc import Callable
from importlib import import_module

from .claim import Findings
from .session import Session


def later(room: str, place: str) -> Callable[[Session], Findings]:
    """The test at a `place` in a `room` ("faflow.reproduce.tran", say), "module.function"."""
    module, name = place.split(".")

    def test(session: Session) -> Findings:
        return getattr(import_module(f".{module}", room), name)(session)

    return test
