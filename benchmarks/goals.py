"""The goals and what was measured: `python benchmarks/goals.py` judges the stored tables.

Reads results/{races,standing,law_keeping,stabilised,automatic}.csv, writes results/goals.md.
"""

import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flows import FLOWS
from measuring import RESULTS, cost_at, markdown, read_table

# Solvers that do not choose.
FIXED = ("faflow tsit5", "faflow dopri8", "faflow adams", "faflow bdf")
GAUSS = ("gauss4", "gauss6", "gauss8")
ERRORS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)  # of law_keeping.py
TARGETS = (1e-4, 1e-5, 1e-6)  # of stabilised.py
LOOSE = (1e-4, 1e-6)  # errors at which what Gauss costs is judged
SLACK = 1.3  # how much slower than the best fixed choice auto may be,
QUICK = 0.005  # where it takes more seconds than these
FLOOR = 0.02  # seconds that are not worth a second program to auto: FLOOR of flow/automatic.py
LARGE = 10_000  # weights, where stabilised methods are judged
PRODUCTS = 4  # with the Jacobian, of a Newton step by GMRES
CVODE, LSODA = "CVODE BDF-GMRES", "LSODA + J"
TABLES = ("races", "standing", "law_keeping", "stabilised", "automatic")
HEAD = ("goal", "flow", "against", "at", "measured", "goal", "aim", "verdict")


# Why goals are missed where they are: (goal, part of the flow's name, kind of miss, why). The
# figures are the rows' own.
SECOND, UNCHOSEN = "second program", "dopri8"  # kinds of miss
REASONS = (
    (
        "G2", "R3 the same", "",
        "both methods are a BDF whose field takes some 10 us: what is won is CVODE's way back to "
        "Python, and a few evaluations.",
    ),
    (
        "G2", "R4", "",
        "the same. With r = 10 the flow is no stiffer than tsit5 can bear; a step of the BDF, its "
        "history and GMRES cost more than its evaluations.",
    ),
    (
        "G2", "R7", "",
        "about as many evaluations as CVODE and LSODA, but arrays of 10,000 samples times 100 "
        "units leave the cache between the operations of a product with the Jacobian.",
    ),
    (
        "G4", "784-256-10", "",
        "the field is matrix products of 784 x 256, which torch makes as fast as XLA; both "
        "take about as many evaluations.",
    ),
    ("G3", "", "", "what a call of `integrate` costs besides its program, on a flow of some ms."),
    (
        "G5", "", "",
        "at loose errors tsit5 is at the limit of its stability and takes as few steps as it "
        "ever can; the stages of a Gauss step are evaluated ten to twenty times each until their "
        "equation is solved to rounding, which is what keeps the laws, and half of such a sweep "
        "is linear algebra beside the field.",
    ),
    (
        "G6", "digits", "",
        "rates decay like 1/t as the data are fitted, so that the flow is not stiff and tsit5 "
        "itself needs few evaluations; GMRES and Adams' methods have to be paid too.",
    ),
    (
        "G7", "", SECOND,
        "a second program takes seconds to compile, once, and auto does not ask for one to "
        f"save less than {1e3 * FLOOR:.0f} ms.",
    ),
    ("G7", "", UNCHOSEN, "auto never chooses dopri8, which is seldom the best and never by much."),
    (
        "G10", "", "",
        "the rows where the field is dear: there what counts is evaluations, and CVODE's way back "
        "to Python, which is what is won elsewhere, is nothing.",
    ),
    (
        "G9", "", "",
        "products grow with the clusters of rates that GMRES has to tell apart; where samples "
        "times outputs come near the weights, the rule's kernel costs more than it saves, and what "
        "directions kept from step to step save has to pay for their renewals.",
    ),
)  # fmt: skip


class Row(NamedTuple):
    """A goal and what was measured of it. `told`: of a miss, what its figures say; `kind`: of a
    miss, one of those above."""

    goal: str
    flow: str
    against: str
    at: str
    measured: str
    least: str
    aim: str
    verdict: str
    told: str = ""
    kind: str = ""

    @property
    def missed(self) -> bool:
        return self.verdict.startswith("MISSED")


