import io
import zipfile

import numpy as np
import pytest

from faflow.tasks import array_names, load_npz, make_task, unknown_arrays

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


@pytest.mark.parametrize(
    ("name", "near"),
    [("Z", None), ("W0", "W"), ("W", "W"), ("F1", "F"), ("w1", "W1"), ("x", "X"), ("arr_0", None),
     ("W1a", "W1"), ("labels", "y"), ("features", "X")],
)  # fmt: skip
def test_unknown_name_is_left_out_and_told(tmp_path, name, near):
    path = save(tmp_path, X=X, y=Y, **{name: np.array(["any", "thing"])})
    assert set(load_npz(path)) == {"X", "y"} and array_names(path) == ["X", "y", name]
    told = unknown_arrays(path)
    assert set(told) == {name}
    assert told[name] is None if near is None else (told[name] or "").startswith(near)


def test_a_name_that_is_nearly_right(tmp_path):
    path = save(tmp_path, x=X, y=Y)
    assert "no X (found: x, y)" in complaint(lambda: make_task("arrays", key=0, file=path))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", [int, np.uint8, float])
def test_labels_become_one_hot_rows_where_the_outputs_are_several(tmp_path, shape, dtype):
    labels = np.array([2, 0, 1, 2], dtype).reshape(shape)
    path = save(tmp_path, X=np.eye(4), y=labels)
    task = make_task("arrays", key=0, file=path, labels_for=3, loss="cross-entropy")
    np.testing.assert_array_equal(task.data.targets, np.eye(3)[[2, 0, 1, 2]])
    assert task.facts["labels"] == "0, 1, 2" and task.facts["outputs"] == 3
    plain = make_task("arrays", key=0, file=path, labels_for=1)
    np.testing.assert_array_equal(plain.data.targets[:, 0], [2, 0, 1, 2])


def test_labels_that_are_not_0_1_2(tmp_path):
    path = save(tmp_path, X=np.eye(4), y=np.array([-1, 7, 3, 7]))
    task = make_task("arrays", key=0, file=path, labels_for=3)
    np.testing.assert_array_equal(task.data.targets, np.eye(3)[[0, 2, 1, 2]])
    assert task.facts["labels"] == "-1, 3, 7"
    path = save(tmp_path, X=np.eye(4), y=np.array([0, 1, 0, 1]))  # a class that is not there
    task = make_task("arrays", key=0, file=path, labels_for=3)
    np.testing.assert_array_equal(task.data.targets, np.eye(3)[[0, 1, 0, 1]])


def test_labels_that_do_not_fit_the_outputs(tmp_path):
    path = save(tmp_path, X=np.eye(4), y=np.array([0, 1, 2, 5]))
    message = complaint(lambda: make_task("arrays", key=0, file=path, labels_for=3))
    assert "4 labels (0, 1, 2, 5)" in message and "3 outputs" in message


def test_what_is_no_label_stays(tmp_path):
    path = save(tmp_path, X=np.eye(4), y=np.array([0.5, 1, 2, 3]))
    assert make_task("arrays", key=0, file=path, labels_for=3).facts["outputs"] == 1
    path = save(tmp_path, X=np.eye(4), y=np.eye(4, dtype=int))
    np.testing.assert_array_equal(
        make_task("arrays", key=0, file=path, labels_for=4).data.targets, np.eye(4)
    )


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


LABELS = np.array([[2, 0, 1], [1, 1, 0]])


@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
def test_classes_make_one_hot_rows_of_labels_of_any_shape(tmp_path, loss):
    X = np.ones((2, 3, 4))
    for y in (LABELS, LABELS[:, 0], LABELS[:, :1], LABELS[:, :, None], LABELS.astype(float)):
        path = save(tmp_path, X=X, y=y)
        task = make_task("arrays", key=0, file=path, classes=4, loss=loss)
        labels = y[..., 0] if y.shape[-1] == 1 else y
        assert task.data.inputs.shape == (2, 3, 4)
        np.testing.assert_array_equal(task.data.targets, np.eye(4)[labels.astype(int)])
        assert task.facts["labels"] == "0, 1, 2, 3" and task.facts["outputs"] == 4


