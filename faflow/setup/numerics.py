"""How the flow of a config is integrated, and whether this problem lets it be."""

from typing import Any

import diffrax

from ..analysis.law_keeping import KEPT, are_kept, rates_near
from ..config.errors import ConfigError, shown
from ..config.resolve import Resolved
from ..flow import (
    FlowProblem,
    Numerics,
    check_exact,
    check_implicit,
    check_polish,
    check_projection,
)
from ..solvers import GaussLegendre, Method


def numerics_of(resolved: Resolved, problem: FlowProblem) -> Numerics:
    """The numerics of [flow]. ConfigError where the problem is not one for them."""
    own, flow = resolved.solver, resolved.flow
    numerics = flow.numerics(resolved.ask(own.key, own.entry) if ":" in own.kind else None)
    solver = numerics.build_solver()
    if resolved.method == "exact":
        _check_exact_solver(flow.solver, solver)
        resolved.ask("flow.kinks", check_exact, problem, numerics)
    else:
        if resolved.method == "plain":
            _check_stages(flow.solver, solver)
        resolved.ask("flow.solver", check_implicit, problem, numerics, solver)
    if flow.polish:
        resolved.ask("flow.polish", check_polish, problem)
    if flow.project:
        resolved.ask("flow.project", check_projection, problem, numerics)
        _check_kept(resolved, problem)
    return numerics


def _check_exact_solver(name: str, solver: Method) -> None:
    """The pair's last stage has to be the field at the end of the step."""
    table: Any = getattr(solver, "tableau", None)
    if not isinstance(solver, diffrax.AbstractERK) or table is None or not table.fsal:
        what = f"is {shown(name)}, which flow.kinks = 'exact' can't use; use tsit5, bosh3 or dopri8"
        raise ConfigError("flow.solver", what)


def _check_stages(name: str, solver: Method) -> None:
    """Stages that a method solves for need not exist across kinks."""
    if isinstance(solver, diffrax.AbstractImplicitSolver | GaussLegendre):
        what = f"is {shown(name)}, an implicit method, whose stages need not exist across kinks"
        raise ConfigError("flow.solver", f"{what}; use heun, or flow.kinks = 'smooth' or 'exact'")


def _check_kept(resolved: Resolved, problem: FlowProblem) -> None:
    """Laws that the field breaks must not be forced upon it."""
    rates = rates_near(problem.rule.laws(problem.weights), problem)
    for name, kept in are_kept(rates, KEPT[resolved.config.precision]).items():
        if not kept:
            what = f"puts weights back onto the laws, but the field breaks {name}; remove it"
            raise ConfigError("flow.project", what)
