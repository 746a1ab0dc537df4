"""The Python door: a network, a rule and arrays, and what the flow came to."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import NoneType
from typing import Any

import numpy as np

from ._names import Named
from .cli.printing import patient_bar
from .config.arrays import given_model
from .config.errors import ConfigError, shown
from .config.resolve import Resolved, resolve_path
from .networks import Model, as_network
from .opened import run_text
from .plots.draw import draw_overview
from .runs.run import run
from .store import folder as store
from .store.digest import digest
from .store.result import Result

DPI = 96  # of the overview in a notebook


class Learned:
    """What `faflow.flow` came to. `summary` and `laws`: figures as `summary.json` has them;
    `model`: the module at the end; `series`: records over time (xarray); `text`: the table that
    `faflow run` prints. A notebook shows that table and the overview."""

    def __init__(self, result: Result, start: Model | None, resolved: Resolved):
        self.result, self._start, self._resolved = result, start, resolved

    @property
    def summary(self) -> dict[str, Any]:
        return self.result.summary

    @property
    def laws(self) -> dict[str, Any]:
        return Named(self.result.section("laws"))

    @property
    def series(self) -> Any:
        return self.result.series

    @cached_property
    def model(self) -> Any:
        """The module at the end of the flow; of widths, W1, b1, ... by their names."""
        final = self.result.records["final"].to_dataset()
        arrays = {str(name): final[name].values for name in final.data_vars}
        if self._start is None:
            return arrays
        known = {name: array for name, array in arrays.items() if not name.startswith("feedback.")}
        return given_model(known, self._start).module

    @property
    def text(self) -> str:
        return run_text(self.summary)

    def to_xarray(self) -> Any:
        """Everything recorded: a DataTree with groups `records`, `start`, `final` and others."""
        return self.result.to_xarray()

    def to_pandas(self) -> Any:
        """A DataFrame over time with a column per number: `loss`, `alignment_cosine 1`, ...

        Records with more than one axis besides the time are left to `to_xarray`.
        """
        return self.result.to_pandas()

    def save(self, folder: str | PathLike[str], replace: bool = False) -> Path:
        """Store the result as `faflow run` does, for `faflow plot`, `compare` and `faflow.open`.
        ConfigError if the folder holds another one, unless `replace`. What were objects are names
        in its config, which can't be run again."""
        place = Path(folder).expanduser()
        told = digest(self._resolved)
        if store.standing_of(place, told) != "absent" and not replace:
            raise ConfigError(str(place), "holds a result; give another folder, or replace = True")
        store.try_out(place)
        groups = self.result.groups
        assert groups is not None  # it has just been computed
        store.write_result(self._resolved, self.summary, groups, place, replace, told)
        return place

    def report(self, out: str | PathLike[str] = "report.html") -> Path:
        """One HTML page of the flow, as `faflow report` writes it; needs `faflow[report]`."""
        from .report import write_report

        with TemporaryDirectory() as folder:
            return write_report([str(self.save(Path(folder) / self.result.name))], str(out))

    def plot(self) -> Any:
        """The overview as a matplotlib figure: `flow.plot().savefig("flow.png")`."""
        return draw_overview(self.result)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        picture = io.BytesIO()
        self.plot().savefig(picture, format="png", dpi=DPI)
        data = base64.b64encode(picture.getvalue()).decode()
        return f'<pre>{html.escape(self.text)}</pre><img src="data:image/png;base64,{data}">'


def learn(
    network: Any,
    rule: Any,
    inputs: Any,
    targets: Any,
    *,
    t1: float,
    activation: Any = None,
    loss: Any = "squared",
    feedback: Any = "gaussian",
    observe: Any = None,
    saves: int = 101,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    meter: Any = True,
) -> Learned:
    """Integrate d(weights)/dt = rule from the network's own weights to time `t1`, measured as
    `faflow run` measures a config.

    `network`: any equinox Module at W(0), or widths (inputs first, outputs last) of an MLP that is
    drawn. `inputs` (samples, ...), `targets` (samples, ...) or (samples,). `rule`, `activation` (of
    widths), `loss`, `feedback`: names, as configs have them, or objects; `observe`: a list of
    names, of functions (weights, feedback, data) -> array, and of observables. `settings`: further
    keys of a config and their values, as {"flow.solver": "gauss4", "task.test": 0.2}. `meter` is
    told how much is done, 0 to 1; True: a bar in terminals and notebooks, after a second.
    ValueError in one line that names the argument for what does not fit; JAX must be in float64,
    unless `settings` have {"precision": "float32"}.
    """
    if activation is not None and not is_widths(network):
        what = "Argument `activation` must be left out for a network that has its own, but is "
        raise ValueError(f"{what}{shown(activation)}; give widths for the network instead.")
    if settings is not None and not isinstance(settings, Mapping):
        what = "Argument `settings` must be a dict of config keys and values, but is a "
        raise ValueError(f"{what}{type(settings).__name__}.")
    if not callable(meter) and not isinstance(meter, bool | NoneType):
        what = "Argument `meter` must be True, False or a function of a share, but is a "
        raise ValueError(f"{what}{type(meter).__name__}.")
    if observe is not None and (isinstance(observe, str) or not isinstance(observe, Iterable)):
        observe = [observe]
    table = {
        "name": "flow",
        "seed": seed,
        "network": _network(network),
        "task": {"X": inputs, "y": targets, "loss": loss},
        "rule": {"kind": rule},
        "feedback": {"kind": feedback},
        "flow": {"t1": t1, "saves": saves},
    }
    if observe is not None:
        table["observe"] = {"names": list(observe)}
    if activation is not None:
        table["network"]["activation"] = activation
    with _arguments_named(settings or {}):
        resolved = resolve_path(table, settings or {})
        result = run(resolved, store_result=False, meter=_meter(meter))
    own = not is_widths(network) and not isinstance(network, str)
    start = as_network(network) if own else None
    return Learned(result, start if isinstance(start, Model) else None, resolved)


def is_widths(network: Any) -> bool:
    return isinstance(network, Sequence | np.ndarray) and not isinstance(network, str)


def _network(network: Any) -> dict[str, Any]:
    if is_widths(network):
        return {"widths": list(network)}
    if not isinstance(network, str):
        try:
            as_network(network)  # which says what is wrong with it
        except ValueError as error:
            raise ValueError(
                f"Argument `network`: {error} Or give widths, as [3, 16, 3]."
            ) from None
    return {"kind": network}


def _meter(asked: Any) -> Callable[[float], None] | None:
    if asked is True:
        return patient_bar()
    return asked or None


# Where what a config calls so comes from, the longest first.
_ARGUMENTS = {
    "network.activation": "activation", "network": "network", "rule": "rule", "task.loss": "loss",
    "feedback": "feedback", "flow.t1": "t1", "flow.saves": "saves", "observe": "observe",
    "seed": "seed", "task.X": "inputs", "task.y": "targets",
}  # fmt: skip


@contextmanager
def _arguments_named(settings: Mapping[str, Any]) -> Iterator[None]:
    """A key that a ConfigError names is preceded by the argument that it comes from."""
    try:
        yield
    except ConfigError as error:
        said = any(error.key.startswith(str(key)) for key in settings)
        found = [a for key, a in _ARGUMENTS.items() if f"{error.key}.".startswith(f"{key}.")]
        if said or not found:
            raise
        raise ConfigError(f"Argument `{found[0]}`, {error.key}", error.what) from error
