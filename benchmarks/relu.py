"""Work against precision on a ReLU flow: the exact integrator beside everything else.

`python benchmarks/relu.py` (development environment; half an hour on two cores;
`--quick` takes a few minutes). `python benchmarks/relu.py --make-peers` builds build/peers for
torchdiffeq, once; without it that method is left out, and said so.

FA 10-32-32-32-1, 64 gaussian samples, teacher targets, from t = 0 to `--t`. The error is the
relative Frobenius distance of all weights to the exact flow at tolerance 1e-12, which the same run
checks against the exact flow at 1e-11, against the Python event loop (numpy, its own derivation of
the equations) and against the discrete rule: ||Euler(eta) - exact|| / eta has to level off.
Writes results/relu.csv, relu_derived.csv, relu.md and relu.png.
"""

import argparse
import csv
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402
from machine import PEERS, machine_line, make_peers  # noqa: E402
from problems import relative_error, relu_problem  # noqa: E402
from relu_methods import (  # noqa: E402
    Budget,
    Run,
    diffrax_plain,
    exact,
    fixed,
    numpy_events,
    scipy_plain,
    torchdiffeq_plain,
)

ROOT = Path(__file__).resolve().parent.parent
GOAL = 1e-6  # the error at which methods are compared
COLUMNS = ("method", "solver", "setting", "evaluations", "seconds", "compile_seconds", "error",
           "reached", "outcome", "events")  # fmt: skip


class Race:
    """Runs methods, prints each row as it comes, and keeps the rows."""

    def __init__(self, problem, t1: float, reference: np.ndarray):
        self.problem, self.t1, self.reference = problem, t1, reference
        self.rows, self.runs = [], {}
        print(
            f"{'method':22}{'setting':>10}{'evaluations':>13}{'seconds':>10}{'error':>10}"
            f"{'reached t':>11}  outcome"
        )

    def add(self, method: str, solver: str, setting: float, run: Run) -> Run:
        done = run.outcome == "completed"
        row = {
            "method": method,
            "solver": solver,
            "setting": setting,
            "evaluations": run.evaluations,
            "seconds": run.seconds,
            "compile_seconds": run.compile_seconds,
            "error": relative_error(run.flat, self.reference) if done else "",
            "reached": run.reached,
            "outcome": run.outcome,
            "events": "" if run.events is None else run.events,
        }
        self.rows.append(row)
        self.runs[method, solver, setting] = run
        error = f"{row['error']:.2e}" if done else "-"
        print(
            f"{method + ' ' + solver:22}{setting:>10.0e}{run.evaluations:>13,}{run.seconds:>10.3f}"
            f"{error:>10}{run.reached:>11.4g}  {run.outcome}",
            flush=True,
        )
        return run

    def finished(self, method: str, solver: str | None = None) -> list[dict]:
        return [
            row
            for row in self.rows
            if row["method"] == method
            and solver in (None, row["solver"])
            and row["outcome"] == "completed"
        ]

    def best(self, method: str, cost: str) -> dict | None:
        """The row that costs least among those within the goal."""
        within = [row for row in self.finished(method) if row["error"] <= GOAL]
        return min(within, key=lambda row: row[cost], default=None)


def decades(first: int, last: int) -> list[float]:
    return [float(f"1e-{power}") for power in range(first, last + 1)]


def run_race(options) -> tuple[Race, list[dict]]:
    problem, t1 = relu_problem(), options.t
    reference = exact(problem, t1, "tsit5", 1e-12)
    print(f"reference: exact tsit5 1e-12, {reference.outcome}, {reference.events} events")
    race = Race(problem, t1, reference.flat)
    race.add("exact", "tsit5", 1e-12, reference)
    for solver in ("tsit5", "bosh3"):
        for tol in decades(4, 11):
            race.add("exact", solver, tol, exact(problem, t1, solver, tol))
    for solver, tol in (("bosh3", 1e-6), ("dopri5", 1e-6), ("dopri5", 1e-9), ("dopri5", 1e-11)):
        race.add("python-events", solver, tol, numpy_events(problem, t1, solver, tol))
    run_fixed_steps(race, options.fixed_seconds)
    run_peers(race, options)
    return race, [*checks(race), *derived(race)]


