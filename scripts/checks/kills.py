"""SIGKILL at random moments of a sweep and of a long flow: what was finished survives.

`python scripts/checks/kills.py [--kills 30] [--only sweep|flow]` in the development environment. A
sweep of 128 small flows, and one flow of a minute with checkpoints, are each started, killed after
a random time, and started again, `kills` times; then they are let run to their end and compared, to
the last bit, with those that nobody disturbed. A chunk that was there before a kill has to be
there, unchanged, after it, and a checkpoint to be readable and no further back; or the result is
there. Prints what it did; exit code 1 if anything was lost.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

SEED = 6
SMALL = """
name = "killed"

[network]
widths = [6, 8, 1]
activation = "tanh"

[task]
kind = "gaussian"
samples = 20
features = 6

[rule]
kind = "feedback-alignment"

[observe]
names = ["loss", "residual", "laws", "alignment"]
controls = ["layer-balance"]

[flow]
solver = "tsit5"
"""
SWEEP = f"""{SMALL}
t1 = 20.0
saves = 21

[sweep.product]
"feedback.scale" = {{ from = 0.25, to = 2.0, count = 8, spacing = "log" }}
seed = {{ count = 16 }}
"""
FLOW = f"""{SMALL}
t1 = 2e5
saves = 401
max_steps = 100_000_000
"""


class Victim(NamedTuple):
    """What is killed: a config, the command's arguments, and what it has on disk so far (by name,
    something that must not change or, where it is a number, not fall)."""

    config: str
    arguments: tuple[str, ...]
    held: Callable[[Path], dict[str, str | int]]


def chunks(folder: Path) -> dict[str, str | int]:
    """The chunks of a sweep by the hash of their content."""
    paths = (folder / "chunks").glob("[0-9]*.npz")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def saves(folder: Path) -> dict[str, str | int]:
    """How many saves the checkpoints of a flow hold; an error if one can't be read."""
    found: dict[str, str | int] = {}
    for path in folder.with_name(f".{folder.name}.checkpoint").glob("leg*.npz"):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}  # all of it: there are checksums
        found[path.name] = json.loads(arrays["meta"].tobytes())["rows"]
    return found


VICTIMS = {
    "sweep": Victim(SWEEP, ("sweep", "--workers", "2"), chunks),
    "flow": Victim(FLOW, ("run", "--checkpoint", "0.5"), saves),
}


def command(victim: Victim, config: Path, folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "faflow.cli", victim.arguments[0], str(config), "--no-figures",
        "--out", str(folder), *victim.arguments[1:],
    ]  # fmt: skip


def kill_once(arguments: list[str], after: float) -> bool:
    """Start and kill it and its workers after so many seconds; False if it ended."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        if process.wait(after) > 1:
            raise RuntimeError(f"{' '.join(arguments)} failed: {process.returncode}")
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def gone(before: dict[str, str | int], now: dict[str, str | int]) -> list[str]:
    """What is missing or changed, or fewer than it was."""
    return [
        name for name, value in before.items()
        if (now.get(name, -1) < value if isinstance(value, int) else now.get(name) != value)
    ]  # fmt: skip


def same(one: Path, other: Path) -> bool:
    """Whether two data sets are equal to the last bit, but for seconds."""
    trees = []
    for folder in (one, other):
        with xr.open_datatree(folder / "result.nc", engine="h5netcdf") as tree:
            trees.append(tree.load())
    return all(
        trees[0][group].to_dataset().drop_vars("solver.seconds", errors="ignore").identical(
            trees[1][group].to_dataset().drop_vars("solver.seconds", errors="ignore")
        )
        for group in trees[0].children
    )  # fmt: skip


def torment(name: str, victim: Victim, kills: int, longest: float) -> bool:
    """Kill it so often; whether nothing was lost."""
    rng, lost, rounds = random.Random(SEED), 0, 0
    with tempfile.TemporaryDirectory() as place:
        config, whole, killed = (Path(place) / part for part in ("killed.toml", "whole", "killed"))
        config.write_text(victim.config)
        begun = time.perf_counter()
        subprocess.run(command(victim, config, whole), check=True, stdout=subprocess.DEVNULL)
        print(f"{name}, undisturbed: {time.perf_counter() - begun:.1f} s")
        count = 0
        while count < kills:
            before, after = victim.held(killed), rng.uniform(0.0, longest)
            if not kill_once(command(victim, config, killed), after):
                # It came to its end: the data are compared, and it begins anew.
                rounds += 1
                equal = same(whole, killed)
                lost += not equal
                print(f"came to its end after {count} kills: {'equal' if equal else 'DIFFERENT'}")
                shutil.rmtree(killed)
                continue
            count += 1
            now, done = victim.held(killed), (killed / "summary.json").exists()
            missing = [] if done else gone(before, now)
            lost += len(missing) + (done and not same(whole, killed))
            held = ", ".join(f"{value} saves" for value in now.values() if isinstance(value, int))
            print(f"kill {count} after {after:.1f} s: {held or f'{len(now)} chunks'}, "
                  f"{len(missing)} lost" + (", stored" if done else ""), flush=True)  # fmt: skip
        subprocess.run(command(victim, config, killed), check=True, stdout=subprocess.DEVNULL)
        equal = same(whole, killed)
    print(f"{name}: {count} kills, {rounds + 1} times to its end; lost: {lost}; "
          f"final data {'equal' if equal else 'DIFFERENT'}")  # fmt: skip
    return equal and not lost


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--longest", type=float, default=9.0, help="seconds before a kill")
    parser.add_argument("--only", choices=VICTIMS)
    options = parser.parse_args()
    names = [options.only] if options.only else list(VICTIMS)
    fine = [torment(name, VICTIMS[name], options.kills, options.longest) for name in names]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
