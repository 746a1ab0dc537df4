"""Code of the user's own: run when it has to be and never to look at something, found beside the
config, and never taken for unchanged when what it computes has changed."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from complaints import complaint
from small import LIGHT

import faflow
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.config.imports import load_object
from faflow.config.resolve import resolve_path
from faflow.setup.programs import in_precision
from faflow.store.digest import digest
from faflow.sweeps.folder import sweep_digest
from faflow.sweeps.plan import plan_of
from faflow.sweeps.sweep import run_sweep

QUIET = ("--no-figures", "--json")
RULE = """
from faflow.rules import AbstractLayerwiseRule, backward_sweep

class Mine(AbstractLayerwiseRule):
    equation = "the gradient, stretched"
    source = "none"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, [GAIN * w for w in weights.weights[1:]], trace, error)

    def laws(self, weights):
        return {}
"""
TASK = """
import numpy as np

def mine(*, key):
    return np.load(FILE)["X"], np.ones((2, 1))
"""
# One stage a step, and one record: every run here traces a rule of its own.
SMALL = LIGHT.replace('"heun"', '"euler"').replace('"loss", "laws"', '"loss"')
AXIS = '\n[sweep.product]\n"init.scale" = [0.5, 1.0]\n'


def with_own_rule(config: Path) -> Path:
    """The valid config, with a rule of its own in lab/mine.py and a helper beside that."""
    (config.parent / "lab").mkdir()
    (config.parent / "lab" / "mine.py").write_text("from helper import GAIN\n" + RULE)
    (config.parent / "lab" / "helper.py").write_text("GAIN = 1.0\n")
    config.write_text(SMALL.replace('"feedback-alignment"', '"lab/mine.py:Mine"'))
    return config


@pytest.fixture
def own(config: Path) -> Path:
    return with_own_rule(config)


def final(folder: Path) -> float:
    return json.loads((folder / "summary.json").read_text())["loss"]["final"]


# ---- reading runs nothing -----------------------------------------------------------------------

MARK = "open({mark!r}, 'a').close()\n"


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> tuple[Path, Path]:
    """A stranger's folder: a run, a sweep, one that was interrupted, the config they are of; and
    the mark that their code leaves wherever it is run from now on."""
    own = with_own_rule(tmp_path_factory.mktemp("strange") / "small.toml")
    sweep = own.with_name("sweep.toml")
    sweep.write_text(own.read_text() + AXIS)
    out = own.parent / "results"
    assert main(["run", str(own), "--out", str(out / "small"), *QUIET]) == 0
    run_sweep(plan_of(sweep), out=out / "done", workers=1)
    shutil.copytree(out / "done", out / "half")
    for name in ("result.nc", "summary.json"):
        (out / "half" / name).unlink()
    (out / "half" / "chunks").mkdir()
    mark = tmp_path_factory.mktemp("marked") / "mark"
    for file in (own.parent / "lab").glob("*.py"):
        file.write_text(MARK.format(mark=str(mark)) + file.read_text())
    # What is imported while something is read must not come from the working folder either.
    for name in ("helper", "matplotlib", "plotly", "scipy", "argcomplete", "tqdm", "h5netcdf"):
        (own.parent / f"{name}.py").write_text(MARK.format(mark=str(mark)))
    return own, mark


@pytest.fixture
def stranger(strange: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """It as the current directory; nothing of it has run yet."""
    config, mark = strange
    monkeypatch.chdir(config.parent)
    mark.unlink(missing_ok=True)
    return config, mark


@pytest.mark.parametrize("folder", ["small", "done", "half"])
def test_reading_a_folder_runs_nothing(stranger, folder: str, capsys, unpainted) -> None:
    config, mark = stranger
    place = str(config.parent / "results" / folder)
    for arguments in (
        ["drift", place], ["fit", place], ["plot", place], ["show", str(config)],
        ["show", f"{place}/config.toml"], ["report", place, "--out", "page.html"],
        ["list", "configs"],
    ):  # fmt: skip
        assert main(arguments) in (0, 2), arguments
        assert not mark.exists(), arguments
    assert "Traceback" not in capsys.readouterr().err
    faflow.open(place)
    from faflow.store.result import open_result
    from faflow.sweeps.result import is_sweep, open_sweep

    assert is_sweep(place) == (folder != "small")
    (open_result if folder == "small" else open_sweep)(place)
    assert not mark.exists()


def test_completing_a_command_line_runs_nothing(stranger) -> None:
    config, mark = stranger
    answer = config.parent / "answer"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": "faflow show s", "COMP_POINT": "13",
             "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}  # fmt: skip
    command = [sys.executable, "-P", "-m", "faflow.cli"]  # -P: as the installed command does
    there = {**os.environ, **asked, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(command, cwd=config.parent, env=there, check=True, timeout=120)
    assert "small.toml" in answer.read_text() and not mark.exists()


def test_what_runs_a_config_does_run_it(stranger) -> None:
    """The control: the mark is left by `run`, and by the kind that the config names alone."""
    config, mark = stranger
    assert main(["run", str(config), "--out", "anew", *QUIET]) == 0
    assert mark.exists()


def test_the_working_folder_is_not_imported_from(own: Path, monkeypatch, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    mark = elsewhere / "mark"
    for name in ("helper", "mine", "lab"):
        (elsewhere / f"{name}.py").write_text(MARK.format(mark=str(mark)))
    monkeypatch.chdir(elsewhere)
    assert main(["laws", str(own), "--degree", "1"]) in (0, 1)
    assert not mark.exists() and str(elsewhere) not in sys.path


def test_shown_as_it_stands(own: Path, capsys) -> None:
    own.write_text(own.read_text().replace("lab/mine.py:Mine", "nowhere.py:Mine"))
    assert main(["show", str(own), "--set", "rule.power=3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# Not run to be shown: nowhere.py:Mine.")
    table = tomllib.loads(shown)
    assert table["rule"] == {"kind": "nowhere.py:Mine", "power": 3}
    assert table["task"]["noise"] == 0.0 and table["observe"]["names"] == ["loss"]
    assert "samples" in complaint(capsys, "show", str(own), "--set", "task.sample=3")


def test_sizes_of_what_is_shown_are_settled_where_no_code_tells(own: Path, capsys) -> None:
    own.write_text(own.read_text().replace("features = 3\n", ""))
    assert main(["show", str(own)]) == 0
    assert tomllib.loads(capsys.readouterr().out)["task"]["features"] == 3
    assert "task.features says 4" in complaint(capsys, "show", str(own), "--set", "task.features=4")
    np.savez(own.parent / "data.npz", X=np.eye(3), y=np.eye(3))
    sets = ["network.widths=['inputs', 2, 'outputs']", "task={kind = 'arrays', file = 'data.npz'}"]
    assert main(["show", str(own), "--set", *sets]) == 0
    assert tomllib.loads(capsys.readouterr().out)["network"]["widths"] == ["inputs", 2, "outputs"]


# ---- the config's folder ------------------------------------------------------------------------


def test_code_lies_beside_the_config_not_the_shell(own: Path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("shell"))
    assert main(["run", str(own), "--out", "out", *QUIET]) == 0
    stored = Path("out/config.toml")
    assert main(["run", str(stored), "--out", "again", *QUIET]) == 0
    assert final(Path("again")) == final(Path("out"))
    assert tomllib.loads(stored.read_text())["rule"]["kind"].endswith("/lab/mine.py:Mine")
    assert not faflow.run(stored, out="out").fresh  # the same run, wherever its config lies


def test_a_sweep_finds_its_code_from_its_own_folder(own: Path, monkeypatch, tmp_path_factory):
    own.write_text(own.read_text() + AXIS)
    monkeypatch.chdir(tmp_path_factory.mktemp("shell"))
    found = run_sweep(plan_of(own), out="swept", workers=1)
    assert found.summary["statuses"] == {"completed": 2}
    assert not run_sweep(plan_of("swept/config.toml"), out="swept", workers=1).fresh


def test_a_module_beside_the_config(own: Path, monkeypatch, tmp_path_factory) -> None:
    own.write_text(own.read_text().replace("lab/mine.py:Mine", "lab.inner:Mine"))
    (own.parent / "lab" / "inner.py").write_text("from .helper import GAIN\n" + RULE)
    monkeypatch.chdir(tmp_path_factory.mktemp("shell"))
    assert main(["run", str(own), "--out", "out", *QUIET]) == 0
    assert main(["run", "out/config.toml", "--out", "again", *QUIET]) == 0
    assert digest(resolve_path(own)) == digest(resolve_path("out/config.toml"))


def test_an_installed_module_keeps_its_name(config: Path) -> None:
    sets = ["--set", "flow.solver=diffrax:Heun", "flow.step=0.05", "expect={}"]
    assert main(["run", str(config), "--out", "out", *QUIET, *sets]) == 0
    assert tomllib.loads(Path("out/config.toml").read_text())["flow"]["solver"] == "diffrax:Heun"


def test_code_beside_the_shell_is_pointed_at(own: Path, monkeypatch, capsys, tmp_path_factory):
    shell = tmp_path_factory.mktemp("shell")
    (own.parent / "lab").rename(shell / "lab")
    monkeypatch.chdir(shell)
    for kind in ("lab/mine.py:Mine", "lab.mine:Mine"):
        own.write_text(own.read_text().replace("lab/mine.py:Mine", kind))
        line = complaint(capsys, "run", str(own))
        assert f"beside the config, in {own.parent}" in line and str(shell / "lab") in line


def test_check_takes_files_from_the_shell(own: Path, monkeypatch, capsys) -> None:
    from faflow.tools.check import NETS

    monkeypatch.setattr("faflow.tools.check.NETS", NETS[:1])
    monkeypatch.setattr("faflow.tools.check.ACTIVATIONS_TRIED", ("linear",))
    monkeypatch.chdir(own.parent / "lab")
    assert main(["check", "mine.py:Mine"]) == 0


def test_two_folders_with_modules_of_one_name(own: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(own.parent / "lab", other / "lab")
    shutil.copy(own, other)
    (other / "lab" / "helper.py").write_text("GAIN = 5.0\n")
    ends = [
        faflow.run(place, store_result=False).summary["loss"]["final"]
        for place in (own, other / own.name, own)
    ]
    assert ends[0] == ends[2] != ends[1]


def test_home_and_paths_and_numpy_in_a_config(config: Path, monkeypatch) -> None:
    np.savez(config.parent / "data.npz", X=np.eye(3)[:2], y=np.ones((2, 1)))
    monkeypatch.setenv("HOME", str(config.parent))
    table = tomllib.loads(LIGHT)
    table["seed"] = np.int64(3)
    table["network"]["widths"] = np.array([3, 2, 1])
    table["flow"]["t1"] = np.float32(0.5)
    plain = json.loads(json.dumps(table, default=lambda value: value.tolist()))
    found = []
    for file in ("data.npz", Path("data.npz"), "~/data.npz", config.parent / "data.npz"):
        table["task"] = {"kind": "arrays", "file": file}
        found.append(digest(resolve_path(table)))
    plain["task"] = {"kind": "arrays", "file": "data.npz"}
    assert found == [digest(resolve_path(plain))] * 4
    result = faflow.run(table, out="~/out")
    assert result.folder == config.parent / "out" and faflow.open("~/out").summary
    assert main(["report", "~/out", "--out", "~/page.html"]) == 0
    assert (config.parent / "page.html").is_file()
    assert main(["drift", "~/out"]) == 0
    # Nobody's home: a name like others.
    assert faflow.run(table, out="~no-one/out").folder == Path("~no-one/out")
    with pytest.raises(ConfigError, match=r"network.widths.0: is \[3, 2\]"):
        resolve_path({**table, "network": {"widths": np.array([[3, 2], [1, 1]])}})


# ---- never taken for unchanged ------------------------------------------------------------------


def changes(config: Path, change) -> tuple[bool, float, float]:
    """Whether the run is made again after the change, its loss, and that of a fresh process's."""
    faflow.run(config, out="kept")
    assert not faflow.run(config, out="kept").fresh  # the control
    change()
    fresh = faflow.run(config, out="kept", replace=True)
    right = faflow.run(config, store_result=False)
    return fresh.fresh, fresh.summary["loss"]["final"], right.summary["loss"]["final"]


