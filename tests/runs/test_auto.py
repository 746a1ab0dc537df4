"""`flow.solver = "auto"` from a config to the report."""

import json
from pathlib import Path

import numpy as np

from faflow.cli import main
from faflow.config.resolve import resolve_path
from faflow.measures.summary import summary_rows
from faflow.runs.run import run


def chosen_rows(summary):
    return [row["measured"] for row in summary_rows(summary) if row["what"] == "chosen"]


def test_default_says_that_it_stayed(stored: Path) -> None:
    summary = json.loads((stored / "summary.json").read_text())
    solver = summary["solver"]
    assert solver["name"] == "auto" and [leg["solver"] for leg in solver["chosen"]] == ["tsit5"]
    (leg,) = solver["chosen"]
    assert (leg["from"], leg["steps"]) == (0.0, solver["steps"])
    assert chosen_rows(summary)[0].startswith("tsit5 from t = 0 (")


def test_long_flow_changes_and_says_when_and_why(config: Path, capsys) -> None:
    """Past its convergence, tsit5 would go on at the limit of stability to t1."""
    text = config.read_text().replace("t1 = 0.5", 't1 = 1e7\nspacing = "log"\nfirst = 0.1')
    config.write_text(text.replace("saves = 3", "saves = 9").replace("1e-6", "1e-5"))
    assert main(["run", str(config), "--no-figures"]) == 0
    printed = capsys.readouterr().out
    summary = json.loads((config.parent / "results" / "small" / "summary.json").read_text())
    solver = summary["solver"]
    first, then = solver["chosen"]
    assert (solver["name"], first["solver"], then["solver"]) == ("auto", "tsit5", "bdf")
    assert 0 < then["from"] < 1e5 and "stability would demand" in then["reason"]
    for key, total in (("steps", solver["steps"]), ("rejected", solver["rejected"]),
                       ("field_evaluations", solver["field_evaluations"])):  # fmt: skip
        assert first[key] + then[key] == total
    assert chosen_rows(summary)[1] in printed
    assert solver["field_evaluations"] < 20_000  # tsit5 alone: millions
    assert summary["loss"]["final"] < 1e-15

    result = run(config)  # stored, and read back
    assert not result.fresh and result.summary["solver"] == solver
    assert resolve_path(config.parent / "results" / "small" / "config.toml").flow.solver == "auto"
    counted = result.records["records"]["field_evaluations"].values
    assert counted[-1] == solver["field_evaluations"] and np.all(np.diff(counted) >= 0)


def test_bdf_says_how_it_solves_its_equations(config: Path, capsys) -> None:
    assert main(["run", str(config), "--no-figures", "--set", "flow.solver=bdf"]) == 0
    summary = json.loads((config.parent / "results" / "small" / "summary.json").read_text())
    (leg,) = summary["solver"]["chosen"]
    assert leg["solver"] == "bdf" and leg["steps"] == summary["solver"]["steps"]
    assert leg["reason"] == "by a factored Jacobian, 8 x 8"
    assert leg["reason"] in capsys.readouterr().out


def test_kinks_and_fixed_steps_have_their_own_defaults(config: Path) -> None:
    for overrides, solver in (
        ([], "auto"),
        (["network.activation=relu"], "heun"),
        (["network.activation=relu", "flow.kinks=exact"], "tsit5"),
        (["network.activation=relu", "flow.kinks=smooth"], "bosh3"),
        (["flow.step=0.05"], "tsit5"),
        (["flow.solver=bdf"], "bdf"),
    ):
        assert resolve_path(config, overrides).flow.solver == solver