class Goal(NamedTuple):
    """`peer` is to take at least `least` times (aim: `aim`) as long as the best of faflow's solvers
    at this error of the weights, or (`of`) at this residual."""

    line: str
    flow: str
    peer: str
    error: float
    least: float
    aim: float
    of: str = "error"


def races() -> list[Goal]:
    teacher = "teacher tanh 5-10-1, T = 1e"
    found = [
        Goal("G1", teacher + "4", "diffrax Tsit5", 1e-6, 10, 10),
        Goal("G1", teacher + "4", "LSODA, differences", 1e-6, 4, 4),
        Goal("G1", teacher + "5", "diffrax Tsit5", 1e-6, 50, 50),
    ]
    for name, flow in FLOWS.items():
        harder = name.startswith("R4") or name == "R3 the same, T = 1e4"
        least = 1.5 if name.startswith("R7") else 3 if harder else 2
        for error in flow.errors:
            found.append(Goal("G2", name, CVODE, error, least, 4))
        for error in flow.errors:
            if LSODA not in flow.slow:
                found.append(Goal("G2", name, LSODA, error, 1.5, 2))
        if flow.residual is not None:
            found.append(Goal("G2", name, CVODE, flow.residual, least, 4, "residual"))
    for name in FLOWS:
        least = 2.5 if name.startswith("784") else 3
        found.append(Goal("G4", name, "torchdiffeq dopri5", 1e-6, least, 3))
    return found


def standing(rows: list[dict]) -> list[Goal]:
    """Of every standing race, at every error."""
    found = []
    for name in dict.fromkeys(row["flow"] for row in rows):
        for peer, least, aim in ((CVODE, 2, 4), ("CVODE Adams", 1, 2), (LSODA, 1.5, 2)):
            if any(row["flow"] == name and row["method"] == peer for row in rows):
                found += [Goal("G8", name, peer, error, least, aim) for error in (1e-6, 1e-9)]
    return found


def best(rows: list[dict], error: float, of: str = "error") -> tuple[float, str] | None:
    """The least seconds of faflow's solvers at this error, and whose."""
    names = {r["method"] for r in rows if r["method"].startswith("faflow")}
    costs = {n: cost_at([r for r in rows if r["method"] == n], error, of=of) for n in names}
    return min(((cost, name) for name, cost in costs.items() if cost is not None), default=None)


def write(folder: Path) -> str:
    """goals.md of the tables in a folder."""
    tables = {name: read_table(folder / f"{name}.csv") for name in TABLES}
    rows, long = tables["races"], tables["standing"]
    found = [*raced(races(), rows), *paired(rows), *kept(tables["law_keeping"])]
    found += [*stabilised(tables["stabilised"]), *matrix_free(long)]
    found += chosen(rows, tables["automatic"])
    found += [*raced(standing(long), long), *middle(rows, long), *multiplied(rows)]
    machines = {
        name: text.read_text().splitlines()[2]
        for name in TABLES
        if (text := folder / f"{name}.md").exists()
    }
    lines = ["# Goals", ""]
    for machine in dict.fromkeys(machines.values()):
        names = [name for name, other in machines.items() if other == machine]
        lines += [f"{', '.join(names)}: {machine}", ""]
    lines += [
        "Ratios of CPU seconds at equal relative error of all weights, in one run: peer over the "
        "best of faflow's solvers; in parentheses whose, and the ratio of field evaluations where "
        "both count them (products with the Jacobian counted as evaluations).", "",
    ]  # fmt: skip
    lines += [
        *markdown(HEAD, [row[: len(HEAD)] for row in found]),
        "",
        "## What is missed, and why",
        "",
        *reasons(found),
    ]
    text = "\n".join(lines) + "\n"
    (folder / "goals.md").write_text(text)
    return text


def reasons(found: list[Row]) -> list[str]:
    """A line for every goal that some row misses."""
    missed, lines = [row for row in found if row.missed], []
    for line, flow, kind, why in REASONS:
        of = [r for r in missed if r.goal == line and flow in r.flow and kind in ("", r.kind)]
        if of:
            lines.append(f"* {line} {flow}".rstrip() + f": {why}")
            missed = [row for row in missed if row not in of]
    return lines + [
        f"* {', '.join(row[:4])}: {row.told or f'not explained ({row.measured}).'}"
        for row in missed
    ]


