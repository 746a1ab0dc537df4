"""Members of the shipped sweeps beside single runs of their own configs, to the bit.

`python scripts/checks/sweep_members.py [--members 16] [--folder DIR]`, some minutes.
Runs configs/sweep_exponents.toml and configs/sweep_theorem1.toml by the command line with two
worker processes (or finds them in DIR), draws members at random, finds them by their labels in the
data set, and runs each config by `faflow.run`, the values set as a user would with --set, on one
thread, which is what a worker has: more of them add up in another order. Every figure of the
summary but seconds, and every record, has to be the same number; exit code 1 if one is not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}

import numpy as np

import faflow
from faflow.setup.programs import in_precision
from faflow.sweeps.axes import labels
from faflow.sweeps.figures import flat_figures
from faflow.sweeps.plan import plan_of

ROOT = Path(__file__).resolve().parents[2]
SWEEPS = ("sweep_exponents", "sweep_theorem1")
TIMES = ("solver.seconds", "solver.compile_seconds")


def differences(name: str, folder: Path, count: int, rng) -> dict[str, int]:
    """How many members and numbers were compared, and how many numbers differ."""
    config = ROOT / "configs" / f"{name}.toml"
    plan, tree = plan_of(config), faflow.open(folder).records
    told = {
        key: dict(zip(map(json.dumps, values), labels(values), strict=True))
        for axis in plan.grid.axes
        for key, values in axis.columns.items()
    }
    single = folder.with_name(f"{name}.single.toml")
    single.write_text(config.read_text().split("[sweep.product]")[0])
    found = {"members": 0, "numbers": 0, "different": 0}
    for member in rng.choice(plan.grid.size, count, replace=False):
        values = plan.grid.values(int(member))
        place = np.ones(tree["figures"]["status"].shape, bool)
        for key, value in values.items():
            same = tree["figures"][key] == told[key][json.dumps(value)]
            same = same.broadcast_like(tree["figures"]["status"])
            place &= same.transpose(*tree["figures"]["status"].dims).values
        (at,) = map(tuple, np.argwhere(place))
        overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
        one = faflow.run(single, overrides=overrides, store_result=False)
        apart = list(_pairs(tree, at, one))
        found["members"] += 1
        found["numbers"] += sum(a.size for _, a, _ in apart)
        wrong = [n for n, a, b in apart if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")]
        found["different"] += len(wrong)
        print(name, values, one.summary["status"], f"differ: {wrong}" if wrong else "same")
    return found


def _pairs(tree, at: tuple[int, ...], one):
    """(name, the sweep's, the run's) for all figures and records."""
    for name, value in flat_figures(one.summary).items():
        if name in tree["figures"] and name not in TIMES:
            mine = tree["figures"][name].values[at]
            if isinstance(value, list):
                wanted = np.full(np.shape(mine), np.nan)
                wanted[: len(value)] = [np.nan if v is None else v for v in value]
                yield name, np.asarray(mine), wanted
            elif isinstance(mine, str):
                yield name, np.asarray(mine), np.asarray(value)
            else:
                yield name, np.asarray(mine, float), np.asarray(value, float)
    records, own = tree["records"].to_dataset(), one.records["records"].to_dataset()
    axes = tree["figures"]["status"].dims
    for name, variable in own.data_vars.items():
        if name not in records:
            continue  # per neuron
        mine = records[name].isel(dict(zip(axes, at, strict=True)))
        for dim in variable.dims:
            if dim == "time":
                mine = mine.isel(time=slice(variable.sizes["time"]))
            elif dim not in mine.dims:  # a law of some layers, among all
                mine = mine.sel({dim.split("_of_")[0]: variable[dim].values})
            elif dim in variable.coords:
                mine = mine.sel({dim: variable[dim].values})
        yield f"records {name}", mine.values, variable.values.astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, in_precision("float64"):
        folder = given.folder or Path(scratch)
        for name in SWEEPS:
            command = [sys.executable, "-m", "faflow.cli", "sweep", f"{ROOT}/configs/{name}.toml"]
            command += ["--out", str(folder / name), "--workers", "2", "--no-figures", "--json"]
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX starts its threads
        rng = np.random.default_rng(16)
        rows = [
            {"sweep": name} | differences(name, folder / name, given.members, rng)
            for name in SWEEPS
        ]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    sys.exit(any(row["different"] for row in rows))


if __name__ == "__main__":
    main()
