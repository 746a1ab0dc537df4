"""What races.py measured, at equal error: tables, and goals with their verdicts."""

import csv
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from flows import FLOWS

TEXT = ("flow", "method", "why")


class Goal(NamedTuple):
    """`peer` is to take at least `least` times (aim: `aim`) as long as the best of faflow's `ours`
    at this error of the weights."""

    flow: str
    peer: str
    error: float
    least: float
    aim: float
    ours: tuple[str, ...] = ("faflow",)


def goals() -> list[Goal]:
    teacher = "teacher tanh 5-10-1, T = 1e"
    found = [
        Goal(teacher + "4", "diffrax Tsit5", 1e-6, 10, 10),
        Goal(teacher + "4", "SciPy LSODA", 1e-6, 4, 4),
        Goal(teacher + "5", "diffrax Tsit5", 1e-6, 50, 50),
    ]
    for name in ("R6 softplus 2-8-1", "R7 softplus 4-100-1", "R10 tanh 30-10-1"):
        for error in (1e-6, 1e-9):
            sure = 3 if error == 1e-6 else 1
            found.append(Goal(name, "CVODE BDF-GMRES", error, 1, sure))
            found.append(Goal(name, "LSODA + J", error, 1, 2 if error == 1e-6 else 1))
    for name in (name for name in FLOWS if name.startswith(("R3", "R4"))):
        found.append(Goal(name, "CVODE BDF-GMRES", 1e-6, 5, 5))
    found += [Goal(name, "torchdiffeq dopri5", 1e-6, 3, 3) for name in FLOWS]
    return found


def read(table: Path) -> list[dict]:
    """The rows of a stored races.csv."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for key, value in row.items():
            row[key] = value if key in TEXT else float(value) if value else None
    return rows


def at_error(rows: list[dict], error: float, key: str = "seconds") -> float | None:
    """What one method needs for this error: log `key` interpolated in log error, or of its cheapest
    run if all are more exact; None if none is exact enough."""
    points = sorted((r["error"], r[key]) for r in rows if r.get("error") and r.get(key))
    points = [point for point in points if point[0] > 0]
    if not points or points[0][0] > error:
        return None
    below = [point for point in points if point[0] <= error]
    least = min(cost for _, cost in below)
    for (low, cost), (high, cheap) in itertools.pairwise(points):
        if low <= error < high:
            share = np.log(error / low) / np.log(high / low)
            return min(least, float(np.exp((1 - share) * np.log(cost) + share * np.log(cheap))))
    return least


def best(rows: list[dict], error: float, prefixes: tuple[str, ...]) -> tuple[float, str] | None:
    """The least seconds at this error, and whose."""
    names = {r["method"] for r in rows if r["method"].startswith(prefixes)}
    costs = {name: at_error([r for r in rows if r["method"] == name], error) for name in names}
    found = [(cost, name) for name, cost in costs.items() if cost is not None]
    return min(found, default=None)


def report(rows: list[dict], about: list[str]) -> str:
    lines = ["# Races: work and precision", "", *about, ""]
    lines += ["## Goals", "", *verdicts(rows), "", *overheads(rows), ""]
    lines += [
        "## Tables", "",
        "CPU seconds at equal relative error of all weights (field evaluations / products with "
        "the Jacobian / Jacobians), and seconds over those of faflow's best solver. A method that "
        "was always more exact counts by its cheapest run.", "",
    ]  # fmt: skip
    for name in dict.fromkeys(row["flow"] for row in rows):
        lines += table(name, [row for row in rows if row["flow"] == name])
    return "\n".join(lines) + "\n"


def verdicts(rows: list[dict]) -> list[str]:
    lines = ["| flow | peer | error | peer / faflow | goal | aim | verdict |", "|---" * 7 + "|"]
    for goal in goals():
        mine = [row for row in rows if row["flow"] == goal.flow]
        if not mine:
            continue
        ours = best(mine, goal.error, goal.ours)
        peer = [row for row in mine if row["method"] == goal.peer]
        theirs = at_error(peer, goal.error)
        if ours is None or not peer:
            text, verdict = "-", "not measured" + ("" if peer else f" ({_absent(goal)})")
        elif theirs is None:
            reached = max((row["seconds"] for row in peer), default=0)
            text = f"> {reached / ours[0]:.3g} ({ours[1]})"
            verdict = f"met: {_why(peer)}" if reached / ours[0] >= goal.least else _why(peer)
        else:
            ratio = theirs / ours[0]
            text = f"{ratio:.3g} ({ours[1]})"
            verdict = "aim met" if ratio >= goal.aim else "met" if ratio >= goal.least else "MISSED"
        cells = (goal.flow, goal.peer, f"{goal.error:g}", text, f"{goal.least:g}", f"{goal.aim:g}")
        lines.append(f"| {' | '.join(cells)} | {verdict} |")
    return lines


def _absent(goal: Goal) -> str:
    slow = goal.flow in FLOWS and goal.peer in FLOWS[goal.flow].slow
    return "too slow for this race" if slow else "not run"


def _why(rows: list[dict]) -> str:
    """Why a ladder ended without that error."""
    why = [row["why"] for row in rows if row.get("why")]
    return f"the peer stopped: {why[-1]}" if why else "the peer does not get so exact"


def overheads(rows: list[dict]) -> list[str]:
    """Non-stiff flows: tsit5 in faflow's step loop over plain diffrax, turn by turn."""
    lines = ["Never slower than plain diffrax by more than 5 % (tsit5, rtol 1e-8, turn by turn):"]
    lines += ["", "| flow | seconds, faflow / diffrax | evaluations | verdict |", "|---" * 4 + "|"]
    pairs: dict[str, dict[str, dict]] = {}
    for row in rows:
        if row["method"].startswith("paired"):
            pairs.setdefault(row["flow"], {})[row["method"].split()[1]] = row
    for name, pair in pairs.items():
        ratio = pair["faflow"]["seconds"] / pair["diffrax"]["seconds"]
        work = f"{pair['faflow']['evaluations']:.0f} / {pair['diffrax']['evaluations']:.0f}"
        lines.append(f"| {name} | {ratio:.2f} | {work} | {'met' if ratio <= 1.05 else 'MISSED'} |")
    return lines if pairs else []


