"""`faflow check module:Rule`: what a rule does and keeps on small random networks."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..analysis import law_rate
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
)
from ..rules import AbstractLearningRule, weight_velocity
from ..tasks import make_data
from .errors import ConfigError
from .options import check_options
from .registries import resolve

KEPT = 1e-10  # relative rate below which a law counts as kept: rounding is 1e-14, a breach 1e-2
NETS = ((5, 4, 2), (6, 5, 4, 2))  # narrowing, so that FA* has independent features
ACTIVATIONS_TRIED = ("linear", "relu-squared", "tanh")
SAMPLES = 12


class Claim(NamedTuple):
    """One law on one network: its largest relative rate, whether the rule claims it."""

    law: str
    claimed: bool
    rate: float

    @property
    def kept(self) -> bool:
        return self.rate < KEPT


class Case(NamedTuple):
    """One network: whether the shapes fit, whether the field is -gradient at feedback = weights.

    `is_gradient` is None where no feedback would make backprop of it (direct feedback in nets that
    are not linear). `problem` says why nothing else could be found out.
    """

    net: str
    fits: bool
    is_gradient: bool | None
    claims: list[Claim]
    problem: str = ""

    @property
    def ok(self) -> bool:
        return self.fits and all(claim.kept for claim in self.claims if claim.claimed)


class Check(NamedTuple):
    """All cases of one rule; `ok` if shapes fit and no claim is broken."""

    rule: str
    equation: str
    form: str
    cases: list[Case]

    @property
    def ok(self) -> bool:
        return all(case.ok for case in self.cases)


def check_rule(kind: str) -> Check:
    """Check a rule by its registry name or `module:Rule`, with default options."""
    entry = resolve("rule", "rules", kind)
    options = check_options("rule", entry, {})
    try:
        rule = entry(**options)
    except Exception as error:  # a user's constructor may raise anything
        raise ConfigError("rule", f"is '{kind}', which can't be made: {error}") from error
    cases = [
        _case(rule, widths, activation, bias)
        for widths in NETS
        for activation in ACTIVATIONS_TRIED
        for bias in (False, True)
    ]
    return Check(kind, rule.equation, rule.form, cases)


def _case(rule: AbstractLearningRule, widths: tuple[int, ...], activation: str, bias: bool) -> Case:
    name = f"{'-'.join(map(str, widths))} {activation}{' + biases' if bias else ''}"
    problem = _problem(rule, widths, activation, bias)
    try:
        fits = _fits(problem)
        if not fits:
            return Case(name, False, None, [], "velocity has not the shape of the state")
        return _measured(name, problem)
    except ValueError as error:  # a rule that says what it can't do (FA* and biases)
        return Case(name, True, None, [], str(error))
    except Exception as error:  # a user's rule may raise anything
        return Case(name, False, None, [], f"{type(error).__name__}: {error}")


def _problem(rule, widths: tuple[int, ...], activation: str, bias: bool) -> FlowProblem:
    rng = np.random.default_rng(0)
    data = make_data(rng.normal(size=(SAMPLES, widths[0])), rng.normal(size=(SAMPLES, widths[-1])))
    phi = ACTIVATIONS[activation]()
    keys = jax.random.split(jax.random.key(0))
    init = INITIALISATIONS["gaussian"]()
    weights = initial_network(init, keys[0], widths, phi, bias=bias, bias_scale=0.5)
    feedback = draw_feedback(DRAWS["gaussian"](), keys[1], widths, rule.form)
    return FlowProblem(rule, weights, feedback, data)


def _fits(problem: FlowProblem) -> bool:
    def fields(weights, feedback, data):
        state = problem.rule.init(weights, feedback, data)
        return state, problem.rule.velocity(jnp.zeros(()), state, feedback, data)

    state, velocity = jax.eval_shape(fields, problem.weights, problem.feedback, problem.data)
    if jax.tree.structure(state) != jax.tree.structure(velocity):
        return False
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(velocity), strict=True)
    return all(a.shape == b.shape for a, b in pairs)


def _measured(name: str, problem: FlowProblem) -> Case:
    laws, claimed = _laws(problem)
    form: Form = problem.feedback.form
    tied = None
    if form != "direct" or is_linear(problem.weights):
        tied = Feedback(counterparts(problem.weights, form), form)
    rates, mismatch = _numbers(laws, problem, tied)
    claims = [Claim(law, law in claimed, float(rates[law])) for law in laws]
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


@eqx.filter_jit
def _numbers(laws: dict[str, AbstractConservationLaw], problem: FlowProblem, tied: Feedback | None):
    """Largest relative rate per law; distance of the velocity at `tied` from -gradient."""
    rule, weights, data = problem.rule, problem.weights, problem.data
    arguments = (rule, weights, problem.feedback, data)
    rates = {name: jnp.max(law_rate(law, *arguments).relative) for name, law in laws.items()}
    if tied is None:
        return rates, jnp.inf
    velocity, _ = weight_velocity(rule, weights, tied, data)
    gradient = jax.grad(lambda net: data.value(net(data.inputs)))(weights)
    pairs = list(zip(jax.tree.leaves(velocity), jax.tree.leaves(gradient), strict=True))
    off, size = sum(jnp.sum((v + g) ** 2) for v, g in pairs), sum(jnp.sum(g**2) for _, g in pairs)
    return rates, jnp.sqrt(off / size)


def _same(law: Balance, own: AbstractConservationLaw) -> bool:
    return (
        isinstance(own, Balance)
        and type(own.potential) is type(law.potential)
        and (own.form, own.layers, own.degree) == (law.form, law.layers, law.degree)
    )


def _candidates(problem: FlowProblem) -> dict[str, Balance]:
    """Every balance that can be formed here, named `<form> [<potential>]`."""
    weights = problem.weights
    degree: Any = 1.0 if is_linear(weights) else weights.activation.degree
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
