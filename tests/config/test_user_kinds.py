"""Kinds of the user's own that have a fault: one line that names the right key, no traceback."""

from pathlib import Path

import pytest
from complaints import complaint

from faflow.cli import main

MINE = """
import sys
import jax.numpy as jnp
import numpy as np
from faflow.feedback import AbstractFeedbackDraw
from faflow.networks import AbstractActivation, AbstractInitialisation
from faflow.observables import WeightPotential, balance_laws
from faflow.rules import AbstractLayerwiseRule, backward_sweep
from faflow.tasks import AbstractLoss

class AbstractMine(AbstractLayerwiseRule):
    equation = "the gradient"
    source = "none"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, weights.weights[1:], trace, error)

class Plain(AbstractMine):
    def laws(self, weights):
        return {}

class NoLaws(AbstractMine):
    def laws(self, weights):
        return None

class ListOfLaws(AbstractMine):
    def laws(self, weights):
        return [1]

class RaisingLaws(AbstractMine):
    def laws(self, weights):
        raise KeyError("mine")

class QuittingRule(AbstractMine):
    def __init__(self):
        sys.exit(0)

    def laws(self, weights):
        return {}

class QuittingField(AbstractMine):
    def deltas(self, weights, feedback, trace, error):
        sys.exit(0)

    def laws(self, weights):
        return {}

class RaisingRule(AbstractMine):
    def __init__(self):
        raise OSError("mine")

    def laws(self, weights):
        return {}

class Misspelt(AbstractMine):
    form = "layerwse"

    def laws(self, weights):
        return {}

class Still(AbstractMine):
    def deltas(self, weights, feedback, trace, error):
        return tuple(0 * h for h in trace.pre)

    def laws(self, weights):
        return balance_laws(weights, WeightPotential())

class Nan(AbstractMine):
    def deltas(self, weights, feedback, trace, error):
        return tuple(jnp.nan * h for h in trace.pre)

    def laws(self, weights):
        return balance_laws(weights, WeightPotential())

class Picky(AbstractMine):
    def deltas(self, weights, feedback, trace, error):
        raise ValueError("not today")

    def laws(self, weights):
        return {}

def raising_task(*, key):
    raise RuntimeError("mine")

def number_task(*, key):
    return 3

class RaisingInit(AbstractInitialisation):
    needs_feedback = False

    def __call__(self, key, shapes, feedback, inputs):
        raise RuntimeError("mine")

class FlatInit(AbstractInitialisation):
    needs_feedback = False

    def __call__(self, key, shapes, feedback, inputs):
        return tuple(jnp.zeros(s[0]) for s in shapes)

class NanInit(AbstractInitialisation):
    needs_feedback = False

    def __call__(self, key, shapes, feedback, inputs):
        return tuple(jnp.full(s, jnp.nan) for s in shapes)

class RaisingDraw(AbstractFeedbackDraw):
    scale: float = 1.0
    needs_weights = False

    def matrix(self, key, shape, scale, weight):
        raise RuntimeError("mine")

class RaisingPhi(AbstractActivation):
    degree = None
    kinked = False
    exact = True

    def __call__(self, h):
        raise AttributeError("mine")

    def derivative(self, h):
        return h

class SumPhi(AbstractActivation):
    degree = None
    kinked = False
    exact = True

    def __call__(self, h):
        return h

    def derivative(self, h):
        return jnp.sum(h)

class RaisingLoss(AbstractLoss):
    def value(self, outputs, targets):
        raise ZeroDivisionError("mine")

    def error(self, outputs, targets):
        return outputs - targets

    def check(self, targets):
        pass

class RaisingCheck(AbstractLoss):
    def value(self, outputs, targets):
        return jnp.sum(outputs, axis=1)

    def error(self, outputs, targets):
        return outputs

    def check(self, targets):
        raise RuntimeError("mine")
"""


