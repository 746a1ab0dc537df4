"""A run's file, written without xarray, is the one that xarray would have written."""

from pathlib import Path

import numpy as np
import xarray as xr

from faflow.measures.variables.groups import Group, Variable, as_tree
from faflow.netcdf import READING
from faflow.store.netcdf_file import result_file

TIME = Variable(("time",), np.array([0.0, 1.0, 2.0]), {"long_name": "time", "units": "time"})
GROUPS = {
    "records": Group(
        {
            "loss": Variable(("time",), np.array([1.0, np.nan, np.inf]), {"units": "1"}),
            "law": Variable(("time", "layer"), np.arange(6.0).reshape(3, 2), {}),
            "single": Variable(("time",), np.array([1, 2, 3], np.float32), {}),
            "steps": Variable(("time",), np.array([0, 4, 9]), {"long_name": "steps"}),
        },
        {"time": TIME, "layer": np.arange(1, 3)},
        {"samples": 2, "hidden": np.array([3, 2])},
    ),
    "events": Group(
        {
            "above": Variable(("pair",), np.array([True, False]), {}),
            "changes": Variable(("time", "kind"), np.ones((3, 2), np.int64), {}),
            "event_time": Variable(("change",), np.zeros(0), {}),  # none happened
            "gate": Variable(("time", "slot"), np.zeros((3, 0), np.int32), {}),
        },
        {"time": TIME, "kind": ["crossed", "left"]},
    ),
    "final": Group({"W1": Variable(("units_1", "units_0"), np.ones((2, 3)), {"units": "1"})}, {}),
}


def test_xarray_reads_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "ours.nc").write_bytes(result_file(GROUPS))
    as_tree(GROUPS).to_netcdf(tmp_path / "theirs.nc", engine="h5netcdf")
    trees = []
    for name in ("ours.nc", "theirs.nc"):
        with xr.open_datatree(tmp_path / name, **READING) as tree:
            trees.append(tree.load())
    ours, theirs = trees
    assert ours.identical(theirs) and ours.identical(as_tree(GROUPS))
    for group in GROUPS:
        for name, variable in theirs[group].to_dataset().variables.items():
            assert ours[group].to_dataset()[name].dtype == variable.dtype
