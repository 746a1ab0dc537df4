"""Large single flows: blocks by config, memory said and refused, two devices, two processes."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.config.resolve import resolve_path
from faflow.config.schema import SweepSection
from faflow.flow import estimate
from faflow.measures.experiment import build
from faflow.runs import memory
from faflow.runs.run import run
from faflow.store.digest import digest
from faflow.store.result import open_result
from faflow.sweeps.member import compute_member

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 150  # after which a child process is ended

CONFIG = """
name = "large"
[network]
widths = [3, 4, 2]
activation = "tanh"
bias = true
[task]
kind = "gaussian"
samples = 7
features = 3
outputs = 2
[rule]
kind = "feedback-alignment"
[flow]
t1 = 0.2
saves = 2
step = 0.05
[observe]
names = ["loss", "residual"]
"""


def final(result) -> dict[str, np.ndarray]:
    dataset = result.records["final"].to_dataset()
    return {str(name): dataset[name].values for name in dataset}


def assert_equal(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert np.abs(two[name] - weight).max() <= 1e-12 * np.abs(weight).max(), name


@pytest.fixture
def large(placed: Callable[[str, str], Path]) -> Path:
    return placed("large", CONFIG)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory):
    """Its result with all samples at once, on one device."""
    path = tmp_path_factory.mktemp("large") / "large.toml"
    path.write_text(CONFIG)
    return run(path, store_result=False)


def test_a_block_changes_rounding_alone(large: Path, plain) -> None:
    """And so a stored result is the same whatever the block: it is found, not run again."""
    overrides = ["flow.block=3"]
    blocked = run(large, overrides=overrides)
    assert_equal(final(plain), final(blocked))
    assert blocked.summary["loss"] == pytest.approx(plain.summary["loss"], rel=1e-12)
    assert digest(resolve_path(large, overrides)) == digest(resolve_path(large))
    assert not run(large).fresh


def test_show_prints_the_keys(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(large), "--set", "flow.block=3"]) == 0
    said = capsys.readouterr().out
    assert "block = 3\n" in said and "devices = 1\n" in said


@pytest.mark.parametrize(
    ("more", "key", "hint"),
    [
        (["rule.kind=fa-star", "network.bias=false"], "flow.block", "no sum|not taken as a sum"),
        (["rule.kind=hebbian"], "flow.block", "use a layerwise rule"),
        (["rule.kind=align-ada"], "flow.block", "use a layerwise rule"),
        (["network.activation=relu", "flow.kinks=exact"], "flow.block", "kinks = 'plain'"),
        (["observe.names=['loss', 'kernel']"], "flow.block", "'kernel'"),
        (["observe.names=['delta-alignment']"], "flow.block", "all samples at once"),
        (["flow.devices=1000"], "flow.devices", "lower it"),
        (["flow.block=0"], "flow.block", "greater than or equal to 1"),
        (["flow.block=2.5"], "flow.block", "whole number|integer"),
    ],
)
def test_what_is_refused(large: Path, capsys: pytest.CaptureFixture[str], more, key, hint) -> None:
    """In one line that names the key, the value and the remedy."""
    if "flow.kinks=exact" in more:
        large.write_text(CONFIG.replace("step = 0.05\n", ""))
    assert main(["run", str(large), "--set", "flow.block=3", *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"faflow: {key}") and said.count("\n") == 1
    assert any(part in said for part in hint.split("|")), said


def test_population_rules_have_no_samples() -> None:
    resolved = resolve_path(ROOT / "configs" / "order_parameters.toml", ["flow.block=3"])
    with pytest.raises(ConfigError, match=r"flow\.block: is 3.*sum over samples"):
        build(resolved)


# ---- memory -------------------------------------------------------------------------------------


def stated(overrides: list[str]) -> memory.Memory:
    table = tomllib.loads(CONFIG)
    built = build(resolve_path(table, overrides))
    return estimate(built.problem, len(built.ts), built.observables, built.numerics)


def test_what_the_estimate_counts() -> None:
    """Per sample what is held of all and of a block, per weight the solver's copies, per save."""
    samples = ["task.samples=1000", "network.widths=[3, 50, 2]"]
    whole, blocked = stated(samples), stated([*samples, "flow.block=10"])
    assert whole.data == 1000 * (3 + 2) * 8 == blocked.data
    assert whole.activations > 1000 * 52 * 8 and blocked.activations < whole.activations / 10
    count = 3 * 50 + 50 * 2 + 52
    assert whole.state == count * 8 * (7 + 6)  # tsit5: 7 stages
    assert stated([*samples, "flow.solver=heun"]).state == count * 8 * (2 + 6)
    assert stated(["flow.saves=5"]).records == 2.5 * stated([]).records
    dense = ["flow.solver=bdf-dense"]
    table = CONFIG.replace("step = 0.05\n", "")
    built = build(resolve_path(tomllib.loads(table), dense))
    found = estimate(built.problem, 2, {}, built.numerics)
    assert found.jacobian == 5 * 26**2 * 8 and found.records == 0


