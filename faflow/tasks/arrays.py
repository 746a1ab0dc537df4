"""The user's own arrays from an .npz file, never pickled."""

import os
import re
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ._host import Key, Raw, check_within
from .data import check_arrays

# X, y: the data; W1.., b1..: initial weights and biases; F2..: feedback; D1..: direct feedback.
_KNOWN_NAME = re.compile(r"X|y|W[1-9]\d*|b[1-9]\d*|F([2-9]|[1-9]\d+)|D[1-9]\d*")
_BROKEN_FILE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def arrays(*, key: Key, file: str | os.PathLike[str]) -> Raw:
    """X (samples, inputs) and y (samples, outputs) or (samples,) from the .npz `file`.

    Nothing is random: `key` is taken for the common signature only. Initial weights W1.., b1.. and
    feedback F2.., D1.. may lie in the same file; this task ignores them. Errors as in `load_npz`.
    """
    del key
    loaded = load_npz(file)
    for name in ("X", "y"):
        if name not in loaded:
            raise ValueError(
                f"File {file} must hold the arrays X and y, but has no {name} "
                f"(found: {', '.join(loaded) or 'nothing'}); save it with np.savez(file, X=X, y=y)."
            )
    try:
        return check_arrays(loaded["X"], loaded["y"])
    except ValueError as error:
        raise ValueError(f"File {file}, X as inputs, y as targets: {error}") from None


def load_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file by name, as float64.

    Names: X, y, W1.., b1.., F2.., D1... ValueError in one line if the file is missing or is not an
    .npz, if an array has an unknown name, is pickled, complex or not numeric, or has a NaN or inf.
    """
    where = Path(path)
    if not where.is_file():
        raise ValueError(f"File {where} does not exist or is not a file; check the path.")
    if not zipfile.is_zipfile(where):
        raise ValueError(
            f"File {where} is not an .npz file; save it with np.savez(file, X=X, y=y)."
        )
    try:
        with np.load(where, allow_pickle=False) as archive:
            names = list(archive.files)
            _check_names(where, names)
            return {name: _checked(where, name, _read(where, archive, name)) for name in names}
    except zipfile.BadZipFile:
        raise ValueError(f"File {where} is not a readable .npz file; save it again.") from None


def _check_names(where: Path, names: list[str]) -> None:
    for name in names:
        if not _KNOWN_NAME.fullmatch(name):
            raise ValueError(
                f"File {where} holds an unknown array '{name}'; valid names are X, y, "
                "W1.., b1.., F2.., D1..: rename or remove it."
            )


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
