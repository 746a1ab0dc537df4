"""Inputs and outputs are said once: by the network or by the task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faflow.cli import main
from faflow.config.dump import config_text
from faflow.config.errors import ConfigError
from faflow.config.resolve import resolve_path
from faflow.measures.experiment import build
from faflow.sweeps.plan import plan_of
from faflow.tasks import TASKS

FACTORISATION = {"kind": "matrix-factorisation", "spectrum": [2.0, 1.0]}
SEPARATING = {"kind": "separating-factorisation", "tail_energy": 0.1}
NEAR = {"kind": "near-identity-factorisation"}
TEACHER = {"kind": "teacher", "samples": 3}
GAUSSIAN = {"kind": "gaussian", "samples": 3}
OPEN = ["inputs", 2, "outputs"]


def table(widths: Any, task: dict[str, Any], **more: Any) -> dict[str, Any]:
    network = {"widths": widths, "activation": more.pop("activation", "linear")}
    rule, flow = {"kind": "gradient"}, {"t1": 1.0}
    return {"name": "t", "network": network, "task": task, "rule": rule, "flow": flow, **more}


def settled(widths: Any, task: dict[str, Any]) -> tuple[tuple[int, ...], dict[str, Any]]:
    resolved = resolve_path(table(widths, task))
    return resolved.widths, resolved.task.options


CASES = [
    ([5, 2, 3], GAUSSIAN, {"features": 5, "outputs": 3}),
    ([5, 2, 3], {**GAUSSIAN, "outputs": 3}, {"features": 5}),
    (["inputs", 2, 3], {**GAUSSIAN, "features": 5}, {"outputs": 3}),
    (OPEN, {**GAUSSIAN, "features": 5, "outputs": 3}, {}),
    ([5, 2, 3], TEACHER, {"widths": [5, 2, 3]}),
    ([5, 2, 3], {**TEACHER, "widths": ["inputs", 7, "outputs"]}, {"widths": [5, 7, 3]}),
    (OPEN, {**TEACHER, "widths": [5, 7, 3]}, {"widths": [5, 7, 3]}),
    (["inputs", 2, 3], {**TEACHER, "widths": [5, 7, "outputs"]}, {"widths": [5, 7, 3]}),
    ([5, 2, 3], FACTORISATION, {"columns": 5, "rows": 3}),
    (OPEN, {**FACTORISATION, "columns": 5, "rows": 3}, {}),
]


@pytest.mark.parametrize(("widths", "task", "told"), CASES)
def test_one_section_tells_the_other(widths, task, told: dict[str, Any]) -> None:
    found, options = settled(widths, task)
    assert found == (5, 2, 3)
    assert {name: options[name] for name in told} == told
    data = build(resolve_path(table(widths, task))).task.data
    assert (data.inputs.shape[1], data.targets.shape[1]) == (5, 3)


@pytest.mark.parametrize(
    ("widths", "task", "told"),
    [
        ([6, 2, 6], SEPARATING | {"rank": 2}, {"rank": 2, "tail": 4}),
        (["inputs", 2, 6], SEPARATING | {"tail": 4}, {"rank": 2, "tail": 4}),
        (OPEN, SEPARATING | {"rank": 2, "tail": 4}, {}),
        ([6, 2, 6], NEAR, {"size": 6}),
        (["inputs", 2, 6], NEAR, {"size": 6}),
        (OPEN, NEAR | {"size": 6}, {}),
    ],
)
def test_square_tasks(widths, task, told) -> None:
    found, options = settled(widths, task)
    assert found == (6, 2, 6) and {name: options[name] for name in told} == told


def test_outputs_of_the_default() -> None:
    assert settled(OPEN, {**GAUSSIAN, "features": 5})[0] == (5, 2, 1)


def test_data_tell_what_the_config_does_not(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("mine.npz", X=rng.normal(size=(7, 5)), y=rng.normal(size=(7, 3)))
    assert settled(OPEN, {"kind": "arrays", "file": "mine.npz"})[0] == (5, 2, 3)
    assert settled(OPEN, {"kind": "digits", "samples": 20})[0] == (64, 2, 10)
    assert settled(OPEN, {"kind": "digits", "samples": 20, "classes": [3, 8]})[0] == (64, 2, 2)
    assert settled(OPEN, {"kind": "diabetes"})[0] == (10, 2, 1)
    assert settled(OPEN, {"kind": "mnist", "samples": 10})[0] == (784, 2, 10)
    # Constant pixels are dropped: those of the rows that this seed draws.
    drawn = {"kind": "digits", "samples": 20, "standardise": True}
    built = build(resolve_path(table(OPEN, drawn)))
    assert built.problem.weights.weights[0].shape[1] == built.task.data.inputs.shape[1] < 64


def test_a_task_of_the_users(tmp_path: Path, monkeypatch) -> None:
    """Options that have to be given are told; where the data have the last word, they are asked."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def plain(*, key, features, outputs):\n"
        "    return np.ones((4, features)), np.ones((4, outputs))\n"
        "def powers(*, key, degree: int):\n"
        "    x = np.linspace(-1, 1, 6)\n"
        "    return x[:, None] ** np.arange(degree + 1), x\n"
    )
    _, options = settled([5, 2, 3], {"kind": "mine.py:plain"})
    assert (options["features"], options["outputs"]) == (5, 3)
    assert settled(OPEN, {"kind": "mine.py:powers", "degree": 4})[0] == (5, 2, 1)


