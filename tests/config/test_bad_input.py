"""Bad input: exit code 2, one line on stderr that names the key, nothing on stdout."""

import copy
import errno
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tomli_w
import xarray as xr
from complaints import complaint
from result_fixtures import stored_run
from small import LIGHT, VALID

from faflow.cli import main
from faflow.store import folder as store


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("network.width=[3,1]", "network.width:", "'widths'"),
        ("networks.widths=[3,1]", "networks:", "'network'"),
        ("flow.stop.los=1", "flow.stop.los:", "'loss'"),
        ("task.sample=3", "task.sample:", "'samples'"),
        ("network.widths=[3,'a']", "network.widths.1:", "whole number"),
        ("network.widths=3", "network.widths:", "list"),
        ("network.widths=[3]", "network.widths:", "at least two"),
        ("network.widths=[3,0,1]", "network.widths.1:", "greater"),
        ("network.widths=[4,2,1]", "network.widths.0:", "3 inputs"),
        ('task={kind="gaussian",samples=2,outputs=2}', "network.widths.2:", "2 outputs"),
        ("network.widths=[3,2000000000,1]", "network.widths:", "weights"),
        ("network.bias=True", "network.bias:", "true or false"),
        ("network.activation=relux", "network.activation:", "'relu'"),
        ('network.activation={kind="tanh",degree=1}', "network.activation.degree:", "option"),
        ('network.activation={kind="leaky-relu",slope=-1}', "network.activation:", "slope"),
        ("rule.kind=feedback-alignmnt", "rule.kind:", "'feedback-alignment'"),
        ("rule.kind=nolab.rules:Rule", "rule.kind:", "nolab"),
        ("rule.kind=json:JSONEncoder", "rule.kind:", "AbstractLearningRule"),
        ("rule.kind=faflow.rules:AbstractLayerwiseRule", "rule.kind:", "lacks"),
        ("rule.kind=fa", "rule.kind:", "did you mean 'feedback-alignment'?"),
        ("network.activation=ReLU", "network.activation:", "did you mean 'relu'?"),
        ("task.loss=mse", "task.loss:", "did you mean 'squared'?"),
        ("rule.decay=1", "rule.decay:", "option"),
        ("flow.t1=0", "flow.t1:", "greater than 0"),
        ("flow.t1=nan", "flow.t1:", "finite"),
        ("flow.t1=soon", "flow.t1:", "a number"),
        ("flow.saves=1", "flow.saves:", "2"),
        ("flow.rtol=1e-15", "flow.rtol:", "1e-14"),
        ("flow.rtol=0", "flow.rtol:", "greater"),
        ("flow.solver=tsit6", "flow.solver:", "'tsit5'"),
        ("flow.solver=euler", "flow.step:", "euler"),
        ("flow.step=9", "flow.step:", "t1"),
        ("flow={t1=1,solver='bdf',step=0.1}", "flow.step:", "chooses its steps"),
        ("flow.step=0.06", "flow.step:", "0.0625"),
        ("flow={t1=1,spacing='log',step=0.1}", "flow.step:", "linear"),
        ("flow.first=0.1", "flow.first:", "log"),
        ("flow.kinks=exakt", "flow.kinks:", "'exact'"),
        ("flow.kinks=exact", "flow.kinks:", "kink"),
        ("flow.kinks=smooth", "flow.kinks:", "kink"),
        ("flow.exact={slots=4}", "flow.exact:", "'exact'"),
        ("flow.exact.slot=4", "flow.exact.slot:", "'slots'"),
        ("flow.exact.slots=0", "flow.exact.slots:", "1"),
        ("flow.exact.events=-1", "flow.exact.events:", "0"),
        ("flow.exact.branch=nearst", "flow.exact.branch:", "'nearest'"),
        ("flow.smooth={width=0.1}", "flow.smooth:", "'smooth'"),
        ("flow.smooth.width=0", "flow.smooth.width:", "greater than 0"),
        ("task.samples=1.5", "task.samples:", "whole number"),
        ("network.widths=3", "network.widths:", "a list of whole numbers or inputs, outputs"),
        ("task.samples=0", "task:", "samples"),
        ("task.samples=9000000000000000", "task.samples:", "memory"),
        ("task.loss=cross-entropy", "task:", "cross-entropy"),
        ("feedback.scale=[1,2]", "feedback:", "scale"),
        ("init.scale=true", "init.scale:", "number"),
        ("seed=-1", "seed:", "0"),
        ("seed=1979-05-27", "seed:", "date"),
        ("precision=float16", "precision:", "float32"),
        ("name=a/b", "name:", "letters"),
        ("name.x=1", "name:", "table"),
        ("observe.names=['los']", "observe.names.0:", "'loss'"),
        ("observe.names=['low-rank-limit']", "observe.names.0:", "identity"),
        ("observe.laws=['layer']", "observe.laws.0:", "layer-balance"),
        ("expect.status=complete", "expect.status:", "did you mean 'completed'?"),
        ("expect.los.final=1", "expect.los:", "'loss'"),
        ("expect.loss.final={max=1,min=2}", "expect.loss.final:", "swap"),
        ("expect.loss.final={near=1}", "expect.loss.final:", "within"),
        ("flow.t1", "--set:", "key=value"),
        ("#=1", "--set:", "dotted names"),
        ("flow.t1=" + "[" * 3000, "--set:", "nested too deeply"),
        ("flow.t1=" + "[" * 60 + "]" * 60, "flow.t1.0", "nested too deeply"),
        (".".join("a" * 3000) + "=1", "a.a.a.a.a.a.a.a:", "nested too deeply"),
        ('name="a\\u0000"', "name:", "NUL"),
        ('task={kind="arrays",file="a\\u0000b"}', "task.file:", "NUL"),
        ("init.scale=1e150", "task:", "loss of inf"),
        ("init.scale=1e200", "task:", "loss of"),
        ("feedback.scale=1e400", "feedback.scale:", "finite"),
        ("rule.modifiers=[{rates=1}]", "rule.modifiers.0.kind", "weight-decay"),
        ('rule.modifiers=[{kind="weight-deca"}]', "rule.modifiers.0.kind", "weight-decay"),
        ('rule.modifiers=[{kind="weight-decay", rate=1}]', "rule.modifiers.0.rate", "rates"),
        ('rule.modifiers=[{kind="weight-decay", rates="x"}]', "rule.modifiers.0.rates", "number"),
        ('rule.modifiers=[{kind="weight-decay", rates=[1,2,3]}]', "rule.modifiers.0", "2"),
        ('rule.modifiers=[{kind="momentum"},{kind="momentum"}]', "rule.modifiers.1", "state"),
        (
            'rule.modifiers=[{kind="weight-normalisation", layers=[9]}]',
            "rule.modifiers.0",
            "1 to 2",
        ),
        ('rule.modifiers="momentum"', "rule.modifiers", "list"),
        ("rule.modifiers=[{kind=3}]", "rule.modifiers.0.kind", "is 3"),
        ('rule.modifiers=[{kind="momentum", mass=0}]', "rule.modifiers.0", "above 0"),
        ('rule.modifiers=[{kind="momentum", friction=-1}]', "rule.modifiers.0", "0 or more"),
        ('rule.modifiers=[{kind="learning-rates", rates=[1, 0]}]', "rule.modifiers.0", "above 0"),
        ('rule.modifiers=[{kind="mean-field", richness=0}]', "rule.modifiers.0", "above 0"),
    ],
)
def test_refused(config: Path, capsys, override: str, key: str, hint: str) -> None:
    line = complaint(capsys, "run", str(config), "--set", override)
    assert line.startswith(f"faflow: {key}") and hint in line, line
    assert not (config.parent / "results").exists()


