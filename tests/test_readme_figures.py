"""The README's table of comparisons says what the benchmarks' tables say. After they were run
again, its cells have to be written anew."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def cells(path: Path, first: str) -> list[list[str]]:
    """The rows of a file's tables whose first cell begins like this."""
    lines = path.read_text("utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [row for row in rows if row[0].startswith(first)]


def goals(goal: str) -> list[float]:
    """What was measured of a goal; of peers that did not get there ("> 4.3") nothing."""
    texts = [row[4].split(" ")[0] for row in cells(RESULTS / "goals.md", goal)]
    return [float(text) for text in texts if text not in (">", "-")]


def two(number: float) -> str:
    """Two digits, as the README writes them."""
    return f"{float(f'{number:.1e}'):g}"


def span(numbers: list[float]) -> str:
    return f"{two(min(numbers))} to {two(max(numbers))}"


def row(words: str) -> str:
    """The row of the README's table that has these words."""
    (found,) = [line for line in (ROOT / "README.md").read_text("utf-8").splitlines()
                if line.startswith("|") and words in line]  # fmt: skip
    return found


def slower(kind: str) -> str:
    """A whole command with its overview beside the script, of which the table has columns."""
    with (RESULTS / "waiting.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["what"] == "theorem1-linear, figures"]
    return two(float(row[f"{kind} / SciPy"]))


def relu(what: str) -> list[list[str]]:
    return cells(RESULTS / "relu.md", what)


def wanted() -> dict[str, str]:
    """Words of a row -> what it has to say."""
    first, lsoda = goals("G1")[:2]
    costs = [float(x) for r in cells(RESULTS / "goals.md", "G5")
             for x in re.findall(r"\d: ([\d.]+)[,;]", r[4] + ";")]  # fmt: skip
    (sweep,) = cells(RESULTS / "sweep_scipy.md", "sweep-exponents")
    evaluations = float(relu("evaluations(diffrax Tsit5) / evaluations(exact), at least")[0][1])
    events = [float(r[1]) for r in relu("time(python-events")]
    cold, warm = slower("cold"), slower("warm")
    others = [float(r[6]) for name in ("scipy", "torchdiffeq") for r in relu(name) if r[6] != "-"]
    return {
        "Euler, fixed steps": relu("time(fixed-step Euler)")[0][1],
        "after 1,": f"{evaluations:,.0f} times",
        "DOP853, LSODA;": f"{min(others):.1e}".replace("e-0", "e-"),
        "our own event loop": span(events),
        "LSODA without": f"{two(first)}; {two(lsoda)}",
        "thirteen flows": span(goals("G2")),
        "ten dear": span(goals("G8")),
        "the same method": span([1 / ratio for ratio in goals("G3")]),
        "thirteen smooth": span(goals("G4")),
        "kept to rounding": f"{min(costs):.1f} to {max(costs):g}",
        "one small flow": f"{cold} times as long at first, {warm} once compiled",
        "a sweep of": f"{float(sweep[5]):.0f} at first, {float(sweep[6]):.0f} once",
    }


def test_the_cells_say_what_was_measured() -> None:
    wrong = {words: said for words, said in wanted().items() if said not in row(words)}
    assert wrong == {}