def of_evaluations(ratio: float, calls: float) -> str:
    """What the ratio of evaluations says of that of seconds."""
    took = f"the peer takes {calls:.2g} times our evaluations"
    if ratio < 0.8 * calls:
        return f"{took}, and {ratio:.2g} times our time: one of ours costs more, with its step."
    if ratio < 1.25 * calls:
        return f"{took}, which are nearly all of the time."
    return f"{took}, and {ratio:.2g} times our time: what is won is its way back to Python."


def of_ends(mine: list[dict], goal: Goal) -> str:
    """How exact faflow gets, and the peer, where that is not enough."""
    of = [row for row in mine if row[goal.of]]
    ends = {
        peer: min((r for r in of if whose(r["method"])), key=lambda r: r[goal.of], default=None)
        for peer, whose in (
            ("faflow", lambda name: name.startswith("faflow")),
            (goal.peer, lambda name: name == goal.peer),
        )
    }
    ours, theirs = ends.values()
    if ours is None or theirs is None:
        return ""
    asked = [f"{row['method']}, rtol {row['rtol']:g}" for row in (ours, theirs)]
    return (
        f"faflow ends at {ours[goal.of]:.2g} ({asked[0]}), the peer at {theirs[goal.of]:.2g} "
        f"({asked[1]})."
    )


def raced(goals: list[Goal], rows: list[dict]) -> Iterator[Row]:
    for goal in goals:
        mine = [row for row in rows if row["flow"] == goal.flow]
        peer = [row for row in mine if row["method"] == goal.peer]
        ours, told = best(mine, goal.error, goal.of), ""
        if not mine:
            continue
        if not peer:
            slow = goal.flow in FLOWS and goal.peer in FLOWS[goal.flow].slow
            text, verdict = "-", "not raced: too slow" if slow else "not raced"
        elif ours is None:
            theirs = cost_at(peer, goal.error, of=goal.of)
            text, verdict = "-", "MISSED: faflow does not get so exact"
            told = of_ends(mine, goal)
            if theirs is None:
                verdict = "not judged: neither gets so exact at rtol 1e-10"
        else:
            text, verdict, told = compared(goal, mine, peer, ours)
        at = f"{goal.error:g}" + (" (residual)" if goal.of == "residual" else "")
        yield Row(goal.line, goal.flow, goal.peer, at, text, f"{goal.least:g}", f"{goal.aim:g}",
                  verdict, told)  # fmt: skip


def compared(goal: Goal, mine: list[dict], peer: list[dict], ours: tuple[float, str]):
    """(what was measured, the verdict, what the figures say)."""
    theirs = cost_at(peer, goal.error, of=goal.of)
    if theirs is None:
        ratio = at_least(peer) / ours[0]
        verdict = graded(ratio, goal.least, goal.aim) if ratio >= goal.least else "open"
        verdict = f"{verdict}: {why(peer)}"
        return f"> {ratio:.2g} ({ours[1]})", verdict, ""
    ratio = theirs / ours[0]
    calls = [_calls([r for r in mine if r["method"] == m], goal) for m in (goal.peer, ours[1])]
    verdict = graded(ratio, goal.least, goal.aim)
    if None in calls:
        return f"{ratio:.2g} ({ours[1]})", verdict, ""
    more = calls[0] / calls[1]
    text = f"{ratio:.2g} ({ours[1]}; evaluations {more:.2g})"
    return text, verdict, of_evaluations(ratio, more) if goal.line in ("G2", "G8") else ""


def at_least(peer: list[dict]) -> float:
    """Seconds that a peer needs for an error that none of its runs came to: those of the last one
    that it finished, which was not exact enough. One that was stopped may have been asked for more
    than was needed; but if it was the first, no tolerance of the ladder takes less."""
    done = [row["seconds"] for row in peer if row["error"] is not None]
    return done[-1] if done else peer[-1]["seconds"]


