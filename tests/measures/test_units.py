"""The parts that need no flow: overrides, options, bounds, names, checks."""

from typing import Literal

import pytest

from faflow._names import ALIASES
from faflow.cli import COMMANDS
from faflow.cli import reproduce as verb
from faflow.cli.arguments import make_parser
from faflow.config.dump import config_text
from faflow.config.errors import ConfigError, nearest
from faflow.config.expect import judge_bounds, parse_bounds, satisfies
from faflow.config.kinds.registries import REGISTRIES
from faflow.config.load import apply_overrides
from faflow.config.options import check_options, check_value
from faflow.config.resolve import resolve_path
from faflow.measures.registry import OBSERVABLES
from faflow.reproduce import PAPERS
from faflow.tools.check import NETS, check_rule
from faflow.tools.completion import complete_override
from faflow.tools.listing import TOPICS, listing


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a.b=1", {"a": {"b": 1, "c": 2}}),
        ("a.d=[1, 2.5]", {"a": {"b": 0, "c": 2, "d": [1, 2.5]}}),
        ("a={x=1}", {"a": {"x": 1}}),
        ("a.b=bare words", {"a": {"b": "bare words", "c": 2}}),
        ("a.b=module:Rule", {"a": {"b": "module:Rule", "c": 2}}),
        ('a."b.c"=true', {"a": {"b": 0, "c": 2, "b.c": True}}),
        ("new.deep.key='x'", {"a": {"b": 0, "c": 2}, "new": {"deep": {"key": "x"}}}),
    ],
)
def test_override(override: str, expected: dict) -> None:
    table = {"a": {"b": 0, "c": 2}}
    assert apply_overrides(table, [override]) == expected
    assert table == {"a": {"b": 0, "c": 2}}


def test_options_follow_the_signature() -> None:
    def task(*, key: int, size: int, scale: float | tuple[float, ...] = 1.0, how: str = "x"):
        return key, size, scale, how

    assert check_options("task", task, {"size": 2, "scale": [1, 2]}) == {
        "size": 2, "scale": (1.0, 2.0), "how": "x",
    }  # fmt: skip
    for given in ({}, {"size": 1.0}, {"size": True}, {"size": 1, "scal": 2}, {"size": 1, "key": 2}):
        with pytest.raises(ConfigError, match=r"^task\."):
            check_options("task", task, given)


def test_values_are_strict() -> None:
    assert check_value("x", float, 1) == 1.0
    assert check_value("x", Literal["a", "b"], "a") == "a"
    for annotation, value in ((float, "1"), (float, True), (int, 1.0), (Literal["a", "b"], "c")):
        with pytest.raises(ConfigError, match=r"^x: is"):
            check_value("x", annotation, value)


@pytest.mark.parametrize(
    ("value", "bound", "holds"),
    [
        (1.0, {"max": 1}, True),
        (1.1, {"max": 1}, False),
        (None, {"max": 1}, False),
        (float("nan"), {"max": 1}, False),
        ([0.5, 2.0], {"min": 0, "max": 1}, False),
        ([], {"max": 1}, False),
        (1.01, {"near": 1, "within": 0.02}, True),
        (1.03, {"near": 1, "within": 0.02}, False),
        ("ok", "ok", True),
        (True, True, True),
        (1, True, False),
        (True, {"min": 0}, False),
        (["a", "b"], ["a", "b"], True),
    ],
)
def test_bound(value: object, bound: object, holds: bool) -> None:
    assert satisfies(value, bound) is holds


def test_bounds_by_dotted_path_and_by_nested_tables() -> None:
    flat = {"laws.layer-balance.drift": {"max": 1}}
    assert parse_bounds(flat) == parse_bounds({"laws": {"layer-balance": {"drift": {"max": 1}}}})
    summary = {"laws": {"layer-balance": {"drift": [0.5, 2]}}}
    assert not judge_bounds(parse_bounds(flat), summary)["laws.layer-balance.drift"]["ok"]
    first = judge_bounds({"laws.layer-balance.drift.0": {"max": 1}}, summary)
    assert first["laws.layer-balance.drift.0"]["ok"]


def test_nearest_names_the_closest_and_lists_few() -> None:
    assert (
        nearest("gaussain", ["gaussian", "zero"])
        == "did you mean 'gaussian'? valid: gaussian, zero"
    )
    assert "valid" not in nearest("x", map(str, range(100)))


TYPED = {
    "rules": {
        "fa": "feedback-alignment", "DFA": "direct-feedback-alignment", "backprop": "gradient",
        "bp": "gradient", "gd": "gradient", "SGD": "gradient", "Gradient": "gradient",
        "feedback_alignment": "feedback-alignment", "KP": "kolen-pollack",
    },
    "losses": {
        "mse": "squared", "MSE": "squared", "ce": "cross-entropy", "cross_entropy": "cross-entropy",
        "CrossEntropy": "cross-entropy", "BCE": "cross-entropy",
    },
    "activations": {
        "ReLU": "relu", "lin": "linear", "identity": "linear", "LeakyReLU": "leaky-relu",
        "leaky_relu": "leaky-relu", "Tanh": "tanh",
    },
    "tasks": {"npz": "arrays", "MNIST": "mnist", "matrix_factorization": "matrix-factorisation"},
    "inits": {"normal": "gaussian", "zeros": "zero"},
}  # fmt: skip


