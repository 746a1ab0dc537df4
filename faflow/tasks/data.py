"""The data a network learns from: inputs, targets, the loss between them and its weight."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh
from jaxtyping import Float

from .._types import Array, Outputs, PerSample, Samples, Scalar
from . import blocks
from ._host import check_within, lookup, real_array
from .losses import LOSSES, AbstractLoss

REDUCTIONS = {
    "sum": lambda samples: 1.0,
    "mean": lambda samples: 1.0 / samples,
}


class Data(eqx.Module):
    """Loss = weight * sum_n s_n l(f_n, y_n); weight is 1 ("sum") or 1 / sum_n s_n ("mean").

    `inputs` X is (samples, inputs), or of any shape of a sample for a model; integers are tokens.
    `targets` Y is (samples, outputs), or (samples, places, outputs). `sample_weights` s (samples,),
    >= 0; None: all are 1. A sample of weight 2 is the sample twice, one of weight 0 is left out.
    The weight only rescales time, but it does rescale it: rates under "mean" are 1/samples of those
    under "sum".
    `identity`: X is the identity matrix (matrix factorisation), so that products with it are idle;
    ValueError if it is not, where it is known. `block`: samples that sums and outputs take at once
    (None: all). `present` (samples, 1): 0 for rows that fill up a block or a device and are no
    samples, 1 for others (None: all are). `mesh`: the devices that samples are spread over.
    """

    inputs: Samples
    targets: Outputs
    loss: AbstractLoss = eqx.field(static=True)
    weight: Scalar
    identity: bool = eqx.field(static=True, default=False)
    block: int | None = eqx.field(static=True, default=None)
    present: Float[Array, "samples 1"] | None = None
    mesh: Mesh | None = eqx.field(static=True, default=None)
    sample_weights: PerSample | None = None

    def __check_init__(self):
        known = not isinstance(self.inputs, Tracer)
        if self.identity and known and not is_identity(np.asarray(self.inputs)):
            raise ValueError("Argument `identity` is True, but `inputs` is another matrix.")

    def derivative(self, outputs: Outputs) -> Outputs:
        """dl/df of every sample, unweighted; f - y for the squared loss."""
        slopes = self.loss.error(outputs, self.targets)
        return slopes if self.present is None else _beside(self.present, slopes) * slopes

    def residual(self, outputs: Outputs) -> Outputs:
        """sqrt(s_n) dl/df, so that its norm is that of the samples repeated s_n times."""
        return self.rooted(self.derivative(outputs))

    def error(self, outputs: Outputs) -> Outputs:
        """dLoss/df = weight * s_n dl/df, of the outputs' shape: what goes back."""
        return self.weighed(self.derivative(outputs))

    def value(self, outputs: Outputs) -> Scalar:
        """Loss(f) = weight * sum_n s_n l(f_n, y_n)."""
        values = self.loss.value(outputs, self.targets)
        if self.present is not None:
            values = self.present[:, 0] * values
        if self.sample_weights is not None:
            values = self.sample_weights * values
        return self.weight * jnp.sum(values)

    def weighed(self, rows: Array) -> Array:
        """weight * s_n times row n of (samples, ...): its share in a sum over samples."""
        if self.sample_weights is not None:
            rows = _beside(self.sample_weights, rows) * rows
        return self.weight * rows

    def rooted(self, rows: Array) -> Array:
        """sqrt(s_n) times row n of (samples, ...)."""
        if self.sample_weights is None:
            return rows
        return _beside(jnp.sqrt(self.sample_weights), rows) * rows

    def outputs(self, network: Callable[[Samples], Outputs]) -> Outputs:
        """f(X) (samples, outputs), with the activations of one block at once."""
        return self.each(lambda part: network(part.inputs))

    def summed(self, function: Callable[["Data"], Any]) -> Any:
        """A sum over samples, one block at a time on every device (`blocks.summed`)."""
        return blocks.summed(self, function)

    def each(self, function: Callable[["Data"], Any]) -> Any:
        """What is made of every sample alone, one block at a time (`blocks.each`)."""
        return blocks.each(self, function)

    def in_blocks(self, block: int | None) -> "Data":
        """The same data taken `block` samples at once; None or all of them: at once."""
        if block is None or block >= self.inputs.shape[0]:
            return dataclasses.replace(self, block=None)
        # A block of the identity's rows is no identity.
        return dataclasses.replace(self, block=block, identity=False)


