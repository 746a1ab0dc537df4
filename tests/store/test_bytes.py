"""Files that hold something else than they should: one line, no traceback, nothing run."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
from small import LIGHT

import faflow
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.sweeps.plan import plan_of
from faflow.sweeps.records import _digest, read_records
from faflow.sweeps.sweep import run_sweep

CONTENTS = {
    "nothing": b"",
    "no UTF-8": b'name = "\xff\xfe"\n',
    "a list": b"[1]",
    "a number": b"7",
    "half": b'{"schema": 1',
    "zeros": bytes(64),
}
FILES = ("config.toml", "summary.json", "result.nc")
AXIS = '\n[sweep.product]\n"feedback.scale" = [0.5, 1.0]\n'


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A finished sweep, of few variables: it is read a hundred times."""
    place = tmp_path_factory.mktemp("swept")
    (place / "small.toml").write_text(LIGHT.replace('"loss", "laws"', '"loss"') + AXIS)
    run_sweep(plan_of(place / "small.toml"), out=place / "done", workers=1)
    return place / "done"


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_file_of_other_bytes(
    kind: str, file: str, content: str, computed: Path, swept: Path, tmp_path: Path, monkeypatch,
    capsys, unpainted,
) -> None:  # fmt: skip
    folder = tmp_path / "folder"
    shutil.copytree(computed if kind == "run" else swept, folder)
    (folder / file).write_bytes(CONTENTS[content])
    monkeypatch.chdir(tmp_path)
    for arguments in (["drift"], ["fit"], ["plot"], ["report"]):
        capsys.readouterr()
        code = main([*arguments, str(folder)])
        err = capsys.readouterr().err
        assert code in (0, 2) and err.count("\n") == (code == 2), (arguments, code, err)
    try:
        faflow.open(folder)
    except ConfigError as error:
        assert "\n" not in str(error)


def test_a_sweep_under_way_with_other_batches(swept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(swept, folder)
    (folder / "summary.json").unlink()
    for content in CONTENTS.values():
        (folder / "batches.json").write_bytes(content)
        assert faflow.open(folder).summary["statuses"] == {"pending": 2}


def test_no_pickle_in_a_zarr_folder(tmp_path: Path) -> None:
    """Zarr's codec of that name would run what the folder's maker wrote."""
    zarr = pytest.importorskip("zarr")
    mark, place = tmp_path / "mark", tmp_path / "result.zarr"

    class Bomb:
        def __reduce__(self):
            return open, (str(mark), "w")

    zarr.create_group(place, zarr_format=2)
    group = zarr.create_group(place / "figures", zarr_format=2)
    group.create_array("status", shape=(1,), dtype="int64", compressors=None)
    array = place / "figures" / "status"
    table = json.loads((array / ".zarray").read_text())
    codecs = {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}}
    table |= {**codecs, "dtype": "|O", "fill_value": ""}
    (array / ".zarray").write_text(json.dumps(table))
    (array / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["x"]}')
    (array / "0").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "result.zarr.sha256").write_text(_digest(place))
    with pytest.raises(ConfigError, match="readable"):
        read_records(tmp_path)
    assert not mark.exists()