@pytest.fixture
def mine(config: Path) -> Path:
    """The valid config, with mine.py beside it."""
    (config.parent / "mine.py").write_text(MINE)
    return config


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("rule.kind=mine.py:NoLaws", "NoneType"),
        ("rule.kind=mine.py:ListOfLaws", "list"),
        ("rule.kind=mine.py:RaisingLaws", "KeyError"),
        ("rule.kind=mine.py:RaisingRule", "OSError: mine"),
        ("rule.kind=mine.py:Picky", "not today"),
        ("rule.kind=mine.py:QuittingRule", "SystemExit: 0"),
        ("rule.kind=mine.py:QuittingField", "SystemExit: 0"),
        ("rule.kind=mine.py:Misspelt", "'layerwise'"),
        ("rule.kind=mine.py:Nan", "finite"),
        ("task.kind=mine.py:raising_task", "RuntimeError: mine"),
        ("task.kind=mine.py:number_task", "TypeError"),
        ("init.kind=mine.py:RaisingInit", "RuntimeError: mine"),
        ("init.kind=mine.py:FlatInit", "shapes [(2,), (1,)]"),
        ("feedback.kind=mine.py:RaisingDraw", "RuntimeError: mine"),
        ("network.activation=mine.py:RaisingPhi", "AttributeError: mine"),
        ("network.activation=mine.py:SumPhi", "derivative"),
        ("task.loss=mine.py:RaisingLoss", "ZeroDivisionError: mine"),
        ("task.loss=mine.py:RaisingCheck", "RuntimeError: mine"),
        ("flow.solver=diffrax:ItoMilstein", "ItoMilstein"),
        ("flow.solver=diffrax:SemiImplicitEuler", "SemiImplicitEuler"),
    ],
)
def test_fault_is_named(mine: Path, capsys, override: str, hint: str) -> None:
    key = override.split("=")[0]
    sets = [override]
    if key == "task.kind":
        mine.write_text(mine.read_text().replace("samples = 2\nfeatures = 3\n", ""))
    if key == "flow.solver":
        sets.append("flow.step=0.05")
    line = complaint(capsys, "run", str(mine), "--set", *sets)
    assert line.startswith(f"faflow: {key}: is '") and hint in line, line


@pytest.mark.parametrize("verb", ["run", "check", "laws"])
def test_a_module_that_ends_the_process(config: Path, capsys, verb: str) -> None:
    """It is no success."""
    (config.parent / "quits.py").write_text("import sys\nsys.exit(0)\n")
    kind = "quits.py:Rule"
    argv = (kind,) if verb == "check" else (str(config), "--set", f"rule.kind={kind}")
    line = complaint(capsys, verb, *argv)
    assert kind in line and "SystemExit: 0" in line


def test_innermost_of_several_is_named(mine: Path, capsys) -> None:
    sets = ["rule.kind=mine.py:Plain", "network.activation=mine.py:RaisingPhi"]
    assert complaint(capsys, "run", str(mine), "--set", *sets).startswith("faflow: network.activ")


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ("Plain", "every claim holds"),
        ("Still", "NOT measurable"),
        ("Nan", "NOT as claimed"),
        ("Picky", "NOT as claimed"),
    ],
)
def test_check(mine: Path, monkeypatch, capsys, rule: str, verdict: str) -> None:
    from faflow.tools.check import NETS

    monkeypatch.setattr("faflow.tools.check.NETS", NETS[:1])
    monkeypatch.setattr("faflow.tools.check.ACTIVATIONS_TRIED", ("linear",))
    assert main(["check", f"mine.py:{rule}"]) == (rule != "Plain")
    out = capsys.readouterr().out
    assert verdict in out
    assert ("DON'T FIT" in out) is (rule == "Picky")
    assert ("not measurable" in out) is (rule == "Still")


def test_first_weights_that_are_not_finite(mine: Path, capsys) -> None:
    line = complaint(capsys, "run", str(mine), "--set", "init.kind=mine.py:NanInit")
    assert line.startswith("faflow: init: gives numbers that are not finite")


def test_check_of_a_misspelt_form(mine: Path, capsys) -> None:
    assert "'layerwise'" in complaint(capsys, "check", "mine.py:Misspelt")
