"""[sensitivity]: derivatives from a config, beside closed forms and whole runs; what is refused."""

import re
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import faflow
from faflow.cli import main
from faflow.compare.subject import open_subjects
from faflow.config.errors import ConfigError
from faflow.config.expect import judge_bounds
from faflow.measures.experiment import build
from faflow.measures.sensitivity import measure
from faflow.measures.sensitivity.ends import EndsMoved
from faflow.report.page import page
from faflow.runs.run import resolve_path
from faflow.sensitivity.kinks import LOG

RNG = np.random.default_rng(0)
H = 1e-4


def table(**sections: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": "slopes",
        "network": {"widths": [4, 3, 2], "activation": "tanh"},
        "task": {"kind": "gaussian", "samples": 6, "features": 4},
        "rule": {"kind": "feedback-alignment"},
        "flow": {"t1": 4.0, "saves": 3},
        "observe": {"names": ["loss", "alignment"]},
        "sensitivity": {"to": ["feedback.scale", "init.scale", "F2"], "of": ["loss"]},
    }
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    return config


def ran(config: Any, *overrides: str) -> faflow.Result:
    return faflow.run(config, overrides=overrides, store_result=False)


def told(result: faflow.Result) -> dict[str, Any]:
    return result.summary["sensitivity"]


def by_runs(config: dict[str, Any], key: str, value: float, see) -> Any:
    """A central difference of two whole runs at rtol 1e-12."""
    ends = []
    for there in (value - H, value + H):
        plain = {name: section for name, section in config.items() if name != "sensitivity"}
        ends.append(see(ran(plain, f"{key}={there!r}", "flow.rtol=1e-12")))
    return (np.asarray(ends[1]) - np.asarray(ends[0])) / (2 * H)


@pytest.fixture(scope="module")
def smooth() -> faflow.Result:
    return ran(table(sensitivity={"of": ["loss", "alignment.cosine"]}))


@pytest.mark.parametrize("key", ["feedback.scale", "init.scale"])
def test_derivatives_by_numbers_are_those_of_whole_runs(smooth, key):
    def see(result):
        cosine = result.records["records"]["alignment_cosine"].values[-1]
        return [result.summary["loss"]["final"], *cosine]

    loss, *cosine = by_runs(table(), key, 1.0, see)
    assert told(smooth)["loss"]["to"][key] == pytest.approx(loss, rel=1e-6)
    assert told(smooth)["alignment.cosine"]["to"][key] == pytest.approx(cosine, rel=1e-6)


def test_a_whole_array_backwards_is_its_scale_forwards(smooth):
    """F = scale times a draw, so that d/d scale = <dL/dF, F> at scale 1."""
    group, loss = smooth.records["sensitivity"], told(smooth)["loss"]
    slope, back = group["loss.F2"].values, smooth.records["start"]["F2"].values
    assert np.sum(slope * back) == pytest.approx(loss["to"]["feedback.scale"], rel=1e-6)
    assert loss["to"]["F2"] == pytest.approx(np.linalg.norm(slope), rel=1e-12)
    assert loss["norms"] == "F2" and loss["by"] == "flow"
    assert group["alignment.cosine.F2"].shape == (1, *back.shape)


def test_derivatives_are_checked_by_the_program(smooth, monkeypatch):
    assert all(one["apart"] < 1e-6 for one in told(smooth).values())
    assert not smooth.summary["warnings"]
    wrong = lambda *given: {  # noqa: E731
        name: one._replace(to={k: np.asarray(1.01 * v) for k, v in one.to.items()})
        for name, one in figure_slopes(*given).items()
    }
    figure_slopes = measure.figure_slopes
    monkeypatch.setattr(measure, "figure_slopes", wrong)
    found = ran(table())
    assert told(found)["loss"]["apart"] > 1e-3
    assert any("a central difference are" in word for word in found.summary["warnings"])
    unchecked = ran(table(sensitivity={"check": False}))
    assert "apart" not in told(unchecked)["loss"] and not unchecked.summary["warnings"]


