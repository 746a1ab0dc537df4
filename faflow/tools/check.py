"""`faflow check module:Rule`: what a rule does and keeps on small random networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import ONCE, compiled
from .._generator import drawing, seeded
from ..analysis import law_rate
from ..analysis.law_keeping import perturbed
from ..config.errors import ConfigError, told
from ..config.imports import read_anew
from ..config.kinds.registries import resolve
from ..config.options import check_options
from ..feedback import FEEDBACKS as DRAWS
from ..feedback import Feedback, Form, counterparts, draw_feedback
from ..flow import FlowProblem
from ..networks import ACTIVATIONS, INITIALISATIONS, is_linear
from ..networks.initialise import initial_network
from ..observables import (
    LAWS,
    AbstractConservationLaw,
    AbstractPotential,
    Balance,
    FeedbackPotential,
    MovingFeedbackPotential,
    WeightPotential,
    hidden_layers,
    law_degree,
)
from ..rules import AbstractLearningRule, FeedbackAlignment, Speed, weight_velocity
from ..setup import field
from ..tasks import make_data

KEPT = 1e-10  # relative rate below which a law counts as kept: rounding is 1e-14, a breach 1e-2
NETS = ((5, 4, 2), (6, 5, 4, 2), (5, 3, 1))  # narrowing, so that FA* has independent features
ACTIVATIONS_TRIED = ("linear", "relu-squared", "tanh")
SAMPLES = 12


class LawCheck(NamedTuple):
    """One law on one network: its largest relative rate, whether the rule claims it.

    `moving`: the weights move there at all; where they don't, every rate is zero and says nothing.
    """

    law: str
    claimed: bool
    rate: float
    moving: bool = True

    @property
    def kept(self) -> bool:
        return self.moving and self.rate < KEPT

    @property
    def verdict(self) -> str:
        if not self.moving:
            return "not measurable"
        return "kept" if self.kept else ("BROKEN" if self.claimed else "not kept")


class Case(NamedTuple):
    """One network: whether the shapes fit and the field is `finite`, whether it is -gradient at
    feedback = weights.

    `is_gradient` is None where no feedback would make backprop of it (direct feedback in nets that
    are not linear). `problem` says why nothing else could be found out: it is no fault (`fits`)
    where the rule's `init` says what it can't do.
    """

    net: str
    fits: bool
    is_gradient: bool | None
    claims: list[LawCheck]
    problem: str = ""
    finite: bool = True

    @property
    def ok(self) -> bool:
        claimed = [claim for claim in self.claims if claim.claimed and claim.moving]
        return self.fits and self.finite and all(claim.kept for claim in claimed)


class RuleCheck(NamedTuple):
    """All cases of one rule; `ok` if shapes fit, no claim is broken and some claim was tested."""

    rule: str
    equation: str
    form: str
    cases: list[Case]

    @property
    def ok(self) -> bool:
        return self.measured and self.measurable and all(case.ok for case in self.cases)

    @property
    def measured(self) -> bool:
        """Whether there was a network that the rule could be tried on."""
        return any(not case.problem for case in self.cases)

    @property
    def measurable(self) -> bool:
        """Whether a law was claimed where the weights move, or none was claimed at all."""
        claimed = [claim for case in self.cases for claim in case.claims if claim.claimed]
        return not claimed or any(claim.moving for claim in claimed)

    @property
    def verdict(self) -> str:
        """The check in a few words."""
        if bad := [case.net for case in self.cases if not case.finite]:
            what = f"the velocity is not finite on {len(bad)} networks (first: {bad[0]})"
            return f"NOT as claimed: {what}"
        if not self.measured and all(case.fits for case in self.cases):
            return "NOT checked: no network could be tried"
        if not self.measurable:
            return "NOT measurable: the rule moves no weights"
        return "every claim holds" if self.ok else "NOT as claimed"


def check_rule(
    kind: str, modifies: bool = False, given: Mapping[str, Any] | None = None
) -> RuleCheck:
    """Check a rule by its registry name or `module:Rule`, or a modifier (`modifies`) of feedback
    alignment, with the options that are `given`."""
    read_anew()
    entry = resolve("rule", "modifiers" if modifies else "rules", kind, Path())
    options = check_options("rule", entry, given or {})
    if modifies:
        options["rule"] = FeedbackAlignment()
    try:
        rule = entry(**options)
    except (Exception, SystemExit) as error:  # a user's constructor may raise anything
        raise ConfigError("rule", f"is '{kind}', which can't be made: {told(error)}") from error
    cases = [
        _case(rule, widths, activation, bias)
        for widths in NETS
        for activation in ACTIVATIONS_TRIED
        for bias in (False, True)
    ]
    return RuleCheck(kind, rule.equation, rule.form, cases)


def _case(rule: AbstractLearningRule, widths: tuple[int, ...], activation: str, bias: bool) -> Case:
    name = f"{'-'.join(map(str, widths))} {activation}{' + biases' if bias else ''}"
    problem = _problem(rule, widths, activation, bias)
    try:
        jax.eval_shape(rule.init, problem.weights, problem.feedback, problem.data)
    except ValueError as error:  # a rule that says what it can't do (FA* and biases)
        return Case(name, True, None, [], str(error) or "ValueError")
    except (Exception, SystemExit) as error:
        return Case(name, False, None, [], f"{type(error).__name__}: {error}")
    try:
        if not field.fits(problem):
            return Case(name, False, None, [], field.MISFIT)
        return _measured(name, problem)
    except (Exception, SystemExit) as error:  # a user's rule may raise anything
        return Case(name, False, None, [], f"{type(error).__name__}: {error}")


def _problem(rule, widths: tuple[int, ...], activation: str, bias: bool) -> FlowProblem:
    rng = np.random.default_rng(0)
    data = make_data(rng.normal(size=(SAMPLES, widths[0])), rng.normal(size=(SAMPLES, widths[-1])))
    phi = ACTIVATIONS[activation]()
    with drawing():
        keys = jax.random.split(seeded(0))
    init = INITIALISATIONS["gaussian"]()
    weights = initial_network(init, keys[0], widths, phi, bias=bias, bias_scale=0.5)
    feedback = draw_feedback(DRAWS["gaussian"](), keys[1], widths, rule.form)
    return FlowProblem(rule, weights, feedback, data)


def _measured(name: str, problem: FlowProblem) -> Case:
    laws, claimed = _laws(problem)
    form: Form = problem.feedback.form
    tied = None
    if form != "direct" or is_linear(problem.weights):
        tied = Feedback(counterparts(problem.weights, form), form)
    rates, mismatch, speed = _numbers(laws, problem, tied)
    if not np.isfinite(speed):
        return Case(name, True, None, [], f"velocity is not finite: {float(speed)}", finite=False)
    moving = float(speed) != 0
    claims = [LawCheck(law, law in claimed, float(rates[law]), moving) for law in laws]
    return Case(name, True, None if tied is None else bool(mismatch < KEPT), claims)


def _laws(problem: FlowProblem) -> tuple[dict[str, AbstractConservationLaw], set[str]]:
    """The laws the rule claims and the other candidates; the names of the former."""
    claimed = problem.rule.laws(problem.weights)
    others = {
        name: law
        for name, law in _candidates(problem).items()
        if not any(_same(law, own) for own in claimed.values())
    }
    return {**claimed, **others}, set(claimed)


@compiled(ONCE)
def _numbers(laws: dict[str, AbstractConservationLaw], problem: FlowProblem, tied: Feedback | None):
    """Largest relative rate per law; distance of the velocity at `tied` from -gradient; speed."""
    rule, weights, data = problem.rule, problem.weights, problem.data
    # A state that is not the one it starts from: a rule may hold a copy of the first weights.
    state = perturbed(rule.init(weights, problem.feedback, data))
    arguments = (rule, weights, problem.feedback, data, state)
    rates = {name: jnp.max(law_rate(law, *arguments).relative) for name, law in laws.items()}
    speed = Speed(rule)(weights, problem.feedback, data)
    if tied is None:
        return rates, jnp.inf, speed
    velocity, _ = weight_velocity(rule, weights, tied, data)
    gradient = jax.grad(lambda net: data.value(net(data.inputs)))(weights)
    pairs = list(zip(jax.tree.leaves(velocity), jax.tree.leaves(gradient), strict=True))
    off, size = sum(jnp.sum((v + g) ** 2) for v, g in pairs), sum(jnp.sum(g**2) for _, g in pairs)
    return rates, jnp.sqrt(off / size), speed


def _same(law: Balance, own: AbstractConservationLaw) -> bool:
    return (
        isinstance(own, Balance)
        and type(own.potential) is type(law.potential)
        and (own.form, own.layers, own.degree) == (law.form, law.layers, law.degree)
    )


def _candidates(problem: FlowProblem) -> dict[str, Balance]:
    """Every balance that can be formed here, named `<form> [<potential>]`."""
    weights = problem.weights
    degree = law_degree(weights)
    potentials: dict[str, AbstractPotential] = {"weights": WeightPotential()}
    layers = hidden_layers(weights)
    if problem.feedback.form != "none":
        potentials["feedback"] = FeedbackPotential()
    if problem.feedback.form == "layerwise":
        potentials["moving feedback"] = MovingFeedbackPotential()
    forms = LAWS if is_linear(weights) else LAWS[:2]
    return {
        f"{form} [{name}]": Balance(potential, form, layers, 1.0 if degree is None else degree)
        for name, potential in potentials.items()
        for form in forms
    }
