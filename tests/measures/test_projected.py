"""`[flow] project = true`: no drift is printed, and a law that the field breaks is refused."""

import json
from pathlib import Path

from faflow.cli import main

LIAR = Path(__file__).parents[1] / "liar.py"
PROJECT = ("--no-figures", "--set", "flow.project=true", "expect={}")


def test_no_drift_is_printed(config: Path, capsys) -> None:
    assert main(["run", str(config), *PROJECT]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "layer-balance projected onto: its drift is no check" in printed
    summary = json.loads(Path("results/small/summary.json").read_text())
    assert summary["laws"]["layer-balance"]["relative_drift"] is None
    assert 0 < summary["projection"]["corrected"] < 1e-6
    assert main(["drift", "results/small"]) == 0
    assert "projected: no check" in capsys.readouterr().out


def test_a_bound_on_what_is_not_measured_is_broken(config: Path) -> None:
    assert main(["run", str(config), "--no-figures", "--set", "flow.project=true"]) == 1


def test_a_law_that_the_field_breaks_is_not_forced(config: Path, capsys) -> None:
    assert main(["run", str(config), *PROJECT, f"rule.kind={LIAR}:Liar"]) == 2
    assert "but the field breaks layer-balance" in capsys.readouterr().err
    assert not Path("results").exists()
