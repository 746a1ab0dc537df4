"""`kernel` from a config: records, summary, figure; the mean-field kinds go together."""

import numpy as np
import pytest

from faflow.config.errors import ConfigError
from faflow.config.resolve import resolve_path
from faflow.measures.experiment import build
from faflow.plots import draw
from faflow.rules import MeanFieldRates, TangentKernel
from faflow.runs.run import run

CONFIG = {
    "name": "kernel",
    "network": {"widths": [3, 12, 1], "activation": "erf"},
    "init": {"kind": "mean-field", "richness": 2.0},
    "task": {"kind": "gaussian", "samples": 4, "features": 3},
    "rule": {
        "kind": "feedback-alignment",
        "modifiers": [{"kind": "mean-field", "richness": 2.0}],
    },
    "feedback": {"kind": "mean-field", "rho": 0.4, "richness": 2.0},
    "flow": {"t1": 2.0, "saves": 5},
    "observe": {"names": ["loss", "laws", "kernel"]},
    "expect": {"kernel.final.change": {"min": 0.05}},
}
NUMBERS = {"trace", "smallest", "largest", "asymmetry", "cosine", "share", "change"}


def test_records_summary_and_figure(tmp_path):
    result = run(CONFIG, out=tmp_path / "kernel")
    assert result.exit_code == 0 and result.folder is not None
    records, summary = result.records["records"], result.summary["kernel"]
    for number in NUMBERS:
        values = records[f"kernel_{number}"].values
        assert values.shape == (5,) and np.all(np.isfinite(values))
        ends = [summary[end][number] for end in ("initial", "final")]
        np.testing.assert_array_equal(ends, values[[0, -1]])
    assert summary["initial"]["change"] == 0 < summary["final"]["change"]
    # The modifier forecasts a law beside the flow, which is no part of the kernel.
    assert "unmodified-layer-balance" not in result.summary["laws"]  # erf has no law
    paths = draw(result, only=["kernel"])
    assert [path.name for path in paths] == ["kernel.png", "kernel.pdf", "kernel.csv"]
    header = paths[-1].read_text("utf-8").splitlines()[1]
    drawn = NUMBERS - {"trace"}
    assert set(header.split(",")) == {"time", *(f"kernel {number}" for number in drawn)}


def test_rules_without_a_kernel_record_none():
    for kind, seen in (("hebbian", False), ("gradient", True)):
        table = {**CONFIG, "rule": {"kind": kind}, "expect": {}}
        observables = build(resolve_path(table)).observables
        assert ("kernel" in observables) is seen


def test_a_forecast_is_no_part_of_the_kernel():
    table = {**CONFIG, "network": {"widths": [3, 12, 1], "activation": "relu-squared"}}
    experiment = build(resolve_path(table))
    assert any(name.startswith("unmodified-") for name in experiment.laws)
    kernel = experiment.observables["kernel"]
    assert isinstance(kernel, TangentKernel) and isinstance(kernel.rule, MeanFieldRates)


@pytest.mark.parametrize("section", ["init", "feedback"])
def test_one_richness_for_all(section):
    overrides = [f"{section}.richness=3.0"]
    with pytest.raises(ConfigError, match=r"richness.*make them equal"):
        resolve_path(CONFIG, overrides)
    # Feedback that no rule hears of may say what it likes.
    if section == "feedback":
        resolve_path(CONFIG, [*overrides, "rule.kind=gradient"])


def test_too_many_samples():
    overrides = ["task.samples=601", "observe.names=['kernel']"]
    with pytest.raises(ConfigError, match=r"observe\.names\.0.*task\.samples"):
        build(resolve_path(CONFIG, overrides))
