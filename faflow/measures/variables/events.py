"""What an exact flow met at its kinks, with named dimensions: the group `events` of `result.nc`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._compiling import ONCE, compiled
from ...flow import EventLog, EventRecord
from ..measure import Experiment
from .groups import Group, Variable

KINDS = ("crossed", "landed", "left")
UNUSED = -1


def event_group(
    experiment: Experiment, events: EventRecord, time: Variable, reached: np.ndarray
) -> Group:
    """Counts of changes and sliding pairs over time, the gates of these, and the log of changes.

    Hidden layers are counted from 1; samples and neurons (`unit`) from 0. `event_became`: -1 below
    0, 0 sliding on it, 1 above. `slot` is cut to the most that were used at a save, `change` to the
    entries written. `start_above`: pairs with h > 0 at t = 0, hidden layers first to last, samples,
    then neurons.
    """
    hidden = [weight.shape[0] for weight in experiment.problem.weights.weights[:-1]]
    samples = experiment.problem.data.inputs.shape[0]
    counts = [np.asarray(getattr(events.counts_at, kind))[reached] for kind in KINDS]
    variables = {
        "changes": _variable(("time", "kind"), np.stack(counts, -1), "changes of pairs so far"),
        "sliding": _variable(
            ("time", "hidden"), np.asarray(events.sliding_at)[reached], "sliding pairs"
        ),
        "start_above": _variable(("pair",), _above(experiment), "h > 0 at the start"),
        **_gates(events, reached, samples, hidden),
        **_log(events),
    }
    coordinates = {"time": time, "hidden": np.arange(1, len(hidden) + 1), "kind": list(KINDS)}
    attrs = {"samples": samples, "hidden": np.asarray(hidden)}
    return Group(variables, coordinates, attrs)


def _variable(dims: tuple[str, ...], values: Any, about: str) -> Variable:
    return Variable(dims, np.asarray(values), {"long_name": about, "units": "1"})


def _above(experiment: Experiment) -> np.ndarray:
    problem = experiment.problem
    above = _signs(problem.weights, problem.data.inputs)
    return np.concatenate([np.asarray(layer).reshape(-1) for layer in above])


@compiled(ONCE)
def _signs(weights, inputs):
    return [h > 0 for h in weights.trace(inputs).pre[:-1]]


def _gates(
    events: EventRecord, reached: np.ndarray, samples: int, hidden: list[int]
) -> dict[str, Variable]:
    """The sliding pairs at every save, packed to the left, and their gates in [0, 1]."""
    pairs, gates = (np.asarray(array)[reached] for array in (events.pairs_at, events.gates_at))
    order = np.argsort(pairs == UNUSED, axis=1, kind="stable")
    most = int((pairs != UNUSED).sum(axis=1).max(initial=0))
    pairs, gates = (np.take_along_axis(array, order, 1)[:, :most] for array in (pairs, gates))
    used = pairs != UNUSED
    starts = samples * np.concatenate([[0], np.cumsum(hidden)])
    layer = np.searchsorted(starts, pairs, side="right") - 1
    clipped = np.clip(layer, 0, len(hidden) - 1)
    within = pairs - starts[clipped]
    sample, unit = np.divmod(within, np.asarray(hidden)[clipped])
    places = {"layer": layer + 1, "sample": sample, "unit": unit}
    found = {"gate": _variable(("time", "slot"), np.where(used, gates, np.nan), "gate on h = 0")}
    for name, values in places.items():
        kept = np.where(used, values, UNUSED).astype(np.int32)
        found[f"gate_{name}"] = _variable(("time", "slot"), kept, f"{name} of the sliding pair")
    return found


def _log(events: EventRecord) -> dict[str, Variable]:
    log, written = events.log, logged(events.log)
    fields = {
        "time": np.asarray(log.time),
        "layer": np.asarray(log.layer) + 1,
        "sample": np.asarray(log.sample),
        "unit": np.asarray(log.unit),
        "became": np.asarray(log.became),
    }
    return {
        f"event_{name}": _variable(("change",), values[:written], f"{name} of the change")
        for name, values in fields.items()
    }


def logged(log: EventLog) -> int:
    """Changes that the log holds."""
    return min(int(log.written), len(np.asarray(log.time)))
