"""Exact flows against the discrete rule, which converges to them at first order in its step.

`random_flows` draws the problems; those of one kind share a program per set of options.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_flows import (
    KINDS,
    T_END,
    coarse_runs,
    distance,
    euler,
    exact_numerics,
    judge,
    random_flow,
)

from faflow._results import Outcome
from faflow.flow import Stops, integrate, solve
from faflow.flow.loop import slices
from faflow.flow.piecewise.exact import FEW, TIERS
from faflow.flow.piecewise.pairs import layout_of
from faflow.observables import Loss

SEEDS = range(8)
SLIDES, EVENTS, SLOTS = 0, 300, 16  # seed of the net that most tests share; room for its events
RESTS, MANY_SLIDE = 1, 7  # of one that comes to rest; of a leaky one that slides on more than 8
ENDS = jnp.array([0.0, T_END])
NEVER = Stops(steady=-1.0, loss=-1.0)  # watched, and never met: one program with those that are
NAMED = {
    Outcome.COMPLETED, Outcome.NOT_UNIQUE, Outcome.NO_CONTINUATION, Outcome.EVENT_CASCADE
}  # fmt: skip


def run(problem, ts=ENDS, observables=None, **options):
    """`slots` and `events` are static: few values, few programs."""
    numerics = exact_numerics(**options)
    return integrate(problem, ts, observables or {}, numerics, throw=False)


# ---- the discrete rule --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "slots"),
    [
        ("gradient-leaky", SLOTS),
        pytest.param("fa-deep-bias", 32, marks=pytest.mark.slow),
        pytest.param("fa-softmax", 32, marks=pytest.mark.slow),
    ],
)
def test_random_flows_end_with_an_outcome_and_agree_with_the_discrete_rule(kind, slots):
    """`benchmarks/relu_random.py` asks the same of 200 problems."""
    landed = completed = 0
    problems = [random_flow(KINDS[kind], seed) for seed in SEEDS]
    for seed, problem, runs in zip(SEEDS, problems, coarse_runs(problems), strict=True):
        solution = run(problem, slots=slots, stops=NEVER)
        assert Outcome(int(solution.outcome)) in NAMED, seed
        landed += int(solution.events.counts.landed)
        if int(solution.outcome) == Outcome.COMPLETED:
            completed += 1
            verdict = judge(problem, solution.weights, runs=runs)
            assert verdict.agrees, (seed, verdict)
    assert landed >= 3 and completed >= len(SEEDS) // 2


# ---- one net that slides: everything else -------------------------------------------------------

SAVES = 101


def late(t_end=T_END):
    """As many saves as where they are dense, all but the first in the last moment."""
    return np.concatenate([[0.0], t_end - 1e-9 * np.arange(SAVES - 2, -1, -1)])


def run_net(net, ts=None, tol=1e-9, max_steps=40_000, **stops):
    """One program for all of these flows: numbers alone differ."""
    stops = Stops(**({"steady": -1.0, "loss": -1.0} | stops))
    return run(net, late() if ts is None else ts, {"loss": Loss()}, tol=tol, max_steps=max_steps,
               stops=stops, events=EVENTS, slots=SLOTS)  # fmt: skip


@pytest.fixture(scope="module")
def net():
    return random_flow(KINDS["gradient"], SLIDES)


@pytest.fixture(scope="module")
def exact(net):
    return run_net(net)


def test_the_discrete_rule_converges_at_first_order(net, exact):
    """The ratio error / eta stays within a factor of two over two decades of eta."""
    assert int(exact.outcome) == Outcome.COMPLETED and int(exact.events.counts.landed) >= 3
    ratios = [distance(euler(net, eta, T_END), exact.weights) / eta for eta in (1e-2, 1e-3, 1e-4)]
    assert max(ratios[1:]) < 2 * min(ratios[1:]), ratios


def test_tolerances_converge_to_each_other(net, exact):
    finest, coarse = (run_net(net, tol=tol) for tol in (1e-12, 1e-6))
    gaps = [distance(one.weights, finest.weights) for one in (coarse, exact)]
    assert gaps[0] < 1e-3 and gaps[1] < 1e-6 and gaps[1] < gaps[0] / 10, gaps
    assert int(finest.events.counts.landed) == int(exact.events.counts.landed)


def test_save_times_change_nothing(net, exact):
    dense = run_net(net, np.linspace(0.0, T_END, SAVES))
    assert distance(dense.weights, exact.weights) < 1e-8
    assert np.all(np.isfinite(dense.records["loss"])) and np.all(dense.reached)
    sliding, pairs = dense.events.sliding_at.sum(1), dense.events.pairs_at
    np.testing.assert_array_equal((np.asarray(pairs) >= 0).sum(1), sliding)
    used = np.asarray(pairs) >= 0
    gates = np.asarray(dense.events.gates_at)
    np.testing.assert_array_equal(np.isfinite(gates), used)
    assert np.all((gates[used] > -1e-6) & (gates[used] < 1 + 1e-6))


def test_log_agrees_with_counts_and_leads_to_the_final_mode(net, exact):
    counts, log, end = exact.events.counts, exact.events.log, exact.events
    written = int(log.written)
    assert written == int(counts.crossed) + int(counts.landed) + int(counts.left) <= EVENTS
    times, became = np.asarray(log.time), np.asarray(log.became)
    assert np.all(np.diff(times[:written]) >= 0) and np.all(np.isnan(times[written:]))
    # One hidden layer: pair (sample, unit) at sample * width + unit.
    h0 = np.asarray(net.weights.trace(net.data.inputs).pre[0])
    state = np.sign(h0)
    landed = left = crossed = 0
    for k in range(written):
        place = int(log.sample[k]), int(log.unit[k])
        before, after = state[place], became[k]
        assert before != after, k
        landed += after == 0
        left += before == 0
        crossed += before * after < 0
        state[place] = after
    assert (crossed, landed, left) == (int(counts.crossed), int(counts.landed), int(counts.left))
    assert layout_of(net.weights, 16).pairs == state.size
    final = np.where(end.sliding, 0, np.where(end.above, 1, -1)).reshape(state.shape)
    np.testing.assert_array_equal(state, final)
    h = np.asarray(exact.weights.trace(net.data.inputs).pre[0])
    np.testing.assert_array_equal(np.where(np.abs(h) < 1e-7, 0, np.sign(h)), final)


def test_a_flow_asks_for_the_program_that_it_needs(monkeypatch):
    """With code for few sliding pairs first it comes to the same as by the other one alone,
    wherever it is cut; and it stops there too. The programs are those of the random flows above."""
    problem, course = random_flow(KINDS["gradient-leaky"], MANY_SLIDE), slices.course
    begin, go_on, observed = slices.programs_of_flows()
    levels: list[int] = []
    traced: list[int | None] = []

    def from_level(first):
        def goes_on(flow, underway, budget, until, level):
            levels.append(max(first, level))
            return go_on(flow, underway, budget, until, levels[-1])

        programs = begin, goes_on, observed
        monkeypatch.setattr(slices, "programs_of_flows", lambda *_: programs)
        levels.clear()
        return run(problem, slots=SLOTS, stops=NEVER)

    whole = from_level(0)
    assert levels == sorted(levels) and set(levels) == {0, 1}
    assert int(whole.events.counts.most_sliding) > TIERS[FEW - 1]
    alone = from_level(1)
    assert set(levels) == {1} and distance(whole.weights, alone.weights) < 1e-9
    for one, other in zip(whole.events.counts, alone.events.counts, strict=True):
        assert int(one) == int(other)

    def watched(flow, level=None):
        traced.append(level)
        return course(flow, level=level)

    monkeypatch.setattr(slices, "course", watched)
    monkeypatch.setattr(slices, "first_budget", lambda flow: 3)
    monkeypatch.setattr(slices, "next_budget", lambda *_: 3)
    cut = from_level(0)
    assert traced == [] and levels == sorted(levels) and set(levels) == {0, 1}
    assert len(levels) > int(whole.counts.accepted) / 3
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        np.testing.assert_array_equal(one, other)

    end = eqx.filter_jit(lambda weights, data: data.value(weights(data.inputs)))
    target = 1.001 * float(end(whole.weights, problem.data))
    hit = run(problem, slots=SLOTS, stops=Stops(steady=-1.0, loss=target))
    assert int(hit.outcome) == Outcome.TARGET_REACHED and levels[-1] == 1
    assert 0 < float(hit.t_final) < T_END and int(hit.events.sliding.sum()) > 0


@pytest.mark.slow
def test_members_of_a_vmap_are_the_single_runs(net):
    seeds = range(4)
    problems = [random_flow(KINDS["gradient"], seed) for seed in seeds]
    arrays = [eqx.partition(problem, eqx.is_array)[0] for problem in problems]
    static = eqx.partition(net, eqx.is_array)[1]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)
    # The budget ends some members early, others not.
    numerics = exact_numerics(max_steps=150, slots=SLOTS, events=EVENTS)

    @eqx.filter_jit
    def batch(stacked):
        def one(arrays):
            problem = eqx.combine(arrays, static)
            return solve(problem, ENDS, {}, numerics)

        return jax.vmap(one)(stacked)

    members = batch(stacked)
    singles = [run(problem, max_steps=150, events=EVENTS, slots=SLOTS) for problem in problems]
    outcomes = [int(single.outcome) for single in singles]
    assert len(set(outcomes)) > 1, outcomes
    np.testing.assert_array_equal(members.outcome, outcomes)
    for k, single in enumerate(singles):
        mine = jax.tree.map(lambda leaf, k=k: leaf[k], members)
        assert distance(mine.weights, single.weights) < 1e-9
        np.testing.assert_allclose(float(mine.t_final), float(single.t_final), atol=1e-9)


def test_stops():
    """A stop is watched while pairs slide; each has its outcome and the time it was met."""
    net = random_flow(KINDS["gradient"], RESTS)

    def ended(**changes):
        return run_net(net, late(3000.0), **({"steady": 1e-6} | changes))

    resting = ended()
    assert int(resting.outcome) == Outcome.STEADY_STATE and float(resting.t_final) < 3000.0
    assert int(resting.events.sliding.sum()) > 0
    start, end = np.asarray(resting.records["loss"])[:2]
    target = 0.5 * (start + end)
    hit = ended(steady=-1.0, loss=target)
    assert int(hit.outcome) == Outcome.TARGET_REACHED
    assert float(hit.records["loss"][1]) <= target and float(hit.t_final) < T_END
    size = np.sqrt(sum(np.sum(np.asarray(w) ** 2) for w in net.weights.weights))
    assert int(ended(blow_up=0.5 * size / (1 + size)).outcome) == Outcome.BLOW_UP
    short = run_net(net, max_steps=20)
    assert int(short.outcome) == Outcome.MAX_STEPS and 0 < float(short.t_final) < T_END


@pytest.mark.slow
def test_laws_hold_while_deep_nets_slide():
    kind, landed = KINDS["fa-deep"], 0
    for seed in range(4):
        problem = random_flow(kind, seed)
        solution = run(problem, jnp.linspace(0.0, T_END, 5), problem.rule.laws(problem.weights))
        landed += int(solution.events.counts.landed)
        assert solution.records
        for leaf in jax.tree.leaves(solution.records):
            values = np.asarray(leaf)[np.asarray(solution.reached)]
            assert np.max(np.abs(values - values[0])) < 1e-9
    assert landed >= 3
