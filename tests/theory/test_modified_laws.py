"""Predictions 10-13: what weight decay, learning rates and momentum make of the laws.

Oracle: the modified flows written in numpy and integrated by SciPy, the laws' curves from the
literal formulas of theory 2.8-2.10 (faflow's forecasts are derivatives along what is added to the
field; neither knows of the other).
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from oracles import neuron_balance, random_flow, to_problem
from scipy.integrate import cumulative_simpson, solve_ivp
from whole import completed

from faflow.analysis import law_rate, law_rates
from faflow.flow import FlowProblem, Numerics
from faflow.rules import (
    Forecast,
    KolenPollack,
    LearningRates,
    Momentum,
    WeightDecay,
    WeightNormalisation,
)

WIDTHS = (4, 6, 5, 3)
TS = np.linspace(0.0, 2.0, 9)
NUMERICS = Numerics(rtol=1e-10, atol=1e-12)


def flow_of(rule="feedback-alignment", activation="linear"):
    return random_flow(7, WIDTHS, rule=rule, activation=activation, bias=True, scale=0.7)


def upper(flow):
    """psi of every hidden layer's upper weights, entry by entry, and its power in W."""
    if flow.rule == "gradient":
        return [0.5 * w**2 for w in flow.weights[1:]], 2
    return [w * f for w, f in zip(flow.weights[1:], flow.feedback, strict=True)], 1


def balances(flow):
    """(neurons of all hidden layers,) of Q_lj, theory 2.1-2.4."""
    return np.concatenate(
        neuron_balance(flow, upper(flow)[0], oracles.ACTIVATIONS[flow.activation][2])
    )


def psi_of(flow):
    """k psi per neuron of every hidden layer."""
    degree = oracles.ACTIVATIONS[flow.activation][2]
    return [degree * entries.sum(axis=0) for entries in upper(flow)[0]]


def flat(moves, shifts):
    return np.concatenate([part.ravel() for part in (*moves, *shifts)])


def scaled(flow, factors):
    """Every layer's weights and biases times its factor, flat."""
    pairs = (
        [f * p for f, p in zip(factors, parts, strict=True)]
        for parts in (flow.weights, flow.biases)
    )
    return flat(*pairs)


def solved(field, start, ts=TS):
    found = solve_ivp(field, (ts[0], ts[-1]), start, "DOP853", ts, rtol=1e-12, atol=1e-14)
    assert found.success
    return found.y.T


def run(flow, rule, law="neuron-balance", observe=()):
    """faflow's records of the innermost rule's law, its scale and forecast, and the end weights."""
    problem = to_problem(flow)
    laws = {law: problem.rule.laws(problem.weights)[law]}
    wrapped = Forecast(rule, laws) if hasattr(rule, "forecast") else rule
    claimed = {f"claimed {name}": rule.laws(problem.weights)[name] for name in observe}
    problem = FlowProblem(wrapped, problem.weights, problem.feedback, problem.data)
    return completed(problem, TS, {**laws, **claimed}, NUMERICS)


def joined(record):
    """(saves, entries) of a record with one leaf per layer."""
    return np.concatenate([np.asarray(leaf).reshape(len(TS), -1) for leaf in record], axis=1)


def seen_and_told(found):
    """The neuron balances over time, and their forecast."""
    return (
        joined(found.records["neuron-balance"]),
        joined(found.records["neuron-balance_forecast"]),
    )


NETS = [
    ("feedback-alignment", "linear"),
    ("feedback-alignment", "relu-squared"),
    ("gradient", "relu-squared"),
]


