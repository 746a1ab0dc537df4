"""Infinite width from a config: against SciPy, the library, finite networks; refusals; sweeps."""

import json
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
import tomli_w
from scipy.integrate import solve_ivp

import faflow
from faflow._compiling import ONCE, compiled
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.config.resolve import resolve_path
from faflow.measures.experiment import build, check
from faflow.measures.wide.statistics import Estimate, power_of
from faflow.networks import ACTIVATIONS
from faflow.rules import as_matrix, effective_kernel, weight_velocity
from faflow.runs.run import run
from faflow.tasks import held_out, make_data, make_task
from faflow.wide import MeanFieldHebbian, deep_linear, dmft, finite_network, layered_kernels

RNG = np.random.default_rng(17)
X, Y = RNG.standard_normal((6, 4)), RNG.standard_normal(6)
SAVES = np.linspace(0.0, 1.2, 7)
TRAIN, TEST = slice(None, 4), slice(4, None)
GRAM, ACROSS = X[TRAIN] @ X[TRAIN].T / 4, X[TEST] @ X[TRAIN].T / 4


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    path = tmp_path_factory.mktemp("wide") / "data.npz"
    np.savez(path, X=X, y=Y)
    return str(path)


def table(file: str, **sections: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": "wide",
        "network": {"kind": "wide", "hidden": 2, "richness": 1.3},
        "task": {"kind": "arrays", "file": file, "test": 2},
        "rule": {"kind": "feedback-alignment"},
        "feedback": {"rho": 0.4},
        "flow": {"t1": 1.2, "saves": 7},
    }
    for name, more in sections.items():
        found[name] = more if name not in found else {**found[name], **more}
    return {name: section for name, section in found.items() if section is not None}


def of(config: dict[str, Any], *overrides: str):
    return run(config, overrides=overrides, store_result=False)


def kappa_of(hidden: int, rho: float, g: float):
    """kappa_1, ..., kappa_{L+1} in numpy's polynomials."""
    found = [np.polynomial.Polynomial([1.0])]
    for _ in range(hidden):
        pulled = sum((one.integ() * one for one in found), np.polynomial.Polynomial([0.0]))
        found.append(1 + rho * found[-1] + g * pulled)
    return found


def eta_at(kappa, gram, targets, ts):
    """eta' = y - kappa(q) K^x eta by DOP853."""

    def slope(t, eta):
        return targets - kappa(0.5 * eta @ gram @ eta) * (gram @ eta)

    options: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13, "method": "DOP853", "t_eval": ts}
    return solve_ivp(slope, (0, ts[-1]), np.zeros(len(targets)), **options).y.T


# ---- closed --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed(arrays):
    return of(table(arrays))


@pytest.mark.parametrize(("rho", "agrees"), [(0.4, True), (0.0, False)])
def test_the_closed_flow_is_scipys_of_the_kappas(closed, rho, agrees):
    kappas = kappa_of(2, rho, 1.3**2)
    eta = eta_at(kappas[-1], GRAM, Y[TRAIN], SAVES)
    q = 0.5 * np.einsum("tm,mn,tn->t", eta, GRAM, eta)
    values = kappas[-1](q)[:, None]
    for name, kernel in (("outputs", GRAM), ("test-outputs", ACROSS)):
        gap = np.max(np.abs(closed.values(name) - values * (eta @ kernel.T)))
        assert (gap < 1e-7) == agrees
    k = eta @ GRAM
    features = GRAM + 1.3**2 * sum(one(q) ** 2 for one in kappas[:-1])[:, None, None] * (
        k[:, :, None] * k[:, None, :]
    )
    stored = closed.group("wide_kernels")["features"].values
    assert (np.max(np.abs(stored[:, 2] - features)) < 1e-6) == agrees
    assert np.array_equal(stored[:, 0], np.broadcast_to(stored[0, 0], stored[:, 0].shape))