def _calls(rows: list[dict], goal: Goal) -> float | None:
    counted = [row | {"calls": (row["evaluations"] or 0) + (row["products"] or 0)} for row in rows]
    return cost_at(counted, goal.error, "calls", goal.of)


def graded(ratio: float, least: float, aim: float) -> str:
    return "aim met" if ratio >= aim else "met" if ratio >= least else "MISSED"


def why(rows: list[dict]) -> str:
    """Why a ladder ended without that error."""
    reasons = [row["why"] for row in rows if row.get("why")]
    return f"the peer stopped: {reasons[-1]}" if reasons else "not reached in its time"


def middle(rows: list[dict], long: list[dict]) -> Iterator[Row]:
    """Over the races and the standing races: the median of what CVODE takes."""
    ratios = []
    for goals, mine in ((races(), rows), (standing(long), long)):
        for goal in (goal for goal in goals if goal.peer == CVODE):
            flow = [row for row in mine if row["flow"] == goal.flow]
            ours = best(flow, goal.error, goal.of)
            cost = cost_at([r for r in flow if r["method"] == CVODE], goal.error, of=goal.of)
            if ours is not None and cost is not None:
                ratios.append(cost / ours[0])
    if ratios:
        yield Row("G10", f"all {len(ratios)} rows where it gets there", f"{CVODE}, median",
               "every error", f"{statistics.median(ratios):.2g}", "4", "4",
               graded(statistics.median(ratios), 4, 4))  # fmt: skip


def multiplied(rows: list[dict]) -> Iterator[Row]:
    """Products a Newton step, where the BDF multiplies, at rtol 1e-6."""
    for name in (name for name, flow in FLOWS.items() if flow.stiff):
        mine = [r for r in rows if r["flow"] == name and r["method"].startswith("faflow bdf")
                and r["rtol"] == 1e-6 and r["products"] and r["evaluations"]]  # fmt: skip
        if mine:
            row = mine[-1]
            ratio = row["products"] / row["evaluations"]
            yield Row("G9", name, "GMRES products a Newton step", "rtol 1e-06",
                   f"{ratio:.2g} ({row['method']})", f"<= {PRODUCTS}", f"<= {PRODUCTS}",
                   "met" if ratio <= PRODUCTS else "MISSED")  # fmt: skip


def pairs(rows: list[dict]) -> dict[str, dict[str, dict]]:
    found: dict[str, dict[str, dict]] = {}
    for row in rows:
        if row["method"].startswith("paired"):
            found.setdefault(row["flow"], {})[row["method"].split()[1]] = row
    return found


def paired(rows: list[dict]) -> Iterator[Row]:
    for name, pair in pairs(rows).items():
        ratio = pair["faflow"]["seconds"] / pair["diffrax"]["seconds"]
        calls = pair["faflow"]["evaluations"] / pair["diffrax"]["evaluations"]
        more = 1e3 * (pair["faflow"]["seconds"] - pair["diffrax"]["seconds"])
        text = f"{ratio:.2f} times its time (evaluations {calls:.2f}; {more:+.2g} ms)"
        yield Row("G3", name, "diffrax Tsit5, turn by turn", "rtol 1e-8", text, "<= 1.05",
                  "<= 1.05", "met" if ratio <= 1.05 else "MISSED")  # fmt: skip


def kept(rows: list[dict]) -> Iterator[Row]:
    for name in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == name]
        ratios = {error: gauss_ratio(mine, error) for error in ERRORS}
        text = ", ".join(f"{e:g}: {r:.2g}" for e, r in ratios.items() if r is not None)
        drift = max(row["drift"] for row in mine if row["solver"] in GAUSS and not row["why"])
        poor = [f"{e:g}" for e in LOOSE if (ratios[e] or math.inf) > 3.5]
        verdict = f"MISSED at {', '.join(poor)}" if poor else "met"
        verdict = verdict if drift < 1e-14 else "MISSED: drift"
        yield Row("G5", name, "tsit5, Gauss over it", "1e-4 and 1e-6", f"{text}; drift {drift:.0e}",
               "<= 3.5, drift < 1e-14", "<= 3", verdict)  # fmt: skip


