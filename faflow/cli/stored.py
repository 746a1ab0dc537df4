"""`faflow drift`, `fit`, `plot` and `report`: of what is stored in folders."""

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from .arguments import Verb, argument
from .figures import draw_stored
from .printing import print_rows, say
from .verdict import DONE, blaming_damage


def _drift(result: Any, of: str, given: Namespace) -> None:
    from ..measures.tables import drift_rows
    from ..sweeps.tables import drift_distribution

    print_rows(f"{of}drift", (drift_distribution if result.swept else drift_rows)(result))


def _fit(result: Any, of: str, given: Namespace) -> None:
    from ..measures.tables import fit_rows
    from ..sweeps.tables import fit_distribution

    print_rows(
        f"{of}exponent", (fit_distribution if result.swept else fit_rows)(result, given.window)
    )


def _plot(result: Any, of: str, given: Namespace) -> None:
    for path in draw_stored(result):
        say(str(path))


def _on_each(tell: Callable[[Any, str, Namespace], None]) -> Callable[[Namespace], int]:
    """`tell` of each of the results in a folder; of several it is told which one it is."""

    def act(given: Namespace) -> int:
        results = _opened(given.result)
        for result in results:
            of = f"{result.folder.name}: " if len(results) > 1 else ""
            with blaming_damage(str(result.folder), "holds a damaged result"):
                tell(result, of, given)
        return DONE

    return act


def _opened(folder: str) -> list[Any]:
    """The run or the sweep in a folder, or the runs of a reproduction."""
    from ..store.result import open_result
    from ..sweeps.result import open_stored

    try:
        return [open_stored(folder)]
    except ConfigError:
        from ..reproduce.layout import is_reproduction, runs_in

        place = Path(folder if "\0" in folder else os.path.expanduser(folder))
        if "\0" in folder or not is_reproduction(place):
            raise
        found = runs_in(place)
        if not found:
            what = "is a reproduction that ran no flow; its pictures are in figures/"
            raise ConfigError(folder, what) from None
        return [open_result(run) for run in found]


def _report(given: Namespace) -> int:
    try:
        from ..report import write_report
    except ModuleNotFoundError as error:
        what = f"needs {error.name}, which is not installed; pip install 'faflow[report]'"
        raise ConfigError("report", what) from error
    with blaming_damage("report", "a damaged result"):
        say(str(write_report(given.results, given.out)))
    return DONE


RESULT = argument("result", metavar="RESULT", help="result folder")
WINDOW = argument("--window", nargs=2, type=float, metavar=("FROM", "TO"), help="times to fit")
DRIFT = Verb("print how far a stored result's laws drifted", _on_each(_drift), (RESULT,), "reading")
FIT = Verb(
    "fit the convergence exponent of a stored result", _on_each(_fit), (WINDOW, RESULT), "reading"
)
PLOT = Verb("draw every figure of a stored result", _on_each(_plot), (RESULT,), "drawing")
REPORT = Verb("one HTML file about stored results, with interactive figures", _report, (
    argument("results", nargs="+", metavar="RESULT", help="result or sweep folder"),
    argument("--out", default="report.html", metavar="FILE",
             help="where it goes (default report.html)"),
), "writing the page")  # fmt: skip