def test_a_helper_that_has_changed(own: Path) -> None:
    helper = own.parent / "lab" / "helper.py"
    again, found, right = changes(own, lambda: helper.write_text("GAIN = 5.0\n"))
    assert again and found == right
    (own.parent / "lab" / "mine.py").write_text("GAIN = 5.0\n" + RULE)  # by another way
    assert found == faflow.run(own, store_result=False).summary["loss"]["final"]


def test_a_base_class_that_has_changed(own: Path) -> None:
    base, lab = "from helper import Base\n\nclass Mine(Base):\n    pass\n", own.parent / "lab"
    (lab / "mine.py").write_text(base)
    rule = RULE.replace("class Mine", "class Base")
    (lab / "helper.py").write_text("GAIN = 1.0\n" + rule)
    again, found, right = changes(
        own, lambda: (lab / "helper.py").write_text("GAIN = 5.0\n" + rule)
    )
    assert again and found == right


def test_a_file_that_an_own_task_reads(own: Path) -> None:
    data = own.parent / "data.npz"
    (own.parent / "lab" / "task.py").write_text(f"FILE = {str(data)!r}\n" + TASK)
    text = own.read_text().replace("samples = 2\nfeatures = 3\n", "")
    own.write_text(text.replace('kind = "gaussian"', 'kind = "lab/task.py:mine"'))
    np.savez(data, X=np.eye(3)[:2])
    again, found, right = changes(own, lambda: np.savez(data, X=3 * np.eye(3)[:2]))
    assert again and found == right


