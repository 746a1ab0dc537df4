"""What the user's own code computes: its programs, and the numbers that they start from.

A file's content says little of it: it imports others, inherits from others, reads data. So the
experiment is built, and what its flow evaluates is taken as JAX sees it, with every constant in
it. What no program shows (files that a host callback reads) is not seen.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..config.resolve import Resolved
from ..flow import FlowProblem, solve
from ..measures.experiment import build
from ..measures.measure import Experiment
from ..observables import AbstractObservable
from ..setup.programs import in_precision


def fingerprint(resolved: Resolved, built: Callable[[Experiment], None] = lambda _: None) -> bytes:
    """sha256 of the field, loss and records as programs (and of the whole flow, if its solver is
    the user's own, an object, or goes by laws), of data, W(0), feedback and the rule's numbers, and
    of the names of its laws. ConfigError where it can't be built. `built` is given the
    experiment."""
    with in_precision(resolved.config.precision), np.errstate(all="ignore"):
        experiment = build(resolved)
        built(experiment)
        problem, observables = experiment.problem, experiment.observables
        texts = [_program(_evaluated, problem, observables)]
        solver = resolved.suspects["flow.solver"]
        if solver.of_others or resolved.flow.project:
            rest = (experiment.ts, observables, experiment.numerics)
            texts.append(_program(solve, problem, *rest))
    found = hashlib.sha256()
    laws = sorted((name, claimed) for name, (_, claimed) in experiment.laws.items())
    for text in (*texts, repr(sorted(observables)), repr(laws)):
        found.update(hashlib.sha256(text.encode()).digest())
    found.update(_numbers(problem, observables))
    return found.digest()


def start_print(resolved: Resolved) -> bytes:
    """sha256 of the numbers alone that a run starts from, where another run of the same programs
    was looked at whole. ConfigError where it can't be built."""
    with in_precision(resolved.config.precision), np.errstate(all="ignore"):
        experiment = build(resolved, trusted=True)
        return _numbers(experiment.problem, experiment.observables)


def _numbers(*given: Any) -> bytes:
    found = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(eqx.filter(given, eqx.is_array))):
        found.update(f"{leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
    return found.digest()


def _evaluated(problem: FlowProblem, observables: Mapping[str, AbstractObservable]) -> Any:
    rule, weights, feedback, data = problem.rule, problem.weights, problem.feedback, problem.data
    state = rule.init(weights, feedback, data)
    velocity = rule.velocity(jnp.zeros(()), state, feedback, data)
    recorded = [observables[name](weights, feedback, data) for name in sorted(observables)]
    return velocity, rule.read(state, feedback, data), data.value(data.outputs(weights)), recorded


def _program(function: Any, *arguments: Any) -> str:
    jitted: Any = eqx.filter_jit(function)
    return jitted.lower(*arguments).as_text()
