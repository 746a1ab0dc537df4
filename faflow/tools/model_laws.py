"""`faflow laws CONFIG` of a model: the laws found by name, and how many a block of leaves has."""

from collections.abc import Sequence
from typing import Any

import jax

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..discovery import MOST_WEIGHTS, BlockCount, BlockFields, count_block, name_laws, timed_rates
from ..flow import FlowProblem
from ..networks import Model
from ..observables import LeafBalance, LeafSum
from ..rules import bare, model_laws
from ..tasks import CrossEntropy
from .timed_laws import count_line, model_lines, timed_counts, timed_model_laws, which_states


def find_model_laws(
    resolved: Resolved, problem: FlowProblem, model: Model, block: Sequence[str]
) -> dict[str, Any]:
    """What the rule conserves on a model, as `faflow laws --json` prints it. `block`: globs over
    paths of leaves, whose laws are counted, whatever stands outside; all leaves if there are few
    enough. ConfigError if the block is too large, or a glob names nothing."""
    rule, data = bare(problem.rule), problem.data
    weights = sum(leaf.size for leaf in jax.tree.leaves(model))
    counted: dict[str, Any] = {
        "status": "not counted", "independent_laws": None, "timed": None,
    }  # fmt: skip
    laws = model_laws(rule, model, problem.feedback, data)
    if block or weights <= MOST_WEIGHTS:
        losses = "cross-entropy" if isinstance(data.loss, CrossEntropy) else "all"
        about = (rule, model, problem.feedback, data.inputs.shape[1:], tuple(block) or ("*",))
        try:
            counts = count_block(*about, losses=losses)
        except ValueError as error:
            raise ConfigError("--block", str(error)) from error
        fields = BlockFields(*about, losses)
        names = name_laws(fields, laws.values(), counts.independent)
        counted = _counted(counts) | {"names": names._asdict(), "timed": _timed(fields)}
    return {
        "schema": 1,
        "name": resolved.config.name,
        "rule": resolved.rule.kind,
        "network": resolved.network.kind,
        "weights": weights,
        "laws": [
            {"name": name, "places": list(law.places)}
            for name, law in laws.items()
            if isinstance(law, LeafBalance | LeafSum)
        ],
        **counted,
        "timed_laws": timed_model_laws(rule, problem, model),
    }


def _timed(fields: BlockFields) -> dict[str, Any] | None:
    """The count of laws of state and time, where there may be such and the state is small."""
    if not timed_rates(fields.rule, fields.model):
        return None
    return timed_counts(fields) if len(fields.counted) < MOST_WEIGHTS else None


def _counted(count: BlockCount) -> dict[str, Any]:
    return {
        "status": "undecided" if count.independent is None else "decided",
        "independent_laws": count.independent,
        "states": count.states,
        "independent_laws_for_all_states": count.everywhere,
        "candidates": list(count.candidates),
        "block": list(count.names),
        "size": count.size,
        "losses": count.losses,
        "rank_gap": count.gap,
    }


def model_law_lines(report: dict[str, Any]) -> list[str]:
    """The report in words."""
    lines = [_count_line(report)]
    for law in report["laws"]:
        lines += [f"  {law['name']}: {place}" for place in law["places"]]
    if not report["laws"]:
        lines.append("  no balance and no sum of leaves is kept, whatever the time")
    if (names := report.get("names")) is not None and names["degree"]:
        what = f"in pairs, sizes and logarithms of entries: {names['known']} known with them"
        lines += [what, *(f"  {text}" for text in names["texts"])]
    if report["timed"] is not None:
        lines.append(count_line(report["timed"]))
    return [*lines, *model_lines(report["timed_laws"])]


def _count_line(report: dict[str, Any]) -> str:
    if report["status"] == "not counted":
        what = f"{report['weights']} weights are too many to count laws ({MOST_WEIGHTS} at most)"
        return f"{what}: name a block of leaves, --block 'blocks.0.*'; found by name"
    where = "" if report["size"] == report["weights"] else " of the block"
    gap = f"gap {report['rank_gap']:.1e}"
    losses = {"all": "over all losses", "cross-entropy": "under cross-entropy"}[report["losses"]]
    if report["independent_laws"] is None:
        either = " or ".join(map(str, report["candidates"]))
        what = f"how many of {report['size']} directions{where} are conserved"
        return f"UNDECIDED {what}: {either} ({gap}); {report['names']['named']} by name"
    states = which_states(report)
    states = f",{states}" if states else ""
    return (
        f"{report['independent_laws']} of {report['size']} directions{where} are conserved over "
        f"all data, {losses}{states} ({gap}); {report['names']['named']} of them by name"
    )
