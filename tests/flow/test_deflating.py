"""Directions of the Jacobian that the BDF keeps: fewer products on a flow of layers and of a model,
to the same weights; the same bits however the flow is cut; under vmap; where they are kept."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate, solve
from faflow.flow.loop import multistep, slices, ways
from faflow.flow.loop.deflating import MOST, directions_of
from faflow.flow.loop.ways import way_of
from faflow.networks import ACTIVATIONS, MLP, Model
from faflow.networks.models import Transformer
from faflow.rules import RULES
from faflow.solvers import BDF
from faflow.solvers.multistep import LARGE
from faflow.tasks import make_data

TS = jnp.array([0.0, 3.0, 5000.0])
KRYLOV = Numerics(solver="bdf-krylov", rtol=1e-6, atol=1e-8)
TSIT5, ADAMS = (Numerics(solver=name, rtol=1e-9, atol=1e-11) for name in ("tsit5", "adams"))


def problem(
    samples: int = 64, opposed: bool = False, widths: tuple[int, ...] = (6, 12, 12, 3)
) -> FlowProblem:
    """Tanh nets with more samples times outputs (192) than a kernel pays for; feedback `opposed` to
    the weights. Many inputs are of scales 1 ... 10^-2.5, which makes a flow stiff, and learn by
    gradients."""
    rng = np.random.default_rng(1)
    pairs = list(itertools.pairwise(widths))
    weights = tuple(jnp.asarray(rng.normal(size=(o, i)) / i**0.5) for i, o in pairs)
    back = tuple(jnp.asarray(rng.normal(size=w.shape) / w.shape[1] ** 0.5) for w in weights[1:])
    back = tuple(-w for w in weights[1:]) if opposed else back
    x = rng.normal(size=(samples, widths[0]))
    x = x * np.geomspace(1.0, 10**-2.5, widths[0]) if widths[0] > 6 else x
    targets = np.sin(x @ rng.normal(size=(widths[0], widths[-1])))
    data = make_data(x, targets, "squared", "mean")
    net = MLP(weights, (), ACTIVATIONS["tanh"]())
    if widths[0] > 6:
        return FlowProblem(RULES["gradient"](), net, Feedback(), data)
    return FlowProblem(RULES["feedback-alignment"](), net, Feedback(back), data)


def ends(one: FlowProblem, ts: jax.Array, numerics: Numerics) -> Any:
    return solve(one, ts, {}, numerics)


shared = eqx.filter_jit(ends)  # one program for all flows of the same shapes


def flown(one: FlowProblem, numerics: Numerics = KRYLOV, t1: float = 5000.0) -> Any:
    return shared(one, np.array([0.0, t1]), numerics)


def flown_without(monkeypatch: pytest.MonkeyPatch, one: FlowProblem, t1: float = 5000.0) -> Any:
    """The same flow by plain GMRES."""
    monkeypatch.setattr(ways, "directions_of", lambda problem, size: 0)
    return eqx.filter_jit(lambda *given: ends(*given))(one, np.array([0.0, t1]), KRYLOV)


def away(one: Any, other: Any) -> float:
    """The largest difference of any weight."""
    pairs = zip(jax.tree.leaves(one.weights), jax.tree.leaves(other.weights), strict=True)
    return max(float(np.max(np.abs(np.subtract(*map(np.asarray, pair))))) for pair in pairs)


def test_a_flow_takes_three_quarters_of_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals counted, and to the weights that Adams' methods find at 1e-9."""
    one = problem(100, widths=(30, 10, 1))
    with_them = flown(one)
    bare = flown_without(monkeypatch, one)
    work, more = with_them.counts.implicit, bare.counts.implicit
    assert int(bare.counts.accepted) * 0.9 < int(with_them.counts.accepted)
    assert 4 * int(work.products) <= 3 * int(more.products)
    assert int(with_them.counts.evaluations) > int(work.iterations)  # a renewal evaluates too
    explicit = flown(one, ADAMS)
    assert away(with_them, explicit) < 3e-5 and away(bare, explicit) < 3e-5


