"""[discrete] from a config: what is stored, said and drawn, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import xarray as xr

import faflow
from faflow.cli import main
from faflow.measures.registry import OBSERVABLES
from faflow.measures.summary import summary_rows
from faflow.plots import FigureStyle, draw
from faflow.runs.certify import _weights
from faflow.store.result import Result

ETAS = [0.05, 0.025]


def table(**discrete: Any) -> dict[str, Any]:
    return {
        "name": "twin",
        "network": {"widths": [3, 4, 2], "activation": "relu-squared"},
        "init": {"kind": "gaussian", "scale": 0.5},
        "task": {"kind": "gaussian", "samples": 6, "features": 3, "outputs": 2},
        "rule": {"kind": "feedback-alignment"},
        "flow": {"t1": 1.0, "saves": 6, "rtol": 1e-10},
        "discrete": discrete,
        "observe": {"names": ["loss", "laws"], "save_weights": True},
    }


def stored(place: Path, config: dict[str, Any], *more: str) -> tuple[int, Result]:
    (place / "twin.toml").write_text(tomli_w.dumps(config))
    arguments = ["run", str(place / "twin.toml"), "--out", str(place / "out"), "--no-figures"]
    code = main([*arguments, *more])
    return code, faflow.open(place / "out")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    place = tmp_path_factory.mktemp("twin")
    config = table(eta=ETAS[::-1])
    config["expect"] = {"discrete.runs.0.laws.layer-balance.identity": {"max": 1e-13}}
    code, result = stored(place, config)
    assert code == 0
    return place / "out", result


def test_the_summary_tells_distance_order_and_identity(twins):
    section = twins[1].summary["discrete"]
    assert [run["eta"] for run in section["runs"]] == ETAS
    assert [run["steps"] for run in section["runs"]] == [20, 40]
    assert section["batch"] is None
    assert abs(section["order"] - 1) < 0.15
    for run in section["runs"]:
        assert run["status"] == "completed"
        assert run["largest_distance"] >= run["distance"] > 1e-4
        for law in ("layer-balance", "neuron-balance"):
            assert run["laws"][law]["identity"] < 1e-13 < 1e-4 < run["laws"][law]["relative_change"]


def test_the_first_step_is_the_rule_times_eta(twins):
    """By hand: W(0) + eta W'(0), with W'(0) from the flow's stored start."""
    result = twins[1]
    discrete, weights = (result.records[name].to_dataset() for name in ("discrete", "weights"))
    np.testing.assert_array_equal(discrete["distance"].values[:, 0], 0)
    assert discrete["distance"].dims == ("eta", "time")
    np.testing.assert_array_equal(discrete["eta"], ETAS)
    np.testing.assert_allclose(
        discrete["steps"].values, [[0, 4, 8, 12, 16, 20]] * np.array([[1], [2]])
    )
    assert "twin_weights" not in result.records["records"].to_dataset()
    assert weights["W1"].shape == (6, 4, 3)
    # Relu squared is once differentiable: first order, roughly so at steps as long as these.
    halves = discrete["distance"].values[1, 1:] / discrete["distance"].values[0, 1:]
    assert np.all((halves > 0.3) & (halves < 0.8))
    flow = result.records["records"]["loss"].values
    np.testing.assert_allclose(discrete["loss"].values, flow[None, :].repeat(2, 0), rtol=0.05)


def test_the_law_rises_as_predicted(twins):
    discrete = twins[1].records["discrete"].to_dataset()
    now, told = discrete["layer-balance"].values, discrete["layer-balance_predicted"].values
    np.testing.assert_allclose(now, told, rtol=1e-13, atol=1e-13)
    assert np.all(np.diff(told, axis=1) > 0)


def test_it_is_drawn(twins):
    picture, *_, rows = draw(twins[1], ["discrete"])
    assert picture.name == "discrete.png" and picture.stat().st_size > 5000
    header = rows.read_text()
    assert "distance at eta 0.05" in header and "layer-balance 1 predicted" in header