def gauss_ratio(rows: list[dict], error: float) -> float | None:
    """Seconds of the best Gauss method over those of tsit5, at an error."""
    costs = [cost_at([r for r in rows if r["solver"] == s], error) for s in ("tsit5", *GAUSS)]
    ours = [cost for cost in costs[1:] if cost is not None]
    return None if costs[0] is None or not ours else min(ours) / costs[0]


def fewer(rows: list[dict], solver: str, error: float, than: str = "tsit5") -> float | None:
    """Evaluations of one solver over those of another, at an error."""
    theirs, ours = (cost_at([r for r in rows if r["solver"] == s], error, "calls")
                    for s in (than, solver))  # fmt: skip
    return None if theirs is None or ours is None else theirs / ours


def stabilised(rows: list[dict]) -> Iterator[Row]:
    for name in dict.fromkeys(row["flow"] for row in rows if row["weights"] >= LARGE):
        if name.startswith("digits"):
            continue  # by `matrix_free`: not stiff
        mine = [row for row in rows if row["flow"] == name]
        for target in TARGETS:
            found = {s: fewer(mine, s, target) for s in ("rkc2", "bdf-krylov")}
            there = {solver: ratio for solver, ratio in found.items() if ratio is not None}
            text = ", ".join(f"{solver} {ratio:.2g}" for solver, ratio in there.items()) or "-"
            verdict = graded(max(there.values()), 5, 10) if there else "MISSED: not so exact"
            yield Row("G6", f"{name}, {mine[0]['weights']:.0f} weights", "tsit5, evaluations",
                   f"{target:g}", text, "5", "10", verdict)  # fmt: skip


def matrix_free(rows: list[dict]) -> Iterator[Row]:
    """Of the digits, evaluations and products by methods without a Jacobian."""
    rows = [row | {"solver": row["method"]} for row in rows if row["flow"].startswith("digits")]
    for name in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == name]
        for error in (1e-6, 1e-9):
            found = {s: fewer(mine, f"faflow {s}", error, "faflow tsit5") for s in ("adams", "bdf")}
            there = {solver: ratio for solver, ratio in found.items() if ratio is not None}
            text = ", ".join(f"{solver} {ratio:.2g}" for solver, ratio in there.items()) or "-"
            verdict = graded(max(there.values()), 2, 2) if there else "MISSED: not so exact"
            yield Row("G6", name, "tsit5, evaluations", f"{error:g}", text, "2", "2", verdict)


def chosen(raced: list[dict], rows: list[dict]) -> Iterator[Row]:
    for row in (row for row in rows if row["solver"] == "auto" and row["ratio"]):
        lost = row["seconds"] * (1 - 1 / row["ratio"])
        others = [r for r in rows if (r["flow"], r["rtol"]) == (row["flow"], row["rtol"])
                  and r["solver"] != "auto" and r["error"] is not None]  # fmt: skip
        least = min(others, key=lambda r: r["seconds"])
        one = Choice(row["ratio"], lost, least["solver"], stays([row]), of_errors(row, least))
        yield one.judged(row["flow"], f"rtol {row['rtol']:g}", row["legs"])
    for name in dict.fromkeys(row["flow"] for row in raced):
        mine = [row for row in raced if row["flow"] == name]
        for error in FLOWS[name].errors:
            costs = {
                method: cost_at([r for r in mine if r["method"] == method], error)
                for method in ("faflow auto", *FIXED)
            }
            auto = costs.pop("faflow auto")
            fixed = {cost: method for method, cost in costs.items() if cost is not None}
            if auto is not None and fixed:
                least = min(fixed)
                stayed = stays([r for r in mine if r["method"] == "faflow auto"])
                solver = fixed[least].removeprefix("faflow ")
                one = Choice(auto / least, auto - least, solver, stayed)
                yield one.judged(name, f"{error:g}", f"best: {fixed[least]}")


def stays(rows: list[dict]) -> bool:
    """Whether auto stayed with its first solver in all of these."""
    return not any(";" in row["legs"] for row in rows)


