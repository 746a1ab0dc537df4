"""Kinked flows from a config: exact, plain and smooth, and what a result says of them.

One tiny net, shared by all: its exact programs compile once per set of static options.
"""

import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
import xarray as xr

import faflow
from faflow._results import Outcome
from faflow.cli import main
from faflow.config.dump import config_text
from faflow.config.resolve import resolve_path
from faflow.flow import EventLog, Fork
from faflow.measures.experiment import build
from faflow.measures.kinks import about_end, kink_warnings
from faflow.measures.summary import summary_rows
from faflow.measures.variables.events import logged
from faflow.store.result import Result

# Seed of the net below: gradient flow with noisy labels, 12 crossings, 4 landings, 1 exit.
SLIDES = 34
EXACT = {"slots": 8, "events": 100}


def table(seed: int, **flow: Any) -> dict[str, Any]:
    return {
        "name": "kinks",
        "seed": seed,
        "network": {"widths": [2, 4, 1], "activation": "relu"},
        "task": {"kind": "gaussian", "samples": 8, "features": 2, "noise": 1.0},
        "rule": {"kind": "gradient"},
        "flow": {"t1": 10.0, "saves": 21, **flow},
        "observe": {"names": ["loss", "laws"], "save_weights": True},
    }


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The exact flow that slides, stored by the command line with a bound on its kinks."""
    place = tmp_path_factory.mktemp("exact")
    config = table(SLIDES, kinks="exact", exact=EXACT)
    config["expect"] = {"kinks": {"landed": {"min": 2}, "method": "exact"}}
    (place / "kinks.toml").write_text(tomli_w.dumps(config))
    folder = place / "out"
    assert main(["run", str(place / "kinks.toml"), "--out", str(folder), "--no-figures"]) == 0
    return faflow.open(folder)


@cache
def smoothed() -> faflow.Result:
    return faflow.run(table(SLIDES, kinks="smooth"), store_result=False)


def weights_over_time(result: Result) -> np.ndarray:
    stored = result.records["weights"].to_dataset()
    return np.concatenate([stored[name].values.reshape(21, -1) for name in ("W1", "W2")], axis=1)


def true_error(result: Result, slides: Result) -> float:
    mine, right = weights_over_time(result), weights_over_time(slides)
    return float(np.max(np.linalg.norm(mine - right, axis=1) / np.linalg.norm(right, axis=1)))


# ---- exact --------------------------------------------------------------------------------------


def test_exact_summary_counts_events(slides: Result) -> None:
    kinks, solver = slides.summary["kinks"], slides.summary["solver"]
    assert (solver["name"], solver["rtol"]) == ("tsit5", 1e-9)
    assert kinks["method"] == "exact" and "fork" not in kinks and kinks["forks"] == 0
    assert kinks["events"] > 0 and {"retried", "pivots"} <= set(kinks)
    changes = kinks["crossed"] + kinks["landed"] + kinks["left"]
    assert kinks["logged"] == changes > 10
    assert kinks["sliding_at_end"] == [kinks["landed"] - kinks["left"]]
    assert kinks["sliding_at_end"][0] <= kinks["most_sliding"] <= EXACT["slots"]
    assert slides.summary["laws"]["layer-balance"]["relative_drift"][0] < 1e-8
    assert all(verdict["ok"] for verdict in slides.summary["expect"].values())


def test_exact_records_of_events(slides: Result) -> None:
    events, kinks = slides.records["events"].to_dataset(), slides.summary["kinks"]
    assert events.attrs["samples"] == 8 and list(np.atleast_1d(events.attrs["hidden"])) == [4]
    assert events["changes"].dims == ("time", "kind") and events["sliding"].dims[1] == "hidden"
    for kind in ("crossed", "landed", "left"):
        assert int(events["changes"].sel(kind=kind)[-1]) == kinks[kind]
    np.testing.assert_array_equal(events["time"], slides.records["records"]["time"])
    gates, used = events["gate"].values, events["gate_layer"].values != -1
    assert 0 < gates.shape[1] <= kinks["most_sliding"]
    np.testing.assert_array_equal(used, np.isfinite(gates))
    np.testing.assert_array_equal(used.sum(axis=1), events["sliding"].sum("hidden"))
    assert np.all((gates[used] >= -1e-6) & (gates[used] <= 1 + 1e-6))
    assert set(events["gate_layer"].values[used]) == set(events["event_layer"].values) == {1}


def test_log_replayed_from_the_start_gives_the_end(slides: Result) -> None:
    """Signs of W(t1) x are what the changes make of the signs of W(0) x; sliding pairs are at 0."""
    events = slides.records["events"].to_dataset()
    state = np.where(events["start_above"].values.reshape(8, 4), 1, -1)
    changes = (events[f"event_{name}"].values for name in ("sample", "unit", "became"))
    for sample, unit, became in zip(*changes, strict=True):
        state[sample, unit] = became
    assert np.all(np.diff(events["event_time"]) >= 0)
    problem = build(resolve_path(table(SLIDES))).problem
    h = np.asarray(problem.data.inputs) @ slides.records["final"]["W1"].values.T
    np.testing.assert_array_equal(np.where(np.abs(h) < 1e-7, 0, np.sign(h)), state)


def test_full_log_says_so(slides: Result) -> None:
    nothing = np.zeros(3, np.int32)
    log = EventLog(np.zeros(3), nothing, nothing, nothing, nothing, np.asarray(7))
    assert logged(log) == 3
    resolved = resolve_path(table(SLIDES, kinks="exact", exact={"events": 3}))
    section = slides.summary["kinks"] | {"logged": 3}
    (warning,) = kink_warnings(resolved, build(resolved).problem, section)
    assert "first 3 of" in warning and "flow.exact.events" in warning


FORK = {"time": 1.25, "layer": 2, "sample": 3, "unit": 0}
EARLY = {
    Outcome.SLIDING_OVERFLOW: "flow.exact.slots = 8",
    Outcome.NO_CONTINUATION: "no consistent way on",
    Outcome.NOT_UNIQUE: "at t = 1.25, neuron 0 of hidden layer 2 on sample 3",
    Outcome.EVENT_CASCADE: "without progress",
}


@pytest.mark.parametrize("outcome", EARLY)
def test_early_ends_are_stored_with_exit_code_3(
    slides: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, outcome: Outcome
) -> None:
    """The ends that only exact flows have, put upon the flow that slides."""
    module = importlib.import_module("faflow.runs.run")
    integrate_timed = module.integrate_timed

    def ended(*arguments: Any, **more: Any):
        solution, seconds, error = integrate_timed(*arguments, **more)
        events = solution.events._replace(fork=Fork(*map(jnp.asarray, (1.25, 1, 3, 0))))
        reached = solution.reached & (jnp.arange(21) < 5)
        early = {"outcome": jnp.asarray(outcome.value), "events": events, "reached": reached}
        return solution._replace(**early), seconds, error

    monkeypatch.setattr(module, "integrate_timed", ended)
    path = tmp_path / "kinks.toml"
    path.write_text(tomli_w.dumps(table(SLIDES, kinks="exact", exact=EXACT)))
    assert main(["run", str(path), "--out", str(tmp_path / "o"), "--no-figures"]) == 3
    assert "note: the flow ended early" in capsys.readouterr().out
    result = faflow.open(tmp_path / "o")
    assert result.summary["status"] == str(outcome) and result.exit_code == 3
    assert EARLY[outcome] in result.summary["warnings"][0]
    assert result.summary["kinks"]["fork"] == FORK
    assert result.records["events"].sizes["time"] == result.records["records"].sizes["time"] == 5


def test_not_unique_names_the_place_and_the_ways_on() -> None:
    resolved = resolve_path(table(SLIDES, kinks="exact"))
    text = about_end(resolved, Outcome.NOT_UNIQUE, {"method": "exact", "fork": FORK})
    assert "at t = 1.25, neuron 0 of hidden layer 2 on sample 3" in text
    assert 'flow.exact.branch = "nearest" or "other" follows the two continuations' in text


def test_a_continuation_says_that_there_is_another(slides: Result) -> None:
    resolved = resolve_path(table(SLIDES, kinks="exact", exact={"branch": "nearest"}))
    section = slides.summary["kinks"] | {"forks": 2, "fork": FORK}
    (warning,) = kink_warnings(resolved, build(resolved).problem, section)
    assert "2 forks, the first at t = 1.25" in warning
    assert 'flow.exact.branch = "other" another' in warning
    assert (
        "NOT UNIQUE at t = 1.25" in summary_rows(slides.summary | {"kinks": section})[4]["measured"]
    )


# ---- plain and smooth ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flow",
    [
        {},
        {"kinks": "plain", "solver": "tsit5", "rtol": 1e-5},
        {"kinks": "plain", "solver": "euler", "step": 0.01},
        {"kinks": "smooth"},
    ],
)
def test_error_of_the_weights_is_estimated(slides: Result, flow: dict[str, Any]) -> None:
    """Not too low, and within the factor that kink_error.py states."""
    smooth = flow.get("kinks") == "smooth"
    result = smoothed() if smooth else faflow.run(table(SLIDES, **flow), store_result=False)
    kinks, right = result.summary["kinks"], true_error(result, slides)
    assert kinks["method"] == ("smooth" if smooth else "plain")
    error = kinks["error"]
    assert error["status"] == "ok" and right > 1e-7
    assert right <= error["weights"] <= 20 * right, (right, error)
    assert "weight-sketch" not in result.records["records"]


def test_run_prints_the_error_beside_the_drift_and_the_hint(tmp_path: Path, capsys) -> None:
    (tmp_path / "kinks.toml").write_text(tomli_w.dumps(table(SLIDES)))
    arguments = ["run", str(tmp_path / "kinks.toml"), "--out", str(tmp_path / "o"), "--no-figures"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[2:] if line]
    assert names.index("kinks") == names.index("neuron-balance") + 1
    assert "weights wrong by about" in lines[names.index("kinks") + 2]
    assert any('flow.kinks = "exact" is affordable' in line for line in lines)
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert {"changes", "busiest", "chattering", "error"} <= set(summary["kinks"])
    with xr.open_datatree(tmp_path / "o" / "result.nc", engine="h5netcdf") as tree:
        assert "events" not in tree.children


def test_error_far_above_the_tolerance_is_a_warning() -> None:
    flow = {"kinks": "plain", "solver": "tsit5", "rtol": 1e-6, "t1": 0.1}
    result = faflow.run(table(SLIDES, **flow), store_result=False)
    (warning,) = [w for w in result.summary["warnings"] if "kinks make the weights wrong" in w]
    assert "x flow.rtol" in warning and 'use flow.kinks = "exact"' in warning
    assert "whatever the drift" in warning


def test_companion_that_ends_early_gives_no_number() -> None:
    result = faflow.run(table(SLIDES, kinks="plain", max_steps=10), store_result=False)
    error = result.summary["kinks"]["error"]
    assert error["weights"] is None and "companion ended early: max-steps" in error["status"]
    assert any("no estimate of the kink error" in w for w in result.summary["warnings"])


def test_smooth_keeps_the_law_and_is_stored_as_relu() -> None:
    result = smoothed()
    assert result.summary["kinks"]["width"] == 1e-4 and "error" in result.summary["kinks"]
    assert result.summary["laws"]["layer-balance"]["kept"]
    text = config_text(resolve_path(table(SLIDES, kinks="smooth")))
    assert 'activation = "relu"' in text and "[flow.smooth]" in text and "flow.exact" not in text


def test_smooth_flows_have_no_kinks() -> None:
    config = table(SLIDES, t1=0.5)
    config["network"]["activation"] = "tanh"
    assert "kinks" not in faflow.run(config, store_result=False).summary
