"""Every kind that a config names may be the user's own, named in every form; `faflow check` tries
each, passes those that are what they say and tells what is wrong with those that are not.

`KINDS` is the table: a section that takes kinds and is not in it fails the first test.
"""

import tomllib
from typing import NamedTuple

import pytest
from small import LIGHT

from faflow.cli import main
from faflow.cli.rules import SECTIONS as ASKED
from faflow.config.dump import config_text
from faflow.config.kinds.registries import BASES, REGISTRIES
from faflow.config.places import KINDS as PLACES
from faflow.config.resolve import resolve_path
from faflow.tools.trials.trial import SECTIONS, section_of

MINE = '''
import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from faflow.feedback import AbstractFeedbackDraw
from faflow.networks import AbstractActivation, AbstractInitialisation
from faflow.observables import AbstractObservable, WeightPotential, balance_laws
from faflow.rules import AbstractChainRule, AbstractModifiedRule
from faflow.tasks import AbstractLoss

class Rule(AbstractChainRule):
    equation, source, form = "the gradient", "none", "none"

    def backward(self, weights, feedback):
        return weights

    def laws(self, weights):
        return balance_laws(weights, WeightPotential())

class LyingRule(Rule):
    def backward(self, weights, feedback):
        return jax.tree.map(jnp.sign, weights)

class Modifier(AbstractModifiedRule):
    equation, source = "half as fast", "none"
    rule: object

    def init(self, weights, feedback, data):
        return self.rule.init(weights, feedback, data)

    def velocity(self, t, state, feedback, data):
        return jax.tree.map(lambda v: v / 2, self.rule.velocity(t, state, feedback, data))

    def read(self, state, feedback, data):
        return self.rule.read(state, feedback, data)

    def laws(self, weights):
        return self.rule.laws(weights)

class LyingModifier(Modifier):
    def velocity(self, t, state, feedback, data):
        return jax.tree.map(lambda v: v + 1, self.rule.velocity(t, state, feedback, data))

class Activation(AbstractActivation):
    """phi(h) = h |h|."""
    degree: float | None = 2.0
    kinked: bool = False
    exact: bool = True

    def __call__(self, h):
        return h * jnp.abs(h)

    def derivative(self, h):
        return 2 * jnp.abs(h)

class LyingActivation(Activation):
    def derivative(self, h):
        return jnp.where(h > 0, 2 * h, 0.0 * h)

class Loss(AbstractLoss):
    def value(self, outputs, targets):
        return jnp.sum((outputs - targets) ** 4, axis=1) / 4

    def error(self, outputs, targets):
        return (outputs - targets) ** 3

    def check(self, targets):
        pass

class LyingLoss(Loss):
    def error(self, outputs, targets):
        return outputs - targets

class Init(AbstractInitialisation):
    needs_feedback = False

    def __call__(self, key, shapes, feedback, inputs):
        return tuple(jnp.ones(shape) for shape in shapes)

class LyingInit(Init):
    def __call__(self, key, shapes, feedback, inputs):
        return tuple(jnp.ones(shape[::-1]) for shape in shapes)

class Draw(AbstractFeedbackDraw):
    scale: float = 1.0
    needs_weights = False

    def matrix(self, key, shape, weight, scale):
        return scale * jax.random.normal(key, shape)

class LyingDraw(Draw):
    def matrix(self, key, shape, weight, scale):
        return jnp.full(shape, jnp.nan)

class Observable(AbstractObservable):
    label = "size of the first layer"
    axes = ("unit",)

    def __call__(self, weights, feedback, data):
        return jnp.sum(weights.weights[0] ** 2, axis=1)

class LyingObservable(Observable):
    axes = ("unit", "input")

class Solver(diffrax.Midpoint):
    pass

class LyingSolver(diffrax.Euler):
    def step(self, terms, t0, t1, y0, args, state, made_jump):
        out = super().step(terms, t0, t1, y0, args, state, made_jump)
        return (jax.tree.map(lambda y: y + 0.01, out[0]), *out[1:])

def task(*, key, samples: int = 4):
    """A regression."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    return rng.normal(size=(samples, 3)), rng.normal(size=(samples, 1))

def lying_task(*, key):
    return np.random.default_rng().normal(size=(4, 3)), np.ones((4, 1))

class Net(eqx.Module):
    weight: jax.Array

    def __init__(self, inputs, outputs, *, key):
        self.weight = jax.random.normal(key, (outputs, inputs))

    def __call__(self, x):
        return self.weight @ x

class LyingNet(Net):
    def __call__(self, x):
        return self.weight @ x + np.random.default_rng().normal()

def observe(weights, feedback, data):
    return jnp.sum(weights.weights[0])

def lying_observe(weights, feedback, data):
    return jnp.sum(weights.weights[0]) if weights.weights[0][0, 0] > 0 else 0.0
'''