@pytest.mark.parametrize("solver", ["implicit-midpoint", "gauss4", "gauss6", "kvaerno5"])
@pytest.mark.parametrize("activation", ["relu", "leaky-relu"])
def test_implicit_methods_across_kinks(config: Path, capsys, solver: str, activation: str) -> None:
    """Refused before they start, fixed steps too, with what would do."""
    more = [f"flow.solver={solver}", f"network.activation={activation}"]
    for step in ([], ["flow.step=0.0625"]):
        sets = [word for override in more + step for word in ("--set", override)]
        line = complaint(capsys, "run", str(config), *sets)
        assert line.startswith(f"faflow: flow.solver: is '{solver}', an implicit method"), line
        assert "use heun" in line and "'exact'" in line
    assert not (config.parent / "results").exists()


@pytest.mark.parametrize(
    ("more", "key", "hint"),
    [
        (["flow.step=0.05"], "flow.step:", "remove it"),
        (["flow.solver=heun"], "flow.solver:", "tsit5"),
        (["flow.solver=bdf"], "flow.solver:", "tsit5"),
        (["flow.solver=bdf", "flow.kinks=plain"], "flow.solver:", "heun"),
        (["flow.solver=gauss4", "flow.step=0.05"], "flow.step:", "remove it"),
        (["rule.kind=kolen-pollack"], "flow.kinks:", "layerwise"),
        (["network.activation=tanh"], "flow.kinks:", "'auto'"),
        (["network.widths=[3,1]"], "flow.kinks:", "hidden layer"),
        (["flow.kinks=smooth", "network.activation=leaky-relu"], "flow.kinks:", "'plain'"),
        (["flow.kinks=smooth", "flow.exact.slots=4"], "flow.exact:", "remove it"),
    ],
)
def test_kinks_that_cannot_be_served(config: Path, capsys, more, key: str, hint: str) -> None:
    sets = ["network.activation=relu", "flow.kinks=exact", *more]
    line = complaint(capsys, "run", str(config), "--set", *sets)
    assert line.startswith(f"faflow: {key}") and hint in line, line


