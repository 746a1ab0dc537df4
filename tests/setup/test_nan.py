"""What is no number passes no check: nan is neither below a bound nor above it."""

import ast
import inspect
from pathlib import Path

import jax.numpy as jnp
import pytest

from faflow import reproduce
from faflow.cli import main
from faflow.measures.laws import law_line
from faflow.rules import AbstractLayerwiseRule, Gradient, backward_sweep
from faflow.tools.check import check_rule


class NoNumber(AbstractLayerwiseRule):
    """Deltas of 0 / 0; claims nothing."""

    equation = "delta = nan"
    source = "none"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        deltas = backward_sweep(weights, weights.weights[1:], trace, error)
        return tuple(jnp.nan * delta for delta in deltas)

    def laws(self, weights):
        return {}


class Claiming(NoNumber):
    """And claims the gradient's laws."""

    def laws(self, weights):
        return Gradient().laws(weights)


@pytest.mark.parametrize("rule", [NoNumber, Claiming])
def test_a_rule_whose_deltas_are_nan_is_no_rule(rule, monkeypatch, capsys) -> None:
    monkeypatch.setattr("faflow.tools.check.NETS", ((3, 2, 1),))
    monkeypatch.setattr("faflow.tools.check.ACTIVATIONS_TRIED", ("linear",))
    kind = f"{__name__}:{rule.__name__}"
    assert main(["check", kind]) == 1
    said = capsys.readouterr().out
    assert "NOT as claimed: the velocity is not finite on 2 networks (first: 3-2-1 linear)" in said
    assert "every claim holds" not in said
    assert not any(case.ok for case in check_rule(kind).cases)


def test_a_drift_that_is_none_is_shown_first() -> None:
    law = {"kept": True, "rate_at_start": [1e-15, None], "drift": [1e-9, None], "scale": [1.0, 1.0],
           "relative_drift": [1e-9, None], "worst_time": [1.0, 2.0], "layers": [1, 2]}  # fmt: skip
    line = law_line(law, {"step": None, "rtol": 1e-9})
    assert "rate at start -;" in line and "drift - of" in line and "layer 2" in line


def test_claims_take_their_extremes_from_numpy() -> None:
    """Python's max(1.0, nan) is 1.0: a measure that is no number would be left out of a claim."""
    assert max(1.0, float("nan")) == 1.0
    folder = Path(inspect.getfile(reproduce)).parent
    names = ("robertson_koyejo", "garg_vempala", "theorem2", "by_hand")
    paths = [*(folder / f"{name}.py" for name in names), *folder.glob("architectures/*.py")]
    for path in paths:
        tree = ast.parse(path.read_text())
        called = {node.func.id for node in ast.walk(tree)
                  if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
        assert not called & {"max", "min"}, path
