"""Observables of the user's own: recorded, summarised, bounded and swept like faflow's."""

import json

import numpy as np
import pytest
from complaints import complaint
from small import LIGHT

import faflow
from faflow.cli import main
from faflow.sweeps.plan import plan_of
from faflow.sweeps.sweep import run_sweep

MINE = """
import jax
import jax.numpy as jnp
from faflow.observables import AbstractObservable

def size(weights, feedback, data):
    return jnp.sum(weights.weights[0] ** 2)

class Rows(AbstractObservable):
    power: float = 2.0
    label = "rows"
    axes = ("unit",)

    def __call__(self, weights, feedback, data):
        return jnp.sum(jnp.abs(weights.weights[0]) ** self.power, axis=1)

class Layer(Rows):
    axes = ("layer",)

    def __call__(self, weights, feedback, data):
        return jnp.ones(3)

class Time(Rows):
    axes = ("time",)

class Flat(Rows):
    axes = ()

class NoDefault(Rows):
    more: float = jax.tree_util.Partial

class loss(Rows):
    pass

def text(weights, feedback, data):
    return "three"

def raising(weights, feedback, data):
    raise KeyError("mine")

def asks(weights, feedback, data):
    return weights.weights[0][0, 0] if weights.weights[0][0, 0] > 0 else 0.0

number = 3
"""
OWN = ("mine.py:size", "mine.py:Rows")


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    names = ", ".join(f'"{name}"' for name in ("loss", "norms", *OWN))
    text = LIGHT.replace('"loss", "laws"', names)
    (tmp_path / "own.toml").write_text(text + '\n[expect]\n"observed.size.final" = { max = 1e3 }\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recorded_and_summarised(here, capsys):
    """By hand from the stored weights; another body is another run."""
    argv = ["run", "own.toml", "--no-figures", "--out", "out", "--set"]
    assert main([*argv, "observe.save_weights=true"]) == 0
    assert "size " in capsys.readouterr().out
    result = faflow.open("out")
    first = result.records["weights"]["W1"].values
    np.testing.assert_allclose(result.series["size"], (first**2).sum((1, 2)), rtol=1e-14)
    np.testing.assert_allclose(result.series["Rows"], (first**2).sum(2), rtol=1e-14)
    assert result.axes("Rows") == ("time", "unit")
    told = result.summary["observed"]
    assert told["size"] == {"initial": result.series["size"][0], "final": result.series["size"][-1]}
    assert told["Rows"] == {"numbers": 2}
    assert result.summary["expect"]["observed.size.final"]["ok"]
    stored = (here / "out" / "config.toml").read_text()
    assert '"../mine.py:size"' in stored
    (here / "mine.py").write_text(MINE.replace("** 2)", "** 4)"))
    assert "different result" in complaint(capsys, *argv, "observe.save_weights=true")


def test_swept(here):
    text = (here / "own.toml").read_text()
    (here / "own.toml").write_text(text + '\n[sweep.product]\n"init.scale" = [0.5, 1.0]\n')
    sweep = run_sweep(plan_of("own.toml"), out="swept", workers=1)
    assert sweep.records["figures"]["observed.size.final"].shape == (2,)
    sizes = sweep.records["records"]["size"].values[:, 0]
    np.testing.assert_allclose(sizes[1] / sizes[0], 4.0)
    assert sweep.records["records"]["Rows"].dims[-1] == "unit"


def test_nothing_of_it_is_run_to_be_shown(here, capsys):
    (here / "mine.py").write_text("raise SystemExit(3)")
    assert main(["show", "own.toml"]) == 0
    assert "mine.py:size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mine.py:sise", "has no sise; did you mean 'size'?"),
        ("mine.py:number", "can't be called"),
        ("mine.py:Layer", "whose axis 'layer' has 3 entries, but 2 in norms"),
        ("mine.py:Time", "whose axis 'time'"),
        ("mine.py:Flat", "whose record has 1 axes, but its `axes` name 0"),
        ("mine.py:loss", "whose record would be called 'loss' as another is; rename it"),
        ("mine.py:text", "is not a valid JAX array type"),
        ("mine.py:raising", "raised KeyError: 'mine'"),
        ("mine.py:asks", "raised TracerBool"),
        ("los", "did you mean 'loss'?"),
    ],
)
def test_refused(here, capsys, name, told):
    names = json.dumps(["norms", name])
    line = complaint(capsys, "run", "own.toml", "--set", "expect={}", f"observe.names={names}")
    assert line.startswith("faflow: observe.names.1: is '") and told in line, line
