"""What the benchmarks share: one core, float64, the clock, cost at equal error, tables.

To be imported before anything is computed: that is when JAX reads these settings. Calls of jitted
functions are synchronous, as a solver that calls the field from Python wants it: to hand a small
field over to a thread costs four times as much as to compute it.
"""

import csv
import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

# One core, before JAX counts them: its flag for one thread leaves loops over large arrays on all,
# whose CPU seconds add up and whose hand-over can take longer than the work.
if hasattr(os, "sched_setaffinity"):  # Linux
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"  # of the peers' process
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402, F401 (its BLAS is limited below)
import threadpoolctl  # noqa: E402
from problems import relative_error  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)
threadpoolctl.threadpool_limits(1)

RESULTS = Path(__file__).resolve().parent / "results"
TEXT = ("flow", "method", "solver", "why", "status", "outcome", "legs")  # columns of a table
REPEATED = 0.3  # seconds of runs after which none is repeated

Run = Callable[..., tuple[np.ndarray | None, dict[str, Any]]]  # rung -> final weights, counts
Judge = Callable[[np.ndarray], dict[str, Any]]  # the error of final weights


def against(reference: np.ndarray) -> Judge:
    return lambda state: {"error": relative_error(state, reference)}


def measure(run: Run, rung: float, judge: Judge, repeats: int = 3) -> dict[str, Any]:
    """One row: `run` at a rung of its ladder, compiled before; CPU seconds, the least of `repeats`
    or of as many as fit into `REPEATED` seconds."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < repeats and sum(seconds) < REPEATED):
        start = time.process_time()
        state, counts = run(rung)
        seconds.append(time.process_time() - start)
    return row_of(rung, state, min(seconds), counts, judge)


def row_of(rung: float, state, seconds: float, counts: dict, judge: Judge) -> dict[str, Any]:
    """`error`: relative, of all weights; None if the run failed (`why`)."""
    judged = {"error": None} if state is None else judge(state)
    if judged["error"] is not None and not judged["error"] < 1:
        judged, counts = {"error": None}, counts | {"why": counts.get("why", "it ends elsewhere")}
    return {"rtol": rung, **judged, "seconds": seconds, **counts}


def cost_at(
    rows: list[dict], error: float, key: str = "seconds", of: str = "error"
) -> float | None:
    """What one method needs for this error (`of`: another column): log `key` interpolated in
    log error, or that of its cheapest run if all are more exact; None if none is exact enough."""
    points = sorted((r[of], r[key]) for r in rows if r.get(of) is not None and r.get(key))
    below = [cost for found, cost in points if found <= error]
    if not below:
        return None
    for (low, cost), (high, cheap) in itertools.pairwise(points):
        if 0 < low <= error < high:
            share = np.log(error / low) / np.log(high / low)
            between = float(np.exp((1 - share) * np.log(cost) + share * np.log(cheap)))
            return min(*below, between)
    return min(below)


def shown(row: dict) -> None:
    """A row on the screen, as soon as it is there."""
    cells = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items() if v is not None}
    print("  ".join(f"{k}={v}" for k, v in cells.items() if k != "flow"), flush=True)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(cells)} |" for cells in rows]


def write_table(path: Path, rows: list[dict], columns: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, tuple(columns))
        table.writeheader()
        table.writerows(rows)


def write_report(path: Path, lines: Iterable[str]) -> None:
    """The lines, in a file and printed."""
    text = "\n".join(lines) + "\n"
    path.write_text(text)
    print(text)


def read_table(path: Path) -> list[dict]:
    """The rows that `write_table` wrote; none without the file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows: list[dict] = list(csv.DictReader(file))
    for row in rows:
        for key, value in row.items():
            row[key] = value if key in TEXT else float(value) if value else None
    return rows
