"""Batches of flows: each member as if it were alone, on one device and on two."""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.ensembles import solve_batch
from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.flow import Flow, FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import RULES
from faflow.tasks import make_data


def flow(seed: int, kind: str = "feedback-alignment", **numerics) -> Flow:
    """tanh 4-3-1 on 8 samples, whose scale grows with the seed: so does the number of steps."""
    rng, rule = np.random.default_rng(seed), RULES[kind]()
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape))  # noqa: E731
    net = MLP((draw(3, 4), draw(1, 3)), (), ACTIVATIONS["tanh"]())
    back = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(seed), (4, 3, 1), rule.form, net)
    scale = 1.0 + seed
    data = make_data(
        scale * rng.standard_normal((8, 4)), scale * rng.standard_normal((8, 1)), "squared", "mean"
    )
    ts = jnp.linspace(0.0, 2.0, 5)
    return Flow(FlowProblem(rule, net, back, data), ts, {"loss": Loss()}, Numerics(**numerics))


def close(one, other) -> None:
    for a, b in zip(jax.tree.leaves(one.weights), jax.tree.leaves(other.weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.records["loss"], other.records["loss"], rtol=1e-9)


@pytest.mark.parametrize("solver", ["tsit5", "adams", pytest.param("bdf", marks=pytest.mark.slow)])
def test_members_are_as_if_alone(solver: str) -> None:
    flows = [flow(seed, solver=solver) for seed in range(4)]
    for one, found in zip(flows, solve_batch(flows), strict=True):
        close(found, integrate(*one[:4]))


def test_a_member_beyond_the_budget_is_run_again() -> None:
    flows = [flow(seed) for seed in range(4)]
    whole = solve_batch(flows)
    steps = [int(s.counts.accepted + s.counts.rejected) for s in whole]
    budget = sorted(steps)[1]
    assert max(steps) > budget
    for one, other in zip(solve_batch(flows, budget=budget), whole, strict=True):
        close(one, other)
        assert int(one.outcome) == 0
    # A flow's own limit is still its limit.
    limited = solve_batch([flow(seed, max_steps=5) for seed in range(2)], budget=3)
    assert all(int(s.counts.accepted + s.counts.rejected) == 5 for s in limited)


def test_flows_of_two_programs_are_refused() -> None:
    with pytest.raises(ValueError, match="of one program"):
        solve_batch([flow(0), flow(0, kind="gradient")])
    with pytest.raises(ValueError, match="of one program"):
        solve_batch([flow(0), flow(0)._replace(ts=jnp.linspace(0.0, 2.0, 7))])


TWO_DEVICES = """
import gc; gc.disable()
import sys; sys.path.insert(0, {tests!r})
import jax; jax.config.update("jax_enable_x64", True)
import numpy as np
from jax.sharding import Mesh
from test_batch import close, flow
from faflow.ensembles import batch, solve_batch
flows = [flow(seed) for seed in range(5)]
assert len(jax.devices()) == 2
for one, two in zip(solve_batch(flows), solve_batch(flows, jax.devices()), strict=True):
    close(one, two)
mesh = Mesh(np.asarray(jax.devices()), ("members",))
print(batch._solve_stacked.lower(batch.stacked(flows[:4]), mesh).compile().compiled.as_text())
"""
COLLECTIVE = re.compile(r"\b(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)")


def test_two_devices_do_not_wait_for_each_other(tmp_path) -> None:
    """The same numbers, and no collective in the compiled program; a sum over both has one."""
    code = TWO_DEVICES.format(tests=__file__.rsplit("/", 1)[0])
    control = """
print("CONTROL")
total = jax.jit(jax.shard_map(lambda x: jax.lax.psum(x, "members"), mesh=mesh,
    in_specs=jax.sharding.PartitionSpec("members"), out_specs=jax.sharding.PartitionSpec()))
print(total.lower(jax.numpy.ones(2)).compile().as_text())
"""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    found = subprocess.run(
        [sys.executable, "-c", code + control], capture_output=True, text=True, timeout=300,
        env={"XLA_FLAGS": flags, "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu",
             "PYTHONPATH": ":".join(sys.path)}, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    program, _, summed = found.stdout.partition("CONTROL")
    assert "while" in program
    assert not COLLECTIVE.search(program)
    assert COLLECTIVE.search(summed)
