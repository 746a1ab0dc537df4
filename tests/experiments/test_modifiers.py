"""[[rule.modifiers]] from a config: what is claimed, forecast, stored, drawn and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from faflow.cli import main
from faflow.experiments.digest import digest
from faflow.experiments.run import resolve_path

DECAY = 'rule.modifiers=[{kind="weight-decay", rates=[0.1, 0.3]}]'


def run(config: Path, *overrides: str) -> Path:
    out = config.parent / "out"
    sets = [part for override in overrides for part in ("--set", override)]
    assert main(["run", str(config), "--out", str(out), "--replace", *sets]) in (0, 1)
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
    assert (folder / "figures" / "forecast.png").stat().st_size > 10_000


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


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("rule.modifiers=[{rates=1}]", "rule.modifiers.0.kind", "weight-decay"),
        ('rule.modifiers=[{kind="weight-deca"}]', "rule.modifiers.0.kind", "weight-decay"),
        ('rule.modifiers=[{kind="weight-decay", rate=1}]', "rule.modifiers.0.rate", "rates"),
        ('rule.modifiers=[{kind="weight-decay", rates="x"}]', "rule.modifiers.0.rates", "number"),
        ('rule.modifiers=[{kind="weight-decay", rates=[1,2,3]}]', "rule.modifiers.0", "2"),
        ('rule.modifiers=[{kind="momentum"},{kind="momentum"}]', "rule.modifiers.1", "state"),
        (
            'rule.modifiers=[{kind="weight-normalisation", layers=[9]}]',
            "rule.modifiers.0",
            "1 to 2",
        ),
        ('rule.modifiers="momentum"', "rule.modifiers", "list"),
    ],
)
def test_refused(config: Path, capsys, override: str, key: str, hint: str) -> None:
    assert main(["run", str(config), "--set", override]) == 2
    error = capsys.readouterr().err
    assert key in error and hint in error and error.count("\n") == 1


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
