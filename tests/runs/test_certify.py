"""The certificate: the digits that it promises are there, and it promises no others."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from faflow.cli import main
from faflow.measures.experiment import build
from faflow.runs.certify import common_digits
from faflow.runs.run import resolve_path


def run(config: Path, capsys, *arguments: str) -> dict:
    capsys.readouterr()
    main(["run", str(config), "--json", "--no-figures", "--replace", *arguments])
    return json.loads(capsys.readouterr().out)


def exact_loss(config: Path) -> float:
    """The loss at t = 0.5 of feedback alignment on 3-2-1, written out, by SciPy at 1e-13."""
    problem = build(resolve_path(config)).problem
    x, y = np.asarray(problem.data.inputs), np.asarray(problem.data.targets)
    back = np.asarray(problem.feedback.matrices[0])

    def residual(flat):
        w1, w2 = flat[:6].reshape(2, 3), flat[6:].reshape(1, 2)
        return w1, x @ w1.T @ w2.T - y

    def field(t, flat):
        w1, error = residual(flat)
        return np.concatenate([-(back.T @ error.T @ x).ravel(), -(error.T @ x @ w1.T).ravel()])

    start = np.concatenate([np.asarray(w).ravel() for w in problem.weights.weights])
    end = solve_ivp(field, (0, 0.5), start, "DOP853", rtol=1e-13, atol=1e-15).y[:, -1]
    return 0.5 * float((residual(end)[1] ** 2).sum())


@pytest.mark.parametrize(
    ("one", "two", "agree"),
    [(1.0, 1.0, 15), (3.14159, 3.14160, 6), (1.0, 1.1, 1), (1.0, -1.0, 0), (0.0, 1e-30, 0),
     (np.nan, 1.0, 0), ([1.0, 1e-9], [1.0, 2e-9], 9)],
)  # fmt: skip
def test_digits_are_those_of_the_textbook(one, two, agree: int) -> None:
    """5 10^{-d} is the relative error of d significant digits."""
    assert common_digits(one, two) == agree


@pytest.mark.parametrize("how", [("--certify",), ("--certify-with", "dopri8")], ids=["tol", "way"])
@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_what_is_promised_is_there(config: Path, capsys, how, rtol: float) -> None:
    """The digits of the final weights and of the loss against SciPy's at 1e-13."""
    steps = ("--set", f"flow.rtol={rtol}", "flow.solver=bosh3")
    summary = run(config, capsys, *steps, *how)
    loss = exact_loss(config)
    there = math.log10(5 * loss / abs(summary["loss"]["final"] - loss))
    promised = summary["certificate"]["figures"]["loss.final"]["digits"]
    assert abs(there - promised) < 1.1
    assert promised >= 3 if rtol > 1e-5 else promised >= 7


def test_a_looser_run_is_promised_fewer_and_its_drift_falls(config: Path, capsys) -> None:
    told = {}
    for rtol in (1e-3, 1e-9):
        given = (f"flow.rtol={rtol}", "flow.solver=tsit5", "flow.t1=5")
        summary = run(config, capsys, "--certify", "--set", *given)
        told[rtol] = summary["certificate"]
    loose, tight = (told[rtol]["weights"]["digits"] for rtol in (1e-3, 1e-9))
    assert loose + 3 < tight
    drift = told[1e-3]["figures"]["laws.layer-balance.relative_drift"]
    assert drift["ratio"] > 3 and "digits" not in drift
    assert told[1e-3]["records"]["loss"]["digits"] < told[1e-9]["records"]["loss"]["digits"]


def test_it_is_stored_and_not_made_twice(config: Path, capsys) -> None:
    assert main(["run", str(config), "--no-figures"]) == 0
    folder = Path("results") / "small"
    before = json.loads((folder / "summary.json").read_text())
    assert "certificate" not in before
    assert main(["run", str(config), "--no-figures", "--certify"]) == 0
    printed = capsys.readouterr().out
    assert "already there" in printed and "certificate by a tenth of it" in printed
    after = json.loads((folder / "summary.json").read_text())
    assert {key: after[key] for key in before} == before
    after["certificate"]["weights"]["digits"] = 3  # a mark: the stored one is what is printed
    (folder / "summary.json").write_text(json.dumps(after))
    assert main(["run", str(config), "--no-figures", "--certify"]) == 0
    assert "3 (apart by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--certify-with", "tsit6"], "--certify-with: is 'tsit6'; did you mean 'tsit5'?"),
        (["--certify-with", "auto"], "the flow's own solver"),
        (["--certify", "--set", "flow.rtol=2e-14"], "use --certify-with SOLVER"),
    ],
)
def test_what_can_not_be_certified_is_refused_first(config: Path, capsys, arguments, said) -> None:
    assert main(["run", str(config), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not Path("results").exists()
