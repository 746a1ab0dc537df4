"""What only reads, lists or shows loads no JAX. What runs once is no program of its own."""

import ast
import importlib
import json
import logging
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import pytest
from small import net

from faflow.cli import main

ROOT = Path(__file__).resolve().parents[1]
JAX = {"jax", "jaxlib", "equinox", "diffrax"}
DATA = {"xarray", "pandas", "h5netcdf", "dask"}
PICTURES = {"matplotlib", "plotly"}
HEAVY = JAX | DATA | PICTURES | {"pydantic", "scipy", "sklearn"}

CONFIG = f"""
{net([4, 3, 1], 2)}
[flow]
t1 = 0.5
saves = 12
"""
SWEEP = CONFIG + "[sweep.product]\nseed = [0, 1]\n"

# Words of a command, and what it may not load. Modules stay: lighter ones come first.
VERBS: list[tuple[list[str], set[str]]] = [
    (["--help"], HEAVY),
    (["run", "--help"], HEAVY),
    (["--version"], HEAVY),
    (["list"], HEAVY),
    (["list", "configs"], HEAVY),
    (["list", "rules"], HEAVY),
    (["complete", "flow.", "theorem1-relu"], HEAVY - {"pydantic"}),
    (["complete", "rule.kind=", "theorem1-relu"], HEAVY - {"pydantic"}),
    (["show", "theorem1-linear"], HEAVY - {"pydantic"}),
    (["show", "theorem1-relu", "--set", "seed=3"], HEAVY - {"pydantic"}),
    (["show", "order-parameters"], HEAVY - {"pydantic"}),
    (["drift", "one"], JAX | PICTURES),
    (["fit", "one"], JAX | PICTURES),
    (["drift", "many"], JAX | PICTURES),
    (["fit", "many"], JAX | PICTURES),
    (["drift", "again"], JAX | PICTURES),
    (["checks"], JAX),
    (["run", "one.toml", "--out", "one", "--no-figures"], set()),
]

# One process, for each takes a second to start: a line per command, its code and its modules.
CHILD = """
import contextlib, gc, io, json, sys
gc.disable()
from faflow.cli import main
from faflow.cli.arguments import _overrides
from faflow.cli.reproduce import _checks

class Parsed:
    def __init__(self, config): self.config = config

for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        if words[0] == "complete":
            code = 0 if _overrides(words[1], Parsed(words[2])) else 1
        elif words[0] == "checks":
            code = 0 if _checks("") else 1
        else:
            code = main(words)
    # xarray stands among the modules before it is loaded (measures/datasets.py).
    loaded = {n.split(".")[0] for n in sys.modules if "." in n}
    print(json.dumps([code, sorted(loaded)]))
"""


PROGRAMS: list[str] = []  # compiled for the run in `one`


@contextmanager
def counting(programs: list[str]) -> Iterator[None]:
    """The names of what XLA compiles inside."""
    heard = logging.Handler()
    heard.emit = lambda record: programs.extend(
        re.findall(r"Finished XLA compilation of (\S+)", record.getMessage())
    )
    loggers = [logging.getLogger(name) for name in ("jax._src.dispatch", "jax._src.compiler")]
    for logger in loggers:
        logger.addHandler(heard)
    try:
        with jax.log_compiles():
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(heard)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in `one`, a sweep in `many`, a reproduction in `again`."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "one.toml").write_text(CONFIG)
    (folder / "many.toml").write_text(SWEEP)
    run = ["run", str(folder / "one.toml"), "--out", str(folder / "one"), "--no-figures"]
    with counting(PROGRAMS):
        assert main(run) == 0
    sweep = ["sweep", str(folder / "many.toml"), "--out", str(folder / "many"), "--no-figures"]
    assert main([*sweep, "--on", "here", "--workers", "1"]) == 0
    runs = folder / "again" / "runs"
    runs.mkdir(parents=True)
    (runs / "one").symlink_to(folder / "one")
    return folder


@pytest.fixture(scope="module")
def loaded(place: Path) -> list[tuple[int, set[str]]]:
    """Exit code of every verb, and what was loaded when it had ended."""
    words = json.dumps([words for words, _ in VERBS])
    command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{CHILD}"]
    done = subprocess.run([*command, words], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [(code, set(names)) for code, names in map(json.loads, done.stdout.splitlines())]


@pytest.mark.parametrize("verb", range(len(VERBS)), ids=[" ".join(words) for words, _ in VERBS])
def test_verbs_load_what_they_need(verb: int, loaded) -> None:
    code, names = loaded[verb]
    assert code == 0
    assert not VERBS[verb][1] & names


def test_what_is_loaded_is_seen(loaded) -> None:
    """The control: `run` does load JAX, and reading a result loads xarray."""
    assert loaded[-1][1] >= JAX
    assert "xarray" in next(names for (words, _), (_, names) in zip(VERBS, loaded, strict=True)
                            if words[0] == "drift")  # fmt: skip


def test_what_runs_once_is_no_program(place: Path) -> None:
    """A run compiles the flow (begin, go_on) and what is measured at its ends. Each further program
    is a fifth of what such a flow takes; drawn, summarised and stored operation by operation there
    were 53 of them."""
    assert len(PROGRAMS) <= 18, PROGRAMS
    assert "jit(go_on)" in PROGRAMS  # the control: they are seen


PACKAGES = ("analysis", "reproduce")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_s_doors_open(name: str) -> None:
    """What type checkers are told is what there is; no module takes the place of a name."""
    package = importlib.import_module(f"faflow.{name}")
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    doors = {alias.name: node.module for node in imports for alias in node.names if alias.asname}
    assert len(doors) > 5
    for door, module in doors.items():
        here = getattr(package, door)
        assert here is getattr(importlib.import_module(f"faflow.{name}.{module}"), door)
    assert not doors.keys() & {module.name for module in pkgutil.iter_modules(package.__path__)}
    with pytest.raises(AttributeError, match="no_such_door"):
        package.no_such_door  # noqa: B018
