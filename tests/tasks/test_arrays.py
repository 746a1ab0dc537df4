import io
import zipfile

import numpy as np
import pytest

from faflow.tasks import load_npz, make_task

X = np.arange(6).reshape(3, 2)
Y = np.array([1.0, 2.0, 3.0])


def save(folder, **arrays):
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


def complaint(call):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_reads_data_and_keeps_the_rest(tmp_path):
    path = save(tmp_path, X=X, y=Y, W1=np.eye(2), b1=np.zeros(2), F2=np.ones((1, 2)), D1=X)
    loaded = load_npz(path)
    assert set(loaded) == {"X", "y", "W1", "b1", "F2", "D1"}
    assert all(array.dtype == np.float64 for array in loaded.values())
    task = make_task("arrays", key=0, file=path)
    np.testing.assert_array_equal(task.data.inputs, X)
    np.testing.assert_array_equal(task.data.targets, Y[:, None])


@pytest.mark.parametrize("name", ["Z", "W0", "W", "F1", "w1", "x", "arr_0", "W1a"])
def test_unknown_name(tmp_path, name):
    path = save(tmp_path, X=X, y=Y, **{name: X})
    assert f"'{name}'" in complaint(lambda: load_npz(path))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[1.0, 2.0], [3.0, np.nan], [0.0, 0.0]]), ["nan", "[1, 1]"]),
        (np.array([[1.0, -np.inf]]), ["-inf", "[0, 1]"]),
        (X.astype(complex), ["complex128"]),
        (np.array([["a", "b"]]), ["<U1"]),
        (np.array([[1, None]], dtype=object), ["pickled"]),
    ],
)
def test_bad_content(tmp_path, array, words):
    message = complaint(lambda: load_npz(save(tmp_path, X=array, y=Y)))
    assert all(word in message for word in ["mine.npz", "X", *words]), message


def test_missing_arrays_and_shapes(tmp_path):
    for given, missing in (({"X": X}, "no y"), ({"y": Y}, "no X")):
        path = save(tmp_path, **given)
        assert missing in complaint(lambda path=path: make_task("arrays", key=0, file=path))
    path = save(tmp_path, X=X, y=Y[:2])
    message = complaint(lambda: make_task("arrays", key=0, file=path))
    assert "2 rows" in message and "mine.npz" in message


def test_files_that_are_no_npz(tmp_path):
    assert "does not exist" in complaint(lambda: load_npz(tmp_path / "none.npz"))
    assert "not a file" in complaint(lambda: load_npz(tmp_path))
    text = tmp_path / "text.npz"
    text.write_text("hello")
    assert "not an .npz" in complaint(lambda: load_npz(text))
    single = tmp_path / "single.npy"
    np.save(single, X)
    assert "not an .npz" in complaint(lambda: load_npz(single))


def test_damaged_files(tmp_path):
    odd = tmp_path / "odd.npz"
    with zipfile.ZipFile(odd, "w") as archive:
        archive.writestr("X.npy", b"no array at all")
    assert "damaged" in complaint(lambda: load_npz(odd))
    buffer = io.BytesIO()
    np.save(buffer, X)
    with zipfile.ZipFile(odd, "w") as archive:
        archive.writestr("X.npy", buffer.getvalue()[:-8])
    assert "damaged" in complaint(lambda: load_npz(odd))