def of_errors(auto: dict, least: dict) -> str:
    """What auto and the fastest fixed solver made of the same tolerance."""
    costs = [(row["evaluations"] or 0) + (row["products"] or 0) for row in (auto, least)]
    share = least["error"] / auto["error"]
    ours = f"auto ({auto['legs']}) takes {costs[0]:.0f} evaluations to an error of "
    theirs = f"{least['solver']} {costs[1]:.0f} to {least['error']:.2g}"
    end = f", {share:.2g} times as large." if share > 2 else "."
    return f"{ours}{auto['error']:.2g}, {theirs}{end}"


class Choice(NamedTuple):
    """What auto took over the best fixed `solver`: a ratio, and seconds `lost`. `stayed`: with its
    first. `told`: what figures say of it."""

    ratio: float
    lost: float
    solver: str
    stayed: bool
    told: str = ""

    def judged(self, flow: str, at: str, more: str) -> Row:
        verdict, text, kind = "met", f"{self.ratio:.2f} ({more})", ""
        if self.ratio > SLACK and self.lost / (1 - 1 / self.ratio) <= QUICK:
            verdict = f"not judged: under {1e3 * QUICK:.0f} ms"
        elif self.ratio > SLACK:
            text = f"{self.ratio:.2f} ({more}; {1e3 * self.lost:.2g} ms lost)"
            verdict, kind = "MISSED", self.kind
        if kind == SECOND:
            verdict += f": less than the {1e3 * FLOOR:.0f} ms worth a second program"
        goal = f"<= {SLACK:g}"
        return Row("G7", flow, "auto over the best fixed solver", at, text, goal, goal, verdict,
                   self.told, kind)  # fmt: skip

    @property
    def kind(self) -> str:
        if self.solver == UNCHOSEN:
            return UNCHOSEN
        return SECOND if self.stayed and self.lost < FLOOR else ""


def tables(rows: list[dict], about: list[str]) -> str:
    """races.md: every method at equal error."""
    lines = ["# Races: work and precision", "", *about, ""]
    lines += [
        "CPU seconds at equal relative error of all weights (field evaluations / products with "
        "the Jacobian / Jacobians), and seconds over those of faflow's best solver. A method that "
        "was always more exact counts by its cheapest run. What this says of the goals: goals.md.",
        "",
    ]
    for name in dict.fromkeys(row["flow"] for row in rows):
        lines += _table(name, [row for row in rows if row["flow"] == name])
    return "\n".join(lines) + "\n"


def _table(name: str, rows: list[dict]) -> list[str]:
    flow = FLOWS[name]
    goals = [(error, "error") for error in flow.errors]
    goals += [] if flow.residual is None else [(flow.residual, "residual")]
    heads = "".join(f" {of} {goal:g} | ratio |" for goal, of in goals)
    lines = [f"## {name}", "", f"| method |{heads}", "|---" * (1 + 2 * len(goals)) + "|"]
    ours = {goal: best(rows, *goal) for goal in goals}
    for method in dict.fromkeys(r["method"] for r in rows if not r["method"].startswith("paired")):
        mine, cells = [row for row in rows if row["method"] == method], ""
        for goal, of in goals:
            seconds, least = cost_at(mine, goal, of=of), ours[goal, of]
            if seconds is None:
                cells += f" {why(mine)} | |"
                continue
            counts = " / ".join(
                "-" if (count := cost_at(mine, goal, key, of)) is None else f"{count:.0f}"
                for key in ("evaluations", "products", "jacobians")
            )
            ratio = "-" if least is None else f"{seconds / least[0]:.2f}"
            cells += f" {seconds:.3g} ({counts}) | {ratio} |"
        lines.append(f"| {method} |{cells}")
    lines += ["", f"Too slow for this race: {', '.join(flow.slow)}."] if flow.slow else []
    return [*lines, "", f"![{name}]({figure(name)})", ""]


def figure(name: str) -> str:
    """The file of a flow's figure."""
    kept = "".join(c if c.isalnum() else " " for c in name.lower().replace("<", "below"))
    return f"race-{'-'.join(kept.split())}.png"


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))
