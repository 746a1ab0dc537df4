"""Numerics that know nothing of learning."""

from .abstract import AbstractCountingSolver as AbstractCountingSolver
from .gauss import GaussLegendre as GaussLegendre
from .registry import FIXED_STEP_ONLY as FIXED_STEP_ONLY
from .registry import SOLVERS as SOLVERS
from .registry import counts_evaluations as counts_evaluations
from .registry import evaluations_per_step as evaluations_per_step
from .registry import keeps_last as keeps_last
from .registry import make_solver as make_solver
from .rkc import RKC2 as RKC2
