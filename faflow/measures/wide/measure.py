"""The measure of infinitely wide networks: its section of the summary, rows, words and groups."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...config.errors import ConfigError
from ...config.kinds.kinds import WIDE_KERNELS
from ...config.network import WideSection
from ...config.resolve import Resolved
from ...flow import FlowProblem
from ...setup.wide import CHANGE, OUTPUTS, SIGNALS, TARGETS, TESTS, rho_of
from ...tasks.losses import Squared
from ...wide import Tabulated, WideLinear
from ..measure import Entry, Experiment, Flown, Measure, Observed, Row, Section
from ..tables import number
from .beside import Beside, run_beside
from .ends import limit_from, losses_of, tangent_of
from .groups import wide_groups
from .statistics import estimated, power_of, squared_errors

RANK = 1e-10  # of the largest eigenvalue: smaller ones belong to directions without data
SURE = 2.0  # standard errors that a figure has to be away from its start to be told
COARSE = 1e-3  # of the outputs: a gap between two ways along a grid that is worth a word
LARGE = 0.01  # of the outputs: a standard error that is worth a word


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """`wide`: which equations, the kernels' figures, the limit where it is closed, errors."""
    del summary
    network, beside = flown.resolved.config.network, flown.beside["wide"]
    if not isinstance(network, WideSection):
        return None
    towards, change, signals = (
        np.asarray(flown.solution.records[name])[flown.reached]
        for name in (TARGETS, CHANGE, SIGNALS)
    )
    section: Section = {
        "equations": flown.resolved.equations,
        "hidden": network.hidden,
        "richness": network.richness,
        "rho": rho_of(flown.resolved),
        "target_alignment": {"initial": towards[0], "final": towards[-1]},
        "feature_change": change[-1],
        "alignments": signals[-1],
    }
    rates = _rates(flown)
    if len(rates):
        section["rates"] = {"smallest": rates[0], "largest": rates[-1]}
    if TESTS in flown.solution.records:
        section["test_loss"] = _test_loss(flown)
    section |= _of_table(flown) | _of_limit(flown, rates)
    return section | _of_batches(flown, beside) | _of_finite(flown, beside)


def _rates(flown: Flown) -> np.ndarray:
    """Rates of the linearised flow at the end, e' = -K e on the data's span, smallest first; none
    unless the loss is squared."""
    data, solution = flown.problem.data, flown.solution
    if not isinstance(data.loss, Squared):
        return np.zeros(0)
    see: Any = flown.experiment.observables[TARGETS]
    tangent = tangent_of(see.observed, solution.weights, solution.feedback, data)
    real = np.sort(np.linalg.eigvals(np.asarray(data.weighed(jnp.asarray(tangent)))).real)
    return real[np.abs(real) > RANK * np.max(np.abs(real))]


def _test_loss(flown: Flown) -> dict[str, float]:
    test = flown.experiment.task.test
    assert test is not None
    losses = losses_of(test, flown.solution.records[TESTS])[flown.reached]
    return {"initial": losses[0], "final": losses[-1]}


def _of_table(flown: Flown) -> Section:
    """How far the flow is from the grid's own f, and that from f by the other route."""
    if not isinstance(flown.problem.weights, Tabulated):
        return {}
    see: Any = flown.experiment.observables[TARGETS]
    table, samples = see.observed.table, flown.problem.data.inputs.shape[0]
    at = np.asarray(flown.solution.ts)[flown.reached]
    outputs = np.asarray(flown.solution.records[OUTPUTS])[flown.reached]
    grid = np.asarray(table.outputs)[:, :samples]
    there = np.stack([np.interp(table.ts, at, one) for one in outputs.T], -1)
    known = np.isin(np.round(table.ts, 12), np.round(at, 12))
    size = np.max(np.abs(grid))
    gaps = np.abs(np.asarray(table.other_outputs)[:, :samples] - grid)
    found: Section = {"times": len(table.ts), "route_gap": np.max(gaps) / size}
    if known.any():
        found["table_gap"] = np.max(np.abs(there - grid)[known]) / size
    error = np.asarray(table.output_error)[:, :samples]
    if np.any(error):
        found["output_error"] = np.linalg.norm(error) / np.linalg.norm(grid)
    return {"table": found}


