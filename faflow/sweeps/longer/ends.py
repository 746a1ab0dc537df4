"""What members of a sweep know at their ends ([sweep] end_states): a file for each, by its number,
which a member of a longer sweep finds there and goes on from."""

import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax

from ...config.errors import ConfigError
from ...flow import (
    Flow,
    FlowSolution,
    KinkError,
    Meter,
    Underway,
    by_its_solvers,
    in_slices,
    kept_programs,
    settled,
)
from ...measures.measure import Experiment, Note
from ...measures.summary import Seconds
from ...runs.ends import Ends, read_ends
from ...store.exchange import ENDS
from ...store.files import hidden, replace_bytes
from ..member import integrate_again

NAME = f"{'[0-9]' * 8}.npz"  # how `end_of` names one, as a pattern


def end_of(folder: Path, member: int) -> Path:
    """Where a member's end is kept."""
    return folder / ENDS / f"{member:08d}.npz"


def take_over(earlier: Path, folder: Path) -> None:
    """Give the sweep in `folder` the ends of an earlier one, where it has none yet."""
    (folder / ENDS).mkdir(exist_ok=True)
    for path in sorted((earlier / ENDS).glob("*.npz")):
        if not (folder / ENDS / path.name).exists():
            temporary = hidden(folder / ENDS / path.name)
            shutil.copyfile(path, temporary)
            os.replace(temporary, folder / ENDS / path.name)


def integrate_on(
    path: Path, experiment: Experiment, note: Note, meter: Meter | None
) -> tuple[FlowSolution, Seconds, KinkError | None]:
    """Like `integrate_again`, from the end that is kept at `path`, if a whole one is; the new one
    is kept there."""
    ends = Ends({})
    with suppress(ConfigError):  # damaged: the member begins again, and comes to the same
        ends.earlier = read_ends(path) if path.exists() else ()
    found = integrate_again(experiment, note, meter, partial(_integrated, ends))
    path.parent.mkdir(exist_ok=True)
    replace_bytes(path, ends.content())
    return found


def _integrated(ends: Ends, flow: Flow) -> FlowSolution:
    flow = flow._replace(numerics=settled(flow.problem, flow.numerics))
    run_leg = partial(_leg, ends)
    with kept_programs():
        found = by_its_solvers(flow, run_leg)
    return jax.block_until_ready(found)


def _leg(ends: Ends, flow: Flow) -> tuple[FlowSolution, Any]:
    def heard(underway: Underway, solution: FlowSolution, over: bool) -> None:
        if over:
            ends.keep(underway, flow, float(solution.t_final), Seconds(0.0, 0.0))

    earlier = ends.next(flow)
    return in_slices(flow, heard, start=None if earlier is None else earlier[0])
