"""Programs that are found again without being traced: the same bits, and never another's."""

import os
import pickle
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from small import net

from faflow import cache
from faflow._compiling import LOOP, ONCE, uncached_program
from faflow._described import Unknown, changed_since, described
from faflow._programs import Program, _split
from faflow._shelf import kept_in, shelf
from faflow.config.imports import load_object
from faflow.feedback import Feedback
from faflow.flow import Flow, FlowProblem, Numerics
from faflow.flow.loop.slices import begin, go_on, in_slices, observed
from faflow.networks import MLP
from faflow.networks.activations import LeakyReLU, Tanh
from faflow.networks.draws import frobenius
from faflow.observables import Loss
from faflow.rules import Gradient
from faflow.setup.programs import in_precision
from faflow.solvers import BDF
from faflow.tasks import make_data


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of what is traced, while programs are kept in `tmp_path`."""
    found: list[str] = []
    flat = Program._flat

    def heard(self: Program, *given: Any, **named: Any) -> Any:
        found.append(self._function.__name__)
        return flat(self, *given, **named)

    monkeypatch.setattr(Program, "_flat", heard)
    with kept_in(tmp_path, "sources", lambda: True, lambda: True):
        yield found


def anew(function: Any = begin, donate: Any = "none", use: Any = ONCE) -> Program:
    """As another process has it."""
    return uncached_program(function, use, donate)


def flow(**numerics: Any) -> Flow:
    net = MLP((jnp.ones((2, 2)), jnp.ones((1, 2))), activation=Tanh())
    data = make_data(jnp.eye(2), jnp.ones((2, 1)))
    problem = FlowProblem(Gradient(), net, Feedback(()), data)
    numerics = {"solver": "heun", "rtol": 1e-3, "atol": 1e-5} | numerics
    return Flow(problem, jnp.linspace(0, 0.1, 3), {"loss": Loss()}, Numerics(**numerics))


def integrated() -> Any:
    parts = anew(), anew(go_on, "all-except-first", LOOP), anew(observed)
    return in_slices(flow(), programs=parts)


def bits(tree: Any) -> list[Any]:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return [jax.tree.structure(tree), *((one.dtype, one.shape, one.tobytes()) for one in leaves)]


def test_found_again_with_the_same_bits(traced: list[str], tmp_path: Path) -> None:
    first = integrated()
    assert sorted(traced) == ["begin", "go_on", "observed"]
    again = integrated()
    assert len(traced) == 3 and bits(again) == bits(first)
    with kept_in(None, "", lambda: False, lambda: True):
        assert bits(integrated()) == bits(first)
    assert len(traced) == 6
    with kept_in(tmp_path, "other sources", lambda: True, lambda: True):
        assert bits(integrated()) == bits(first)  # traced, and compiled before
    assert len(traced) == 9 and len(list(tmp_path.glob("compiled_*"))) == 3


@pytest.mark.filterwarnings("ignore:Error reading")
def test_what_is_damaged_is_traced(traced: list[str], tmp_path: Path) -> None:
    def found() -> tuple[Any, Any]:
        return anew(frobenius)(jnp.ones((2, 2))), anew(frobenius).shapes(jnp.ones((2, 2)))

    first = found()
    another = zlib.compress(pickle.dumps(("another", "version")))
    harms = {"half": lambda whole: whole[: len(whole) // 2],
             "changed": lambda whole: whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
             "empty": lambda whole: b"", "another": lambda whole: another}  # fmt: skip
    for which in ("traced", "compiled", "shapes"):
        for harm in (*harms, "gone"):
            (path,) = tmp_path.glob(f"{which}_*")
            if harm == "gone":
                path.unlink()
            else:
                path.write_bytes(harms[harm](path.read_bytes()))
            traced.clear()
            for _ in range(2):
                assert found() == first
            assert traced == ["frobenius"], (which, harm)  # once: it is kept again


def key(*given: Any, function: Any = begin, donate: Any = "none", use: Any = ONCE) -> str | None:
    program = uncached_program(function, use, donate)
    return program._key(_split(given, {}, donate))


def test_anything_else_has_another_key(traced: list[str], monkeypatch, tmp_path: Path) -> None:
    problem, ts, observables, numerics = flow()[:4]
    base = key(flow())
    assert base is not None and base == key(flow())
    weak = jnp.asarray(1.0)
    assert weak.weak_type
    found = {
        "static field": key(flow(tail=True)),
        "number to none": key(flow(step=0.1)),
        "solver's name": key(flow(solver="bosh3")),
        "solver": key(flow(solver=diffrax.Heun())),
        "solver's class": key(flow(solver=diffrax.Bosh3())),
        "solver's option": key(flow(solver=BDF(linear="dense"))),
        "another option": key(flow(solver=BDF(keep=10))),
        "activation": key((problem, ts, observables, numerics, LeakyReLU(0.1))),
        "its option": key((problem, ts, observables, numerics, LeakyReLU(0.2))),
        "names": key((problem, ts, {"error": Loss()}, numerics)),
        "shape": key((problem, jnp.linspace(0, 0.1, 4), observables, numerics)),
        "type": key((problem, ts.astype(jnp.float32), observables, numerics)),
        "numpy": key((problem, np.asarray(ts), observables, numerics)),
        "committed": key((problem, jax.device_put(ts, jax.devices()[0]), observables, numerics)),
        "weak": key((problem, weak, observables, numerics)),
        "not weak": key((problem, jnp.asarray(np.ones(())), observables, numerics)),
        "a number": key((problem, 1.0, observables, numerics)),
        "an integer": key((problem, 1, observables, numerics)),
        "a truth": key((problem, True, observables, numerics)),
        "minus": key((problem, -0.0, observables, numerics)),
        "zero": key((problem, 0.0, observables, numerics)),
        "function": key(flow(), function=observed),
        "use": key(flow(), use=LOOP),
        "two": key(flow(), ts),
        "donated": key(flow(), ts, donate="all-except-first"),
    }
    with jax.default_matmul_precision("float32"):
        found["precision"] = key(flow())
    with jax.enable_x64(False):
        found["x64"] = key(flow())
    with jax.debug_nans(True):
        found["debugging"] = key(flow())
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
        found["flags"] = key(flow())
    with kept_in(tmp_path, "other sources", lambda: True, lambda: True):
        found["sources"] = key(flow())
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda name: "0.0")
        from faflow import _described

        _described._packages.cache_clear()
        found["versions"] = key(flow())
    _described._packages.cache_clear()
    assert None not in found.values(), found
    found["the first"] = base
    names = [[name for name in found if found[name] == value] for value in found.values()]
    assert [same for same in names if len(same) > 1] == []
    assert key(flow()) == base


class Own(eqx.Module):
    """Not faflow's."""