def test_the_summary_has_the_limit_and_its_rate(arrays):
    names = ["loss", "residual", "exponent", "wide-kernels"]
    found = of(table(arrays, flow={"t1": 40.0, "saves": 21}, observe={"names": names}))
    wide = found.summary["wide"]
    assert wide["equations"] == "closed"
    assert wide["limit"]["distance"] < 1e-6 and wide["limit"]["rate_gap"] < 1e-6
    kappa = kappa_of(2, 0.4, 1.3**2)[-1]
    w, v = np.linalg.eigh(GRAM)
    beta = v @ ((v.T @ Y[TRAIN]) / w)
    x = wide["limit"]["x"]
    assert abs(kappa(x * x / 2) * x - np.sqrt(beta @ GRAM @ beta)) < 1e-9
    # Linearised by differences of y - kappa K eta: eta' near rest.
    eta = beta / kappa(x * x / 2)
    step = 1e-6
    jacobian = [
        (kappa(0.5 * z @ GRAM @ z) * (GRAM @ z) - kappa(x * x / 2) * (GRAM @ eta)) / step
        for z in (eta + step * np.eye(4)[i] for i in range(4))
    ]
    rates = np.sort(np.linalg.eigvals(np.transpose(jacobian)).real)
    assert wide["limit"]["rate"] == pytest.approx(rates[0], rel=1e-4)
    assert wide["rates"]["largest"] == pytest.approx(rates[-1], rel=1e-4)
    assert found.summary["exponent"]["predicted"] == pytest.approx(rates[0], rel=1e-3)


def test_direct_feedback_is_rho_zero(arrays, closed):
    direct = of(table(arrays, rule={"kind": "direct-feedback-alignment"}, feedback={"rho": 0.0}))
    other = of(table(arrays, feedback={"rho": 0.0}))
    assert np.array_equal(direct.values("outputs"), other.values("outputs"))
    assert np.max(np.abs(direct.values("outputs") - closed.values("outputs"))) > 0.05


# ---- on a grid, and neurons ----------------------------------------------------------------------


def test_the_matrix_equations_are_the_closed_solution_of_one_layer(arrays):
    """Whitened, L = 1: all on the ray of y, Delta' = -2 sqrt(1 + g0^2 (|y| - Delta)^2) Delta."""
    config = table(
        arrays,
        network={"hidden": 1, "times": 30},
        rule={"kind": "gradient"},
        feedback={},
        task={"whiten": "rows", "scale": 2.0, "test": 0},
        flow={"t1": 1.0, "saves": 6},
    )
    config["task"] |= {"file": arrays.replace("data", "white")}
    np.savez(config["task"]["file"], X=X[:4], y=Y[:4])
    del config["feedback"]
    found = of(config)
    size, ts = np.linalg.norm(Y[:4]), np.linspace(0, 1, 6)
    for factor, agrees in ((2.0, True), (1.0, False)):

        def slope(t, d, factor=factor):
            return -factor * np.sqrt(1 + 1.69 * (size - d) ** 2) * d

        options: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13, "t_eval": ts}
        residual = solve_ivp(slope, (0, 1), [size], method="DOP853", **options).y[0]
        gap = np.max(np.abs(found.values("residual") / residual - 1))
        assert (gap < 1e-4) == agrees
    assert found.summary["wide"]["table"]["route_gap"] < 1e-5
    assert found.summary["wide"]["table"]["table_gap"] < 1e-4
    assert not found.summary["warnings"]


def test_a_grid_that_is_too_coarse_is_told_of(arrays):
    config = table(
        arrays, network={"hidden": 1, "times": 3}, rule={"kind": "gradient"}, flow={"t1": 3.0}
    )
    del config["feedback"]
    found = of(config)
    assert "too coarse" in " ".join(found.summary["warnings"])
    assert found.values("test-outputs").shape == (7, 2)