def test_exact_solution_of_one_layer():
    """W(t) = W* + (W(0) - W*) e^{-H t}, H = X^T X, under the gradient."""
    config = table(
        network={"widths": [3, 1], "activation": "linear"},
        task={"features": 3, "noise": 0.3},
        rule={"kind": "gradient"},
        flow={"t1": 0.4, "saves": 3},
        observe={"names": ["loss"]},
        sensitivity={"to": ["init.scale", "flow.t1", "task.noise", "W1"]},
    )
    result = ran(config)
    data = build(resolve_path(config)).problem.data
    other = build(resolve_path(config, ["task.noise=1.3"])).problem.data
    x, y = np.asarray(data.inputs), np.asarray(data.targets)
    noise = np.asarray(other.targets) - y
    square, start = x.T @ x, result.records["start"]["W1"].values
    best, shift = (np.linalg.solve(square, x.T @ some).T for some in (y, noise))
    fade = expm(-0.4 * square)
    end = best + (start - best) @ fade
    error = x @ end.T - y
    slope = error.T @ x @ fade
    exact = {
        "init.scale": np.sum(slope * start),
        "flow.t1": -np.sum((error.T @ x) ** 2),
        "task.noise": np.sum(error * (x @ (shift - shift @ fade).T - noise)),
        "W1": np.linalg.norm(slope),
    }
    assert told(result)["loss"]["to"] == pytest.approx(exact, rel=1e-7)
    np.testing.assert_allclose(
        result.records["sensitivity"]["loss.W1"].values, slope, rtol=1e-6, atol=1e-9
    )


@pytest.fixture(scope="module")
def limit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity") / "limit"
    assert main(["run", "sensitivity-feedback", "--out", str(folder), "--no-figures"]) == 0
    return faflow.open(folder)


def test_the_limit_moves_with_the_feedback(limit):
    """d(Y P), P the projector on the rows of M = B Y: dP = M^+ dM (1 - P) + transposed."""
    back = limit.records["start"]["F2"].values.T
    target = np.asarray(build(resolve_path("sensitivity-feedback")).problem.data.targets).T
    m = back @ target
    inverse = np.linalg.pinv(m)
    p = inverse @ m

    def moved(d_back, d_target):
        half = inverse @ (d_back @ target + back @ d_target) @ (np.eye(6) - p)
        return d_target @ p + target @ (half + half.T)

    way = RNG.normal(size=back.shape)
    slopes = limit.records["sensitivity"]["map.F2"].values
    change = moved(way, np.zeros_like(target))
    np.testing.assert_allclose(np.tensordot(slopes, way.T, 2), change, atol=1e-8)
    by_loss = np.sum(limit.records["sensitivity"]["loss.F2"].values * way.T)
    assert by_loss == pytest.approx(np.sum((target @ p - target) * change), rel=1e-6)
    u, _, v = np.linalg.svd(target)
    told_map = told(limit)["map"]
    by_spectrum = moved(np.zeros_like(back), np.outer(u[:, 0], v[0]))
    assert told_map["to"]["task.spectrum.0"] == pytest.approx(np.linalg.norm(by_spectrum), rel=1e-8)
    assert told_map["by"] == "limit" and told(limit)["loss"]["by"] == "flow"


def test_table_and_report(limit, capsys):
    assert main(["run", "sensitivity-feedback", "--out", str(limit.folder), "--no-figures"]) == 0
    table_of_run = capsys.readouterr().out
    for said in ("d map / d F2", "norm 4.593", "of the limit, by the laws", "central difference"):
        assert said in table_of_run
    html = page(open_subjects([str(limit.folder)]))
    rows = html.split('id="derivatives">')[1].split("</section>")[0]
    cells = re.sub(r"<[^>]+>", " ", rows).split()
    assert "F2 norm 4.593 the limit, by the laws" in " ".join(cells)
    assert "0.1223 the end of the flow" in " ".join(cells)