@pytest.mark.parametrize(("name", "activation"), NETS)
def test_weight_decay(name, activation, measured):
    """Prediction 10, theory 2.8: Q_l' = -2 lambda_l Q_l + k (p lambda_{l+1} - 2 lambda_l) psi."""
    flow = flow_of(name, activation)
    power = upper(flow)[1]
    rates = np.array([0.1, 0.2, 0.5])

    def field(t, state):
        at = flow.at(state[: flow.state.size])
        curves, move = np.split(state[flow.state.size :], [WIDTHS[1]]), oracles.velocity(at)
        pull = [
            -2 * rates[l] * q + (power * rates[l + 1] - 2 * rates[l]) * psi
            for l, (q, psi) in enumerate(zip(curves, psi_of(at), strict=True))
        ]
        return np.concatenate([flat(*move) - scaled(at, rates), *pull])

    expected = solved(field, np.concatenate([flow.state, balances(flow)]))
    curves = expected[:, flow.state.size :]
    truth = np.array([balances(flow.at(row[: flow.state.size])) for row in expected])
    size = np.abs(truth).max()
    found = run(flow, WeightDecay(to_problem(flow).rule, rates))
    got, told = seen_and_told(found)
    about = f"weight decay, {name}, {activation}"
    measured(
        10, f"{about}: law against the integral 2.8", np.abs(got - curves).max() / size, below=1e-8
    )
    measured(10, f"{about}: forecast against 2.8", np.abs(told - curves).max() / size, below=1e-8)
    assert np.abs(got - truth).max() / size < 1e-8
    # Control: e^{-2 lambda_l t} is wrong where p lambda_{l+1} differs from 2 lambda_l.
    naive = got[:1] * np.exp(-2 * np.repeat(rates[:2], WIDTHS[1:3])[None, :] * TS[:, None])
    gap = np.abs(got - naive).max(axis=0)
    matched = np.repeat(power * rates[1:] == 2 * rates[:2], WIDTHS[1:3])
    assert matched.any() == (name != "gradient")
    measured(
        10,
        f"{about}: control, e^(-2 lambda t) for any rates",
        gap[~matched].max() / size,
        above=1e-2,
    )
    assert np.all(gap[matched] < 1e-8 * size)


def test_doubling_rates_claim_the_closed_form(measured):
    """Prediction 10: lambda_{l+1} = 2 lambda_l (gradient: equal): Q(t) = e^{-2 lambda_l t} Q(0)."""
    for name, rates, broken in (
        ("feedback-alignment", [0.2, 0.4, 0.8], [0.3, 0.3, 0.3]),
        ("gradient", [0.3, 0.3, 0.3], [0.2, 0.4, 0.8]),
    ):
        flow = flow_of(name, "relu-squared")
        problem = to_problem(flow)
        rule = WeightDecay(problem.rule, rates)
        claims = rule.laws(problem.weights)
        assert {law.layers for law in claims.values()} == {(1, 2)}
        assert WeightDecay(problem.rule, broken).laws(problem.weights) == {}
        found = run(flow, rule, observe=["layer-balance"])
        got = np.asarray(found.records["claimed layer-balance"])
        decay = np.exp(-2 * np.asarray(rates[:2])[None, :] * TS[:, None])
        off = np.abs(got / got[:1] - decay).max()
        measured(10, f"{name}: Q(t) / Q(0) - e^(-2 lambda t), matched rates", off, below=1e-9)
        law = claims["layer-balance"]
        wrong = WeightDecay(problem.rule, broken)
        rate = law_rate(law, wrong, problem.weights, problem.feedback, problem.data).relative
        measured(10, f"{name}: control, rate under other rates", np.max(rate), above=1e-3)


def test_kolen_pollack_with_decay(measured):
    """Prediction 11: (||W_l[j]||^2 - ||F[:,j]||^2)(t) and W - F both shrink as told."""
    flow = flow_of(activation="linear")
    problem = to_problem(flow)
    rule = KolenPollack(jnp.asarray(0.4))
    problem = FlowProblem(rule, problem.weights, problem.feedback, problem.data)
    laws = {"layer-balance": rule.laws(problem.weights)["layer-balance"]}
    found = completed(problem, TS, laws, NUMERICS)
    q = np.asarray(found.records["layer-balance"])
    off = np.abs(q - np.exp(-0.8 * TS)[:, None] * q[:1]).max() / np.abs(q).max()
    measured(11, "Kolen-Pollack, lambda = 0.4: e^(-2 lambda t) Q(0)", off, below=1e-9)
    for w, f, w0, f0 in zip(
        found.weights.weights[1:],
        found.feedback.matrices,
        flow.weights[1:],
        flow.feedback,
        strict=True,
    ):
        gap = np.abs((w - f) - np.exp(-0.4 * TS[-1]) * (w0 - f0)).max()
        measured(11, "Kolen-Pollack: W - F = e^(-lambda t) (W - F)(0)", gap, below=1e-10)
    measured(
        11,
        "control: e^(-lambda t) for the law",
        np.abs(q - np.exp(-0.4 * TS)[:, None] * q[:1]).max(),
        above=1e-2,
    )


