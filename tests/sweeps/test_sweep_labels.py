"""No member of a sweep bears another's name: grids drawn at random, written in any way TOML has,
and every member is, to the bit, what `faflow run` makes of its own config."""

import importlib
import itertools
import json
import random
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import faflow
from faflow.config import dump
from faflow.store.result import Result
from faflow.sweeps import member
from faflow.sweeps.plan import SweepPlan, plan_of
from faflow.sweeps.sweep import run_sweep
from faflow.sweeps.workers import work

GRIDS = 200
BASE = """
name = "drawn"
seed = 0
network = {widths = [2, 2, 1]}
task = {kind = "gaussian", samples = 3, features = 2}
rule = {kind = "feedback-alignment"}
init = {kind = "gaussian", scale = 0.5}
feedback = {kind = "gaussian", scale = 0.5}
flow = {t1 = 0.5, saves = 2, solver = "tsit5", rtol = 1e-6}
observe = {names = ["loss"]}
"""
# Every key with values of which the first is that of BASE: few configs, however many grids.
POOL: dict[str, list[Any]] = {
    "seed": [0, 1, 2],
    "feedback.scale": [0.5, 1.0, 2.0],
    "init.scale": [0.5, 1.0],
    "flow.t1": [0.5, 1.0],
    "rule.kind": ["feedback-alignment", "gradient"],
    "network.widths": [[2, 2, 1], [2, 3, 1]],
}
RANGES = {
    "seed": "{count = 3}",
    "feedback.scale": '{from = 0.5, to = 2.0, count = 3, spacing = "log"}',
    "init.scale": "{from = 0.5, to = 1.0, count = 2}",
    "flow.t1": '{from = 0.5, to = 1.0, count = 2, spacing = "linear"}',
}


FIGURES = ("loss.initial", "loss.final", "t_final", "solver.steps")


class Drawn(NamedTuple):
    """A [sweep] as TOML, and what is meant: for every axis the values of its keys, by place."""

    text: str
    axes: list[list[dict[str, Any]]]