def test_neurons_agree_with_the_closed_flow_within_their_error(arrays):
    one = {"hidden": 1, "neurons": 256, "batches": 3}
    exact = of(table(arrays, network=one)).values("outputs")
    drawn = of(table(arrays, network={**one, "equations": "neurons"}))
    batches = drawn.group("wide_batches")
    assert drawn.summary["wide"]["equations"] == "neurons"
    gap = np.abs(batches["outputs_mean"].values - exact)
    size = np.linalg.norm(exact)
    assert np.linalg.norm(gap) < 4 * drawn.summary["wide"]["batches"]["output_error"] * size
    assert np.linalg.norm(gap) < 0.005 * size
    others = of(table(arrays, network=one, feedback={"rho": 0.8})).values("outputs")
    assert np.linalg.norm(batches["outputs_mean"].values - others) > 0.02 * size


def test_sampled_theory_is_dmfts_own_and_weighs_time(arrays):
    """reduction = "mean" slows time down by the number of samples."""
    options: dict[str, Any] = {"hidden": 2, "activation": "tanh", "neurons": 64}
    options |= {"batches": 2, "times": 6}
    config = table(arrays, network=options, task={"reduction": "mean"}, flow={"t1": 2.4})
    found = of(config, "feedback.rho=0.0")
    own = dmft(
        X[TRAIN], Y[TRAIN], np.linspace(0, 0.6, 7), 2, "tanh", "feedback-alignment", rho=0.0,
        richness=1.3, tests=X[TEST], particles=64, batches=2, seed=0,
    )  # fmt: skip
    assert found.summary["wide"]["equations"] == "sampled"
    both = np.concatenate([found.values(name) for name in ("outputs", "test-outputs")], 1)
    assert np.max(np.abs(both - own.mean.outputs)) < 0.02 * np.max(np.abs(own.mean.outputs))
    stored = found.group("wide_kernels")["features"].values
    assert np.allclose(stored, np.moveaxis(own.mean.features[:, :, :4, :4], 0, 1), atol=1e-9)
    error = np.linalg.norm(own.error.outputs[:, :4]) / np.linalg.norm(own.mean.outputs[:, :4])
    assert found.summary["wide"]["table"]["output_error"] == pytest.approx(float(error))
    assert "the outputs are known to" in " ".join(found.summary["warnings"])


# ---- kernels of layers, finite networks ----------------------------------------------------------


@compiled(ONCE)
def seen(rule, network, feedback, data):
    """Kernels of layers, K; df/dt along the rule's field; f; the rule's own K."""
    velocity = weight_velocity(rule, network, feedback, data)[0]
    outputs, push = jax.jvp(lambda net: net(data.inputs)[:, 0], (network,), (velocity,))
    chained = not isinstance(rule, MeanFieldHebbian)
    whole = as_matrix(effective_kernel(rule, network, feedback, data)) if chained else None
    return *layered_kernels(network, feedback, data, rule), push, outputs, whole


@pytest.mark.parametrize(
    ("rule", "activation", "hidden", "gated"),
    [
        ("gradient", "tanh", 2, False),
        ("feedback-alignment", "tanh", 2, False),
        ("direct-feedback-alignment", "relu", 2, False),
        ("hebbian", "tanh", 1, False),
        ("gradient", "relu", 1, True),
    ],
)
def test_kernels_of_layers_move_the_outputs(rule, activation, hidden, gated):
    """df/dt = K Delta, with df/dt of the rule's own field."""
    data, phi = make_data(X, Y), ACTIVATIONS[activation]()
    options: dict[str, Any] = {"rho": 0.3, "richness": 1.7, "seed": 3, "gated": gated}
    moved, network, feedback, _ = finite_network(rule, phi, data.inputs, hidden, 7, **options)
    features, signals, tangent, push, outputs, whole = seen(moved, network, feedback, data)
    delta = Y - outputs
    assert np.allclose(push, tangent @ delta, rtol=1e-10, atol=1e-12)
    assert not np.allclose(push, tangent.T @ delta * 1.01, rtol=1e-6)
    assert np.allclose(features[0], X @ X.T / 4) and np.allclose(signals[-1], 1.0)
    if rule != "hebbian":
        assert np.allclose(whole, tangent, rtol=1e-9, atol=1e-11)


