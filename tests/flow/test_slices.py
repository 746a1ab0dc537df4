"""A flow in slices: wherever it is cut it ends in the same bits, and what it was given is left."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import Flow, FlowProblem, Numerics, Stops, integrate
from faflow.flow.loop import slices
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.solvers import BDF
from faflow.tasks import make_data

TS = jnp.array([0.0, 0.1, 1.5, 1.6, 6.0])


def problem(activation: str = "tanh") -> FlowProblem:
    rng = np.random.default_rng(3)
    x, y = jnp.asarray(rng.normal(size=(6, 3))), jnp.asarray(rng.normal(size=(6, 1)))
    weights = tuple(jnp.asarray(0.5 * rng.normal(size=s)) for s in ((4, 3), (1, 4)))
    feedback = Feedback((jnp.asarray(rng.normal(size=(1, 4))),))
    net = MLP(weights, activation=ACTIVATIONS[activation]())
    return FlowProblem(FeedbackAlignment(), net, feedback, make_data(x, y))


# One of each kind of step loop, and what is renewed at saves: tolerances with `tail`.
FLOWS = {
    "tsit5": ("tanh", Numerics(solver="tsit5", rtol=1e-6, atol=1e-8)),
    "tail": ("linear", Numerics(solver="tsit5", rtol=1e-4, atol=1e-6, tail=True)),
    "stopped": ("tanh", Numerics(solver="heun", rtol=1e-4, atol=1e-6, stops=Stops(loss=0.9))),
    "adams": ("tanh", Numerics(solver="adams", rtol=1e-6, atol=1e-8, tail=True)),
    "bdf, products": ("tanh", Numerics(solver=BDF("krylov"), rtol=1e-4, atol=1e-6, tail=True)),
    "bdf, factors": ("tanh", Numerics(solver="bdf-dense", rtol=1e-5, atol=1e-7)),
    "exact": ("relu", Numerics(solver="tsit5", rtol=1e-6, atol=1e-8, kinks="exact")),
}


def leaves(solution) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(solution)]


@pytest.mark.parametrize("kind", FLOWS)
def test_cuts_change_no_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    activation, numerics = FLOWS[kind]
    flow, told = problem(activation), []
    program = eqx.debug.assert_max_traces(slices.go_on, max_traces=1)
    begin, _, observed = slices.programs_of_flows()
    programs = begin, eqx.filter_jit(program, donate="all-except-first"), observed
    monkeypatch.setattr(slices, "programs_of_flows", lambda *_: programs)
    monkeypatch.setattr(slices, "first_budget", lambda flow: slices.MOST)
    whole = integrate(flow, TS, {"loss": Loss()}, numerics, meter=told.append, throw=False)
    assert told == [1.0]
    assert bool(whole.reached[1]) and np.isfinite(whole.records["loss"][1])
    for budget in (1, 7):
        told.clear()
        monkeypatch.setattr(slices, "first_budget", lambda flow, size=budget: size)
        monkeypatch.setattr(slices, "next_budget", lambda *_, size=budget: size)
        cut = integrate(flow, TS, {"loss": Loss()}, numerics, meter=told.append, throw=False)
        assert len(told) >= int(whole.counts.accepted) / budget  # it was cut indeed
        assert told == sorted(told) and told[-1] == 1.0 and 0 < told[len(told) // 2] < 1
        for one, other in zip(leaves(whole), leaves(cut), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_too_large_to_keep_is_observed_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are the same whether they are made of kept states or on the way."""
    activation, numerics = FLOWS["stopped"]
    flow, found = problem(activation), []
    for states in (slices.STATES, 0):
        monkeypatch.setattr(slices, "STATES", states)
        programs = [eqx.filter_jit(part) for part in (slices.begin, slices.go_on, slices.observed)]
        arguments = Flow(flow, TS, {"loss": Loss()}, numerics)
        solution, _ = slices.in_slices(arguments, programs=tuple(programs))
        found.append(solution)
    kept, seen = found
    assert 0 < int(np.sum(np.asarray(kept.reached))) < len(TS)
    np.testing.assert_allclose(kept.records["loss"], seen.records["loss"], rtol=1e-14)
    for one, other in zip(
        leaves(kept._replace(records={})), leaves(seen._replace(records={})), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_was_given_is_left() -> None:
    """A slice overwrites its input; what the caller gave must not be that input, even where the
    first state is the weights themselves."""
    one = MLP((jnp.ones((1, 1)),), activation=ACTIVATIONS["linear"]())
    data = make_data(jnp.ones((1, 1)), jnp.zeros((1, 1)))
    flow, ts = FlowProblem(FeedbackAlignment(), one, Feedback(()), data), jnp.array([0.0, 1.0])
    for _ in range(2):
        end = integrate(flow, ts, {"loss": Loss()})
        np.testing.assert_allclose(end.weights.weights[0], np.exp(-1.0), rtol=1e-7)
    assert float(flow.weights.weights[0][0, 0]) == 1.0 and float(ts[1]) == 1.0


def test_budgets_follow_the_clock() -> None:
    """About a quarter of a second each; a field that is dear begins with one step."""
    assert slices.next_budget(100, slices.SECONDS / 4) == 400
    assert slices.next_budget(100, slices.SECONDS * 4) == 25
    assert slices.next_budget(100, 1e-9) == 100 * slices.LONGER
    assert slices.next_budget(1, 1e6) == 1
    assert slices.first_budget(problem()) > 100
    wide = problem()
    large = make_data(jnp.zeros((100_000, 3)), jnp.zeros((100_000, 1)))
    wide = eqx.tree_at(lambda p: p.data, wide, large)
    assert slices.first_budget(wide) == 1


def test_inside_other_programs() -> None:
    """Under jit (also of nothing that is traced) and vmap a flow is one loop, told of to nobody."""
    flow, numerics, told = problem(), FLOWS["tsit5"][1], []

    def end(scale=None):
        moved = flow
        if scale is not None:
            weights = jax.tree.map(lambda w: scale * w, flow.weights)
            moved = eqx.tree_at(lambda p: p.weights, flow, weights)
        solution = integrate(moved, TS, {}, numerics, meter=told.append, throw=False)
        return solution.weights.weights[0]

    apart = end()
    assert told
    told.clear()
    np.testing.assert_allclose(jax.jit(end)(), apart, rtol=1e-10)
    ends = jax.vmap(end)(jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(ends[0], apart, rtol=1e-10)
    assert not told
