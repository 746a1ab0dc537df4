"""Solvers by name, and what one step of each costs."""

from collections.abc import Callable
from typing import Any, Literal

import diffrax

from .abstract import AbstractCountingSolver
from .gauss import GaussLegendre
from .multistep import BDF, Adams
from .rkc import RKC2

Number = Any  # a float or a scalar array
Method = diffrax.AbstractSolver | BDF | Adams


def _implicit(solver: type) -> Callable[[Number, Number], diffrax.AbstractSolver]:
    return lambda rtol, atol: solver(root_finder=diffrax.VeryChord(rtol=rtol, atol=atol))


def _explicit(solver: type) -> Callable[[Number, Number], diffrax.AbstractSolver]:
    return lambda rtol, atol: solver()


def _stabilised(rtol: Number, atol: Number) -> diffrax.AbstractSolver:
    del atol
    return RKC2(rtol)


def _gauss(stages: int) -> Callable[[Number, Number], diffrax.AbstractSolver]:
    # More secants save sweeps. With four stages they cost digits: drift of 5e-15 instead of 2e-16.
    memory = 8 if stages in (2, 3) else 2
    return lambda rtol, atol: GaussLegendre(stages, memory=memory, rtol=rtol)


def _multistep(linear: Literal["auto", "dense", "krylov"]) -> Callable[[Number, Number], BDF]:
    return lambda rtol, atol: BDF(linear)


# name -> builder(rtol, atol)
SOLVERS: dict[str, Callable[[Number, Number], Method]] = {
    "auto": _explicit(diffrax.Tsit5),
    "tsit5": _explicit(diffrax.Tsit5),
    "dopri5": _explicit(diffrax.Dopri5),
    "dopri8": _explicit(diffrax.Dopri8),
    "bosh3": _explicit(diffrax.Bosh3),
    "heun": _explicit(diffrax.Heun),
    "euler": _explicit(diffrax.Euler),
    "kvaerno3": _implicit(diffrax.Kvaerno3),
    "kvaerno5": _implicit(diffrax.Kvaerno5),
    "rkc2": _stabilised,
    "implicit-midpoint": _gauss(1),
    "gauss4": _gauss(2),
    "gauss6": _gauss(3),
    "gauss8": _gauss(4),
    "adams": lambda rtol, atol: Adams(),
    "bdf": _multistep("auto"),
    "bdf-dense": _multistep("dense"),
    "bdf-krylov": _multistep("krylov"),
}

# equation / source, printed by `faflow list solvers`
NOTES = {
    "auto": "the default: tsit5, or adams if the field is dear, until the flow is stiff and long, "
    "then bdf; heun or bosh3 at kinks",
    "tsit5": "explicit Runge-Kutta 5(4), adaptive (Tsitouras 2011): smooth flows, not stiff",
    "dopri5": "explicit Runge-Kutta 5(4), adaptive (Dormand & Prince 1980)",
    "dopri8": "explicit Runge-Kutta 8(7), adaptive (Prince & Dormand 1981): pays below 1e-10",
    "bosh3": "explicit Runge-Kutta 3(2), adaptive (Bogacki & Shampine 1989): for smoothed kinks",
    "heun": "explicit Runge-Kutta 2(1), adaptive or fixed step: the default across kinks",
    "euler": "the discrete rule itself: w += step * velocity; fixed step",
    "kvaerno3": "implicit ESDIRK 3(2), adaptive (Kvaerno 2004): stiff flows",
    "kvaerno5": "implicit ESDIRK 5(4), adaptive (Kvaerno 2004): stiff flows, tight tolerances",
    "rkc2": "stabilised explicit Runge-Kutta-Chebyshev 2, adaptive (Sommeijer et al. 1998): stiff, "
    "no Jacobian, any size",
    "implicit-midpoint": "Gauss-Legendre, order 2, adaptive: keeps quadratic laws to rounding",
    "gauss4": "Gauss-Legendre, order 4, adaptive: keeps quadratic laws to rounding",
    "gauss6": "Gauss-Legendre, order 6, adaptive: keeps quadratic laws to rounding",
    "gauss8": "Gauss-Legendre, order 8, adaptive: the same, cheapest below 1e-9",
    "adams": "Adams PECE of orders 1-12, adaptive (Shampine & Gordon 1975): smooth flows, not "
    "stiff, whose field is dear",
    "bdf": "BDF of orders 1-5, adaptive (Shampine & Reichelt 1997): long stiff flows; one of the "
    "two below, by size and by how hard GMRES works",
    "bdf-dense": "BDF with a factored Jacobian: up to a thousand weights",
    "bdf-krylov": "BDF with GMRES on products with the Jacobian: any number of weights",
}

MULTISTEP = frozenset({"adams", "bdf", "bdf-dense", "bdf-krylov"})  # they choose their steps
FIXED_STEP_ONLY = frozenset({"euler"})


def make_solver(name: str, rtol: Number, atol: Number) -> Method:
    """The solver of this name; implicit ones solve their stages to (rtol, atol)."""
    return SOLVERS[name](rtol, atol)


def evaluations_per_step(solver: Method) -> int | None:
    """Field evaluations of one step of an explicit method; None where it varies (implicit)."""
    if isinstance(solver, diffrax.Euler):
        return 1
    if isinstance(solver, diffrax.AbstractERK):
        tableau: Any = solver.tableau
        return tableau.num_stages - (1 if tableau.fsal else 0)
    return None


def counts_evaluations(solver: Method) -> bool:
    """Whether a flow with this solver knows how often it evaluated the field."""
    counting = isinstance(solver, AbstractCountingSolver | BDF | Adams)
    return counting or evaluations_per_step(solver) is not None


def keeps_last(solver: Method) -> bool:
    """First-same-as-last methods evaluate the field once more before the first step."""
    tableau: Any = getattr(solver, "tableau", None)
    return isinstance(solver, diffrax.AbstractERK) and tableau.fsal