@pytest.mark.parametrize(
    ("widths", "task", "key", "names"),
    [
        ([5, 2, 1], {**GAUSSIAN, "features": 4}, "network.widths.0", "task.features says 4 inputs"),
        ([5, 2, 2], {**GAUSSIAN, "outputs": 3}, "network.widths.2", "task.outputs says 3 outputs"),
        ([5, 2, 1], {**TEACHER, "widths": [5, 7, 2]}, "network.widths.2", "task.widths.2 says 2"),
        ([5, 2, 1], {**FACTORISATION, "rows": 2}, "network.widths.2", "task.rows says 2"),
        ([5, 2, 6], NEAR, "network.widths.2", "task.size says 5"),
        ([5, 2, 5], SEPARATING | {"rank": 2, "tail": 4}, "network.widths.0",
         "task.rank + task.tail says 6"),
        (OPEN, GAUSSIAN, "network.widths.0", "task.features says no number"),
        (OPEN, TEACHER, "network.widths.0", "task.widths.0 says no number"),
        ([5, "inputs", 1], GAUSSIAN, "network.widths", "'inputs' first"),
        (["outputs", 2, 1], GAUSSIAN, "network.widths", "'outputs' last"),
        (["input", 2, 1], GAUSSIAN, "network.widths.0", "'inputs' may stand first"),
    ],
)  # fmt: skip
def test_contradictions_name_both_keys(widths, task, key: str, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_path(table(widths, task))
    assert caught.value.key == key and names in str(caught.value), str(caught.value)


def test_data_that_contradict(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match=r"widths\.0: is 5, but the task \(task.kind = 'dia.* 10"):
        build(resolve_path(table([5, 2, 1], {"kind": "diabetes"})))


def test_the_resolved_config_says_them(tmp_path: Path, capsys) -> None:
    (tmp_path / "c.toml").write_text(
        '[network]\nwidths = ["inputs", 2, "outputs"]\n[task]\nkind = "diabetes"\n'
        '[rule]\nkind = "gradient"\n[flow]\nt1 = 1.0\n'
    )
    assert main(["show", str(tmp_path / "c.toml")]) == 0
    text = capsys.readouterr().out
    assert "inputs" not in text and text == config_text(resolve_path(tmp_path / "c.toml"))
    plain = resolve_path(tmp_path / "c.toml", ["network.widths=[10, 2, 1]"])
    assert config_text(plain) == text  # the same result, however its sizes were said


def test_members_of_a_sweep_resolve_singly(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[network]\nwidths = [3, 4, 1]\n[task]\nkind = "gaussian"\nsamples = 2\n'
        '[rule]\nkind = "gradient"\n[flow]\nt1 = 1.0\n[sweep.product]\n'
        '"network.widths" = [[3, 2, 1], [5, 2, 2]]\n'
    )
    plan = plan_of(tmp_path / "s.toml")
    plan.check()
    assert [plan.resolve(i).task.options["features"] for i in (0, 1)] == [3, 5]
    assert [plan.resolve(i).task.options["outputs"] for i in (0, 1)] == [1, 2]
    text = (tmp_path / "s.toml").read_text().split("[sweep")[0].replace("[3, 4, 1]", str(OPEN))
    sweep = '[sweep.product]\n"task.features" = [3, 5]\n'
    (tmp_path / "t.toml").write_text(text.replace("'", '"') + sweep)
    plan = plan_of(tmp_path / "t.toml")
    assert [plan.resolve(i).widths for i in (0, 1)] == [(3, 2, 1), (5, 2, 1)]


def test_every_task_has_its_sizes_or_data() -> None:
    """A new task with options for its sizes has to be named in sizes.py."""
    from faflow.config.options import options_of
    from faflow.config.sizes import SIZES

    sized = {"features", "outputs", "widths", "rows", "columns", "rank", "tail", "size"}
    assert {kind for kind, entry in TASKS.items() if sized & set(options_of(entry))} == set(SIZES)
