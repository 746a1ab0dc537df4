"""Kinds as their code tells them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, final

import diffrax

from ...networks import AbstractActivation
from ...networks.activations import LeakyReLU, RectifiedPower
from ...population import AbstractPopulationRule
from ...rules import AbstractLayerwiseRule
from ...solvers import FIXED_STEP_ONLY, MULTISTEP, SOLVERS
from ..choice import Choice
from ..data import draw_task
from ..made import make
from ..schema import Config
from .catalogue import names
from .kinds import AbstractKinds, PhiTraits, RuleTraits
from .registries import REGISTRIES, resolve


@final
class Coded(AbstractKinds):
    """Registries, and the user's own code, which is run."""

    def entry(self, path: str, registry: str, kind: str, base: Path) -> Any:
        return resolve(path, registry, kind, base)

    def names(self, registry: str) -> Collection[str]:
        return names(registry) if registry == "observables" else list(REGISTRIES[registry])

    def rule(self, entry: Any) -> RuleTraits:
        population = issubclass(entry, AbstractPopulationRule)
        form = getattr(entry, "form", "")
        known = form if isinstance(form, str) else ""
        return RuleTraits(known, population, issubclass(entry, AbstractLayerwiseRule))

    def phi(self, choice: Choice) -> PhiTraits:
        phi = make("network.activation", choice)
        return PhiTraits(bool(phi.kinked), _is_relu(phi))

    def check_loss(self, choice: Choice) -> None:
        make("task.loss", choice)

    def takes_fixed_steps(self, solver: str, base: Path) -> bool:
        entry = resolve("flow.solver", "solvers", solver, base)
        own = solver not in SOLVERS
        return solver in FIXED_STEP_ONLY or (
            own and not issubclass(entry, diffrax.AbstractAdaptiveSolver)
        )

    def chooses_steps(self, solver: str) -> bool:
        return solver in MULTISTEP

    def drawn_sizes(
        self, config: Config, task: Choice, loss: Choice, base: Path
    ) -> tuple[int, int]:
        suspects = {"task.kind": task, "task.loss": loss}
        data = draw_task(config, task, make("task.loss", loss), base, suspects).data
        return data.inputs.shape[1], data.targets.shape[1]


def _is_relu(phi: AbstractActivation) -> bool:
    power = isinstance(phi, RectifiedPower) and phi.kinked
    return power or (isinstance(phi, LeakyReLU) and phi.slope == 0)