@pytest.mark.parametrize(("name", "activation"), NETS)
def test_learning_rates_of_constant_ratio(name, activation, measured):
    """Prediction 12: a common eta(t) keeps Q, constant ratios the weighted Q."""
    flow = flow_of(name, activation)
    problem = to_problem(flow)
    where = (problem.weights, problem.feedback, problem.data)
    for rates, kind in (([2.0], "common eta(t)"), ([0.5, 2.0, 1.0], "constant ratios")):
        rule = LearningRates(problem.rule, rates, 0.3)
        laws = rule.laws(problem.weights)
        for found in law_rates(laws, rule, *where, None, jnp.asarray(0.7)).values():
            rate = np.max(found.relative)
            measured(12, f"{kind}, {name}, {activation}: rate of the law", rate, below=1e-12)
    if name == "gradient" or activation == "linear":
        return  # one flow is enough
    rule = LearningRates(problem.rule, [0.5, 2.0, 1.0], 0.3)
    found = run(flow, rule, observe=["layer-balance"])
    q = np.asarray(found.records["claimed layer-balance"])
    eta = np.array([0.5, 2.0, 1.0])
    weighted = [
        ((w**2).sum() / 2 + (b**2).sum() / 2) / eta[l] - psi.sum() / eta[l + 1]
        for l, (w, b, psi) in enumerate(zip(flow.weights, flow.biases, psi_of(flow), strict=False))
    ]
    np.testing.assert_allclose(q[0], weighted, rtol=1e-12)
    drift = np.abs(q - q[:1]).max() / np.abs(q).max()
    measured(
        12, f"constant ratios, {name}, {activation}: drift of the weighted law", drift, below=1e-8
    )
    plain = joined(found.records["neuron-balance"])
    drift = np.abs(plain - plain[:1]).max() / np.abs(plain).max()
    measured(12, f"control: drift of the plain law, {name}, {activation}", drift, above=1e-2)


@pytest.mark.parametrize(("name", "activation"), [NETS[0], NETS[2]])
def test_learning_rates_of_changing_ratio(name, activation, measured):
    """Prediction 12: Q_lj' = (eta_l - eta_{l+1}) <W_l[j], g_l[j]> (+ bias), drift O(1)."""
    flow = flow_of(name, activation)
    rates, decays = np.array([1.0, 2.0, 0.5]), np.array([0.0, 0.5, 1.0])

    def field(t, state):
        at = flow.at(state[: flow.state.size])
        moves, shifts = oracles.velocity(at)
        eta = rates * np.exp(-decays * t)
        pull = [
            (eta[l] - eta[l + 1])
            * ((at.weights[l] * moves[l]).sum(axis=1) + at.biases[l] * shifts[l])
            for l in range(2)
        ]
        turned = [
            [e * part for e, part in zip(eta, parts, strict=True)] for parts in (moves, shifts)
        ]
        return np.concatenate([flat(*turned), *pull])

    expected = solved(field, np.concatenate([flow.state, balances(flow)]))
    curves = expected[:, flow.state.size :]
    size = np.abs(curves).max()
    rule = LearningRates(to_problem(flow).rule, rates, decays)
    assert rule.laws(to_problem(flow).weights) == {}
    found = run(flow, rule)
    got, told = seen_and_told(found)
    about = f"changing ratios, {name}, {activation}"
    measured(
        12, f"{about}: law against its integral", np.abs(got - curves).max() / size, below=1e-8
    )
    measured(
        12,
        f"{about}: forecast against the integral",
        np.abs(told - curves).max() / size,
        below=1e-8,
    )
    measured(
        12, f"{about}: control, drift of the law", np.abs(got - got[:1]).max() / size, above=1e-2
    )


