"""The user's own arrays from an .npz file, never pickled."""

import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .._names import closest
from ._host import Drawn, Key, check_within
from .data import check_arrays, check_tokens, check_weights

# X, y, weights, X_test, y_test: the data; W1.., b1..: the network; F2.., D1..: feedback.
_KNOWN_NAME = re.compile(
    r"X|y|X_test|y_test|weights|W[1-9]\d*|b[1-9]\d*|F([2-9]|[1-9]\d+)|D[1-9]\d*"
)
_NAMES = (
    "X",
    "y",
    "X_test",
    "y_test",
    "weights",
    "W1",
    "b1",
    "D1",
    *(f"{letter}{i}" for i in range(2, 10) for letter in "WbFD"),
)
_BROKEN_FILE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def arrays(
    *,
    key: Key,
    file: str | os.PathLike[str],
    tokens: bool = False,
    classes: int | None = None,
) -> Drawn:
    """X (samples, inputs) and y (samples, outputs) or (samples,) from the .npz `file`.

    For models X is (samples, ...), whole numbers if `tokens`, and y (samples, ..., outputs).
    `classes`: y (samples, ...) are labels of so many classes, one of every sample or of every
    place, and become one-hot rows. Without it labels, whole numbers in one column, do where the
    network has several outputs (`make_task`), and under the cross-entropy loss where nothing says
    how many outputs there are: then as many as the largest label says (at every place, if that is
    2 or more). `weights` (samples,) in the file: sample weights. `X_test`, `y_test`: samples that
    are not learned from, prepared together with the others. Nothing is random: `key` is taken
    for the common signature only. Initial weights W1.., b1.. and feedback F2.., D1.. may lie in the
    same file; this task ignores them. Errors as in `load_npz`.
    """
    del key
    if classes is not None and classes < 2:
        raise ValueError(f"Argument `classes` must be >= 2, but is {classes}.")
    loaded = load_npz(file)
    for name in ("X", "y"):
        if name not in loaded:
            found = ", ".join(array_names(file)) or "nothing"
            raise ValueError(
                f"File {file} must hold the arrays X and y, but has no {name} "
                f"(found: {found}); save it with np.savez(file, X=X, y=y)."
            )
    test = _test_arrays(file, loaded)
    try:
        x, y = check_arrays(loaded["X"], loaded["y"])
        if test is not None:
            x, y = _joined((x, y), check_arrays(*test))
        if tokens:
            check_tokens("inputs", x)
        if (weights := loaded.get("weights")) is not None:
            check_weights(weights, len(x))
            if test is not None:
                raise ValueError("`weights` and `X_test` can't be together; leave one out.")
    except ValueError as error:
        told = "X as inputs, y as targets" + (", weights" if "weights" in loaded else "")
        raise ValueError(f"File {file}, {told}: {error}") from None
    count = 0 if test is None else len(test[0])
    return Drawn(x, y, weights, tokens, classes, labels=True, test=count)


Pair = tuple[np.ndarray, np.ndarray]


def _test_arrays(file: str | os.PathLike[str], loaded: Mapping[str, np.ndarray]) -> Pair | None:
    found = [name for name in ("X_test", "y_test") if name in loaded]
    if len(found) == 1:
        other = "y_test" if found[0] == "X_test" else "X_test"
        raise ValueError(f"File {file} holds {found[0]}, but no {other}; save both or neither.")
    return (loaded["X_test"], loaded["y_test"]) if found else None


def _joined(learned: Pair, test: Pair) -> Pair:
    for name, one, other in zip(("X", "y"), learned, test, strict=True):
        if one.shape[1:] != other.shape[1:]:
            raise ValueError(
                f"Array `{name}_test` must have samples of shape {one.shape[1:]}, as `{name}` has, "
                f"but they have {other.shape[1:]}."
            )
    return np.concatenate([learned[0], test[0]]), np.concatenate([learned[1], test[1]])


def load_npz(path: str | os.PathLike[str], every: bool = False) -> dict[str, np.ndarray]:
    """All arrays of an .npz file that faflow knows by name, or `every` one, as float64.

    Names: X, y, weights, W1.., b1.., F2.., D1..; `unknown_arrays` has the others. ValueError in
    one line if the file is missing or is not an .npz, if an array is pickled, complex or not
    numeric, or has a NaN or inf.
    """
    where = Path(path)
    with _opened(where) as archive:
        names = [name for name in archive.files if every or _KNOWN_NAME.fullmatch(name)]
        return {name: _checked(where, name, _read(where, archive, name)) for name in names}


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of all arrays of an .npz file. ValueError if it is none."""
    with _opened(Path(path)) as archive:
        return list(archive.files)


def unknown_arrays(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """The arrays of an .npz file that `load_npz` leaves out, each with the name that may have been
    meant."""
    names = [name for name in array_names(path) if not _KNOWN_NAME.fullmatch(name)]
    return {name: _meant(name) for name in names}


def _meant(name: str) -> str | None:
    """F2 for F1, though D1 is as near."""
    short = [known for known in _NAMES if re.fullmatch(r"\w\d*", known)]
    alike = [known for known in short if known.lower()[:1] == name.lower()[:1]]
    if alike and re.fullmatch(r"\w\d*", name):
        return closest(name, alike) or alike[0]
    return closest(name, _NAMES)


@contextmanager
def _opened(where: Path) -> Iterator[np.lib.npyio.NpzFile]:
    if not where.is_file():
        raise ValueError(f"File {where} does not exist or is not a file; check the path.")
    if not zipfile.is_zipfile(where):
        raise ValueError(
            f"File {where} is not an .npz file; save it with np.savez(file, X=X, y=y)."
        )
    try:
        with np.load(where, allow_pickle=False) as archive:
            yield archive
    except zipfile.BadZipFile:
        raise ValueError(f"File {where} is not a readable .npz file; save it again.") from None


def _read(where: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        array = archive[name]
    except _BROKEN_FILE:
        array = None
    if not isinstance(array, np.ndarray):
        raise ValueError(
            f"File {where}: array '{name}' is pickled (dtype object) or damaged, which is never "
            "loaded; save plain numbers with np.savez."
        )
    return array


def _checked(where: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"File {where}: array '{name}' must hold real numbers, but has dtype {array.dtype}; "
            "save it as float64."
        )
    array = array.astype(np.float64)
    try:
        check_within(name, array, sys.float_info.max)
    except ValueError as error:
        raise ValueError(f"File {where}: {error}") from None
    return array