@pytest.mark.parametrize(
    ("more", "law", "reason"),
    [
        (["network.activation=tanh"], "layer-balance", "tanh is not homogeneous"),
        (
            ["network.activation=relu"],
            "matrix-balance",
            "linear network, and the activation is relu",
        ),
        (["rule.kind=uniform-sign-symmetry"], "matrix-balance", "needs a quadratic potential"),
        (["rule.kind=align-ada"], "layer-balance", "the rule align-ada names no law"),
        (["rule.kind=last-layer-only"], "neuron-balance", "names no law of this network"),
        ([], "subspace-balance", "direct feedback to a layer below one narrower"),
        (
            ["rule.kind=sign-error-direct-feedback", "network.widths=[3,4,2,3]", "task.outputs=3"],
            "matrix-balance",
            "is no feedback below a layer narrower than the output",
        ),
    ],
)
def test_laws_that_cannot_be_had(config: Path, capsys, more, law: str, reason: str) -> None:
    """An error that says why; as a control the law is followed, and seen to be broken."""
    sets = ["--set", *more, f"observe.laws=['{law}']"]
    line = complaint(capsys, "run", str(config), *sets)
    assert line.startswith(f"faflow: observe.laws.0: is '{law}', but ") and reason in line, line
    assert "observe.controls" in line


def test_controls(config: Path, capsys) -> None:
    sets = ["--set", "network.activation=tanh", "expect={}", "observe.controls=['neuron-balance']",
            "flow.solver=heun", "flow.step=0.05"]  # fmt: skip
    assert main(["run", str(config), "--no-figures", "--json", *sets]) == 0
    (law,) = json.loads(capsys.readouterr().out)["laws"].items()
    assert law[0] == "neuron-balance" and not law[1]["claimed"] and not law[1]["kept"]
    for name, hint in (("subspace-balance", "remove it"), ("layer", "layer-balance,")):
        line = complaint(capsys, "run", str(config), "--set", f"observe.controls=['{name}']")
        assert line.startswith(f"faflow: observe.controls.0: is '{name}'") and hint in line
    off = ["--set", "expect={}", "observe.names=['loss']", "observe.controls=['layer-balance']"]
    assert "observe.names lacks 'laws'" in complaint(capsys, "run", str(config), *off)