@pytest.mark.parametrize("topic", TYPED)
def test_nearest_names_what_people_type(topic: str) -> None:
    for typed, meant in TYPED[topic].items():
        assert nearest(typed, REGISTRIES[topic]).startswith(f"did you mean '{meant}'?"), typed


def test_every_alias_stands_for_names_that_there_are() -> None:
    names = {name for registry in REGISTRIES.values() for name in registry} | set(OBSERVABLES)
    keys = {"float32", "float64", "mean", "none", "t1", "rtol", "solver", "eta", "step", "kind"}
    keys |= {"network", "task", "rule", "init", "widths", "activation", "scale"}
    for alias, meant in ALIASES.items():
        assert set(meant) <= names | keys | {"samples", "features", "X", "y"}, alias


@pytest.mark.parametrize("topic", TOPICS)
def test_every_entry_is_listed_with_a_word_about_it(topic: str) -> None:
    rows = listing(topic)
    assert {row["name"] for row in rows} >= set(REGISTRIES.get(topic, ()))
    assert all(row.get("about") or row.get("equation") for row in rows)


@pytest.mark.parametrize(
    ("given", "rtol", "atol"), [({}, 1e-9, 1e-11), ({"rtol": 3e-7}, 3e-7, 3e-9),
                                ({"atol": 1e-3}, 1e-9, 1e-3)]
)  # fmt: skip
def test_atol_follows_rtol(given: dict, rtol: float, atol: float) -> None:
    table = {
        "network": {"widths": [3, 2, 1]},
        "task": {"kind": "gaussian", "samples": 2, "features": 3},
        "rule": {"kind": "feedback-alignment"},
        "flow": {"t1": 1.0, **given},
    }
    flow = resolve_path(table).flow
    assert (flow.rtol, flow.atol) == (rtol, atol)


@pytest.mark.parametrize("kind", REGISTRIES["activations"])
def test_every_activation_resolves_and_dumps_to_itself(kind: str) -> None:
    table = {
        "network": {"widths": [3, 2, 1], "activation": kind},
        "task": {"kind": "gaussian", "samples": 2, "features": 3},
        "rule": {"kind": "feedback-alignment"},
        "flow": {"t1": 1.0},
    }
    resolved = resolve_path(table)
    kinked = kind in ("relu", "leaky-relu")
    assert resolved.flow.solver == ("heun" if kinked else "auto")
    assert resolved.flow.rtol == (1e-4 if kinked else 1e-9)
    assert f'"{kind}"' in config_text(resolved)


@pytest.mark.slow
def test_check_finds_the_gradient_and_the_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faflow.tools.check.NETS", NETS[1:])
    check = check_rule("feedback-alignment")
    assert check.ok and all(case.is_gradient for case in check.cases)
    linear = check.cases[0]
    assert {c.law for c in linear.claims if c.kept} == set(REGISTRIES["laws"])
    tanh = next(case for case in check.cases if "tanh" in case.net)
    assert not any(claim.kept for claim in tanh.claims)


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [
        ("", ["flow.t1=", "seed=", "flow.stop.loss=", "rule.kind=", "task.samples="], ["flow="]),
        (
            "rule.kind=",
            ["rule.kind=feedback-alignment", "rule.kind=gradient"],
            ["rule.kind=linear"],
        ),
        ("network.activation=", ["network.activation=relu"], []),
        ("flow.solver=ts", ["flow.solver=tsit5"], []),
        ("flow.kinks=", ["flow.kinks=exact"], []),
        ("network.bias=", ["network.bias=true", "network.bias=false"], []),
        ("precision=", ["precision=float32"], []),
        ("task.loss=", ["task.loss=squared"], []),
        ("task.whiten=", ["task.whiten=rows"], []),
        ("observe.names=", ['observe.names=["loss"]'], []),
        ("flow.t1=", [], ["flow.t1="]),
        ("no.such.key=", [], []),
    ],
)
def test_what_a_shell_is_offered(typed: str, offered: list[str], not_offered: list[str]) -> None:
    found = complete_override(typed, "theorem2-gaussian")
    assert set(offered) <= set(found) and not set(not_offered) & set(found)


def test_without_a_config_keys_are_offered_all_the_same() -> None:
    assert "flow.t1=" in complete_override("fl", "no-such-config")
    assert "flow.t1=" in complete_override("fl", None)


def test_papers_and_checks_are_offered() -> None:
    assert set(verb.PAPERS) == set(PAPERS)
    parser = make_parser(COMMANDS, "")
    (commands,) = (a.choices for a in parser._actions if a.dest not in ("help", "version"))
    assert isinstance(commands, dict)
    completers = {
        action.dest: action.completer
        for action in commands["reproduce"]._actions
        if hasattr(action, "completer")
    }
    assert completers["paper"](prefix="") == verb.PAPERS
    assert "separation" in completers["only"](prefix="")
