"""Population rules and [simulate] from a config: what is stored, said and drawn, and refused."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
from scipy import stats

import faflow
from faflow.analysis.law_keeping import are_kept, rates_near
from faflow.cli import main
from faflow.measures.experiment import build
from faflow.plots import draw
from faflow.population import POPULATION_RULES
from faflow.population.comparison import compared, student_tails
from faflow.runs.run import resolve_path
from faflow.tools.listing import listing


def table() -> dict[str, Any]:
    return {
        "name": "population",
        "network": {"widths": [30, 2, 1], "activation": "erf"},
        "init": {"kind": "gaussian", "scale": 0.5},
        "task": {
            "kind": "teacher", "samples": 5, "widths": [30, 2, 1], "activation": "erf",
            "weight_scale": 2.0, "noise": 0.1,
        },
        "rule": {"kind": "population-direct-feedback-alignment", "eta": 0.5},
        "flow": {"t1": 2.0, "saves": 5},
        "simulate": {"seeds": 4},
        "observe": {"names": ["overlaps"]},
    }  # fmt: skip


def stored(place: Path, config: dict[str, Any], *more: str):
    (place / "population.toml").write_text(tomli_w.dumps(config))
    code = main(["run", str(place / "population.toml"), "--out", str(place / "out"), *more])
    return code, faflow.open(place / "out") if code != 2 else None


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("population")
    config = table()
    config["expect"] = {"order_parameters.simulation.chance": {"min": 1e-6}}
    code, found = stored(place, config, "--no-figures")
    assert code == 0
    return found


def test_mean_and_standard_error_are_stored(result):
    group = result.records["simulation"].to_dataset()
    flow = result.records["records"]["population-loss"].values
    losses = group["losses"].values
    assert group["losses"].dims == ("seed", "time") and losses.shape == (4, 5)
    np.testing.assert_allclose(losses[:, 0], flow[0], rtol=1e-12)
    assert np.all(np.ptp(losses, axis=0)[1:] > 0)
    np.testing.assert_allclose(group["mean"], losses.mean(axis=0))
    np.testing.assert_allclose(group["standard_error"], stats.sem(losses))
    test = stats.ttest_1samp(losses[:, 1:], flow[1:])
    np.testing.assert_allclose(group["deviation"].values[1:], test.statistic)
    said = result.summary["order_parameters"]["simulation"]
    assert said["worst_deviation"] == pytest.approx(np.abs(test.statistic).max())
    assert said["chance"] == pytest.approx(min(1, 4 * test.pvalue.min()))
    assert (said["seeds"], said["inputs"]) == (4, 30)


def test_records_fit_the_flow(result):
    """The final weights have the recorded overlaps; the noise is the task's."""
    records, final = (result.records[name].to_dataset() for name in ("records", "final"))
    w = final["W1"].values
    np.testing.assert_allclose(w @ w.T, records["overlaps"].values[-1, :2, :2], atol=1e-12)
    section = result.summary["order_parameters"]
    assert (section["eta"], section["noise"]) == (0.5, 0.1)
    last = records["population-loss"].values[-1]
    assert section["population_loss"]["final"] == pytest.approx(last, abs=1e-12)
    assert result.summary["warnings"] == []


def test_it_is_drawn(result):
    picture, _, rows_of = draw(result, ["population"])
    assert picture.name == "population.png" and picture.stat().st_size > 5000
    rows = np.genfromtxt(rows_of, delimiter=",", names=True, skip_header=1)
    group = result.records["simulation"].to_dataset()
    reach = 2 * group["standard_error"].values
    np.testing.assert_allclose(rows["simulated_band_upper"], group["mean"] + reach)
    np.testing.assert_allclose(rows["populationloss"], result.records["records"]["population-loss"])


def test_students_tails():
    for size, freedom in ((0.0, 3), (2.5, 7), (40.0, 23)):
        expected = 2 * stats.t.sf(size, freedom)
        assert student_tails(size, freedom) == pytest.approx(expected, rel=1e-10)