def test_feedback_that_points_away_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """J is indefinite and not normal: as exact, and hardly more products than without."""
    one, t1 = problem(opposed=True), 300.0
    ours = flown(one, t1=t1)
    assert away(ours, flown(one, TSIT5, t1)) < 5e-4
    bare = flown_without(monkeypatch, one, t1)
    assert int(ours.counts.implicit.products) <= 1.1 * int(bare.counts.implicit.products) + 2 * MOST


def test_cuts_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directions are part of what a flow is resumed from."""
    one = problem()
    seen, bits = [], []
    renew = multistep.deflation.renewed
    monkeypatch.setattr(
        multistep.deflation, "renewed", lambda *a: (seen.append(1), renew(*a))[1]
    )  # fmt: skip
    parts: Any = slices.begin, slices.go_on, slices.observed
    programs = tuple(eqx.filter_jit(part) for part in parts)
    monkeypatch.setattr(slices, "programs_of_flows", lambda *_: programs)
    for budget in (slices.MOST, 9):
        monkeypatch.setattr(slices, "first_budget", lambda flow, size=budget: size)
        monkeypatch.setattr(slices, "next_budget", lambda *_, size=budget: size)
        bits.append(integrate(one, TS, {}, KRYLOV))
    assert seen  # they are part of the program, and
    assert int(bits[0].counts.evaluations) > int(bits[0].counts.implicit.iterations) + 3  # renewed
    for mine, other in zip(*map(jax.tree.leaves, bits), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_under_vmap_flows_are_those_of_one() -> None:
    """Three scales of targets, which renew at different steps."""
    one, ts, scales = problem(), jnp.array([0.0, 1000.0]), np.array([0.3, 1.0, 2.0])
    moved = lambda targets: eqx.tree_at(lambda p: p.data.targets, one, targets)  # noqa: E731
    targets = scales[:, None, None] * np.asarray(one.data.targets)
    alone = [shared(moved(row), ts, KRYLOV) for row in targets]
    found = jax.jit(jax.vmap(lambda row: ends(moved(row), ts, KRYLOV)))(targets)
    products = [int(each.counts.implicit.products) for each in alone]
    assert len(set(np.asarray(found.counts.implicit.products).tolist())) == 3
    for row, each in enumerate(alone):
        assert away(jax.tree.map(lambda leaf: np.asarray(leaf)[row], found), each) < 1e-5  # noqa: B023
    np.testing.assert_allclose(found.counts.implicit.products, products, rtol=0.1)


def test_a_model_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By products alone: a transformer block, for which there is no kernel."""
    rng = np.random.default_rng(0)
    block = {"width": 4, "heads": 1, "depth": 1, "hidden": 8}
    net = eqx.filter_jit(lambda key: Model(Transformer(2, 1, **block, key=key)))(jax.random.key(0))
    data = make_data(rng.normal(size=(24, 5, 2)), rng.normal(size=(24, 1)), reduction="mean")
    one = FlowProblem(RULES["gradient"](), net, Feedback(), data)
    size = sum(leaf.size for leaf in jax.tree.leaves(net))
    assert way_of(one, BDF("krylov"), size).rank == 24
    ours = flown(one)
    bare = flown_without(monkeypatch, one)
    assert int(ours.counts.implicit.products) < 0.8 * int(bare.counts.implicit.products)
    assert away(ours, bare) < 1e-4


def test_where_they_are_kept_and_how_many() -> None:
    """As many as samples, a quarter of the weights, MOST and 64 MB allow, in eights; not where the
    kernel serves, nor where factors may be had."""
    size = sum(leaf.size for leaf in jax.tree.leaves(problem().weights))
    assert size == 252
    assert [directions_of(problem(n), size) for n in (7, 8, 20, 64)] == [0, 8, 16, MOST]
    assert [directions_of(problem(), size) for size in (31, 32, 100, 2**18, 2**20, 2**20 + 1)] == [
        0,
        8,
        24,
        MOST,
        8,
        0,
    ]
    way = way_of(problem(), BDF("krylov"), size)
    assert way.rank == MOST and f"with up to {MOST} directions of the Jacobian kept" in way.told
    assert way_of(problem(), BDF(), size).rank == way_of(problem(), BDF("dense"), size).rank == 0
    few = way_of(problem(4), BDF("krylov"), size)
    assert few.preconditioned and few.rank == 0
    assert way_of(problem(), BDF(), LARGE + 1).rank == MOST  # which factors nothing
