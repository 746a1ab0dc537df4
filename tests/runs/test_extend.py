"""`faflow extend`: a stored flow goes on, and ends in the bits of one flow of its own config."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import LIGHT, net

import faflow
from faflow.cli import main
from faflow.config.flow.section import FlowSection
from faflow.flow.loop import slices
from faflow.runs import checkpoint
from faflow.runs.ends import about_of, read_ends
from faflow.runs.extend import extend
from faflow.store.exchange import END
from faflow.store.folder import stored_provenance

LONG = """
[flow]
t1 = 3.0
{flow}
[observe]
names = ["loss", "laws"]
"""
# A companion's saves of an even number of them are no part of the longer companion's.
FLOWS = {
    "tsit5": ("tanh", 'solver = "tsit5"\nsaves = 7'),
    "bdf": ("tanh", 'solver = "bdf"\nsaves = 4\nspacing = "log"'),
    "exact": ("relu", 'kinks = "exact"\nsaves = 7\nexact = { slots = 16, events = 100 }'),
    "plain": ("relu", 'kinks = "plain"\nsaves = 6'),
}


class Interrupted(Exception):
    """What a test stops a flow with."""


def written(kind: str, folder: Path) -> Path:
    activation, flow = FLOWS[kind]
    path = folder / "long.toml"
    path.write_text('name = "long"' + net([4, 6, 1], 12, activation) + LONG.format(flow=flow))
    return path


def differing(one: faflow.Result, other: faflow.Result) -> list[str]:
    """Records, weights and sections of the summary that are not the same to the last bit."""
    found = [
        f"{group}/{name}"
        for group in one.records.children
        for name, variable in one.records[group].data_vars.items()
        if not np.array_equal(variable, other.records[group][name], equal_nan=True)
    ]
    mine, theirs = _timeless(one.summary), _timeless(other.summary)
    return found + [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]


def _timeless(summary: dict[str, Any]) -> dict[str, Any]:
    solver = {k: v for k, v in summary["solver"].items() if "seconds" not in k}
    return {**summary, "solver": solver}


def with_changed_state(folder: Path) -> None:
    """The largest number of the end is another in its sixth digit."""
    with np.load(folder / END) as file:
        arrays = {name: file[name] for name in file.files}
    name = next(n for n, a in arrays.items() if n.startswith("0.c") and a.ndim and a.size > 20)
    arrays[name] = arrays[name] * (1 + 1e-6)
    np.savez(folder / END, **arrays)


@pytest.mark.parametrize("kind", FLOWS)
def test_it_ends_in_the_bits_of_one_flow(kind: str, tmp_path: Path) -> None:
    out, noted = tmp_path / "long", []
    short = faflow.run(written(kind, tmp_path), out=out)
    shutil.copytree(out, tmp_path / "changed")
    longer = extend(out, 5.2, note=noted.append)
    assert "going on from t = 3" in noted and longer.fresh and longer.folder == out
    whole = faflow.run(out / "config.toml", out=tmp_path / "whole")
    assert whole.fresh and differing(longer, whole) == []
    saves = len(short.times)
    assert saves < len(longer.times) and longer.times[-1] == 5.2
    np.testing.assert_array_equal(longer.times[:saves], short.times)
    (before,) = stored_provenance(out)["extended"]
    assert before["t1"] == 3.0 and before["equal"] == "bits"
    # The control: it is from that end that the flow goes on.
    if kind == "tsit5":
        with_changed_state(tmp_path / "changed")
        assert "loss" in differing(extend(tmp_path / "changed", 5.2), whole)


def test_killed_in_the_middle_and_extended_again(tmp_path: Path, monkeypatch) -> None:
    """Further in two goes, the second of which is interrupted and goes on."""
    out, write, seen = tmp_path / "long", checkpoint.KeptLeg._write, []
    faflow.run(written("tsit5", tmp_path), out=out)
    extend(out, 4.0)

    def second(self: Any, *arguments: Any) -> None:
        write(self, *arguments)
        seen.append(1)
        if len(seen) == 2:
            raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(checkpoint.KeptLeg, "_write", second)
        extend(out, 5.2, checkpoint=0.0)
    assert faflow.open(out).times[-1] == 4.0  # what was there is whole
    told: list[str] = []
    longer = extend(out, 5.2, note=told.append)
    (since,) = (float(t.split(" = ")[1]) for t in told[1:] if t.startswith("going on from"))
    assert 4.0 < since < 5.2
    assert not out.with_name(".long.checkpoint").exists()
    whole = faflow.run(out / "config.toml", out=tmp_path / "whole")
    assert whole.fresh and differing(longer, whole) == []
    assert [one["t1"] for one in stored_provenance(out)["extended"]] == [3.0, 4.0]


def test_more_saves_than_states_are_kept_for(tmp_path: Path, monkeypatch) -> None:
    """The stored end keeps the state at each save; those of the longer flow would be too large."""
    out, noted = tmp_path / "long", []
    short = faflow.run(written("tsit5", tmp_path), out=out)
    (end,) = read_ends(out / END)
    monkeypatch.setattr(slices, "STATES", end["r2"].nbytes)
    longer = extend(out, 5.2, note=noted.append)
    (later,) = read_ends(out / END)
    assert about_of(end)["states"] and not about_of(later)["states"]
    assert "going on from t = 3" in noted and not any("anew" in text for text in noted)
    whole = faflow.run(out / "config.toml", out=tmp_path / "whole")
    for name, weights in whole.records["final"].data_vars.items():
        np.testing.assert_array_equal(longer.records["final"][name], weights)
    assert longer.summary["solver"]["steps"] == whole.summary["solver"]["steps"]
    for name, records in whole.records["records"].data_vars.items():
        found, saves = longer.records["records"][name], len(short.times)
        np.testing.assert_allclose(found, records, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(found[:saves], short.records["records"][name], 1e-11, 1e-14)
    assert stored_provenance(out)["extended"][0]["equal"] == "tolerance"


def test_an_end_that_does_not_fit(tmp_path: Path, monkeypatch) -> None:
    """The flow begins anew, and says so."""
    out, noted = tmp_path / "long", []
    with monkeypatch.context() as patch:
        patch.setattr(slices, "STATES", 0)
        faflow.run(written("tsit5", tmp_path), out=out, overrides=["flow.saves=4"])
    longer = extend(out, 11.0, note=noted.append)
    assert any(text.startswith("the flow begins anew: its end has an array") for text in noted)
    whole = faflow.run(out / "config.toml", out=tmp_path / "whole")
    assert differing(longer, whole) == []


def test_auto_is_said_to_be_equal_to_tolerance(tmp_path: Path) -> None:
    """The end of the first flow is on tsit5; the whole one has changed long before."""
    config, told = written("tsit5", tmp_path), []
    more = ["flow.solver=auto", "flow.t1=100.0", "flow.saves=3"]
    first = faflow.run(config, out=tmp_path / "long", overrides=more)
    assert [leg["solver"] for leg in first.summary["solver"]["chosen"]] == ["tsit5"]
    longer = extend(tmp_path / "long", 2e4, tell=told.append)
    assert any("to tolerance" in text for text in told)
    assert stored_provenance(tmp_path / "long")["extended"][0]["equal"] == "tolerance"
    whole = faflow.run(tmp_path / "long" / "config.toml", out=tmp_path / "whole")
    chosen = [one.summary["solver"]["chosen"] for one in (longer, whole)]
    assert [[leg["solver"] for leg in legs] for legs in chosen] == [["tsit5", "bdf"]] * 2
    assert chosen[0][1]["from"] > 100 > chosen[1][1]["from"]
    for name, weights in whole.records["final"].data_vars.items():
        other = longer.records["final"][name]
        np.testing.assert_allclose(other, weights, rtol=1e-4, atol=1e-5)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder; to be read, or copied."""
    place = tmp_path_factory.mktemp("once")
    np.savez(place / "data.npz", X=np.eye(3), y=np.arange(3.0)[:, None])
    table = LIGHT.replace('kind = "gaussian"\nsamples = 2\nfeatures = 3', ARRAYS)
    (place / "small.toml").write_text(table)
    faflow.run(place / "small.toml", out=place / "small")
    return place


