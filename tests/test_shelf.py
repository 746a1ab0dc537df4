"""Several writers of one kept program: whoever reads finds it whole."""

import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from faflow._shelf import get, kept_in, put


def test_writers_of_one_entry_all_finish(tmp_path: Path) -> None:
    """Found in every state that the folder has meanwhile, without a word, and nothing is left."""
    rng = np.random.default_rng(0)
    contents = [rng.integers(0, 256, 300_000, np.uint8).tobytes() for _ in range(2)]

    def write_and_read(which: int) -> list[bytes | None]:
        found = []
        for _ in range(10):
            put("one", "key", contents[which])
            found.append(get("one", "key"))
        return found

    with kept_in(tmp_path, "", lambda: True, lambda: True), warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(4) as threads:
            found = [one for some in threads.map(write_and_read, [0, 1, 0, 1]) for one in some]
    assert len(found) == 40 and all(one in contents for one in found)
    assert [path.name for path in tmp_path.iterdir()] == ["one-key-cache"]


def test_control_half_of_an_entry_is_told(tmp_path: Path) -> None:
    with kept_in(tmp_path, "", lambda: True, lambda: True):
        put("one", "key", b"content" * 100)
        (path,) = tmp_path.iterdir()
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.warns(UserWarning, match="Error reading persistent"):
            assert get("one", "key") is None
        path.write_bytes(zlib.compress(b"0" * 32 + b"content"))
        with pytest.warns(UserWarning, match="its sum is another"):
            assert get("one", "key") is None