def run_fixed_steps(race: Race, most_seconds: float) -> None:
    """Heun and Euler over eta, as far down as a run is expected to take `most_seconds`."""
    for solver in ("euler", "heun"):
        for eta in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6):
            done = race.finished("fixed-step", solver)
            if done and done[-1]["seconds"] * done[-1]["setting"] / eta > most_seconds:
                break
            race.add("fixed-step", solver, eta, fixed(race.problem, race.t1, solver, eta))


def run_peers(race: Race, options) -> None:
    budget = Budget(options.peer_evaluations, options.peer_seconds)
    problem, t1 = race.problem, race.t1
    for solver in ("tsit5", "dopri8"):
        for tol in decades(3, 8):
            run = race.add("diffrax", solver, tol, diffrax_plain(problem, t1, solver, tol, budget))
            if run.outcome != "completed":
                break  # a tighter tolerance gets less far still
    # Does a thousand times the work of the exact flow take Tsit5 there?
    cheapest = race.best("exact", "evaluations")
    if cheapest:
        most = Budget(1100 * cheapest["evaluations"], options.bound_seconds)
        race.add("diffrax", "tsit5", 1e-9, diffrax_plain(problem, t1, "tsit5", 1e-9, most))
    for solver in ("DOP853", "LSODA"):
        for tol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-8):
            run = race.add("scipy", solver, tol, scipy_plain(problem, t1, solver, tol, budget))
            if run.outcome != "completed":
                break
    python = PEERS / "bin" / "python"
    if not options.peers or not python.exists():
        print("torchdiffeq: left out" + ("" if python.exists() else "; build it by --make-peers"))
        return
    tolerances = (1e-3, 1e-4, 1e-6, 1e-8)
    options.torch, runs = torchdiffeq_plain(problem, t1, tolerances, budget, python)
    for tol, run in runs.items():
        race.add("torchdiffeq", "dopri5", tol, run)


def fact(name: str, value: float | str, how: str) -> dict:
    shown = f"{value:.3g}" if isinstance(value, float) else value
    print(f"{name:58}{shown:>10}  {how}")
    return {"name": name, "value": value, "how": how}


def checks(race: Race) -> list[dict]:
    """What makes the reference believable."""
    print("\nchecks of the reference")
    facts = []
    for method, solver, tol in (
        ("exact", "tsit5", 1e-11),
        ("exact", "bosh3", 1e-9),
        ("python-events", "dopri5", 1e-11),
    ):
        run = race.runs[method, solver, tol]
        if run.outcome != "completed":
            facts.append(fact(f"distance to {method} {solver} {tol:.0e}", "-", run.outcome))
            continue
        facts.append(
            fact(
                f"distance to {method} {solver} {tol:.0e}",
                relative_error(run.flat, race.reference),
                f"{run.events} events, reference {race.rows[0]['events']}",
            )
        )
    quotients = euler_quotients(race)
    listed = ", ".join(f"{eta:.0e}: {quotient:.3g}" for eta, quotient in quotients.items())
    spread = max(quotients.values()) / min(quotients.values())
    facts.append(fact("error(Euler) / eta, largest over smallest (want <= 2)", spread, listed))
    return facts


def euler_quotients(race: Race) -> dict[float, float]:
    return {row["setting"]: row["error"] / row["setting"]
            for row in race.finished("fixed-step", "euler")}  # fmt: skip