def test_records_that_do_not_fit_are_refused_with_saves_that_do(
    large: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,400 weights at a million saves are 19.2 GB once, and more while they are gathered and
    written: more than 32 GB. Weights of discrete twins count as well."""
    monkeypatch.setattr(memory, "room", lambda: 32_000_000_000)
    large.write_text(CONFIG.replace("step = 0.05\n", ""))
    wide = ["network.widths=[3, 480, 2]", "observe.save_weights=true", "flow.solver=auto"]

    def refused(*more: str) -> int:
        assert main(["run", str(large), "--no-figures", "--set", *wide, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        found = re.fullmatch(r"faflow: flow\.saves: needs .* GB .*; (\d+) saves would do, .*", line)
        assert found, line
        return int(found[1])

    saves = refused("flow.saves=1000000")
    assert 32e9 / (2400 * 8) / 5 < saves < 32e9 / (2400 * 8)

    def fits(saves: int, *more: str) -> bool:
        resolved = resolve_path(large, [*wide, f"flow.saves={saves}", *more])
        try:
            memory.check_memory(resolved, build(resolved), None)
        except ConfigError:
            return False
        return True

    assert fits(saves) and not fits(saves + 1000)
    twins = "discrete.eta=[0.01, 0.005]"
    fewer = refused("flow.saves=1000000", twins)
    assert fewer < saves / 2 and fits(fewer, twins)
    member = compute_member(resolve_path(large, [*wide, "flow.saves=1000000"]), SweepSection())
    assert member.summary["status"] == "refused" and "saves would do" in member.summary["message"]


def test_it_is_said_and_refused_before_the_run(
    large: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["--no-figures", "--set", "task.samples=2000", "network.widths=[3, 800, 2]"]
    more += ["task.reduction=mean", "flow.step=0.1", "flow.t1=0.1"]
    monkeypatch.setattr(memory, "SMALL", 10_000_000)
    monkeypatch.setattr(memory, "room", lambda: 20_000_000)
    assert main(["run", str(large), *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("faflow: flow.block: needs 0.02") and "samples at once" in said
    monkeypatch.setattr(memory, "room", lambda: 2_000_000_000)
    assert main(["run", str(large), *more]) == 0
    assert "faflow: memory: about 0.02" in capsys.readouterr().err
    assert main(["run", str(large), "--set", "task.samples=2000000000"]) == 2
    assert capsys.readouterr().err.startswith("faflow: task.samples: is 2000000000, whose data")


# ---- devices and processes ----------------------------------------------------------------------


def child(source: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A fresh interpreter in the checkout, on one thread."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SLURM_"))}
    clean |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **environment}
    command = [sys.executable, *(["-c", source] if source else []), *arguments]
    return subprocess.Popen(
        command, env=clean, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(children: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    """What they said on both streams; all are gone afterwards, whatever happens."""
    try:
        return [process.communicate(timeout=SECONDS) for process in children]
    finally:
        for process in children:
            process.kill()
            process.wait()


TWO_DEVICES = """
import gc
gc.disable()
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.flow import FlowProblem, Numerics, integrate, samples_mesh, spread_over
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss, Residual
from faflow.rules import RULES
from faflow.tasks import make_data

mesh, rng = samples_mesh(2), np.random.default_rng(0)
assert mesh.size == 2
see, ts = {"loss": Loss(), "residual": Residual()}, jnp.linspace(0, 0.2, 3)
heun = Numerics(solver="heun", step=0.05)
for kind in ("gradient", "direct-feedback-alignment"):
    rule, widths = RULES[kind](), (3, 4, 2)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape))
    net = MLP((draw(4, 3), draw(2, 4)), (draw(4), draw(2)), ACTIVATIONS["tanh"]())
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), widths, rule.form)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    for reduction in ("sum", "mean"):
        problem = FlowProblem(rule, net, feedback, make_data(x, y, "squared", reduction))
        divided = spread_over(problem, mesh)
        assert len(divided.data.inputs.sharding.device_set) == 2 and len(divided.data.inputs) == 8
        one, two = (integrate(p, ts, see, heun) for p in (problem, divided))
        for a, b in ((one.weights, two.weights), (one.records, two.records)):
            a, b = (np.asarray(ravel_pytree(jax.tree.map(np.asarray, t))[0]) for t in (a, b))
            print(kind, reduction, np.linalg.norm(a - b) / np.linalg.norm(a))
"""


def test_two_devices() -> None:
    """Seven samples on two devices: same weights, loss and residual as on one, to rounding."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    ((said, errors),) = ended([child(TWO_DEVICES, XLA_FLAGS=flags)])
    lines = said.splitlines()
    assert len(lines) == 8, errors[-2000:]
    assert all(float(line.split()[-1]) <= 1e-12 for line in lines), said


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes(large: Path, plain) -> None:
    """The same command twice, on loopback: one result, one voice, the weights of one process."""
    arguments = ["-m", "faflow.cli", "run", str(large), "--distributed", "--no-figures", "--json"]
    place = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    children = [
        child("", *arguments, "--set", "flow.block=2", JAX_PROCESS_ID=str(i), **place)
        for i in range(2)
    ]
    (said, errors), (silent, _) = ended(children)
    assert [process.returncode for process in children] == [0, 0], errors[-2000:]
    assert said.startswith("{") and silent == ""
    stored = open_result(large.parent / "results" / "large")
    assert_equal(final(plain), final(stored))


def test_a_process_alone_is_told_how_to_join(
    large: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PROCESS_ID", "first")
    assert main(["run", str(large), "--distributed"]) == 2
    assert capsys.readouterr().err.startswith("faflow: JAX_PROCESS_ID: is 'first'")
    assert main(["run", str(large), "--distributed", "--certify"]) == 2
    assert "certifies nothing" in capsys.readouterr().err
