"""Sweeps on worker processes, dask and submitit: the same data, and workers that die."""

import os
import sys
import types
from pathlib import Path

import distributed
import numpy as np
import pytest
from small import LIGHT

from faflow.cli import main
from faflow.sweeps.plan import plan_of
from faflow.sweeps.sweep import run_sweep
from faflow.sweeps.workers.drive import TRIES
from faflow.sweeps.workers.engines import process

# A task that kills the worker that draws it: 1 the first, 2 every one. (The driver
# draws it too, to know what a user's code computes.)
DEADLY = """
import os
from pathlib import Path
import jax
import numpy as np


def draw(*, key, dies: float = 0.0):
    mark = Path({folder!r}) / "died"
    if os.getpid() != {driver} and (dies == 2.0 or (dies == 1.0 and not mark.exists())):
        mark.write_text("")
        os.kill(os.getpid(), 9)
    one, two = (np.asarray(jax.random.normal(k, s)) for k, s in zip(jax.random.split(key), ((2, 3), (2, 1))))
    return one, two
"""  # noqa: E501
GRID = '\n[sweep.product]\n"task.dies" = [{dies}]\nseed = {{ count = 2 }}\n'


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers keep programs: those of all tests here are the same."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def deadly(config: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    """A sweep of 2 seeds for every value of `dies`."""
    (tmp_path / "deadly.py").write_text(DEADLY.format(folder=str(tmp_path), driver=os.getpid()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    text = LIGHT.replace('kind = "gaussian"\nsamples = 2\nfeatures = 3', 'kind = "deadly.py:draw"')
    text = text.replace('"loss", "laws"', '"loss"')  # a user's task is traced in every process

    def write(dies: str) -> Path:
        config.write_text(text + GRID.format(dies=dies))
        return config

    return write


@pytest.mark.parametrize("on", ["local", "dask", "slurm-local"])
def test_a_worker_that_dies_is_replaced(
    on: str, deadly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data are those of a sweep in one process; the first worker was killed."""
    # A job that was killed is waited for as if its result could still arrive by a network's disk.
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0.1)
    monkeypatch.setattr("faflow.sweeps.workers.clusters.EVERY", 0.05)
    plan = plan_of(deadly("1.0"))
    found = run_sweep(plan, workers=2, on=on, out=tmp_path / on)
    assert (tmp_path / "died").exists()
    assert found.summary["statuses"] == {"completed": 2}
    here = run_sweep(plan, on="here", out=tmp_path / "here")
    for name in ("loss.final", "solver.steps"):
        np.testing.assert_array_equal(found.records["figures"][name], here.records["figures"][name])


def test_workers_leave_alone_the_script_that_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = types.ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    Path(script.__file__).write_text("raise SystemExit('imported by a worker')\n")
    monkeypatch.setitem(sys.modules, "__main__", script)
    with process(0) as worker:
        assert worker.submit(os.getpid).result() != os.getpid()
    assert sys.modules["__main__"] is script


@pytest.mark.slow
def test_a_member_that_always_kills_is_told(deadly, tmp_path: Path) -> None:
    """It costs itself and no other; the sweep is not done, and can be gone on with."""
    found = run_sweep(plan_of(deadly("0.0, 2.0")), workers=2, out=tmp_path / "all")
    assert found.summary["statuses"] == {"completed": 2, "worker-lost": 2}
    assert found.exit_code == 3
    assert TRIES > 1
    again = run_sweep(plan_of(deadly("0.0, 2.0")), workers=2, out=tmp_path / "all")
    assert again.summary["statuses"] == {"completed": 2, "worker-lost": 2}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--on", "dusk"], "did you mean 'dask'?"),
        (["--on", "dask", "--job", "mem_gb=1"], "--job: is for --on slurm"),
        (["--on", "slurm", "--job", "mem"], "--job: is 'mem'; write it as key=value"),
        (["--on", "slurm"], "--on: is slurm, which submitit refuses"),
        (["--on", "dask://127.0.0.1:9"], "no scheduler answers"),
        (["--workers", "0"], "--workers: is 0"),
    ],
)
def test_bad_engines_are_one_line(
    arguments: list[str],
    told: str,
    deadly,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = distributed.Client

    def impatient(address: str, timeout: str) -> distributed.Client:
        assert timeout == "10s"
        return asked(address, timeout="500ms")

    monkeypatch.setattr(distributed, "Client", impatient)
    assert main(["sweep", str(deadly("0.0")), "--out", "bad", *arguments]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
