"""[flow]: how far, how densely recorded, how accurately; and the numerics that this makes.

Defaults of the plain solver, from the weights' relative error against the exact integrator and the
field evaluations spent on it (FA on 10-16-12-1, 40 samples, t = 5 / 10-32-32-32-1, 64 samples,
t = 20; both with 20 saves):

    heun    rtol 1e-4   9.8e-5,  5,964 / 1.6e-4,  2,536
    bosh3   rtol 1e-5   8.0e-5, 17,445 / 8.0e-5,  6,621
    tsit5   rtol 1e-6   8.6e-5, 59,505 / 1.0e-4, 43,947
    heun    fixed step  1.5e-4,  1,000 / 1.3e-4,  4,000
    euler   fixed step  1.4e-4,  2,000 / 6.9e-5, 10,000
    smooth, bosh3 1e-6  7.5e-5,  3,501 / 1.2e-4,  5,631  (width 1e-4; tsit5: 3,489 / 6,951)
    exact,  tsit5 1e-9  6.6e-11, 2,664 / 4.0e-11, 12,580

So Heun, at a tolerance that is also about its error in the weights; with bosh3 and tsit5 that is 8
and 100 times the tolerance.
"""

import itertools
import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..._results import Branch
from ..errors import ConfigError
from ..section import MOST, AbstractSection, Count, Positive

Method = Literal[
    "none", "plain", "smooth", "exact"
]  # how kinks are integrated; none: there are none
Tolerance = Annotated[float, Field(gt=0, lt=1)]

SINGLE = 1e-4  # relative tolerance in float32
# The smallest relative tolerance that rounding leaves any meaning.
REACH = {"float64": 1e-14, "float32": 1e-6}
SAVES = 1_000_000  # at most
WHOLE = 1e-9  # relative deviation from a whole number of steps that is rounding


# Solver and relative tolerance where a config gives none.
DEFAULTS: dict[Method, tuple[str, float]] = {
    "none": ("auto", 1e-9),
    "plain": ("heun", 1e-4),
    "smooth": ("bosh3", 1e-6),
    "exact": ("tsit5", 1e-9),
}


class StopSection(AbstractSection):
    """[flow.stop]: when the flow ends before t1."""

    loss: Positive | None = None
    residual: Positive | None = None
    steady: Positive | None = None
    blow_up: Positive | None = None


class ExactSection(AbstractSection):
    """[flow.exact]: pairs (neuron, sample) that may slide at once, changes of pairs that the log
    keeps, and what happens where the flow is not unique: it stops, or follows the continuation
    nearest to the mode it was in, or the other one."""

    slots: Count = 128
    events: Annotated[int, Field(ge=0, le=MOST)] = 20_000
    branch: Branch = "stop"


class SmoothSection(AbstractSection):
    """[flow.smooth]: the width eps of the gate s(h) = 1 / (1 + exp(-h / eps)).

    The default makes errors of about 1e-4 in the weights, like the defaults of "plain" and at its
    cost; with 1e-3 they are 6e-4 to 3e-3, at half the cost (the nets above).
    """

    width: Positive = 1e-4


