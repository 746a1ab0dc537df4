"""Rules that not every problem suits say so themselves, and the config's key with it."""

from pathlib import Path
from typing import Any

import pytest

from faflow.config.errors import ConfigError
from faflow.config.resolve import resolve_path
from faflow.rules import AbstractParticularRule
from faflow.setup.problem import set_up

FA_STAR: dict[str, Any] = {
    "network": {"widths": [3, 2, 1]},
    "task": {"kind": "gaussian", "samples": 4},
    "rule": {"kind": "fa-star"},
    "flow": {"t1": 0.1, "saves": 3},
}
POPULATION: dict[str, Any] = {
    "network": {"widths": [6, 2, 1], "activation": "erf"},
    "task": {"kind": "teacher", "samples": 4, "widths": [6, 2, 1], "activation": "erf"},
    "rule": {"kind": "population-gradient"},
    "flow": {"t1": 0.1, "saves": 3},
}
PLAIN = "but population-gradient has inputs of N(0, 1); remove it"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        FA_STAR,
        "task.loss=logcosh",
        "task.loss: is 'logcosh', but the rule fa-star needs 'squared'",
    ),
    (
        FA_STAR,
        "network.widths=[3,1]",
        "network.widths: lists no hidden layer, but the rule fa-star needs one",
    ),
    (
        FA_STAR,
        "init.scale=0.0",
        "network.widths: has a last hidden width 2, but its features have rank 0; fa-star needs a "
        "width of at most that (see rule.kind)",
    ),
    (
        FA_STAR,  # a modifier makes its rule no less particular
        'init.scale=0.0 rule.modifiers=[{kind="learning-rates",rates=1.0}]',
        "network.widths: has a last hidden width 2, but its features have rank 0; fa-star needs a "
        "width of at most that (see rule.kind)",
    ),
    (
        POPULATION,
        'network.kind="gated"',
        "network.kind: is 'gated', but population-gradient has equations for 'mlp' alone",
    ),
    (POPULATION, "task.standardise=true", f"task.standardise: is true, {PLAIN}"),
    (POPULATION, 'task.whiten="rows"', f"task.whiten: is 'rows', {PLAIN}"),
    (POPULATION, "task.scale=2.0", f"task.scale: is 2.0, {PLAIN}"),
    (
        POPULATION,
        "network.bias=true",
        "rule.kind: Rules of the population have no biases, but the network has; set "
        "network.bias = false.",
    ),
]


@pytest.mark.parametrize(("table", "overrides", "line"), REFUSED)
def test_what_does_not_suit_is_said(table: dict, overrides: str, line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        set_up(resolve_path(table, overrides.split()))
    assert str(refused.value) == line


@pytest.mark.parametrize("table", [FA_STAR, POPULATION], ids=["fa-star", "population"])
def test_what_suits_is_set_up(table: dict) -> None:
    """The control: the same problems without the change."""
    rule = set_up(resolve_path(table)).problem.rule
    assert isinstance(rule, AbstractParticularRule)


OWN = """
from faflow.feedback import Form
from faflow.rules import AbstractParticularRule, Misfit


class Picky(AbstractParticularRule):
    equation = "none"
    source = "none"
    form: Form = "none"

    def suit(self, weights, feedback, task):
        raise Misfit("flow.t1", "is VALUE, and RULE wants more")

    def init(self, weights, feedback, data):
        return weights

    def velocity(self, t, state, feedback, data):
        return state

    def read(self, state, feedback, data):
        return state, feedback

    def laws(self, weights):
        return {}
"""


def test_a_user_s_rule_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    kind = f"{tmp_path}/own.py:Picky"
    with pytest.raises(ConfigError, match=f"^flow.t1: is 0.1, and {kind} wants more$"):
        set_up(resolve_path({**FA_STAR, "rule": {"kind": kind}}))
