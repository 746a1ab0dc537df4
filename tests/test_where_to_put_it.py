"""One of each kind, added to a copy of the package in the files that the page names, and used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "where-to-put-it.md"

# The new files, and per file what stands there, before which the new line goes.
RULE = '''"""Feedback through the cubes of the weights."""

from typing import ClassVar

import jax

from ..feedback import Form
from ..observables.added import FeedbackSize
from .backward import AbstractChainRule


class Cubes(AbstractChainRule):
    """delta_l = phi'(h_l) . (delta_{l+1} W_{l+1}^3)."""

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (delta_{l+1} W_{l+1}^3)"
    source: ClassVar[str] = "nobody"
    form: ClassVar[Form] = "layerwise"

    def backward(self, weights, feedback):
        return jax.tree.map(lambda weight: weight**3, weights)

    def laws(self, weights):
        return {"feedback-size": FeedbackSize()}
'''
LAW = '''"""A law that any rule with fixed feedback keeps."""

from typing import ClassVar

import jax.numpy as jnp

from .laws import AbstractConservationLaw


class FeedbackSize(AbstractConservationLaw):
    """||F_L||^2."""

    layers: ClassVar[tuple[int, ...]] = (1,)
    decay: float = 0.0
    quadratic: ClassVar[bool] = True
    label: ClassVar[str] = "size of the feedback"
    axes: ClassVar[tuple[str, ...]] = ("hidden_layer",)

    def terms(self, weights, feedback, data):
        return (feedback.matrices[-1] ** 2,)

    def collect(self, terms):
        return jnp.stack([jnp.sum(term) for term in terms])
'''
NETWORK = '''"""An MLP by another name."""

import equinox as eqx

from .activations import AbstractActivation
from .mlp import MLP, AbstractLayeredNetwork, Trace


class Other(AbstractLayeredNetwork):
    """What an MLP of the same weights says."""

    weights: tuple
    biases: tuple
    activation: AbstractActivation = eqx.field(static=True)

    def __call__(self, inputs):
        return self.trace(inputs).outputs

    def trace(self, inputs) -> Trace:
        return MLP(self.weights, self.biases, self.activation).trace(inputs)
'''
TASK = '''"""The identity, to be learnt."""

import numpy as np


def added(*, key, size: int = 3) -> tuple:
    """X = Y = I."""
    del key
    return np.eye(size), np.eye(size)
'''
MEASURE = '''"""How far the loss fell."""

from .measure import Measure, line
from .tables import number


def _section(flown, summary):
    loss = summary["loss"]
    return {"share": loss["final"] / loss["initial"]}


FALL = Measure("fall", _section, line("fall", lambda found: f"to {number(found['share'])}"))
'''
FIGURE = '''"""How far the loss fell, drawn."""

from .panel import Curve, Panel
from .style import BLUE, SOLID


def fall_panels(result):
    """The loss over its first value."""
    loss = result.values("loss")
    share = f"to {result.section('fall')['share']:.2g}"
    return [Panel([share], "share", [Curve("fall", "share", loss / loss[0], None, BLUE, SOLID)])]
'''
VERB = '''"""`faflow added`."""

from .arguments import Verb
from .printing import say
from .verdict import DONE


def _act(given):
    del given
    say("added")
    return DONE


VERB = Verb("say so", _act, ())
'''
PAPER = '''"""A paper without claims."""

from .claim import Paper

