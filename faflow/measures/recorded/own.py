"""Observables of the user's own: functions of (weights, feedback, data), or classes."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ...config.choice import Choice
from ...config.errors import ConfigError
from ...config.kinds.observed import record_of
from ...config.resolve import Resolved
from ...flow import FlowProblem
from ...observables import AbstractObservable, FunctionObservable
from ..measure import Experiment, Flown, Laws, Measure, Observed, Row, Section
from ..tables import number


def own_observable(choice: Choice, problem: FlowProblem) -> AbstractObservable:
    """The observable, whose record has the axes that it names. ConfigError if it has not."""
    made, record = choice.make(), record_of(choice.kind)
    plain = not isinstance(made, AbstractObservable)
    see = FunctionObservable(made, label=record) if plain else made
    found = eqx.filter_eval_shape(see, problem.weights, problem.feedback, problem.data)
    ranks = _ranks(choice, found)
    if plain:
        axes = tuple(f"{record}_axis_{i + 1}" for i in range(max(ranks, default=0)))
        return FunctionObservable(function=made, label=record, axes=axes)
    axes = made.axes
    if not isinstance(made.label, str) or not all(isinstance(axis, str) for axis in axes):
        raise ConfigError(choice.key, f"is '{choice.kind}', whose label and axes must be text")
    if ranks and ranks != {len(axes)}:
        what = f"is '{choice.kind}', whose record has {min(ranks - {len(axes)})} axes, but its "
        raise ConfigError(choice.key, f"{what}`axes` name {len(axes)}; name each of them")
    return made


def _ranks(choice: Choice, found: Any) -> set[int]:
    """How many axes the arrays of a record have; ConfigError for records that can't be stored."""
    told = f"is '{choice.kind}', whose record is "
    parts = found.values() if isinstance(found, Mapping) else found
    parts = list(parts) if isinstance(found, Mapping | tuple | list) else [found]
    if not parts or not all(hasattr(part, "shape") for part in parts):
        what = f"{told}{type(found).__name__}; return an array, or a dict or tuple of arrays"
        raise ConfigError(choice.key, what)
    if isinstance(found, Mapping) and len({part.shape for part in parts}) > 1:
        what = f"{told}a dict of arrays of several shapes; return a tuple of them"
        raise ConfigError(choice.key, what)
    ranks = {len(part.shape) for part in parts}
    if len(ranks) > 1:
        raise ConfigError(choice.key, f"{told}of arrays of {len(ranks)} ranks; give them one")
    return ranks


def check_axes(resolved: Resolved, experiment: Experiment, records: Mapping[str, Any]) -> None:
    """ConfigError if an axis of the user's has another size than an axis of the same name."""
    sizes: dict[str, tuple[int, str]] = {}
    own = {record_of(choice.kind): choice for choice in resolved.observables}
    for name in sorted(experiment.observables, key=lambda name: name in own):
        see, record = experiment.observables[name], records[name]
        leaves = [] if isinstance(record, tuple | list) else jax.tree.leaves(record)
        for leaf in leaves:
            for axis, size in zip(see.axes, leaf.shape[1:], strict=False):
                known, other = sizes.setdefault(axis, (size, name))
                if name in own and (known != size or axis == "time"):
                    what = f"is '{own[name].kind}', whose axis '{axis}' has {size} entries, but "
                    what += f"{known} in {other}" if known != size else "that is the time's name"
                    raise ConfigError(own[name].key, f"{what}; call it something else")


def _needs(resolved: Resolved, problem: FlowProblem, laws: Laws) -> Observed:
    del laws
    return {
        record_of(choice.kind): resolved.ask(choice.key, own_observable, choice, problem)
        for choice in resolved.observables
    }


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section:
    """`observed`: of every record that is one number, what it was at first and in the end; of the
    others, how many numbers they are."""
    del summary
    found: Section = {}
    for choice in flown.resolved.observables:
        name = record_of(choice.kind)
        parts = [
            np.asarray(leaf)[flown.reached]
            for leaf in jax.tree.leaves(flown.solution.records[name])
        ]
        if len(parts) == 1 and parts[0].ndim == 1:
            found[name] = {"initial": float(parts[0][0]), "final": float(parts[0][-1])}
        else:
            found[name] = {"numbers": sum(part[0].size for part in parts)}
    return found


def _rows(section: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Row]:
    del summary
    return [(name, _words(told)) for name, told in section.items()]


def _words(told: Mapping[str, Any]) -> str:
    if "numbers" in told:
        return f"recorded, {told['numbers']} numbers a save"
    return f"{number(told['initial'])} -> {number(told['final'])}"


def _warnings(flown: Flown, section: Mapping[str, Any]) -> list[str]:
    del section
    found = []
    for choice in flown.resolved.observables:
        name = record_of(choice.kind)
        leaves = jax.tree.leaves(flown.solution.records[name])
        if not all(np.isfinite(np.asarray(leaf)[flown.reached]).all() for leaf in leaves):
            found.append(f"{name} is not finite everywhere")
    return found


OWN = Measure("observed", section=_section, rows=_rows, warnings=_warnings, needs=_needs)
