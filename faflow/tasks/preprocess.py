"""One step shared by all tasks: standardise, then whiten, then scale the inputs (numpy float64)."""

import numpy as np

from ._host import Real, lookup, numerical_rank


def preprocess(
    inputs: np.ndarray, *, standardise: bool = False, whiten: str = "none", scale: Real = 1.0
) -> tuple[np.ndarray, dict[str, int]]:
    """(X prepared, facts): X -> scale * whiten(standardise(X)).

    standardise: X_ij -> (X_ij - mean_j) / std_j (population), constant features dropped and
    counted in the fact `dropped_features`. whiten: a name in WHITENINGS. X is (samples, features),
    or (samples, ...): every entry of a sample is a feature then, constant ones become 0 and are
    counted as `constant_features`, and rows alone can be whitened. ValueError if no feature is
    left, if X lacks the rank that the whitening needs, or if `scale` is 0 or not finite.
    """
    if not (np.isfinite(scale) and scale != 0):
        raise ValueError(f"Argument `scale` must be finite and not 0, but is {scale}.")
    change = lookup("whiten", whiten, WHITENINGS)
    facts: dict[str, int] = {}
    shape, vectors = inputs.shape, inputs.ndim == 2
    if not vectors and whiten == "features":
        raise ValueError(
            f"Argument `whiten` must be 'none' or 'rows' for samples of shape {shape[1:]}, but is "
            "'features'; flatten them."
        )
    inputs = inputs.reshape(len(inputs), -1)
    if standardise:
        standard, moving = _standardise(inputs)
        constant = int(np.sum(~moving))
        facts["dropped_features" if vectors else "constant_features"] = constant
        inputs = standard[:, moving] if vectors else np.where(moving, standard, 0.0)
    changed = change(inputs, standardise)
    changed = changed if vectors else changed.reshape(shape)
    return changed if scale == 1 else scale * changed, facts


def _standardise(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features with mean 0 and variance 1, and which of them are not constant."""
    largest = np.abs(inputs).max(axis=0)
    # Sums and squares of numbers far from 1 overflow or vanish. Powers of two round nothing.
    inputs = np.ldexp(inputs, -np.frexp(largest)[1])
    centred = inputs - inputs.mean(axis=0)
    deviation = np.sqrt(np.mean(centred**2, axis=0))
    moving = deviation > 1e-12 * np.abs(inputs).max(axis=0)
    if not moving.any():
        raise ValueError(
            "Argument `standardise` must be false here, but is true: all "
            f"{inputs.shape[1]} features are constant over the {len(inputs)} samples."
        )
    return centred / np.where(moving, deviation, 1.0), moving


def _unchanged(inputs: np.ndarray, centred: bool) -> np.ndarray:
    return inputs


def _whiten_rows(inputs: np.ndarray, centred: bool) -> np.ndarray:
    """(X X^T)^{-1/2} X = U V^T: orthonormal rows with the row space of X."""
    polar, rank = _polar_factor(inputs)
    if rank < len(inputs):
        if centred and rank == len(inputs) - 1:
            remedy = "standardising makes the rows sum to 0: set standardise = false"
        else:
            remedy = f"ask for at most {rank} samples"
        raise ValueError(
            f"Argument `whiten` = 'rows' needs {len(inputs)} linearly independent samples, "
            f"but X has rank {rank}; {remedy}."
        )
    return polar


def _whiten_features(inputs: np.ndarray, centred: bool) -> np.ndarray:
    """X (X^T X / samples)^{-1/2} = sqrt(samples) U V^T: features with unit second moments."""
    polar, rank = _polar_factor(inputs)
    if rank < inputs.shape[1]:
        raise ValueError(
            f"Argument `whiten` = 'features' needs {inputs.shape[1]} linearly independent "
            f"features, but X has rank {rank}; take more samples, or drop dependent features "
            "(standardise = true drops constant ones)."
        )
    return np.sqrt(len(inputs)) * polar


def _polar_factor(inputs: np.ndarray) -> tuple[np.ndarray, int]:
    u, singular, vt = np.linalg.svd(inputs, full_matrices=False)
    return u @ vt, numerical_rank(singular, inputs.shape)


WHITENINGS = {
    "none": _unchanged,
    "rows": _whiten_rows,
    "features": _whiten_features,
}
