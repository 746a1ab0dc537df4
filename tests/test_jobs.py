"""Several configs at a time: one block each, the longest first, and workers that die."""

import io
import json
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faflow.cli import jobs, main
from faflow.cli.printing import counter
from faflow.cli.running import Asked

CONFIG = """
[network]
widths = [3, 2, 1]
[task]
kind = "KIND"
OPTIONS
[rule]
kind = "feedback-alignment"
[flow]
t1 = 0.5
saves = 3
solver = "heun"
step = 0.05
[observe]
names = ["loss"]
"""
GAUSSIAN = CONFIG.replace("KIND", "gaussian").replace("OPTIONS", "samples = 2\nfeatures = 3")
# A task in the process that runs the tests; it kills every other that reads it.
DEADLY = """
import os
import numpy as np

if os.getpid() != DRIVER:
    os.kill(os.getpid(), 9)


def draw(*, key):
    return np.ones((2, 3)), np.ones((2, 1))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two configs that compile the same programs at the same time, one that breaks its bound and
    one whose worker dies; a cache folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(GAUSSIAN)
    (tmp_path / "broken.toml").write_text(GAUSSIAN + "[expect]\n'loss.final' = { max = 0.0 }\n")
    (tmp_path / "mine.py").write_text(DEADLY.replace("DRIVER", str(os.getpid())))
    deadly = CONFIG.replace("KIND", "mine.py:draw").replace("OPTIONS", "")
    (tmp_path / "deadly.toml").write_text(deadly)
    return tmp_path


def test_every_config_is_one_block(place: Path, capsys) -> None:
    """The worst exit code; the others run although a worker died; JSON is in the order given."""
    names = ["one", "deadly", "two", "broken"]
    configs = [f"{name}.toml" for name in names]
    assert main(["run", *configs, "--jobs", "2", "--figures", "none"]) == 2
    out, err = capsys.readouterr()
    assert err == "faflow: deadly: its process has died (no memory left?); run it alone\n"
    blocks = out.strip().split("\n\n")
    assert {block.split()[0] for block in blocks} == {"one", "two", "broken"}
    assert all("completed at t = 0.5" in block for block in blocks)
    assert list((place / "cache" / "faflow").glob("jit_go_on-*-cache"))
    known = json.loads((place / "cache" / "faflow" / "durations.json").read_text())
    assert {"one", "two", "broken"} >= set(known) and known

    again = ["run", *(c for c in configs if "deadly" not in c), "--jobs", "2", "--json"]
    assert main(again) == 1
    out, err = capsys.readouterr()
    assert err == "" and [found["name"] for found in json.loads(out)] == ["one", "two", "broken"]
    assert all(
        (place / "results" / name / "figures" / "overview.png").exists() for name in ("one",)
    )


def fake(name: str, method: str = "none", width: int = 4, saves: int = 3, simulate=None) -> Any:
    network = SimpleNamespace(widths=[width, 2, "outputs"])
    config = SimpleNamespace(name=name, network=network, simulate=simulate)
    return SimpleNamespace(config=config, method=method, flow=SimpleNamespace(saves=saves))


def test_the_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unknown before all, of it exact flows and simulations, large nets, many saves; what
    goes to one folder is one worker's, in the order given."""
    known = {"short": {"all": 1.0}, "long": {"all": 9.0, "compiling": 2.0}}
    monkeypatch.setattr(jobs, "last_time", lambda name: known.get(name, {}))
    ready = [
        fake("short"), fake("new"), fake("long"), fake("many", saves=500), fake("wide", width=50),
        fake("exact", "exact", width=9), fake("simulated", simulate=object()), fake("short"),
    ]  # fmt: skip
    names = [one.config.name for one in ready]
    order = jobs._in_order(names, ready, Asked(several=True))
    assert [job.numbers for job in order] == [(5,), (6,), (4,), (3,), (1,), (2,), (0, 7)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--jobs", "0"], "--jobs: is 0; give at least 1"),
        (["--jobs", "2", "--distributed"], "leave out --jobs"),
        (["--figures", "some"], "argument --figures"),
    ],
)
def test_bad_input_is_one_line(place: Path, arguments: list[str], told: str) -> None:
    with redirect_stderr(io.StringIO()) as err:
        assert main(["run", "one.toml", "two.toml", *arguments]) == 2
    assert told in err.getvalue() and err.getvalue().count("\n") == 1


def test_a_bar_of_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    said.isatty = lambda: True  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(sys, "stderr", said)
    with counter(3, "configs") as show:
        show(0, jobs._in_turn(["one", "two"]))
        show(1, "")
    assert "1/3 configs" in said.getvalue() and "and 1 more" in said.getvalue()