def derived(race: Race) -> list[dict]:
    """The comparisons at error GOAL."""
    print(f"\nat error {GOAL:.0e}")
    few, fast = race.best("exact", "evaluations"), race.best("exact", "seconds")
    if few is None or fast is None:
        return [fact("exact within the goal", "no", "no comparison possible")]
    facts = [
        fact("evaluations of exact", float(few["evaluations"]), _name(few)),
        fact("seconds of exact", float(fast["seconds"]), _name(fast)),
        *tsit5_ratio(race, few["evaluations"]),
        euler_ratio(race, fast["seconds"]),
    ]
    for ours, theirs, tol in (
        ("bosh3", "bosh3", 1e-6), ("tsit5", "dopri5", 1e-6), ("tsit5", "dopri5", 1e-9),
    ):  # fmt: skip
        mine, other = race.runs["exact", ours, tol], race.runs["python-events", theirs, tol]
        done = mine.outcome == other.outcome == "completed"
        facts.append(
            fact(
                f"time(python-events {theirs}) / time(exact {ours}), tol {tol:.0e}",
                other.seconds / mine.seconds if done else "-",
                f"measured: {other.seconds:.3g} s / {mine.seconds:.3g} s",
            )
        )
    return facts


def tsit5_ratio(race: Race, evaluations: int) -> list[dict]:
    name = "evaluations(diffrax Tsit5) / evaluations(exact)"
    rows = race.finished("diffrax", "tsit5")
    within = [row for row in rows if row["error"] <= GOAL]
    if within:
        least = min(within, key=lambda row: row["evaluations"])
        return [fact(name, least["evaluations"] / evaluations, f"measured: {_name(least)}")]
    spent = [row for row in race.rows if (row["method"], row["solver"]) == ("diffrax", "tsit5")]
    most = max(spent, key=lambda row: row["evaluations"])
    facts = [
        fact(
            f"{name}, at least",
            most["evaluations"] / evaluations,
            f"bound: its longest run, {most['evaluations']:,} evaluations at tol "
            f"{most['setting']:.0e}, reached t = {most['reached']:.4g} of {race.t1:g}"
            + (f" with error {most['error']:.1e}" if most["error"] else ""),
        )
    ]
    if len(rows) >= 3:
        tight = sorted(rows, key=lambda row: row["setting"])[:3]
        work = np.log([row["evaluations"] for row in tight])
        slope, offset = np.polyfit(np.log([row["error"] for row in tight]), work, 1)
        needed = np.exp(offset + slope * np.log(GOAL))
        facts.append(
            fact(
                f"{name}, estimate",
                float(needed / evaluations),
                f"extrapolated: evaluations ~ error^{slope:.2f} through its three tightest runs",
            )
        )
    return facts


def euler_ratio(race: Race, seconds: float) -> dict:
    name = "time(fixed-step Euler) / time(exact)"
    rows = race.finished("fixed-step", "euler")
    within = [row for row in rows if row["error"] <= GOAL]
    if within:
        least = min(within, key=lambda row: row["seconds"])
        return fact(name, least["seconds"] / seconds, f"measured: {_name(least)}")
    finest = min(rows, key=lambda row: row["setting"])
    eta = GOAL / (finest["error"] / finest["setting"])
    needed = finest["seconds"] * finest["setting"] / eta
    return fact(
        name,
        needed / seconds,
        f"extrapolated at first order from {_name(finest)}: eta = {eta:.2g}, {needed:.3g} s",
    )


def _name(row: dict) -> str:
    return f"{row['method']} {row['solver']} {row['setting']:.0e}"


