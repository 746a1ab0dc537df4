"""Kinds as the catalogue tells them, without their code."""

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, final

from ..choice import Choice
from ..options import MISSING, Described, Option
from .catalogue import catalogue
from .kinds import AbstractKinds, PhiTraits, RuleTraits, SolverTraits, UntoldError

_WORDS: dict[str, Any] = {
    "float": float, "int": int, "bool": bool, "str": str, "None": None, "Any": Any,
}  # fmt: skip


def kinds_described(registry: str) -> dict[str, Described]:
    """All entries of a registry."""
    return {
        name: Described(_options(entry["options"]), entry.get("traits"))
        for name, entry in catalogue()["kinds"][registry].items()
    }


def _options(written: Mapping[str, Mapping[str, Any]]) -> dict[str, Option]:
    return {
        name: Option(_type(option["type"]), option.get("default", MISSING))
        for name, option in written.items()
    }


def _type(written: Any) -> Any:
    """A type as `cataloguing.spelt` writes it."""
    if isinstance(written, str):
        return _WORDS.get(written, Described)  # or an object that TOML has no sign for
    how, *parts = written
    if how == "Literal":
        return Literal[tuple(parts)]
    types = tuple(_type(part) for part in parts)
    if how == "Union":
        return typing.Union[types]  # noqa: UP007
    return tuple[types[0], ...] if how == "tuple" else Sequence[types[0]]


@final
class Catalogued(AbstractKinds):
    """faflow's own kinds; what takes code is untold."""

    def entry(self, path: str, registry: str, kind: str, base: Path) -> Described:
        found = kinds_described(registry).get(kind)
        if found is None:  # it is the user's own, or misspelt
            raise UntoldError(kind)
        return found

    def rule(self, entry: Described) -> RuleTraits:
        return RuleTraits(*_told(entry))

    def phi(self, choice: Choice) -> PhiTraits:
        return PhiTraits(*_told(choice.entry))

    def is_kinked_model(self, choice: Choice, section: Any, data: Any, key: Any) -> bool:
        raise UntoldError(choice.kind)

    def solver(self, kind: str, entry: Described) -> SolverTraits:
        return SolverTraits(*_told(entry))


def _told(entry: Described) -> Sequence[Any]:
    if entry.traits is None:
        raise UntoldError("traits")
    return entry.traits