def _of_limit(flown: Flown, rates: np.ndarray) -> Section:
    """Where it ends, in closed form: linear networks under feedback, squared loss, rho >= 0."""
    problem = flown.problem
    start, data = problem.weights, problem.data
    squared = isinstance(data.loss, Squared) and data.sample_weights is None
    if not isinstance(start, WideLinear) or not squared or float(start.limit.rho) < 0:
        return {}
    found, kernels, loss, distance = limit_from(flown.solution.weights, start.limit, data)
    own = np.asarray(data.weight * found.rates)
    own = own[own > RANK * np.max(own)]
    return {
        "limit": {
            "x": found.x,
            "kappa": found.kappa,
            "rate": own[0] if len(own) else None,
            "rate_gap": abs(rates[0] / own[0] - 1) if len(own) and len(rates) else None,
            "alignments": np.asarray(found.alignments),
            "feature_change": np.asarray(kernels.feature_change),
            "target_alignment": kernels.target_alignment,
            "loss": loss,
            "distance": distance,
        }
    }


def _of_batches(flown: Flown, beside: Beside) -> Section:
    """What batches of neurons say, with standard errors, at the last save."""
    if beside.batches is None:
        return {}
    runs, last = beside.batches, np.flatnonzero(flown.reached)[-1]
    found: Section = {"count": len(runs.loss)}
    outputs = estimated(runs.outputs[:, : last + 1])
    found["output_error"] = np.linalg.norm(outputs.error) / np.linalg.norm(outputs.mean)
    values = {
        "loss": runs.loss[:, last],
        "target_alignment": runs.alignment[:, last],
        "feature_change": runs.features[:, last],
        "target_alignment_gained": runs.alignment[:, last] - runs.alignment[:, 0],
    }
    for name, draws in values.items():
        found[name], found[f"{name}_error"] = estimated(draws)
    return {"batches": found}


def _of_finite(flown: Flown, beside: Beside) -> Section:
    """Networks of finite width: their squared distance from the limit, and how it falls."""
    if not beside.finite:
        return {}
    reached, widths = flown.reached, list(beside.finite)
    solution = flown.solution
    limit = np.asarray(solution.records[OUTPUTS])[reached]
    see: Any = flown.experiment.observables[TARGETS]
    kernel = tangent_of(see.observed, solution.weights, solution.feedback, flown.problem.data)
    if beside.batches is not None:
        limit, kernel = beside.batches.outputs[:, reached].mean(0), beside.batches.tangents.mean(0)
    runs = list(beside.finite.values())
    outputs = [estimated(squared_errors(run.outputs[:, reached], limit)) for run in runs]
    kernels = [estimated(squared_errors(run.tangents, kernel)) for run in runs]
    power, of_kernel = power_of(widths, outputs), power_of(widths, kernels)
    away = [
        np.linalg.norm(run.outputs[:, reached].mean(0) - limit) / np.linalg.norm(limit)
        for run in runs
    ]
    return {
        "simulation": {
            "widths": widths,
            "seeds": len(runs[0].loss),
            "squared_error": [one.mean for one in outputs],
            "squared_error_stderr": [one.error for one in outputs],
            "times_width": [n * one.mean for n, one in zip(widths, outputs, strict=True)],
            "power": power.power,
            "power_stderr": power.stderr,
            "mean_away": away,
            "kernel_squared_error": [one.mean for one in kernels],
            "kernel_squared_error_stderr": [one.error for one in kernels],
            "kernel_power": of_kernel.power,
            "kernel_power_stderr": of_kernel.stderr,
        }
    }


