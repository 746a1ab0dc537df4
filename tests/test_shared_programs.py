"""What conftest.py does with compiled programs: the same one is compiled once, another anew."""

import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import shared_programs
from jax._src import compiler

from faflow._shelf import kept_in


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of programs that are compiled, and not read, from now on."""
    found: list[str] = []
    # Not what `make test CACHE=1` has read, which can't be written once more.
    compile_anew = compiler.backend_compile_and_load
    compile_anew = getattr(compile_anew, "anew", compile_anew)

    def noted(backend: Any, module: Any, *given: Any) -> Any:
        found.append(str(module.operation.attributes["sym_name"]))
        return compile_anew(backend, module, *given)

    monkeypatch.setattr(compiler, "backend_compile_and_load", noted)
    monkeypatch.setenv(shared_programs.FOLDER, str(tmp_path))
    shared_programs.install()
    return found


def thrice(factor: float = 3.0, **options: Any) -> np.ndarray:
    """By a program that JAX has not met."""
    return np.asarray(jax.jit(lambda x: factor * x, **options)(np.arange(3.0)))


def test_a_program_is_compiled_once(compiled: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        np.testing.assert_array_equal(thrice(), [0.0, 3.0, 6.0])
    assert len(compiled) == len(list(tmp_path.iterdir())) == 1


def test_control_another_one_is_compiled(compiled: list[str], tmp_path: Path) -> None:
    thrice()
    np.testing.assert_array_equal(thrice(4.0), [0.0, 4.0, 8.0])
    thrice(compiler_options={"xla_cpu_use_fusion_emitters": True})
    assert len(compiled) == 3
    with kept_in(tmp_path, "", lambda: True, lambda: True):  # what is kept there is written anew
        thrice()
    assert len(compiled) == 4


def test_nothing_is_kept_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shared_programs.FOLDER, raising=False)
    before = compiler.backend_compile_and_load
    shared_programs.install()
    assert compiler.backend_compile_and_load is before


def test_a_program_that_calls_back_is_of_its_process(compiled: list[str], tmp_path: Path) -> None:
    def called(x: np.ndarray) -> np.ndarray:
        return np.asarray(x) + 1

    for _ in range(2):
        jax.jit(lambda x: jax.pure_callback(called, x, x))(np.arange(3.0))
    assert len(compiled) == 2 and not list(tmp_path.iterdir())


def test_a_damaged_program_is_compiled_again(compiled: list[str], tmp_path: Path) -> None:
    thrice()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(thrice(), [0.0, 3.0, 6.0])
    assert len(compiled) == 3


def test_a_folder_does_not_grow_for_ever(compiled: list[str], tmp_path: Path) -> None:
    first, second = 5.0, 7.0
    for age, factor in ((30, first), (20, second)):
        before = set(tmp_path.iterdir())
        thrice(factor)
        (path,) = set(tmp_path.iterdir()) - before
        os.utime(path, (time.time() - age,) * 2)
    thrice(first)  # read once more, so that the other is the one not asked for for longest
    (tmp_path / "killed.tmp").write_bytes(b"half of a")
    sizes = [path.stat().st_size for path in tmp_path.glob("*[!p]")]
    shared_programs.forget(tmp_path, sum(sizes))
    assert len(list(tmp_path.iterdir())) == 2
    shared_programs.forget(tmp_path, sum(sizes) - 1)
    thrice(first)
    assert len(compiled) == 2
    thrice(second)
    assert len(compiled) == 3
