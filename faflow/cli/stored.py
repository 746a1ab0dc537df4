"""`faflow drift`, `fit`, `plot` and `report`: of what is stored in folders."""

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from .arguments import Verb, argument, flag
from .figures import draw_stored, look_of
from .follow import follow
from .printing import print_rows, say, say_json, tell
from .verdict import BAD_INPUT, DONE, blaming_damage


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


def _plot(given: Namespace) -> int:
    """One result's figures into its folder; of several the figures that compare them."""
    if given.follow:
        return _follow(given)
    look, only = look_of(given), [name for name in (given.only or "").split(",") if name]
    if len(given.results) > 1:
        return _beside(given.results, given.out, look, only)
    for result in _opened(given.results[0]):
        with blaming_damage(str(result.folder), "holds a damaged result"):
            for path in draw_stored(result, only or None, look):
                say(str(path))
    return DONE


def _follow(given: Namespace) -> int:
    if len(given.results) > 1:
        raise ConfigError("--follow", f"is for one run, but {len(given.results)} are given")
    with blaming_damage(given.results[0], "holds a damaged result"):
        return follow(given.results[0])


def _beside(results: list[str], out: str, look: Any, only: list[str]) -> int:
    from ..compare import compare
    from ..compare.compare import write_comparison

    with blaming_damage("plot", "a damaged result"):
        for path in write_comparison(compare(results), out, look, only):
            say(str(path))
    return DONE


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
        from ..report import written
    except ModuleNotFoundError as error:
        what = f"needs {error.name}, which is not installed; pip install 'faflow[report]'"
        raise ConfigError("report", what) from error
    with blaming_damage("report", "a damaged result"):
        path, refused = written(given.results, given.out)
    say(str(path))
    for error in refused:
        tell(f"{error.key}: {error.what}")
    return BAD_INPUT if refused else DONE


def _compare(given: Namespace) -> int:
    from ..compare import compare
    from ..compare.compare import write_comparison

    with blaming_damage("compare", "a damaged result"):
        told = compare(given.results)
        paths = [] if given.no_figures else write_comparison(told, given.out)
    if given.json:
        say_json({**told.as_json(), "files": list(map(str, paths))})
        return DONE
    differing = [{"config": key, **dict(zip(told.names, values, strict=True))}
                 for key, values in told.differences.items()]  # fmt: skip
    print_rows("what differs", differing)
    print_rows("figures", told.rows())
    for path in paths:
        say(str(path))
    return DONE


RESULT = argument("result", metavar="RESULT", help="result folder")
WINDOW = argument("--window", nargs=2, type=float, metavar=("FROM", "TO"), help="times to fit")
DRIFT = Verb("print how far a stored result's laws drifted", _on_each(_drift), (RESULT,), "reading")
FIT = Verb(
    "fit the convergence exponent of a stored result", _on_each(_fit), (WINDOW, RESULT), "reading"
)
RESULTS = argument("results", nargs="+", metavar="RESULT", help="result or sweep folder")
OUT = argument("--out", default="comparison", metavar="FOLDER",
               help="where what is said of several results goes (default comparison)")  # fmt: skip
PLOT = Verb("draw every figure of a stored result, or of several side by side", _plot, (
    RESULTS,
    argument("--only", metavar="NAMES", help="figures to draw, with commas: drift,residual"),
    argument("--format", metavar="KINDS", help="kinds of files, with commas: png,pdf,csv"),
    argument("--width", metavar="LENGTH", help="of a column: 3.3in, 8.4cm, 238pt"),
    argument("--font", type=float, metavar="POINTS", help="size of letters (default 7.5)"),
    flag("--no-titles", "leave titles to the caption"),
    flag("--follow", "draw RESULT.png of a run that is kept by --checkpoint, again and again, "
         "until it ends"),
    OUT,
), "drawing")  # fmt: skip
COMPARE = Verb("stored results side by side: figures over time, and a table", _compare, (
    RESULTS, OUT,
    flag("--no-figures", "print the table only"),
    flag("--json", "print everything as JSON"),
), "comparing")  # fmt: skip
REPORT = Verb("one HTML file about stored results, with interactive figures", _report, (
    RESULTS,
    argument("--out", default="report.html", metavar="FILE",
             help="where it goes (default report.html)"),
), "writing the page")  # fmt: skip
