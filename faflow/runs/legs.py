"""The legs of one flow: compiled, run in slices, timed, told of and, if asked for, kept on disk."""

import time
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
from jax.sharding import Mesh

from .._compiling import ONCE, Donated, Use, program, uncached_program
from ..flow import (
    Flow,
    FlowSolution,
    Meter,
    Underway,
    at_home,
    begin,
    everywhere,
    go_on,
    in_slices,
    observed,
    progress_told,
    spread_over,
    the_same_everywhere,
    use_of_steps,
)
from ..measures.summary import Seconds
from .checkpoint import Checkpoints, KeptLeg
from .ends import Ends
from .so_far import SoFar


class Legs:
    """Runs legs of a flow, as `solve_leg`, each compiled anew, and knows how long both took.

    `meter` is told how much of a leg is done. With a mesh they run there, on the problem's samples
    spread over the devices, and what they find comes back. With `checkpoints` a leg goes on from
    what is on disk of it, and what it knows is kept there, and what it has recorded `so_far`; with
    `ends`, which keep what the legs
    know at their ends, from the earlier ones.
    """

    def __init__(
        self,
        note: Callable[[str], None],
        meter: Meter | None,
        mesh: Mesh | None,
        checkpoints: Checkpoints | None,
        ends: Ends | None = None,
        so_far: SoFar | None = None,
    ):
        self._note, self._meter, self._mesh, self._kept = note, meter, mesh, checkpoints
        self._ends, self._so_far = ends, so_far
        self._programs: _Programs | None = None
        self.seconds = Seconds(0.0, 0.0)

    def __call__(self, flow: Flow) -> Any:
        found, seconds = self._run(flow, None, self._so_far)
        self.seconds = _sum(self.seconds, seconds)
        return found

    def again(self, same_program: bool, flow: Flow) -> Any:
        """Another flow, not timed."""
        return self._run(flow, self._programs if same_program else None)[0]

    def _run(
        self, flow: Flow, programs: "_Programs | None", so_far: SoFar | None = None
    ) -> tuple[Any, Seconds]:
        if self._mesh is not None:
            flow = Flow(spread_over(flow.problem, self._mesh), *everywhere(flow[1:], self._mesh))
        if programs is None:
            self._note("compiling")
            steps = use_of_steps(flow.problem)
            programs = (
                _Program(begin, "none", self._mesh, ONCE, self._note),
                _Program(go_on, "all-except-first", self._mesh, steps, self._note),
                _Program(observed, "none", self._mesh, ONCE, self._note),
            )
        self._programs = programs
        kept = None if self._kept is None else self._kept.leg(flow)
        before, stored = _spent(programs), self._stored(kept, flow)
        start, spent = (None, Seconds(0.0, 0.0)) if stored is None else stored
        tell = progress_told(self._meter, flow)

        def seconds() -> Seconds:
            taken = zip(spent, _spent(programs), before, strict=True)
            return Seconds(*(earlier + now - then for earlier, now, then in taken))

        def heard(underway: Underway, solution: FlowSolution, over: bool) -> None:
            if tell is not None:
                tell(underway, solution, over)
            if kept is not None:
                show = partial(so_far or _unshown, flow, underway, solution, over, programs[2])
                kept.offer(underway, solution.t_final, seconds(), over, show)
            if over and self._ends is not None:
                self._ends.keep(underway, flow, float(solution.t_final), seconds())

        found = in_slices(flow, heard, programs, start, by_save=kept is not None)
        return found if self._mesh is None else at_home(found), seconds()

    def _stored(self, kept: KeptLeg | None, flow: Flow) -> tuple[Underway, Seconds] | None:
        """What is known already of the next leg, and what that has cost."""
        earlier = None if self._ends is None else self._ends.next(flow, self._note)
        return (None if kept is None else kept.stored()) or earlier


def _unshown(*_: Any) -> None:
    """What a flow has recorded so far is for nobody."""


class _Program:
    """A function that is compiled in its first call (with every whole number that it is given), on
    a mesh if there is one, and timed."""

    def __init__(
        self,
        function: Callable[..., Any],
        donate: Donated,
        mesh: Mesh | None,
        use: Use,
        note: Callable[[str], None],
    ):
        self._program = (
            program(function, use, donate)
            if mesh is None
            else uncached_program(the_same_everywhere(function, mesh), use, donate)
        )
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._note = note
        self.seconds = Seconds(0.0, 0.0)

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        which = tuple(one for one in arguments if isinstance(one, int))
        if which not in self._compiled:
            if self._compiled:
                self._note("compiling a longer program, for more pairs that slide")
            self._compiled[which] = self._program.ready(*arguments)
        ready = time.perf_counter()
        found = jax.block_until_ready(self._compiled[which](*arguments))
        taken = Seconds(ready - started, time.perf_counter() - ready)
        self.seconds = _sum(self.seconds, taken)
        return found


_Programs = tuple[_Program, _Program, _Program]


def _spent(programs: _Programs) -> Seconds:
    return reduce(_sum, (program.seconds for program in programs))


def _sum(one: Seconds, two: Seconds) -> Seconds:
    return Seconds(one.compile + two.compile, one.run + two.run)