class FlowSection(AbstractSection):
    """[flow]: how far, how densely recorded, how accurately.

    `kinks`: how a kinked activation is integrated (`kinks.py`). `exact` and `smooth` are
    for these values of it only. `atol` is rtol / 100 unless given; `atol_scales`: less where the
    weights start small (flow/loop/tolerance.py), unless atol is given. `polish`: look for the fixed
    point that the flow was heading for, beside its own end (`polished` in the summary). `project`:
    put the weights back onto the rule's laws after every step, so that their drift says nothing.
    `block`: samples whose activations are there at once (absent: all). `devices`: of every process,
    over which samples are spread. `extended_at`: where flows ended that this one goes on from. Up
    to the first of these times the saves are those of a flow that ends there (`saves` of them), and
    from there on they are as far apart, or by the same factor, with every end a save.
    """

    t1: Positive
    extended_at: tuple[Positive, ...] | None = None
    saves: Annotated[int, Field(ge=2, le=SAVES)] = 101
    spacing: Literal["linear", "log"] = "linear"
    first: Positive | None = None
    solver: str = "auto"
    rtol: Tolerance | None = None
    atol: Positive | None = None
    atol_scales: bool | None = None
    step: Positive | None = None
    max_steps: Count = 1_000_000
    kinks: Literal["auto", "exact", "plain", "smooth"] = "auto"
    exact: ExactSection | None = None
    smooth: SmoothSection | None = None
    tail: bool = False
    polish: bool = False
    project: bool = False
    block: Count | None = None
    devices: Count = 1
    stop: StopSection = StopSection()

    @model_validator(mode="after")
    def _check(self):
        for name in ("exact", "smooth"):
            table = getattr(self, name)
            if table is not None and table.model_fields_set and self.kinks != name:
                what = f"needs flow.kinks = '{name}'; remove it (flow.{name}={{}}) or change that"
                raise ConfigError(name, what)
        if self.first is not None and self.spacing == "linear":
            raise ConfigError("first", 'needs flow.spacing = "log"; remove it or change that')
        ends = self.ends
        if not all(one < other for one, other in itertools.pairwise(ends)):
            what = f"is {list(ends[:-1])}; its times must increase, up to flow.t1 = {self.t1}"
            raise ConfigError("extended_at", what)
        if self.first is not None and self.first >= ends[0]:
            raise ConfigError("first", f"is {self.first}; it must be below flow.t1 = {ends[0]}")
        return self

    @property
    def ends(self) -> tuple[float, ...]:
        """Where the flow ended, each time that it was extended, and where it ends."""
        return (*(self.extended_at or ()), self.t1)

    def completed(self, method: Method, precision: str) -> "FlowSection":
        """With every default. ConfigError if the precision can't hold the tolerance, or can't tell
        the saves apart."""
        default, usual = DEFAULTS[method]
        solver = default if self.solver == "auto" else self.solver
        if solver == "auto" and (self.step is not None or self.project):
            solver = "tsit5"  # there is nothing to choose by
        rtol = self.rtol or (SINGLE if precision == "float32" else usual)
        if self.step is None and rtol < REACH[precision]:
            other = "" if precision == "float64" else ' or set precision = "float64"'
            what = f"is {rtol}, below what {precision} can hold; use at least {REACH[precision]}"
            raise ConfigError("flow.rtol", what + other)
        first = self.ends[0] * 1e-4 if self.spacing == "log" and not self.first else self.first
        chosen = {
            "solver": solver,
            "rtol": rtol,
            "atol": float(f"{rtol / 100:g}") if self.atol is None else self.atol,
            "atol_scales": self.atol is None if self.atol_scales is None else self.atol_scales,
            "first": first,
            "exact": (self.exact or ExactSection()) if method == "exact" else None,
            "smooth": (self.smooth or SmoothSection()) if method == "smooth" else None,
        }
        flow = self.model_copy(update=chosen)
        flow.save_times(precision)
        return flow

    def check_steps(self, fixed: bool, multistep: bool) -> None:
        """ConfigError unless the solver, which takes `fixed` steps or chooses them by errors of its
        own, can take those that are asked for."""
        if fixed and self.step is None:
            what = f"is missing, but {self.solver} takes fixed steps; give it"
            raise ConfigError("flow.step", f"{what} (say {self.t1 / 1000:g})")
        if multistep and self.step is not None:
            what = f"is given, but {self.solver} chooses its steps; remove it"
            raise ConfigError("flow.step", what)
        if self.step is not None:
            _check_step(self, self.step)

    def save_times(self, precision: str) -> np.ndarray:
        """0 = t_0 < ... = t1: `saves` of them up to the first of `ends`, then as many as are not
        further apart than those. ConfigError if the precision can't tell them apart."""
        ts = np.concatenate(self._stretches())
        held = ts.astype(precision)
        if not np.all(np.diff(held) > 0) or not np.all(np.isfinite(held)):
            what = f"is {self.saves}, too many to tell apart in {precision} up to {self.t1}"
            raise ConfigError("flow.saves", f"{what}; lower it")
        return ts

    def _stretches(self) -> list[np.ndarray]:
        """The save times up to each of `ends`, from the one before it on. A flow that ends earlier
        has the first of these, to the bit."""
        last, count, log = self.ends[0], self.saves - 1, self.spacing == "log"
        first = self.first or 0.0
        if not log:
            found = [np.linspace(0.0, last, self.saves)]
        elif count == 1:
            found = [np.array([0.0, last])]
        else:
            found = [np.concatenate([[0.0], np.geomspace(first, last, count)])]
            found[0][-1] = last
        for end in self.ends[1:]:
            further = (end - last) * count / self.ends[0]
            if log and count > 1:
                further = (count - 1) * math.log(end / last) / math.log(self.ends[0] / first)
            further = 1 if log and count == 1 else max(1, math.ceil(further * (1 - WHOLE)))
            if sum(map(len, found)) + further > SAVES:
                what = f"is {end}, which takes more than {SAVES} saves; lower it"
                raise ConfigError("flow.t1", what)
            space = np.geomspace if log else np.linspace
            found.append(space(last, end, further + 1)[1:])
            found[-1][-1] = last = end
        return found

    def numerics(self, solver: Any = None) -> Any:
        """The `Numerics` of a resolved section; `solver`: one of the user's, in place of a name."""
        from ...flow import Exact, Numerics, Stops

        stops = {k: v for k, v in self.stop.model_dump().items() if v is not None}
        exact = self.exact and Exact(**self.exact.model_dump())
        return Numerics(
            solver=self.solver if solver is None else solver,
            **{k: getattr(self, k) for k in ("rtol", "atol", "atol_scales", "step", "max_steps")},
            tail=self.tail,
            project=self.project,
            stops=Stops(**stops),
            **({"kinks": "exact", "exact": exact} if exact else {}),
        )


def _check_step(flow: FlowSection, step: float) -> None:
    """Fixed steps are all of one length, so that saves fall onto their ends."""
    if step > flow.t1:
        raise ConfigError("flow.step", f"is {step}; it must be at most flow.t1 = {flow.t1}")
    if flow.spacing == "log":
        what = 'is fixed, which saves with spacing = "log" would cut; use spacing = "linear"'
        raise ConfigError("flow.step", what)
    counts = [flow.saves - 1, *map(len, flow._stretches()[1:])]
    for since, end, saves in zip((0.0, *flow.ends), flow.ends, counts, strict=False):
        spacing = (end - since) / saves
        count = spacing / step
        if abs(count - round(count)) > WHOLE * count:
            near = spacing / max(1, round(count))
            what = f"is {step}, which does not divide the time between saves ({spacing:g})"
            raise ConfigError("flow.step", f"{what}; use {near!r} or change flow.saves")
