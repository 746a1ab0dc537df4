"""`faflow laws` on a user's file: a pair of convolutions, a head and a rule that say nothing."""

import json

import pytest

from faflow.cli import main

FILE = """
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from faflow.rules import AbstractChainRule

class Eyes(eqx.Module):
    a: eqx.nn.Conv2d
    b: eqx.nn.Conv2d

    def __init__(self, image, outputs, *, key):
        one, two = jax.random.split(key)
        self.a = eqx.nn.Conv2d(image[0], 2, 2, use_bias=False, key=one)
        self.b = eqx.nn.Conv2d(2, outputs, 2, use_bias=False, key=two)

    def __call__(self, x):
        return jnp.mean(self.b(jax.nn.relu(self.a(x))), axis=(1, 2))

class Head(eqx.Module):
    q: jax.Array
    k: jax.Array
    v: jax.Array
    o: jax.Array

    def __init__(self, inputs, outputs, *, key):
        keys = jax.random.split(key, 4)
        self.q, self.k, self.v = (jax.random.normal(one, (2, inputs)) for one in keys[:3])
        self.o = jax.random.normal(keys[3], (outputs, 2))

    def __call__(self, x):
        shares = jax.nn.softmax((x @ self.q.T) @ (x @ self.k.T).T, axis=-1)
        return jnp.mean((shares @ (x @ self.v.T)) @ self.o.T, axis=0)

class Half(AbstractChainRule):
    equation = "M = F / 2"
    source = "mine"
    form = "layerwise"

    def backward(self, weights, feedback):
        return jax.tree.map(lambda F: F / 2, feedback)

    def laws(self, weights):
        return {}

def images(*, key):
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 1, 3, 3)), rng.normal(size=(6, 1))

def tokens(*, key):
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 2, 2)), rng.normal(size=(6, 2))
"""
CONFIG = """
name = "mine"
[network]
kind = "net.py:{network}"
[task]
kind = "net.py:{task}"
[rule]
kind = "{rule}"
[flow]
t1 = 1.0
"""


@pytest.mark.parametrize(
    ("network", "task", "rule", "count", "places"),
    [
        ("Eyes", "images", "net.py:Half", 2, {"a -> b"}),
        ("Head", "tokens", "net.py:Half", 6, {"q -> k", "v -> o"}),
    ],
)
def test_balances_are_named_and_are_all(network, task, rule, count, places, tmp_path, capsys):
    (tmp_path / "net.py").write_text(FILE)
    config = tmp_path / "mine.toml"
    config.write_text(CONFIG.format(network=network, task=task, rule=rule))
    assert main(["laws", str(config), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["independent_laws"] == report["names"]["named"] == count
    assert report["names"]["texts"] == [] and report["timed"] is None
    assert {place for law in report["laws"] for place in law["places"]} == places


def test_a_momentum_says_both_starts(tmp_path, capsys):
    (tmp_path / "net.py").write_text(FILE)
    config = tmp_path / "mine.toml"
    momentum = '[[rule.modifiers]]\nkind = "momentum"\n'
    config.write_text(CONFIG.format(network="Head", task="tokens", rule="gradient") + momentum)
    assert main(["laws", str(config)]) == 0
    said = capsys.readouterr().out
    assert (
        "with the time: from rest 0 laws, and 2 relations that are 0 for ever; from a start" in said
    )
    assert "e^(10 t) angular-momentum from a start that moves, 0 from rest: q -> k (1)" in said