def write(out: Path, race: Race, facts: list[dict], options) -> None:
    out.mkdir(parents=True, exist_ok=True)
    name = "relu-quick" if options.quick else "relu"
    for stem, columns, rows in (
        (name, COLUMNS, race.rows),
        (f"{name}_derived", ("name", "value", "how"), facts),
    ):
        with open(out / f"{stem}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    (out / f"{name}.md").write_text(markdown(race, facts, options))
    draw(out / f"{name}.png", race)


def markdown(race: Race, facts: list[dict], options) -> str:
    lines = [
        f"# FA 10-32-32-32-1, 64 samples, to t = {race.t1:g}",
        "",
        f"{machine_line(options.torch)}. One process; seconds: median of three runs where one "
        "takes less than 2 s, else one run; compilation apart. Error: all weights, relative "
        "Frobenius. "
        f"`budget`: ended after {options.peer_evaluations:,} evaluations or "
        f"{options.peer_seconds:g} s (the last diffrax Tsit5 run: after 1100 times the "
        f"evaluations of exact, or {options.bound_seconds:g} s).",
        "",
        "| method | solver | setting | evaluations | seconds | compile s | error | t | outcome |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in race.rows:
        error = f"{row['error']:.2e}" if row["error"] != "" else "-"
        lines.append(
            f"| {row['method']} | {row['solver']} | {row['setting']:.0e} | "
            f"{row['evaluations']:,} | {row['seconds']:.3g} | {row['compile_seconds']:.2g} | "
            f"{error} | {row['reached']:.4g} | {row['outcome']} |"
        )
    lines += ["", f"Checks of the reference, and comparisons at error {GOAL:.0e}:", ""]
    lines += ["| | | |", "|---|--:|---|"]
    for entry in facts:
        value = entry["value"]
        shown = f"{value:.3g}" if isinstance(value, float) else value
        lines.append(f"| {entry['name']} | {shown} | {entry['how']} |")
    return "\n".join(lines) + "\n"


def draw(path: Path, race: Race) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
    groups = dict.fromkeys((row["method"], row["solver"]) for row in race.rows)
    markers = "osD^v<>ph*XP"
    for number, (method, solver) in enumerate(groups):
        done = race.finished(method, solver)
        tried = [row for row in race.rows if (row["method"], row["solver"]) == (method, solver)]
        part = "" if len(done) == len(tried) else f" ({len(done)} of {len(tried)} finish)"
        # The reference has no error of its own.
        rows = sorted((row for row in done if row["error"]), key=lambda row: row["setting"])
        for axis, cost in zip(axes, ("evaluations", "seconds"), strict=True):
            axis.loglog(
                [row[cost] for row in rows],
                [row["error"] for row in rows],
                marker=markers[number % len(markers)],
                color=f"C{number % 10}",
                linewidth=2 if method == "exact" else 1,
                label=f"{method} {solver}{part}",
            )
    for axis, label in zip(axes, ("field evaluations", "seconds"), strict=True):
        axis.set_xlabel(label)
        axis.axhline(GOAL, color="0.7", linewidth=0.8, zorder=0)
    axes[0].set_ylabel(f"relative error of the weights at t = {race.t1:g}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--t", type=float, help="end time (100; 5 with --quick)")
    add("--quick", action="store_true", help="short and with small budgets; relu-quick.*")
    add("--peers", action=argparse.BooleanOptionalAction, default=True, help="race torchdiffeq")
    add("--make-peers", action="store_true", help="build build/peers for it, and stop")
    add("--peer-evaluations", type=int, default=700_000, help="budget of a run of a peer")
    add("--peer-seconds", type=float, help="the same in seconds (20; 5 with --quick)")
    add("--bound-seconds", type=float, help="for the long run of Tsit5 (1200; 10 with --quick)")
    add("--fixed-seconds", type=float, help="longest fixed-step run (270; 10 with --quick)")
    add("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    options.torch = ""  # versions, once it has run
    for name, full, short in (
        ("t", 100.0, 5.0), ("peer_seconds", 20.0, 5.0), ("bound_seconds", 1200.0, 10.0),
        ("fixed_seconds", 270.0, 10.0),
    ):  # fmt: skip
        if getattr(options, name) is None:
            setattr(options, name, short if options.quick else full)
    return options


def main() -> int:
    options = parse()
    if options.make_peers:
        return make_peers()
    race, facts = run_race(options)
    print("\n" + machine_line(options.torch))
    write(options.out, race, facts, options)
    return 0 if race.rows[0]["outcome"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
