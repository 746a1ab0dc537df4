"""`faflow laws CONFIG`: what it prints and what it refuses."""

import json
from pathlib import Path

import pytest

from faflow.cli import main

SMALL = ("--set", "network.widths=[3,4,1]")


def test_json_counts_and_names_the_laws(config: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["laws", str(config), *SMALL, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    counts = {key: report[key] for key in ("independent_laws", "weights", "explained")}
    assert counts == {"independent_laws": 13, "weights": 16, "explained": 10}
    assert report["unexplained"] == 3 and report["rank_gap"] > 1e4
    assert report["ranks"] == [[3, 3], [3, 3]]
    assert report["polynomials"]["explain"] == 13
    assert len(report["polynomials"]["laws"]) == 13
    assert {law["name"]: law["found"] for law in report["known"]} == {
        "layer-balance": True, "neuron-balance": True, "matrix-balance": True,
    }  # fmt: skip


def test_in_words(config: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--set", "network.activation=relu", "rule.kind=gradient", "--degree", "2"]
    assert main(["laws", str(config), *SMALL, *arguments]) == 0
    said = capsys.readouterr().out
    assert "4 of 16 directions are conserved over all data and losses" in said
    assert "the rule's laws explain 4; 0 unexplained" in said
    assert "W1[0,0]^2 + W1[0,1]^2 + W1[0,2]^2 - W2[0,0]^2" in said


def test_without_a_search(config: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["laws", str(config), *SMALL, "--degree", "0", "--set", "network.activation=tanh"])
        == 0
    )
    said = capsys.readouterr().out
    assert "0 of 16 directions are conserved" in said
    assert "the rule names no law of this network" in said
    assert "polynomial laws: not searched" in said


def test_a_rule_of_the_users(config: Path, capsys: pytest.CaptureFixture[str]):
    (config.parent / "mine.py").write_text(
        "from faflow.rules import AbstractLayerwiseRule, backward_sweep\n"
        "class Twice(AbstractLayerwiseRule):\n"
        "    equation = 'delta_l = 2 phi . F^T delta'\n"
        "    source = 'me'\n"
        "    form = 'layerwise'\n"
        "    def deltas(self, weights, feedback, trace, error):\n"
        "        twice = [2 * F for F in feedback.matrices]\n"
        "        return backward_sweep(weights, twice, trace, error)\n"
        "    def laws(self, weights):\n"
        "        return {}\n"
    )
    assert main(["laws", str(config), *SMALL, "--json", "--set", "rule.kind=mine.py:Twice"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["independent_laws"], report["explained"], report["unexplained"]) == (13, 0, 13)
    assert any("4 F2[0," in law["law"] for law in report["polynomials"]["laws"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "network.widths=[3,200,1]"], "network.widths: asks for 800 weights"),
        (
            ["--set", "network.widths=[3,90,1]", "rule.kind=kolen-pollack"],
            "asks for 360 weights, and the rule's state is 450 numbers: 400 at most; lower it",
        ),
        (["--degree", "5"], "--degree: is 5: 20348 monomials in 16 weights, 2000 at most"),
        (["--degree", "-1"], "--degree: is -1; give 0 (no search) or more"),
        (["--set", "rule.kind=feedback-alignmnt"], "did you mean 'feedback-alignment'?"),
    ],
)
def test_what_is_refused(config: Path, arguments, words, capsys: pytest.CaptureFixture[str]):
    assert main(["laws", str(config), *SMALL, *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_a_rank_without_a_gap_is_undecided(config: Path, capsys, monkeypatch):
    """Exit code 1, no count; and the rule's fields are made once for one command."""
    from faflow.tools import discover as command

    made = []

    class Counted(command.Fields):
        def __init__(self, *arguments):
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(command, "Fields", Counted)
    monkeypatch.setattr("faflow.discovery.lie.LEAST_GAP", 1e99)
    assert main(["laws", str(config), "--set", "network.widths=[3,2,1]", "--degree", "0"]) == 1
    said = capsys.readouterr().out
    assert "UNDECIDED how many of 8 directions are conserved" in said and len(made) == 1