def test_deviation_is_in_standard_errors():
    """Control: the same losses from another curve."""
    losses = np.random.default_rng(0).normal(1.0, 0.1, (16, 3))
    near, far = (np.abs(compared(9, losses, np.full(3, x)).deviation[1:]).max() for x in (1.0, 2.0))
    assert near < 4 < 30 < far


@pytest.mark.parametrize("rule", POPULATION_RULES)
def test_relu_has_no_kinks_on_average_and_keeps_its_law(rule):
    """Small weights: a perturbed Q is no overlap of any, so the second point is one of weights."""
    config = table()
    del config["simulate"], config["observe"]
    config["rule"] = {"kind": rule}
    config["init"]["scale"] = 0.01
    config["network"]["activation"] = config["task"]["activation"] = "relu"
    resolved = resolve_path(config)
    assert resolved.method == "none" and resolved.flow.solver == "auto"
    assert "population-loss" in resolved.names
    experiment = build(resolved)
    law, claimed = experiment.laws["neuron-balance"]
    assert claimed and are_kept(rates_near({"law": law}, experiment.problem), 1e-9)["law"]
    steps = eqx.tree_at(lambda p: p.rule.eta, experiment.problem, jnp.asarray(0.1))

    assert not are_kept(rates_near({"law": law}, steps), 1e-9)[
        "law"
    ]  # : nan here, since relu has no steps


def test_population_rules_are_listed():
    rows = {row["name"]: row for row in listing("rules")}
    row = rows["population-direct-feedback-alignment"]
    assert row["laws"] == "layer-balance, neuron-balance, matrix-balance (linear nets)"
    assert row["options"] == "eta = 0.0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["network.activation=tanh"], "rule.kind: Rules of the population know the gaussian"),
        (["network.widths=[30, 2, 2, 1]"], "list three widths"),
        (["network.bias=true"], "set network.bias = false"),
        (["task={kind='gaussian', samples=5, features=30}"], "set task.kind = 'teacher'"),
        (["task.loss=logcosh"], "set task.loss = 'squared'"),
        (["task.scale=2.0"], "task.scale: is 2.0, but"),
        (["task.whiten=rows"], "task.whiten: is 'rows', but"),
        (["rule.eta=-1.0"], "`eta` must be finite and >= 0"),
        (["rule.eta=0.0"], "simulate: takes steps of rule.eta / N, but rule.eta is 0"),
        (["rule.noise=0.1"], "rule.noise: is not an option"),
        (["rule.kind=gradient", "rule={kind='gradient'}"], "simulate: needs a rule of the"),
        (["simulate.inputs=3"], "simulate.inputs: is 3, but student and teacher have 4 fields"),
        (["simulate.inputs=2000000000"], "simulate.inputs: is 2000000000: more than"),
        (["simulate.seeds=1"], "simulate.seeds: is 1; it must be"),
        (["discrete={eta=0.1}"], "use [simulate]"),
        (["network.activation=relu", "task.activation=relu"], "no closed form for relu"),
    ],
)
def test_what_is_refused(changes, words, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "population.toml").write_text(tomli_w.dumps(table()))
    sets = [word for change in changes for word in ("--set", change)]
    out = str(tmp_path / "out")
    code = main(["run", str(tmp_path / "population.toml"), "--out", out, *sets])
    said = capsys.readouterr().err
    assert code == 2 and words in said and said.count("\n") == 1
    assert not Path(out).exists()


def test_no_laws_over_all_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`faflow laws` asks what all fields of a rule keep; this rule has one."""
    (tmp_path / "population.toml").write_text(tomli_w.dumps(table()))
    assert main(["laws", str(tmp_path / "population.toml")]) == 2
    assert "rule.kind: is 'population-direct" in capsys.readouterr().err
