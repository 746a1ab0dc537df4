"""A field that is no number part-way: its own status, the trajectory so far, and whose it is."""

import json
from pathlib import Path

from faflow.cli import main

MINE = """
import jax.numpy as jnp
from faflow.rules import FeedbackAlignment

class Wall(FeedbackAlignment):
    def deltas(self, weights, feedback, trace, error):
        first, second = super().deltas(weights, feedback, trace, error)
        start = jnp.where(jnp.sum(error**2) > 0.8 * BEGIN, 1.0, jnp.nan)
        return first, start * second

    def laws(self, weights):
        return {}
"""


def test_it_is_named(config: Path, capsys) -> None:
    assert main(["run", str(config), "--json", "--no-figures", "--set", "observe.names=['loss']",
                 "expect={}"]) == 0  # fmt: skip
    begin = 2 * json.loads(capsys.readouterr().out)["loss"]["initial"]
    (config.parent / "mine.py").write_text(MINE.replace("BEGIN", repr(begin)))
    code = main(
        ["run", str(config), "--json", "--no-figures", "--replace", "--set",
         "rule.kind=mine.py:Wall", "observe.names=['loss']", "expect={}"]
    )  # fmt: skip
    told = capsys.readouterr()
    assert code == 3, told.err
    summary = json.loads(told.out)
    assert summary["status"] == "not-finite"
    assert abs(summary["loss"]["final"] / summary["loss"]["initial"] - 0.8) < 1e-6
    said = next(line for line in summary["warnings"] if "not finite" in line)
    assert "W2" in said and "W1" not in said and "the user's rule mine.py:Wall" in said