def drawn(rng: random.Random) -> Drawn:
    keys = rng.sample(list(POOL), rng.randint(1, 4))
    zipped = keys[:2] if len(keys) > 1 and rng.random() < 0.35 else []
    product = [key for key in keys if key not in zipped]
    axes, text = [], ""
    if zipped:
        length = rng.randint(2, 3)
        columns = {key: rng.choices(POOL[key], k=length) for key in zipped}
        columns[zipped[0]] = rng.sample(POOL[zipped[0]], k=min(length, len(POOL[zipped[0]])))
        columns[zipped[1]] = columns[zipped[1]][: len(columns[zipped[0]])]
        axes.append(
            [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        )
        text += written(
            "sweep.zip", {key: json.dumps(column) for key, column in columns.items()}, rng
        )
    values, told = {}, {}
    for key in product:
        values[key], told[key] = list(POOL[key]), json.dumps(POOL[key])
        if key in RANGES and rng.random() < 0.5:
            told[key] = RANGES[key]
        else:
            rng.shuffle(values[key])
            told[key] = json.dumps(values[key])
    axes += [[{key: value} for value in values[key]] for key in product]
    return Drawn(text + written("sweep.product", told, rng), axes)


def written(table: str, told: dict[str, str], rng: random.Random) -> str:
    """Keys quoted or not, as inline tables, or under headers of their own (which come last)."""
    if not told:
        return ""
    lines, headed, used = [], [], set()
    for key, text in told.items():
        head, _, rest = key.partition(".")
        how = rng.choice(["quoted", "bare", "inline", "header"]) if rest else "bare"
        if how in ("inline", "header") and head in used:
            how = "quoted"
        used.add(head)
        lines += {"quoted": [f'"{key}" = {text}'], "bare": [f"{key} = {text}"],
                  "inline": [f"{head} = {{{rest} = {text}}}"], "header": []}[how]  # fmt: skip
        headed += [f"[{table}.{head}]\n{rest} = {text}"] if how == "header" else []
    return "\n".join([f"[{table}]", *lines, *headed]) + "\n"


def members(grid: Drawn) -> list[dict[str, Any]]:
    return [
        {key: value for place in places for key, value in place.items()}
        for places in itertools.product(*grid.axes)
    ]


def told(key: str, value: Any) -> Any:
    return "-".join(map(str, value)) if key == "network.widths" else value


class Found:
    """A sweep's data sets as arrays: xarray's own selection would be most of the test."""

    def __init__(self, sweep: Result):
        figures, records = (sweep.records[name].to_dataset() for name in ("figures", "records"))
        self.figures = {name: figures[name].values for name in FIGURES}
        self.loss = records["loss"].values
        self._dims = figures["status"].dims
        labels = {key: figures[key] for key in POOL if key in figures.coords}
        self._labels = {key: (found.dims, found.values) for key, found in labels.items()}

    def place(self, values: dict[str, Any]) -> tuple[int, ...]:
        """Where the labels say that a member is."""
        here = dict.fromkeys(self._dims, True)
        for key, value in values.items():
            (dim,), labels = self._labels[key]
            here[dim] &= labels == told(key, value)
        return tuple(int(np.flatnonzero(here[dim]).item()) for dim in self._dims)


@pytest.fixture
def single(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`faflow.run` of the base with some values, each once. Programs of one shape are compiled once
    (by the function that workers use); a sweep's own members are computed once per config, too."""
    monkeypatch.chdir(tmp_path)
    Path("base.toml").write_text(BASE)
    running = importlib.import_module("faflow.runs.run")

    def integrated(experiment, note, meter, **_):
        return member.integrate_again(experiment, note, meter)

    monkeypatch.setattr(running, "integrate_timed", integrated)

    @cache
    def run(overrides: tuple[str, ...]):
        found = faflow.run("base.toml", overrides=overrides, store_result=False)
        return found.summary, found.records["records"]["loss"].values

    def of(values: dict[str, Any]):
        return run(tuple(sorted(f"{key}={json.dumps(value)}" for key, value in values.items()
                                if value != POOL[key][0])))  # fmt: skip

    computed: dict[str, member.Member] = {}

    def once(resolved, *options):
        text = dump.config_text(resolved)
        if text not in computed:
            computed[text] = member.compute_member(resolved, *options)
        return computed[text]

    monkeypatch.setattr(work, "compute_member", once)
    # The data set is looked at before it is on the disk, whose writing would be half of the test.
    monkeypatch.setattr("faflow.sweeps.sweep.write_records", lambda *_: None)
    return of


def agree(found: Found, one: Any, values: dict[str, Any]) -> None:
    summary, losses = one
    at = found.place(values)
    wanted = {
        "loss.initial": summary["loss"]["initial"],
        "loss.final": summary["loss"]["final"],
        "t_final": summary["t_final"],
        "solver.steps": summary["solver"]["steps"],
    }
    assert {name: float(found.figures[name][at]) for name in wanted} == wanted, values
    np.testing.assert_array_equal(found.loss[at], losses)


def test_every_member_is_the_run_of_its_own_config(single, tmp_path: Path) -> None:
    rng, seen, reordered = random.Random(16), 0, 0
    for i in range(GRIDS):
        grid = drawn(rng)
        Path("drawn.toml").write_text(BASE + grid.text)
        plan = plan_of("drawn.toml")
        sweep = run_sweep(plan, on="here", out=tmp_path / f"out{i}")
        wanted, found = members(grid), Found(sweep)
        assert sweep.summary["members"] == len(wanted)
        for values in wanted:
            agree(found, single(values), values)
        seen += len(wanted)
        again = plan_of(tmp_path / f"out{i}" / "config.toml")
        assert [axis.columns for axis in again.grid.axes] == [a.columns for a in plan.grid.axes]
        del again.table["sweep"]["order"]  # as TOML alone has it
        moved = SweepPlan(again.table, tmp_path, "").grid
        reordered += [axis.name for axis in moved.axes] != [axis.name for axis in plan.grid.axes]
    assert seen > 5 * GRIDS and reordered > GRIDS / 10
