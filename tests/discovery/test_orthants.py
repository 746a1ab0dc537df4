"""Counts of rules that look at signs: inside one orthant of the weights, and for all states."""

import itertools
import json
from pathlib import Path
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from faflow.cli import main
from faflow.discovery import Fields, discover
from faflow.discovery.orthants import sign_planes
from faflow.feedback import Feedback, Form
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES, AbstractWeightRule, Gradient, PotentialFeedback


def network(widths, activation="linear"):
    rng = np.random.default_rng(0)
    pairs = itertools.pairwise(widths)
    weights = tuple(jnp.asarray(rng.normal(size=(b, a))) for a, b in pairs)
    return MLP(weights, (), ACTIVATIONS[activation]())


def feedback(widths, form):
    rng = np.random.default_rng(1)
    shapes = [(b, a) for a, b in itertools.pairwise(widths[1:])]
    if form == "direct":
        shapes = [(widths[-1], n) for n in widths[1:-1]]
    return Feedback(tuple(jnp.asarray(rng.normal(size=s)) for s in shapes if form != "none"), form)


class Manhattan(AbstractWeightRule):
    """Signs of the gradient: piecewise constant."""

    equation: ClassVar[str] = "W' = sign(-grad)"
    source: ClassVar[str] = "Liao, Leibo & Poggio 2016 (batch Manhattan)"
    form: ClassVar[Form] = "none"

    def vector_field(self, weights, feedback, data):
        move = Gradient().vector_field(weights, feedback, data)
        return MLP(tuple(map(jnp.sign, move.weights)), (), weights.activation)

    def laws(self, weights):
        return {}


SIGNED = {
    "uniform-sign-symmetry": RULES["uniform-sign-symmetry"](),
    "fixed-magnitude-sign-symmetry": RULES["fixed-magnitude-sign-symmetry"](),
    "one-norm": PotentialFeedback("one-norm"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_nine_of_thirteen_hold_in_one_orthant_alone(name: str) -> None:
    """Linear 3-4-1: inside an orthant G is constant, and the rule is feedback alignment (13 laws);
    across them the four neuron balances are left."""
    rule = SIGNED[name]
    found = discover(rule, network((3, 4, 1)), feedback((3, 4, 1), rule.form), degree=None)
    assert (found.independent, found.signs, found.everywhere) == (13, "W2", 4)
    assert found.across is not None and found.across.rank.gap > 1e4
    neuron = next(law for law in found.known if law.name == "neuron-balance")
    assert neuron.kept and neuron.everywhere and neuron.independent == 4


def test_a_law_of_one_orthant_breaks_after_a_flip() -> None:
    """In numpy: s_1 W_1[0] - s_2 W_1[1], s = sign W_2(0), along Euler's small steps, and the neuron
    balances, which hold all along."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 1))
    first, second = 0.5 * rng.normal(size=(4, 3)), 0.1 * np.array([[1.0, -1.0, 1.0, -1.0]])
    signs, eta, inside, across = np.sign(second[0]), 1e-4, 0.0, 0.0
    of = lambda w: signs[0] * w[0] - signs[1] * w[1]  # noqa: E731
    neurons = lambda: 0.5 * np.sum(first**2, axis=1) - np.abs(second[0])  # noqa: E731
    start, balance = of(first), neurons()
    for _ in range(20_000):
        pull = (x @ first.T @ second.T - y).T @ x
        first, second = (
            first - eta * np.sign(second).T @ pull, second - eta * pull @ first.T
        )  # fmt: skip
        off = np.max(np.abs(of(first) - start))
        flipped = np.any(np.sign(second[0])[:2] != signs[:2])
        inside, across = (inside, max(across, off)) if flipped else (max(inside, off), across)
    assert inside < 1e-12 and across > 0.1
    assert np.max(np.abs(neurons() - balance)) < 1e-2


@pytest.mark.parametrize(
    ("rule", "activation"),
    [("gradient", "relu"), ("feedback-alignment", "linear"), ("direct-feedback-alignment", "relu"),
     ("mixed-feedback-alignment", "tanh"), ("sign-error-direct-feedback", "linear")],
)  # fmt: skip
def test_other_rules_look_at_no_signs_of_weights(rule: str, activation: str) -> None:
    """ReLU's gates and the signs of errors are the lessons'; every state meets all of them."""
    made = RULES[rule]()
    fields = Fields(made, network((3, 3, 2), activation), feedback((3, 3, 2), made.form))
    assert sign_planes(fields, np.random.default_rng(0)) == ()


def test_signs_of_the_gradient() -> None:
    fields = Fields(Manhattan(), network((3, 3, 1)), Feedback())
    assert sign_planes(fields, np.random.default_rng(0)) == tuple(range(9, 12))


def test_faflow_laws_says_for_which_states(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sign.toml").write_text(
        'name = "sign"\n[network]\nwidths = [3, 4, 1]\n[task]\nkind = "gaussian"\nsamples = 2\n'
        'features = 3\n[rule]\nkind = "uniform-sign-symmetry"\n[flow]\nt1 = 1.0\n'
    )
    command = ["laws", "sign.toml", "--degree", "0"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["states"] == "inside one orthant of sign(W2)"
    assert report["independent_laws"] == 13 and report["independent_laws_for_all_states"] == 4
    assert {law["name"] for law in report["known"] if law["for_all_states"]} == {
        "layer-balance", "neuron-balance",
    }  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "13 of 16 directions" in said
    assert "inside one orthant of sign(W2), 4 of them for all states; the rule's laws" in said
    assert "neuron-balance: 4 independent, kept for all states" in said
