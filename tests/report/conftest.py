"""Stored results to report on: a run with a log of kinks made by hand, and a sweep of 64 seeds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from page_text import CONFIG, RULE, Parsed, altered, reported
from result_fixtures import stored_run

from faflow.cli import main
from faflow.store import result
from faflow.sweeps import result as swept

SWEEP = """
[sweep.product]
"feedback.scale" = [0.5, 1.0]
seed = { count = 64 }
"""
# time, hidden layer, neuron, sample, side it came to: a crossing up, a slide, its end below.
LOG = [(0.2, 1, 0, 1, 1), (0.5, 1, 2, 0, 0), (1.5, 1, 2, 0, -1)]


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Of files with the same content, which here are many, the first is read: 0.1 s for each."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((result, "read_tree"), (swept, "read_records")):
            patch.setattr(module, name, by_content(getattr(module, name)))
        yield


def by_content(read: Callable[[Path], xr.DataTree]) -> Callable[[Path], xr.DataTree]:
    trees: dict[bytes, xr.DataTree] = {}

    def read_or_known(folder: Path) -> xr.DataTree:
        path = folder / "result.nc"
        content = path.read_bytes() if path.exists() else b""
        if content not in trees:
            trees[content] = read(folder)
        return trees[content].copy()

    return read_or_known


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of CONFIG, with the group that an exact ReLU flow has besides."""
    folder = stored_run(tmp_path_factory.mktemp("report"), "run", CONFIG)
    with xr.open_datatree(folder / "result.nc", engine="h5netcdf") as tree:
        loaded = tree.load()
    times = loaded["records"]["time"].values
    loaded["events"] = xr.DataTree(events(times))
    loaded.to_netcdf(folder / "result.nc", engine="h5netcdf")
    return folder


@pytest.fixture(scope="session")
def other_folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as if it had been of another rule, and had ended at another loss."""
    return altered(run_folder, tmp_path_factory.mktemp("report") / "other", 0.125, RULE)


@pytest.fixture(scope="session")
def seven_folders(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The run as if it had been of other seeds, one more than are drawn at first."""
    to = tmp_path_factory.mktemp("seven")
    seeds = [
        altered(run_folder, to / f"{i}", 0.5, ("seed = 0", f"seed = {i}")) for i in range(1, 7)
    ]
    return [run_folder, *seeds]


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "sweep.toml").write_text(CONFIG + SWEEP)
    arguments = ["sweep", str(folder / "sweep.toml"), "--out", str(folder / "sweep")]
    assert main([*arguments, "--workers", "1", "--no-figures"]) == 0
    return folder / "sweep"


@pytest.fixture(scope="session")
def parsed_run(run_folder: Path) -> Parsed:
    return reported(run_folder)


@pytest.fixture(scope="session")
def parsed_both(run_folder: Path, sweep_folder: Path) -> Parsed:
    return reported(run_folder, sweep_folder)


def events(times: np.ndarray) -> xr.Dataset:
    """LOG in a net of 3 and 2 hidden neurons on 2 samples, all pairs below at the start."""
    log = np.array(LOG)
    names = ("time", "layer", "unit", "sample", "became")
    columns = dict(zip(names, [log[:, 0], *log[:, 1:].T.astype(int)], strict=True))
    variables = {f"event_{key}": ("change", column) for key, column in columns.items()}
    so_far = (
        columns["time"] <= times[:, None]
    )  # the first crosses, the second lands, the third ends
    variables |= {
        "start_above": ("pair", np.zeros(10, bool)),
        "changes": (("time", "kind"), so_far.astype(int)),
        "sliding": (("time", "hidden"), np.zeros((len(times), 2), int)),
    }
    axes = {"time": times, "kind": ["crossed", "landed", "left"], "hidden": [1, 2]}
    return xr.Dataset(variables, axes, {"samples": 2, "hidden": [3, 2]})
