"""The command line beyond `run`: what it prints, its exit codes, its lightness."""

import io
import os
import pwd
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest
from small import NET

import faflow
from faflow.cli import main
from faflow.cli.printing import Bar
from faflow.flow import kept_programs, program_folder
from faflow.tools.check import NETS

ROOT = Path(__file__).resolve().parents[1]

CONFIG = f"{NET}[flow]\nt1 = 0.5\nsaves = 12\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one.toml and its result in `one`."""
    place = tmp_path_factory.mktemp("cli")
    (place / "one.toml").write_text(CONFIG)
    assert main(["run", str(place / "one.toml"), "--out", str(place / "one"), "--no-figures"]) == 0
    return place


def test_drift_prints_scale_and_tolerance(folder: Path, capsys) -> None:
    assert main(["drift", str(folder / "one")]) == 0
    out = capsys.readouterr().out
    assert "layer-balance" in out and "scale" in out and "rtol 1e-09" in out


def test_fit_in_a_window(folder: Path, capsys) -> None:
    assert main(["fit", str(folder / "one"), "--window", "0.1", "0.5"]) == 0
    assert "0.1" in capsys.readouterr().out
    assert main(["fit", str(folder / "one"), "--window", "0.5", "0.1"]) == 2
    assert main(["fit", str(folder / "one"), "--window", "1000", "2000"]) == 2
    assert "--window: is 1000 2000, but the flow ends at t =" in capsys.readouterr().err


def test_show_prints_a_config_that_means_the_same(folder: Path, capsys) -> None:
    assert main(["show", str(folder / "one.toml"), "--set", "feedback.scale=2"]) == 0
    text = capsys.readouterr().out
    table = tomllib.loads(text)
    assert table["name"] == "one" and table["feedback"]["scale"] == 2.0
    assert table["flow"]["rtol"] == 1e-9 and table["init"] == {"kind": "gaussian", "scale": 1.0}
    (folder / "shown.toml").write_text(text)
    assert main(["show", str(folder / "shown.toml")]) == 0
    assert capsys.readouterr().out == text


def test_list_names_equations_and_sources(capsys) -> None:
    assert main(["list", "rules"]) == 0
    out = capsys.readouterr().out
    assert "Lillicrap" in out and "matrix-balance (linear nets)" in out
    assert main(["list"]) == 0


def test_check_of_a_false_claim(monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT / "tests")
    monkeypatch.setattr("faflow.tools.check.NETS", NETS[:1])
    monkeypatch.setattr("faflow.tools.check.ACTIVATIONS_TRIED", ("linear",))
    assert main(["check", "liar.py:Liar"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN" in out and "NOT as claimed" in out
    assert main(["check", "liar.py:Lair"]) == 2
    assert "'Liar'" in capsys.readouterr().err


def test_interruption_is_one_line(folder: Path, monkeypatch, capsys) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("faflow.runs.run.run", interrupted)
    assert main(["run", str(folder / "one.toml")]) == 130
    assert capsys.readouterr() == ("", "faflow: interrupted\n")


def test_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m faflow.cli list 2>&1 >/dev/full; echo code $?"
    piped = f"{sys.executable} -m faflow.cli list | head -1"
    done = subprocess.run(["sh", "-c", piped], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("rules\n", "")
    full = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in full.stdout and "code 2" in full.stdout


def test_the_bar_of_a_flow(monkeypatch) -> None:
    """Of a short flow that is over at once, and of one that goes on from a checkpoint."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    bar = Bar()
    bar(1.0)
    last = said.getvalue().rsplit("\r", 1)[1]
    assert last.startswith("100%") and "?" not in last
    bar(0.5)
    assert " 50%" in said.getvalue() and "? to go" in said.getvalue()
    bar(1.0)


def test_version_is_that_of_the_package(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"faflow {faflow.__version__}\n"


def test_front_door() -> None:
    assert all(callable(getattr(faflow, name)) for name in ("run", "open", "integrate"))
    assert not hasattr(faflow, "nothing")


COUNTED = """
import gc, sys
gc.disable()
import jax
from faflow.cli import main
hits = []
jax.monitoring.register_event_listener(
    lambda event, **more: event.endswith("cache_hits") and hits.append(event)
)
code = main(sys.argv[1:])
print(code, len(hits))
"""


def test_programs_are_kept_on_disk(folder: Path) -> None:
    """A second run of the same shapes, with other numbers, finds the program of the first."""
    found = []
    for number, scale in enumerate((1.0, 0.5)):
        arguments = ["run", "one.toml", "--no-figures", "--json", "--out", f"run{number}"]
        done = subprocess.run(
            [sys.executable, "-c", COUNTED, *arguments, "--set", f"init.scale={scale}",
             "flow.solver=heun", "flow.step=0.05", "flow.saves=3", "observe.names=['loss']"],
            cwd=folder, capture_output=True, text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT),
                 "JAX_ENABLE_COMPILATION_CACHE": "true"},
        )  # fmt: skip
        code, hits = map(int, done.stdout.splitlines()[-1].split())
        assert code == 0
        found.append((hits, len(list((folder / "cache" / "faflow").glob("jit_go_on*-cache")))))
    (_, first), (hits, second) = found
    assert first == second == 1 and hits > 0


def test_without_a_home_no_program_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry in passwd and without $HOME has no folder; that is no error."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(RuntimeError):
        program_folder()
    monkeypatch.setattr("faflow.flow.loop.programs.keeps_its_own", lambda: False)
    with kept_programs():
        assert jax.config.jax_compilation_cache_dir is None
