"""Kinds that are objects of Python's, beside those that code tells."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from ..choice import GIVEN, Choice, Prepared
from ..errors import ConfigError
from .coded import Coded
from .kinds import AbstractKinds, PhiTraits, RuleTraits, SolverTraits
from .registries import BASES


@final
class Objects(AbstractKinds):
    """Kinds as code tells them, but for those that stand for `objects`, by the keys of these."""

    def __init__(self, objects: Mapping[str, Any]):
        self.objects, self.code = objects, Coded()

    def entry(self, path: str, registry: str, kind: str, base: Path) -> Any:
        if not kind.startswith(GIVEN):
            return self.code.entry(path, registry, kind, base)
        held = self.objects[path]
        if registry == "tasks":
            return held
        _check(path, registry, held)
        return Prepared(held)

    def rule(self, entry: Any) -> RuleTraits:
        return self.code.rule(type(entry.held) if isinstance(entry, Prepared) else entry)

    def phi(self, choice: Choice) -> PhiTraits:
        return self.code.phi(choice)

    def is_kinked_model(self, choice: Choice, section: Any, data: Any, key: Any) -> bool:
        return self.code.is_kinked_model(choice, section, data, key)

    def solver(self, kind: str, entry: Any) -> SolverTraits:
        return self.code.solver(kind, type(entry.held) if isinstance(entry, Prepared) else entry)


def _check(path: str, registry: str, held: Any) -> None:
    base = BASES[registry]
    if base is None or isinstance(held, base):
        return
    if registry == "observables" and callable(held) and not inspect.isclass(held):
        return
    name = getattr(held, "__name__", type(held).__name__)
    if inspect.isclass(held):
        what = f"is the class {name}; give an instance, {name}(…)"
    else:
        a = "an" if base.__name__[0] in "AEIOU" else "a"
        what = f"is a {type(held).__name__}, which is not {a} {base.__name__}; give one, or a name"
    raise ConfigError(path, what)