def of_own() -> None:
    """Not faflow's either."""


def test_what_cannot_be_told_has_no_key(traced: list[str]) -> None:
    problem, *rest = flow()
    assert key((problem, *rest, Own())) is None and key((problem, *rest, Tanh())) is not None
    assert key(flow(), function=of_own) is None
    closure = lambda x: x  # noqa: E731
    for value in (closure, partial(closure), [of_own], object(), Own, np.ones(2), {1, 2}):
        with pytest.raises(Unknown):
            described(value)
    inside: list[Any] = []
    jax.jit(lambda x: inside.append(key(x)) or x)(jnp.ones(2))
    assert inside == [None]
    disguised = type("Tanh", (), {"__module__": Tanh.__module__})
    with pytest.raises(Unknown):
        described(disguised)
    with kept_in(None, "", lambda: True, lambda: True):
        assert key(flow()) is None


def test_types_of_what_is_returned(traced: list[str]) -> None:
    """Weak types, and what is no array, come back as they were."""
    given = {"weak": jnp.asarray(2.0), "strong": jnp.asarray(np.ones(2)), "text": "x", "none": None}
    first, again = (anew(dict)(**given) for _ in range(2))
    assert traced == ["dict"]
    for found in (first, again):
        assert found["weak"].weak_type and not found["strong"].weak_type
        assert (found["text"], found["none"], found["weak"].dtype) == ("x", None, jnp.float64)
    assert jax.tree.structure(first) == jax.tree.structure(again)


