"""Kinds as their code tells them."""

from pathlib import Path
from typing import Any, final

import diffrax

from ...networks import AbstractActivation
from ...networks.activations import LeakyReLU, RectifiedPower
from ...population import AbstractPopulationRule
from ...rules import AbstractLayerwiseRule
from ...solvers import FIXED_STEP_ONLY, MULTISTEP, SOLVERS
from ..choice import Choice
from .kinds import AbstractKinds, PhiTraits, RuleTraits, SolverTraits
from .model import is_kinked_model
from .registries import resolve


@final
class Coded(AbstractKinds):
    """Registries, and the user's own code, which is run."""

    def entry(self, path: str, registry: str, kind: str, base: Path) -> Any:
        return resolve(path, registry, kind, base)

    def rule(self, entry: Any) -> RuleTraits:
        population = issubclass(entry, AbstractPopulationRule)
        form = getattr(entry, "form", "")
        known = form if isinstance(form, str) else ""
        return RuleTraits(known, population, issubclass(entry, AbstractLayerwiseRule))

    def phi(self, choice: Choice) -> PhiTraits:
        phi = choice.make()
        return PhiTraits(bool(phi.kinked), _is_relu(phi))

    def is_kinked_model(self, choice: Choice, section: Any, data: Any, key: Any) -> bool:
        return is_kinked_model(choice, section, data, key)

    def solver(self, kind: str, entry: Any) -> SolverTraits:
        own = kind not in SOLVERS and not issubclass(entry, diffrax.AbstractAdaptiveSolver)
        return SolverTraits(own or kind in FIXED_STEP_ONLY, kind in MULTISTEP)


def _is_relu(phi: AbstractActivation) -> bool:
    power = isinstance(phi, RectifiedPower) and phi.kinked
    return power or (isinstance(phi, LeakyReLU) and phi.slope == 0)