@pytest.mark.parametrize(
    "overrides",
    [
        ["precision=float32", "flow.rtol=1e-7"],
        ["init.kind=feedback", "feedback.kind=equal"],
        ["rule.kind=fa-star", "network.bias=true"],
        ["rule.kind=fa-star", "network.widths=[3,9,1]"],
        ["network.widths=[3,1]"],
    ],
)
def test_refused_together(config: Path, capsys, overrides: list[str]) -> None:
    complaint(capsys, "run", str(config), "--set", *overrides)


@pytest.mark.parametrize("argv", [[], ["runn"], ["run"], ["run", "x", "--bogus"], ["list", "rule"]])
def test_wrong_usage(capsys, argv: list[str]) -> None:
    complaint(capsys, *argv)


@pytest.mark.parametrize(
    "content",
    [
        b"name = ",
        b"\xff\xfe",
        b"a = 1\na = 2",
        b"x = " + b"9" * 5000,
        b"x = " + b"[" * 3000,
        b"a." * 3000 + b"a = 1",
    ],
)
def test_malformed_toml(config: Path, capsys, content: bytes) -> None:
    config.write_bytes(content)
    line = complaint(capsys, "run", str(config))
    assert str(config) in line or "nested too deeply" in line


def test_paths_with_nul(config: Path, stored: Path, capsys) -> None:
    assert "no file name" in complaint(capsys, "run", "small\0.toml")
    assert "NUL" in complaint(capsys, "run", str(config), "--out", "a\0b")
    assert "NUL" in complaint(capsys, "drift", "a\0b")


def test_file_name_that_is_no_name(config: Path, capsys) -> None:
    unnamed = config.with_name("my run.toml")
    unnamed.write_text(VALID.replace('name = "small"', ""))
    assert "the file name 'my run'" in complaint(capsys, "run", str(unnamed))
    assert main(["show", str(unnamed), "--set", "name=other"]) == 0