def test_finite_networks_come_to_the_limit_as_one_over_n(arrays):
    config = table(arrays, simulate={"widths": [20, 80], "seeds": 6}, flow={"rtol": 1e-6})
    found = of(config)
    told = found.summary["wide"]["simulation"]
    assert told["widths"] == [20, 80] and told["seeds"] == 6
    assert abs(told["power"] + 1) < 3 * told["power_stderr"] + 0.1
    assert all(0.05 < number < 5 for number in told["times_width"])
    finite = found.group("wide_finite")
    assert finite["outputs_mean"].dims == ("width", "time", "sample")
    assert np.all(finite["loss_error"].values > 0)
    # A wrong limit: the distance stays.
    apart = finite["outputs_mean"].values[1] - of(table(arrays, feedback={"rho": -0.6})).values(
        "outputs"
    )
    assert np.sum(apart**2) / np.sum(found.values("outputs") ** 2) > 5 * told["squared_error"][1]


def test_powers_are_fitted_with_their_errors():
    widths = [10, 20, 40]
    values = [Estimate(np.asarray(3.0 / n), np.asarray(0.3 / n)) for n in widths]
    found = power_of(widths, values)
    assert found.power == pytest.approx(-1)
    spread = np.var(np.log(widths)) * 3
    assert found.stderr == pytest.approx(0.1 / np.sqrt(spread))
    assert np.isnan(power_of([10], values[:1]).power)


# ---- test points, files, sweeps ------------------------------------------------------------------


def test_held_out_samples_are_not_learned_from():
    task = make_task(lambda *, key: (X, Y), key=jax.random.key(0), reduction="mean")
    rest = held_out(task, 2, "mean")
    assert np.array_equal(rest.data.inputs, X[TRAIN]) and np.array_equal(rest.test.inputs, X[TEST])
    assert float(rest.data.weight) == 0.25
    assert rest.facts["samples"] == 4 and rest.facts["test_samples"] == 2


def test_a_stored_result_is_run_again_from_its_own_config_and_drawn(arrays, tmp_path, closed):
    (tmp_path / "wide.toml").write_text(tomli_w.dumps(table(arrays)))
    out = str(tmp_path / "out")
    assert main(["run", str(tmp_path / "wide.toml"), "--out", out]) == 0
    first = faflow.open(out)
    assert np.array_equal(first.values("outputs"), closed.values("outputs"))
    assert np.array_equal(first.records["final"]["direction"].shape, (4,))
    overrides = ["network.richness=2.0"]
    again = run(f"{out}/config.toml", overrides=overrides, store_result=False)
    assert again.summary["wide"]["richness"] == 2.0
    assert main(["plot", out, "--only", "wide", "wide-kernels"]) in (0, 2)
    assert (tmp_path / "out/figures/overview.png").is_file()


def test_a_member_of_a_sweep_is_its_own_run(arrays, tmp_path):
    config = table(arrays, flow={"t1": 1.0})  # the programs of runs above
    config["sweep"] = {
        "product": {"feedback.rho": [0.0, 0.4], "network.hidden": [1, 2]},
        "zip": {"network.richness": [1.3]},
    }
    (tmp_path / "sweep.toml").write_text(tomli_w.dumps(config))
    out = tmp_path / "out"
    command = ["sweep", str(tmp_path / "sweep.toml"), "--out", str(out), "--no-figures"]
    assert main([*command, "--workers", "1"]) == 0
    tree = faflow.open(out).records
    del config["sweep"]
    alone = of(config, "network.hidden=1")
    place = {"feedback.rho": 0.4, "network.hidden": 1}
    swept = tree["records"].to_dataset().sel(place).squeeze()
    assert np.array_equal(swept["outputs"].values, alone.values("outputs"))
    change = tree["figures"]["wide.limit.feature_change.0"].sel(place).values.squeeze()
    assert change == alone.summary["wide"]["limit"]["feature_change"][0]
    assert np.isnan(swept["feature-change"].sel(hidden_layer=2).values).all()


# ---- refusals ------------------------------------------------------------------------------------

