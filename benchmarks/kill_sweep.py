"""SIGKILL at random moments of a sweep: what was finished survives, and the end is the same.

`python benchmarks/kill_sweep.py [--kills 30]` in the development environment. A sweep of 128 small
flows is started, killed after a random time, and started again, `kills` times; then it is let run
to its end and compared, to the last bit, with one that nobody disturbed. A chunk that was there
before a kill has to be there, unchanged, after it, or in the data set. Prints what it did; exit
code 1 if anything was lost.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr

SEED = 6
CONFIG = """
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

[flow]
t1 = 20.0
saves = 21
solver = "tsit5"

[observe]
names = ["loss", "residual", "laws", "alignment"]
controls = ["layer-balance"]

[sweep.product]
"feedback.scale" = { from = 0.25, to = 2.0, count = 8, spacing = "log" }
seed = { count = 16 }
"""


def command(config: Path, folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "faflow.cli", "sweep", str(config), "--out", str(folder),
        "--workers", "2",
    ]  # fmt: skip


def held(folder: Path) -> dict[str, str]:
    """The chunks of a sweep by the hash of their content."""
    paths = (folder / "chunks").glob("[0-9]*.npz")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def kill_once(config: Path, folder: Path, after: float) -> bool:
    """Start the sweep and kill it and its workers after so many seconds; False if it ended."""
    process = subprocess.Popen(
        command(config, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds before a kill")
    options = parser.parse_args()
    rng, lost = random.Random(SEED), 0
    with tempfile.TemporaryDirectory() as place:
        config, whole, killed = (Path(place) / name for name in ("killed.toml", "whole", "killed"))
        config.write_text(CONFIG)
        started = time.perf_counter()
        subprocess.run(command(config, whole), check=True, stdout=subprocess.DEVNULL)
        print(f"undisturbed: {time.perf_counter() - started:.1f} s")
        kills, rounds = 0, 0
        while kills < options.kills:
            before = held(killed)
            after = rng.uniform(0.0, options.longest)
            if not kill_once(config, killed, after):
                # It came to its end: the data are compared, and it begins anew.
                rounds += 1
                equal = same(whole, killed)
                lost += not equal
                print(f"came to its end after {kills} kills: {'equal' if equal else 'DIFFERENT'}")
                subprocess.run(["rm", "-rf", str(killed)], check=True)
                continue
            kills += 1
            now = held(killed)
            done = (killed / "summary.json").exists()  # gathered: the chunks have done their work
            gone = [name for name, digest in before.items() if not done and now.get(name) != digest]
            lost += len(gone) + (done and not same(whole, killed))
            print(f"kill {kills} after {after:.1f} s: {len(now)} chunks, {len(gone)} lost"
                  + (", gathered" if done else ""), flush=True)  # fmt: skip
        subprocess.run(command(config, killed), check=True, stdout=subprocess.DEVNULL)
        equal = same(whole, killed)
    print(f"{kills} kills, {rounds + 1} sweeps to their end; chunks or members lost: {lost}; "
          f"final data {'equal' if equal else 'DIFFERENT'}")  # fmt: skip
    return 0 if equal and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