def test_mini_batches_are_part_of_what_is_asked(tmp_path: Path):
    config = table(eta=0.05, batch=3)
    code, first = stored(tmp_path, config)
    assert code == 0 and first.summary["discrete"]["batch"] == 3
    assert "order" in first.summary["discrete"] and first.summary["discrete"]["order"] is None
    assert first.summary["discrete"]["runs"][0]["laws"]["layer-balance"]["identity"] < 1e-13
    config["discrete"]["seed"] = 1
    code, other = stored(tmp_path, config, "--replace")
    runs = [result.summary["discrete"]["runs"][0]["distance"] for result in (first, other)]
    assert runs[0] != runs[1]


def test_a_blow_up_is_an_outcome(tmp_path: Path):
    config = table(eta=[0.5, 0.01])
    config["task"]["scale"] = 30.0
    config["flow"]["t1"] = 10.0
    _, result = stored(tmp_path, config)
    first = result.summary["discrete"]["runs"][0]
    assert first["status"] == "blow-up" and first["distance"] is None
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == result.summary


@pytest.mark.parametrize(
    ("discrete", "words"),
    [
        ({"eta": -1.0}, "discrete.eta.0: is -1.0; it must be greater than 0"),
        ({"eta": []}, "discrete.eta: is []; it must list at least one step"),
        ({"eta": 2.0}, "discrete.eta: is 2.0; it must be at most flow.t1 = 1.0"),
        ({}, "discrete.eta: is missing"),
        ({"eta": 0.1, "batch": 7}, "discrete.batch: is 7, but there are 6 samples; lower it"),
        ({"eta": 1e-12}, "discrete.eta: is 1e-12, which makes 1e+12 steps up to flow.t1 = 1.0"),
        ({"eta": 0.1, "bach": 7}, "did you mean 'batch'?"),
        ({"eta": 0.1, "method": "huen"}, "discrete.method: is 'huen'; did you mean 'heun'?"),
    ],
)
def test_what_is_refused(discrete, words, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "twin.toml").write_text(tomli_w.dumps(table(**discrete)))
    code = main(["run", str(tmp_path / "twin.toml"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert code == 2 and words in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_many_steps_are_told_beforehand(monkeypatch):
    monkeypatch.setattr("faflow.measures.discrete.MANY_STEPS", 55)
    told: list[str] = []
    config = table(eta=[0.05, 0.025])  # 20 and 40 steps
    config["observe"]["names"] = ["loss"]
    faflow.run(config, store_result=False, tell=told.append)
    assert told == ["the discrete rule will take 60 steps"]


NOTHING = np.zeros((3, 3))
SOME = np.diag([1.0, 2.0, 3.0]) + 0.1


@pytest.mark.parametrize(
    ("targets", "moves"), [(NOTHING, False), (SOME, True)], ids=["nothing moves", "W(0) = 0"]
)
def test_every_observable_from_zero_weights(tmp_path: Path, monkeypatch, targets, moves: bool):
    """Nothing divides by the size of what is zero, and the result is stored."""
    monkeypatch.chdir(tmp_path)
    np.savez("zero.npz", X=np.eye(3), y=targets, F2=SOME[:, :2] if moves else NOTHING[:, :2])
    config = table(eta=[0.1, 0.05])
    config |= {"init": {"kind": "zero"}, "task": {"kind": "arrays", "file": "zero.npz"}}
    config["feedback"] = {"kind": "arrays", "file": "zero.npz"}
    config["network"] = {"widths": ["inputs", 2, "outputs"]}
    config["flow"] |= {"saves": 12, "polish": not moves}
    config["observe"] = {"names": [name for name in OBSERVABLES if name not in NEEDING_MORE]}
    code, result = stored(tmp_path, config)
    assert code == 0 and result.summary["status"] == "completed"
    names = {str(name).split("_")[0] for name in result.records["records"].data_vars}
    assert set(config["observe"]["names"]) - set(APART) <= names
    # K(0) = 0: what has moved since is no multiple of it.
    assert result.summary["kernel"]["final"]["change"] == (None if moves else 0.0)
    assert summary_rows(result.summary)
    for run in result.summary["discrete"]["runs"]:
        changes = {law["relative_change"] for law in run["laws"].values()}
        assert (run["distance"] > 0) == moves and (changes == {0.0}) == (not moves)


# A population, a solved problem, labels, samples held out; and what has no record of its own name.
NEEDING_MORE = (
    "population-loss", "overlaps", "exact-solution", "wide-kernels", "accuracy", "test-loss",
    "test-accuracy",
)  # fmt: skip
APART = ("laws", "kinks", "fitted-exponent")


def test_the_certificate_of_zero_weights():
    zero = xr.DataTree.from_dict({"final": xr.Dataset({"W1": ("i", np.zeros(2))})})
    assert _weights(zero, zero, 15) == {"distance": 0.0, "digits": 15}
    one = xr.DataTree.from_dict({"final": xr.Dataset({"W1": ("i", np.ones(2))})})
    assert _weights(one, zero, 15) == {"distance": np.inf, "digits": 0}


def test_near_a_graze_a_step_decides(tmp_path: Path):
    """Where a pre-activation nearly touches 0 the limit is reached late: steps of 0.01 go another
    way, those of 0.001 follow the flow."""
    config = table(eta=[0.01, 0.001])
    config["network"]["activation"] = "relu"
    config["flow"] |= {"kinks": "plain", "rtol": 1e-6}
    code, result = stored(tmp_path, config)
    long, short = (run["distance"] for run in result.summary["discrete"]["runs"])
    assert code == 0 and long > 0.5 and short < 0.01


def test_layers_are_those_that_the_law_speaks_of(tmp_path: Path):
    """Direct feedback keeps the last hidden layer's balance alone: layer 2 of two."""
    config = table(eta=0.05)
    config["network"]["widths"] = [3, 4, 4, 2]
    config["rule"]["kind"] = "direct-feedback-alignment"
    code, result = stored(tmp_path, config)
    assert code == 0
    discrete = result.records["discrete"].to_dataset()
    np.testing.assert_array_equal(discrete["layer_of_layer-balance"], [2])
    (rows,) = draw(faflow.open(tmp_path / "out"), ["discrete"], FigureStyle(kinds=("csv",)))
    header = rows.read_text()
    assert "layer-balance 2 predicted" in header and "layer-balance 1" not in header


@pytest.mark.slow
def test_heun_steps_and_a_law_without_an_identity(tmp_path: Path, capsys):
    """Second order in eta; the one-norm law of sign feedback is followed, not predicted."""
    config = table(eta=[0.004, 0.002], method="heun")
    config["network"]["activation"] = "linear"
    code, result = stored(tmp_path, config)
    section = result.summary["discrete"]
    assert code == 0 and section["method"] == "heun" and abs(section["order"] - 2) < 0.2
    assert section["runs"][0]["laws"]["matrix-balance"]["identity"] < 1e-13
    assert "heun: distance to the flow" in capsys.readouterr().out
    config["rule"]["kind"] = "uniform-sign-symmetry"
    code, result = stored(tmp_path, config, "--replace")
    law = result.summary["discrete"]["runs"][0]["laws"]["layer-balance"]
    assert code == 0 and law["identity"] is None and law["relative_change"] > 1e-6
    dataset = result.records["discrete"].to_dataset()
    assert "layer-balance" in dataset and "layer-balance_predicted" not in dataset
    header = draw(faflow.open(tmp_path / "out"), ["discrete"])[-1].read_text()
    assert "layer-balance 1" in header and "predicted" not in header
    assert "identity" not in capsys.readouterr().out
