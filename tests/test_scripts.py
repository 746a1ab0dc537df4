"""The short programs of scripts/: they run as they stand, draw a picture, and what they print is
what theory, SciPy or a loop in numpy says."""

import ast
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from oracles import Flow, trajectory
from scipy.integrate import solve_ivp

from faflow.tasks import make_data

matplotlib.use("agg")

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
Names = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Names]:
    """Runs a script as a program; its variables. Nothing but the figure may be left behind."""

    def run(name: str, *more: str) -> Names:
        figure = tmp_path / "figure.png"
        monkeypatch.setattr(sys, "argv", [name, str(figure), *more])
        monkeypatch.chdir(tmp_path)
        names = runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
        pyplot.close("all")
        assert list(tmp_path.iterdir()) == [figure]
        assert pyplot.imread(figure).std() > 0.01
        return names

    return run


def test_config_flow(run, capsys) -> None:
    law = run("config_flow")["law"]
    assert max(law["rate_at_start"]) < 1e-14 and max(law["relative_drift"]) < 1e-10
    assert "theorem1-linear: completed at t = 20" in capsys.readouterr().out


def test_law_drift(run) -> None:
    """In proportion to the tolerance, or rounding; of a law that is written out here again."""
    names = run("law_drift")
    assert 0.8 < names["slopes"]["tsit5"] < 1.3 and 0.8 < names["slopes"]["dopri8"] < 1.3
    assert max(names["drifts"]["gauss4"]) < 1e-14 < min(names["drifts"]["dopri8"])
    weights, feedback = names["weights"], names["feedback"]
    balance = [
        0.5 * np.sum(below**2) - np.sum(above * back)
        for below, above, back in zip(weights, weights[1:], feedback, strict=False)
    ]
    law = names["law"](names["network"], names["problem"].feedback, names["data"])
    np.testing.assert_allclose(law, balance, rtol=1e-13)


def test_exponent_over_widths(run) -> None:
    names = run("exponent_over_widths")
    np.testing.assert_allclose(names["rates"], names["predicted"], rtol=1e-4)
    assert np.all(np.abs(names["rates"] / names["wide"] - 1)[1:] < 1e-3)
    assert abs(names["slope"] - 1) < 0.05
    # e' = -K e at the end of the last flow, K in numpy.
    first, second = map(np.asarray, names["flow"].weights.weights)
    x, back = names["inputs"], np.asarray(names["feedback"].matrices[0])
    kernel = np.sum(second * back) * x @ x.T + x @ first.T @ first @ x.T
    rate = np.linalg.eigvals(kernel / len(x)).real.min()
    np.testing.assert_allclose(names["rates"][-1], rate, rtol=1e-4)


def test_compare_rules(run) -> None:
    """The losses at the end are those of SciPy on the equations in numpy."""
    names = run("compare_rules")
    for rule in names["names"][:3]:
        problem, flow = names["problems"][rule], names["flows"][rule]
        x, y = np.asarray(problem.data.inputs), np.asarray(problem.data.targets)
        matrices = (tuple(map(np.asarray, m)) for m in
                    (problem.weights.weights, problem.feedback.matrices))  # fmt: skip
        weights, feedback = matrices
        again = Flow("again", weights, x, y, feedback, rule=rule)
        end = again.at(trajectory(again, np.array([0.0, 100 / len(x)]), rtol=1e-10)[-1])
        outputs = np.tanh(np.tanh(x @ end.weights[0].T) @ end.weights[1].T) @ end.weights[2].T
        loss = 0.5 * np.mean(np.sum((outputs - y) ** 2, axis=1))
        np.testing.assert_allclose(flow.records["loss"][-1], loss, rtol=1e-5)
    angles = [flow.records["deltas"]["degrees"][:, 0] for flow in names["flows"].values()]
    assert np.max(angles[0]) < 1e-5 and all(np.min(angle) > 20 for angle in angles[1:])


def test_sweep_by_hand(run) -> None:
    exact, near = run("sweep_by_hand")["apart"]
    assert exact < 1e-8 and 0.01 < near < 0.3


