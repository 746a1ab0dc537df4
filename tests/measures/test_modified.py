"""[[rule.modifiers]] from a config: what is claimed, forecast, stored, drawn and refused."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import faflow
from faflow.analysis import predict_exponent
from faflow.analysis.law_keeping import knows_velocity
from faflow.cli import main
from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.networks import MLP
from faflow.plots import draw
from faflow.rules import (
    AlignAda,
    FeedbackAlignment,
    Gradient,
    KolenPollack,
    LearningRates,
    Momentum,
    WeightDecay,
    WeightNormalisation,
)
from faflow.runs.run import resolve_path
from faflow.store.digest import digest
from faflow.tasks import make_data

DECAY = 'rule.modifiers=[{kind="weight-decay", rates=[0.1, 0.3]}]'


def run(config: Path, *overrides: str) -> Path:
    out = config.parent / "out"
    sets = [part for override in overrides for part in ("--set", override)]
    arguments = ["run", str(config), "--out", str(out), "--replace", "--no-figures"]
    assert main([*arguments, *sets]) in (0, 1)
    return out


def test_a_broken_law_is_forecast_stored_and_drawn(config: Path, capsys) -> None:
    """The forecast in result.nc starts at the law and is what the law does: weight decay."""
    sets = (DECAY, "network.widths=[3, 4, 1]", "flow.rtol=1e-10", "expect={}")
    folder = run(config, *sets)
    summary = json.loads((folder / "summary.json").read_text())
    law = summary["laws"]["unmodified-layer-balance"]
    assert not law["kept"] and not law["claimed"]
    assert max(law["relative_forecast_error"]) < 1e-9 < 1e-3 < max(law["relative_drift"])
    assert "layer-balance" not in summary["laws"]  # 0.3 is not twice 0.1
    assert "forecast to" in capsys.readouterr().out
    with xr.open_datatree(folder / "result.nc", engine="h5netcdf") as tree:
        records = tree["records"].to_dataset()
        told, seen = (records[f"unmodified-layer-balance{end}"] for end in ("_forecast", ""))
        assert told.dims == seen.dims
        np.testing.assert_allclose(told, seen, rtol=1e-8)
    picture, *_ = draw(faflow.open(folder), ["forecast"])
    assert picture.name == "forecast.png" and picture.stat().st_size > 10_000


def test_rates_that_double_keep_a_claim(config: Path) -> None:
    """Layer 1 of two hidden ones alone decays as told: its axis is its own."""
    sets = (
        "network.widths=[3, 4, 3, 1]",
        'rule.modifiers=[{kind="weight-decay", rates=[0.1, 0.2, 0.1]}]',
        "flow.rtol=1e-10",
    )
    summary = json.loads((run(config, *sets) / "summary.json").read_text())
    law = summary["laws"]["layer-balance"]
    assert law["layers"] == [1] and law["kept"] and law["claimed"]
    np.testing.assert_allclose(law["decay"], [0.2])
    assert max(law["relative_drift"]) < 1e-9
    assert summary["expect"]["laws.layer-balance.relative_drift"]["ok"]


@pytest.mark.slow
def test_modifiers_follow_each_other(config: Path) -> None:
    """Momentum on top of learning rates: one number for all layers, then two."""
    sets = (
        'rule.modifiers=[{kind="learning-rates", rates=2, decays=[0.0, 1.0]}, {kind="momentum"}]',
        "flow.rtol=1e-10",
        "expect={}",
    )
    summary = json.loads((run(config, *sets) / "summary.json").read_text())
    assert max(summary["laws"]["unmodified-layer-balance"]["relative_forecast_error"]) < 1e-9


def test_without_laws_nothing_is_forecast(config: Path) -> None:
    summary = json.loads(
        (run(config, DECAY, 'observe.names=["loss"]', "expect={}") / "summary.json").read_text()
    )
    assert "laws" not in summary


def test_exact_kinks_are_for_rules_without_modifiers(config: Path, capsys) -> None:
    sets = ["--set", DECAY, "--set", 'flow.kinks="exact"', "--set", 'network.activation="relu"']
    assert main(["run", str(config), *sets]) == 2
    assert "modifiers" in capsys.readouterr().err


def test_modifiers_are_part_of_what_is_asked(config: Path, capsys) -> None:
    """`show` prints a config that means the same again; another rate is another result."""
    mixed = 'rule.modifiers=[{kind="weight-decay", rates=[0.1, 0.3]}, {kind="momentum", mass=0.2}]'
    assert main(["show", str(config), "--set", mixed]) == 0
    shown = capsys.readouterr().out
    again = config.with_name("again.toml")
    again.write_text(shown)
    assert main(["show", str(again)]) == 0
    assert capsys.readouterr().out == shown

    def key(path: Path, *overrides: str) -> str:
        return digest(resolve_path(path, overrides)).config

    assert key(again) == key(config, mixed)
    others = (DECAY, DECAY.replace("0.3", "0.4"), mixed.replace("0.2", "0.3"))
    assert len({key(config), key(config, mixed), *(key(config, other) for other in others)}) == 5


def test_no_exact_solution_of_a_modified_rule(config: Path, capsys) -> None:
    sets = ["--set", DECAY, 'observe.names=["laws", "exact-solution"]']
    assert main(["run", str(config), *sets]) == 2
    assert "the rule is WeightDecay" in capsys.readouterr().err


def test_rows_of_zero_have_no_direction(config: Path, capsys) -> None:
    sets = ["--set", 'rule.modifiers=[{kind="weight-normalisation"}]', 'init={kind="zero"}']
    assert main(["run", str(config), *sets]) == 2
    assert "zero" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        (WeightDecay(FeedbackAlignment()), True),
        (WeightNormalisation(FeedbackAlignment()), False),
        (KolenPollack(decay=0.3), True),
        (LearningRates(FeedbackAlignment(), rates=[1.0, 2.0]), True),
        (LearningRates(FeedbackAlignment(), decays=[0.0, 1.0]), False),
        (Momentum(FeedbackAlignment()), False),
        (AlignAda(), False),
    ],
)
def test_speeds_are_told_where_weights_alone_know_them(rule, known: bool) -> None:
    """Momentum starts from rest, whatever its speed was; rates that change are not those at 0; the
    weights turn at s^2 / ||v||^2, and ||v|| is that of the first weights."""
    rng = np.random.default_rng(0)
    net = MLP((jnp.asarray(rng.normal(size=(3, 2))), jnp.asarray(rng.normal(size=(1, 3)))))
    matrices = (jnp.asarray(rng.normal(size=(1, 3))),) if rule.form == "layerwise" else ()
    data = make_data(rng.normal(size=(4, 2)), rng.normal(size=(4, 1)))
    problem = FlowProblem(rule, net, Feedback(matrices, rule.form), data)
    assert knows_velocity(problem) is known


def test_rates_that_change_have_no_predicted_exponent() -> None:
    rng = np.random.default_rng(0)
    net = MLP((jnp.asarray(rng.normal(size=(3, 2))), jnp.asarray(rng.normal(size=(1, 3)))))
    x = rng.normal(size=(2, 2))
    data = make_data(x, np.asarray(net(jnp.asarray(x))) + 1e-6)
    told = {
        decays: predict_exponent(LearningRates(Gradient(), decays=decays), net, Feedback(), data)
        for decays in (0.0, 1.0)
    }
    assert told[0.0].status != "unavailable" and told[1.0].status == "unavailable"


@pytest.mark.slow
def test_the_twin_takes_steps_at_the_rates_of_their_times(config: Path) -> None:
    """Distances to the flow fall as eta^2 with Heun's method, whose stages see eta_l(t) at theirs;
    momentum's state is stepped as a whole."""
    rates = '{kind="learning-rates", rates=[1.0, 2.0], decays=[0.0, 2.0]}, {kind="momentum"}'
    sets = (
        f"rule.modifiers=[{rates}]", "flow.rtol=1e-9", "discrete.eta=[0.02, 0.01]",
        'discrete.method="heun"', 'observe.names=["loss", "laws"]', "expect={}",
    )  # fmt: skip
    summary = json.loads((run(config, *sets) / "summary.json").read_text())
    assert abs(summary["discrete"]["order"] - 2) < 0.2
    assert all(run["laws"] == {} for run in summary["discrete"]["runs"])  # momentum claims none