@pytest.mark.parametrize(("name", "activation"), NETS)
def test_heavy_ball(name, activation, measured):
    """Prediction 13, theory 2.10: Q(T) - Q(0) = (m / gamma) int (1 - e^{-gamma (T-s)/m}) S(s) ds,
    S = ||W_l'||^2 (FA; D^2 Q[W', W'] otherwise), by Simpson's rule on SciPy's trajectory."""
    flow = flow_of(name, activation)
    mass, friction, size = 0.3, 0.8, flow.state.size
    fine = np.linspace(0.0, TS[-1], 4001)

    def field(t, state):
        w, v = state[:size], state[size:]
        return np.concatenate([v, (flat(*oracles.velocity(flow.at(w))) - friction * v) / mass])

    path = solved(field, np.concatenate([flow.state, np.zeros(size)]), fine)
    squares = _squares(flow, path[:, size:])
    kernel = np.exp(friction * fine / mass)[:, None]
    whole = cumulative_simpson(squares, x=fine, axis=0, initial=0)
    lagged = cumulative_simpson(kernel * squares, x=fine, axis=0, initial=0) / kernel
    rise = (mass / friction * (whole - lagged))[:: 4000 // (len(TS) - 1)]
    found = run(flow, Momentum(to_problem(flow).rule, mass, friction))
    got, told = seen_and_told(found)
    scale = np.abs(got).max()
    about = f"heavy ball, {name}, {activation}"
    measured(
        13,
        f"{about}: law against the integral 2.10",
        np.abs(got - got[:1] - rise).max() / scale,
        below=1e-8,
    )
    measured(
        13,
        f"{about}: forecast against 2.10",
        np.abs(told - told[:1] - rise).max() / scale,
        below=1e-8,
    )
    steps = np.diff(got, axis=0)
    if name == "gradient":
        assert steps.min() < 0  # indefinite
    else:
        assert steps.min() > -1e-8 * scale  # every neuron's balance rises, at all times
    measured(
        13, f"{about}: control, drift of the law", np.abs(got - got[:1]).max() / scale, above=1e-2
    )


def _squares(flow, speeds):
    """||W_l'[j]||^2 + beta'^2 (gradient: minus k ||W_{l+1}'[:,j]||^2), (times, neurons of all
    layers)."""
    parts = (*flow.weights, *flow.biases)
    flats = np.split(speeds, np.cumsum([part.size for part in parts])[:-1], axis=1)
    moves = [x.reshape(-1, *part.shape) for x, part in zip(flats, parts, strict=True)]
    weights, biases = moves[: len(flow.weights)], moves[len(flow.weights) :]
    own = [(w**2).sum(axis=2) + b**2 for w, b in zip(weights[:-1], biases[:-1], strict=True)]
    if flow.rule == "gradient":
        degree = oracles.ACTIVATIONS[flow.activation][2]
        own = [s - degree * (w**2).sum(axis=1) for s, w in zip(own, weights[1:], strict=True)]
    return np.concatenate(own, axis=1)


@eqx.filter_jit
def read_and_velocity(rule, state, *where):
    return rule.read(state, *where)[0], rule.velocity(jnp.zeros(()), state, *where)


@pytest.mark.parametrize("activation", ["linear", "relu-squared"])
def test_weight_normalisation(activation):
    """Its velocity is the chain rule's, and it keeps ||v_j|| and the law below a free layer."""
    flow = flow_of(activation=activation)
    problem = to_problem(flow)
    where = (problem.feedback, problem.data)
    rule = WeightNormalisation(problem.rule)
    start = jax.device_get(eqx.filter_jit(rule.init)(problem.weights, *where))
    directions, lengths = state = jax.tree.map(
        lambda x: jnp.asarray(x * (1.0 + 0.3 * np.cos(np.arange(x.size).reshape(x.shape)))), start
    )
    weights, velocity = jax.device_get(read_and_velocity(rule, state, *where))
    flat_weights = [np.asarray(part) for part in (*weights.weights, *weights.biases)]
    moves, _ = oracles.velocity(flow.at(np.concatenate([part.ravel() for part in flat_weights])))
    turned, stretched = velocity
    for layer in (1, 2):
        v, s = np.asarray(directions.weights[layer - 1]), np.asarray(lengths[layer])
        # d W / d (s, v) by finite differences, transposed onto the update g.
        wing = partial(_finite_pullback, update=moves[layer - 1])
        ds, dv = wing(s, v)
        np.testing.assert_allclose(stretched[layer], ds, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(turned.weights[layer - 1], dv, rtol=1e-6, atol=1e-8)
        drift = np.sum(v * np.asarray(turned.weights[layer - 1]), axis=1)
        assert np.abs(drift).max() < 1e-13 * np.abs(v).max() * np.abs(dv).max() * v.shape[1]
    laws = rule.laws(problem.weights)
    assert set(laws) == {"layer-balance", "neuron-balance"}
    assert all(law.layers == (2,) for law in laws.values())
    full = problem.rule.laws(problem.weights)["layer-balance"]
    rates = np.asarray(law_rate(full, rule, problem.weights, *where, state).relative)
    assert rates[1] < 1e-12 and rates[0] > 1e-3  # the control: a normalised layer above breaks it


def _finite_pullback(s, v, update, h=1e-6):
    def weight(s, v):
        return (s / np.linalg.norm(v, axis=1))[:, None] * v

    ds = np.array(
        [
            (update * (weight(s + h * e, v) - weight(s - h * e, v))).sum() / (2 * h)
            for e in np.eye(len(s))
        ]
    )
    dv = np.zeros_like(v)
    for index in np.ndindex(*v.shape):
        step = np.zeros_like(v)
        step[index] = h
        dv[index] = (update * (weight(s, v + step) - weight(s, v - step))).sum() / (2 * h)
    return ds, dv


def test_heavy_ball_steps_are_the_flow_to_first_order():
    """W_{n+1} - W_n = beta (W_n - W_{n-1}) + eta g in t = eta n, m = eta (1 + beta) / 2,
    gamma = 1 - beta: with gamma ~ eta^{1/2} the distance at n ~ eta^{-1/2} goes like eta^{1/2}."""
    flow = flow_of(activation="linear")
    gaps = [_heavy_ball_gap(flow, root) for root in (0.1, 0.05, 0.025)]
    assert 1.8 < gaps[0] / gaps[1] < 2.2
    assert 1.8 < gaps[1] / gaps[2] < 2.2


def _heavy_ball_gap(flow, root):
    eta, beta, size = root**2, 1 - 0.5 * root, flow.state.size
    mass, friction = eta * (1 + beta) / 2, 1 - beta
    now = before = flow.state
    for _ in range(round(1 / root)):
        move = flat(*oracles.velocity(flow.at(now)))
        now, before = now + beta * (now - before) + eta * move, now

    def field(t, state):
        w, v = state[:size], state[size:]
        return np.concatenate([v, (flat(*oracles.velocity(flow.at(w))) - friction * v) / mass])

    start = np.concatenate([flow.state, np.zeros(size)])
    return np.abs(solved(field, start, np.array([0.0, root]))[-1][:size] - now).max()


def test_modifiers_say_what_they_cannot_do():
    problem = to_problem(flow_of())
    with pytest.raises(ValueError, match="3"):
        WeightDecay(problem.rule, [0.1, 0.2]).laws(problem.weights)
    with pytest.raises(ValueError, match="state"):
        Momentum(KolenPollack())
    with pytest.raises(ValueError, match="state"):
        WeightDecay(Momentum(problem.rule))
    with pytest.raises(ValueError, match="layer 4"):
        WeightNormalisation(problem.rule, (4,)).laws(problem.weights)
