"""`exact-solution` from a config: the summary's section, and one line where none is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from faflow.cli import main
from faflow.flow import FlowSolution
from faflow.measures.exact_solution import exact_distance, exact_section
from faflow.solved import SOLVED, with_distances

GOLD = """
name = "gold"

[network]
widths = [4, 2, 3]

[init]
kind = "lambda-balanced"
imbalance = 0.3

[task]
kind = "gaussian"
samples = 9
features = 4
outputs = 3
whiten = "features"

[rule]
kind = "gradient"

[flow]
t1 = 0.5
saves = 6
rtol = 1e-11

[observe]
names = ["loss", "exact-solution"]
"""


@pytest.fixture
def gold(placed: Callable[[str, str], Path]) -> Path:
    return placed("gold", GOLD)


def settings(lines: str) -> list[str]:
    return [word for line in lines.strip().splitlines() for word in ("--set", line)]


def test_gradient_flow_is_the_exact_one(gold: Path, capsys, unpainted) -> None:
    """To the solver's tolerance; a bound below that is broken."""
    bound = "expect={exact_solution={relative_distance={max=1e-20}}}"
    assert main(["run", str(gold), "--set", bound]) == 1
    assert "exact solution" in capsys.readouterr().out
    folder = gold.parent / "results" / "gold"
    section = json.loads((folder / "summary.json").read_text())["exact_solution"]
    assert section["kind"] == "lambda-balanced" and 0 < section["worst_time"] <= 0.5
    assert section["final_distance"] <= section["relative_distance"] < 1e-9
    assert list((folder / "figures").iterdir())
    with xr.open_datatree(folder / "result.nc") as tree:
        record = tree["records"]["exact-solution"]
        assert record.dims == ("time",) and record.values[0] < 1e-14
        assert record.values.max() == section["relative_distance"]


@pytest.mark.parametrize("kind", SOLVED)
def test_distances_of_maps_up_to_an_early_end(kind: str) -> None:
    """Maps off by 1 % of the largest exact map, then a save that the flow did not reach; times
    count from the first save, and an untouched map is at distance 0 (control)."""
    solved = SOLVED[kind].draw(jax.random.key(0))
    observables = exact_distance("exact-solution", solved.problem)
    ts = np.array([1.0, 1.5, 2.0, np.nan])
    answer = jax.jit(lambda t: solved.answer(t))  # dozens of programs otherwise
    exact = [np.asarray(answer(float(t - 1))) for t in ts[:3]]
    maps = np.stack([*exact, np.nan * exact[0]])
    size = np.linalg.norm(maps[:3], axis=(1, 2)).max()
    off = np.zeros_like(maps)
    off[1, 0, 0] = 0.01 * size
    solution = FlowSolution._make([None] * len(FlowSolution._fields))
    records: Any = {"exact-solution": maps + off}
    solution = solution._replace(ts=ts, reached=~np.isnan(ts), records=records)
    found = with_distances(observables, solution)
    np.testing.assert_allclose(
        found.records["exact-solution"], [0, 0.01, 0, np.nan], rtol=1e-12, atol=1e-14
    )
    section = exact_section(observables, found)
    assert section is not None and section["worst_time"] == 1.5
    # Decoupled modes are lambda-balanced, and recognised as such.
    assert section["kind"] == ("lambda-balanced" if kind == "decoupled-modes" else kind)
    assert section["relative_distance"] == pytest.approx(0.01) and section["final_distance"] < 1e-14
    assert exact_section({}, found) is None


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        ("network={widths=[4,2,2,3]}\ninit={kind='gaussian'}", "two linear layers"),
        ("network.bias=true", "without biases"),
        ("network.activation=relu", "two linear layers"),
        ("task.loss=logcosh", "squared loss"),
        ("task.whiten=none", "task.whiten = 'features'"),
        ("init={kind='gaussian'}", "init.kind = 'lambda-balanced'"),
        ("rule.kind=kolen-pollack", "KolenPollack"),
        ("rule.kind=feedback-alignment", "one output"),
        ("rule.kind=fa-star", "one hidden unit"),
    ],
)
def test_what_is_not_known_is_one_line(gold: Path, capsys, lines: str, hint: str) -> None:
    assert main(["run", str(gold), *settings(lines)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("faflow: observe.names.1: is 'exact-solution', which ") and hint in err
    assert not (gold.parent / "results").exists()


@pytest.mark.parametrize(
    ("override", "hint"),
    [("network.widths=[4,4,3]", "narrow it"), ("network.widths=[4,3,3,3]", "two layers")],
)
def test_widths_without_lambda_balance_are_one_line(gold: Path, capsys, override, hint) -> None:
    assert main(["run", str(gold), "--set", override]) == 2
    err = capsys.readouterr().err
    assert err.startswith("faflow: init:") and hint in err and err.count("\n") == 1
