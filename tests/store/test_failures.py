"""What fails through neither the config nor faflow is called what it is: disks, locks, memory."""

import errno
import fcntl
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from complaints import complaint
from small import LIGHT

import faflow
from faflow.cli import main
from faflow.config.blame import blaming
from faflow.config.errors import ConfigError
from faflow.config.failure import reason_of
from faflow.config.resolve import resolve_path
from faflow.runs.checkpoint import checkpoints
from faflow.store.files import hidden, locked, remove_temporaries
from faflow.sweeps.chunks import CHUNK
from faflow.sweeps.plan import plan_of
from faflow.sweeps.records import write_records
from faflow.sweeps.sweep import run_sweep
from faflow.sweeps.workers.batches import fastest

ROOT = Path(__file__).resolve().parents[2]


# ---- a disk that is full ------------------------------------------------------------------------


LIMIT = 10_240  # bytes of a file


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))


def test_a_result_that_the_disk_does_not_take(config: Path) -> None:
    """Writing to it itself, HDF5 ended in a signal."""
    # The shell sets the limit: a fork of this process, which JAX has made threads in, would warn.
    command = f"ulimit -f {LIMIT // 512}; exec {shlex.join([sys.executable, '-m', 'faflow'])} run"
    config.write_text(LIGHT)
    done = subprocess.run(
        ["sh", "-c", f"{command} {shlex.quote(str(config))} --json"], cwd=config.parent,
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_ENABLE_COMPILATION_CACHE": "false"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("faflow: --out: is ") and done.stderr.count("\n") == 1
    assert os.strerror(errno.EFBIG) in done.stderr and "results/small" in done.stderr
    assert list((config.parent / "results").iterdir()) == []


@pytest.mark.parametrize("zarr", [False, True])
def test_a_sweep_s_data_set_that_the_disk_does_not_take(tmp_path: Path, zarr: bool) -> None:
    if zarr:
        pytest.importorskip("zarr")
    noise = np.random.default_rng(0).normal(size=5_000)
    tree = xr.DataTree.from_dict({"figures": xr.Dataset({"x": ("i", noise)})})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit()
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            write_records(tree, tmp_path, zarr)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_not_lost(config: Path, capsys, monkeypatch) -> None:
    """It goes where temporary files go, if there is room."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    elsewhere = config.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    monkeypatch.setattr("faflow.store.folder.put_in_place", full)
    line = complaint(capsys, "run", str(config))
    (kept,) = elsewhere.iterdir()
    assert f"the result is in {kept}" in line and "No space left" in line
    assert list((config.parent / "results").iterdir()) == []
    assert faflow.open(kept).summary["status"] == "completed"


def test_figures_are_whole_or_absent(stored: Path, config: Path, monkeypatch, capsys) -> None:
    """Or those that are missing would never be drawn."""

    def half(result: faflow.Result, *_: object) -> None:
        assert result.folder is not None
        (result.folder / "figures").mkdir()
        (result.folder / "figures" / "loss.png").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("faflow.plots.draw", half)
    assert "figures: can't be written" in complaint(capsys, "run", str(config))
    assert not (stored / "figures").exists()


# ---- locks --------------------------------------------------------------------------------------


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses them, as some NFS mounts do."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_sweep_without_locks(config: Path, capsys, no_locks) -> None:
    argv = ("sweep", str(config), "--set", "sweep.product.seed=[0,1]", "--json", "--no-figures")
    capsys.readouterr()
    assert main([*argv, "--workers", "1"]) == 2
    line = capsys.readouterr().err
    assert "refuses locks (No locks available)" in line and "--no-lock" in line
    assert "at work;" not in line
    assert main([*argv, "--workers", "1", "--no-lock"]) == 0
    assert not run_sweep(plan_of(config, [argv[3]]), lock=False).fresh


def test_checkpoints_without_locks(config: Path, no_locks) -> None:
    resolved = resolve_path(config)
    with (
        pytest.raises(ConfigError, match=r"--out: .*refuses locks .*; use another --out"),
        checkpoints(resolved, config.parent / "long", 1.0, False, print),
    ):
        pass


def test_a_lock_that_is_taken_is_another_matter(tmp_path: Path) -> None:
    refused = pytest.raises(ConfigError, match=f"where process {os.getpid()} is at work")
    with locked(tmp_path), refused, locked(tmp_path):
        pass


def test_results_are_read_without_locks(stored: Path, capsys, unpainted) -> None:
    with (stored / "result.nc").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["drift", str(stored)]) == 0
        assert main(["plot", str(stored)]) == 0


def test_an_interrupted_flow_that_had_not_begun_leaves_no_folder(config: Path) -> None:
    resolved = resolve_path(config)
    before = set(config.parent.iterdir())
    with (
        pytest.raises(KeyboardInterrupt),
        checkpoints(resolved, config.parent / "long", 1.0, False, print),
    ):
        raise KeyboardInterrupt
    assert set(config.parent.iterdir()) == before


def test_what_killed_workers_leave(tmp_path: Path) -> None:
    """What is hidden there and theirs stays."""
    chunk, theirs = (
        tmp_path / "00000000-0123abcd.npz",
        (".x.tmp", ".x.npz.y.tmp", ".x.0123abcd.tmp"),
    )
    hidden(chunk).write_text("x")
    hidden(tmp_path / "result.zarr").mkdir()
    for path in (chunk, *(tmp_path / name for name in theirs)):
        path.write_text("x")
    remove_temporaries(tmp_path, CHUNK)
    remove_temporaries(tmp_path, "result.zarr")
    assert {path.name for path in tmp_path.iterdir()} == {chunk.name, *theirs}


# ---- whose fault --------------------------------------------------------------------------------


def test_only_memory_is_called_memory() -> None:
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")
    other = jax.errors.JaxRuntimeError("INTERNAL: something\nand more")
    assert "there is not enough" in str(reason_of(full))
    assert "there is not enough" in str(reason_of(MemoryError()))
    told = str(reason_of(other))
    assert told == "JAX: failed while it ran (JaxRuntimeError: INTERNAL: something and more)"
    with pytest.raises(ConfigError, match="more memory than there is"), blaming("task", {}):
        raise full
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), blaming("task", {}):
        raise other

    def seconds(size: int) -> float:
        if size > 1:
            raise other
        return 1.0

    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        fastest(seconds, 100)


def test_a_bug_is_no_failure_of_the_machine() -> None:
    assert reason_of(KeyError("mine")) is None
    assert reason_of(RuntimeError("mine")) is None


@contextmanager
def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException):
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("faflow.runs.run.run", fail)
        yield


def test_an_error_of_the_system_is_its_own(config: Path, capsys, monkeypatch) -> None:
    """It is no fault of stdout, a pipe that breaks elsewhere no reader who has left."""
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/far/away")
    with raising(monkeypatch, denied):
        assert complaint(capsys, "run", str(config)) == "faflow: /far/away: Permission denied\n"
    with raising(monkeypatch, BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))):
        line = complaint(capsys, "run", str(config))
    assert "Broken pipe" in line and "test_failures.py" in line and "stdout" not in line


def test_sys_exit_is_no_success(config: Path, capsys, monkeypatch) -> None:
    """Wherever a user's code calls it."""
    with raising(monkeypatch, SystemExit(0)):
        line = complaint(capsys, "run", str(config))
    assert "called sys.exit(0)" in line and "test_failures.py" in line


def test_none_is_run_if_one_config_is_bad(config: Path, capsys, monkeypatch) -> None:
    """And all that are bad are named."""
    monkeypatch.setattr("faflow.runs.run.run", lambda *_, **__: pytest.fail("run"))
    assert main(["run", str(config), "nothing.toml", str(config), "none.toml", "--json"]) == 2
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == "" and first.startswith("faflow: nothing.toml: does not exist")
    assert second.startswith("faflow: none.toml: does not exist")
