"""docs/law-counts.md: some of what stands there is counted anew, all of it with --slow."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program():
    spec = importlib.util.spec_from_file_location(
        "law_counts", ROOT / "scripts" / "checks" / "law_counts.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["law_counts"] = module
    spec.loader.exec_module(module)
    return module


def table():
    lines = (ROOT / "docs" / "law-counts.md").read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[1:]}


SAMPLED = [("SwiGLU 2-3-2", "feedback-alignment"), ("linear 2-3-2", "direct-feedback-alignment")]


@pytest.mark.parametrize(("block", "kind"), SAMPLED)
def test_a_cell(block, kind):
    counts = program()
    size, *cells, _ = table()[block]
    found = counts.count(block, kind)
    assert found is not None and found.gap > 1e4
    assert str(found.size) == size
    assert counts.shown(found) == cells[list(counts.KINDS).index(kind)]


@pytest.mark.slow
def test_every_row():
    counts = program()
    for block, row in table().items():
        assert counts.row(block).strip("| ").split(" | ")[1:-1] == row[:-1], block