def _rows(wide: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Row]:
    del summary
    about = {
        "closed": "a closed flow", "matrix": "matrix equations", "neurons": "neurons of one layer",
        "sampled": "sampled dynamical field theory",
    }  # fmt: skip
    towards = wide["target_alignment"]
    text = f"{about[wide['equations']]}, {wide['hidden']} hidden, richness "
    text += f"{number(wide['richness'])}; A(K, yy^T) {number(towards['initial'])} -> "
    text += f"{number(towards['final'])}; features moved by {number(wide['feature_change'])}"
    rows = [("infinite width", text)]
    if "rates" in wide:
        rates = wide["rates"]
        words = f"{number(rates['smallest'])} to {number(rates['largest'])}, of K at the end"
        rows.append(("rates there", words))
    if "test_loss" in wide:
        ends = wide["test_loss"]
        rows.append(("test loss", f"{number(ends['initial'])} -> {number(ends['final'])}"))
    if limit := wide.get("limit"):
        words = f"kappa {number(limit['kappa'])}, rate {number(limit['rate'])}, G~ "
        words += f"{number(limit['alignments'])}; the end is {number(limit['distance'])} of it away"
        rows.append(("its limit", words))
    if table := wide.get("table"):
        words = f"{table['times']} times; f by two routes differs by {number(table['route_gap'])}"
        if "output_error" in table:
            words += f"; f known to {number(table['output_error'])} over batches"
        rows.append(("its grid", words))
    if batches := wide.get("batches"):
        words = f"{batches['count']} of them know f to {number(batches['output_error'])}; loss "
        words += f"{number(batches['loss'])} +- {number(batches['loss_error'])}"
        rows.append(("batches", words))
    return rows + _finite_rows(wide.get("simulation"))


def _finite_rows(found: Mapping[str, Any] | None) -> list[Row]:
    if found is None:
        return []
    pairs = zip(found["widths"], found["squared_error"], found["squared_error_stderr"], strict=True)
    parts = [f"{number(mean)} +- {number(error)} at N = {n}" for n, mean, error in pairs]
    text = f"squared distance {', '.join(parts)} ({found['seeds']} each)"
    if found["power"] is not None:
        text += f"; ~ N^{number(found['power'])} +- {number(found['power_stderr'])}"
    return [("finite width", text)]


def _warnings(flown: Flown, wide: Mapping[str, Any]) -> list[str]:
    """Where a grid is too coarse, or draws know a figure no better than it differs from its
    start."""
    del flown
    found = []
    if (gap := (wide.get("table") or {}).get("table_gap") or 0.0) > COARSE:
        found.append(
            f"the grid of {wide['table']['times']} times is too coarse: f along it and through "
            f"its kernels differ by {100 * gap:.2g} %; raise network.times, or lower flow.t1"
        )
    error = (wide.get("batches") or wide.get("table") or {}).get("output_error") or 0.0
    if error > LARGE:
        found.append(
            f"the outputs are known to {100 * error:.2g} % (standard error over batches); raise "
            "network.neurons"
        )
    if batches := wide.get("batches"):
        gained, apart = (batches[f"target_alignment_gained{end}"] for end in ("", "_error"))
        if abs(gained) < SURE * apart:
            found.append(
                f"alignment with the targets changes by {gained:.2g}, less than {SURE:g} standard "
                f"errors ({apart:.2g}); raise network.neurons"
            )
    return found


def _check(resolved: Resolved, experiment: Experiment) -> str:
    """ConfigError where [simulate] has no widths, or what other simulations have."""
    del experiment
    section = resolved.config.simulate
    if section is None or not isinstance(resolved.config.network, WideSection):
        return ""
    if section.inputs is not None:
        what = f"is {section.inputs}, but networks beside an infinitely wide one have the task's"
        raise ConfigError("simulate.inputs", f"{what}; use simulate.widths")
    if not section.widths:
        what = "is missing; give the widths of the networks beside the limit"
        raise ConfigError("simulate.widths", f"{what}, [100, 200] say")
    return ""


def _entry(name: str, problem: FlowProblem) -> Observed:
    """Made where the limit is (`setup/wide.py`)."""
    del name, problem
    return {}


WIDE = Measure(
    "wide",
    _section,
    _rows,
    _warnings,
    observables={
        WIDE_KERNELS: Entry("kernels of every layer and K, at infinite width", _entry),
    },
    apart=(WIDE_KERNELS,),
    check=_check,
    beside=run_beside,
    groups=wide_groups,
    gathered=("wide_batches", "wide_finite"),
    errors=("output_error", "loss_error", "target_alignment_error", "feature_change_error",
            "target_alignment_gained_error", "squared_error_stderr", "power_stderr", "rate_gap",
            "kernel_squared_error_stderr", "kernel_power_stderr", "distance", "route_gap",
            "table_gap"),
)  # fmt: skip
