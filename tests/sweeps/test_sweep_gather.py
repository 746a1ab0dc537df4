"""What members came to, put together: every layer under its number, nets of any shape, figures of
any type, and folders whose labels can't be trusted."""

import json
import os
import pty
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import faflow
from faflow.cli import main
from faflow.cli.sweep import bar
from faflow.config.errors import ConfigError
from faflow.measures.variables.groups import Variable
from faflow.sweeps.chunks import Chunk, chunk_paths, read_chunk, write_chunk
from faflow.sweeps.distribution import Members
from faflow.sweeps.figures import figures, flat_figures
from faflow.sweeps.gather import gather
from faflow.sweeps.plan import SweepPlan, plan_of
from faflow.sweeps.sweep import Progress, run_sweep
from faflow.sweeps.tables import sweep_rows

PLAIN = """
name = "small"
network = {widths = [2, 2, 1]}
task = {kind = "gaussian", samples = 3, features = 2}
rule = {kind = "feedback-alignment"}
flow = {t1 = 0.5, saves = 3, solver = "tsit5"}
observe = {names = ["loss"]}
"""
MIXED_UP = '[sweep.product]\nseed = {count = 2}\n"feedback.scale" = [0.5, 1.0, 2.0]\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def swept(text: str, out: str = "out", **options):
    Path("sweep.toml").write_text(text)
    return run_sweep(plan_of("sweep.toml"), on="here", out=out, **options)


def single(text: str, **overrides):
    Path("single.toml").write_text(text)
    sets = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in overrides.items()]
    return faflow.run("single.toml", overrides=sets, store_result=False)


def interrupted(text: str, out: str, members: int = 1) -> None:
    def tell(progress) -> None:
        if progress.done >= members:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(text, out, tell=tell)


def as_of_old(folder: Path) -> None:
    """As the folder of a faflow that stored no order of axes, and no member's own values."""
    table = tomllib.loads((folder / "config.toml").read_text())
    del table["sweep"]["order"]
    (folder / "config.toml").write_text(tomli_w.dumps(table))
    for path in chunk_paths(folder):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays["meta"].tobytes())
        del meta["places"]
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]  # numpy's stub


# ---- names of members ---------------------------------------------------------------------------


def test_the_case_of_the_issue_through_workers(here: Path) -> None:
    """At (seed 0, scale 1.0) the sweep said 0.0840781, which is another member's."""
    base = PLAIN.replace("[2, 2, 1]", "[3, 4, 1]").replace("t1 = 0.5", "t1 = 1.0")
    base = base.replace("samples = 3, features = 2", "samples = 4, features = 3")
    text = '[sweep.product]\nseed = {count = 3}\n"feedback.scale" = [0.5, 1.0, 2.0, 4.0]\n'
    Path("sweep.toml").write_text(base + text)
    assert main(["sweep", "sweep.toml", "--workers", "2", "--out", "out", "--no-figures"]) == 0
    data = faflow.open("out").records["figures"]["loss.final"]
    assert data.dims == ("seed", "feedback.scale")
    found = float(data.sel({"seed": 0, "feedback.scale": 1.0}))
    assert found == pytest.approx(0.000359030, rel=1e-5)
    for seed, scale in ((0, 1.0), (2, 0.5), (1, 4.0)):
        one = single(base, seed=seed, feedback__scale=scale).summary["loss"]["final"]
        assert float(data.sel({"seed": seed, "feedback.scale": scale})) == one


def test_another_order_of_axes_is_another_sweep(here: Path) -> None:
    """A resume with them passed for the same; it would have named most members wrongly."""
    interrupted(PLAIN + MIXED_UP, "out")
    turned = '[sweep.product]\n"feedback.scale" = [0.5, 1.0, 2.0]\nseed = {count = 2}\n'
    with pytest.raises(ConfigError, match=r"another config \(sweep\.order \['seed'"):
        swept(PLAIN + turned)
    found = swept(PLAIN + f'[sweep]\norder = ["seed", "feedback.scale"]\n{turned}')
    assert found.records["figures"]["status"].dims == ("seed", "feedback.scale")
    with pytest.raises(ConfigError, match=r"sweep\.order: lists seed; list every key once"):
        swept(PLAIN + f'[sweep]\norder = ["seed"]\n{turned}', "other")


def test_a_stored_config_is_the_same_sweep(here: Path) -> None:
    whole = swept(PLAIN + MIXED_UP)
    again = run_sweep(plan_of("out/config.toml"), on="here", out="again")
    assert whole.records["figures"]["loss.final"].identical(again.records["figures"]["loss.final"])