PAPER = Paper("Nobody 2027", ())
'''
ADDED: dict[str, tuple[dict[str, str], dict[str, list[tuple[str, str]]]]] = {
    "a rule": (
        {"rules/added.py": RULE},
        {"rules/__init__.py": [("RULES = {", "from .added import Cubes as Cubes\n\n"),
                               ('    "gradient": ', '    "cubes": Cubes,\n')]},
    ),
    "a law": (
        {"observables/added.py": LAW},
        {"observables/__init__.py": [("from .alignment", "from .added import FeedbackSize\n")]},
    ),
    "an activation": (
        {},
        {"networks/activations.py": [("ACTIVATIONS = {", "class Added(Tanh):\n    pass\n\n\n"),
                                     ('    "linear": ', '    "added": Added,\n')]},
    ),
    "a network of layers": (
        {"networks/added.py": NETWORK},
        {"config/network/layers.py": [('"gated"]', '"added", ')],
         "setup/weights.py": [("    if smooth is None:", (
             "    if network.kind == 'added':\n"
             "        from ..networks.added import Other\n\n"
             "        return Other(weights.weights, weights.biases, weights.activation)\n"))]},
    ),
    "a task": (
        {"tasks/added.py": TASK},
        {"tasks/task.py": [("TASKS: dict", "from .added import added\n\n"),
                           ('    "gaussian": ', '    "added": added,\n')]},
    ),
    "a solver": ({}, {"solvers/registry.py": [
        ('    "tsit5": ', '    "ralston": _explicit(diffrax.Ralston),\n')]}),
    "a measure, with its figure": (
        {"measures/added.py": MEASURE, "plots/added.py": FIGURE},
        {"measures/registry.py": [("MEASURES = {", "from .added import FALL\n\n"),
                                  ("        LAWS_MEASURE,", "        FALL,\n")],
         "plots/draw.py": [("FIGURES: dict", "from .added import fall_panels\n\n"),
                           ('    "drift": ', '    "fall": fall_panels,\n')]},
    ),
    "a verb": (
        {"cli/added.py": VERB},
        {"cli/dispatch.py": [("COMMANDS: dict", "from . import added\n\n"),
                             ('    "run": ', '    "added": added.VERB,\n')]},
    ),
    "a paper": (
        {"reproduce/added.py": PAPER},
        {"reproduce/papers.py": [("PAPERS: dict", "from .added import PAPER as ADDED\n\n"),
                                 ('    "robertson-', '    "added": ADDED,\n')]},
    ),
}  # fmt: skip

CONFIG = """
name = "added"
[network]
kind = "added"
widths = [3, 2, 3]
activation = "added"
[task]
kind = "added"
[rule]
kind = "cubes"
[flow]
t1 = 0.5
saves = 3
solver = "ralston"
[observe]
names = ["loss", "laws"]
"""

USE = """
import gc
import json
import runpy
gc.disable()
runpy.run_module("faflow.tools.cataloguing", run_name="__main__")
from faflow.cli import main
import faflow
assert main(["added"]) == 0
assert main(["list", "rules"]) == 0
code = main(["run", "added.toml", "--out", "out", "--no-figures"])
assert main(["plot", "out", "--only", "fall"]) == 0
from faflow.reproduce import PAPERS
summary = faflow.open("out").summary
print(json.dumps([code, "added" in PAPERS, summary["laws"]["feedback-size"]["kept"],
                  summary["solver"]["name"], summary["fall"]["share"] < 1]))
"""


def table() -> dict[str, tuple[list[str], list[str]]]:
    """What the page says: the new files, with their names, and those that get lines."""
    rows = re.findall(r"^\| (an? [^|]+?) *\|([^|]*)\|([^|]*)\|$", PAGE.read_text("utf-8"), re.M)
    files = lambda cell: [  # noqa: E731
        name.replace("NAME", "added") for name in re.findall(r"`([\w/]+\.py|[\w/]+NAME\.py)`", cell)
    ]
    return {name: (files(new), files(lines)) for name, new, lines in rows}


@pytest.mark.parametrize("name", ADDED)
def test_the_page_names_these_files(name: str) -> None:
    new, lines = ADDED[name]
    assert table()[name] == (list(new), list(lines))


def test_the_page_names_no_others() -> None:
    assert table().keys() == ADDED.keys()


def test_what_was_added_is_there(tmp_path: Path) -> None:
    # With what is compiled, but not what another process is just writing.
    unfinished = shutil.ignore_patterns("*.pyc.*")
    package = Path(shutil.copytree(ROOT / "faflow", tmp_path / "faflow", ignore=unfinished))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for new, lines in ADDED.values():
        for name, text in new.items():
            (package / name).write_text(text)
        for name, pairs in lines.items():
            text = (package / name).read_text("utf-8")
            for before, line in pairs:
                assert before in text, (name, before)
                text = text.replace(before, line + before, 1)
            (package / name).write_text(text)
    (tmp_path / "added.toml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "JAX_ENABLE_X64": "1"},
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert said.splitlines()[0] == "added"
    assert said.splitlines()[-1] == '[0, true, true, "ralston", true]'
    assert "fall" in said and "cubes" in said
    assert (tmp_path / "out" / "figures" / "fall.png").stat().st_size > 0
