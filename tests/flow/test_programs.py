"""Compiled programs on disk: kept from Python as from the command line, JAX's settings left as they
were, and nothing depends on them."""

import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread, Timer

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

import faflow
from faflow import _compiling
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate, kept_programs
from faflow.networks import MLP
from faflow.rules import Gradient
from faflow.setup.programs import _remove_damaged
from faflow.tasks import make_data

SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)
CONFIG = {
    "network": {"widths": [2, 2, 1]},
    "task": {"kind": "gaussian", "samples": 3, "features": 2},
    "rule": {"kind": "gradient"},
    "flow": {"t1": 0.5, "saves": 3, "solver": "heun", "step": 0.05},  # the smallest program
    "observe": {"names": ["loss"]},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where programs go, as for a user who has set nothing; the tests themselves keep none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_enable_compilation_cache", True)
    reset_cache()
    yield tmp_path / "faflow"
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


def flow() -> None:
    net = MLP((jnp.ones((1, 2)),))
    problem = FlowProblem(Gradient(), net, Feedback(()), make_data(jnp.eye(2), jnp.ones((2, 1))))
    numerics = Numerics(solver="heun", rtol=1e-3, atol=1e-5)
    integrate(problem, np.array([0.0, 0.1]), {}, numerics)


def kept(folder: Path, name: str = "go_on") -> list[Path]:
    return sorted(folder.glob(f"jit_{name}-*"))


def settings() -> list[object]:
    return [getattr(jax.config, name) for name in SETTINGS]


def test_from_python_too_and_settings_are_left(folder: Path) -> None:
    before = settings()
    _compiling.program.cache_clear()
    flow()
    assert len(kept(folder)) == 1 and settings() == before
    jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x).T)(jnp.ones((3, 3)))
    assert not kept(folder, "_lambda") and not kept(folder, "*lambda*")  # the user's own
    _compiling.program.cache_clear()
    flow()
    assert len(kept(folder)) == 1


def test_a_folder_of_the_users_is_theirs(folder: Path, tmp_path: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    before = settings()
    _compiling.program.cache_clear()
    flow()
    assert kept(tmp_path / "own") and not folder.exists() and settings() == before


def test_threads_come_and_go(folder: Path) -> None:
    """The first sets the process's settings, the last restores them, whatever their order."""
    before, meet = settings(), [Barrier(2, timeout=60) for _ in range(3)]

    def first() -> None:
        with kept_programs():
            meet[0].wait()
            meet[1].wait()

    def second() -> None:
        meet[0].wait()
        with kept_programs():
            meet[1].wait()
            meet[2].wait()
            assert jax.config.jax_compilation_cache_dir == str(folder)

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    threads[0].join()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    meet[2].wait()
    threads[1].join()
    assert settings() == before


def told(**more) -> list[str]:
    """What a run says of its programs, which are not in memory; it completes."""
    _compiling.program.cache_clear()
    found: list[str] = []
    result = faflow.run(CONFIG, store_result=False, tell=found.append, **more)
    assert result.summary["status"] == "completed"
    return found


def test_trouble_is_told_in_a_sentence_and_the_run_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faflow.setup.programs._PATIENCE", 0.0)  # no other process writes any
    assert told() == [] and kept(folder)
    for path in folder.iterdir():  # killed while it was written
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (sentence,) = told()
    assert sentence.startswith("compiled programs are not kept") and str(folder) in sentence
    assert told() == [] and kept(folder)  # they are kept again
    for path in folder.iterdir():
        path.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        (sentence,) = told()
    assert "No space left" in sentence and not kept(folder)

    def by_halves(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        full()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", by_halves)
        (sentence,) = told()
    assert "No space left" in sentence and not kept(folder)
    assert told() == [] and kept(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (sentence,) = told()
    assert str(tmp_path / "file") in sentence


def test_a_program_that_is_just_being_written_is_no_damage(tmp_path: Path) -> None:
    """By another process, which has it whole a moment later; what stays damaged is removed."""
    whole = zlib.compress(b"a program")
    path, other = (tmp_path / f"jit_{name}-0-cache" for name in ("one", "two"))
    for place in (path, other):
        place.write_bytes(whole[:-3])
    writer = Timer(0.05, path.write_bytes, [whole])
    writer.start()
    assert not _remove_damaged(tmp_path, "jit_one", patient=True)
    writer.join()
    assert path.read_bytes() == whole
    assert _remove_damaged(tmp_path, "jit_two", patient=True)
    assert path.exists() and not other.exists()