def test_what_calls_back_is_not_kept(traced: list[str], tmp_path: Path, capfd) -> None:
    for _ in range(2):
        anew(jax.debug.print)("seen {x}", x=jnp.ones(()))
        jax.effects_barrier()
    assert traced == ["debug_print"] * 2 and capfd.readouterr().out.count("seen 1.0") == 2
    assert not list(tmp_path.iterdir())


def test_code_that_has_changed_is_not_kept(traced: list[str], tmp_path: Path) -> None:
    """While it was loaded: what was traced may be neither what was hashed nor what is there."""
    with kept_in(tmp_path, "sources", lambda: False, lambda: True):
        anew(frobenius)(jnp.ones(2))
    assert not list(tmp_path.glob("traced_*"))
    assert changed_since(time.time() - 1e9) and not changed_since(time.time() + 1)


def test_only_in_processes_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(cache._SINCE, raising=False)
    enabled = getattr(jax.config, "jax_enable_compilation_cache")  # noqa: B009
    jax.config.update("jax_enable_compilation_cache", True)
    reset_cache()

    def open_shelf() -> Path | None:
        with in_precision("float64"):
            return shelf.folder if shelf.is_open() else None

    try:
        assert open_shelf() is None
        monkeypatch.setenv(cache._SINCE, "0.0")
        assert open_shelf() is None  # sources are younger
        cache.own_process()
        assert open_shelf() == tmp_path / "faflow" and shelf.folder is None
        (tmp_path / "mine.py").write_text("class Mine:\n    pass\n")
        with in_precision("float64"):
            load_object("rule.kind", "mine.py:Mine", tmp_path)
            assert not shelf.is_open()
        assert open_shelf() is None
        cache.own_process()
        jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
        assert open_shelf() is None  # the user's folder is theirs
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        jax.config.update("jax_enable_compilation_cache", enabled)
        reset_cache()
    assert open_shelf() is None  # nothing is to be kept


LISTENING = """  # as sitecustomize, in a process that is faflow's own
import atexit
import jax
names = []
def heard(event, seconds, **about):
    if event.endswith("jaxpr_trace_duration"):
        names.append(about.get("fun_name"))
jax.monitoring.register_event_duration_secs_listener(heard)
wanted = {"begin", "go_on", "observed", "law_rates", "loss_and_velocity"}
atexit.register(lambda: print("traced:", *sorted(name for name in names if name in wanted)))
"""
FLOW = """
[flow]
t1 = 0.2
saves = 3
{how}
[observe]
names = ["loss", "laws"]
"""


def test_the_command_traces_once(tmp_path: Path) -> None:
    """In processes of its own: the second traces nothing, with another seed as well, LAPACK's
    routines are found, and the records are those of the run that traced; of a plain flow and of an
    exact one."""
    import xarray

    for name, phi, kinks in (("plain", "linear", "plain"), ("exact", "relu", "exact")):
        config = net([2, 3, 1], 3, phi) + FLOW.format(how=f'kinks = "{kinks}"')
        (tmp_path / f"{name}.toml").write_text(config)
        (tmp_path / f"{name}-seeded.toml").write_text("seed = 1\n" + config)
    (tmp_path / "sitecustomize.py").write_text(LISTENING)
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    script = "import sys, faflow.cli; sys.exit(faflow.cli.main())"

    def run(*given: str, by: Sequence[str] = ("-m", "faflow")) -> list[str]:
        command = [sys.executable, *by, "run", *given, "--no-figures"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        environment["PYTHONPATH"] = paths
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1].split()

    everything = ["begin", "go_on", "law_rates", "loss_and_velocity", "observed"]
    twice = [name for name in everything for _ in range(2)]
    assert run("plain.toml", "exact.toml") == ["traced:", *twice]
    (tmp_path / "results").rename(tmp_path / "first")
    seeded = ("plain-seeded.toml", "exact-seeded.toml")
    assert run(*seeded, "plain.toml", "exact.toml") == ["traced:"]
    # A script may have put other code in the place of faflow's.
    assert run("plain.toml", "--out", "third", by=("-c", script)) == ["traced:", *everything]
    for config in ("plain", "exact"):
        first, again = (
            xarray.open_datatree(tmp_path / one / config / "result.nc")
            for one in ("first", "results")
        )
        for group in first.subtree:
            for name, values in group.variables.items():
                assert values.identical(again[group.path].variables[name]), (config, name)
