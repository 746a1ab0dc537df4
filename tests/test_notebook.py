"""The notebook runs without a browser, and what it shows is what the flow did."""

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("marimo")

PATH = Path(__file__).resolve().parents[1] / "notebooks" / "alignment.py"


def notebook() -> Any:
    spec = importlib.util.spec_from_file_location("alignment_notebook", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def test_it_runs_as_it_stands() -> None:
    _, found = notebook().run()
    law = found["result"].summary["laws"]["layer-balance"]
    assert law["kept"] and max(law["relative_drift"]) < 1e-9
    assert f"drift over the flow {max(law['relative_drift']):.4g}" in found["answer"].text
    assert found["exponent"]["relative_error"] < 0.01
    assert len(found["figure"].axes) == 3
    (record,) = {line.get_label() for line in found["figure"].axes[2].lines} - {"predicted rate"}
    assert record == "residual"
    assert set(found["flows"]) == set(found["ends"]) == {"gradient", "feedback-alignment"}
    for rule, flow in found["flows"].items():
        assert found["ends"][rule] < flow.summary["loss"]["initial"]
        assert flow.summary["laws"]["layer-balance"]["kept"]
        assert f"<td>{found['ends'][rule]:.4g}</td>" in found["table_of_rules"].text
    assert len(found["comparison"].axes[0].lines) == 2


def test_its_sliders_reach_the_flow() -> None:
    """The control: under tanh the law is broken, and the page says so."""
    values = {"scale": 2.0, "start": 1.0, "depth": 1, "activation": "tanh", "seed": 3}
    values |= {"model": "two-layers", "rules": []}
    sliders = {name: SimpleNamespace(value=value) for name, value in values.items()}
    _, found = notebook().run(defs=sliders)
    law = found["result"].summary["laws"]["layer-balance"]
    assert not law["kept"] and max(law["relative_drift"]) > 1e-4
    assert "broken" in found["answer"].text
    assert all(math.isfinite(angle) for angle in found["result"].summary["alignment"]["degrees"])
    assert len(found["figure"].axes[1].lines) == 1  # one feedback matrix