def linear(t1: float, *of: str) -> dict[str, Any]:
    return table(
        network={"widths": [5, 4, 1], "activation": "linear"},
        task={"samples": 3, "features": 5},
        flow={"t1": t1, "solver": "tsit5"},
        observe={"names": ["loss", "exponent"]},
        sensitivity={"to": ["init.scale"], "of": list(of)},
    )


def test_exponent_and_minimum_norm():
    config = linear(30.0, "exponent", "minimum-norm")
    found = told(ran(config))

    def see(result):
        norm = result.summary["minimum_norm"]
        return [
            result.summary["exponent"]["predicted"],
            norm["relative_distance"],
            norm["norm_ratio"],
        ]

    exact = by_runs(config, "init.scale", 1.0, see)
    names = ("exponent", "minimum-norm.relative_distance", "minimum-norm.norm_ratio")
    slopes = [found[name]["to"]["init.scale"] for name in names]
    np.testing.assert_allclose(slopes, exact, rtol=1e-6)
    for name in names:  # more of the weights' directions stay than faflow has laws for
        assert found[name]["by"] == "flow" and found[name]["apart"] < 1e-6
        assert found[name]["instead"].startswith("The laws do not determine the derivative")


def test_where_laws_do_not_say_the_flow_does():
    found = told(ran(linear(0.5, "map", "exponent")))
    assert found["map"]["by"] == "flow" and found["map"]["apart"] < 1e-6
    assert "not at rest at t = 0.5; raise flow.t1" in found["map"]["instead"]
    assert found["exponent"]["none"]["all"].startswith("there is no exponent")


@pytest.mark.slow  # tests/sensitivity has the jumps themselves
def test_across_kinks():
    config = table(
        network={"widths": [3, 5, 1], "activation": "relu"},
        task={"features": 3},
        flow={"t1": 2.0, "kinks": "exact", "exact": {"events": LOG}},  # one program for all
        observe={"names": ["loss"]},
        sensitivity={"to": ["feedback.scale"]},
    )
    result = ran(config)
    assert result.summary["kinks"]["crossed"] > 0
    assert told(result)["loss"]["apart"] < 1e-6
    assert told(result)["loss"]["to"]["feedback.scale"] != 0


@pytest.mark.slow  # an exact flow of its own
def test_a_flow_that_is_not_unique_has_no_derivative():
    more = ["flow.exact.branch=nearest", "sensitivity.to=['W1']", "expect={}"]
    loss = told(ran("relu-not-unique", *more))["loss"]
    assert not loss["to"] and "not unique" in loss["none"]["all"]


def test_what_has_no_derivative_is_a_word_and_no_number(smooth, monkeypatch):
    def grazes(*given):
        raise ValueError(
            "A pair grazes 0 at t = 1, where the flow has no derivative; move the start."
        )

    monkeypatch.setattr(EndsMoved, "push", grazes)
    result = ran(table())
    loss = told(result)["loss"]
    assert set(loss["to"]) == {"F2"} and loss["apart"] is None
    assert loss["none"].keys() == {"feedback.scale", "init.scale"}
    said = "no derivative of loss with respect to init.scale: A pair grazes 0 at t = 1"
    assert any(word.startswith(said) for word in result.summary["warnings"])


def test_a_flow_that_ended_early_has_no_derivative():
    result = ran(table(), "flow.max_steps=5")
    assert told(result)["loss"] == {"none": {"all": result.summary["warnings"][0]}}
    assert "used up flow.max_steps" in result.summary["warnings"][0]


