"""What a run leaves behind: summary.json, result.nc, config.toml, and how reruns treat them."""

import json
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

import faflow
from faflow.cli import main
from faflow.config.resolve import resolve_path
from faflow.drawn import names_drawn
from faflow.measures.summary import summary_rows
from faflow.plots import draw
from faflow.store.digest import digest
from faflow.store.result import Result

USER_RULE = """
import jax.numpy as jnp
from faflow.rules import AbstractLayerwiseRule, backward_sweep

class SignSymmetry(AbstractLayerwiseRule):
    strength: float = 1.0
    equation = "delta_l = phi'(h_l) . (delta_{l+1} sign(W_{l+1}))"
    source = "Liao, Leibo & Poggio 2016"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        signs = [self.strength * jnp.sign(w) for w in weights.weights[1:]]
        return backward_sweep(weights, signs, trace, error)

    def laws(self, weights):
        return {}
"""


def test_summary_is_schema_1(stored: Path) -> None:
    summary = json.loads((stored / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["schema"] == 1 and summary["status"] == "completed"
    assert summary["t_final"] == 0.5 and summary["loss"]["final"] < summary["loss"]["initial"]
    assert {"name", "rtol", "atol", "steps", "rejected", "field_evaluations", "seconds"} < set(
        summary["solver"]
    )
    law = summary["laws"]["layer-balance"]
    assert law["kept"] and law["claimed"]
    assert law["rate_at_start"][0] < 1e-12 and law["relative_drift"][0] < 1e-8
    assert "alignment" not in summary and "exponent" not in summary  # not observed
    assert all(verdict["ok"] for verdict in summary["expect"].values())


def test_records_have_named_dimensions(stored: Path) -> None:
    with xr.open_datatree(stored / "result.nc", engine="h5netcdf") as tree:
        records = tree["records"]
        assert records["loss"].dims == ("time",)
        assert records["layer-balance"].dims == ("time", "hidden_layer")
        assert records["neuron-balance_1"].dims == ("time", "neuron_1")
        assert records["layer-balance_scale"].shape == (3, 1)
        assert records["time"].attrs["units"] == "time"
        assert records["loss"].attrs == {"long_name": "loss", "units": "1"}
        assert set(tree["start"].data_vars) == {"W1", "W2", "F2"}
        assert tree["final"]["W1"].shape == (2, 3)


def test_stored_config_is_the_same_run(stored: Path, config: Path) -> None:
    text = (stored / "config.toml").read_text()
    assert tomllib.loads(text)["provenance"]["config"] == digest(resolve_path(config)).config
    assert digest(resolve_path(stored / "config.toml")) == digest(resolve_path(config))


def test_identical_rerun_is_skipped(stored: Path, config: Path, capsys) -> None:
    before = (stored / "result.nc").stat().st_mtime_ns
    assert main(["run", str(config), "--json", "--no-figures"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and json.loads(out) == json.loads((stored / "summary.json").read_text())
    assert (stored / "result.nc").stat().st_mtime_ns == before


def test_replace_skips_an_identical_result(stored: Path, config: Path) -> None:
    before = (stored / "result.nc").stat().st_mtime_ns
    assert main(["run", str(config), "--replace", "--no-figures"]) == 0
    assert (stored / "result.nc").stat().st_mtime_ns == before
    assert main(["run", str(config), "--replace", "--no-figures", "--set", "seed=5"]) == 0
    assert (stored / "result.nc").stat().st_mtime_ns != before


def test_result_of_other_sources_is_said_and_kept(
    stored: Path, config: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("faflow.store.digest.sources", lambda: "another")
    assert main(["run", str(config)]) == 2
    assert "another version of faflow; use --out DIR or --replace" in capsys.readouterr().err


def test_bounds_are_judged_afresh(stored: Path, config: Path) -> None:
    before = (stored / "result.nc").stat().st_mtime_ns
    bound = "expect={loss={final={max=0}}}"
    assert main(["run", str(config), "--no-figures", "--set", bound]) == 1
    summary = json.loads((stored / "summary.json").read_text())
    assert list(summary["expect"]) == ["loss.final"]
    table = tomllib.loads((stored / "config.toml").read_text())
    assert table["expect"] == {"loss.final": {"max": 0}} and table["seed"] == 0
    assert main(["run", str(stored / "config.toml"), "--out", str(stored), "--no-figures"]) == 1
    assert main(["run", str(config), "--no-figures", "--set", "expect={}"]) == 0
    assert "expect" not in json.loads((stored / "summary.json").read_text())
    assert main(["run", str(config), "--no-figures"]) == 0
    assert (stored / "result.nc").stat().st_mtime_ns == before
    own = ["config.toml", "end-state.npz", "result.nc", "summary.json"]
    assert sorted(p.name for p in stored.iterdir()) == own


def test_missing_figures_are_drawn(stored: Path, config: Path) -> None:
    """The overview, unless all are asked for; none of the others is lost by asking for it."""
    figures, overview = stored / "figures", ["overview.csv", "overview.png"]
    assert main(["run", str(config)]) == 0
    assert names_drawn(figures) == overview
    before = (figures / "overview.png").read_bytes()
    assert main(["run", str(config), "--figures", "all"]) == 0
    assert {"loss.png", "drift.pdf", "overview.pdf", *overview} < set(names_drawn(figures))
    assert (figures / "overview.png").read_bytes() == before
    (figures / "loss.png").unlink()
    for figures_asked in ("all", "overview", "none"):
        assert main(["run", str(config), "--figures", figures_asked]) == 0
    assert not (figures / "loss.png").exists()


def test_a_fresh_run_draws_what_its_folder_holds(config: Path) -> None:
    """The overview is drawn from memory, before anything is read back."""
    assert main(["run", str(config), "--json"]) == 0
    figures = config.parent / "results" / "small" / "figures"
    before = {path.name: path.read_bytes() for path in figures.iterdir()}
    assert sorted(before) == [".drawn", "overview.csv", "overview.png"]
    draw(faflow.open(figures.parent), ["overview"])
    assert all((figures / name).read_bytes() == before[name] for name in sorted(before)[1:])


def test_implicit_solvers_count_no_evaluations(config: Path) -> None:
    result = faflow.run(config, overrides=["flow.solver=kvaerno3"], store_result=False)
    assert "field_evaluations" not in result.records["records"]
    assert result.summary["solver"]["field_evaluations"] is None
    assert "steps" in result.records["records"]


def test_several_configs_print_a_list(stored: Path, config: Path, capsys) -> None:
    assert main(["run", str(config), str(config), "--json", "--no-figures"]) == 0
    assert [summary["name"] for summary in json.loads(capsys.readouterr().out)] == ["small"] * 2


def test_data_file_counts_by_content_not_by_place(config: Path) -> None:
    table = tomllib.loads(config.read_text())
    hashes = []
    for name, scale in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        np.savez(config.parent / f"{name}.npz", X=scale * np.eye(3)[:2], y=np.ones((2, 1)))
        table["task"] = {"kind": "arrays", "file": f"{name}.npz"}
        hashes.append(digest(resolve_path(table)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_user_rule_runs_and_its_law_is_reported_as_not_kept(config: Path, capsys) -> None:
    (config.parent / "mylab").mkdir()
    (config.parent / "mylab" / "rules.py").write_text(USER_RULE)
    sets = ["rule.kind=mylab.rules:SignSymmetry", "rule.strength=2", "flow.solver=heun"]
    sets += ["flow.step=0.05", "expect.status=completed"]
    assert main(["run", str(config), "--no-figures", "--json", "--set", *sets]) == 1
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert err == "" and not summary["laws"]["layer-balance"]["kept"]
    assert summary["laws"]["layer-balance"]["rate_at_start"][0] > 1e-3
    assert not summary["expect"]["laws.layer-balance.relative_drift"]["ok"]
    assert summary["solver"]["rtol"] is None and summary["solver"]["steps"] == 10


def test_early_end_is_stored_with_exit_code_3(config: Path) -> None:
    assert main(["run", str(config), "--no-figures", "--set", "flow.max_steps=2"]) == 3
    result = faflow.open(config.parent / "results" / "small")
    assert result.summary["status"] == "max-steps" and result.exit_code == 3
    assert 0 < result.summary["t_final"] < 0.5
    assert "ended early" in result.summary["warnings"][0]


def test_python_api_returns_a_result_without_storing(config: Path) -> None:
    table = tomllib.loads(config.read_text())
    table["observe"] = {"names": ["loss", "alignment", "exponent"], "save_weights": True}
    table["expect"] = {"laws": {"layer-balance": {"kept": True}}}
    result = faflow.run(table, store_result=False)
    assert isinstance(result, Result) and result.folder is None
    assert not (config.parent / "results").exists()
    assert result.exit_code == 1  # laws were not observed, so no bound on them holds
    weights = result.records["weights"].to_dataset()
    assert weights["W1"].dims == ("time", "units_1", "units_0")
    np.testing.assert_array_equal(weights["W1"][0], result.records["start"]["W1"])
    assert {"degrees", "inner_minimum", "floor", "certified"} <= set(result.summary["alignment"])
    assert result.summary["exponent"]["status"] == "too-few-points"
    assert result.summary["exponent"]["rate"] is None  # nan has no place in JSON


def test_wrong_precision_is_loud(config: Path) -> None:
    with pytest.raises(faflow.ConfigError, match="precision: is float32"):
        faflow.run(config, overrides=["precision=float32"])
    assert jax.config.jax_enable_x64


def test_file_options_stay_valid_in_the_stored_config(config: Path) -> None:
    np.savez(config.parent / "mine.npz", X=np.eye(3)[:2], y=np.ones((2, 1)), W1=np.ones((2, 3)),
             W2=np.ones((1, 2)), F2=np.ones((1, 2)))  # fmt: skip
    text = config.read_text().replace(
        'kind = "gaussian"\nsamples = 2\nfeatures = 3', 'kind = "arrays"\nfile = "mine.npz"'
    )
    config.write_text(text + '\n[init]\nkind = "arrays"\nfile = "mine.npz"\n'
                      '[feedback]\nkind = "arrays"\nfile = "mine.npz"\n')  # fmt: skip
    assert main(["run", str(config), "--out", "deep/down", "--no-figures"]) == 0
    with xr.open_datatree("deep/down/result.nc", engine="h5netcdf") as tree:
        np.testing.assert_array_equal(tree["start"]["F2"], np.ones((1, 2)))
    assert main(["run", "deep/down/config.toml", "--out", "deep/down", "--no-figures"]) == 0


def test_what_a_rule_lacks_is_left_out_and_said(config: Path, capsys) -> None:
    """One config serves every rule: gradient descent has no feedback to be aligned with."""
    names = "observe.names=['loss', 'alignment']"
    arguments = ["run", str(config), "--no-figures", "--json", "--set", names, "--set", "expect={}"]
    assert main([*arguments, "--set", "rule.kind=gradient"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert "alignment" not in summary
    assert any("alignment was not recorded" in warning for warning in summary["warnings"])


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, {"loss", "residual", "norms", "laws", "alignment", "fitted-exponent"}),
        ({"rule": {"kind": "gradient"}}, {"loss", "residual", "norms", "laws", "fitted-exponent"}),
        ({"network": {"widths": [3, 1]}}, {"loss", "residual", "norms", "fitted-exponent"}),
        ({"task": {"kind": "gaussian", "samples": 2, "loss": "logcosh"}},
         {"loss", "residual", "norms", "laws", "alignment"}),
        ({"observe": {"names": ["loss"]}}, {"loss"}),
    ],
)  # fmt: skip
def test_what_is_recorded_unless_a_config_says(more: dict, names: set[str]) -> None:
    table = {
        "network": {"widths": [3, 2, 1]}, "task": {"kind": "gaussian", "samples": 2},
        "rule": {"kind": "feedback-alignment"}, "flow": {"t1": 1.0},
    }  # fmt: skip
    assert set(resolve_path({**table, **more}).names) == names


def test_an_exponent_is_fitted_unless_a_config_says() -> None:
    """One sample, no hidden layer: e' = -||x||^2 e."""
    flow = {"t1": 6.0, "saves": 31, "rtol": 1e-10}
    table = {
        "network": {"widths": [3, 1]}, "task": {"kind": "gaussian", "samples": 1, "scale": 0.7},
        "rule": {"kind": "gradient"}, "flow": flow,
    }  # fmt: skip
    summary = faflow.run(table, store_result=False).summary
    rate = summary["facts"]["singular_largest"] ** 2
    assert summary["exponent"]["status"] == "ok" and "predicted" not in summary["exponent"]
    assert summary["exponent"]["rate"] == pytest.approx(rate, rel=1e-4)
    assert not any("exponent" in warning for warning in summary["warnings"])
    assert "predicted" not in dict(map(dict.values, summary_rows(summary)))["exponent"]


def test_arrays_that_nothing_reads_are_told(config: Path) -> None:
    arrays = {"X": np.eye(3)[:2], "y": np.array([0, 1]), "W1": np.ones((2, 3)), "F_2": np.eye(2)}
    np.savez("mine.npz", **arrays, W2=np.ones((2, 2)), names=np.array(["a", "b"]))
    table = {
        "network": {"widths": [3, 2, 2]}, "task": {"kind": "arrays", "file": "mine.npz"},
        "rule": {"kind": "gradient"}, "flow": {"t1": 0.1, "saves": 2},
        "observe": {"names": ["loss"]},
    }  # fmt: skip
    summary = faflow.run(table, store_result=False).summary
    said = "mine.npz holds F_2 (did you mean F2?), names, W1, W2, which nothing here reads"
    assert said in summary["warnings"] and summary["facts"]["labels"] == "0, 1"
    table["init"] = {"kind": "arrays", "file": "mine.npz"}
    summary = faflow.run(table, store_result=False).summary
    assert said.replace(", W1, W2", "") in summary["warnings"]
    arrays.pop("F_2")
    np.savez("mine.npz", **arrays, W2=np.ones((2, 2)))
    summary = faflow.run(table, store_result=False).summary
    assert not any("mine.npz" in warning for warning in summary["warnings"])
