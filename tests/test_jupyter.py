"""The Jupyter notebook is executed by a kernel, as its reader would do it."""

from pathlib import Path
from typing import Any

import pytest

nbformat: Any = pytest.importorskip("nbformat")
nbclient: Any = pytest.importorskip("nbclient")

PATH = Path(__file__).resolve().parents[1] / "notebooks" / "flow.ipynb"


@pytest.mark.filterwarnings("default")  # of the client's own event loop and sockets
def test_it_runs_as_it_stands(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PATH.parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    book = nbformat.read(PATH, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells)  # kept without them
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=where).execute()
    cells = {cell["id"]: cell for cell in book.cells}
    (shown,) = cells["flow"]["outputs"]  # and no warning, nor what is left of a bar
    page = shown["data"]["text/html"]
    assert page.startswith("<pre>status ") and "layer-balance" in page and "image/png" in page
    assert cells["kept"]["outputs"][0]["data"]["text/plain"] == "(True, True)"
    assert [set(one["data"]) for one in cells["curves"]["outputs"]] == [{"image/png", "text/plain"}]