def test_a_file_that_a_rule_reads(own: Path) -> None:
    data = own.parent / "gain.npy"
    rule = RULE.replace("GAIN *", f"np.load({str(data)!r}) *")
    (own.parent / "lab" / "mine.py").write_text("import numpy as np\n" + rule)
    np.save(data, np.array(1.0))
    again, found, right = changes(own, lambda: np.save(data, np.array(5.0)))
    assert again and found == right


def test_a_sweep_whose_code_has_changed_is_refused(own: Path) -> None:
    own.write_text(own.read_text() + AXIS)
    run_sweep(plan_of(own), out="swept", workers=1)
    assert not run_sweep(plan_of(own), out="swept", workers=1).fresh
    (own.parent / "lab" / "helper.py").write_text("GAIN = 5.0\n")
    with pytest.raises(ConfigError, match="another config"):
        run_sweep(plan_of(own), out="swept", workers=1)


def with_task(own: Path, task: str) -> str:
    """The config's text with a task of its own in place of the data."""
    (own.parent / "lab" / "task.py").write_text("import jax\nimport numpy as np\n" + task)
    text = own.read_text().replace("samples = 2\nfeatures = 3\n", "")
    return text.replace('kind = "gaussian"', 'kind = "lab/task.py:mine"')


def test_a_sweep_looks_at_the_data_of_every_member(own: Path) -> None:
    """Another seed may draw other rows of a file."""
    data = own.parent / "data.npy"
    task = (
        "def mine(*, key):\n"
        "    row = np.random.default_rng(np.asarray(jax.random.key_data(key))).integers(2)\n"
        f"    return np.load({str(data)!r})[[row]], np.ones((1, 1))\n"
    )
    own.write_text(with_task(own, task) + "\n[sweep.product]\nseed = { count = 6 }\n")
    rows = np.arange(6.0).reshape(2, 3)
    seen = set()
    for row in (0, 1, 2, 2):  # 2 is none of the two
        np.save(data, rows + (np.arange(2) == row)[:, None])
        seen.add(sweep_digest(plan_of(own)).config)
    assert len(seen) == 3


