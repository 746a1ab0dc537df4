"""The solver and the options of a flow that meets kinks, by the method that a config chose."""

from typing import Any

import diffrax

from ..config.errors import ConfigError, shown
from ..config.schema import FlowSection
from ..flow import Exact
from ..networks import GatedReLU
from ..solvers import GaussLegendre
from ..solvers import Method as Solver


def check_exact_solver(name: str, solver: Solver) -> None:
    """ConfigError unless the pair's last stage is the field at the end of the step."""
    table: Any = getattr(solver, "tableau", None)
    if not isinstance(solver, diffrax.AbstractERK) or table is None or not table.fsal:
        what = f"is {shown(name)}, which flow.kinks = 'exact' can't use; use tsit5, bosh3 or dopri8"
        raise ConfigError("flow.solver", what)


def check_stages(name: str, solver: Solver) -> None:
    """ConfigError if the method solves for stages, which need not exist across kinks."""
    if isinstance(solver, diffrax.AbstractImplicitSolver | GaussLegendre):
        what = f"is {shown(name)}, an implicit method, whose stages need not exist across kinks"
        raise ConfigError("flow.solver", f"{what}; use heun, or flow.kinks = 'smooth' or 'exact'")


def flow_options(flow: FlowSection) -> dict[str, Any]:
    """What `Numerics` takes for a resolved [flow]'s kinks."""
    if flow.exact is None:
        return {}
    return {"kinks": "exact", "exact": Exact(**flow.exact.model_dump())}


def gate(flow: FlowSection) -> GatedReLU | None:
    """The activation that stands for relu with `kinks = "smooth"`."""
    return None if flow.smooth is None else GatedReLU(width=flow.smooth.width)
