"""How much memory a config's flow will need: refused if it is more than there is, else said."""

import jax
import numpy as np
from jax.sharding import Mesh

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..flow import PREPARING, RECORDED, Memory, estimate, machine, room, saves_that_fit
from ..measures.discrete import etas
from ..measures.measure import Experiment
from ..rules import sums_over_samples

SMALL = 100_000_000  # bytes that are not worth a word


def check_memory(resolved: Resolved, experiment: Experiment, mesh: Mesh | None) -> str:
    """What the flow will need, in a sentence; "" where that is not worth one.

    ConfigError if it is more than there is.
    """
    processes = jax.process_count()
    devices = 1 if mesh is None else mesh.size // processes
    found = estimate(
        experiment.problem, len(experiment.ts), experiment.observables, experiment.numerics,
        devices, processes,
    )  # fmt: skip
    if beside := _beside(resolved, experiment):
        found = found._replace(records=found.records + beside * len(experiment.ts))
    parts = {name: size for name, size in found._asdict().items() if size >= SMALL / 10}
    listed = ", ".join(f"{name} {_gigabytes(size)}" for name, size in parts.items())
    if found.total > room():
        key, remedy = _remedy(resolved, experiment, found)
        what = f"needs {_gigabytes(found.total)} of memory ({listed})"
        raise ConfigError(key, f"{what}, and there are {_gigabytes(room())}; {remedy}")
    if found.total < SMALL:
        return ""
    return f"memory: about {_gigabytes(found.total)} beside the program itself ({listed})"


def check_data(resolved: Resolved) -> None:
    """ConfigError if the data alone won't fit, before they are drawn, where the config tells."""
    samples, widths = resolved.task.options.get("samples"), resolved.widths
    if not isinstance(samples, int) or not widths:
        return
    number = np.dtype(resolved.config.precision).itemsize
    need, there = PREPARING * samples * (widths[0] + widths[-1]) * number, machine()
    if need > there:
        what = f"is {samples}, whose data need {_gigabytes(need)} of memory while they are drawn"
        raise ConfigError("task.samples", f"{what}, and there are {_gigabytes(there)}; lower it")


def _beside(resolved: Resolved, experiment: Experiment) -> int:
    """Bytes per save of what is recorded beside the flow: weights of discrete twins, once more
    while they are compared, and losses of simulations."""
    number, config = np.dtype(resolved.config.precision).itemsize, resolved.config
    found = 0
    if config.discrete is not None:
        weights = sum(leaf.size for leaf in jax.tree.leaves(experiment.problem.weights))
        found += (len(etas(resolved)) * RECORDED + 2) * weights * number
    if config.simulate is not None:
        found += RECORDED * config.simulate.seeds * number
    return found


def _remedy(resolved: Resolved, experiment: Experiment, found: Memory) -> tuple[str, str]:
    largest = max(found._asdict().items(), key=lambda item: item[1])[0]
    saves = len(experiment.ts)
    if largest in ("records", "counters") and (fit := saves_that_fit(found, saves, room())) > 1:
        return "flow.saves", f"{fit} saves would do, or observe less"
    if largest == "activations" and sums_over_samples(resolved.rule.cls):
        held = resolved.flow.block
        at_most = "say 1000" if held is None else f"below {held}"
        return "flow.block", f"take fewer samples at once ({at_most})"
    keys = {
        "records": ("observe.names", "observe less"),
        "state": ("network.widths", "lower it, or use a solver of fewer stages (heun)"),
        "jacobian": ("flow.solver", "use bdf-krylov, which stores no matrix"),
    }
    return keys.get(largest, ("task.samples", "lower it"))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
