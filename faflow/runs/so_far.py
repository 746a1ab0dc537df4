"""What a flow has recorded so far, kept beside its checkpoints while it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..config.resolve import Resolved
from ..flow import Flow, FlowSolution, Underway, joined, with_rows
from ..measures.json_numbers import plain
from ..measures.measure import Experiment, Flown
from ..measures.registry import MEASURES
from ..measures.variables.records import records_group
from ..solved import with_distances
from ..store.so_far import so_far_of, write_so_far


class SoFar:
    """Writes the records of a run's flow, whichever of its legs is under way.

    `folder`: where the result goes.
    """

    def __init__(self, resolved: Resolved, experiment: Experiment, folder: Path):
        self._resolved, self._experiment = resolved, experiment
        self.path = so_far_of(folder)
        self._before: FlowSolution | None = None  # what the leg before has recorded

    def __call__(
        self,
        flow: Flow,
        underway: Underway,
        solution: FlowSolution,
        over: bool,
        observed: Callable[..., Any],
    ) -> None:
        """At a checkpoint. `observed`: the program that makes the records; `over`: the leg is.
        OSError if they can't be written."""
        records = observed(flow, underway.rows, underway.carry)
        found = with_rows(solution, underway.rows, records)
        if self._before is not None and flow.since is not None:
            found = joined(self._before, found, flow.ts > flow.since.t)
        if over:
            self._before = found
        experiment = self._experiment
        found = with_distances(experiment.observables, found)
        flown = Flown(self._resolved, experiment, found)
        about = {
            "name": self._resolved.config.name,
            "laws": plain(MEASURES["laws"].section(flown, {}) or {}),
            "t_final": float(found.t_final),
            "t1": float(np.asarray(flow.ts)[-1]),
            "saves": len(flow.ts),
        }
        write_so_far(self.path, records_group(flown), about)