def test_cross_entropy_counts_the_labels_where_nothing_else_does(tmp_path):
    def targets(y, **options):
        path = save(tmp_path, X=np.ones((len(y), 3)), y=np.asarray(y))
        return np.asarray(make_task("arrays", key=0, file=path, **options).data.targets)

    np.testing.assert_array_equal(targets(LABELS, loss="cross-entropy"), np.eye(3)[LABELS])
    np.testing.assert_array_equal(targets([0, 2, 0], loss="cross-entropy"), np.eye(3)[[0, 2, 0]])
    # What is something else already stays: signs, probabilities, numbers under another loss.
    np.testing.assert_array_equal(targets([-1, 1, 1], loss="cross-entropy"), [[-1], [1], [1]])
    np.testing.assert_array_equal(targets(np.eye(3), loss="cross-entropy"), np.eye(3))
    np.testing.assert_array_equal(targets(LABELS), LABELS)
    for several_hot in ([[1, 1, 0], [0, 1, 1]], [[0, 0], [1, 1]]):
        assert "row 0" in complaint(lambda y=several_hot: targets(y, loss="cross-entropy"))
    assert "1000000 classes" in complaint(lambda: targets([0, 999_999], loss="cross-entropy"))


def test_arrays_of_any_shape_with_tokens_and_weights(tmp_path):
    x, y = np.arange(6).reshape(2, 3), np.ones((2, 3, 2))
    path = save(tmp_path, X=x, y=y, weights=[1.0, 3.0])
    assert set(load_npz(path)) == {"X", "y", "weights"} and not unknown_arrays(path)
    task = make_task("arrays", key=0, file=path, tokens=True, reduction="mean")
    assert np.issubdtype(task.data.inputs.dtype, np.integer)
    np.testing.assert_array_equal(task.data.inputs, x)
    np.testing.assert_array_equal(task.data.targets, y)
    np.testing.assert_array_equal(task.data.sample_weights, [1, 3])
    assert task.data.weight == 0.25 and task.facts["total_weight"] == 4.0
    assert (task.facts["tokens"], task.facts["target_shape"]) == (6, "3 x 2")
    images = save(tmp_path, X=np.zeros((2, 1, 4, 4), np.uint8), y=[0.5, 1.0])
    plain = make_task("arrays", key=0, file=images).data
    assert plain.inputs.shape == (2, 1, 4, 4) and plain.inputs.dtype == np.float64
    assert plain.sample_weights is None


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"X": X + 0.5, "y": Y}, {"tokens": True}, ["inputs", "0.5", "[0, 0]", "tokens = false"]),
        ({"X": -X, "y": Y}, {"tokens": True}, ["inputs", "-1.0", "[0, 1]"]),
        ({"X": X, "y": Y + 0.25}, {"classes": 3}, ["1.25", "[0]", "3 classes"]),
        ({"X": X, "y": [0, 1, 3]}, {"classes": 2}, ["3 labels (0, 1, 3)", "`classes` is 2"]),
        ({"X": X, "y": Y}, {"classes": 1}, ["classes", ">= 2", "1"]),
        ({"X": X, "y": Y, "weights": np.ones(2)}, {}, ["sample_weights", "(3,)", "(2,)"]),
        ({"X": X, "y": Y, "weights": -Y}, {}, ["sample_weights", "-3.0", "[2]"]),
        ({"X": X, "y": Y, "weights": 0 * Y}, {}, ["sample_weights", "all 0"]),
        ({"X": X[None].repeat(2, 0), "y": Y}, {}, ["3 rows", "2 rows", "mine.npz"]),
        ({"X": X[0], "y": Y}, {}, ["inputs", "(2,)", "mine.npz"]),
    ],
)
def test_misfits_of_shapes_tokens_labels_and_weights(tmp_path, arrays, options, words):
    path = save(tmp_path, **arrays)
    message = complaint(lambda: make_task("arrays", key=0, file=path, **options))
    assert all(word in message for word in words), message