def table(name: str, rows: list[dict]) -> list[str]:
    goals = FLOWS[name].errors if name in FLOWS else (1e-6,)
    lines = [f"### {name}", "", "| method |" + "".join(f" {g:g} | ratio |" for g in goals),
             "|---" * (1 + 2 * len(goals)) + "|"]  # fmt: skip
    ours = {goal: best(rows, goal, ("faflow",)) for goal in goals}
    for method in dict.fromkeys(row["method"] for row in rows):
        if method.startswith("paired"):
            continue
        mine, cells = [row for row in rows if row["method"] == method], ""
        for goal in goals:
            seconds = at_error(mine, goal)
            if seconds is None:
                cells += f" {_why(mine)} | |"
                continue
            counts = " / ".join(
                "-" if (count := at_error(mine, goal, key)) is None else f"{count:.0f}"
                for key in ("evaluations", "products", "jacobians")
            )
            cells += f" {seconds:.3g} ({counts}) | {seconds / ours[goal][0]:.2f} |"
        lines.append(f"| {method} |{cells}")
    slow = FLOWS[name].slow if name in FLOWS else ()
    lines += ["", f"Too slow for this race: {', '.join(slow)}."] if slow else []
    return [*lines, "", f"![{name}]({figure(name)})", ""]


def figure(name: str) -> str:
    """The file of a flow's figure."""
    kept = "".join(c if c.isalnum() else "-" for c in name.split(",")[0].lower())
    tail = name.split("=")[-1].strip().replace("+", "") if "=" in name else ""
    return f"race-{kept}{'-' + tail if tail else ''}.png".replace("--", "-").replace(" ", "-")
