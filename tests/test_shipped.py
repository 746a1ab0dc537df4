"""Configs that come with faflow: found by name from any folder, in a checkout and in a wheel."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import faflow
from faflow.cli import main
from faflow.config import load
from faflow.config.resolve import resolve_path
from faflow.shipped import first_sentence, shipped_configs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(capsys, *argv: str) -> str:
    assert main(list(argv)) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def test_every_config_is_shipped_under_the_name_that_it_gives_itself() -> None:
    assert set(shipped_configs().values()) == set((ROOT / "configs").glob("*.toml"))
    for name, path in shipped_configs().items():
        assert load.read_table(path)["name"] == name


def test_a_name_works_where_no_file_is(empty: Path, capsys) -> None:
    assert main(["show", "theorem1-relu"]) == 0
    named = capsys.readouterr().out
    assert main(["show", str(ROOT / "configs" / "theorem1_relu.toml")]) == 0
    assert named == capsys.readouterr().out and 'name = "theorem1-relu"' in named
    assert faflow.plan_of("sweep-exponents").name == "sweep-exponents"
    assert list(empty.iterdir()) == []


def test_files_beside_a_named_config_are_found(empty: Path) -> None:
    files = resolve_path("relu-not-unique").files()
    assert files and all(path.is_file() for path in files.values())


def test_a_path_that_exists_wins_and_a_folder_does_not(empty: Path, capsys) -> None:
    (empty / "theorem1-relu").mkdir()
    assert load.locate("theorem1-relu").parent == ROOT / "configs"
    (empty / "theorem1-linear").write_text('name = "mine"\n')
    assert load.locate("theorem1-linear") == Path("theorem1-linear")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("theorem1-rellu", "did you mean 'theorem1-relu'?"),
        ("theorem1_relu", "did you mean 'theorem1-relu'?"),
        ("qqqqq", "see `faflow list configs`"),
        ("theorem1_relu.toml", "use the shipped 'theorem1-relu' by name"),
        ("elsewhere/theorem1_relu.toml", "use the shipped 'theorem1-relu' by name"),
        ("x" * 5000, "see `faflow list configs`"),
        ("", "see `faflow list configs`"),
    ],
)
@pytest.mark.parametrize("command", ["run", "sweep", "show", "laws"])
def test_a_wrong_name(empty: Path, capsys, given: str, remedy: str, command: str) -> None:
    assert remedy in complaint(capsys, command, given)


def test_a_folder_is_no_config(empty: Path, capsys) -> None:
    (empty / "mine").mkdir()
    assert "'mine': is a folder" in complaint(capsys, "run", "mine")


def test_the_first_sentence_of_a_comment(empty: Path) -> None:
    path = empty / "a.toml"
    path.write_text("# Saad et al. 1995, eq. 3: x = 0.5 y.\n# Second.\nname = 'a'\n# no more\n")
    assert first_sentence(path) == "Saad et al. 1995, eq. 3: x = 0.5 y."
    path.write_text("name = 'a'\n# later\n")
    assert first_sentence(path) == ""


def completions(line: str) -> set[str]:
    """What the shell would offer at the end of a line; it asks on file descriptor 8."""
    environment = os.environ | {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line,
        "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
    }  # fmt: skip
    shell = f'"{sys.executable}" -m faflow.cli 8>&1 9>/dev/null'
    done = subprocess.run(shell, shell=True, env=environment, capture_output=True, check=True)
    return {word.strip() for word in done.stdout.decode().split("\n")}


@pytest.mark.parametrize(
    ("line", "offered", "withheld"),
    [
        ("faflow sw", "sweep", "run"),
        ("faflow list con", "configs", "rules"),
        ("faflow show theorem1-r", "theorem1-relu", "theorem1-linear"),
        ("faflow run --cert", "--certify", "--out"),
        ("faflow run mi", "mine.toml", "mine.npz"),
    ],
)
def test_the_shell_completes(empty: Path, line: str, offered: str, withheld: str) -> None:
    for name in ("mine.toml", "mine.npz"):
        (empty / name).touch()
    found = completions(line)
    assert offered in found and withheld not in found


@pytest.mark.slow
def test_a_wheel_runs_a_config_by_name_in_an_environment_of_its_own(empty: Path) -> None:
    """Built from the sdist, as `python -m build` does. The environment has nothing but the wheel;
    what the wheel depends on it finds where this test's is, so that no network is needed."""
    python = sys.executable
    build = [python, "-m", "build", "--no-isolation", "--outdir", "dist", str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (empty / "dist").glob("*.whl")
    assert len(list((empty / "dist").glob("*.tar.gz"))) == 1
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "faflow/py.typed" in names
    configs = {f"faflow/configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    assert configs == {name for name in names if name.startswith("faflow/configs/")}

    venv.create(empty / "venv", symlinks=True)
    (site,) = (empty / "venv" / "lib").glob("python*/site-packages")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--target", str(site), str(wheel)], check=True)
    # A line of a .pth file puts a folder on the path without reading the .pth files in it: the
    # checkout, which one of them names, stays unseen.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(others))

    def run(*argv: str) -> str:
        command = [str(empty / "venv" / "bin" / "python"), "-m", *argv]
        environment = {"PATH": os.environ["PATH"], "HOME": str(empty)}
        return subprocess.run(
            command, check=True, env=environment, capture_output=True, text=True
        ).stdout

    where = "import faflow; print(faflow.__file__)"
    found = subprocess.run(
        [str(empty / "venv" / "bin" / "python"), "-c", where], capture_output=True, text=True
    )
    assert found.stdout.startswith(str(site))
    assert "theorem1-linear" in run("faflow.cli", "list", "configs")
    assert "layer-balance" in run("faflow.cli", "run", "theorem1-linear")
    assert (empty / "results" / "theorem1-linear" / "figures").is_dir()