def test_byte_order_mark_is_read_over(config: Path, capsys) -> None:
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert main(["show", str(config)]) == 0


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a small config, computed once."""
    return stored_run(tmp_path_factory.mktemp("light"), "small", LIGHT)


DAMAGE = {"summary.json": ["[]", "{}", "", '{"schema": 1}'], "result.nc": ["", "nonsense"]}


@pytest.mark.parametrize(("file", "content"), [(f, c) for f in DAMAGE for c in DAMAGE[f]])
def test_damaged_result_is_refused_and_computed_again(
    placed: Callable[[str, str], Path], light: Path, capsys, file: str, content: str
) -> None:
    config = placed("small", LIGHT)
    stored = Path(shutil.copytree(light, config.parent / "results" / "small"))
    (stored / file).write_text(content)
    for command in ("drift", "fit", "plot"):
        assert str(stored) in complaint(capsys, command, str(stored))
    assert main(["run", str(config), "--no-figures"]) == 0
    assert main(["drift", str(stored)]) == 0


def test_records_without_groups_are_refused(stored: Path, capsys) -> None:
    xr.DataTree().to_netcdf(stored / "result.nc", engine="h5netcdf")
    assert "result.nc" in complaint(capsys, "drift", str(stored))


def test_no_such_config(config: Path, capsys) -> None:
    assert "does not exist" in complaint(capsys, "run", "nothing.toml")
    complaint(capsys, "run", str(config.parent))
    complaint(capsys, "drift", "nothing")


def arrays_config(config: Path, **arrays: np.ndarray) -> Path:
    np.savez(config.parent / "mine.npz", **arrays)
    old = 'kind = "gaussian"\nsamples = 2\nfeatures = 3'
    config.write_text(VALID.replace(old, 'kind = "arrays"\nfile = "mine.npz"'))
    return config


def test_bad_arrays(config: Path, capsys) -> None:
    x, y = np.ones((2, 3)), np.ones((2, 1))
    arrays_config(config, X=x * np.nan, y=y)
    assert "nan" in complaint(capsys, "run", str(config))
    arrays_config(config, X=x)
    assert "no y" in complaint(capsys, "run", str(config))
    arrays_config(config, X=x, y=np.array([object(), 1]))
    assert "pickled" in complaint(capsys, "run", str(config))
    (config.parent / "mine.npz").write_bytes(b"PK\x03\x04nonsense")
    complaint(capsys, "run", str(config))
    (config.parent / "mine.npz").unlink()
    assert "task.file" in complaint(capsys, "run", str(config))


def test_bad_initial_weights(config: Path, capsys) -> None:
    x, y, w = np.ones((2, 3)), np.ones((2, 1)), np.ones((2, 3))
    initial = ["--set", "init.kind=arrays", "init.file=mine.npz"]
    arrays_config(config, X=x, y=y, W1=w)
    assert "W2" in complaint(capsys, "run", str(config), *initial)
    arrays_config(config, X=x, y=y, W1=w.T, W2=np.ones((1, 2)))
    assert "W1" in complaint(capsys, "run", str(config), *initial)
    arrays_config(config, X=x, y=y, W1=w, W2=np.ones((1, 2)), b1=np.ones(2))
    assert "b1" in complaint(capsys, "run", str(config), *initial)
    arrays_config(config, X=x, y=y, w1=w, W2=np.ones((1, 2)))
    assert "is w1 meant for W1?" in complaint(capsys, "run", str(config), *initial)
    given = ["--set", "feedback.kind=arrays", "feedback.file=mine.npz"]
    assert "F2" in complaint(capsys, "run", str(config), *given)


def test_different_result_is_kept(stored: Path, config: Path, capsys) -> None:
    before = (stored / "summary.json").read_bytes()
    assert "--replace" in complaint(capsys, "run", str(config), "--set", "seed=5")
    assert (stored / "summary.json").read_bytes() == before


def test_foreign_folder_is_never_touched(config: Path, capsys) -> None:
    folder = config.parent / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("x")
    complaint(capsys, "run", str(config), "--out", "mine", "--replace")
    complaint(capsys, "run", str(config), "--out", "mine/thesis.tex")
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_full_disk(config: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path, content):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_bytes", full)
    assert "No space left" in complaint(capsys, "run", str(config))
    assert list((config.parent / "results").iterdir()) == []


# ---- generated ----------------------------------------------------------------------------------

TABLE = tomllib.loads(VALID)
KEYS = [("name",)] + [
    (section, key)
    for section in ("network", "task", "rule", "flow", "observe")
    for key in TABLE[section]
]
# Wrong wherever it stands: no key of VALID takes an empty table, a date, NaN or a mixed list.
NEVER_RIGHT = st.sampled_from([{}, {"x": 1}, float("nan"), float("inf"), [1, "a"], [[]], ""])


def at(table: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for key in path[:-1]:
        table = table[key]
    return table


@st.composite
def malformed(draw: st.DrawFn) -> dict[str, Any]:
    """VALID with one fault: a key misspelt, a required one missing, or a value never right."""
    table = copy.deepcopy(TABLE)
    path = draw(st.sampled_from(KEYS))
    where = at(table, path)
    match draw(st.sampled_from(["misspell", "remove", "spoil", "negate"])):
        case "misspell":
            letters = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=3)
            where[path[-1] + "_" + draw(letters)] = where.pop(path[-1])
        case "remove":
            required = [("network", "widths"), ("task", "kind"), ("rule", "kind"), ("flow", "t1")]
            path = draw(st.sampled_from(required))
            del at(table, path)[path[-1]]
        case "negate":
            path = draw(st.sampled_from([("flow", "t1"), ("flow", "saves"), ("task", "samples")]))
            at(table, path)[path[-1]] = draw(st.integers(-(2**40), 0))
        case _:
            where[path[-1]] = draw(NEVER_RIGHT)
    return table


@hypothesis.settings(
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(table=malformed())
def test_malformed_configs_are_refused(config: Path, capsys, table: dict[str, Any]) -> None:
    config.write_text(tomli_w.dumps(table))
    complaint(capsys, "run", str(config))
