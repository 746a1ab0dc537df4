"""benchmarks/accelerator.py where there is none: what it needs, and that it runs."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "accelerator.py"
# Rooms of floors 0 to 6 (docs/architecture.md), and what these are made of: a bare machine has it.
LOW = {"networks", "solvers", "tasks", "feedback", "observables", "rules", "population", "wide",
       "flow", "analysis", "sensitivity", "solved", "discovery", "ensembles"}  # fmt: skip
BARE = {"jax", "numpy", "scipy", "equinox", "diffrax"}


def foreign(text: str) -> set[str]:
    """What a program imports besides."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or ".")
    tops = {name: name.split(".")[0] for name in found}
    return {
        name
        for name, top in tops.items()
        if top not in sys.stdlib_module_names | BARE
        and not (top == "faflow" and name.split(".")[1:2] and name.split(".")[1] in LOW)
    }


def test_it_needs_the_lower_floors_alone() -> None:
    assert foreign(SCRIPT.read_text()) == set()
    bad = "import pydantic\nfrom faflow import run\nfrom faflow.config import x\nimport machine"
    assert foreign(bad) == {"pydantic", "faflow", "faflow.config", "machine"}


def test_it_runs_at_toy_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = runpy.run_path(str(SCRIPT), run_name="accelerator")
    monkeypatch.setitem(names["main"].__globals__, "PRECISIONS", {"float64": None, "float32": None})
    assert names["main"](["--toy", "--out", str(tmp_path), "--only", "laws"]) == 0
    text = (tmp_path / "accelerator.md").read_text()
    assert "No accelerator was at hand" in text and "failed" not in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| drift")]
    assert [row[1] for row in rows] == ["float64", "float32"]
    assert all(0 < float(row[2]) < 1e-4 for row in rows)
    assert names["main"](["--toy", "--out", str(tmp_path), "--seconds", "-1"]) == 0
    assert (tmp_path / "accelerator.md").read_text().count("no time left") == 2 * 5