REFUSED = [
    ({"rule": {"kind": "kolen-pollack"}}, "rule.kind: is 'kolen-pollack', which has no limit"),
    (
        {"network": {"gated": True}},
        "network.gated: is true, and gated networks are served with one",
    ),
    (
        {"network": {"equations": "matrix"}},
        "network.equations: is 'matrix', which has no equations",
    ),
    ({"network": {"hidden": 0}}, "network.hidden: is 0; it must be greater than or equal to 1"),
    ({"network": {"bias": True}}, "network.bias: is not a key"),
    ({"network": {"richness": -1.0}}, "network.richness: is -1.0"),
    ({"network": {"neurons": 100, "hidden": 1, "activation": "tanh"}}, "power of 2"),
    ({"init": {"kind": "gaussian"}}, "init.kind: is 'gaussian', but infinite width is a limit of"),
    ({"feedback": {"kind": "gaussian"}}, "feedback.kind: is 'gaussian', but infinite width"),
    ({"feedback": {"richness": 0.5}}, "feedback.richness: is 0.5, but network.richness is 1.3"),
    ({"rule": {"kind": "direct-feedback-alignment"}}, "feedback.rho: is 0.4, but direct feedback"),
    ({"discrete": {"eta": 0.1}}, "discrete: takes steps of a finite network"),
    ({"rule": {"modifiers": [{"kind": "momentum"}]}}, "rule.modifiers: modify a rule"),
    ({"simulate": {"seeds": 3}}, "simulate.widths: is missing; give the widths"),
    ({"simulate": {"widths": [4], "inputs": 3}}, "simulate.inputs: is 3, but networks beside"),
    ({"task": {"test": 6}}, "test` must leave samples to learn from, but is 6 of 6"),
    ({"flow": {"block": 2}}, "flow.block: is given, but what is solved at infinite width"),
    ({"flow": {"kinks": "smooth"}}, "flow.kinks: is 'smooth', which needs an activation with a"),
    (
        {"rule": {"kind": "gradient"}, "network": {"times": 9000}, "flow": {"t1": 1.0}},
        "network.times: is 9000, whose kernels between all times of 6 points need",
    ),
    ({"task": {"kind": "gaussian", "samples": 5, "features": 3, "outputs": 2}}, "has 2 outputs"),
    ({"network": {"activation": "tanh", "times": 3000}}, "6 points need more coordinates than the"),
    (
        {"network": {"activation": "tanh", "neurons": 2**20, "times": 1000}},
        "network.neurons: Argument `neurons` must fit into",
    ),
    ({"network": {"kind": "wider"}}, "network.kind: is 'wider'; did you mean 'wide'?"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_has_no_equations_is_refused_in_one_line(arrays, changes, said):
    config = table(arrays, **changes)
    if config["task"]["kind"] == "gaussian":
        config["task"].pop("file")
    with pytest.raises(ConfigError) as caught:
        resolved = resolve_path(config)
        check(resolved, build(resolved))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_widths_are_refused_elsewhere(arrays, tmp_path, capsys):
    for more, said in (
        ({"task": {"test": 0}, "simulate": {"widths": [3]}}, "simulate: needs a rule of the"),
    ):
        config = table(arrays, **more)
        config["network"] = {"widths": ["inputs", 3, 1], "activation": "tanh"}
        del config["feedback"]
        (tmp_path / "plain.toml").write_text(tomli_w.dumps(config))
        assert main(["run", str(tmp_path / "plain.toml"), "--out", str(tmp_path / "no")]) == 2
        assert said in capsys.readouterr().err


@cache
def library(hidden: int, rho: float) -> np.ndarray:
    return np.asarray(deep_linear(hidden, rho, 1.3).coefficients[-1])


@pytest.mark.parametrize("hidden", [1, 2, 4])
def test_constants_are_the_polynomials(hidden):
    assert np.allclose(library(hidden, 0.4), kappa_of(hidden, 0.4, 1.69)[-1].coef, rtol=1e-13)
    assert json.dumps(len(library(hidden, 0.4))) == str(2**hidden)