ARRAYS = 'kind = "arrays"\nfile = "data.npz"'


@pytest.fixture
def stored(once: Path, tmp_path: Path) -> Path:
    shutil.copytree(once, tmp_path / "place")
    return tmp_path / "place" / "small"


def complaint(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """What `faflow extend` says on stderr, in one line, where it refuses."""
    capsys.readouterr()
    assert main(["extend", *map(str, arguments), "--no-figures"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("t1", "words"),
    [("0.4", "has come to t = 0.5 already"), ("nan", "is nan"), ("inf", "is inf"),
     ("long", "invalid float"), ("0.73", "flow.step: is 0.05, which does not divide")],
)  # fmt: skip
def test_a_time_that_is_none(t1: str, words: str, stored: Path, capsys) -> None:
    before = {path.name: path.read_bytes() for path in stored.iterdir()}
    assert words in complaint(capsys, stored, "--t1", t1)
    assert {path.name: path.read_bytes() for path in stored.iterdir()} == before


def test_a_folder_that_can_not_go_on(stored: Path, tmp_path: Path, capsys) -> None:
    """Each is named, and nothing in it is touched."""

    def copy(name: str) -> Path:
        shutil.copytree(stored.parent, tmp_path / name)
        return tmp_path / name / "small"

    assert "holds no faflow result" in complaint(capsys, tmp_path / "nowhere", "--t1", 1)
    without = copy("without")
    (without / END).unlink()
    assert f"has no {END}" in complaint(capsys, without, "--t1", 1)
    damaged = copy("damaged")
    (damaged / END).write_bytes((stored / END).read_bytes()[:-40])
    assert f"{END}: is damaged" in complaint(capsys, damaged, "--t1", 1)
    older = copy("older")
    edited(older / "config.toml", 'source = "', 'source = "0')
    assert "is of another version of faflow" in complaint(capsys, older, "--t1", 1)
    elsewhere = copy("elsewhere")
    edited(elsewhere / "config.toml", 'jax = "', 'jax = "9.')
    assert "is of another version of jax" in complaint(capsys, elsewhere, "--t1", 1)
    edited_by_hand = copy("edited")
    edited(edited_by_hand / "config.toml", "step = 0.05", "step = 0.025")
    assert "is of another config" in complaint(capsys, edited_by_hand, "--t1", 1)
    other_data = copy("data")
    np.savez(other_data.parent / "data.npz", X=np.eye(3), y=np.ones((3, 1)))
    line = complaint(capsys, other_data, "--t1", 1)
    assert "task.file (data.npz) has changed" in line and "only flow.t1 may" in line


def test_a_flow_that_ended_before_its_t1(stored: Path, tmp_path: Path, capsys) -> None:
    config = stored.parent / "small.toml"
    faflow.run(config, overrides=["flow.stop.residual=2.2"], out=tmp_path / "stopped")
    assert "reached the loss or residual" in complaint(capsys, tmp_path / "stopped", "--t1", 1)
    faflow.run(config, overrides=["flow.max_steps=10"], out=tmp_path / "spent")
    assert "flow.max_steps: is 10" in complaint(capsys, tmp_path / "spent", "--t1", 1)


def test_where_the_longer_one_goes(stored: Path, tmp_path: Path, capsys) -> None:
    """In the place of the shorter one, or to --out, where nothing is replaced unasked."""
    aside, before = tmp_path / "aside", (stored / "summary.json").read_bytes()
    words = [str(stored), "--t1", "0.8", "--no-figures"]
    assert main(["extend", *words, "--out", str(aside)]) == 0
    assert (stored / "summary.json").read_bytes() == before
    assert faflow.open(aside).times[-1] == 0.8
    assert "a different result" in complaint(capsys, stored, "--t1", 1, "--out", aside)
    assert main(["extend", str(stored), "--t1", "1", "--out", str(aside), "--replace"]) == 0
    assert faflow.open(aside).times[-1] == 1.0
    (stored / "notes.txt").write_text("mine")
    assert main(["extend", *words]) == 0
    made = (stored / "result.nc").stat().st_mtime_ns
    capsys.readouterr()
    assert main(["extend", *words]) == 0  # again: it is there
    assert "(already there)" in capsys.readouterr().out
    assert (stored / "result.nc").stat().st_mtime_ns == made
    assert (stored / "notes.txt").read_text() == "mine"


def test_what_was_stopped_on_its_way_is_kept(stored: Path, monkeypatch, capsys) -> None:
    """The shorter flow's own config, run once more, is there; the longer one goes on after it."""
    place, write = stored.with_name(".small.checkpoint"), checkpoint.KeptLeg._write

    def once(self: Any, *arguments: Any) -> None:
        write(self, *arguments)
        raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(checkpoint.KeptLeg, "_write", once)
        extend(stored, 0.8, checkpoint=0.0)
    (leg,) = place.glob("leg*.npz")
    before = leg.read_bytes()
    assert (
        main(["run", str(stored.parent / "small.toml"), "--no-figures", "--out", str(stored)]) == 0
    )
    assert "(already there)" in capsys.readouterr().out and leg.read_bytes() == before
    extend(stored, 0.8)
    assert not place.exists()
    # What was killed when its result was stored is no matter: the flow has gone beyond that.
    place.mkdir()
    leg.write_bytes(before)
    assert extend(stored, 0.8).folder == stored and not place.exists()
    place.mkdir()
    leg.write_bytes(before)
    assert extend(stored, 0.9).times[-1] == 0.9 and not place.exists()


def test_no_end_is_kept_where_none_is_wanted(stored: Path, tmp_path: Path) -> None:
    config = stored.parent / "small.toml"
    words = ["run", str(config), "--no-figures", "--no-end-state", "--out", str(tmp_path / "o")]
    assert main(words) == 0
    assert not (tmp_path / "o" / END).exists() and (stored / END).exists()


def test_saves_of_a_longer_flow_begin_with_those_of_a_shorter_one() -> None:
    """To the bit; none is further from the one before it than in the shorter one."""
    for more in ({"saves": 101}, {"saves": 12, "spacing": "log", "first": 1e-3}, {"saves": 2}):
        ends: tuple[float, ...] = (0.7, 0.9, 31.3)
        times = [
            FlowSection(t1=ends[i], extended_at=ends[:i] or None, **more).save_times("float64")
            for i in range(len(ends))
        ]
        for one, other in itertools.pairwise(times):
            np.testing.assert_array_equal(other[: len(one)], one)
        log = "spacing" in more
        gaps = np.diff(np.log(times[-1][1:])) if log else np.diff(times[-1])
        first = len(times[0]) - 1 - log
        assert np.max(gaps) <= np.max(gaps[:first]) * (1 + 1e-9)
        assert all(end in times[-1] for end in ends)
    with pytest.raises(ValueError, match="must increase"):
        FlowSection(t1=1.0, extended_at=(2.0,))