def test_a_member_in_another_s_place_is_an_error(here: Path) -> None:
    interrupted(PLAIN + MIXED_UP, "out", 2)
    path = chunk_paths(Path("out"))[0]
    chunk = read_chunk(path)
    path.unlink()
    write_chunk(Path("out"), chunk._replace(members=[member + 1 for member in chunk.members]))
    with pytest.raises(ConfigError, match=r"feedback\.scale: is 0\.5 of member 1, whose place"):
        faflow.open("out")
    with pytest.raises(ConfigError, match=r"whose place is that of"):
        swept(PLAIN + MIXED_UP)


@pytest.mark.parametrize("zarr", [False, True])
def test_older_folders_are_told_from_mixed_up_ones(zarr: bool, here: Path) -> None:
    stored = "[sweep]\nzarr = true\n" if zarr else ""
    interrupted(PLAIN + stored + MIXED_UP, "parts")
    as_of_old(Path("parts"))
    swept(PLAIN + stored + MIXED_UP, "whole")
    as_of_old(Path("whole"))
    for folder in ("parts", "whole"):
        with pytest.raises(
            ConfigError, match=r"older faflow, which may have mixed up its mem.* run"
        ):
            faflow.open(folder)
        with pytest.raises(ConfigError, match=r"older faflow.*--replace"):
            swept(PLAIN + stored + MIXED_UP, folder)
    again = ["sweep", "whole/config.toml", "--out", "whole", "--replace", "--workers", "1"]
    assert main([*again, "--no-figures"]) == 0
    assert faflow.open("whole").summary["statuses"] == {"completed": 6}
    # One order in the file and in the data: no member was mixed up.
    text = stored + '[sweep.product]\n"feedback.scale" = [0.5, 1.0]\nseed = {count = 2}\n'
    fine = swept(PLAIN + text, "fine")
    as_of_old(Path("fine"))
    assert fine.records["figures"].equals(faflow.open("fine").records["figures"])


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ('init = [{kind = "gaussian"}]\n"init.scale" = [1.0]\n', "init.scale: is inside init"),
        ('"init.scale" = [0.5]\n[sweep.product.init]\nscale = [1.0]\n', "is given twice"),
        ("flow = [{t1 = 1.0, saves = 3}]\n", "sweep.product.flow: can't be varied"),
    ],
)
def test_axes_that_would_undo_each_other_are_refused(grid: str, told: str, here: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        swept(f"{PLAIN}[sweep.product]\n{grid}")


def test_labels_tell_values_apart(here: Path) -> None:
    found = swept(PLAIN + '[sweep.product]\n"feedback.scale" = [1, 1.0]\nseed = [12345, 12346]\n')
    assert found.records["figures"]["feedback.scale"].values.tolist() == ["1", "1.0"]
    members = Members(found.records)
    assert members.seed_labels == ("12345", "12346")


def test_files_of_tables_are_found_from_the_folder(here: Path) -> None:
    """An axis of whole tables names files too, which workers read from the sweep's folder; one that
    lies behind a link is another place than its path says."""
    for name, scale in (("a", 1.0), ("b", 2.0)):
        np.savez(f"{name}.npz", X=np.eye(2), y=scale * np.ones((2, 1)))
    (here / "far" / "away").mkdir(parents=True)
    Path("results").symlink_to(here / "far" / "away")
    tables = ", ".join(f'{{kind = "arrays", file = "{name}.npz"}}' for name in "ab")
    found = swept(f"{PLAIN}[sweep.product]\ntask = [{tables}]\n", "results/out")
    losses = found.records["figures"]["loss.initial"].values
    for loss, name in zip(losses, "ab", strict=True):
        task = f'task = {{kind = "arrays", file = "{name}.npz"}}'
        text = PLAIN.replace('task = {kind = "gaussian", samples = 3, features = 2}', task)
        assert loss == single(text).summary["loss"]["initial"]


def test_reading_a_sweep_runs_no_code_of_its_config(here: Path, unpainted) -> None:
    rule = "from pathlib import Path\nfrom faflow.rules import Gradient\nPath('mark').touch()\n"
    Path("mine.py").write_text(rule + "class Mine(Gradient):\n    pass\n")
    text = PLAIN.replace('"feedback-alignment"', '"mine.py:Mine"') + MIXED_UP
    for out in ("parts", "whole"):
        interrupted(text, "parts") if out == "parts" else swept(text, out)
        Path("mark").unlink()
        faflow.open(out)
        for verb in ("drift", "fit", "plot", "report") if out == "parts" else ("drift",):
            main([verb, out])
        assert not Path("mark").exists()


# ---- what they came to --------------------------------------------------------------------------


def test_weights_of_nets_of_all_shapes(here: Path) -> None:
    """They died of W1 with 2 rows and with 4, after all members had run."""
    grid = "[sweep]\nweights = true\n[sweep.product]\nseed = {count = 2}\n"
    grid += '"network.widths" = [[2, 2, 1], [2, 3, 1], [2, 3, 2, 1]]\n'
    final = swept(PLAIN + grid).records["final"].to_dataset()
    for widths in ([2, 2, 1], [2, 3, 1], [2, 3, 2, 1]):
        one = single(PLAIN, seed=1, network__widths=widths).records["final"].to_dataset()
        found = final.sel({"seed": 1, "network.widths": "-".join(map(str, widths))})
        for name in ("W1", "W2", "W3"):
            values = found[name].values
            wanted = one[name].values if name in one else np.zeros((0, 0))
            rows, columns = wanted.shape
            np.testing.assert_array_equal(values[:rows, :columns], wanted)
            assert np.isfinite(values).sum() == wanted.size


LAWS = PLAIN.replace('["loss"]', '["loss", "laws"]')


def test_a_law_of_some_layers_stands_at_their_numbers(here: Path) -> None:
    """Direct feedback's law in relu nets is of the last hidden layer; it stood under the first
    one's number beside feedback alignment's, and under that of nets of another depth."""
    base = LAWS.replace("[2, 2, 1]}", '[2, 2, 1], activation = "relu"}')
    base = base.replace("saves = 3", 'saves = 3, kinks = "plain"')
    kinds = ["feedback-alignment", *["direct-feedback-alignment"] * 3]
    widths = [[2, 3, 2, 1], [2, 3, 2, 1], [2, 2, 1], [2, 2, 2, 2, 1]]
    grid = f'"rule.kind" = {json.dumps(kinds)}\n"network.widths" = {json.dumps(widths)}\n'
    found = swept(f"{base}[sweep.zip]\n{grid}").records
    law, drift = found["records"]["layer-balance"], found["figures"]["laws.layer-balance.drift"]
    assert law.dims == ("zip", "time", "hidden_layer")
    wanted = [[True, True, False], [False, True, False], [True, False, False], [False, False, True]]
    for values, name in ((law.values[:, 0], "records"), (drift.values, "figures")):
        assert found[name]["hidden_layer"].values.tolist() == [1, 2, 3]
        assert np.isfinite(values).tolist() == wanted
    one = single(base, rule__kind=kinds[1], network__widths=widths[1]).records["records"]
    np.testing.assert_array_equal(law.values[1, :, 1], one["layer-balance"].values[:, 0])


def test_members_step_sizes_are_their_own(here: Path) -> None:
    discrete = "discrete = {eta = [0.1, 0.05]}\n"
    grid = '[sweep.product]\n"discrete.eta" = [[0.1, 0.05], [0.02, 0.01]]\n'
    found = swept(PLAIN + discrete + grid).records["discrete"]
    assert found["etas"].values.tolist() == [[0.1, 0.05], [0.02, 0.01]]
    assert "eta" not in found.coords
    one = single(PLAIN + discrete, discrete__eta=[0.02, 0.01]).records["discrete"]
    np.testing.assert_array_equal(found["loss"].values[1], one["loss"].values)


def test_projected_beside_not(here: Path) -> None:
    """After all members had run: a traceback, and whenever it was tried again."""
    found = swept(f'{LAWS}[sweep.product]\n"flow.project" = [false, true]\nseed = {{count = 2}}\n')
    drift = found.records["figures"]["laws.layer-balance.relative_drift"]
    assert np.isfinite(drift.values[:, :, 0]).tolist() == [[True, True], [False, False]]
    assert found.records["figures"]["flow.project"].values.tolist() == ["false", "true"]
    rows = {row[""]: row for row in sweep_rows(found)}
    assert rows["laws.layer-balance.relative_drift"]["of"] == "2 of 4"


LEAVES = [
    1,
    2.5,
    None,
    True,
    False,
    "word",
    [1.0, 2.0],
    [],
    [None, 3],
    {"a": 1},
    {},
    ["x", 1],
    "gone",
]


@pytest.mark.parametrize("section", ["laws", "alignment", "solver", "odd"])
def test_any_mixture_of_types_is_gathered(section: str) -> None:
    """Every pair of leaves at one place of two summaries, and a third member that lacks it."""
    for one in LEAVES:
        for other in LEAVES:
            told = {}
            for i, leaf in enumerate((one, other)):
                inside = {} if leaf == "gone" else {"x": leaf}
                told[i] = {"status": "completed", section: {"balance": inside, **inside}}
            told[2] = {"status": "refused", "message": "no"}
            found = figures(told, (2, 2), ("p", "q"))
            assert found["status"].values.ravel().tolist() == [
                "completed", "completed", "refused", "pending"
            ]  # fmt: skip
            for name, variable in found.items():
                assert variable.dims[:2] == ("p", "q"), (one, other, name)
                assert variable.dtype.kind in "fO"
            place = f"{section}.balance.x"
            for i, leaf in enumerate((one, other)):
                if isinstance(leaf, str) and leaf != "gone":
                    assert found[place].values.ravel()[i] == leaf
                if isinstance(leaf, float) and found[place].dtype.kind == "f":
                    assert np.ravel(found[place].values.reshape(4, -1)[i])[0] == leaf


def test_a_list_beside_a_number_is_told_in_words() -> None:
    told = {0: {"laws": {"b": {"x": [1.0, 2.0]}}}, 1: {"laws": {"b": {"x": 3.0}}}}
    assert figures(told, (2,), ("p",))["laws.b.x"].values.tolist() == ["[1.0, 2.0]", "3.0"]
    assert flat_figures({"odd": {"a/b": [1, [2, "w"]]}}) == {
        "odd.a|b.0": 1, "odd.a|b.1.0": 2, "odd.a|b.1.1": "w",
    }  # fmt: skip


def test_no_dimension_is_called_as_an_axis_is(tmp_path: Path) -> None:
    """Simulations are over seeds of their own; and records of other shapes are other records."""
    plan = SweepPlan(tomllib.loads(PLAIN + "[sweep.product]\nseed = {count = 2}\n"), tmp_path, "x")

    def chunk(member: int, **records) -> Chunk:
        arrays = {f"simulation/{name}": Variable(("member", *dims), np.ones((1, *shape)), {})
                  for name, (dims, shape) in records.items()}  # fmt: skip
        return Chunk([member], [{"seed": member}], [{"status": "completed"}], arrays, {})

    one = chunk(0, losses=(("seed", "time"), (3, 2)), odd=(("time",), (2,)))
    other = chunk(1, losses=(("seed", "time"), (4, 2)), odd=(("time", "layer"), (2, 5)))
    found = gather(plan, [other, one], {})["simulation"]
    assert found["losses"].dims == ("seed", "seed_of_simulation", "time")
    assert np.isfinite(found["losses"]).sum(["seed_of_simulation", "time"]).values.tolist() == [
        6,
        8,
    ]
    assert np.isfinite(found["odd"].values[:, 0]).tolist() == [True, False]
    assert found["odd_2d"].dims == ("seed", "time", "layer")


# ---- what is said of them -----------------------------------------------------------------------


def test_refused_members_say_why(here: Path, capsys: pytest.CaptureFixture) -> None:
    grid = '[sweep.product]\n"task.samples" = [2, 0]\nseed = {count = 2}\n'
    Path("sweep.toml").write_text(PLAIN + grid)
    assert main(["sweep", "sweep.toml", "--workers", "1", "--out", "out", "--no-figures"]) == 3
    text = " ".join(capsys.readouterr().out.split())
    assert "2 completed, 2 refused" in text
    (told,) = faflow.open("out").summary["refused"]
    assert told["members"] == 2 and told["where"] == "samples 0 (2 of 2)"
    assert f"2 at samples 0 (2 of 2): {told['message']}" in text
    assert "samples" in told["message"]


class Screen:
    """A terminal that keeps what it was told."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_a_bar_is_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, gone on with, and where members are lost: 0/40 [00:16<-03:37, -0.18flow/s]."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    for course in ([(0, 0, None), (3, 0, None), (10, 1, 75.0), (40, 1, 0.0)],
                   [(31, 0, None), (34, 2, 4.0), (38, 4, 0.0), (38, 4, 0.0)]):  # fmt: skip
        with bar("name", 40, False) as tell:
            for done, failed, left in course:
                tell(Progress(done, failed, 40, left))
    assert "-" not in screen.text.replace("name-", "")
    for text in ("0/40 flows", "10/40", "75 s to go, 1 failed", "40/40", "38/40", "4 failed"):
        assert text in screen.text


def test_a_bar_where_a_terminal_does_not_know_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 rows of 0 columns, as under `script` and in some containers."""
    ours, theirs = pty.openpty()
    with open(theirs, "w") as screen:
        monkeypatch.setattr("sys.stderr", screen)
        with bar("name", 40, False) as tell:
            tell(Progress(3, 0, 40, None))
        print("end", file=screen, flush=True)
        text = b""
        while b"end" not in text:
            text += os.read(ours, 65536)
    os.close(ours)
    assert b"3/40 flows" in text
