"""The Python door: a network, a rule and arrays, and what the flow came to."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

from .config.arrays import given_model
from .config.choice import Choice, Prepared
from .config.kinds.coded import Coded
from .config.kinds.kinds import AbstractKinds, PhiTraits, RuleTraits, SolverTraits
from .config.load import assign, parse
from .config.resolve import resolve_config
from .measures.summary import summary_rows
from .networks import Model, as_network
from .plots.draw import draw_overview
from .runs.run import run
from .store.result import Result

GIVEN = "given:"  # before the kind of what is an object
MOST_AXES = 2  # of a record that is columns of a table: the time, and one more
DPI = 96  # of the overview in a notebook
_REMEDY = "set WHERE to a table first"


class Learned:
    """What `faflow.flow` came to. `summary` and `laws`: figures as `summary.json` has them;
    `model`: the module at the end; `series`: records over time (xarray); `text`: the table that
    `faflow run` prints. A notebook shows that table and the overview."""

    def __init__(self, result: Result, start: Model | None):
        self.result, self._start = result, start

    @property
    def summary(self) -> dict[str, Any]:
        return self.result.summary

    @property
    def laws(self) -> dict[str, Any]:
        return self.result.section("laws")

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
        rows = [(row["what"], row["measured"]) for row in summary_rows(self.summary)]
        width = max(len(what) for what, _ in rows)
        return "\n".join(f"{what:{width}}  {measured}" for what, measured in rows)

    def to_xarray(self) -> Any:
        """Everything recorded: a DataTree with groups `records`, `start`, `final` and others."""
        return self.result.records

    def to_pandas(self) -> Any:
        """A DataFrame over time with a column per number: `loss`, `alignment_cosine 1`, ...

        Records with more than one axis besides the time are left to `to_xarray`.
        """
        import pandas as pd

        columns: dict[str, Any] = {}
        for name in self.result.names():
            values = self.result.values(name)
            if values is None or values.ndim > MOST_AXES:
                continue
            entries = [""] if values.ndim == 1 else [f" {e}" for e in self.result.entries(name)]
            table = values.reshape(len(values), -1).T
            columns |= {f"{name}{e}": column for e, column in zip(entries, table, strict=True)}
        return pd.DataFrame(columns, index=pd.Index(self.result.times, name="time"))

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
    activation: str | None = None,
    loss: str = "squared",
    feedback: str = "gaussian",
    observe: Sequence[str] | None = None,
    saves: int = 101,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    meter: Callable[[float], None] | None = None,
) -> Learned:
    """Integrate d(weights)/dt = rule from the network's own weights to time `t1`, measured as
    `faflow run` measures a config.

    `network`: any equinox Module at W(0), or widths (inputs first, outputs last) of an MLP that is
    drawn. `rule`: a name of `faflow list rules`, or a rule. `inputs` (samples, ...), `targets`
    (samples, ...). `activation` (of widths), `loss`, `feedback`, `observe`: names, as configs have
    them. `settings`: further keys of a config and their values, as {"flow.solver": "gauss4"}.
    `meter` is told how much is done, 0 to 1. ConfigError in one line for what does not fit; JAX
    must be in float64, unless `settings` have {"precision": "float32"}.
    """
    objects: dict[str, Any] = {}
    table: dict[str, Any] = {
        "name": "flow",
        "seed": seed,
        "network": _network(network, objects),
        "task": {"kind": _kept("task.kind", lambda key: (inputs, targets), objects), "loss": loss},
        "rule": {"kind": rule},
        "feedback": {"kind": feedback},
        "flow": {"t1": float(t1), "saves": saves},
    }
    if not isinstance(rule, str):
        table["rule"] = {"kind": _kept("rule.kind", rule, objects)}
    if observe is not None:
        table["observe"] = {"names": list(observe)}
    if activation is not None:
        if "widths" not in table["network"]:
            what = "Argument `activation` must be left out for a network that has its own, but is "
            raise ValueError(f"{what}'{activation}'; give widths for the network instead.")
        table["network"]["activation"] = activation
    for key, value in (settings or {}).items():
        assign(table, key.split("."), value, _REMEDY)
    resolved = resolve_config(parse(table), Path(), Objects(objects))
    model = as_network(network) if "network.kind" in objects else None
    model = model if isinstance(model, Model) else None
    return Learned(run(resolved, store_result=False, meter=meter), model)


@final
class Objects(AbstractKinds):
    """Kinds as code tells them, but for those that stand for `objects`, by the keys of these."""

    def __init__(self, objects: Mapping[str, Any]):
        self.objects, self.code = objects, Coded()

    def entry(self, path: str, registry: str, kind: str, base: Path) -> Any:
        if not kind.startswith(GIVEN):
            return self.code.entry(path, registry, kind, base)
        held = self.objects[path]
        return held if registry == "tasks" else Prepared(held)

    def rule(self, entry: Any) -> RuleTraits:
        return self.code.rule(type(entry.held) if isinstance(entry, Prepared) else entry)

    def phi(self, choice: Choice) -> PhiTraits:
        return self.code.phi(choice)

    def is_kinked_model(self, choice: Choice, section: Any, data: Any, key: Any) -> bool:
        return self.code.is_kinked_model(choice, section, data, key)

    def solver(self, kind: str, entry: Any) -> SolverTraits:
        return self.code.solver(kind, entry)


def _kept(key: str, held: Any, objects: dict[str, Any]) -> str:
    objects[key] = held
    return GIVEN + type(held).__name__


def _network(network: Any, objects: dict[str, Any]) -> dict[str, Any]:
    if isinstance(network, Sequence) and not isinstance(network, str):
        return {"widths": list(network)}
    if isinstance(network, str):
        return {"kind": network}
    as_network(network)  # which says what is wrong with it
    return {"kind": _kept("network.kind", network, objects)}