def test_a_first_member_that_its_own_data_refuse(own: Path) -> None:
    task = "def mine(*, key, wide):\n    return np.ones((2, wide)), np.ones((2, 1))\n"
    own.write_text(with_task(own, task) + '\n[sweep.product]\n"task.wide" = [4, 3]\n')
    assert sweep_digest(plan_of(own)).config  # and no error: the other member can run


def test_a_rule_that_changes_while_it_runs_is_stored_as_it_was(own: Path, monkeypatch) -> None:
    helper = own.parent / "lab" / "helper.py"
    faflow.run(own, out="kept", note=lambda text: helper.write_text("GAIN = 5.0\n"))
    assert faflow.run(own, out="kept", replace=True).fresh


def test_own_code_leaves_nothing_in_the_user_s_folder(own: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    faflow.run(own, store_result=False)
    assert sorted(os.listdir(own.parent / "lab")) == ["helper.py", "mine.py"]


def test_what_code_computes_is_the_same_in_every_process(own: Path, capfd) -> None:
    words = (
        "import gc; gc.disable(); "
        "from faflow.config.resolve import resolve_path; "
        "from faflow.store.digest import digest; "
        f"print(digest(resolve_path({str(own)!r})).config)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    with in_precision("float64"):
        assert done.stdout.strip() == digest(resolve_path(own)).config


def test_a_file_without_a_name_says_what_is_in_it(tmp_path):
    (tmp_path / "lab.py").write_text("def one(): ...\n\n\nclass Two: ...\n")
    with pytest.raises(ConfigError, match=r"say which name in it: 'lab.py:one', 'lab.py:Two'"):
        load_object("rule", "lab.py", tmp_path)
    with pytest.raises(ConfigError, match=r"lab.py has no Tow; did you mean 'Two'"):
        load_object("rule", "lab.py:Tow", tmp_path)


def test_a_folder_of_results_names_them(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no faflow result; give one of those in it: a, b"):
        faflow.open(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="give a result folder"):
        faflow.open(tmp_path / "empty")
