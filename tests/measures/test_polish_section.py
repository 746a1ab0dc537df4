"""`[flow] polish = true`: its section of the summary, and what it refuses."""

import numpy as np
import pytest

from faflow.config.errors import ConfigError
from faflow.runs.run import run

CONFIG = {
    "name": "polished",
    "network": {"widths": [10, 6, 1], "activation": "linear"},
    "init": {"kind": "data-span", "scale": 0.9},
    "task": {"kind": "gaussian", "samples": 4, "features": 10},
    "rule": {"kind": "feedback-alignment"},
    "flow": {"t1": 8.0, "saves": 3, "rtol": 1e-10},
    "observe": {"names": ["loss", "residual", "minimum-norm"], "save_weights": True},
}


def test_section_and_the_flows_own_end():
    plain = run(CONFIG, store_result=False)
    flow = CONFIG["flow"] | {"polish": True}
    asked = run(CONFIG | {"flow": flow, "expect": {"polished.converged": True}}, store_result=False)
    section = asked.summary["polished"]
    assert "polished" not in plain.summary
    assert section["converged"] and not section["far"] and asked.exit_code == 0
    assert section["residual"]["after"] < 1e-13
    assert section["speed"]["after"] < 1e-2 * section["speed"]["before"]
    assert section["minimum_norm_distance"] < 1e-11
    assert asked.summary["minimum_norm"] == plain.summary["minimum_norm"]  # the flow's own
    weights = [r.records["records"].to_dataset() for r in (plain, asked)]
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name].values, weights[1][name].values)


def test_refusals():
    relu = CONFIG | {"network": {"widths": [10, 6, 1], "activation": "relu"}}
    relu |= {"flow": CONFIG["flow"] | {"polish": True, "kinks": "plain"}}
    relu |= {"observe": {"names": ["loss"]}}
    with pytest.raises(ConfigError, match=r"flow\.polish.*without kinks"):
        run(relu, store_result=False)