class Kind(NamedTuple):
    """A section, the config that uses a kind of it, and what `check` says of a wrong one."""

    section: str
    good: str
    wrong: str
    config: str
    told: str


KINDS = (
    Kind("rule", "Rule", "LyingRule", 'rule.kind="WHERE"', "BROKEN"),
    Kind("modifier", "Modifier", "LyingModifier", 'rule.modifiers=[{kind="WHERE"}]', "BROKEN"),
    Kind("activation", "Activation", "LyingActivation", 'network.activation="WHERE"', "derivative"),
    Kind("loss", "Loss", "LyingLoss", 'task.loss="WHERE"', "NOT as claimed: gradient"),
    Kind("init", "Init", "LyingInit", 'init.kind="WHERE"', "NOT as claimed: W(0): shapes"),
    Kind("feedback", "Draw", "LyingDraw", 'feedback.kind="WHERE"', "NOT as claimed: F: finite"),
    Kind("observable", "Observable", "LyingObservable", 'observe.names=["WHERE"]', "axes"),
    Kind(
        "observable",
        "observe",
        "lying_observe",
        'observe.names=["WHERE"]',
        "NOT as claimed: record",
    ),
    Kind("solver", "Solver", "LyingSolver", 'flow.solver="WHERE"', "NOT as claimed: steps"),
    Kind("task", "task", "lying_task", 'task={kind="WHERE"}', "NOT as claimed: seed"),
    Kind("network", "Net", "LyingNet", 'network={kind="WHERE"}', "another function at every call"),
)
FORMS = ("mine.py:NAME", "lab/mine.py:NAME", "lab/../mine.py:NAME", "mine:NAME", "lab.mine:NAME")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "lab").mkdir()
    for place in (folder, folder / "lab"):
        (place / "mine.py").write_text(MINE)
    (folder / "own.toml").write_text(LIGHT)
    return folder


def test_every_kind_is_in_the_table():
    assert {section for section, *_ in KINDS} == set(SECTIONS) == set(ASKED)
    assert {registry for registry, _ in SECTIONS.values()} == set(BASES)
    assert set(BASES) - {"observables"} == set(REGISTRIES) - {"laws"}
    keys = {key.replace(".0", "") for _, key in SECTIONS.values()}
    assert keys | {"network.activation.kind"} == set(PLACES)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.good)
def test_named_in_every_form(lab, kind):
    """Looked up beside the config, and named anew where the config is stored."""
    for form in FORMS:
        named = form.replace("NAME", kind.good)
        resolved = resolve_path(lab / "own.toml", [kind.config.replace("WHERE", named)])
        (choice,) = [one for one in resolved.suspects.values() if one.kind == named]
        assert choice.foreign
        assert getattr(choice.cls, "__name__", "") == kind.good
        stored = tomllib.loads(config_text(resolved, into=lab / "results" / "own"))
        assert f"../../{named.replace('lab/../', '')}" in str(stored)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.good)
def test_check(lab, kind, monkeypatch, capsys):
    from faflow.tools.check import NETS

    monkeypatch.setattr("faflow.tools.check.NETS", NETS[:1])
    monkeypatch.setattr("faflow.tools.check.ACTIVATIONS_TRIED", ("relu-squared",))
    monkeypatch.chdir(lab)
    assert section_of(f"mine.py:{kind.good}") == kind.section
    assert main(["check", f"mine.py:{kind.good}"]) == 0, capsys.readouterr().out
    assert "every claim holds" in capsys.readouterr().out
    assert main(["check", f"mine.py:{kind.wrong}"]) == 1
    told = capsys.readouterr().out
    assert kind.told in told
    assert "NOT" in told and "every claim holds" not in told
