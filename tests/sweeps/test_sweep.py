"""`faflow sweep` as a user meets it: members are single runs, nothing finished is lost, bad input
is one line and harms nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr
from small import VALID

import faflow
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.config.schema import SweepSection
from faflow.flow.loop import slices
from faflow.store.result import Result
from faflow.sweeps.axes import grid_of
from faflow.sweeps.chunks import chunk_paths
from faflow.sweeps.plan import plan_of
from faflow.sweeps.records import write_records
from faflow.sweeps.sweep import run_sweep
from faflow.sweeps.workers.batches import fastest, measured_batch

SWEEP = """
[sweep.product]
"network.activation" = ["linear", "tanh"]
"feedback.scale" = [0.5, 1.0, 2.0]
seed = { count = 2 }
"""
MEMBERS = 12


@pytest.fixture
def sweep(config: Path) -> Path:
    """The valid config with a grid of 2 x 3 x 2 members, of which tanh breaks the bound."""
    config.write_text(config.read_text() + SWEEP)
    return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """That sweep, run at one go; to be read, and copied before it is changed."""
    place = tmp_path_factory.mktemp("whole")
    (place / "small.toml").write_text(VALID + SWEEP)
    return run(place / "small.toml", out=place / "whole")


# Members of one program, eight at once.
ONE_PROGRAM = ("flow.solver='tsit5'", "sweep.product={seed={count=8}}")


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """They in batches of three, the last of which is a shorter one; to be read."""
    place = tmp_path_factory.mktemp("batched")
    (place / "small.toml").write_text(VALID + SWEEP)
    plan = plan_of(place / "small.toml", [*ONE_PROGRAM, "sweep.batch=3"])
    return run_sweep(plan, workers=1, out=place / "together")


def run(path: Path, **options):
    return run_sweep(plan_of(path), workers=1, **options)


def figures(folder: Path) -> xr.Dataset:
    with xr.open_datatree(folder / "result.nc", engine="h5netcdf") as tree:
        return tree.load()["figures"].to_dataset()


def same(one: xr.DataTree, other: xr.DataTree) -> bool:
    """Equal to the last bit, but for seconds."""
    return all(
        one[group].to_dataset().drop_vars("solver.seconds", errors="ignore").identical(
            other[group].to_dataset().drop_vars("solver.seconds", errors="ignore")
        )
        for group in one.children
    ) and set(one.children) == set(other.children)  # fmt: skip


def test_members_are_single_runs(whole: Result, config: Path) -> None:
    assert whole.summary["statuses"] == {"completed": MEMBERS}
    data = whole.records["figures"].to_dataset()
    assert data.sizes == {
        "network.activation": 2,
        "feedback.scale": 3,
        "seed": 2,
        "hidden_layer": 1,
    }
    for values in (("linear", 2.0, 1), ("tanh", 0.5, 0)):
        sets = dict(zip(("network.activation", "feedback.scale", "seed"), values, strict=True))
        overrides = [f"{key}={json.dumps(value)}" for key, value in sets.items()]
        single = faflow.run(config, overrides=overrides, store_result=False)
        here = data.sel(sets)
        assert float(here["loss.final"]) == pytest.approx(
            single.summary["loss"]["final"], rel=1e-12
        )
        name = "laws.layer-balance.drift"
        assert here[name].values == pytest.approx(single.summary["laws"]["layer-balance"]["drift"])
        records = whole.records["records"].to_dataset().sel(sets)
        np.testing.assert_allclose(records["loss"], single.records["records"]["loss"], rtol=1e-12)
    # The control: another member is another flow.
    assert float(data["loss.final"].std()) > 0


def test_the_data_set_has_names_and_provenance(whole: Result) -> None:
    opened = faflow.open(whole.folder)
    records = opened.records["records"].to_dataset()
    assert records["loss"].dims == ("network.activation", "feedback.scale", "seed", "time")
    assert list(records["feedback.scale"].values) == [0.5, 1.0, 2.0]
    assert list(records["network.activation"].values) == ["linear", "tanh"]
    assert records["loss"].attrs["units"] == "1"
    np.testing.assert_array_equal(records["time"], [0.0, 0.25, 0.5])
    assert records["times"].sizes == records["loss"].sizes
    assert {"faflow", "jax", "source", "config"} <= set(opened.records.attrs)
    assert opened.exit_code == 1  # tanh keeps no law


def test_zarr_holds_the_same(whole: Result, sweep: Path, tmp_path: Path, monkeypatch) -> None:
    sweep.write_text(
        sweep.read_text().replace("[sweep.product]", "[sweep]\nzarr = true\n[sweep.product]")
    )
    made = run(sweep, out=tmp_path / "zarr")
    assert sorted(p.name for p in made.folder.iterdir()) == [
        ".lock", "config.toml", "result.zarr", "result.zarr.sha256", "summary.json",
    ]  # fmt: skip
    opened = faflow.open(made.folder)
    assert same(whole.records, opened.records)
    assert not run(sweep, out=tmp_path / "zarr").fresh
    (made.folder / "summary.json").rename(made.folder / "aside")
    write_records(whole.records, made.folder, zarr=True)  # killed before the summary, and again
    (made.folder / "aside").rename(made.folder / "summary.json")
    assert same(whole.records, faflow.open(made.folder).records)
    next((made.folder / "result.zarr" / "records" / "loss").glob("[0-9]*")).unlink()
    with pytest.raises(ConfigError, match=r"result\.zarr"):
        faflow.open(made.folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"sweep\.zarr: is true, but zarr is not installed"):
        run(sweep, out=tmp_path / "without")


def test_sweeping_numbers_compiles_once(config: Path, tmp_path: Path) -> None:
    grid = '[sweep.product]\n"feedback.scale" = [0.5, 1.0]\n"flow.rtol" = [1e-6, 1e-8]\n'
    grid += "seed = {count = 2}\n"
    config.write_text(config.read_text() + grid)
    programs = tuple(
        eqx.filter_jit(eqx.debug.assert_max_traces(part, max_traces=1))
        for part in (slices.begin, slices.go_on, slices.observed)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "programs_of_flows", lambda *_: programs)
        assert run(config, out=tmp_path / "all").summary["programs"] == 1
    # The control: another width is another program.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "programs_of_flows", lambda *_: programs)
        with pytest.raises(Exception, match="trace"):
            run_sweep(plan_of(config, ["network.widths=[3,4,1]"]), workers=1, out=tmp_path / "wide")


def test_interrupted_and_gone_on_with(whole: Result, sweep: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_at(count: int):
        def tell(progress) -> None:
            if progress.done >= count:
                raise Stop

        return tell

    for count in (1, 3, 5):
        with pytest.raises(Stop):
            run(sweep, out=tmp_path / "parts", tell=stop_at(count))
    opened = faflow.open(tmp_path / "parts")
    assert 5 <= MEMBERS - opened.summary["statuses"]["pending"] < MEMBERS
    assert opened.exit_code == 3
    times = {path: path.stat().st_mtime_ns for path in chunk_paths(tmp_path / "parts")}
    assert times
    again = run(sweep, out=tmp_path / "parts")
    assert same(again.records, whole.records)
    assert not (tmp_path / "parts" / "chunks").exists()
    # And once more it is found.
    assert not run(sweep, out=tmp_path / "parts").fresh


def test_killed_at_any_moment(whole: Result, sweep: Path, tmp_path: Path) -> None:
    """SIGKILL thrice, early and late; `scripts/checks/kills.py` does it thirty times."""
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "faflow.cli", "sweep", str(sweep), "--out", str(folder),
               "--workers", "1"]  # fmt: skip
    durable = 0
    for delay in (0.3, 2.0):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
        )
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if len(chunk_paths(folder)) > durable:
                time.sleep(delay / 10)
                break
            time.sleep(0.02)
        process.kill()
        process.wait()
        if (folder / "result.nc").exists():
            break
        assert len(chunk_paths(folder)) > durable
        durable = len(chunk_paths(folder))
        faflow.open(folder)
    assert same(run(sweep, out=folder).records, whole.records)


def test_batches_are_the_same_flows(batched: Result, sweep: Path, tmp_path: Path) -> None:
    """Together or alone, interrupted or not; the last batch of a program is a shorter one."""
    alone = run_sweep(plan_of(sweep, ONE_PROGRAM), workers=1, out=tmp_path / "alone")
    plan = plan_of(sweep, [*ONE_PROGRAM, "sweep.batch=3"])
    one, other = (s.records["records"].to_dataset() for s in (alone, batched))
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-9)
    np.testing.assert_array_equal(one["steps"], other["steps"])

    def stop(progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, workers=1, out=tmp_path / "parts", tell=stop)
    assert same(run_sweep(plan, workers=1, out=tmp_path / "parts").records, batched.records)


def test_a_measured_batch_is_kept_to(
    batched: Result, sweep: Path, tmp_path: Path, monkeypatch
) -> None:
    """As on an accelerator; on this device it is one."""
    plan = plan_of(sweep, ONE_PROGRAM)
    assert measured_batch(plan, 0) == 1

    def stop(progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("faflow.sweeps.workers.work.measured_batch", lambda *_: 3)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(plan, workers=1, out=tmp_path / "measured", tell=stop)
    # Not measured again: that would be one.
    assert same(run_sweep(plan, workers=1, out=tmp_path / "measured").records, batched.records)


@pytest.mark.parametrize(
    ("each", "best"),
    [
        ({1: 1.0, 32: 0.05, 256: 0.01, 1024: 0.004}, 1024),  # an accelerator
        ({1: 1.0, 32: 0.1, 256: 0.09, 1024: 0.01}, 32),  # no more than a fifth better: it is full
        ({1: 1.0, 32: 1.3, 256: 2.0, 1024: 3.0}, 1),  # a CPU
        ({1: 1.0, 32: 0.1, 256: None, 1024: None}, 32),  # out of memory
    ],
)
def test_the_fastest_batch(each, best) -> None:
    def seconds(size: int) -> float:
        if each[size] is None:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED")
        return size * each[size]

    assert fastest(seconds, 8192) == best
    assert fastest(seconds, 31) == 1


def test_a_damaged_chunk_is_named_and_mended(whole: Result, sweep: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"

    def tell(progress) -> None:
        if progress.done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sweep, out=folder, tell=tell)
    path = chunk_paths(folder)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"damaged chunk .*--repair"):
        run(sweep, out=folder)
    assert same(run(sweep, out=folder, repair=True).records, whole.records)


def test_one_process_at_a_time(sweep: Path, tmp_path: Path) -> None:
    folder = tmp_path / "held"

    def tell(progress) -> None:
        if progress.done:
            with pytest.raises(ConfigError, match="is at work"):
                run(sweep, out=folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sweep, out=folder, tell=tell)


def test_another_config_is_refused_with_the_difference(
    whole: Result, sweep: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole.folder, tmp_path / "all")
    before = (tmp_path / "all" / "result.nc").read_bytes()
    with pytest.raises(ConfigError, match=r"flow\.t1 0\.5, now 0\.25"):
        run_sweep(plan_of(sweep, ["flow.t1=0.25"]), workers=1, out=tmp_path / "all")
    assert (tmp_path / "all" / "result.nc").read_bytes() == before
    replaced = run_sweep(
        plan_of(sweep, ["flow.t1=0.25"]), workers=1, out=tmp_path / "all", replace=True
    )
    assert replaced.fresh


def test_a_full_disk_leaves_what_was_there(sweep: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "full"
    calls = {"left": 2}
    real = os.replace

    def refuse(*paths) -> None:
        calls["left"] -= str(paths[1]).endswith(".npz")
        if calls["left"] < 0:
            raise OSError(28, "No space left on device")
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr("faflow.store.files.os.replace", refuse)
        with pytest.raises(ConfigError, match="No space left"):
            run(sweep, out=folder)
    assert len(chunk_paths(folder)) == 2
    assert run(sweep, out=folder).summary["statuses"] == {"completed": MEMBERS}


def test_members_that_end_early_are_results(config: Path, tmp_path: Path) -> None:
    config.write_text(
        config.read_text() + '[sweep.product]\n"flow.max_steps" = [3, 100000]\nseed = {count = 2}\n'
    )
    found = run(config, out=tmp_path / "all")
    assert found.summary["statuses"] == {"completed": 2, "max-steps": 2}
    assert found.exit_code == 3
    loss = found.records["records"]["loss"]
    np.testing.assert_array_equal(loss["time"], [0.0, 0.25, 0.5])  # of those that ran to t1
    assert np.isnan(loss.sel({"flow.max_steps": 3}).values).any()
    assert np.isfinite(loss.sel({"flow.max_steps": 100000}).values).all()


def test_widths_of_different_depth_share_a_data_set(config: Path, tmp_path: Path) -> None:
    config.write_text(
        config.read_text() + '[sweep.product]\n"network.widths" = [[3, 2, 1], [3, 4, 2, 1]]\n'
    )
    found = run(config, out=tmp_path / "all")
    drift = found.records["figures"]["laws.layer-balance.drift"]
    assert drift.dims == ("network.widths", "hidden_layer")
    assert list(drift["network.widths"].values) == ["3-2-1", "3-4-2-1"]
    assert np.isnan(drift.values).tolist() == [[False, True], [False, False]]


def test_zipped_axes_go_together(config: Path, tmp_path: Path) -> None:
    config.write_text(
        config.read_text()
        + '[sweep.zip]\n"feedback.scale" = [0.5, 2.0]\n"init.scale" = [1.0, 3.0]\n'
    )
    found = run(config, out=tmp_path / "all").records["figures"]
    assert found["loss.final"].dims == ("feedback.scale",)
    assert list(found["init.scale"].values) == [1.0, 3.0]


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"flow.kinks": ["plain", "exact", "plain"], "network.activation": ["a", "b", "c"]},
         "network.activation"),
        ({"init.scale": [1.0, 1.0, 2.0], "feedback.scale": [1.0, 2.0, 2.0]}, "zip"),
    ],
)  # fmt: skip
def test_a_zipped_axis_has_the_name_of_what_tells_its_places_apart(columns, name) -> None:
    grid = grid_of(SweepSection(zip=columns))
    assert [axis.name for axis in grid.axes] == [name] and grid.size == 3


BAD = {
    '[sweep.product]\n"feedback.scael" = [1.0]\n': "feedback.scael: ",
    "[sweep.product]\nseed = []\n": "sweep.product.seed: is an empty list",
    "[sweep.product]\nseed = { count = 0 }\n": "sweep.product.seed: has count = 0",
    "[sweep]\n": "sweep: has no axis",
    "[sweep.product]\nseed = { count = 30_000 }\n": "--yes",
    "[sweep.product]\nseed = { count = 9_000_000_000 }\n": "count = 9000000000",
    '[sweep.product]\n"flow.saves" = [3, 4]\n': "flow.saves: can't be varied",
    '[sweep.product]\n"name" = ["a", "b"]\n': "can't be varied",
    '[sweep.product]\n"network.widths" = [[3, 2, 1], [4, 2, 1]]\n': "task.features says 3 inputs",
    '[sweep.product]\n"task.samples" = [2, 0]\n': None,
    '[sweep.product]\n"rule.kind" = ["gradient", "gradiant"]\n': "did you mean 'gradient'",
    "[sweep.product]\nseed = 3\n": "give a list of values",
    "[sweep.zip]\nseed = [1, 2]\n\"feedback.scale\" = [1.0]\n": "lists of one length",
    "[sweep.product]\nseed = [1, 1]\n": "lists 1 twice",
    '[sweep.zip]\nseed = [1, 2, 1]\n"init.scale" = [1.0, 1.0, 1.0]\n': "sweep.zip: lists [1, 1.0]",
    "[sweep]\nchunk = 3\n": "sweep.chunk: is not a key",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_bad_input_is_one_line(text: str, config: Path, capsys: pytest.CaptureFixture) -> None:
    config.write_text(config.read_text() + text)
    code = main(["sweep", str(config), "--workers", "1", "--out", "bad", "--no-figures"])
    err = capsys.readouterr().err
    if BAD[text] is None:  # found when the data are there: the member's own outcome
        assert code == 3
        assert figures(Path("bad"))["status"].values.tolist() == ["completed", "refused"]
        return
    assert code == 2
    assert BAD[text] in err
    assert err.count("\n") == 1
    assert not Path("bad").exists()


def test_run_and_sweep_know_each_other(sweep: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", str(sweep)]) == 2
    assert "run it with `faflow sweep`" in capsys.readouterr().err
    shutil.copy(sweep, "plain.toml")
    Path("plain.toml").write_text(sweep.read_text().split("[sweep.product]")[0])
    assert main(["sweep", "plain.toml"]) == 2
    assert "`faflow run`" in capsys.readouterr().err
