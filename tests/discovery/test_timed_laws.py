"""Laws of state and time: counts derived by hand, and rates at states that the search never saw.

Momentum, scalar outputs, FA: W_1 = W_1(0) + F^T u^T and W_2 = W_2(0) + u^T W_1(0)^T + s F, where u
and s obey m x'' + gamma x' = drive. From rest an orbit has u, u', s, s' and t: 2 n_in + 3 of
2 n_h (n_in + 1) + 1 directions, and starts differ in n_h (n_in + 1) ways, n_in + 1 of which are
moved by u and s.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from test_discovery import feedback, network

from faflow.discovery import Fields, TimedFields, count_timed, find_timed, timed_rates
from faflow.feedback import Feedback
from faflow.networks import Model
from faflow.networks.models import Attention, Chain, TwoLayers
from faflow.rules import RULES, Gradient, KolenPollack, Momentum, WeightDecay, angular_momenta
from faflow.rules.models.found_laws import model_laws
from faflow.tasks import make_data

FA = RULES["feedback-alignment"]()
MASS, FRICTION = 0.5, 0.4


def fields_of(rule, widths, activation="linear"):
    return Fields(rule, network(widths, activation), feedback(widths, rule.form))


def test_momentum_of_the_gradient_keeps_angular_momenta_of_starts_that_move():
    """r (r - 1) / 2 per hidden layer; from rest they are 0, and nothing else is kept."""
    fields = fields_of(Momentum(Gradient(), MASS, FRICTION), (2, 2, 1))
    count = count_timed(fields)
    assert count.independent == 1 and count.rest is not None
    assert count.rest == (0, 1)
    rates = timed_rates(fields.rule, fields.weights)
    assert rates == (FRICTION / MASS, 0.0)
    point = count.orbits[0].point
    found = find_timed(fields, (*rates, 0.3), point, 2)
    assert found.independent == 1
    assert [len(laws.coefficients) for _, laws in found.found] == [1, 0, 0]  # other rates: none
    _check_rates(fields, *found.found[0], (2, 2, 1))


def _check_rates(fields, rate, laws, widths):
    """d/dt e^{rate t} P = 0 along the rule's velocity at three fresh states, on data and a loss
    that the search has not seen, by central differences of P; another rate fails."""
    rng, step = np.random.default_rng(11), 1e-5
    data = make_data(rng.normal(size=(6, widths[0])), rng.normal(size=(6, widths[-1])), "logcosh")

    def values(state):
        return laws.coefficients @ np.prod(np.append(state, 1.0)[laws.monomials], axis=1)

    for flat in fields.random_states(rng, 3):
        state = fields.unravel(jnp.asarray(flat))
        move = fields.rule.velocity(jnp.zeros(()), state, fields.feedback, data)
        move = np.asarray(ravel_pytree(move)[0])
        change = (values(flat + step * move) - values(flat - step * move)) / (2 * step)
        size = np.linalg.norm(move) * np.max(np.abs(flat))
        assert np.max(np.abs(change + rate * values(flat))) < 1e-7 * size
        assert np.max(np.abs(change + 1.1 * rate * values(flat))) > 1e-4 * size


def test_momentum_of_feedback_alignment_keeps_laws_from_rest():
    count = count_timed(fields_of(Momentum(FA, MASS, FRICTION), (2, 3, 1)))
    n_in, n_h = 2, 3
    starts = n_h * (n_in + 1)
    orbit = 2 * n_in + 3
    assert count.rest == (starts - (n_in + 1), 2 * starts + 1 - orbit - (starts - (n_in + 1)))
    # Starts that move: two of each linear law, and what angular momenta these leave.
    assert count.independent == 10


@pytest.mark.slow  # many states of a kinked field
def test_kinked_nets_have_no_angular_momentum():
    count = count_timed(fields_of(Momentum(Gradient(), MASS, FRICTION), (2, 2, 1), "relu"))
    assert count.independent == 0 and count.rest == (0, 0)


@pytest.mark.parametrize(
    ("rule", "laws"),
    [
        (WeightDecay(Gradient(), 0.3), 10),  # Q(e^{lambda t} W) for all Q of the gradient
        (WeightDecay(FA, 0.3), 9),  # of feedback alignment its linear ones alone ...
        (WeightDecay(FA, jnp.array([0.3, 0.6])), 13),  # ... unless rates double
    ],
)
def test_decay_keeps_laws_times_an_exponential(rule, laws):
    fields = fields_of(rule, (3, 4, 1))
    count = count_timed(fields)
    assert (count.independent, count.rest) == (laws, None)
    found = find_timed(fields, timed_rates(rule, fields.weights), count.orbits[0].point, 2)
    assert found.independent == laws  # all of them are named


def test_which_rates_are_asked_about():
    net = network((2, 2, 1))
    assert timed_rates(Gradient(), net) == ()
    assert timed_rates(KolenPollack(0.2), net) == (0.4, 0.2)
    assert timed_rates(WeightDecay(FA, jnp.array([0.1, 0.2])), net) == (0.4, 0.2, 0.1)


def _data(sample, outputs):
    rng = np.random.default_rng(3)
    return make_data(rng.normal(size=(4, *sample)), rng.normal(size=(4, outputs)), "squared")


def test_angular_momenta_of_an_attention_head():
    """Q' Q^T - K' K^T and V' V^T - O^T O' of a head, d1 (d1 - 1) / 2 numbers each; none in GELU."""
    head = Model(Chain([Attention(3, 2, 2, key=jax.random.key(1))]))
    found = angular_momenta(
        Momentum(Gradient(), MASS, FRICTION), head, Feedback(), _data((3, 3), 9)
    )
    assert found is not None and found.rate == pytest.approx(FRICTION / MASS)
    assert found.places == ("parts.0.query -> parts.0.key", "parts.0.value -> parts.0.output")
    assert found.sizes == (2, 2)  # two heads, one pair of rows in each
    smooth = Model(TwoLayers(3, 4, 2, key=jax.random.key(1), activation=jax.nn.gelu))
    rule = Momentum(Gradient(), MASS, FRICTION)
    assert angular_momenta(rule, smooth, Feedback(), _data((3,), 2)) is None


def test_balances_of_a_model_that_decay():
    """e^{2 lambda t} times each of the gradient's under equal decay; none at another rate."""
    net = Model(TwoLayers(3, 4, 2, key=jax.random.key(1)))
    rule, data = WeightDecay(Gradient(), 0.2), _data((3,), 2)
    found = model_laws(rule, net, Feedback(), data, 0.4)
    assert found["neuron-balance"].places == ("first -> second",)
    assert found["neuron-balance"].decay == 0.4
    assert not model_laws(rule, net, Feedback(), data, 0.3)
    assert not model_laws(rule, net, Feedback(), data)


def test_the_time_is_the_last_entry_of_the_state():
    fields = fields_of(Momentum(Gradient(), MASS, FRICTION), (2, 2, 1))
    timed = TimedFields(fields)
    state = timed.resting_states(np.random.default_rng(0), 1)[0]
    assert len(state) == 13 and np.all(state[6:12] == 0) and np.all(state[:6] != 0)
    move = timed(jnp.asarray(state), fields.one_lesson())
    assert move[-1] == 1.0 and np.all(np.asarray(move[:6]) == 0)