def test_a_flow_that_stopped_has_them_where_it_did():
    config = table()
    config["sensitivity"]["to"] += ["flow.t1"]
    loss = told(ran(config, "flow.stop.loss=0.04"))["loss"]
    assert loss["t"] < 4.0 and loss["apart"] < 1e-6
    assert set(loss["to"]) == {"feedback.scale", "init.scale", "F2"}
    assert "whatever t1 is" in loss["none"]["flow.t1"]


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        ("to", "flow.solver", "sensitivity.to.0: is 'flow.solver', which is static ('auto')"),
        (
            "to",
            "network.widths.1",
            "sensitivity.to.0: is 'network.widths.1', which is a whole number (3)",
        ),
        ("to", "network.activation", "sensitivity.to.0: is 'network.activation', which is static"),
        ("to", "seed", "sensitivity.to.0: is 'seed', which is a whole number (0)"),
        (
            "to",
            "flow.rtol",
            "sensitivity.to.0: is 'flow.rtol', which moves nothing that this flow is",
        ),
        ("to", "feedback.scal", "did you mean 'feedback.scale'?"),
        ("to", "f2", "did you mean 'F2'?"),
        (
            "to",
            "task.noise",
            "sensitivity.to.0: is 'task.noise', which can't move from where it is",
        ),
        ("of", "los", "sensitivity.of.0: is 'los'; did you mean 'loss'?"),
        ("of", "alignment.cos", "did you mean 'alignment.cosine'?"),
        ("of", "minimum-norm", "needs a linear network, the squared loss and fewer samples"),
        (
            "of",
            "low-rank-limit",
            "needs task.kind = 'matrix-factorisation' and feedback; remove it",
        ),
        ("of", "population-loss", "is not known for this rule or network; remove it"),
    ],
)
def test_refused(key, name, message):
    with pytest.raises(ConfigError) as raised:
        ran(table(sensitivity={key: [name]}))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("task", "to", "message"),
    [
        ({"samples": 10, "test": 0.35}, "task.test", "is compiled into the flow as it is (static)"),
        ({"noise": 0.0}, "task.noise", "which can't move from where it is"),
        ({"noise": 1e-300}, "task.noise", "sensitivity.to.0: is 'task.noise'"),
    ],
)
def test_refused_before_the_flow(monkeypatch, task, to, message):
    """Numbers that change shapes, or can't move to both sides."""
    monkeypatch.setattr(measure, "differentiate", None)
    with pytest.raises(ConfigError) as raised:
        ran(table(task=task, sensitivity={"to": [to]}))
    assert message in str(raised.value)


def test_refused_sections():
    for names, message in ([], "at least one"), (["F2", "F2"], "lists 'F2' twice"):
        with pytest.raises(ConfigError, match=message):
            ran(table(sensitivity={"to": names}))
    relu = table(network={"activation": "relu"})
    with pytest.raises(ConfigError, match=r"^flow.kinks: is 'plain' here.* use 'exact' or"):
        ran(relu, "flow.kinks=plain")
    with pytest.raises(ConfigError, match=r"^sensitivity.to.0: is 'flow.t1', which flows across"):
        ran(relu, "flow.kinks=exact", "sensitivity.to=['flow.t1']")
    wide = "network.widths=[4, 100, 2]", "sensitivity.to=['W1']"
    with pytest.raises(ConfigError, match=r"whose 400 entries flows across kinks take one by one"):
        ran(relu, "flow.kinks=exact", *wide)
    leaky = {"activation": {"kind": "leaky-relu", "slope": 0.1}}
    static = table(network=leaky, sensitivity={"to": ["network.activation.slope"]})
    with pytest.raises(ConfigError, match=r"is compiled into the flow as it is \(static\)"):
        ran(static, "flow.kinks=exact")


def test_bounds_reach_names_with_dots():
    summary = {"sensitivity": {"alignment.cosine": {"to": {"init.scale": [2.0], "init": 1.0}}}}
    bounds = {"sensitivity.alignment.cosine.to.init.scale.0": {"near": 2.0, "within": 0.0}}
    assert all(verdict["ok"] for verdict in judge_bounds(bounds, summary).values())
    missing = {"sensitivity.alignment.cosine.to.init.rho": {"max": 1.0}}
    assert not any(verdict["ok"] for verdict in judge_bounds(missing, summary).values())