def make_data(
    inputs: Any,
    targets: Any,
    loss: str | AbstractLoss = "squared",
    reduction: str = "sum",
    *,
    tokens: bool = False,
    sample_weights: Any = None,
) -> Data:
    """Data in JAX's current default precision, from anything numpy can read.

    `inputs` is (samples, inputs), or (samples, ...) for a model; `targets` is (samples, outputs),
    (samples,) for one output, or (samples, ..., outputs). `loss` is a name in LOSSES or a loss,
    `reduction` a name in REDUCTIONS. `tokens`: the inputs stay whole numbers, for an embedding.
    `sample_weights` (samples,) as in `Data`. ValueError in one line if the shapes disagree, an
    entry is not a finite real number, a token is no whole number >= 0, a weight is negative or all
    are 0, or the loss rejects the targets.
    """
    x, y = check_arrays(inputs, targets)
    rule = lookup("loss", loss, LOSSES)() if isinstance(loss, str) else loss
    rule.check(y)
    s = None if sample_weights is None else check_weights(sample_weights, len(x))
    weight = lookup("reduction", reduction, REDUCTIONS)(len(x) if s is None else float(s.sum()))
    return Data(
        _to_integers(check_tokens("inputs", x)) if tokens else _to_jax("inputs", x),
        _to_jax("targets", y),
        rule,
        jnp.asarray(np.asarray(weight), float),
        not tokens and is_identity(x),
        sample_weights=None if s is None else _to_jax("sample_weights", s),
    )


def is_identity(matrix: np.ndarray) -> bool:
    """Whether every entry is that of the identity matrix."""
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return square and bool(np.array_equal(matrix, np.eye(len(matrix))))


def check_arrays(inputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y) as float64 with equally many rows; Y of one dimension is a column."""
    x, y = real_samples("inputs", inputs), real_array("targets", targets)
    y = real_samples("targets", y[:, None] if y.ndim == 1 else y)
    if len(x) != len(y):
        raise ValueError(
            f"Argument `targets` must have one row per sample, but has {len(y)} rows "
            f"for {len(x)} rows of `inputs`; samples are rows, transpose if needed."
        )
    return x, y


def check_weights(weights: Any, samples: int) -> np.ndarray:
    """`weights` as float64 (samples,), >= 0 and not all 0, else a ValueError."""
    s = real_array("sample_weights", weights)
    if s.shape != (samples,):
        raise ValueError(
            f"Argument `sample_weights` must have shape ({samples},), one weight per sample, but "
            f"has shape {s.shape}."
        )
    if (s < 0).any() or not s.any():
        wrong = "are all 0" if not s.any() else f"have {s.min()} at [{int(s.argmin())}]"
        raise ValueError(
            f"Argument `sample_weights` must be >= 0 and not all 0, but they {wrong}; weight 0 "
            "leaves a sample out."
        )
    return s


def real_samples(argument: str, values: Any) -> np.ndarray:
    """`values` as a non-empty float64 array (samples, ...) of finite numbers, else a ValueError."""
    array = real_array(argument, values)
    return array if array.ndim > 2 and array.size else real_matrix(argument, array)


def real_matrix(argument: str, values: Any) -> np.ndarray:
    """`values` as a non-empty float64 matrix of finite numbers, else a ValueError."""
    array = real_array(argument, values)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"Argument `{argument}` must be a non-empty matrix with samples as rows, "
            f"but has shape {array.shape}."
        )
    return array


def _beside(factors: Array, rows: Array) -> Array:
    """Factors (samples,) or (samples, 1) in the shape that multiplies (samples, ...)."""
    return factors.reshape(factors.shape[:1] + (1,) * (rows.ndim - 1))


def check_tokens(argument: str, array: np.ndarray) -> np.ndarray:
    """`array` if it holds whole numbers >= 0, else a ValueError."""
    wrong = np.argwhere((array != np.round(array)) | (array < 0) | (array > np.iinfo(np.int32).max))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(
            f"Argument `{argument}` must be whole numbers >= 0 to be tokens, but is {array[at]} at "
            f"{list(at)}; number the tokens from 0, or set tokens = false."
        )
    return array


def _to_integers(array: np.ndarray) -> jax.Array:
    return jax.device_put(array.astype(jax.dtypes.canonicalize_dtype(np.int64)))


def _to_jax(argument: str, array: np.ndarray) -> jax.Array:
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    check_within(argument, array, float(np.finfo(dtype).max))
    return jax.device_put(np.array(array, dtype))  # a copy: the array may be the caller's
