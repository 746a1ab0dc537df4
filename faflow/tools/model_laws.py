"""`faflow laws CONFIG` of a model: the laws found by name, and how many a block of leaves has."""

from collections.abc import Sequence
from typing import Any

import jax

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..discovery import MOST_WEIGHTS, BlockCount, count_block
from ..flow import FlowProblem
from ..networks import Model
from ..observables import LeafBalance, LeafSum
from ..rules import bare, model_laws
from ..tasks import CrossEntropy


def find_model_laws(
    resolved: Resolved, problem: FlowProblem, model: Model, block: Sequence[str]
) -> dict[str, Any]:
    """What the rule conserves on a model, as `faflow laws --json` prints it. `block`: globs over
    paths of leaves, whose laws are counted, whatever stands outside; all leaves if there are few
    enough. ConfigError if the block is too large, or a glob names nothing."""
    rule, data = bare(problem.rule), problem.data
    weights = sum(leaf.size for leaf in jax.tree.leaves(model))
    counted: dict[str, Any] = {"status": "not counted", "independent_laws": None}
    if block or weights <= MOST_WEIGHTS:
        losses = "cross-entropy" if isinstance(data.loss, CrossEntropy) else "all"
        sample, globs = data.inputs.shape[1:], tuple(block) or ("*",)
        try:
            counts = count_block(rule, model, problem.feedback, sample, globs, losses=losses)
        except ValueError as error:
            raise ConfigError("--block", str(error)) from error
        counted = _counted(counts)
    laws = model_laws(rule, model, problem.feedback, data)
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
    }


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
    return lines if report["laws"] else [*lines, "  no balance and no sum of leaves is kept"]


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
        return f"UNDECIDED {what}: {either} ({gap})"
    states = ""
    if report["states"] != "all":
        count = report["independent_laws_for_all_states"]
        states = f", {report['states']}, {'UNDECIDED how many' if count is None else count} of them"
        states += " for all states"
    return (
        f"{report['independent_laws']} of {report['size']} directions{where} are conserved over "
        f"all data, {losses}{states} ({gap}); found by name"
    )
