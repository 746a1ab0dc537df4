"""Where atol is no small part of the weights, so that a flow has no error control."""

from typing import Any

import jax
import numpy as np

from ..config.resolve import Resolved
from ..flow import SMALL_SHARE, FlowProblem, FlowSolution
from ..networks import AbstractNetwork
from ..observables import norm_parts


def size_at_start(weights: AbstractNetwork) -> float:
    """The root mean square of the smallest layer that is not zero; inf if all are."""
    leaves = [np.asarray(leaf, float) for leaf in jax.tree.leaves(weights)]
    return min((_rms(leaf) for leaf in leaves if np.any(leaf)), default=np.inf)


def follows(resolved: Resolved, problem: FlowProblem) -> bool:
    """Whether tolerances follow the flow, since it starts from small weights."""
    flow = resolved.flow
    if flow.step is not None or not flow.atol_scales:
        return False
    assert flow.rtol is not None and flow.atol is not None  # resolved
    return flow.rtol * size_at_start(problem.weights) < SMALL_SHARE * flow.atol


def why_loose(resolved: Resolved, problem: FlowProblem, norms: Any = None) -> str:
    """Why steps of the flow are not controlled, "" if they are. `norms` (saves, L): of the layers'
    weights at the saves, if they were recorded."""
    flow = resolved.flow
    if flow.step is not None or follows(resolved, problem):
        return ""
    least, when = size_at_start(problem.weights), "at the start"
    if norms is not None:
        count = sum(part.size for part in norm_parts(problem.weights))
        later = np.min(np.linalg.norm(norms, axis=-1), initial=np.inf) / count**0.5
        least, when = min((least, when), (float(later), "later"))
    assert flow.atol is not None  # resolved
    if not flow.atol > SMALL_SHARE * least:
        return ""
    what = f"flow.atol = {flow.atol:g} is no small part of the weights, {least:.2g} {when}"
    return f"{what}: nothing holds the error of a step there"


def loose_warnings(resolved: Resolved, problem: FlowProblem, solution: FlowSolution) -> list[str]:
    """What a reader has to know about atol and the weights."""
    norms = solution.records.get("norms")
    seen = None if norms is None else np.asarray(norms)[np.asarray(solution.reached)]
    why = why_loose(resolved, problem, seen)
    remedy = "lower it" if resolved.flow.atol_scales else "leave it out, or lower it"
    return [f"{why}; {remedy}"] if why else []


def _rms(leaf: np.ndarray) -> float:
    return float(np.linalg.norm(leaf) / leaf.size**0.5)