def test_discrete_beside_flow(run) -> None:
    """The law's rise is the sum that is predicted, and that of a loop in numpy."""
    names = run("discrete_beside_flow")
    assert all(abs(slope - 1) < 0.05 for slope in names["slopes"])
    np.testing.assert_allclose(names["rises"], names["sums"], rtol=1e-10)
    x, y = np.asarray(names["data"].inputs), np.asarray(names["data"].targets)
    first, second, back = (np.asarray(names[name]) for name in ("first", "second", "back"))
    eta, rise = names["etas"][0], 0.0
    for _ in range(round(5 / eta)):
        error = (x @ first.T @ second.T - y) / len(x)
        moves = -(back.T @ error.T @ x), -(error.T @ x @ first.T)
        rise += 0.5 * eta**2 * np.sum(moves[0] ** 2)
        first, second = first + eta * moves[0], second + eta * moves[1]
    np.testing.assert_allclose(names["rises"][0], rise, rtol=1e-10)


def test_own_data(run) -> None:
    """The predictions are numpy's; the control starts where Theorem 2 does not speak."""
    names = run("own_data")
    assert names["from_least"]["in the span"] < 1e-9 and names["from_least"]["anywhere"] > 0.1
    assert max(names["from_predicted"].values()) < 1e-9


def test_wide_limit(run) -> None:
    """Errors of order 1 / N; the limit is its own equation in SciPy, kappa_3 written out."""
    names = run("wide_limit")
    assert all(0.2 < width * error < 5 for width, error in
               zip(names["widths"], names["errors"], strict=True))  # fmt: skip
    x, y = names["inputs"], np.asarray(names["data"].targets)[:, 0]
    rho, g = names["rho"], names["richness"] ** 2

    def f(v):
        q = 3 * v @ v
        second = 1 + rho + g * q
        pulled = q + ((1 + rho) * q + g * q**2 / 2) * second
        return (1 + rho * second + g * pulled) * (x @ v)

    field = lambda t, v: x.T @ (y - f(v)) / 6  # noqa: E731
    end = solve_ivp(field, (0, 3), np.zeros(6), "DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(names["wide"][-1], f(end), rtol=1e-7)


def test_wide_rates(run) -> None:
    """Fitted, predicted, and for one layer from the equation's own Jacobian in numpy."""
    names = run("wide_rates")
    np.testing.assert_allclose(names["fitted"], names["told"], rtol=1e-4)
    assert np.all(names["rates"] >= names["floors"] * (1 - 1e-9))
    lazy = np.array([[1 + sum(rho**l for l in range(1, L + 1)) for L in (1, 2, 3)] for rho in
                     names["rhos"]])  # fmt: skip
    np.testing.assert_allclose(names["rates"][:, 0], lazy * names["least"], rtol=0.02)
    x, y, g = names["inputs"], names["targets"], names["points"][1] ** 2
    beta = np.linalg.pinv(x) @ y
    roots = np.roots([g / 2, 0, 1.5, -(6**0.5) * np.linalg.norm(beta)])
    kappa = 1.5 + g * float(roots[np.abs(roots.imag) < 1e-12].real[0]) ** 2 / 2
    f = lambda v: (1.5 + g * 3 * v @ v) * (x @ v)  # noqa: E731
    step, v = 1e-5, beta / kappa
    slope = np.array([(f(v + step * e) - f(v - step * e)) / (2 * step) for e in np.eye(6)]).T
    rates = np.sort(np.linalg.eigvals(slope @ x.T / 6).real)
    np.testing.assert_allclose(names["told"][0, 1], rates[0], rtol=1e-6)


def fed_back(data, first, back, end):
    """Two linear layers under feedback alignment from (first, 0), in numpy: e' by SciPy."""
    x, y = map(np.asarray, (data.inputs, data.targets))
    hidden = len(first)

    def split(state):
        return state[: first.size].reshape(first.shape), state[first.size :].reshape(-1, hidden)

    def field(t, state):
        low, high = split(state)
        error = (y - x @ low.T @ high.T).T @ x / len(x)
        return np.concatenate([np.ravel(back.T @ error), np.ravel(error @ low.T)])

    start = np.concatenate([np.ravel(first), np.zeros(y.shape[1] * hidden)])
    low, high = split(solve_ivp(field, (0, end), start, "DOP853", rtol=1e-9, atol=1e-12).y[:, -1])
    return low, high, 0.5 * np.sum((y - x @ low.T @ high.T) ** 2) / len(x)


def members(tasks):
    """The tasks of a stack, one by one."""
    return [jax.tree.map(lambda x, i=i: x[i], tasks) for i in range(len(jax.tree.leaves(tasks)[0]))]


@pytest.mark.slow  # it optimises: 20 s
def test_fast_feedback(run) -> None:
    """The losses are SciPy's; the smallest exponent is what theory says, and greatest for its B."""
    names = run("fast_feedback")
    means, s, U = names["means"], names["s"], names["U"]
    for which in (0, 2):
        back = np.reshape(names["backs"][which], (10, 20))
        back = 10**0.5 * back / np.linalg.norm(back)
        ends = [fed_back(data, np.asarray(net.weights[0]), back, 25.0)[2]
                for net, data in members(names["unseen"])]  # fmt: skip
        np.testing.assert_allclose(means[which, -1], np.exp(np.mean(np.log(ends))), rtol=0.05)
    factors = names["factors"]
    assert np.median(factors[0]) > 100 and min(factors[0]) > 20 and np.median(factors[1]) > 3
    # White inputs, weights that are nearly zero, and no mode sees another: e' = -(W_2 B^T e +
    # e W_1^T W_1) at the end, whose least part is that of W_2 B^T, since there are unused inputs.
    theory = 10**0.5 * (back := names["backs"][1]) / np.linalg.norm(back)
    equal = 10**0.5 * U @ np.linalg.qr(np.random.default_rng(0).normal(size=(20, 3)))[0].T / 3**0.5
    rates = []
    for back in (theory, equal):
        data = make_data(6**0.5 * np.eye(6), 6**0.5 * (np.eye(6)[:, :3] * s) @ U.T)
        high = fed_back(data, 1e-4 * back.T @ U @ np.eye(3, 6), back, 100.0)[1]
        told = (4 * s**2 * np.sum((U.T @ back) ** 2, 1)) ** (1 / 3) / 2
        np.testing.assert_allclose(np.sort(np.linalg.eigvals(high @ back.T).real)[-3:],
                                   np.sort(told), rtol=1e-3)  # fmt: skip
        rates.append(min(told))
    assert rates[0] > 1.2 * rates[1]


@pytest.mark.slow  # it optimises: 20 s
def test_least_norm_feedback(run) -> None:
    """The distances of SciPy; and B W_1(0) = 0 is of least norm on all data."""
    names = run("least_norm_feedback")
    assert np.median(names["factors"]) > 100 and min(names["factors"]) > 50
    first = np.asarray(names["net"].weights[0])

    def apart(back, tasks):
        back = 3**0.5 * np.reshape(back, (3, 16)) / np.linalg.norm(back)
        ends = [(fed_back(data, first, back, 100.0), least) for data, least in tasks]
        off = [np.linalg.norm(end[1] @ end[0] - y) / np.linalg.norm(y) for end, y in ends]
        return np.mean(np.square(off)) ** 0.5

    tasks = members(names["unseen"])
    np.testing.assert_allclose(names["ends"][1], apart(names["backs"][1], tasks), rtol=1e-3)
    blind = np.linalg.svd(first)[0][:, 10:13].T
    assert max(apart(back, tasks[:3]) for back in (blind, names["backs"][0])) < 5e-3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_short_and_use_what_is_public(script: Path) -> None:
    source = script.read_text("utf-8")
    tree = ast.parse(source)
    told = ast.get_docstring(tree) or ""
    assert told.partition("\n")[0].endswith("?"), "the first line is the question"
    assert f"`python scripts/{script.name} [FIGURE" in told
    assert f"def test_{script.stem}(" in Path(__file__).read_text("utf-8")
    body = source.replace(told, "")
    code = [line for line in body.splitlines() if line.strip() and not line.startswith("#")]
    assert 15 <= len(code) - 2 <= 40
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("faflow"):
            room = (node.module or "").removeprefix("faflow").lstrip(".")
            assert re.fullmatch(r"[a-z]*", room), f"{node.module}: not a room"


def test_every_script_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "scripts.md").read_text("utf-8")
    shown = re.findall(r"```\{literalinclude\} \.\./scripts/(\w+)\.py", page)
    assert sorted(shown) == [path.stem for path in SCRIPTS]
