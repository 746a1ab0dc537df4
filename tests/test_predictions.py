"""docs/predictions.md is complete, and speaks of tests that there are."""

import re
from pathlib import Path

import pytest
from prediction_table import CLAIMS, REQUIRED, render, worst

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "predictions.md"


def missing(page: str) -> list[str]:
    """What a page lacks: predictions, a bound of each kind for each, tests that exist."""
    sections = dict(
        zip(*[iter(re.split(r"^## (\d+)\. .*$", page, flags=re.M)[1:])] * 2, strict=True)
    )
    found = []
    for number in REQUIRED:
        section = sections.get(str(number), "")
        found += [f"{number}: no {kind}" for kind in "<>" if f"| {kind} " not in section]
    for path, name in sorted(set(re.findall(r"`(tests/\S+\.py)::(\w+)`", page))):
        file = ROOT / path
        if not file.exists() or f"def {name}(" not in file.read_text("utf-8"):
            found.append(f"no test {path}::{name}")
    return found


def test_every_prediction_has_a_figure_and_a_control() -> None:
    assert missing(PAGE.read_text("utf-8")) == []


def test_control_a_page_that_lacks_something() -> None:
    page = PAGE.read_text("utf-8")
    assert missing(re.sub(r"^## 8\..*$", "## 800. other", page, flags=re.M)) == [
        "8: no <",
        "8: no >",
    ]
    assert missing(page.replace("::test_heavy_ball`", "::test_no_such_thing`"))


@pytest.mark.parametrize(("bound", "kept"), [("< 1", 0.5), ("> 1", 2.0)])
def test_of_several_cases_the_one_nearest_to_its_bound_is_shown(bound: str, kept: float) -> None:
    entries = [
        (8, "x", value, bound, "tests/a.py::b")
        for value in (kept, kept**-1 / 8 if kept < 1 else 9.0)
    ]
    assert [entry[2] for entry in worst(entries)] == [kept]
    assert f"| {kept:.3g} | {bound} |" in render(entries) and CLAIMS[8] in render(entries)
